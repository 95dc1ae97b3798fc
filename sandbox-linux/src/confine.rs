//! Confining a part of Weir itself: what reads the bytes of clients may do no more than its work takes.
//!
//! A user's command never passes through here; it is held by a plan. This is defence in depth for Weir's own processes, which
//! have no privilege to begin with: whoever takes one over gains a process that can open nothing, start nothing and reach
//! nobody but those whose sockets it already holds and, as server part, whom anybody reaches by TCP and UDP. [`filter`] and [`Wall::of`] are pure; [`enter`] restricts the calling
//! thread, so it is called while there is no other, and what it does is never undone.

use std::io;
use std::os::fd::BorrowedFd;

use crate::bpf::{Action, Arch, Errno, Half, Program, ProgramError, SeccompData};
use crate::compile::landlock::{
    ABI_KNOWN, CONNECT_TCP, READ_DIR, READ_FILE, WRITE_FILE, known_fs, known_net, known_scopes,
};
use crate::host::Host;
use crate::seccomp::tree::{self, Range, X32_BIT};
use crate::seccomp::{CALLS, Call, Case, Condition, FOREIGN, Rule, UNKNOWN, Verdict, X32, by_number};
use crate::sys::confine as sys;

/// A part of Weir.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// Carries bytes between sockets and pipes that it is given, keeps them in files without a name, and makes the connections
    /// that the network gate lets through.
    Server,
    /// Reads files, and answers on one socket.
    Resolver,
}

/// What is known of the calls that a part does not make.
const REFUSED: Action = Action::Errno(Errno::EPERM);

/// `__O_TMPFILE` (`asm-generic/fcntl.h`; the same on both architectures): a file without a name.
const O_TMPFILE: u32 = 0o20_000_000;

/// `O_ACCMODE | O_CREAT | O_TRUNC`: without them a file is opened for reading.
const O_CHANGES: u32 = 0o3 | 0o100 | 0o1000;

/// `PROT_EXEC` (mmap(2)).
const PROT_EXEC: u32 = 4;

/// Requests of ioctl(2) on what a part holds: blocking, bytes that wait to be read and to be sent, and a terminal's attributes and size
/// (`asm-generic/ioctls.h`).
const REQUESTS: [u32; 6] = [0x5421, 0x541b, 0x5411, 0x5401, 0x5413, 0x5414];

/// Memory, time, signals to itself, descriptors that are there already.
const OF_EVERY_PART: [&str; 58] = [
    "brk",
    "clock_getres",
    "clock_gettime",
    "clock_nanosleep",
    "close",
    "dup",
    "dup3",
    "exit",
    "exit_group",
    "fcntl",
    "fstat",
    "futex",
    "getcpu",
    "getegid",
    "geteuid",
    "getgid",
    "getpeername",
    "getpid",
    "getppid",
    "getrandom",
    "getresgid",
    "getresuid",
    "getrusage",
    "getsockname",
    "getsockopt",
    "gettid",
    "gettimeofday",
    "getuid",
    "lseek",
    "madvise",
    "mremap",
    "munmap",
    "nanosleep",
    "poll",
    "ppoll",
    "pread64",
    "pselect6",
    "read",
    "readv",
    "recvfrom",
    "recvmsg",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_yield",
    "select",
    "sendmsg",
    "sendto",
    "set_robust_list",
    "shutdown",
    "sigaltstack",
    "time",
    "uname",
    "write",
    "writev",
];

/// Waiting for many, pipes for a command's streams, files without a name, a store that is open already, and the network gate: what it
/// accepts, and what it connects to.
const OF_THE_SERVER: [&str; 20] = [
    "accept4",
    "bind",
    "connect",
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "eventfd2",
    "fadvise64",
    "fallocate",
    "fdatasync",
    "fsync",
    "ftruncate",
    "pipe",
    "pipe2",
    "pwrite64",
    "pwritev",
    "setsockopt",
    "splice",
];

/// Looking at files.
const OF_THE_RESOLVER: [&str; 17] = [
    "access",
    "faccessat",
    "faccessat2",
    "fstatfs",
    "getcwd",
    "getdents64",
    "getgroups",
    "getxattr",
    "lstat",
    "newfstatat",
    "prlimit64",
    "readlink",
    "readlinkat",
    "stat",
    "statfs",
    "statx",
    "sysinfo",
];

impl Part {
    /// What the filter does with a call.
    fn judges(self, call: &Call) -> Verdict {
        let own: &[&str] = match self {
            Self::Server => &OF_THE_SERVER,
            Self::Resolver => &OF_THE_RESOLVER,
        };
        match (call.name, self) {
            ("mmap" | "mprotect", _) => allowed_where(2, PROT_EXEC, 0),
            ("ioctl", _) => Verdict::ByArguments(Rule {
                cases: REQUESTS.map(|request| case(1, u32::MAX, request)).into(),
                otherwise: REFUSED,
            }),
            ("socket", Self::Server) => Verdict::ByArguments(sockets()),
            ("openat", Self::Server) => allowed_where(2, O_TMPFILE, O_TMPFILE),
            ("openat", Self::Resolver) => allowed_where(2, O_CHANGES | O_TMPFILE, 0),
            ("open", Self::Resolver) => allowed_where(1, O_CHANGES | O_TMPFILE, 0),
            (name, _) if OF_EVERY_PART.contains(&name) || own.contains(&name) => {
                Verdict::Always(Action::Allow)
            }
            _ => Verdict::Always(REFUSED),
        }
    }
}

/// TCP and UDP, of both versions of the Internet's protocol: families, kinds and protocols of socket(2).
fn sockets() -> Rule {
    let (families, kind) = ([2, 10], 0xf);
    let kinds = [[1, 0], [1, 6], [2, 0], [2, 17]];
    let allowed =
        families.into_iter().flat_map(|family| kinds.map(|[value, protocol]| [family, value, protocol]));
    let cases = allowed.map(|[family, value, protocol]| Case {
        when: vec![
            condition(0, u32::MAX, family),
            condition(1, kind, value),
            condition(2, u32::MAX, protocol),
        ],
        then: Action::Allow,
    });
    Rule { cases: cases.collect(), otherwise: REFUSED }
}

const fn condition(argument: u8, mask: u32, value: u32) -> Condition {
    Condition { offset: SeccompData::arg(argument, Half::Low), mask, value }
}

fn case(argument: u8, mask: u32, value: u32) -> Case {
    Case { when: vec![condition(argument, mask, value)], then: Action::Allow }
}

fn allowed_where(argument: u8, mask: u32, value: u32) -> Verdict {
    Verdict::ByArguments(Rule { cases: vec![case(argument, mask, value)], otherwise: REFUSED })
}

/// Compiles a part's filter: an allow-list of names. What is no call of the table answers as on a kernel without it.
///
/// # Errors
/// A defect of the compiler itself; a test compiles every part.
pub fn filter(part: Part, arch: Arch) -> Result<Program, ProgramError> {
    let mut calls: Vec<(u32, Verdict)> =
        CALLS.iter().filter_map(|call| Some((u32::from(call.number(arch)?), part.judges(call)))).collect();
    calls.sort_by_key(|(number, _)| *number);
    let mut ranges: Vec<Range> = Vec::new();
    let mut extend = |start, verdict: Verdict| {
        if ranges.last().is_none_or(|last| last.verdict != verdict) {
            ranges.push(Range { start, verdict });
        }
    };
    let mut next = 0;
    for (number, verdict) in calls {
        if number > next {
            extend(next, Verdict::Always(UNKNOWN));
        }
        extend(number, verdict);
        next = number + 1;
    }
    extend(next, Verdict::Always(UNKNOWN));
    tree::program(arch, &ranges, FOREIGN, X32)
}

/// The action for one call, in plain code: the meaning that the compiled filter must have.
#[must_use]
pub fn verdict(part: Part, arch: Arch, data: &SeccompData) -> Action {
    if data.arch != arch.audit() {
        return FOREIGN;
    }
    if arch == Arch::X86_64 && data.nr >= X32_BIT {
        return X32;
    }
    match by_number(arch, data.nr).map(|call| part.judges(call)) {
        None => UNKNOWN,
        Some(Verdict::Always(action)) => action,
        Some(Verdict::ByArguments(rule)) => rule.decide(data),
    }
}

/// What Landlock holds of a part (landlock(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wall {
    /// Rights on files that are refused where no rule grants them.
    pub handled_fs: u64,
    /// Rights on TCP ports that are refused. The server part connects: it is the network gate.
    pub handled_net: u64,
    /// Abstract sockets and signals that stay inside.
    pub scoped: u64,
    /// Rights on the place for files without a name. No right to make a name is among them, so none ever gets one.
    pub place: u64,
}

impl Wall {
    /// The wall for a part on a kernel with this ABI; none without Landlock.
    #[must_use]
    pub const fn of(part: Part, abi: u32) -> Option<Self> {
        if abi == 0 {
            return None;
        }
        let abi = if abi < ABI_KNOWN { abi } else { ABI_KNOWN };
        let (handled_fs, handled_net, place) = match part {
            Part::Server => (known_fs(abi), known_net(abi) & !CONNECT_TCP, READ_FILE | WRITE_FILE),
            Part::Resolver => (known_fs(abi) & !(READ_FILE | READ_DIR), known_net(abi), 0),
        };
        Some(Self { handled_fs, handled_net, scoped: known_scopes(abi), place })
    }
}

/// Why a part could not be confined. It must not go on then.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// Weir makes no filters for this processor.
    #[error("no filter of system calls is known for this processor")]
    Processor,
    /// The filter could not be compiled.
    #[error("the filter of system calls could not be compiled: {0}")]
    Filter(#[from] ProgramError),
    /// The kernel refused a step.
    #[error("{step}: {source}")]
    Step {
        /// What was tried.
        step: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// Whether Landlock holds as well.
#[derive(Debug)]
pub enum Landlock {
    /// It does.
    Holds,
    /// The kernel has none to offer, or refused it; the filter alone holds.
    Absent(Option<io::Error>),
}

/// Confines the calling thread, for good: no-new-privs, Landlock where the host has one, the filter. `place` is the directory
/// for files without a name.
///
/// # Errors
/// [`ConfineError`].
pub fn enter(part: Part, host: &Host, place: Option<BorrowedFd<'_>>) -> Result<Landlock, ConfineError> {
    let program = filter(part, host.arch.ok_or(ConfineError::Processor)?)?;
    let failed = |step| move |source| ConfineError::Step { step, source };
    sys::no_new_privileges().map_err(failed("no-new-privs"))?;
    let landlock = match Wall::of(part, host.landlock.abi).map(|wall| sys::restrict(&wall, place)) {
        None => Landlock::Absent(None),
        Some(Err(error)) => Landlock::Absent(Some(error)),
        Some(Ok(())) => Landlock::Holds,
    };
    sys::filter(program.insns()).map_err(failed("seccomp"))?;
    Ok(landlock)
}

#[cfg(test)]
mod tests;
