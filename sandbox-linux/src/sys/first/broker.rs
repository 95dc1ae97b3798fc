//! The broker's start in the first process: takes the command's listener over and learns which file systems are private.

use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};

use super::super::enter::tree;
use super::super::passing;
use crate::broker::{Broker, receive};
use crate::control::Word;
use crate::prepare::Prepared;

/// The broker; none where the command's process ended before it handed its listener over, or where the broker cannot start:
/// then the listener closes, and every call that it would have performed fails. The launcher gets the listener too ([`Word::Listener`]).
pub(super) fn start(prepared: &Prepared, from: libc::c_int, control: libc::c_int) -> Option<Broker> {
    // SAFETY: made by this process for this alone.
    let from = unsafe { OwnedFd::from_raw_fd(from) };
    let handover = receive(from.as_fd()).ok()?;
    let brokered = prepared.brokered.as_ref()?;
    let mut sockets = brokered.sockets.clone();
    let root = tree::open_root(c"/").ok()?;
    for at in &prepared.private {
        if let Some(device) = tree::open_below(root, at).ok().and_then(device) {
            sockets.private_devices.push(device);
        }
    }
    super::enter::close(root);
    let guards = brokered.guards.clone();
    let mut broker = Broker::new(handover, guards, sockets, brokered.roots, brokered.live.as_ref()).ok()?;
    if brokered.recorded.is_some() {
        broker.record();
    }
    // A launcher that has no room for it does without.
    let _ = passing::send(control, &Word::Listener.header(), broker.as_fd().as_raw_fd());
    Some(broker)
}

/// The file system that a descriptor lies on. Takes and closes it.
fn device(place: libc::c_int) -> Option<u64> {
    // SAFETY: just opened by the caller, who gives it away.
    let place = unsafe { OwnedFd::from_raw_fd(place) };
    let found = std::fs::File::from(place).metadata().ok()?;
    Some(std::os::unix::fs::MetadataExt::dev(&found))
}
