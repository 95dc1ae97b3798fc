//! A second supervisor, where no PID namespace ends the sandbox with its first process: it does nothing but end everything once the first
//! process is gone, whoever ended that, so that the launcher and the first process may go in the same moment. It is under the
//! first process's ruleset and outside the command's fence, which keeps it out of the command's reach.

use super::super::abi::{check_int, errno};
use super::super::descendants::{Bound, signal_all};
use super::super::process::{exit, fork_telling};
use super::enter;
use super::foreign::close_all_but;

/// Starts the keeper. It lives until what is returned is closed, which the first process never does.
pub(super) fn start() -> Result<libc::c_int, i32> {
    let mut ends = [-1; 2];
    // SAFETY: the kernel writes two descriptors.
    check_int(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    let [watched, held] = ends;
    // Who is left of the sandbox is counted without it. The child goes on in `keep` and never returns.
    match fork_telling(0)? {
        0 => keep(watched),
        _ => {
            enter::close(watched);
            Ok(held)
        }
    }
}

fn keep(watched: libc::c_int) -> ! {
    // Above all the other end: while a copy of it is open here, its end would never come.
    if close_all_but([watched]).is_err() {
        exit(super::FAILED);
    }
    let mut byte = 0_u8;
    loop {
        // SAFETY: reads at most one byte to a local variable.
        let read = unsafe { libc::read(watched, (&raw mut byte).cast(), 1) };
        if read == 0 || read < 0 && errno() != libc::EINTR {
            break;
        }
    }
    signal_all(Bound::Kernel, libc::SIGKILL);
    exit(0)
}
