//! What Weir's tests share: the accounting of skipped tests, the tidy rules, commands in a real sandbox, and what benchmarks are asked for.
//!
//! This library must never be a normal dependency of another crate; as a dev-dependency it may be used by all of them,
//! so it stays light. Callers: the test binaries of every crate, and `.ci/run` through the binary `weir-skips`.
#![forbid(unsafe_code)]

pub mod bench;
#[cfg(target_os = "linux")]
pub mod sandbox;
pub mod skip;
pub mod tidy;

pub use skip::skip;
