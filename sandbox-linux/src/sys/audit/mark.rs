//! A record of our own, behind all that were made before: the kernel delivers records in the order in which they were made, and
//! tells nobody when it has delivered the last.

use super::super::abi::check;
use super::super::process::{exit, reap};
use crate::compile::landlock::READ_DIR;

/// `struct landlock_ruleset_attr`, its first field alone (ABI 1).
#[repr(C)]
struct Handled {
    fs: u64,
}

/// Has a process refused something by a Landlock domain of its own, so that the kernel makes a record of that domain, and answers the
/// process's number once it has ended. Only a single-threaded process may call this. Needs Landlock ABI 7.
///
/// # Errors
/// fork(2)'s.
pub fn mark() -> Result<u32, i32> {
    // SAFETY: as fork(2) of a process with one thread; the child makes raw calls alone and never returns.
    let child = check(unsafe { libc::fork() }.into())?;
    let child = libc::pid_t::try_from(child).map_err(|_| libc::EOVERFLOW)?;
    if child == 0 {
        be_refused();
        exit(0);
    }
    reap(child);
    Ok(child.unsigned_abs())
}

fn be_refused() {
    let handled = Handled { fs: READ_DIR };
    // SAFETY: sets a property of this process only.
    unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    let size = size_of::<Handled>();
    // SAFETY: the kernel reads the structure.
    let made = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const handled, size, 0) };
    // SAFETY: restricts this process only.
    unsafe { libc::syscall(libc::SYS_landlock_restrict_self, made, 0) };
    // SAFETY: opens a directory, which that refuses; the process ends.
    unsafe { libc::open(c"/".as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC) };
}
