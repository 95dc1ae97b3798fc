//! What the kernel knows of the other side of a socket, as far as it has no safe form.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// Most groups of one process (`NGROUPS_MAX`, limits.h).
#[cfg(target_os = "linux")]
const MAX_GROUPS: usize = 65_536;

/// The supplementary groups of the process that connected, at that time (`SO_PEERGROUPS`, unix(7); Linux 4.13).
///
/// # Errors
/// getsockopt(2)'s.
#[cfg(target_os = "linux")]
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

/// The groups of the process that connected, at that time, as far as the kernel tells: the first sixteen (`LOCAL_PEERCRED`, unix(4)).
///
/// # Errors
/// getsockopt(2)'s.
#[cfg(target_os = "macos")]
pub(super) fn peer_groups(socket: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    // SAFETY: all-zero is a valid structure to be filled.
    let mut found: libc::xucred = unsafe { std::mem::zeroed() };
    let whole = libc::socklen_t::try_from(size_of_val(&found)).map_err(io::Error::other)?;
    let mut length = whole;
    // SAFETY: the structure has `length` bytes, and the kernel writes no more.
    let got = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_LOCAL,
            libc::LOCAL_PEERCRED,
            (&raw mut found).cast(),
            &raw mut length,
        )
    };
    if got != 0 {
        return Err(io::Error::last_os_error());
    }
    if length != whole || found.cr_version != libc::XUCRED_VERSION {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let count = usize::try_from(found.cr_ngroups).map_err(io::Error::other)?;
    Ok(found.cr_groups.iter().take(count).copied().collect())
}
