//! The end of a sandbox, whatever ends it: nothing of it is left a moment later.
#![expect(clippy::unwrap_used, reason = "a test may panic outside its #[test] functions too")]
#![cfg(target_os = "linux")]

mod bystander;
mod hung;
mod struck;
