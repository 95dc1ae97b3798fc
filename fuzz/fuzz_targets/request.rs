//! Fuzzes control messages; see `fuzz/src/request.rs` for what must hold.
#![no_main]

#[path = "../src/request.rs"]
mod request;

libfuzzer_sys::fuzz_target!(|data: &[u8]| request::run(data));
