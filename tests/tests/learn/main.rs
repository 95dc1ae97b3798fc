//! `weir learn`: what a command used is recorded, the proposal suffices to run it again, and lets nothing else in.
#![expect(clippy::unwrap_used, reason = "a test may panic outside its #[test] functions too")]
#![cfg(target_os = "linux")]

mod judged;
mod lesson;
mod looked;
mod programs;
mod refused;
mod sockets;
