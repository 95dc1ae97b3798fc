//! Ending what a process has started, where no PID namespace ends it: in one call, where Landlock bounds whom that reaches; else one by
//! one, found through /proc and reached through descriptors, so that a number that was given to another process in between is
//! never hit. Never signals anything that does not descend from the process that is named. Called by the first process, the launcher, and
//! whoever ends what those have left.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

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
        Bound::Absent => drop(end_below(own(), &[], None)),
    }
}

/// Ends every process that descends from this one, and reaps those that are this process's children; those `spared` and what descends from
/// them stay. Waits until nothing is left, or until this moment; who is left then. What waits for a file system that does not answer
/// ends when the kernel lets it, and whoever waits for that waits for ever.
pub(crate) fn end_below(
    root: libc::pid_t,
    spared: &[libc::pid_t],
    until: Option<Instant>,
) -> Vec<libc::pid_t> {
    let mut struck = BTreeSet::new();
    loop {
        let family = Family::read(spared);
        let all = family.below(root);
        let has_new = family.strike(&all, &mut struck);
        for child in family.children(own()).into_iter().filter(|child| all.contains(child)) {
            // SAFETY: a child of this process, if any; no status is asked for.
            unsafe { libc::waitpid(child, std::ptr::null_mut(), libc::__WALL | libc::WNOHANG) };
        }
        let is_over = until.is_some_and(|until| until <= Instant::now());
        if !is_over && has_new {
            // One that was not seen yet may have started more; one that was struck starts nothing.
            continue;
        }
        let living: Vec<_> = all.into_iter().filter(|process| !family.dead.contains(process)).collect();
        if living.is_empty() || is_over {
            return living;
        }
        wait_for_one(&living, until);
    }
}

/// Time in which a first process ends by itself once the launcher is gone, where the kernel can end it.
const GOES: Duration = Duration::from_millis(20);

/// Longest wait for the end of all others. Each has been struck long before; this is for those that come to be meanwhile.
const STRIKES: Duration = Duration::from_secs(10);

/// Longest time in which who waits for nobody looks for what came to be meanwhile.
const PASSES: Duration = Duration::from_millis(50);

/// Ends what is below a first process whose launcher is gone, where that does not go by itself.
pub(crate) fn finish(first: BorrowedFd<'_>, number: libc::pid_t) {
    let now = Instant::now();
    if !has_ended(&[first], Some(now + GOES)) {
        // The number is the first process's while that is not reaped, and it has not even ended.
        end_below(number, &[], Some(now + STRIKES));
    }
}

/// Strikes whatever is below those children of this process that are not `known` and run the same program: they came from somebody who is gone.
/// Waits for none of them.
pub(crate) fn strike_below_orphans(known: &[libc::pid_t]) {
    let name = |process| look(process).map(|seen| seen.name);
    let orphans = Family::read(known).children(own());
    let until = Instant::now() + PASSES;
    for orphan in orphans.into_iter().filter(|orphan| name(*orphan) == name(own())) {
        let mut struck = BTreeSet::new();
        loop {
            let family = Family::read(&[]);
            // One that was not seen yet may have started more.
            if !family.strike(&family.below(orphan), &mut struck) || until <= Instant::now() {
                break;
            }
        }
    }
}

/// Most processes whose end is waited for at once: each takes a descriptor.
const MAX_WATCHED: usize = 8;

/// Waits for the end of one of the first of these. Returns at once where one cannot be watched, for it may have ended.
fn wait_for_one(processes: &[libc::pid_t], until: Option<Instant>) {
    let watched = processes.iter().take(MAX_WATCHED).map(|one| pidfd_open(*one, 0));
    if let Ok(handles) = watched.collect::<Result<Vec<_>, _>>() {
        has_ended(&handles, until);
    }
}

/// Whether one of these processes has ended, or does before this moment.
pub(crate) fn has_ended(handles: &[impl AsFd], until: Option<Instant>) -> bool {
    let watched = |handle: &_| libc::pollfd { fd: fd_of(handle), events: libc::POLLIN, revents: 0 };
    let mut watched: Vec<libc::pollfd> = handles.iter().map(watched).collect();
    let count = libc::nfds_t::try_from(watched.len()).unwrap_or(0);
    loop {
        let left =
            until.map(|until| until.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000));
        let left = left.map_or(-1, |left_ms| libc::c_int::try_from(left_ms).unwrap_or(libc::c_int::MAX));
        // SAFETY: that many valid entries.
        let ready = unsafe { libc::poll(watched.as_mut_ptr(), count, left) };
        if ready >= 0 || errno() != libc::EINTR {
            return ready > 0;
        }
    }
}

/// A descriptor of the process with this number, where that is a child of this process's parent and not reaped.
pub(crate) fn sibling(process: libc::pid_t) -> Option<OwnedFd> {
    let handle = pidfd_open(process, 0).ok()?;
    // SAFETY: asks for the id of the process's parent.
    let parent = unsafe { libc::getppid() };
    // The number may be another's by now; what has it now is what the descriptor names, or that has been reaped.
    (look(process)?.parent == parent).then_some(handle)
}

fn fd_of(handle: &impl AsFd) -> libc::c_int {
    handle.as_fd().as_raw_fd()
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
    /// Those that have ended and are not reaped.
    dead: BTreeSet<libc::pid_t>,
}

/// What is known of one process.
struct Seen {
    /// The beginning of its program's file name.
    name: String,
    parent: libc::pid_t,
    started: u64,
    is_dead: bool,
}

impl Family {
    fn read(spared: &[libc::pid_t]) -> Self {
        let mut family = Self::default();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if let Some(seen) = look(process).filter(|_| !spared.contains(&process)) {
                family.children.entry(seen.parent).or_default().push(process);
                family.started.insert(process, seen.started);
                if seen.is_dead {
                    family.dead.insert(process);
                }
            }
        }
        family
    }

    fn children(&self, of: libc::pid_t) -> Vec<libc::pid_t> {
        self.children.get(&of).cloned().unwrap_or_default()
    }

    fn started(&self, process: libc::pid_t) -> Option<u64> {
        self.started.get(&process).copied()
    }

    /// Ends these, but for those that were `struck` before; whether there was one. Of `struck` those are left that are here.
    fn strike(&self, all: &[libc::pid_t], struck: &mut BTreeSet<(libc::pid_t, Option<u64>)>) -> bool {
        let known = std::mem::take(struck);
        for process in all {
            let one = (*process, self.started(*process));
            if !known.contains(&one) {
                self.signal(*process, libc::SIGKILL);
            }
            struck.insert(one);
        }
        !struck.is_subset(&known)
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
        if look(process).map(|seen| seen.started) == self.started(process) {
            let handle = handle.as_raw_fd();
            let none = std::ptr::null::<libc::siginfo_t>();
            // SAFETY: a descriptor that is open, and no further information.
            unsafe { libc::syscall(libc::SYS_pidfd_send_signal, handle, signal, none, 0) };
        }
    }
}

/// What proc_pid_stat(5) tells of a process.
fn look(process: libc::pid_t) -> Option<Seen> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (name, fields) = stat.rsplit_once(')')?;
    let name = name.split_once('(')?.1.to_owned();
    let mut fields = fields.split_whitespace();
    let is_dead = matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    // Fields 4 and 22 of the file; the one after the parent is field 5.
    Some(Seen { name, parent, started: fields.nth(17)?.parse().ok()?, is_dead })
}
