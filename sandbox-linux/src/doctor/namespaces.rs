//! Namespaces: which set counts here, and what refuses the others.

use super::cause::{EACCES, EINVAL, ENODEV, ENOSPC, ENOSYS, EPERM};
use super::{Cause, Feature, Finding, Remedy, since};
use crate::host::{CAP_SYS_ADMIN, Fact, Host, Namespaces, Step, Way};

const USERNS_CLONE: &str = "kernel.unprivileged_userns_clone";
const MAX_USER_NAMESPACES: &str = "user.max_user_namespaces";
const APPARMOR: &str = "kernel.apparmor_restrict_unprivileged_userns";
/// A usual value; any that is not 0 does.
const SOME_NAMESPACES: u64 = 10_000;

const FILTER: &str = "a seccomp profile that allows unshare, clone and mount";
const PROC: &str = "--security-opt systempaths=unconfined (or no masked paths in /proc)";

pub(super) fn findings(host: &Host) -> Vec<Finding> {
    let user = match Cause::of(host.user_namespace) {
        None => Finding::holds(Feature::UserNamespace),
        Some(_) => {
            let (cause, remedies) = refusal(host, host.user_namespace);
            Finding::lacks(Feature::UserNamespace, cause, &remedies)
        }
    };
    let set = decisive(host);
    let pairs: [(Feature, Fact); 11] = [
        (Feature::MountNamespace, set.mount.and(set.private)),
        (Feature::FileTree, set.detached.and(set.pivot)),
        (Feature::OwnProc, set.proc),
        (Feature::PrivateTmp, set.tmpfs),
        (Feature::PidNamespace, set.pid),
        (Feature::IpcNamespace, set.ipc),
        (Feature::UtsNamespace, set.uts),
        (Feature::CgroupNamespace, set.cgroup),
        (Feature::NetworkNamespace, set.network),
        (Feature::NetworkGate, set.network.and(set.gate)),
        (Feature::Overlay, set.overlay),
    ];
    let mut found = vec![user];
    found.extend(pairs.into_iter().map(|(feature, fact)| finding(host, feature, fact)));
    found
}

/// The set by which a sandbox is made here, or would be if what refuses it were gone.
fn decisive(host: &Host) -> &Namespaces {
    match host.way() {
        Way::Direct => &host.direct,
        Way::UserNamespace => &host.nested,
        Way::Bare if host.identity.has(CAP_SYS_ADMIN) => &host.direct,
        Way::Bare => &host.nested,
    }
}

fn finding(host: &Host, feature: Feature, fact: Fact) -> Finding {
    match fact {
        Fact::Works => Finding::holds(feature),
        Fact::Untried if !host.user_namespace.works() && !host.identity.has(CAP_SYS_ADMIN) => {
            Finding::lacks(feature, Cause::NeedsUserNamespace, &[])
        }
        Fact::Refused { at: Step::MountProc, errno: EPERM } => {
            Finding::lacks(feature, Cause::CoveredProc, &[Remedy::Container(PROC)])
        }
        Fact::Refused { at: Step::MountOverlay, errno: ENODEV } => {
            let remedies = [Remedy::Command("modprobe overlay"), Remedy::KernelOption(option(fact))];
            Finding::lacks(feature, Cause::NoFileSystem { name: "overlay" }, &remedies)
        }
        Fact::Refused { at: Step::GateRules, .. } if !host.identity.filtered => {
            let remedies =
                [Remedy::Command("modprobe -a nf_tables nft_chain_nat"), Remedy::KernelOption(option(fact))];
            Finding::lacks(feature, Cause::NoNetfilter, &remedies)
        }
        Fact::Refused { at: Step::PivotRoot, errno: EINVAL } => {
            Finding::lacks(feature, Cause::RootIsNoMount, &[])
        }
        Fact::Refused {
            at: at @ (Step::Fsopen | Step::OpenTree | Step::MoveMount | Step::MountSetattr),
            errno: ENOSYS,
        } => since(feature, host, fact, if at == Step::MountSetattr { (5, 12) } else { (5, 2) }),
        _ => {
            let (cause, remedies) = refusal(host, fact);
            Finding::lacks(feature, cause, &remedies)
        }
    }
}

/// What refuses a namespace: the settings that are known to, then a filter, then the kernel's build.
fn refusal(host: &Host, fact: Fact) -> (Cause, Vec<Remedy>) {
    let plain = Cause::of(fact).unwrap_or(Cause::Untried);
    let knobs = host.knobs;
    // The settings ask for the capability over the machine, not over a user namespace.
    let privileged = host.identity.has(CAP_SYS_ADMIN) && host.identity.initial_user_namespace;
    let setting = |name, value| Cause::Setting { name, value };
    match fact.errno() {
        Some(EPERM) if !privileged && knobs.unprivileged_userns_clone == Some(0) => (
            setting(USERNS_CLONE, 0),
            vec![Remedy::SystemService, Remedy::Sysctl { name: USERNS_CLONE, value: 1 }],
        ),
        Some(ENOSPC) => (
            setting(MAX_USER_NAMESPACES, knobs.max_user_namespaces.unwrap_or(0)),
            vec![Remedy::SystemService, Remedy::Sysctl { name: MAX_USER_NAMESPACES, value: SOME_NAMESPACES }],
        ),
        Some(EPERM | EACCES) if !privileged && knobs.apparmor_restrict_unprivileged_userns == Some(1) => (
            setting(APPARMOR, 1),
            vec![Remedy::AppArmorProfile, Remedy::SystemService, Remedy::Sysctl { name: APPARMOR, value: 0 }],
        ),
        Some(EINVAL | ENOSYS) if !host.identity.filtered => {
            (Cause::NotBuilt, vec![Remedy::KernelOption(option(fact))])
        }
        Some(_) if host.identity.filtered => (Cause::surroundings(fact), vec![Remedy::Container(FILTER)]),
        Some(_) if !privileged => (plain, vec![Remedy::SystemService]),
        None if matches!(fact, Fact::Killed { .. }) => {
            (Cause::surroundings(fact), vec![Remedy::Container(FILTER)])
        }
        _ => (plain, Vec::new()),
    }
}

/// The kernel option behind a step.
const fn option(fact: Fact) -> &'static str {
    match fact {
        Fact::Refused { at, .. } => match at {
            Step::UnshareUser | Step::WriteUidMap | Step::WriteGidMap | Step::DenySetgroups => {
                "CONFIG_USER_NS"
            }
            Step::UnsharePid => "CONFIG_PID_NS",
            Step::UnshareIpc => "CONFIG_IPC_NS",
            Step::UnshareUts => "CONFIG_UTS_NS",
            Step::UnshareNetwork => "CONFIG_NET_NS",
            Step::UnshareCgroup => "CONFIG_CGROUPS",
            Step::GateRules => "CONFIG_NF_TABLES_INET with CONFIG_NFT_NAT",
            Step::MountTmpfs => "CONFIG_TMPFS",
            Step::MountOverlay => "CONFIG_OVERLAY_FS",
            _ => "CONFIG_NAMESPACES",
        },
        _ => "CONFIG_NAMESPACES",
    }
}
