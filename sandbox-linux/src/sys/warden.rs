//! A process that waits for the launcher's end and then ends what is in the sandbox, where its first process does not: that one may be waiting for a
//! file system, and then neither a signal nor the launcher's end ends it. Where there is a control group the sweeper does the same.
//!
//! It is outside of the sandbox and in a session of its own, out of reach of a signal to the launcher's group. Called by [`crate::ending`].

use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use super::abi::check_int;
use super::descendants::{end_below, has_ended};
use super::process::{exit, kill, reap, stand_apart, wait_for_end};

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
    // Above all the other end of the pipe is let go.
    if stand_apart([watched, first.as_raw_fd()]).is_err() {
        exit(1);
    }
    wait_for_end(watched);
    finish(first, number);
    exit(0)
}

/// Ends what is below a first process whose launcher is gone, where that does not go by itself.
pub(crate) fn finish(first: BorrowedFd<'_>, number: libc::pid_t) {
    let now = Instant::now();
    if !has_ended(&[first], Some(now + GOES)) {
        // The number is the first process's while that is not reaped, and it has not even ended.
        end_below(number, &[], Some(now + STRIKES));
    }
}
