//! Who is on the other side of a connection, as the kernel says, and becoming that user for good.
//!
//! Only the supervisor uses this, on the very connection that asks. A user is never taken from a message.

use std::io;
use std::os::fd::BorrowedFd;

use caps::{CapSet, Capability, CapsHashSet};
use rustix::process::{DumpableBehavior, Signal};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::sys;

/// What the kernel shows for a user who has no number in this user namespace (user_namespaces(7), `overflowuid`).
const OVERFLOW_UID: u32 = 65_534;

/// What a launcher for an ordinary user keeps of root: what makes namespaces, mounts and an empty bounding set. Nothing that passes over
/// a file's mode, another's process, or a user: whatever it reads or mounts, the user could have read.
const OF_A_LAUNCHER: [Capability; 4] =
    [Capability::CAP_SYS_ADMIN, Capability::CAP_NET_ADMIN, Capability::CAP_SETPCAP, Capability::CAP_SETGID];

/// A user with exactly the groups that a connection was made with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Peer {
    /// The user.
    pub(crate) uid: u32,
    /// The group.
    pub(crate) gid: u32,
    /// All others, sorted.
    pub(crate) groups: Vec<u32>,
}

/// Why a connection is not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerError {
    /// The kernel does not tell.
    #[error("the kernel does not say who connected: {0}")]
    Unknown(#[from] io::Error),
    /// A user of another user namespace.
    #[error("a user from another user namespace connected")]
    Elsewhere,
}

/// The process that connected, for the record: its number may be another's by now.
pub(crate) fn process_of(connection: BorrowedFd<'_>) -> Option<i32> {
    let found = rustix::net::sockopt::socket_peercred(connection).ok()?;
    Some(found.pid.as_raw_nonzero().get())
}

impl Peer {
    /// Who made this connection (`SO_PEERCRED`, unix(7)).
    pub(crate) fn of(connection: BorrowedFd<'_>) -> Result<Self, PeerError> {
        let found = rustix::net::sockopt::socket_peercred(connection).map_err(io::Error::from)?;
        let (uid, gid) = (found.uid.as_raw(), found.gid.as_raw());
        if [uid, gid].contains(&OVERFLOW_UID) && uid != rustix::process::getuid().as_raw() {
            return Err(PeerError::Elsewhere);
        }
        let mut groups = sys::peer_groups(connection)?;
        groups.sort_unstable();
        groups.dedup();
        Ok(Self { uid, gid, groups })
    }

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

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_peer_is_this_process() {
        let (one, _other) = UnixStream::pair().unwrap();
        let peer = Peer::of(one.as_fd()).unwrap();
        assert_eq!(peer.uid, nix::unistd::geteuid().as_raw());
        assert_eq!(peer.gid, nix::unistd::getegid().as_raw());
        let mut groups: Vec<u32> =
            nix::unistd::getgroups().unwrap().iter().map(|group| group.as_raw()).collect();
        groups.sort_unstable();
        groups.dedup();
        assert_eq!(peer.groups, groups);
    }
}
