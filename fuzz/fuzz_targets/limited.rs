//! Fuzzes limited mode; see `fuzz/src/limited.rs` for what must hold.
#![no_main]

#[path = "../src/limited.rs"]
mod limited;

libfuzzer_sys::fuzz_target!(|data: &[u8]| limited::run(data));
