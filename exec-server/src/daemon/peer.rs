//! Becoming the user who is on the other side of a connection, for good.
//!
//! Only the supervisor uses this, on the very connection that asks. A user is never taken from a message.

use std::io;

use caps::{CapSet, Capability, CapsHashSet};
use rustix::process::{DumpableBehavior, Signal};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::sys;
use crate::peer::Peer;

/// What a launcher for an ordinary user keeps of root: what makes namespaces, mounts and an empty bounding set. Nothing that passes over
/// a file's mode, another's process, or a user: whatever it reads or mounts, the user could have read.
const OF_A_LAUNCHER: [Capability; 4] =
    [Capability::CAP_SYS_ADMIN, Capability::CAP_NET_ADMIN, Capability::CAP_SETPCAP, Capability::CAP_SETGID];

impl Peer {
    /// Makes this process the peer's, without any privilege. Only root needs to change.
    pub(crate) fn become_it(&self) -> io::Result<()> {
        self.change()?;
        drop_all()?;
        harden()
    }

    /// Makes this process the peer's, with what making sandboxes takes where this process has it. For root nothing changes.
    pub(crate) fn become_launcher(&self) -> io::Result<()> {
        if self.uid == 0 || !rustix::process::geteuid().is_root() {
            return harden();
        }
        sys::keep_capabilities()?;
        self.change()?;
        let has = caps::read(None, CapSet::Permitted).map_err(io::Error::other)?;
        let kept: CapsHashSet = OF_A_LAUNCHER.into_iter().filter(|wanted| has.contains(wanted)).collect();
        for set in [CapSet::Effective, CapSet::Permitted] {
            caps::set(None, set, &kept).map_err(io::Error::other)?;
        }
        caps::clear(None, CapSet::Inheritable).map_err(io::Error::other)?;
        // Otherwise it could not be raised again from what is permitted.
        caps::set(None, CapSet::Effective, &kept).map_err(io::Error::other)?;
        harden()
    }

    fn change(&self) -> io::Result<()> {
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let groups: Vec<_> = self.groups.iter().map(|group| rustix::process::Gid::from_raw(*group)).collect();
        let (uid, gid) = (rustix::process::Uid::from_raw(self.uid), rustix::process::Gid::from_raw(self.gid));
        set_thread_groups(&groups)?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)?;
        Ok(())
    }
}

/// Gives up every capability.
fn drop_all() -> io::Result<()> {
    for set in [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable] {
        caps::clear(None, set).map_err(io::Error::other)?;
    }
    Ok(())
}

/// Ends with its parent, and lets nobody of the same user look into it. A change of user resets both.
fn harden() -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// The user of the server parts: without a right to anything.
pub(crate) fn become_nobody(uid: u32, gid: u32) -> io::Result<()> {
    Peer { uid, gid, groups: Vec::new() }.become_it()
}
