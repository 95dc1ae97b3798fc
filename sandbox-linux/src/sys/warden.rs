//! A process that waits for the launcher's end and then ends what is in the sandbox, where its first process does not: that one may be waiting for a
//! file system, and then neither a signal nor the launcher's end ends it. Where there is a control group the sweeper does the same.
//!
//! It is outside of the sandbox and in a session of its own, out of reach of a signal to the launcher's group. Called by [`crate::ending`].

use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use super::abi::{check_int, errno};
use super::descendants::{end_below, has_ended};
use super::first::foreign::close_all_but;
use super::process::{exit, kill, reap};

/// Time in which a first process ends by itself once the launcher is gone, where the kernel can end it.
const GOES: Duration = Duration::from_millis(20);

/// Longest wait for the end of all others. Each has been struck long before; this is for those that come to be meanwhile.
const STRIKES: Duration = Duration::from_secs(10);

/// The process, and what it waits for.
#[derive(Debug)]
pub(crate) struct Warden {
    /// It waits for its end, which comes with this process's.
    _held: OwnedFd,
    process: libc::pid_t,
}

impl Warden {
    /// Starts it over the first process with this descriptor and number. Only a single-threaded process may call this.
    pub(crate) fn start(first: BorrowedFd<'_>, number: libc::pid_t) -> Result<Self, i32> {
        let mut ends = [-1; 2];
        // SAFETY: the kernel writes two descriptors.
        check_int(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
        // SAFETY: just made, and known to nothing else.
        let [watched, held] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
        // SAFETY: as fork(2) of a process with one thread; the child goes on in `keep` with a copy of all its memory.
        let process = check_int(unsafe { libc::fork() })?;
        if process == 0 {
            keep(watched.as_raw_fd(), first, number);
        }
        Ok(Self { _held: held, process })
    }

    pub(crate) const fn process(&self) -> libc::pid_t {
        self.process
    }
}

impl Drop for Warden {
    /// While this process is there it does the same itself.
    fn drop(&mut self) {
        kill(self.process);
        reap(self.process);
    }
}

/// The warden's life.
fn keep(watched: libc::c_int, first: BorrowedFd<'_>, number: libc::pid_t) -> ! {
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
    // Above all the other end of the pipe.
    if close_all_but([watched, first.as_raw_fd()]).is_err() {
        exit(1);
    }
    let mut byte = 0_u8;
    loop {
        // SAFETY: reads at most one byte to a local variable.
        let read = unsafe { libc::read(watched, (&raw mut byte).cast(), 1) };
        if read == 0 || read < 0 && errno() != libc::EINTR {
            break;
        }
    }
    let now = Instant::now();
    if !has_ended(&[first], Some(now + GOES)) {
        // The number is the first process's while that is not reaped, and it has not even ended.
        end_below(number, &[], Some(now + STRIKES));
    }
    exit(0)
}
