//! `copy` access: changes of commands are kept beside the directory, shown, applied, discarded; what is closed is closed in the copy.
#![expect(clippy::unwrap_used, reason = "a test may panic outside its #[test] functions too")]
#![cfg(target_os = "linux")]

mod closed;
mod conflicts;
mod kept;
mod killed;
mod kinds;
mod large;
mod refused;
mod settle;
mod struck;
mod wedged;
