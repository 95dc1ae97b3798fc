//! What will be done to hold a policy on one host: every step, as data.
//!
//! A [`Plan`] is made by `compile` from values alone, printed by [`Plan::listing`], turned into descriptors and C strings
//! by `prepare` and carried out by `enter`. It holds no descriptor, no secret and nothing that must be looked up again.

mod group;
mod holding;
mod listing;

use std::sync::Arc;

use weir_protocol::AbsPath;
use weir_protocol::method::process::{Degraded, Mechanism};
use weir_protocol::policy::{Background, Published};

use crate::bpf::Program;
use crate::broker::{Guard, Roots, SocketRules};
use crate::gate::{Gate, Proxies};
use crate::host::{Arch, Way};
use crate::live::LiveRules;

pub use group::{Controller, Group, GroupLimit, Setting, Swap};

/// Kinds of namespaces (namespaces(7)), in the order in which they are named to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "named in the enum's own line")]
pub enum Namespace {
    User,
    Mount,
    Pid,
    Ipc,
    Uts,
    Cgroup,
    Network,
}

impl Namespace {
    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user-namespace",
            Self::Mount => "mount-namespace",
            Self::Pid => "pid-namespace",
            Self::Ipc => "ipc-namespace",
            Self::Uts => "uts-namespace",
            Self::Cgroup => "cgroup-namespace",
            Self::Network => "network-namespace",
        }
    }
}

/// As whom the command runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups; set where the launcher may set them.
    pub groups: Vec<u32>,
}

/// Whether the sandbox's first process has capabilities to give away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Privilege {
    /// It has: all of its user namespace's, or the maker's.
    Held,
    /// None with which it could empty its bounding set; no-new-privs keeps it from getting any.
    Absent,
}

/// Whether a mount can be written through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Writable {
    /// It can, as far as files' modes let.
    Yes,
    /// It cannot.
    No,
}

/// Whether device nodes on a mount work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Devices {
    /// They do.
    Work,
    /// They are inert.
    Inert,
}

/// One step in making the sandbox's file tree. Paths are those of the sandbox; a source is one of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountStep {
    /// A new, empty file system in memory.
    Tmpfs {
        /// Where.
        at: AbsPath,
        /// Mode of its top directory.
        mode: u32,
        /// Whether its top belongs to the command's user; else to whoever makes it.
        owned: Owned,
    },
    /// A directory of the host with all that is mounted below it, or a file.
    Bind {
        /// The place on the host, and the same in the sandbox.
        at: AbsPath,
        /// Whether it can be written.
        writable: Writable,
        /// Whether devices on it work.
        devices: Devices,
    },
    /// What the tree shows there already, mounted on itself to change whether it can be written.
    Again {
        /// Where.
        at: AbsPath,
        /// Whether it can be written.
        writable: Writable,
    },
    /// A directory of the host, with changes in a copy (overlayfs).
    Copied {
        /// The place on the host, and the same in the sandbox.
        at: AbsPath,
        /// The directory of the host that keeps the copy: `upper` and `work` lie in it.
        state: AbsPath,
    },
    /// An unreadable empty file.
    MaskFile {
        /// Where.
        at: AbsPath,
    },
    /// An unreadable empty directory.
    MaskDirectory {
        /// Where.
        at: AbsPath,
    },
    /// The process file system of the sandbox's own PID namespace.
    Proc {
        /// Whether its files can be written as far as their modes let.
        writable: Writable,
    },
    /// A part of `/proc`, read-only although the rest is not.
    ProcReadOnly {
        /// Which.
        at: AbsPath,
    },
    /// Pseudo-terminals of the sandbox's own, at `/dev/pts`.
    Terminals,
    /// A directory in a file system that an earlier step made.
    Directory {
        /// Where.
        at: AbsPath,
        /// Its mode.
        mode: u32,
        /// Whether it belongs to the command's user.
        owned: Owned,
    },
    /// A file of the sandbox's own over what is there, read-only.
    Content {
        /// Where.
        at: AbsPath,
        /// What it holds.
        bytes: Arc<[u8]>,
    },
    /// An empty file to mount on, in a file system that an earlier step made.
    File {
        /// Where.
        at: AbsPath,
    },
    /// A symbolic link in a file system that an earlier step made.
    Link {
        /// Where.
        at: AbsPath,
        /// What it holds.
        target: Vec<u8>,
    },
    /// Makes the file system at exactly this place read-only.
    Seal {
        /// Where.
        at: AbsPath,
    },
}

/// To whom something made for the sandbox belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owned {
    /// The command's user.
    ByCommand,
    /// Whoever makes the sandbox: in a user namespace the same.
    ByMaker,
}

/// One Landlock rule: rights on what is at a path of the sandbox, and below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LandlockRule {
    /// The path.
    pub at: AbsPath,
    /// Bits of `LANDLOCK_ACCESS_FS_*`; those that mean nothing for a file are dropped where it is one.
    pub rights: u64,
}

/// A Landlock ruleset (landlock(7)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landlock {
    /// The ABI it was compiled for.
    pub abi: u32,
    /// File-system rights that are denied unless a rule grants them.
    pub handled_fs: u64,
    /// Network rights that are denied unless a port grants them.
    pub handled_net: u64,
    /// Ports of TCP that may be connected to, of any address.
    pub ports: Vec<u16>,
    /// Scopes: abstract sockets and signals stay inside.
    pub scoped: u64,
    /// What the kernel makes audit records of, where it makes any (landlock_restrict_self(2)).
    pub records: u32,
    /// The rules.
    pub rules: Vec<LandlockRule>,
}

/// What init holds by performing calls itself (`broker`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brokered {
    /// The filter that hands calls to it.
    pub filter: Program,
    /// Names that must not come into being.
    pub guards: Vec<Guard>,
    /// Unix sockets that may be connected to.
    pub sockets: SocketRules,
    /// Rules that are held while files change, where there are such.
    pub live: Option<LiveRules>,
    /// What of the run it tells, where that is recorded.
    pub recorded: Option<Recording>,
    /// Directories that only the sandbox has; sockets there may be connected to.
    pub private: Vec<AbsPath>,
    /// Whether callers may have other roots.
    pub roots: Roots,
}

/// What of a run is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recording {
    /// What is opened, and names that change: calls that the broker performs.
    Performed,
    /// Looks, changes of attributes and executions too, which go on after they were taken down (Linux 5.5).
    Whole,
}

impl Recording {
    /// For people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Performed => {
                "what is opened, and names that change; this kernel cannot let a call go on, so looks, attributes and executions are left out"
            }
            Self::Whole => "what is opened, looked at and executed, names and attributes that change",
        }
    }
}

/// A limit for each process (setrlimit(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessLimit {
    /// Which.
    pub kind: LimitKind,
    /// Its value, soft and hard.
    pub value: u64,
}

/// What a process can be limited in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LimitKind {
    /// `RLIMIT_NOFILE`: open files.
    OpenFiles,
    /// `RLIMIT_FSIZE`: bytes of a file written.
    FileSize,
    /// `RLIMIT_AS`: bytes of address space.
    AddressSpace,
    /// `RLIMIT_NPROC`: processes of the user.
    Processes,
    /// `RLIMIT_CORE`: bytes of a core file.
    Core,
}

/// Whether the sandbox's own loopback interface is brought up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Loopback {
    /// It is.
    Up,
    /// It stays down, or there is none of its own.
    Untouched,
}

/// What confines the command, beyond its namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confinement {
    /// The processor's architecture.
    pub arch: Arch,
    /// The system call filter.
    pub filter: Program,
    /// The Landlock ruleset, where there is one.
    pub landlock: Option<Landlock>,
    /// A second one, which the command has and init has not: what may be read without init.
    pub reading: Option<Landlock>,
    /// What init performs itself, where something needs that.
    pub brokered: Option<Brokered>,
}

/// Every step to be taken on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// How the sandbox is made.
    pub way: Way,
    /// Namespaces to make.
    pub namespaces: Vec<Namespace>,
    /// The file tree, in order; empty where the command sees the host's own.
    pub mounts: Vec<MountStep>,
    /// Whether to bring loopback up.
    pub loopback: Loopback,
    /// The network that leads to the gate, where the policy has rules for single hosts.
    pub gate: Option<Gate>,
    /// The gate's proxies, in the place of a network that leads to it.
    pub proxies: Option<Proxies>,
    /// Ports of the host's loopback that lead to the sandbox's own.
    pub publish: Vec<Published>,
    /// Where the certificates are that programs are told to trust, in limited mode.
    pub bundle: Option<AbsPath>,
    /// As whom the command runs.
    pub credentials: Credentials,
    /// What the first process gives away.
    pub privilege: Privilege,
    /// What confines it; absent only under the profile that confines nothing.
    pub confinement: Option<Confinement>,
    /// Limits for each process.
    pub limits: Vec<ProcessLimit>,
    /// The control group with limits for the whole tree, where the policy has such.
    pub group: Option<Group>,
    /// Whether what the command leaves running goes on.
    pub background: Background,
    /// For the report: what holds the rules.
    pub mechanisms: Vec<Mechanism>,
    /// For the report: what is given up.
    pub degradations: Vec<Degraded>,
    /// For the report: what should be known besides.
    pub remarks: Vec<String>,
}

impl Plan {
    /// Every step, one a line, for people and for goldens.
    #[must_use]
    pub fn listing(&self) -> String {
        listing::render(self)
    }
}
