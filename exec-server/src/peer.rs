//! Who is on the other side of a connection, as the kernel says. A user is never taken from a message.
//!
//! On Linux the supervisor of a server for several users asks. On macOS there is no such server yet: what it would ask is here, and a
//! test that runs there.

#[cfg(any(target_os = "linux", target_os = "macos"))]
mod sys;

use std::io;
#[cfg(any(target_os = "linux", target_os = "macos"))]
use std::os::fd::BorrowedFd;

#[cfg(target_os = "linux")]
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
#[cfg(target_os = "macos")]
use nix::{
    sys::socket::{getsockopt, sockopt::LocalPeerPid},
    unistd::getpeereid,
};

/// What the kernel shows for a user who has no number in this user namespace (user_namespaces(7), `overflowuid`).
#[cfg(target_os = "linux")]
const OVERFLOW_UID: u32 = 65_534;

/// A user with exactly the groups that a connection was made with; on macOS the first sixteen, of which the kernel tells.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Peer {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// All others, sorted.
    pub groups: Vec<u32>,
}

/// Why a connection is not served.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The kernel does not tell.
    #[error("the kernel does not say who connected: {0}")]
    Unknown(#[from] io::Error),
    /// A user of another user namespace.
    #[error("a user from another user namespace connected")]
    Elsewhere,
}

/// The process that connected, for the record: its number may be another's by now. None for one outside of this PID namespace.
#[cfg(target_os = "linux")]
#[must_use]
pub fn process_of(connection: BorrowedFd<'_>) -> Option<i32> {
    let found = getsockopt(&connection, PeerCredentials).ok()?;
    Some(found.pid()).filter(|pid| *pid > 0)
}

/// The process that connected, for the record: its number may be another's by now.
#[cfg(target_os = "macos")]
#[must_use]
pub fn process_of(connection: BorrowedFd<'_>) -> Option<i32> {
    getsockopt(&connection, LocalPeerPid).ok().filter(|pid| *pid > 0)
}

impl Peer {
    /// Who made this connection (`SO_PEERCRED`, `SO_PEERGROUPS`, unix(7)).
    ///
    /// # Errors
    /// [`PeerError`] where the kernel does not tell, or the peer has no number here.
    #[cfg(target_os = "linux")]
    pub fn of(connection: BorrowedFd<'_>) -> Result<Self, PeerError> {
        // rustix takes the number 0 of a process outside of this PID namespace for an error.
        let found = getsockopt(&connection, PeerCredentials).map_err(io::Error::from)?;
        let (uid, gid) = (found.uid(), found.gid());
        if [uid, gid].contains(&OVERFLOW_UID) && uid != rustix::process::getuid().as_raw() {
            return Err(PeerError::Elsewhere);
        }
        Ok(Self { uid, gid, groups: sorted(sys::peer_groups(connection)?) })
    }

    /// Who made this connection (getpeereid(3), `LOCAL_PEERCRED`, unix(4)).
    ///
    /// # Errors
    /// [`PeerError::Unknown`] where the kernel does not tell: both ends of a socketpair(2) are this process's.
    #[cfg(target_os = "macos")]
    pub fn of(connection: BorrowedFd<'_>) -> Result<Self, PeerError> {
        let (uid, gid) = getpeereid(connection).map_err(io::Error::from)?;
        let (uid, gid) = (uid.as_raw(), gid.as_raw());
        Ok(Self { uid, gid, groups: sorted(sys::peer_groups(connection)?) })
    }
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
fn sorted(mut groups: Vec<u32>) -> Vec<u32> {
    groups.sort_unstable();
    groups.dedup();
    groups
}

#[cfg(all(test, any(target_os = "linux", target_os = "macos")))]
mod tests {
    use std::os::fd::AsFd as _;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn the_peer_is_this_process() {
        let ground = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(ground.path().join("socket")).unwrap();
        let _client = UnixStream::connect(ground.path().join("socket")).unwrap();
        let (connection, _) = listener.accept().unwrap();
        let peer = Peer::of(connection.as_fd()).unwrap();
        assert_eq!(peer.uid, nix::unistd::geteuid().as_raw());
        assert_eq!(peer.gid, nix::unistd::getegid().as_raw());
        assert_eq!(process_of(connection.as_fd()), i32::try_from(std::process::id()).ok());
        #[cfg(target_os = "linux")]
        {
            let groups = nix::unistd::getgroups().unwrap().iter().map(|group| group.as_raw()).collect();
            assert_eq!(peer.groups, sorted(groups));
        }
    }
}
