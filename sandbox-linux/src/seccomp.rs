//! The system call filter: what a sandbox needs, compiled into a program for one architecture.
//!
//! Pure: `(Needs, Arch) -> Program`, the same bytes for the same input; nothing here asks the machine. The filter is an
//! allow-list of numbers: a number without a row in [`CALLS`] answers ENOSYS, as on a kernel that does not have the call
//! yet. Each class of refused calls has its error and its reason in [`Class`]. [`verdict`] says the same in plain code; the
//! program is tested against it.
//!
//! **What a filter cannot hold**, and what holds it: anything behind a pointer (paths: Landlock and mounts; netlink requests:
//! no capabilities; `clone3` flags: refused whole; `openat2`), requests made through io_uring (refused, see
//! [`Needs::unfiltered`]), processes as targets of signals (PID namespace, Landlock scope), files given set-user-ID bits.
//!
//! Called by `compile`. Installed by `enter`, after no-new-privs, with `SECCOMP_FILTER_FLAG_LOG`, so that refusals can be
//! logged by a kernel whose `actions_logged` names `errno`. A process inside may stack further filters, with or without
//! a listener: the kernel takes the strictest answer of all, so none can widen this one.

mod call;
mod class;
mod rule;
mod summary;
pub(crate) mod tree;

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

pub use call::{CALLS, Call, by_name, by_number};
pub use class::{Class, Verdict};
pub use rule::{Case, Condition, Rule};
pub use summary::summary;

use crate::bpf::{Action, Arch, Errno, Program, ProgramError, SeccompData};
use tree::{Range, X32_BIT};

/// The answer to a number that has no row.
pub const UNKNOWN: Action = Action::Errno(Errno::ENOSYS);

/// The answer to an x32 call: that of a kernel without x32. The number -1, which a tracer writes to skip a call, has the
/// same bit and the same answer.
pub const X32: Action = Action::Errno(Errno::ENOSYS);

/// The answer to a call of another architecture (i386 by `int 0x80`, 32-bit Arm): the process ends with SIGSYS. Its numbers
/// mean other calls, a program that makes one was built for another ABI and has no other path, and without an answer
/// to its `exit` it would run on through whatever follows; the kernel writes an audit record.
pub const FOREIGN: Action = Action::KillProcess;

/// A permission that a profile gives by name or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// Given.
    Allowed,
    /// Not given.
    Denied,
}

/// What of the Internet a sandbox may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Nothing: no Internet socket can be made.
    None,
    /// A network namespace of its own: loopback inside, or the network gate.
    Private,
    /// Connections of TCP, to the ports that Landlock lets through, which are the network gate's proxies.
    Proxied,
    /// The host's network.
    Host,
}

/// System V and POSIX message queues, semaphores and shared memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ipc {
    /// The sandbox has an IPC namespace.
    Own,
    /// It would see the host's: the calls are refused.
    Shared,
}

/// Process numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pids {
    /// The sandbox has a PID namespace.
    Own,
    /// Processes outside have numbers inside.
    Shared,
}

/// What the compiled filter depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Needs {
    /// Internet sockets.
    pub network: Network,
    /// Unix sockets; which paths they reach is for Landlock and mounts to say.
    pub unix_sockets: Grant,
    /// User namespaces inside, with all that is done in them: mounting, changing root, naming the host.
    pub nested_user_namespaces: Grant,
    /// io_uring.
    pub io_uring: Grant,
    /// Whether the sandbox has an IPC namespace.
    pub ipc: Ipc,
    /// Whether the sandbox has a PID namespace.
    pub pids: Pids,
}

impl Needs {
    /// The most that is refused where every namespace is there.
    pub const STRICT: Self = Self {
        network: Network::None,
        unix_sockets: Grant::Denied,
        nested_user_namespaces: Grant::Denied,
        io_uring: Grant::Denied,
        ipc: Ipc::Own,
        pids: Pids::Own,
    };

    /// What these needs ask for that the filter cannot hold; another layer must (a network namespace for
    /// sockets), or the plan must be refused.
    #[must_use]
    pub fn unfiltered(&self) -> Vec<Unfiltered> {
        let mut found = Vec::new();
        if self.io_uring == Grant::Allowed {
            if matches!(self.network, Network::None | Network::Proxied) {
                found.push(Unfiltered::InternetSocketsByIoUring);
            }
            if self.unix_sockets == Grant::Denied {
                found.push(Unfiltered::UnixSocketsByIoUring);
            }
            // Raw and foreign sockets are refused under every setting.
            found.push(Unfiltered::OtherSocketsByIoUring);
        }
        found
    }
}

/// A rule of the filter that another grant opens: io_uring makes sockets (`IORING_OP_SOCKET`, Linux 5.19) unseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unfiltered {
    /// TCP and UDP in spite of [`Network::None`], UDP in spite of [`Network::Proxied`].
    InternetSocketsByIoUring,
    /// Unix sockets in spite of [`Grant::Denied`].
    UnixSocketsByIoUring,
    /// Families and protocols that are refused under every setting (`AF_VSOCK`, netlink, …).
    OtherSocketsByIoUring,
}

/// Compiles the filter.
///
/// # Errors
/// A defect of the compiler itself: the program would not pass the kernel's check. None is known; every combination of
/// needs is compiled by a test.
pub fn compile(needs: &Needs, arch: Arch) -> Result<Program, ProgramError> {
    tree::program(arch, &ranges(needs, arch), FOREIGN, X32)
}

/// The action for one call, in plain code: the meaning that the compiled program must have.
#[must_use]
pub fn verdict(needs: &Needs, arch: Arch, data: &SeccompData) -> Action {
    if data.arch != arch.audit() {
        return FOREIGN;
    }
    if arch == Arch::X86_64 && data.nr >= X32_BIT {
        return X32;
    }
    match by_number(arch, data.nr).map(|call| call.class.verdict(needs)) {
        None => UNKNOWN,
        Some(Verdict::Always(action)) => action,
        Some(Verdict::ByArguments(rule)) => rule.decide(data),
    }
}

/// The name of a number, for listings.
#[must_use]
pub fn name(arch: Arch, nr: u32) -> Option<&'static str> {
    by_number(arch, nr).map(|call| call.name)
}

/// Calls sorted by number, per architecture; made once.
static SORTED: LazyLock<[Vec<(u32, Class)>; 2]> = LazyLock::new(|| Arch::ALL.map(sorted));

fn sorted(arch: Arch) -> Vec<(u32, Class)> {
    let mut calls: Vec<(u32, Class)> =
        CALLS.iter().filter_map(|call| Some((u32::from(call.number(arch)?), call.class))).collect();
    calls.sort_by_key(|&(number, _)| number);
    calls
}

/// Maximal runs of numbers with the same verdict, gaps and the end filled with [`UNKNOWN`].
fn ranges(needs: &Needs, arch: Arch) -> Vec<Range> {
    let calls = match arch {
        Arch::X86_64 => &SORTED[0],
        Arch::Aarch64 => &SORTED[1],
    };
    let mut ranges = Vec::new();
    let mut next = 0;
    for &(number, class) in calls {
        if number > next {
            extend(&mut ranges, next, Verdict::Always(UNKNOWN));
        }
        extend(&mut ranges, number, class.verdict(needs));
        next = number + 1;
    }
    extend(&mut ranges, next, Verdict::Always(UNKNOWN));
    ranges
}

fn extend(ranges: &mut Vec<Range>, start: u32, verdict: Verdict) {
    if ranges.last().is_none_or(|last| last.verdict != verdict) {
        ranges.push(Range { start, verdict });
    }
}

#[cfg(test)]
mod tests;
