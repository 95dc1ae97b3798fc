//! Fuzzes the parser of profile documents; see `fuzz/src/profile.rs` for what must hold.
#![no_main]

#[path = "../src/profile.rs"]
mod profile;

libfuzzer_sys::fuzz_target!(|data: &[u8]| profile::run(data));
