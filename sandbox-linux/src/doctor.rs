//! What holds on a machine, what does not, why, and how to get it: a pure reading of [`Host`].
//!
//! [`findings`] is data, one entry per feature, in a fixed order; [`render`] is the text that `weir doctor` prints of it. Neither
//! asks the machine anything: a doctor's answer for any kernel is a test on a literal.

mod cause;
mod namespaces;
mod text;

use serde::Serialize;

use crate::host::{CAP_SYS_ADMIN, Cgroups, Fact, Host, Way};
pub use cause::{Cause, Remedy};
pub use text::render;

/// Something that enforcement is built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "Feature::name() and Feature::lost() say what each is")]
pub enum Feature {
    Architecture,
    LandlockFiles,
    LandlockRename,
    LandlockTruncate,
    LandlockTcp,
    LandlockDevices,
    LandlockScopes,
    LandlockRecords,
    LandlockUnixSockets,
    LandlockUdp,
    SeccompFilter,
    LiveRules,
    UserNamespace,
    MountNamespace,
    FileTree,
    OwnProc,
    PrivateTmp,
    PidNamespace,
    IpcNamespace,
    UtsNamespace,
    CgroupNamespace,
    NetworkNamespace,
    NetworkGate,
    Overlay,
    MemoryLimit,
    ProcessLimit,
    CpuLimit,
    GroupKill,
    AuditRecords,
    Pidfd,
    CloseRange,
}

impl Feature {
    /// Its name, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Architecture => "system call filters for this processor",
            Self::LandlockFiles => "Landlock: files",
            Self::LandlockRename => "Landlock: rename and link",
            Self::LandlockTruncate => "Landlock: truncate",
            Self::LandlockTcp => "Landlock: TCP ports",
            Self::LandlockDevices => "Landlock: device requests",
            Self::LandlockScopes => "Landlock: signals, abstract sockets",
            Self::LandlockRecords => "Landlock: denial records",
            Self::LandlockUnixSockets => "Landlock: unix socket paths",
            Self::LandlockUdp => "Landlock: UDP ports",
            Self::SeccompFilter => "system call filter",
            Self::LiveRules => "rules that hold while files change",
            Self::UserNamespace => "user namespace",
            Self::MountNamespace => "mount namespace",
            Self::FileTree => "file tree of its own",
            Self::OwnProc => "own /proc",
            Self::PrivateTmp => "private /tmp and home",
            Self::PidNamespace => "PID namespace",
            Self::IpcNamespace => "IPC namespace",
            Self::UtsNamespace => "UTS namespace",
            Self::CgroupNamespace => "cgroup namespace",
            Self::NetworkNamespace => "network namespace",
            Self::NetworkGate => "network gate",
            Self::Overlay => "overlay mounts",
            Self::MemoryLimit => "memory limit",
            Self::ProcessLimit => "process limit",
            Self::CpuLimit => "CPU limit",
            Self::GroupKill => "kill of a whole group",
            Self::AuditRecords => "denials read from the kernel",
            Self::Pidfd => "process descriptors",
            Self::CloseRange => "close_range",
        }
    }

    /// What is lost without it.
    #[must_use]
    pub const fn lost(self) -> &'static str {
        match self {
            Self::Architecture => "nothing can be run confined: Weir has no filter for this processor",
            Self::LandlockFiles => "file rules are held by mounts alone, and not at all without namespaces",
            Self::LandlockRename => "no file can be renamed or linked from one granted directory to another",
            Self::LandlockTruncate => "without namespaces, files granted for reading can be emptied",
            Self::LandlockTcp => "ports can be restricted only with a network namespace",
            Self::LandlockDevices => "requests to granted devices are not restricted by Landlock",
            Self::LandlockScopes => {
                "without namespaces, processes and abstract sockets outside can be reached"
            }
            Self::LandlockRecords => "the kernel does not say which access it denied",
            Self::LandlockUnixSockets => "unix sockets are restricted by mounts alone, or refused altogether",
            Self::LandlockUdp => "UDP can be restricted only with a network namespace",
            Self::SeccompFilter => "nothing can be run confined",
            Self::LiveRules => {
                "patterns and `none` inside granted places are refused, or hold for what was there"
            }
            Self::UserNamespace => "namespaces need root; without either, Landlock and seccomp alone confine",
            Self::MountNamespace => {
                "no masks, no private /tmp or home, no minimal /dev; Landlock holds file rules"
            }
            Self::FileTree => "no mount namespace can be put to use; Landlock holds file rules",
            Self::OwnProc => {
                "processes outside can be seen in /proc, so PID and mount namespaces are not used"
            }
            Self::PrivateTmp => "/tmp and home are the real ones or closed",
            Self::PidNamespace => "processes outside can be seen; the tree is ended process by process",
            Self::IpcNamespace => "System V and POSIX queues are refused to the command",
            Self::UtsNamespace => "the command sees the machine's host name",
            Self::CgroupNamespace => "the command sees the machine's cgroup paths",
            Self::NetworkNamespace => "no loopback of its own and no network gate: network is all or nothing",
            Self::NetworkGate => {
                "no rules for single hosts, and no `mode = \"limited\"`: network is all or nothing"
            }
            Self::Overlay => "no writable view over a read-only directory",
            Self::MemoryLimit => "memory is limited per process only",
            Self::ProcessLimit => "processes are limited per user only",
            Self::CpuLimit => "CPU is limited by time per process only",
            Self::GroupKill => "the tree is ended by its PID namespace, or process by process",
            Self::AuditRecords => "a refusal is not joined to a rule unless Weir itself made it",
            Self::Pidfd => "processes are watched by number",
            Self::CloseRange => "descriptors are closed one by one",
        }
    }
}

/// One feature on one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The feature.
    pub feature: Feature,
    /// Why it is missing; nothing when it holds.
    pub missing: Option<Cause>,
    /// What would bring it, the narrowest first.
    pub remedies: Vec<Remedy>,
}

impl Finding {
    const fn holds(feature: Feature) -> Self {
        Self { feature, missing: None, remedies: Vec::new() }
    }

    fn lacks(feature: Feature, cause: Cause, remedies: &[Remedy]) -> Self {
        Self { feature, missing: Some(cause), remedies: remedies.to_vec() }
    }

    /// From a fact that has no particular cause.
    fn of(feature: Feature, fact: Fact, remedies: &[Remedy]) -> Self {
        match Cause::of(fact) {
            None => Self::holds(feature),
            Some(cause) => Self::lacks(feature, cause, remedies),
        }
    }
}

/// Everything that matters of a host, in a fixed order.
#[must_use]
pub fn findings(host: &Host) -> Vec<Finding> {
    let mut found = vec![match host.arch {
        Some(_) => Finding::holds(Feature::Architecture),
        None => Finding::lacks(Feature::Architecture, Cause::UnknownArchitecture, &[]),
    }];
    found.extend(landlock(host));
    found.push(seccomp(host));
    found.push(since(Feature::LiveRules, host, host.seccomp.listener, (5, 9)));
    found.extend(namespaces::findings(host));
    found.extend(groups(&host.cgroups));
    found.push(records(host));
    found.push(since(Feature::Pidfd, host, host.calls.pidfd_open, (5, 3)));
    found.push(since(Feature::CloseRange, host, host.calls.close_range, (5, 9)));
    found
}

/// What keeps sandboxes from namespaces on this host; nothing where they are made of them.
#[must_use]
pub fn obstacle(host: &Host) -> Option<Finding> {
    if host.way() != Way::Bare {
        return None;
    }
    let privileged = host.identity.has(CAP_SYS_ADMIN);
    let decides = |feature: Feature| match feature {
        Feature::UserNamespace => !privileged,
        Feature::MountNamespace
        | Feature::FileTree
        | Feature::OwnProc
        | Feature::PrivateTmp
        | Feature::PidNamespace => true,
        _ => false,
    };
    namespaces::findings(host)
        .into_iter()
        .find(|finding| finding.missing.is_some() && decides(finding.feature))
}

/// Whether a command can be confined at all: by namespaces or by Landlock, and always by a filter.
#[must_use]
pub fn confines(host: &Host) -> bool {
    let files = host.way() != Way::Bare || host.landlock.restrict.works();
    host.arch.is_some() && host.seccomp.filter.works() && files
}

/// What each ABI of Landlock brought, and with which kernel (landlock(7)). ABI 8 only made restricting threads easier.
const LANDLOCK: [(Feature, u32, (u32, u32)); 9] = [
    (Feature::LandlockFiles, 1, (5, 13)),
    (Feature::LandlockRename, 2, (5, 19)),
    (Feature::LandlockTruncate, 3, (6, 2)),
    (Feature::LandlockTcp, 4, (6, 7)),
    (Feature::LandlockDevices, 5, (6, 10)),
    (Feature::LandlockScopes, 6, (6, 12)),
    (Feature::LandlockRecords, 7, (6, 15)),
    (Feature::LandlockUnixSockets, 9, (7, 1)),
    (Feature::LandlockUdp, 10, (7, 2)),
];

fn landlock(host: &Host) -> Vec<Finding> {
    let unusable = landlock_unusable(host);
    let finding = |(feature, abi, (major, minor)): (Feature, u32, (u32, u32))| match &unusable {
        Some((cause, remedies)) if host.kernel.at_least(major, minor) => {
            Finding::lacks(feature, cause.clone(), remedies)
        }
        None if host.landlock.abi >= abi => Finding::holds(feature),
        _ => too_old(feature, host, (major, minor)),
    };
    LANDLOCK.into_iter().map(finding).collect()
}

/// Why a kernel that is new enough has no Landlock.
fn landlock_unusable(host: &Host) -> Option<(Cause, Vec<Remedy>)> {
    let cause = Cause::of(host.landlock.restrict)?;
    Some(match host.landlock.restrict {
        _ if host.identity.filtered => {
            (Cause::surroundings(host.landlock.restrict), vec![Remedy::Container(cause::LANDLOCK)])
        }
        fact if fact.errno() == Some(cause::EOPNOTSUPP) => {
            (Cause::LandlockOff, vec![Remedy::BootParameter("lsm=landlock,…")])
        }
        fact if fact.errno() == Some(cause::ENOSYS) => {
            (Cause::NotBuilt, vec![Remedy::KernelOption("CONFIG_SECURITY_LANDLOCK")])
        }
        _ => (cause, Vec::new()),
    })
}

fn seccomp(host: &Host) -> Finding {
    let fact = host.seccomp.filter;
    let remedy = if host.identity.filtered {
        Remedy::Container("a seccomp profile that allows seccomp and prctl")
    } else {
        Remedy::KernelOption("CONFIG_SECCOMP_FILTER")
    };
    Finding::of(Feature::SeccompFilter, fact, &[remedy])
}

fn too_old(feature: Feature, host: &Host, (major, minor): (u32, u32)) -> Finding {
    let cause =
        Cause::KernelTooOld { release: host.kernel.release.clone(), since_major: major, since_minor: minor };
    Finding::lacks(feature, cause, &[Remedy::Kernel { major, minor }])
}

/// A call that came with a kernel.
fn since(feature: Feature, host: &Host, fact: Fact, (major, minor): (u32, u32)) -> Finding {
    match fact {
        Fact::Works => Finding::holds(feature),
        _ if !host.kernel.at_least(major, minor) => too_old(feature, host, (major, minor)),
        _ if host.identity.filtered => {
            let remedy = Remedy::Container("a seccomp profile that knows this kernel's calls");
            Finding::lacks(feature, Cause::surroundings(fact), &[remedy])
        }
        _ => Finding::of(feature, fact, &[]),
    }
}

const LIMITS: [(Feature, &str); 3] =
    [(Feature::MemoryLimit, "memory"), (Feature::ProcessLimit, "pids"), (Feature::CpuLimit, "cpu")];

const WRITABLE_GROUPS: Remedy = Remedy::Container("a cgroup namespace and a writable /sys/fs/cgroup");

fn groups(cgroups: &Cgroups) -> Vec<Finding> {
    let Some(group) = &cgroups.version2 else {
        let cause = if cgroups.version1 { Cause::OnlyCgroup1 } else { Cause::NoCgroups };
        let remedies = [Remedy::BootParameter("systemd.unified_cgroup_hierarchy=1")];
        let features = LIMITS.into_iter().map(|(feature, _)| feature).chain([Feature::GroupKill]);
        return features.map(|feature| Finding::lacks(feature, cause.clone(), &remedies)).collect();
    };
    let own = group.child.and(group.join);
    // Containers show their groups, but not to write.
    let read_only = own.errno() == Some(cause::EROFS);
    let limit = |(feature, controller): (Feature, &'static str)| {
        let has = |list: &[String]| list.iter().any(|name| name == controller);
        if !has(&group.controllers) {
            // A controller belongs to one version at a time.
            let cause = Cause::NoController { controller, version1: cgroups.version1 };
            let remedy = if cgroups.version1 {
                Remedy::BootParameter("cgroup_no_v1=all")
            } else {
                Remedy::Delegate { controller }
            };
            return Finding::lacks(feature, cause, &[remedy]);
        }
        if group.enable.errno() == Some(cause::EBUSY) && !has(&group.delegated) {
            return Finding::lacks(feature, Cause::GroupHasProcesses, &[Remedy::DelegateSubgroup]);
        }
        let given = if has(&group.delegated) { own } else { own.and(group.enable) };
        let remedies: &[Remedy] = if read_only {
            &[WRITABLE_GROUPS]
        } else {
            &[Remedy::Delegate { controller }, Remedy::SystemService]
        };
        Finding::of(feature, given, remedies)
    };
    let kill = match group.kill {
        Fact::Refused { errno: cause::ENOENT, .. } => {
            Finding::lacks(Feature::GroupKill, Cause::NotBuilt, &[Remedy::Kernel { major: 5, minor: 14 }])
        }
        kill => {
            let remedy = if read_only { WRITABLE_GROUPS } else { Remedy::SystemService };
            Finding::of(Feature::GroupKill, own.and(kill), &[remedy])
        }
    };
    LIMITS.into_iter().map(limit).chain([kill]).collect()
}

/// A server that switches auditing on, and off again when it stops.
const AUDITING_SERVER: Remedy = Remedy::Command("weir-exec-server --listen --kernel-audit enable");

/// What tells of denials.
fn records(host: &Host) -> Finding {
    match (host.audit.records, host.audit.enabled) {
        (Fact::Works, Some(false)) => Finding::lacks(
            Feature::AuditRecords,
            Cause::AuditOff,
            &[AUDITING_SERVER, Remedy::Command("auditctl -e 1"), Remedy::BootParameter("audit=1")],
        ),
        (Fact::Refused { errno: cause::EPERM | cause::ECONNREFUSED, .. }, _) => Finding::lacks(
            Feature::AuditRecords,
            Cause::NoCapability { name: "CAP_AUDIT_READ" },
            &[Remedy::SystemService, Remedy::Capability("CAP_AUDIT_READ")],
        ),
        (fact, _) => Finding::of(Feature::AuditRecords, fact, &[Remedy::KernelOption("CONFIG_AUDIT")]),
    }
}

#[cfg(test)]
pub(crate) mod tests;
