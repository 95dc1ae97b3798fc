//! Small steps with processes that several parts take alike. Nothing here allocates.

use std::os::fd::OwnedFd;

use super::abi::{check, errno, owned};
use super::first::foreign::close_all_but;

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

/// Sets a process that was just forked apart from all others: no signal but the last, a session of its own, and these descriptors alone.
pub(super) fn stand_apart<const COUNT: usize>(kept: [libc::c_int; COUNT]) -> Result<(), i32> {
    // SAFETY: all-zero is a valid set.
    let mut all: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: fills a local set.
    unsafe { libc::sigfillset(&raw mut all) };
    // SAFETY: sets the mask of the only thread.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut()) };
    // SAFETY: starts a session; the process is no group leader, being just born.
    unsafe { libc::setsid() };
    // A pipe of the caller's would have no end while this process has a copy.
    for standard in 0..3 {
        // SAFETY: whoever has been started here has no use for these descriptors.
        unsafe { libc::close(standard) };
    }
    close_all_but(kept)
}

/// Waits until nobody holds the other end of a pipe or socket any more, on which nothing is said.
pub(super) fn wait_for_end(of: libc::c_int) {
    let mut byte = 0_u8;
    loop {
        // SAFETY: reads at most one byte to a local variable.
        let read = unsafe { libc::read(of, (&raw mut byte).cast(), 1) };
        if read == 0 || read < 0 && errno() != libc::EINTR {
            return;
        }
    }
}

/// Ends this process without running anything that it has from its parent.
pub(super) fn exit(code: libc::c_int) -> ! {
    // SAFETY: does not return.
    unsafe { libc::_exit(code) }
}
