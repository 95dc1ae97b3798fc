//! Words that both sides of Weir agree on: profiles, policies, verdicts and the messages that carry them.
//!
//! This crate is pure: it performs no I/O, holds no async code and no `unsafe`, and knows nothing of the host.
//! The chain of words is fixed: a [`profile`] is what a person wrote, a [`policy`] is what it means on one host.
#![forbid(unsafe_code)]

pub mod audit;
pub mod bytes;
pub mod denial;
pub mod frame;
pub mod gate;
pub mod held;
mod members;
pub mod method;
pub mod path;
pub mod policy;
pub mod profile;
pub mod recorded;
pub mod since;
pub mod unreached;
pub mod unseen;

pub use bytes::ByteString;
pub use path::AbsPath;
pub use policy::Policy;
