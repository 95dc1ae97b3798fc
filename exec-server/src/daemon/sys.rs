//! System calls of the supervisor that have no safe form: becoming a user, and what others have handed over.

use std::io;
use std::ops::Range;
use std::os::fd::{FromRawFd as _, OwnedFd};

/// Keeps permitted capabilities through the next change of user (`PR_SET_KEEPCAPS`, capabilities(7)).
///
/// # Errors
/// prctl(2)'s.
pub(super) fn keep_capabilities() -> io::Result<()> {
    let (yes, none): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: sets a flag of this process.
    match unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, yes, none, none, none) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// From here on a file that may not grow is an error of write(2), not the end of this process and of those that it makes.
///
/// # Errors
/// signal(2)'s.
pub(super) fn ignore_file_limit() -> io::Result<()> {
    // SAFETY: no handler is set, so nothing of this program runs in one.
    match unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) } {
        libc::SIG_ERR => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Takes the descriptors that a service manager has handed over, makes them close-on-exec, and closes everything else from 3 on.
///
/// # Errors
/// fcntl(2)'s and close_range(2)'s.
pub(super) fn take_handed(numbers: Range<i32>) -> io::Result<Vec<OwnedFd>> {
    let (first, last): (libc::c_long, libc::c_long) = (numbers.end.max(3).into(), u32::MAX.into());
    // SAFETY: called before this process has opened anything of its own, so nobody owns one of these descriptors.
    if unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let taken = numbers.map(|number| {
        // SAFETY: the service manager left it to this process (sd_listen_fds(3)), and it is taken once.
        let handed = unsafe { OwnedFd::from_raw_fd(number) };
        rustix::io::fcntl_setfd(&handed, rustix::io::FdFlags::CLOEXEC)?;
        Ok(handed)
    });
    taken.collect()
}
