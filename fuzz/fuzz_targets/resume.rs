//! Fuzzes output that is kept for whoever comes back; see `fuzz/src/resume.rs` for what must hold.
#![no_main]

#[path = "../src/resume.rs"]
mod resume;

libfuzzer_sys::fuzz_target!(|data: &[u8]| resume::run(data));
