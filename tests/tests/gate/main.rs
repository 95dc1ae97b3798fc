//! The network gate end to end: `weir run` in a network namespace that is "the host", and beyond a pair of interfaces another one with
//! servers: DNS, HTTP/1.1, HTTP/2, TLS, ssh, PostgreSQL. Real programs, with no proxy variable set.
//!
//! Nothing here reaches a network outside, but [`registries`], which goes where this machine's package registries are.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may panic outside its #[test] functions too"
)]

mod asking;
mod dns;
mod inside;
mod learnt;
mod limited;
mod parting;
mod peers;
mod programs;
mod proxied;
mod registries;
mod servers;
mod talkers;
mod wires;
