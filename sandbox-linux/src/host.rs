//! What this machine can enforce: plain values, found by doing.
//!
//! [`Host::probe`] is the only place in the project that asks the machine. Everything else takes a [`Host`] as a value, so an
//! old kernel, another architecture or a container is a literal in a test. Probing leaves nothing behind: whatever changes the
//! state of a process happens in a child that ends, and a directory made in a cgroup is removed. Each [`Fact`] keeps the
//! step and the error number that refused it, so that `doctor` can say why. Called by `weir doctor` and by the launcher.
//!
//! Trying everything takes tens of milliseconds, most of them the kernel's to take namespaces and marks down again. A launch
//! begins with [`Host::presumed`] instead, which tries nothing: entering the sandbox is itself the trial, since a step that
//! fails ends it before the command. Only then is it tried ([`Host::tried`]), and the policy compiled against what was found.

mod cgroup;
mod probe;
mod status;

use serde::{Deserialize, Serialize};

pub use crate::bpf::Arch;
use crate::plan::Swap;

/// The step of a probe that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the system call or file of its name")]
pub enum Step {
    Pipe,
    Fork,
    NoNewPrivs,
    LandlockVersion,
    LandlockErrata,
    LandlockRestrict,
    SeccompAction,
    SeccompFilter,
    SeccompListener,
    UnshareUser,
    DenySetgroups,
    WriteUidMap,
    WriteGidMap,
    UnshareMount,
    UnsharePid,
    UnshareIpc,
    UnshareUts,
    UnshareCgroup,
    UnshareNetwork,
    GateLinks,
    GateRules,
    MakePrivate,
    ForkInside,
    MountProc,
    MountTmpfs,
    MakeDirectory,
    MountOverlay,
    Fsopen,
    OpenTree,
    MountSetattr,
    MoveMount,
    PivotRoot,
    PidfdOpen,
    Clone3,
    CloseRange,
    MemfdCreate,
    Openat2,
    AuditSocket,
    AuditBind,
    AuditStatus,
    CgroupEnable,
    CgroupMkdir,
    CgroupJoin,
    CgroupKill,
}

/// Something tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Fact {
    /// It was done.
    Works,
    /// The kernel said no.
    Refused {
        /// Where.
        at: Step,
        /// The error number.
        errno: i32,
    },
    /// The process that tried was killed (by a filter of the surroundings).
    Killed {
        /// Where.
        at: Step,
    },
    /// Not tried, because something it needs is missing or not asked for.
    Untried,
}

impl Fact {
    /// Whether it was done.
    #[must_use]
    pub const fn works(self) -> bool {
        matches!(self, Self::Works)
    }

    /// The error number that refused it.
    #[must_use]
    pub const fn errno(self) -> Option<i32> {
        match self {
            Self::Refused { errno, .. } => Some(errno),
            _ => None,
        }
    }

    /// This fact if it is not [`Fact::Works`], otherwise the next.
    #[must_use]
    pub const fn and(self, next: Self) -> Self {
        match self {
            Self::Works => next,
            missing => missing,
        }
    }

    fn from_result<T>(at: Step, result: Result<T, i32>) -> Self {
        match result {
            Ok(_) => Self::Works,
            Err(errno) => Self::Refused { at, errno },
        }
    }
}

/// The kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// As uname(2) tells it.
    pub release: String,
    /// First number of the release.
    pub major: u32,
    /// Second number of the release.
    pub minor: u32,
}

impl Kernel {
    /// Whether the release is this one or newer.
    #[must_use]
    pub const fn at_least(&self, major: u32, minor: u32) -> bool {
        self.major > major || self.major == major && self.minor >= minor
    }
}

/// Who the prober is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// Effective capabilities, one bit each (capabilities(7)).
    pub capabilities: u64,
    /// Whether no-new-privs was set already.
    pub no_new_privs: bool,
    /// Whether a seccomp filter is installed already, by whatever started the prober.
    pub filtered: bool,
    /// Whether its user namespace is the machine's first.
    pub initial_user_namespace: bool,
    /// Whether its PID namespace is the machine's first.
    pub initial_pid_namespace: bool,
}

/// `CAP_SETPCAP` (capabilities(7)).
pub const CAP_SETPCAP: u32 = 8;
/// `CAP_DAC_OVERRIDE` (capabilities(7)).
pub const CAP_DAC_OVERRIDE: u32 = 1;
/// `CAP_SYS_ADMIN` (capabilities(7)).
pub const CAP_SYS_ADMIN: u32 = 21;

impl Identity {
    /// Whether this capability is effective.
    #[must_use]
    pub const fn has(&self, capability: u32) -> bool {
        self.capabilities >> capability & 1 == 1
    }
}

/// Landlock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Landlock {
    /// The kernel's ABI version; 0 when there is none.
    pub abi: u32,
    /// Bits of the errata that are fixed; 0 where the kernel cannot tell.
    pub errata: u32,
    /// Whether a process could restrict itself.
    pub restrict: Fact,
}

impl Landlock {
    /// The ABI that can be used; 0 where there is none, or where it fails.
    #[must_use]
    pub const fn usable(&self) -> u32 {
        if self.restrict.works() { self.abi } else { 0 }
    }

    /// Whether it is there and fails: something else than a kernel without it, or one in which it is switched off
    /// (landlock_create_ruleset(2), `ENOSYS` and `EOPNOTSUPP` to the question for the version).
    #[must_use]
    pub const fn fails(&self) -> bool {
        match self.restrict {
            Fact::Works => false,
            Fact::Refused { at: Step::LandlockVersion, errno } => {
                !matches!(errno, libc::ENOSYS | libc::EOPNOTSUPP)
            }
            _ => true,
        }
    }
}

/// Seccomp.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seccomp {
    /// A filter could be installed.
    pub filter: Fact,
    /// A filter with a listener could be installed.
    pub listener: Fact,
    /// `SECCOMP_RET_KILL_PROCESS` is known.
    pub kill_process: Fact,
    /// `SECCOMP_RET_LOG` is known.
    pub log: Fact,
    /// `SECCOMP_RET_USER_NOTIF` is known.
    pub notify: Fact,
}

/// Namespaces, and what can be mounted in a new mount namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named in the struct's own line")]
pub struct Namespaces {
    pub mount: Fact,
    pub pid: Fact,
    pub ipc: Fact,
    pub uts: Fact,
    pub cgroup: Fact,
    pub network: Fact,
    /// In the network namespace all could be led to the network gate (routes, nf_tables).
    pub gate: Fact,
    /// The mount tree could be made private.
    pub private: Fact,
    /// procfs of the new PID namespace.
    pub proc: Fact,
    pub tmpfs: Fact,
    pub overlay: Fact,
    /// Mounts could be made and copied detached, changed, and attached (fsopen(2), open_tree(2), mount_setattr(2),
    /// move_mount(2)).
    pub detached: Fact,
    /// A mount could be made the root (pivot_root(2)).
    pub pivot: Fact,
}

impl Namespaces {
    /// Nothing tried.
    pub const UNTRIED: Self = Self::all(Fact::Untried);
    /// Everything works.
    pub const WORKING: Self = Self::all(Fact::Works);

    /// The same fact for all.
    #[must_use]
    pub const fn all(fact: Fact) -> Self {
        Self {
            mount: fact,
            pid: fact,
            ipc: fact,
            uts: fact,
            cgroup: fact,
            network: fact,
            gate: fact,
            private: fact,
            proc: fact,
            tmpfs: fact,
            overlay: fact,
            detached: fact,
            pivot: fact,
        }
    }

    /// What a sandbox cannot do without when it has namespaces at all: mounts of its own, the calls that build a file tree of
    /// them and enter it, processes of its own, and a `/proc` that shows them.
    #[must_use]
    pub const fn essential(&self) -> Fact {
        let mounts = self.mount.and(self.private).and(self.tmpfs).and(self.detached).and(self.pivot);
        mounts.and(self.pid).and(self.proc)
    }
}

/// Settings that forbid user namespaces; nothing where the kernel has no such setting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Knobs {
    /// `kernel.unprivileged_userns_clone` (Debian and others): 0 forbids.
    pub unprivileged_userns_clone: Option<u64>,
    /// `user.max_user_namespaces`: 0 forbids.
    pub max_user_namespaces: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns` (Ubuntu): 1 takes away all capabilities inside.
    pub apparmor_restrict_unprivileged_userns: Option<u64>,
}

/// Which control groups there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroups {
    /// Version 1 hierarchies are mounted.
    pub version1: bool,
    /// The version 2 hierarchy, where it is mounted.
    pub version2: Option<Cgroup2>,
}

/// The version 2 hierarchy, and the group in it below which sandboxes get groups of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup2 {
    /// Where the hierarchy is mounted.
    pub mount: String,
    /// Where else it is mounted.
    pub elsewhere: Vec<String>,
    /// The directory of the prober's group, below `mount`.
    pub own: String,
    /// The directory of the group below which others are made: the prober's, or one around it that is the prober's to use.
    pub below: String,
    /// Controllers that group may use.
    pub controllers: Vec<String>,
    /// Controllers that groups made below it get.
    pub delegated: Vec<String>,
    /// It could be told to give them more of its controllers: its file can be written, and no process of its own is in the way
    /// (cgroups(7), "no internal processes").
    pub enable: Fact,
    /// A group could be made below it, and removed.
    pub child: Fact,
    /// A process could be moved into it.
    pub join: Fact,
    /// It has `cgroup.kill` (Linux 5.14).
    pub kill: Fact,
    /// Whether the kernel can swap at all.
    pub swap: Swap,
}

impl Cgroup2 {
    /// Whether a group made for a sandbox can be limited by this controller.
    #[must_use]
    pub fn holds(&self, controller: &str) -> bool {
        let has = |list: &[String]| list.iter().any(|name| name == controller);
        let given = has(&self.delegated) || self.enable.works();
        self.child.and(self.join).works() && has(&self.controllers) && given
    }
}

/// System calls that Weir uses where they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is the system call of its name")]
pub struct Calls {
    pub pidfd_open: Fact,
    pub clone3: Fact,
    pub close_range: Fact,
    pub memfd_create: Fact,
    pub openat2: Fact,
}

/// The kernel's audit records, where Landlock reports what it denies (ABI 7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// The multicast group of records could be joined.
    pub records: Fact,
    /// Whether auditing is switched on, where the kernel tells.
    pub enabled: Option<bool>,
}

/// Everything known about a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The kernel.
    pub kernel: Kernel,
    /// The architecture, where Weir has filters for it.
    pub arch: Option<Arch>,
    /// Who the prober is.
    pub identity: Identity,
    /// Landlock.
    pub landlock: Landlock,
    /// Seccomp.
    pub seccomp: Seccomp,
    /// A user namespace, with the user's own ids mapped.
    pub user_namespace: Fact,
    /// What may forbid one.
    pub knobs: Knobs,
    /// Namespaces without a user namespace; untried without `CAP_SYS_ADMIN`.
    pub direct: Namespaces,
    /// Namespaces in a user namespace of their own; untried where there is none.
    pub nested: Namespaces,
    /// Control groups.
    pub cgroups: Cgroups,
    /// System calls.
    pub calls: Calls,
    /// Audit records.
    pub audit: Audit,
}

/// How a sandbox is made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Namespaces made with the prober's own privilege.
    Direct,
    /// Namespaces in a user namespace.
    UserNamespace,
    /// Landlock and seccomp alone.
    Bare,
}

impl Way {
    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::UserNamespace => "user-namespace",
            Self::Bare => "bare",
        }
    }
}

impl Host {
    /// Asks the machine, by trying everything: tens of milliseconds.
    #[must_use]
    pub fn probe() -> Self {
        probe::probe()
    }

    /// What the machine is presumed to hold: what it tells by itself (Landlock's ABI, the actions of filters, who asks), and
    /// for the rest that it works. Never says that something works which the plan would not find out by doing it: whoever
    /// compiles against this must, where a step then fails, compile again against [`Host::tried`]. Control groups and
    /// audit are absent, for they are not found out by entering.
    #[must_use]
    pub fn presumed() -> Self {
        probe::presumed()
    }

    /// What [`Host::presumed`] is, with everything that a sandbox is made of tried: namespaces, Landlock, filters. A few
    /// milliseconds.
    #[must_use]
    pub fn tried() -> Self {
        probe::tried()
    }

    /// The same machine with its control groups found out by making one: a millisecond or two.
    #[must_use]
    pub fn with_groups(self) -> Self {
        Self { cgroups: cgroup::cgroups(), ..self }
    }

    /// The same machine for a sandbox with overlays: overlayfs works in a directory without any mode bit, so that whoever passes over
    /// no mode makes them in a user namespace, where it does.
    #[must_use]
    pub fn for_overlays(self) -> Self {
        let nested = self.user_namespace.and(self.nested.essential()).and(self.nested.overlay);
        if self.identity.has(CAP_DAC_OVERRIDE) || !nested.works() {
            return self;
        }
        Self { direct: Namespaces::UNTRIED, ..self }
    }

    /// The best way to make a sandbox here.
    #[must_use]
    pub fn way(&self) -> Way {
        if self.direct.essential().works() {
            Way::Direct
        } else if self.user_namespace.and(self.nested.essential()).works() {
            Way::UserNamespace
        } else {
            Way::Bare
        }
    }

    /// The namespaces of [`Host::way`].
    #[must_use]
    pub const fn namespaces(&self, way: Way) -> &Namespaces {
        match way {
            Way::Direct => &self.direct,
            Way::UserNamespace => &self.nested,
            Way::Bare => &Namespaces::UNTRIED,
        }
    }
}

#[cfg(test)]
mod tests;
