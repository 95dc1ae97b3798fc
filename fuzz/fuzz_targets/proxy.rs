//! Fuzzes what is said to the proxy endpoints; see `fuzz/src/proxy.rs` for what must hold.
#![no_main]

#[path = "../src/proxy.rs"]
mod proxy;

libfuzzer_sys::fuzz_target!(|data: &[u8]| proxy::run(data));
