//! Fuzzes the first bytes of a connection; see `fuzz/src/opening.rs` for what must hold.
#![no_main]

#[path = "../src/opening.rs"]
mod opening;

libfuzzer_sys::fuzz_target!(|data: &[u8]| opening::run(data));
