//! The processes of one run: found by a mark in their arguments or environment, and by whose children they are.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

/// The variable that carries the mark to processes whose arguments do not hold it.
pub(crate) const VARIABLE: &str = "WEIR_TEST_MARK";

/// A process, told from all others by when it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    started: u64,
}

/// What `/proc/PID/stat` says.
struct Stat {
    parent: i32,
    started: u64,
    is_dead: bool,
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
        is_dead: matches!(*fields.first()?, "Z" | "X"),
    })
}

/// Every process that lives, with its parent.
fn all() -> Vec<(Process, i32)> {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| {
        let found = stat(pid)?;
        (!found.is_dead).then_some((Process { pid, started: found.started }, found.parent))
    })
    .collect()
}

fn bears(pid: i32, mark: &str) -> bool {
    let holds = |file: &str| {
        let content = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        content.windows(mark.len()).any(|window| window == mark.as_bytes())
    };
    holds("cmdline") || holds("environ")
}

/// What lives of a run: whatever bears its mark, and of those known before who is still there.
pub(crate) fn living(mark: &str, known: &BTreeSet<Process>) -> BTreeSet<Process> {
    let all = all().into_iter().map(|(process, _)| process);
    all.filter(|process| known.contains(process) || bears(process.pid, mark)).collect()
}

/// A process and all that descends from it.
pub(crate) fn family(root: i32) -> BTreeSet<Process> {
    let all = all();
    let mut found: BTreeSet<Process> =
        all.iter().map(|(one, _)| *one).filter(|one| one.pid == root).collect();
    loop {
        let pids: BTreeSet<i32> = found.iter().map(|one| one.pid).collect();
        let before = found.len();
        found.extend(all.iter().filter(|(_, parent)| pids.contains(parent)).map(|(one, _)| *one));
        if found.len() == before {
            return found;
        }
    }
}

/// The children of a process that live, the oldest first.
pub(crate) fn children(of: i32) -> Vec<Process> {
    let mut found: Vec<Process> =
        all().into_iter().filter(|(_, parent)| *parent == of).map(|(one, _)| one).collect();
    found.sort_by_key(|one| (one.started, one.pid));
    found
}

/// What a process was started as; empty where that cannot be seen.
pub(crate) fn arguments(pid: i32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).replace('\0', " ")
}

/// Whether a process is the first of a PID namespace.
pub(crate) fn has_own_pids(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    numbers.is_some_and(|numbers| numbers.split_whitespace().skip(1).last() == Some("1"))
}

fn handle(process: Process) -> Option<OwnedFd> {
    // SAFETY: makes a descriptor.
    let handle = unsafe { libc::syscall(libc::SYS_pidfd_open, process.pid, 0) };
    let handle = i32::try_from(handle).ok().filter(|handle| *handle >= 0)?;
    // SAFETY: the kernel just made it.
    let handle = unsafe { OwnedFd::from_raw_fd(handle) };
    // The number may have been given away since it was seen.
    (stat(process.pid)?.started == process.started).then_some(handle)
}

/// Ends exactly this process.
pub(crate) fn kill(process: Process) {
    let Some(handle) = handle(process) else { return };
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a descriptor that is open, and no further information.
    unsafe { libc::syscall(libc::SYS_pidfd_send_signal, handle.as_raw_fd(), libc::SIGKILL, none, 0) };
}

/// Waits for the end of all of these, for at most so many ticks of a millisecond; how many passed. Time in which nobody was served, for
/// the machine had other work, is no tick.
pub(crate) fn wait_for_ends(processes: &BTreeSet<Process>, most_ticks: u32) -> u32 {
    let mut handles: Vec<OwnedFd> = processes.iter().copied().filter_map(handle).collect();
    let mut ticks = 0;
    while !handles.is_empty() && ticks < most_ticks {
        let watched =
            |handle: &OwnedFd| libc::pollfd { fd: handle.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let mut entries: Vec<libc::pollfd> = handles.iter().map(watched).collect();
        let count = libc::nfds_t::try_from(entries.len()).unwrap_or(0);
        // SAFETY: as many valid entries.
        let ready = unsafe { libc::poll(entries.as_mut_ptr(), count, 1) };
        ticks += u32::from(ready == 0);
        let mut lives = entries.iter().map(|entry| entry.revents == 0);
        handles.retain(|_| lives.next() == Some(true));
    }
    ticks
}
