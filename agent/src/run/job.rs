//! Job control towards the shell that started this program.
//!
//! Stops and ends this process, and never a command. Only [`run`](super::run) and `weir run` call this.

use std::io::{IsTerminal as _, Write as _};

use nix::sys::signal::SigSet;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_current_process_group, setrlimit};
use signal_hook::consts::{SIGCONT, SIGINT, SIGQUIT, SIGSTOP, SIGTSTP};
use weir_protocol::method::process::End;

use super::signals::{Signals, is_ignored};

/// Most processes between this one and the shell that are looked at.
const MAX_ANCESTORS: usize = 64;

/// Signals of keys that end what is in the terminal's foreground.
pub(super) const KEYS: [i32; 2] = [SIGINT, SIGQUIT];

/// The end of a command by a key of the terminal. A shell goes on with a loop or a script where what it waited for has exited, and does not
/// where the key's signal ended that: an exit code does not tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    signal: i32,
    scope: Scope,
}

impl Key {
    /// `relayed`: whether the key of a signal was passed to a terminal of the command's own, and reached it alone; otherwise this process is
    /// among those that `got` the signal.
    pub(super) fn of(end: End, relayed: impl Fn(i32) -> bool, got: &[i32]) -> Option<Self> {
        let End::Signalled { signal } = end else { return None };
        let scope = match (got.contains(&signal), relayed(signal) && std::io::stdin().is_terminal()) {
            (true, _) => Scope::Alone,
            (false, true) => Scope::Group,
            (false, false) => return None,
        };
        KEYS.contains(&signal).then_some(Self { signal, scope })
    }

    /// Ends this process by the signal, and leaves no core of it. Comes back only where that cannot be.
    pub fn follow(self) {
        if is_ignored(self.signal) {
            return;
        }
        let _ = std::io::stdout().flush();
        let maximum = getrlimit(Resource::Core).maximum;
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum });
        if self.scope == Scope::Group {
            let sent = if self.signal == SIGINT { Signal::INT } else { Signal::QUIT };
            // The script around this process is owed what the terminal would have sent it.
            let _ = kill_current_process_group(sent);
        }
        let _ = signal_hook::low_level::emulate_default_handler(self.signal);
    }
}

/// Who stops, or gets a signal.
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
    let own = (scope == Scope::Group).then(Stop::prepare).flatten();
    let was_sent = scope == Scope::Group && kill_current_process_group(Signal::TSTP).is_ok();
    // POSIX kill(): a signal to oneself is there when the call returns. It was for the others.
    let mut missed = signals.take();
    missed.retain(|signal| !was_sent || *signal != SIGTSTP);
    match own {
        Some(own) => own.carry_out(),
        None if missed.contains(&SIGCONT) => {}
        None => drop(signal_hook::low_level::raise(SIGSTOP)),
    }
    missed
}

/// A stop that is under way before others of the group stop, and of which nothing is left once somebody has continued the group: the kernel
/// discards stop signals that wait when it sends `SIGCONT` (signal(7)). Between a look at what has come and a stop there would be
/// room for it, and this process would stop behind the word to continue.
#[derive(Debug)]
struct Stop(SigSet);

/// A signal that stops and that nobody here heeds.
const STOPS: nix::sys::signal::Signal = nix::sys::signal::Signal::SIGTTOU;

impl Stop {
    /// Nothing where whoever started this program has the signal ignored.
    fn prepare() -> Option<Self> {
        let mask = SigSet::from_iter([STOPS]);
        let waits = !is_ignored(STOPS as i32)
            && mask.thread_block().is_ok()
            && signal_hook::low_level::raise(STOPS as i32).is_ok();
        waits.then_some(Self(mask))
    }

    fn carry_out(self) {
        let _ = self.0.thread_unblock();
    }
}

/// A process's place among others. What lies outside of the PID namespace has the number 0 (pid_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lineage {
    pid: i32,
    parent: i32,
    group: i32,
    session: i32,
}

/// Whether this process's group is one that a shell could continue; the kernel stops no other for a terminal's signal
/// (setpgid(2), "orphaned"). Looks at this process and its ancestors in the group.
pub(super) fn can_be_continued() -> bool {
    let Some(own) = Lineage::own() else { return false };
    let mut next = own.parent;
    for _ in 0..MAX_ANCESTORS {
        match Lineage::of(next) {
            Some(ancestor) if ancestor.group == own.group => next = ancestor.parent,
            Some(ancestor) => return ancestor.session == own.session,
            None => return false,
        }
    }
    false
}

/// Whether a terminal's foreground group is this process's; also where nobody can tell.
pub(super) fn is_own_group(group: Pid) -> bool {
    let own = Lineage::own().filter(|own| u32::try_from(own.pid) == Ok(std::process::id()));
    own.is_none_or(|own| own.group == group.as_raw_nonzero().get())
}

/// From proc_pid_stat(5), fields 1 and 4 to 6. rustix takes a group or session that is 0 for a mistake of the kernel's.
#[cfg(target_os = "linux")]
impl Lineage {
    fn own() -> Option<Self> {
        Self::read("self")
    }

    fn of(pid: i32) -> Option<Self> {
        Self::read(&pid.to_string())
    }

    fn read(name: &str) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{name}/stat")).ok()?;
        let (before, after) = (stat.split_once(" (")?.0, stat.rsplit_once(')')?.1);
        let mut numbers = after.split_whitespace().skip(1).map_while(|word| word.parse().ok());
        let (parent, group, session) = (numbers.next()?, numbers.next()?, numbers.next()?);
        Some(Self { pid: before.parse().ok()?, parent, group, session })
    }
}

/// Without PID namespaces there is no number 0 to meet. An ancestor's parent is not known.
#[cfg(not(target_os = "linux"))]
impl Lineage {
    fn own() -> Option<Self> {
        let parent = rustix::process::getppid()?.as_raw_nonzero().get();
        Some(Self { parent, ..Self::of(rustix::process::getpid().as_raw_nonzero().get())? })
    }

    fn of(pid: i32) -> Option<Self> {
        let named = Pid::from_raw(pid)?;
        let group = rustix::process::getpgid(Some(named)).ok()?.as_raw_nonzero().get();
        let session = rustix::process::getsid(Some(named)).ok()?.as_raw_nonzero().get();
        Some(Self { pid, parent: 0, group, session })
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{getpgrp, getpid, getppid};

    use super::*;

    #[test]
    fn a_process_knows_its_place() {
        let own = Lineage::own().unwrap();
        assert_eq!(Pid::from_raw(own.pid), Some(getpid()));
        assert_eq!(Pid::from_raw(own.parent), getppid());
        assert!(is_own_group(getpgrp()));
        assert!(!is_own_group(Pid::from_raw(i32::MAX).unwrap()));
        assert_eq!(Lineage::of(0), None);
    }
}
