//! Why something is missing, and what would bring it.

use std::fmt;

use serde::Serialize;

use crate::host::{Fact, Step};

// Error numbers as data: a host may have been probed anywhere (`asm-generic/errno*.h`).
pub(super) const EPERM: i32 = 1;
pub(super) const ENOENT: i32 = 2;
pub(super) const EACCES: i32 = 13;
pub(super) const EBUSY: i32 = 16;
pub(super) const ENODEV: i32 = 19;
pub(super) const EINVAL: i32 = 22;
pub(super) const ENOSPC: i32 = 28;
pub(super) const EROFS: i32 = 30;
pub(super) const ENOSYS: i32 = 38;
pub(super) const EOPNOTSUPP: i32 = 95;
pub(super) const ECONNREFUSED: i32 = 111;

/// What a container's filter must let through for Landlock.
pub(super) const LANDLOCK: &str = "a seccomp profile that allows the landlock_* calls";

/// Why a feature is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "cause")]
pub enum Cause {
    /// It came with a later kernel.
    KernelTooOld {
        /// This kernel.
        release: String,
        /// The first kernel that has it.
        since_major: u32,
        /// Its second number.
        since_minor: u32,
    },
    /// The kernel was built without it.
    NotBuilt,
    /// The kernel does not know this file system; its module may not be loaded.
    NoFileSystem {
        /// Its name.
        name: &'static str,
    },
    /// The kernel makes no table of netfilter that could lead connections to the gate.
    NoNetfilter,
    /// Landlock was built, but is not in the list of security modules.
    LandlockOff,
    /// No filter for this processor.
    UnknownArchitecture,
    /// A setting of the machine forbids it.
    Setting {
        /// The sysctl.
        name: &'static str,
        /// Its value.
        value: u64,
    },
    /// A capability is missing.
    NoCapability {
        /// Its name.
        name: &'static str,
    },
    /// A filter that was there before Weir refuses it.
    Surroundings {
        /// The step it refused.
        at: Option<Step>,
    },
    /// `/proc` is partly covered, as containers do, and the kernel lets nobody uncover it.
    CoveredProc,
    /// The root directory is no mount that another can take the place of: the kernel's first one, or a chroot.
    RootIsNoMount,
    /// Only version 1 control groups are mounted.
    OnlyCgroup1,
    /// No control groups are mounted where the prober sees them.
    NoCgroups,
    /// The group has not this controller.
    NoController {
        /// Its name.
        controller: &'static str,
        /// Version 1 hierarchies are mounted, which may hold it.
        version1: bool,
    },
    /// The group has processes of its own, so that it can give its controllers to no other.
    GroupHasProcesses,
    /// Auditing is switched off.
    AuditOff,
    /// The user namespace above is needed first, or root.
    NeedsUserNamespace,
    /// The kernel refused, for no reason that is known here.
    Refused {
        /// The step.
        at: Step,
        /// The error number.
        errno: i32,
    },
    /// The prober was killed at this step.
    Killed {
        /// The step.
        at: Step,
    },
    /// It could not be tried because something before it failed.
    Untried,
}

impl Cause {
    /// The plain cause of a fact that is not [`Fact::Works`].
    pub(crate) const fn of(fact: Fact) -> Option<Self> {
        match fact {
            Fact::Works => None,
            Fact::Refused { at, errno } => Some(Self::Refused { at, errno }),
            Fact::Killed { at } => Some(Self::Killed { at }),
            Fact::Untried => Some(Self::Untried),
        }
    }

    pub(super) const fn surroundings(fact: Fact) -> Self {
        match fact {
            Fact::Refused { at, .. } | Fact::Killed { at } => Self::Surroundings { at: Some(at) },
            Fact::Works | Fact::Untried => Self::Surroundings { at: None },
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KernelTooOld { release, since_major, since_minor } => {
                write!(f, "came with Linux {since_major}.{since_minor}, this is {release}")
            }
            Self::NotBuilt => f.write_str("this kernel was built without it"),
            Self::NoFileSystem { name } => write!(f, "the file system {name} is not loaded"),
            Self::NoNetfilter => {
                f.write_str("nf_tables with nat is not built into this kernel, or not loaded")
            }
            Self::LandlockOff => f.write_str("Landlock is not among the security modules started at boot"),
            Self::UnknownArchitecture => f.write_str("neither x86-64 nor aarch64"),
            Self::Setting { name, value } => write!(f, "forbidden by {name} = {value}"),
            Self::NoCapability { name } => write!(f, "needs {name}"),
            Self::Surroundings { at: Some(at) } => {
                write!(f, "refused by the filter Weir was started under ({})", step(*at))
            }
            Self::Surroundings { at: None } => f.write_str("refused by the filter Weir was started under"),
            Self::CoveredProc => {
                f.write_str("/proc is partly covered (a container), so no new one may be mounted")
            }
            Self::RootIsNoMount => {
                f.write_str("the root directory is no mount of its own (an initramfs or a chroot)")
            }
            Self::OnlyCgroup1 => f.write_str("only version 1 control groups are mounted"),
            Self::NoCgroups => f.write_str("no control groups are visible"),
            Self::NoController { controller, version1: true } => {
                write!(
                    f,
                    "the {controller} controller is not in the version 2 hierarchy (version 1 is mounted as well)"
                )
            }
            Self::NoController { controller, version1: false } => {
                write!(f, "the {controller} controller is not given to Weir's group")
            }
            Self::GroupHasProcesses => {
                f.write_str("Weir's group has processes of its own, so it can limit none below it")
            }
            Self::AuditOff => f.write_str("auditing is switched off"),
            Self::NeedsUserNamespace => f.write_str("needs the user namespace above, or root"),
            Self::Refused { at, errno } => write!(f, "{}: {}", step(*at), Error(*errno)),
            Self::Killed { at } => write!(f, "{}: the process was killed", step(*at)),
            Self::Untried => f.write_str("not tried, because something before it failed"),
        }
    }
}

/// How to get a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "remedy", content = "value")]
pub enum Remedy {
    /// A kernel from this one on.
    Kernel {
        /// First number.
        major: u32,
        /// Second number.
        minor: u32,
    },
    /// A kernel built with this option.
    KernelOption(&'static str),
    /// A boot parameter.
    BootParameter(&'static str),
    /// A setting.
    Sysctl {
        /// Its name.
        name: &'static str,
        /// The value.
        value: u64,
    },
    /// An AppArmor profile for Weir with the `userns` permission.
    AppArmorProfile,
    /// A command for root.
    Command(&'static str),
    /// A capability for the exec-server.
    Capability(&'static str),
    /// The exec-server as a system service.
    SystemService,
    /// A controller given to Weir's unit.
    Delegate {
        /// Its name.
        controller: &'static str,
    },
    /// A group of its own below the unit's for the processes of Weir's unit (systemd 254).
    DelegateSubgroup,
    /// An option of the container that Weir runs in.
    Container(&'static str),
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel { major, minor } => write!(f, "Linux {major}.{minor} or newer"),
            Self::KernelOption(option) => write!(f, "a kernel with {option}=y"),
            Self::BootParameter(parameter) => write!(f, "boot with {parameter}"),
            Self::Sysctl { name, value } => write!(f, "sysctl -w {name}={value}"),
            Self::AppArmorProfile => {
                f.write_str("an AppArmor profile for weir-exec-server with the `userns` permission")
            }
            Self::Command(command) => write!(f, "as root: {command}"),
            Self::Capability(name) => write!(f, "give weir-exec-server {name}"),
            Self::SystemService => f.write_str("run weir-exec-server as a system service"),
            Self::Delegate { controller } => write!(f, "Delegate={controller} in the unit Weir runs in"),
            Self::DelegateSubgroup => {
                f.write_str("Delegate=yes and DelegateSubgroup=main in the unit Weir runs in")
            }
            Self::Container(option) => write!(f, "start the container with {option}"),
        }
    }
}

/// An error number with its name where it is one that the prober meets.
struct Error(i32);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            EPERM => "EPERM",
            ENOENT => "ENOENT",
            EACCES => "EACCES",
            EBUSY => "EBUSY",
            ENODEV => "ENODEV",
            EINVAL => "EINVAL",
            ENOSPC => "ENOSPC",
            EROFS => "EROFS",
            ENOSYS => "ENOSYS",
            87 => "EUSERS",
            93 => "EPROTONOSUPPORT",
            EOPNOTSUPP => "EOPNOTSUPP",
            97 => "EAFNOSUPPORT",
            ECONNREFUSED => "ECONNREFUSED",
            other => return write!(f, "error {other}"),
        };
        f.write_str(name)
    }
}

/// A step in words.
const fn step(step: Step) -> &'static str {
    match step {
        Step::Pipe => "making a pipe",
        Step::Fork | Step::ForkInside => "making a process",
        Step::NoNewPrivs => "setting no-new-privs",
        Step::LandlockVersion | Step::LandlockErrata => "asking for Landlock's version",
        Step::LandlockRestrict => "restricting a process by Landlock",
        Step::SeccompAction => "asking for a filter's action",
        Step::SeccompFilter => "installing a filter",
        Step::SeccompListener => "installing a filter with a listener",
        Step::UnshareUser => "making a user namespace",
        Step::DenySetgroups => "writing setgroups",
        Step::WriteUidMap => "writing uid_map",
        Step::WriteGidMap => "writing gid_map",
        Step::UnshareMount => "making a mount namespace",
        Step::UnsharePid => "making a PID namespace",
        Step::UnshareIpc => "making an IPC namespace",
        Step::UnshareUts => "making a UTS namespace",
        Step::UnshareCgroup => "making a cgroup namespace",
        Step::UnshareNetwork => "making a network namespace",
        Step::GateLinks => "making every address of a network namespace lead to the network gate",
        Step::GateRules => "making a table of nf_tables",
        Step::MakePrivate => "making mounts private",
        Step::MountProc => "mounting /proc",
        Step::MountTmpfs => "mounting a tmpfs",
        Step::MakeDirectory => "making a directory",
        Step::MountOverlay => "mounting an overlay",
        Step::Fsopen => "making a detached mount (fsopen)",
        Step::OpenTree => "copying a mount (open_tree)",
        Step::MountSetattr => "changing a mount (mount_setattr)",
        Step::MoveMount => "attaching a mount (move_mount)",
        Step::PivotRoot => "changing the root (pivot_root)",
        Step::PidfdOpen => "pidfd_open",
        Step::Clone3 => "clone3",
        Step::CloseRange => "close_range",
        Step::MemfdCreate => "memfd_create",
        Step::Openat2 => "openat2",
        Step::AuditSocket => "opening an audit socket",
        Step::AuditBind => "joining the audit records",
        Step::AuditStatus => "asking for the audit status",
        Step::CgroupEnable => "giving a control group's controllers to others below it",
        Step::CgroupMkdir => "making a control group",
        Step::CgroupJoin => "joining a control group",
        Step::CgroupKill => "looking for cgroup.kill",
    }
}
