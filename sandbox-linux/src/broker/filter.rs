//! The filter that hands calls to the broker. Stacked on the strict one of [`crate::seccomp`], which it never widens: the
//! kernel takes the strictest answer.
//!
//! Called by `compile`; installed by [`super::hand_over`].

use super::watched::{AT_EMPTY_PATH, O_PATH, is_watched};
use crate::bpf::{Action, Arch, Errno, Half, Program, ProgramError, SeccompData};
use crate::seccomp::tree::{self, Range, X32_BIT};
use crate::seccomp::{self, CALLS, Case, Condition, FOREIGN, Rule, Verdict, X32};

/// What is handed to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traps {
    /// Calls that can bring a name into being.
    pub names: bool,
    /// Calls that connect a unix socket to a path.
    pub unix_connect: bool,
    /// Every call that opens, changes or removes what a path names; those that bring names into being with them.
    pub opens: bool,
    /// With `opens`: not the openings that can only read a file.
    pub reads_alone: bool,
    /// Calls that are recorded and go on: looks, changes of attributes, executions, listening. Set where a run is recorded, and nowhere else.
    pub looks: bool,
}

impl Traps {
    fn is_naming(&self) -> bool {
        self.names || self.opens
    }

    fn is_any(&self) -> bool {
        self.is_naming() || self.unix_connect || self.looks
    }
}

/// Calls that always bring a name into being; opening does so by its flags.
const NAMES: [&str; 13] = [
    "creat",
    "mkdir",
    "mkdirat",
    "mknod",
    "mknodat",
    "symlink",
    "symlinkat",
    "link",
    "linkat",
    "rename",
    "renameat",
    "renameat2",
    "bind",
];

/// Calls that change or remove what a path names, opening aside.
const CHANGES: [&str; 4] = ["truncate", "unlink", "unlinkat", "rmdir"];

const O_ACCMODE: u32 = 0o3;
const O_CREAT: u32 = 0o100;
const O_TRUNC: u32 = 0o1_000;
/// `__O_TMPFILE`.
const O_UNNAMED: u32 = 0o20_000_000;
/// `O_DIRECTORY` of both architectures: on each the other's bit is `O_DIRECT`, which may be trapped as well.
const O_DIRECTORY: u32 = 0o200_000 | 0o40_000;
const PR_SET_DUMPABLE: u32 = 4;
const AF_UNIX: u32 = 1;
const SOCK_TYPE: u32 = 0xf;
const SOCK_DGRAM: u32 = 2;
/// A unix socket of this type is a datagram socket (`unix_create`).
const SOCK_RAW: u32 = 3;

/// Requests of ioctl(2) that make a name: subvolumes and snapshots of btrfs (`linux/btrfs.h`) and bcachefs, and reflinks of
/// ocfs2 (`ocfs2_ioctl.h`). The numbers are the same on both architectures.
const NAMING_IOCTLS: [u32; 6] = [
    0x5000_9401, // BTRFS_IOC_SNAP_CREATE
    0x5000_940e, // BTRFS_IOC_SUBVOL_CREATE
    0x5000_9417, // BTRFS_IOC_SNAP_CREATE_V2
    0x5000_9418, // BTRFS_IOC_SUBVOL_CREATE_V2
    0x4020_bc10, // BCH_IOCTL_SUBVOLUME_CREATE
    0x4018_6f04, // OCFS2_IOC_REFLINK
];

/// Compiles the filter.
///
/// # Errors
/// A defect of the compiler itself; every combination of traps is compiled by a test.
pub fn filter(traps: &Traps, arch: Arch) -> Result<Program, ProgramError> {
    tree::program(arch, &ranges(traps, arch), FOREIGN, X32)
}

/// The action for one call, in plain code: the meaning that the compiled program must have.
#[must_use]
pub fn verdict(traps: &Traps, arch: Arch, data: &SeccompData) -> Action {
    if data.arch != arch.audit() {
        return FOREIGN;
    }
    if arch == Arch::X86_64 && data.nr >= X32_BIT {
        return X32;
    }
    match seccomp::by_number(arch, data.nr).map(|call| of_call(traps, call.name)) {
        None => Action::Allow,
        Some(Verdict::Always(action)) => action,
        Some(Verdict::ByArguments(rule)) => rule.decide(data),
    }
}

fn low(index: u8, mask: u32, value: u32) -> Condition {
    Condition { offset: SeccompData::arg(index, Half::Low), mask, value }
}

fn of_call(traps: &Traps, name: &str) -> Verdict {
    let refuse = |errno| Verdict::Always(Action::Errno(errno));
    if let (true, Some(flags)) = (traps.looks, is_watched(name)) {
        return watching(flags);
    }
    match name {
        "open" | "openat" if traps.looks && traps.opens => Verdict::Always(Action::Notify),
        "bind" if traps.unix_connect => Verdict::Always(Action::Notify),
        name if traps.is_naming() && NAMES.contains(&name) => Verdict::Always(Action::Notify),
        name if traps.opens && CHANGES.contains(&name) => Verdict::Always(Action::Notify),
        "open" if traps.opens && traps.reads_alone => opening_more_than_a_file_to_read(1),
        "openat" if traps.opens && traps.reads_alone => opening_more_than_a_file_to_read(2),
        "open" if traps.opens => opening_more_than_a_place(1),
        "openat" if traps.opens => opening_more_than_a_place(2),
        "open" if traps.names => opening(1),
        "openat" if traps.names => opening(2),
        // Their arguments lie in memory, where a filter cannot look.
        "openat2" if traps.is_naming() => refuse(Errno::ENOSYS),
        "io_uring_setup" if traps.is_any() => refuse(Errno::ENOSYS),
        // The broker acts under its own domain: one that a caller puts on itself would not hold for what it does.
        "landlock_create_ruleset" if traps.is_any() => refuse(Errno::EOPNOTSUPP),
        "ioctl" if traps.is_naming() => naming_requests(),
        // The broker reads its callers' memory.
        "prctl" if traps.is_any() => {
            let when = vec![low(0, u32::MAX, PR_SET_DUMPABLE), low(1, u32::MAX, 0)];
            by_arguments(vec![Case { when, then: Action::Errno(Errno::EPERM) }])
        }
        "connect" if traps.unix_connect => Verdict::Always(Action::Notify),
        "socket" | "socketpair" if traps.unix_connect => no_datagrams(),
        _ => Verdict::Always(Action::Allow),
    }
}

fn by_arguments(cases: Vec<Case>) -> Verdict {
    Verdict::ByArguments(Rule { cases, otherwise: Action::Allow })
}

/// open(2) and openat(2), `flags` being argument `index`: `O_PATH` voids `O_CREAT`.
fn opening(index: u8) -> Verdict {
    by_arguments(vec![Case { when: vec![low(index, O_CREAT | O_PATH, O_CREAT)], then: Action::Notify }])
}

/// Opening with `O_PATH` reads nothing, and whatever is done with the place that needs more is a call that is trapped.
fn opening_more_than_a_place(index: u8) -> Verdict {
    by_arguments(vec![Case { when: vec![low(index, O_PATH, 0)], then: Action::Notify }])
}

/// Opening that can only read, and asks for no directory, which only init may list where something is closed in it.
fn opening_more_than_a_file_to_read(index: u8) -> Verdict {
    let none_of = |flags| Case { when: vec![low(index, flags, 0)], then: Action::Allow };
    let place = Case { when: vec![low(index, O_PATH, O_PATH)], then: Action::Allow };
    let more = O_ACCMODE | O_CREAT | O_TRUNC | O_UNNAMED | O_DIRECTORY;
    Verdict::ByArguments(Rule { cases: vec![place, none_of(more)], otherwise: Action::Notify })
}

/// A call that is watched; where argument `flags` says `AT_EMPTY_PATH` it speaks of a descriptor.
fn watching(flags: Option<u8>) -> Verdict {
    let descriptor =
        |index| Case { when: vec![low(index, AT_EMPTY_PATH, AT_EMPTY_PATH)], then: Action::Allow };
    let cases: Vec<Case> = flags.map(descriptor).into_iter().collect();
    if cases.is_empty() {
        return Verdict::Always(Action::Notify);
    }
    Verdict::ByArguments(Rule { cases, otherwise: Action::Notify })
}

fn naming_requests() -> Verdict {
    let refuse = |request| Case { when: vec![low(1, u32::MAX, request)], then: Action::Errno(Errno::ENOTTY) };
    by_arguments(NAMING_IOCTLS.into_iter().map(refuse).collect())
}

/// A unix datagram socket, even one of a pair, sends to any path without being connected; where to lies in memory.
fn no_datagrams() -> Verdict {
    let refuse = |kind| Case {
        when: vec![low(0, u32::MAX, AF_UNIX), low(1, SOCK_TYPE, kind)],
        then: Action::Errno(Errno::EPROTONOSUPPORT),
    };
    by_arguments([SOCK_DGRAM, SOCK_RAW].into_iter().map(refuse).collect())
}

/// Maximal runs of numbers with the same verdict.
fn ranges(traps: &Traps, arch: Arch) -> Vec<Range> {
    let mut calls: Vec<(u32, Verdict)> = CALLS
        .iter()
        .filter_map(|call| Some((u32::from(call.number(arch)?), of_call(traps, call.name))))
        .filter(|(_, verdict)| *verdict != Verdict::Always(Action::Allow))
        .collect();
    calls.sort_by_key(|&(number, _)| number);
    let mut ranges = Vec::new();
    let mut next = 0;
    for (number, verdict) in calls {
        if number > next {
            extend(&mut ranges, next, Verdict::Always(Action::Allow));
        }
        extend(&mut ranges, number, verdict);
        next = number + 1;
    }
    extend(&mut ranges, next, Verdict::Always(Action::Allow));
    ranges
}

fn extend(ranges: &mut Vec<Range>, start: u32, verdict: Verdict) {
    if ranges.last().is_none_or(|last| last.verdict != verdict) {
        ranges.push(Range { start, verdict });
    }
}

#[cfg(test)]
mod tests;
