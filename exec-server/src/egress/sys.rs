//! What the gate needs and has no safe form: how much a socket has still to send. Called by [`super::ending`].

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// Bytes that a TCP socket has taken and the other side has not acknowledged (`SIOCOUTQ`, tcp(7), which is `TIOCOUTQ`).
///
/// # Errors
/// ioctl(2)'s.
pub(super) fn unacknowledged(socket: BorrowedFd<'_>) -> io::Result<c_int> {
    let mut bytes: c_int = 0;
    // SAFETY: the kernel writes one `int`, and `bytes` is one that outlives the call.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) } {
        0 => Ok(bytes),
        _ => Err(io::Error::last_os_error()),
    }
}
