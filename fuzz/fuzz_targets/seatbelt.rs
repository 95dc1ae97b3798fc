//! Fuzzes the merging of profiles; see `fuzz/src/seatbelt.rs` for what must hold.
#![no_main]

#[path = "../src/seatbelt.rs"]
mod seatbelt;

libfuzzer_sys::fuzz_target!(|data: &[u8]| seatbelt::run(data));
