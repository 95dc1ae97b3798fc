//! The one thing of the server part that has no safe form: waiting for a descriptor.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::unix::AsyncFd;

/// A descriptor that this thread's runtime watches. It does not block from now on.
///
/// # Errors
/// ioctl(2)'s and epoll_ctl(2)'s; a regular file cannot be watched.
pub(super) fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    rustix::io::ioctl_fionbio(&descriptor, true)?;
    // SAFETY: an `OwnedFd` owns an open descriptor, and nobody replaces or closes it while it is owned.
    Ok(unsafe { AsyncFd::register(descriptor) }?)
}
