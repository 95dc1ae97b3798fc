//! Fuzzes DNS messages from programs and name servers; see `fuzz/src/dns.rs` for what must hold.
#![no_main]

#[path = "../src/dns.rs"]
mod dns;

libfuzzer_sys::fuzz_target!(|data: &[u8]| dns::run(data));
