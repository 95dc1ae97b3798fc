//! The server that several users share, as a process: who may do what, how it starts and stops, what it records.
#![expect(clippy::unwrap_used, reason = "a test may panic outside its #[test] functions too")]
#![cfg(target_os = "linux")]

mod advice;
mod audit;
mod bounded;
mod client;
mod confined;
mod copies;
mod forged;
mod gate;
mod leases;
mod place;
mod questions;
mod reload;
mod stop;
