//! Containment, end to end: `weir run` in a real sandbox, as root, as an ordinary user and without user namespaces.
//!
//! Every refusal has a positive control: the same act, by the same user, without Weir. Each class of weakness that the field is
//! known for has a test whose name says which.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod calls;
mod kernel;
mod law;
mod links;
mod mounts;
mod network;
mod performed;
mod private;
mod privileges;
mod processes;
mod published;
mod rules;
mod smoke;
mod standard;
mod talking;
mod terminal;
