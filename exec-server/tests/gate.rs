//! The network gate on plain loopback: names, addresses, first bytes and proxies, with servers and a DNS server of the test's own.
//!
//! Connections are brought to the gate by hand, with the destination that they would have had inside a sandbox.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, its support as well")]

#[path = "gate/asking.rs"]
mod asking;
#[path = "gate/bypasses.rs"]
mod bypasses;
#[path = "gate/connections.rs"]
mod connections;
#[path = "gate/edits.rs"]
mod edits;
#[path = "gate/endings.rs"]
mod endings;
#[path = "gate/floods.rs"]
mod floods;
#[path = "gate/laws.rs"]
mod laws;
#[path = "gate/limited.rs"]
mod limited;
#[path = "gate/mutations.rs"]
mod mutations;
#[path = "gate/names.rs"]
mod names;
#[path = "gate/proxies.rs"]
mod proxies;
#[path = "gate/upstream.rs"]
mod upstream;
#[path = "gate/world.rs"]
mod world;
