//! Words that both sides of Weir agree on: profiles, policies, verdicts and the messages that carry them.
//!
//! This crate is pure: it performs no I/O, holds no async code and no `unsafe`, and knows nothing of the host.
#![forbid(unsafe_code)]
