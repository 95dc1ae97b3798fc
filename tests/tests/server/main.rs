//! A server that several users share, from outside: what it carries, whom it keeps apart, and what is left when something dies.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic outside its #[test] functions too"
)]
#![cfg(target_os = "linux")]

mod background;
mod contexts;
mod files;
mod hostile;
mod index;
mod killed;
mod limits;
mod order;
mod owners;
mod peer;
mod remote;
mod soak;
mod users;
