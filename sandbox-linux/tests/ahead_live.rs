//! A network namespace made ahead of a sandbox: this process is inside for a while, and back where it was whatever happens.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/skip.rs"]
mod skip;

use std::path::PathBuf;

use skip::skip;
use weir_sandbox_linux::start::NetworkAhead;

/// The network namespace of this thread.
fn network() -> PathBuf {
    std::fs::read_link("/proc/thread-self/ns/net").unwrap()
}

#[test]
fn the_maker_is_inside_until_it_leaves() {
    let outside = network();
    let Some(ahead) = NetworkAhead::enter() else {
        return skip("start::network_ahead", "making a network namespace was refused");
    };
    assert_ne!(network(), outside);
    ahead.leave().unwrap();
    assert_eq!(network(), outside);

    let dropped = NetworkAhead::enter().unwrap();
    assert_ne!(network(), outside);
    drop(dropped);
    assert_eq!(network(), outside);
}
