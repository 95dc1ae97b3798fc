//! `weir exec` with a recorded model whose calls are really carried out: helpers, what a model must not get, and agents that are killed.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[allow(dead_code, reason = "shared with the tests of the other commands")]
#[path = "support/daemon.rs"]
mod daemon;
#[path = "replayed/helpers.rs"]
mod helpers;
#[path = "replayed/injected.rs"]
mod injected;
#[path = "replayed/killed.rs"]
mod killed;
#[allow(dead_code, reason = "shared with the tests of the command line")]
#[path = "support/place.rs"]
mod place;
#[path = "replayed/session.rs"]
mod session;
