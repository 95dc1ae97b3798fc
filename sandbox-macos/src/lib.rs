//! Policy to Seatbelt: a pure compiler from a policy to the profile language of macOS (SBPL), and the plan by which
//! `/usr/bin/sandbox-exec` is started with it.
//!
//! Nothing here makes a system call, reads the environment or asks which system it runs on, so that all of it builds and
//! is tested anywhere. [`evaluate`] answers what a profile means; the tests hold it against
//! [`Policy::verdict`](weir_protocol::Policy::verdict), and every place where the two differ stands in
//! [`Compiled::exceptions`]. What macOS cannot give at all stands in [`gap`].
//!
//! Callers: the exec-server on macOS; `doctor` and the report for [`gap`]; the tests for [`evaluate`].
#![forbid(unsafe_code)]

pub mod base;
pub mod compile;
pub mod evaluate;
pub mod exception;
pub mod gap;
pub mod launch;
pub mod parameter;
pub mod sbpl;
pub mod sexpr;

pub use compile::{CompileError, Compiled, Gate, Host, LetterCase, Run, RunTag, compile};
pub use launch::{LaunchPlan, plan};
