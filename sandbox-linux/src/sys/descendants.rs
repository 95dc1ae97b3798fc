//! Ending what a process has started, where no PID namespace ends it: in one call, where Landlock bounds whom that reaches; else one by
//! one, found through /proc and reached through descriptors, so that a number that was given to another process in between is
//! never hit. Never signals anything that does not descend from this process. Called by the first process and the launcher.

use std::collections::BTreeMap;
use std::os::fd::AsRawFd as _;

use super::abi::errno;
use super::process::pidfd_open;

/// What keeps a signal to everyone inside the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// The kernel: this process is in a PID namespace of the sandbox's own, or under a Landlock ruleset that scopes signals.
    Kernel,
    /// Nothing.
    Absent,
}

/// Sends a signal to everything that this process has started, and not to itself.
pub(crate) fn signal_all(bound: Bound, signal: libc::c_int) {
    match bound {
        Bound::Kernel => everyone(signal),
        Bound::Absent => {
            let family = Family::read(&[]);
            family.below(own()).into_iter().for_each(|process| family.signal(process, signal));
        }
    }
}

/// Ends everything that this process has started and waits until nothing is left of it. This process must be the reaper of its
/// descendants (prctl(2), `PR_SET_CHILD_SUBREAPER`). What is ended at once cannot escape by starting more: the kernel makes no
/// process for one that is being ended.
pub(crate) fn end_all(bound: Bound) {
    match bound {
        Bound::Kernel => loop {
            everyone(libc::SIGKILL);
            // SAFETY: waits for any child, also one that sends no signal; no status is asked for.
            let reaped = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::__WALL) };
            if reaped < 0 && errno() != libc::EINTR {
                return;
            }
        },
        Bound::Absent => end_family(&[]),
    }
}

/// Ends every process that descends from this one, and reaps those that are its children; those `spared` and what descends from
/// them stay. Returns when there is none.
pub(crate) fn end_family(spared: &[libc::pid_t]) {
    let own = own();
    loop {
        let family = Family::read(spared);
        family.below(own).into_iter().for_each(|process| family.signal(process, libc::SIGKILL));
        let children = family.children(own);
        if children.is_empty() {
            return;
        }
        for child in children {
            // SAFETY: waits for a child of this process, which is being ended; no status is asked for.
            unsafe { libc::waitpid(child, std::ptr::null_mut(), libc::__WALL) };
        }
    }
}

fn own() -> libc::pid_t {
    // SAFETY: asks for the process's own id.
    unsafe { libc::getpid() }
}

/// kill(2) with -1: everyone that this process may signal, but itself.
fn everyone(signal: libc::c_int) {
    // SAFETY: callers are bounded by the kernel, so that nobody outside the sandbox is reached.
    unsafe { libc::kill(-1, signal) };
}

/// Who is whose child, at one moment.
#[derive(Debug, Default)]
struct Family {
    children: BTreeMap<libc::pid_t, Vec<libc::pid_t>>,
    /// When each was started: with its number, that tells a process from all others.
    started: BTreeMap<libc::pid_t, u64>,
}

impl Family {
    fn read(spared: &[libc::pid_t]) -> Self {
        let mut family = Self::default();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if let Some((parent, started)) = look(process).filter(|_| !spared.contains(&process)) {
                family.children.entry(parent).or_default().push(process);
                family.started.insert(process, started);
            }
        }
        family
    }

    fn children(&self, of: libc::pid_t) -> Vec<libc::pid_t> {
        self.children.get(&of).cloned().unwrap_or_default()
    }

    /// Every process below `root`, parents first.
    fn below(&self, root: libc::pid_t) -> Vec<libc::pid_t> {
        let mut found = Vec::new();
        let mut open = vec![root];
        while let Some(process) = open.pop() {
            let next = self.children(process);
            found.extend(&next);
            open.extend(next);
        }
        found
    }

    /// Sends a signal to the very process that was seen.
    fn signal(&self, process: libc::pid_t, signal: libc::c_int) {
        let Ok(handle) = pidfd_open(process, 0) else { return };
        // The number may have been given away since: what the descriptor names must be what was seen.
        if look(process).map(|(_, started)| started) == self.started.get(&process).copied() {
            let handle = handle.as_raw_fd();
            let none = std::ptr::null::<libc::siginfo_t>();
            // SAFETY: a descriptor that is open, and no further information.
            unsafe { libc::syscall(libc::SYS_pidfd_send_signal, handle, signal, none, 0) };
        }
    }
}

/// The parent of a process, and when it was started (proc_pid_stat(5)).
fn look(process: libc::pid_t) -> Option<(libc::pid_t, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    // Fields 4 and 22 of the file; the one after the parent is field 5.
    Some((parent, fields.nth(17)?.parse().ok()?))
}
