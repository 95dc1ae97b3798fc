//! Job control towards the shell that started this program.
//!
//! Stops this process, and never a command. Only [`run`](super::run) calls this.

use nix::unistd::{Pid, getpgid, getpgrp, getppid, getsid};
use rustix::process::{Signal, kill_current_process_group};
use signal_hook::consts::{SIGCONT, SIGSTOP, SIGTSTP};

use super::signals::Signals;

/// Most processes between this one and the shell that are looked at.
const MAX_ANCESTORS: usize = 64;

/// What a parent, group or session outside of this PID namespace is called here (pid_namespaces(7)). rustix takes it for a
/// mistake of the kernel's.
const ELSEWHERE: Pid = Pid::from_raw(0);

/// Who stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// This process.
    Alone,
    /// Its process group, as when the terminal's key stops a job; the script around this process with it.
    Group,
}

/// Stops until somebody continues this process. Returns the signals that came in the meantime; where `SIGCONT` is among them
/// it may be that a shell, having seen another process of the group stop, was faster, and then nothing stops.
pub(super) fn stop(scope: Scope, signals: &mut Signals) -> Vec<i32> {
    let was_sent = scope == Scope::Group && kill_current_process_group(Signal::TSTP).is_ok();
    // POSIX kill(): a signal to oneself is there when the call returns. It was for the others.
    let mut missed = signals.take();
    missed.retain(|signal| !was_sent || *signal != SIGTSTP);
    if !missed.contains(&SIGCONT) {
        let _ = signal_hook::low_level::raise(SIGSTOP);
    }
    missed
}

/// Whether this process's group is one that a shell could continue; the kernel stops no other for a terminal's signal
/// (setpgid(2), "orphaned"). Looks at this process and its ancestors in the group.
pub(super) fn can_be_continued() -> bool {
    let (group, session) = (getpgrp(), getsid(None).ok());
    let mut ancestor = getppid();
    for _ in 0..MAX_ANCESTORS {
        if ancestor == ELSEWHERE {
            return false;
        }
        match getpgid(Some(ancestor)) {
            Ok(other) if other == group => ancestor = parent(ancestor).unwrap_or(ELSEWHERE),
            Ok(_) => return getsid(Some(ancestor)).ok() == session,
            Err(_) => return false,
        }
    }
    false
}

/// The parent of a process (proc_pid_stat(5), field 4).
fn parent(of: Pid) -> Option<Pid> {
    let stat = std::fs::read_to_string(format!("/proc/{of}/stat")).ok()?;
    let after_name = stat.rsplit_once(')')?.1;
    Some(Pid::from_raw(after_name.split_whitespace().nth(1)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_are_found() {
        assert_eq!(parent(Pid::this()), Some(getppid()));
        assert_eq!(parent(Pid::from_raw(1)), Some(ELSEWHERE));
    }
}
