//! The signals that are passed on to the command, as something to poll.
//!
//! A signal that was ignored when this program started stays ignored, so that `nohup weir run` and a shell's background jobs
//! mean what they mean without Weir. Nothing is blocked, and handlers end at execve(2): no process inherits anything of this. Only [`run`](super::run) calls this.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

/// The signals that are passed on.
const PASSED_ON: [i32; 9] = [SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM, SIGTSTP, SIGCONT, SIGWINCH];

/// Signals as they arrive.
pub(super) struct Signals(SignalDelivery<UnixStream, SignalOnly>);

impl Signals {
    /// Receives the signals from now on.
    pub(super) fn heed() -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        let ignored = ignored(&std::fs::read_to_string("/proc/self/status").unwrap_or_default());
        let heeded = PASSED_ON.into_iter().filter(|signal| ignored & bit(*signal) == 0);
        SignalDelivery::with_pipe(read, write, SignalOnly, heeded).map(Self)
    }

    /// Those that have arrived since the last time, each once.
    pub(super) fn take(&mut self) -> Vec<i32> {
        self.0.pending().collect()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_read().as_fd()
    }
}

/// Whether a signal was ignored when this program started.
pub(crate) fn is_ignored(signal: i32) -> bool {
    ignored(&std::fs::read_to_string("/proc/self/status").unwrap_or_default()) & bit(signal) != 0
}

fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// The mask of ignored signals in the text of `/proc/self/status` (proc_pid_status(5)); none where it does not tell.
fn ignored(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_status() {
        let cases = [
            ("Name:\tweir\nSigIgn:\t0000000000001001\n", bit(SIGHUP) | 0x1000),
            ("SigBlk:\t0000000000000001\n", 0),
            ("SigIgn:\tnonsense", 0),
        ];
        for (status, expect) in cases {
            assert_eq!(ignored(status), expect, "{status}");
        }
    }
}
