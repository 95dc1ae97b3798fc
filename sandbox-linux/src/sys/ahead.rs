//! A network namespace made before a sandbox wants one (unshare(2), setns(2), network_namespaces(7)).
//!
//! The kernel takes longer for one than for everything else that a first process is born with. Called by [`crate::start`] only, in the launcher.

use std::os::fd::{AsRawFd as _, OwnedFd};

use super::abi::{check_int, owned};

/// Moves this process into a new network namespace; answers the one that it was in.
pub(crate) fn enter() -> Result<OwnedFd, i32> {
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: the path is a C string; makes a descriptor.
    let outside = owned(unsafe { libc::open(c"/proc/self/ns/net".as_ptr(), flags) }.into())?;
    // SAFETY: changes this process only, which has one thread.
    check_int(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
    Ok(outside)
}

/// Moves this process back.
pub(crate) fn leave(outside: &OwnedFd) -> Result<(), i32> {
    // SAFETY: changes this process only, which has one thread.
    check_int(unsafe { libc::setns(outside.as_raw_fd(), libc::CLONE_NEWNET) }).map(drop)
}
