//! System calls of the launcher that have no safe form: dividing the process in two, and reaping with an account.

use std::io;
use std::time::Duration;

/// The two halves of a divided process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// The parent, with the child's number.
    Parent(i32),
    /// The child.
    Child,
}

/// What a process and those it waited for used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Account {
    /// Time in user mode.
    pub user: Duration,
    /// Time in the kernel.
    pub system: Duration,
    /// Largest resident set of one process, in KiB.
    pub max_rss_kib: u64,
}

/// fork(2). The process must have one thread.
///
/// # Errors
/// As fork(2).
pub fn divide() -> io::Result<Half> {
    // SAFETY: the caller has one thread, so the child's copy of memory is consistent and it may go on with all of it.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Half::Child),
        child => Ok(Half::Parent(child)),
    }
}

/// Waits for a child's end and tells what it used (wait4(2)). `None` where it was reaped already.
#[must_use]
pub fn reap(child: i32) -> Option<Account> {
    // SAFETY: all-zero is a valid structure to be filled.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: waits for a child of this process; the kernel fills the structure.
        let reaped = unsafe { libc::wait4(child, std::ptr::null_mut(), 0, &raw mut usage) };
        if reaped == child {
            break;
        }
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return None;
        }
    }
    Some(Account {
        user: duration(usage.ru_utime),
        system: duration(usage.ru_stime),
        max_rss_kib: u64::try_from(usage.ru_maxrss).unwrap_or(0),
    })
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let micros = u64::try_from(time.tv_usec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}

/// Closes every descriptor from 3 on: nothing that the caller left open by mistake reaches a sandbox.
///
/// # Errors
/// As close_range(2).
pub fn close_inherited() -> io::Result<()> {
    let (first, last): (libc::c_long, libc::c_long) = (3, u32::MAX.into());
    // SAFETY: called before this process has opened anything of its own, so nobody owns one of these descriptors.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
