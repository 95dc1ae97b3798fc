//! What connects a launcher with a sandbox's first process.

use std::os::fd::{FromRawFd as _, OwnedFd};

/// A pair of sequenced-packet sockets: the launcher's end and the other.
pub(crate) fn control() -> (OwnedFd, OwnedFd) {
    let mut pair = [-1; 2];
    // SAFETY: the kernel writes two descriptors.
    let made = unsafe {
        libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0, pair.as_mut_ptr())
    };
    assert_eq!(made, 0);
    // SAFETY: just made, and known to nothing else.
    (unsafe { OwnedFd::from_raw_fd(pair[0]) }, unsafe { OwnedFd::from_raw_fd(pair[1]) })
}
