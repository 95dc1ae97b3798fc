//! Small steps with processes that several parts take alike. Nothing here allocates.

use std::os::fd::OwnedFd;

use super::abi::{check, errno, owned};

/// A descriptor of a process, readable when it has ended (pidfd_open(2)).
pub(super) fn pidfd_open(process: libc::pid_t, flags: libc::c_int) -> Result<OwnedFd, i32> {
    // SAFETY: makes a descriptor.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, process, flags) })
}

/// The same of a thread that need not be its process's first (`PIDFD_THREAD`). EINVAL before Linux 6.9.
pub(super) fn pidfd_open_thread(thread: u32) -> Result<OwnedFd, i32> {
    const PIDFD_THREAD: libc::c_int = libc::O_EXCL;
    pidfd_open(thread.cast_signed(), PIDFD_THREAD)
}

/// As fork(2), by the kernel's call alone: the child's number, 0 in the child. The C library's fork takes the locks of all its arenas, and in a
/// copy of a process with several threads one of those may be held for ever.
pub(super) fn fork() -> Result<libc::pid_t, i32> {
    fork_telling(libc::SIGCHLD)
}

/// The same with this signal at the child's end. With 0 it is no child that wait(2) sees.
pub(super) fn fork_telling(signal: libc::c_int) -> Result<libc::pid_t, i32> {
    let (flags, none) = (libc::c_long::from(signal), std::ptr::null::<u8>());
    // SAFETY: no memory is shared, and the child goes on with a copy of this stack; the caller's process has one thread.
    let child = check(unsafe { libc::syscall(libc::SYS_clone, flags, none, none, none, none) })?;
    libc::pid_t::try_from(child).map_err(|_| libc::EOVERFLOW)
}

/// Ends a child of this process that is not reaped yet.
pub(crate) fn kill(child: libc::pid_t) {
    // SAFETY: the number is our own child's until it is reaped.
    unsafe { libc::kill(child, libc::SIGKILL) };
}

/// Waits for the end of a child of this process, however often a signal interrupts.
pub(crate) fn reap(child: libc::pid_t) {
    loop {
        // SAFETY: waits for our own child; no status is asked for.
        let reaped = unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
        if reaped != -1 || errno() != libc::EINTR {
            return;
        }
    }
}

/// Ends this process without running anything that it has from its parent.
pub(super) fn exit(code: libc::c_int) -> ! {
    // SAFETY: does not return.
    unsafe { libc::_exit(code) }
}
