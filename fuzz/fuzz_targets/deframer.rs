//! Fuzzes the frames of the socket; see `fuzz/src/deframer.rs` for what must hold.
#![no_main]

#[path = "../src/deframer.rs"]
mod deframer;

libfuzzer_sys::fuzz_target!(|data: &[u8]| deframer::run(data));
