//! A server that several users share, from outside: what it carries, whom it keeps apart, and what is left when something dies.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic outside its #[test] functions too"
)]
#![cfg(target_os = "linux")]

mod contexts;
mod hostile;
mod peer;
mod soak;
mod users;
