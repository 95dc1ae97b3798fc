//! System calls of the supervisor that have no safe form: who is on the other side of a socket, and becoming that user.

use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

/// Most groups of one process (`NGROUPS_MAX`, limits.h).
const MAX_GROUPS: usize = 65_536;

/// The supplementary groups of the process that connected, at that time (`SO_PEERGROUPS`, unix(7); Linux 4.13).
///
/// # Errors
/// getsockopt(2)'s.
pub(super) fn peer_groups(socket: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut groups: Vec<libc::gid_t> = vec![0; 64];
    loop {
        let bytes = groups.len() * size_of::<libc::gid_t>();
        let mut length = libc::socklen_t::try_from(bytes).map_err(io::Error::other)?;
        // SAFETY: the buffer has `length` bytes, and the kernel writes no more.
        let got = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let count = length as usize / size_of::<libc::gid_t>();
        let error = io::Error::last_os_error();
        if got == 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        if error.raw_os_error() != Some(libc::ERANGE) || count <= groups.len() || count > MAX_GROUPS {
            return Err(error);
        }
        groups.resize(count, 0);
    }
}

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
