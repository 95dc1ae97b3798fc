//! Fuzzes the merging of profiles; see `fuzz/src/merge.rs` for what must hold.
#![no_main]

#[path = "../src/merge.rs"]
mod merge;

libfuzzer_sys::fuzz_target!(|data: &[u8]| merge::run(data));
