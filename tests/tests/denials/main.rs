//! What is told of refusals: the right rule, the right path, and an edit that allows the act and nothing else; and nothing where a
//! command fails for reasons of its own.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may panic outside its #[test] functions too")]

mod case;
mod closed;
mod explained;
mod hosts;
mod kept;
mod limits;
mod names;
mod none;
mod records;
