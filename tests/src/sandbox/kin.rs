//! The processes of one run: found by a mark in their arguments or environment, and by whose children they are. Ended by handle, so that
//! no other process is ever meant.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The variable that carries the mark to processes whose arguments do not hold it.
pub const VARIABLE: &str = "WEIR_TEST_MARK";

/// A process, told from all others by when it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its number.
    pub pid: i32,
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
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
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
#[must_use]
pub fn living(mark: &str, known: &BTreeSet<Process>) -> BTreeSet<Process> {
    let all = all().into_iter().map(|(process, _)| process);
    all.filter(|process| known.contains(process) || bears(process.pid, mark)).collect()
}

/// A process and all that descends from it.
#[must_use]
pub fn family(root: i32) -> BTreeSet<Process> {
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
#[must_use]
pub fn children(of: i32) -> Vec<Process> {
    let mut found: Vec<Process> =
        all().into_iter().filter(|(_, parent)| *parent == of).map(|(one, _)| one).collect();
    found.sort_by_key(|one| (one.started, one.pid));
    found
}

/// What a process was started as; empty where that cannot be seen.
#[must_use]
pub fn arguments(pid: i32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).replace('\0', " ")
}

/// What a process is and waits for, for whoever asks why it is still there.
#[must_use]
pub fn account(pid: i32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let wanted = ["State:", "PPid:", "NSpid:", "SigPnd:", "ShdPnd:", "SigBlk:"];
    let lines = status.lines().filter(|line| wanted.iter().any(|name| line.starts_with(name)));
    let lines: Vec<_> = lines.map(|line| line.replace('\t', " ")).collect();
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let waits: Vec<_> =
        ["wchan", "syscall", "stack"].map(read).iter().map(|text| text.trim().replace('\n', ", ")).collect();
    format!("{pid} ({}; {}; {})", arguments(pid), lines.join(", "), waits.join("; "))
}

/// Whether a process is the first of a PID namespace.
#[must_use]
pub fn has_own_pids(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    numbers.is_some_and(|numbers| numbers.split_whitespace().skip(1).last() == Some("1"))
}

fn handle(process: Process) -> Option<OwnedFd> {
    let handle = pidfd_open(Pid::from_raw(process.pid)?, PidfdFlags::empty()).ok()?;
    // The number may have been given away since it was seen.
    (stat(process.pid)?.started == process.started).then_some(handle)
}

/// Ends exactly this process.
pub fn kill(process: Process) {
    if let Some(handle) = handle(process) {
        let _ = pidfd_send_signal(handle, Signal::KILL);
    }
}

/// Waits for the end of all of these, for at most so many ticks of a millisecond; how many passed. Time in which nobody was served, for
/// the machine had other work, is no tick.
#[must_use]
pub fn wait_for_ends(processes: &BTreeSet<Process>, most_ticks: u32) -> u32 {
    const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    let mut handles: Vec<OwnedFd> = processes.iter().copied().filter_map(handle).collect();
    let mut ticks = 0;
    while !handles.is_empty() && ticks < most_ticks {
        let mut entries: Vec<PollFd<'_>> =
            handles.iter().map(|handle| PollFd::new(handle, PollFlags::IN)).collect();
        let ready = poll(&mut entries, Some(&TICK)).unwrap_or(0);
        ticks += u32::from(ready == 0);
        let lives: Vec<bool> = entries.iter().map(|entry| entry.revents().is_empty()).collect();
        let mut lives = lives.into_iter();
        handles.retain(|_| lives.next() == Some(true));
    }
    ticks
}
