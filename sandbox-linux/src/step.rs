//! The steps of entering a sandbox, in the one order in which they are taken, and why that order.
//!
//! A step that fails is told as [`Failure`], a fixed record over a pipe; nothing is run then. Called by `enter`, which takes the
//! steps, and by the launcher, which reads the record.

use std::fmt;

/// A step, in the order of the variants. [`ORDER`] says what must not be swapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
#[expect(missing_docs, reason = "Step::name() says what each does")]
pub enum Step {
    Clone = 1,
    Group,
    Session,
    UserMap,
    GroupMap,
    PrivateMounts,
    Scaffold,
    PivotAside,
    Root,
    Mount,
    PivotIn,
    Loopback,
    HostName,
    GateLinks,
    GateRules,
    GateSockets,
    GateHandOver,
    Terminal,
    BoundingSet,
    SecureBits,
    Groups,
    GroupId,
    UserId,
    Capabilities,
    NoNewPrivs,
    Undumpable,
    ParentDeath,
    Landlock,
    LandlockRule,
    LandlockRestrict,
    SignalDescriptor,
    Keeper,
    Fork,
    ProcessGroup,
    Foreground,
    Descriptors,
    Limits,
    WorkingDirectory,
    CloseDescriptors,
    Fence,
    Reading,
    Seccomp,
    Broker,
    Execute,
}

/// Every step, in order.
pub const ALL: [Step; 44] = [
    Step::Clone,
    Step::Group,
    Step::Session,
    Step::UserMap,
    Step::GroupMap,
    Step::PrivateMounts,
    Step::Scaffold,
    Step::PivotAside,
    Step::Root,
    Step::Mount,
    Step::PivotIn,
    Step::Loopback,
    Step::HostName,
    Step::GateLinks,
    Step::GateRules,
    Step::GateSockets,
    Step::GateHandOver,
    Step::Terminal,
    Step::BoundingSet,
    Step::SecureBits,
    Step::Groups,
    Step::GroupId,
    Step::UserId,
    Step::Capabilities,
    Step::NoNewPrivs,
    Step::Undumpable,
    Step::ParentDeath,
    Step::Landlock,
    Step::LandlockRule,
    Step::LandlockRestrict,
    Step::SignalDescriptor,
    Step::Keeper,
    Step::Fork,
    Step::ProcessGroup,
    Step::Foreground,
    Step::Descriptors,
    Step::Limits,
    Step::WorkingDirectory,
    Step::CloseDescriptors,
    Step::Fence,
    Step::Reading,
    Step::Seccomp,
    Step::Broker,
    Step::Execute,
];

impl Step {
    /// What the step does, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clone => "clone: make the sandbox's first process",
            Self::Group => "write cgroup.procs: join the sandbox's control group",
            Self::Session => "setsid: start a session of its own",
            Self::UserMap => "write uid_map: map the user into the user namespace",
            Self::GroupMap => "write gid_map: map the group into the user namespace",
            Self::PrivateMounts => "mount: separate the mounts from the host's",
            Self::Scaffold => "mount: make a place to build the file tree",
            Self::PivotAside => "pivot_root: step aside from the host's tree",
            Self::Root => "mount: make the root of the file tree",
            Self::Mount => "mount: build the file tree",
            Self::PivotIn => "pivot_root: enter the file tree",
            Self::Loopback => "ioctl: bring loopback up",
            Self::GateLinks => "netlink: make every address lead to the network gate",
            Self::GateRules => "netlink: make the network gate's table (nf_tables)",
            Self::GateSockets => "socket: make the sockets of the network gate and of published ports",
            Self::GateHandOver => "sendmsg: hand these sockets out",
            Self::HostName => "sethostname",
            Self::Terminal => "open ptmx: make a terminal of its own",
            Self::BoundingSet => "prctl: empty the capability bounding set",
            Self::SecureBits => "prctl: lock the secure bits",
            Self::Groups => "setgroups: drop supplementary groups",
            Self::GroupId => "setresgid: become the group",
            Self::UserId => "setresuid: become the user",
            Self::Capabilities => "capset: drop all capabilities",
            Self::NoNewPrivs => "prctl: set no-new-privs",
            Self::Undumpable => "prctl: hide the first process's memory",
            Self::ParentDeath => "prctl: end with the launcher",
            Self::Landlock => "landlock_create_ruleset",
            Self::LandlockRule => "landlock_add_rule",
            Self::LandlockRestrict => "landlock_restrict_self",
            Self::SignalDescriptor => "signalfd: wait for children",
            Self::Keeper => "clone: make a second supervisor",
            Self::Fork => "clone: make the command's process",
            Self::ProcessGroup => "setpgid: start a process group",
            Self::Foreground => "ioctl: take the terminal's foreground",
            Self::Descriptors => "dup3: arrange standard input, output and error",
            Self::Limits => "setrlimit",
            Self::WorkingDirectory => "chdir: enter the working directory",
            Self::CloseDescriptors => "close_range: close what is not the command's",
            Self::Fence => "landlock_restrict_self: keep the command from signalling the first process",
            Self::Reading => {
                "landlock_restrict_self: leave the command what it may read without the first process"
            }
            Self::Seccomp => "seccomp: install the system call filter",
            Self::Broker => "seccomp: install the broker's filter",
            Self::Execute => "execve: execute the command, or go on in its place",
        }
    }

    /// The step with this number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        ALL.into_iter().find(|step| *step as u32 == number)
    }
}

/// Pairs that must not be swapped, with the reason.
pub const ORDER: [(Step, Step, &str); 21] = [
    (Step::Group, Step::Fork, "what is started before would be under no limit"),
    (Step::UserMap, Step::PrivateMounts, "without ids, files made for the tree would belong to nobody"),
    (Step::PrivateMounts, Step::Scaffold, "a mount in a shared tree would appear on the host"),
    (Step::PivotAside, Step::Root, "a scaffold on top of a directory would hide what lies in it"),
    (Step::PivotIn, Step::LandlockRule, "rules hold for what the command sees, not for the host's tree"),
    (Step::GateHandOver, Step::Capabilities, "the capability to make tables and routes goes"),
    (Step::GateHandOver, Step::Seccomp, "the filter refuses sockets of netfilter"),
    (Step::Terminal, Step::Landlock, "opening the multiplexer needs no rule of the profile"),
    (Step::BoundingSet, Step::UserId, "the capability to empty it goes with the user id"),
    (Step::SecureBits, Step::UserId, "the capability to lock them goes with the user id"),
    (Step::Groups, Step::GroupId, "the capability to drop groups must still be there"),
    (Step::GroupId, Step::UserId, "the capability to change groups goes with the user id"),
    (Step::UserId, Step::ParentDeath, "changing ids clears the parent-death signal"),
    (Step::UserId, Step::Undumpable, "changing ids resets what can be dumped"),
    (Step::NoNewPrivs, Step::LandlockRestrict, "the kernel demands it of a process without privilege"),
    (Step::NoNewPrivs, Step::Seccomp, "the kernel demands it of a process without privilege"),
    (
        Step::LandlockRestrict,
        Step::Fence,
        "the first process must be outside the fence to reach what is inside",
    ),
    (Step::Fence, Step::Seccomp, "the filter may refuse what restricting needs"),
    (Step::Fork, Step::Reading, "the first process opens what the command cannot by itself"),
    (Step::Reading, Step::Seccomp, "the filter may refuse what restricting needs"),
    (Step::LandlockRestrict, Step::Seccomp, "the filter may refuse what restricting needs"),
];

/// What is told when a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// The step.
    pub step: Step,
    /// The error number.
    pub errno: i32,
    /// Which of the step's items: the mount step, the Landlock rule, the candidate program.
    pub item: u32,
}

/// Bytes of a failure on the pipe.
pub const FAILURE_BYTES: usize = 12;

impl Failure {
    /// The record.
    #[must_use]
    pub fn to_bytes(self) -> [u8; FAILURE_BYTES] {
        let mut out = [0; FAILURE_BYTES];
        out[..4].copy_from_slice(&(self.step as u32).to_ne_bytes());
        out[4..8].copy_from_slice(&self.errno.to_ne_bytes());
        out[8..].copy_from_slice(&self.item.to_ne_bytes());
        out
    }

    /// Reads a record.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; FAILURE_BYTES]) -> Option<Self> {
        let word = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        let step = Step::from_number(u32::from_ne_bytes(word(0)))?;
        Some(Self { step, errno: i32::from_ne_bytes(word(4)), item: u32::from_ne_bytes(word(8)) })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.step.name(), std::io::Error::from_raw_os_error(self.errno))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_the_order_of_the_variants() {
        for (first, second, reason) in ORDER {
            assert!(first < second, "{first:?} before {second:?}: {reason}");
        }
        assert!(ALL.is_sorted());
    }

    #[test]
    fn records_come_back() {
        for step in ALL {
            let failure = Failure { step, errno: libc::EPERM, item: 7 };
            assert_eq!(Failure::from_bytes(&failure.to_bytes()), Some(failure));
        }
        assert_eq!(Failure::from_bytes(&[0; FAILURE_BYTES]), None);
    }
}
