//! `weir exec` with a recorded model whose calls are really carried out: helpers, what a model must not get, agents that are
//! killed, and what binds a thread through all of it.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[allow(dead_code, reason = "shared with the tests of the other commands")]
#[path = "support/daemon.rs"]
mod daemon;
#[path = "replayed/delegated.rs"]
mod delegated;
#[path = "replayed/injected.rs"]
mod injected;
#[path = "replayed/interrupted.rs"]
mod interrupted;
#[path = "replayed/kept.rs"]
mod kept;
#[path = "replayed/killed.rs"]
mod killed;
#[path = "replayed/person.rs"]
mod person;
#[allow(dead_code, reason = "shared with the tests of the command line")]
#[path = "support/place.rs"]
mod place;
#[allow(dead_code, reason = "shared with the tests of weir run on a terminal")]
#[path = "support/screen.rs"]
mod screen;
#[path = "replayed/session.rs"]
mod session;
#[path = "replayed/unread.rs"]
mod unread;
