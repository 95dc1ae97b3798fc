//! The doctor on literals: machines that are at hand and machines that are not.

use std::path::PathBuf;

use super::cause::{EACCES, EBUSY, EINVAL, ENODEV, ENOENT, ENOSPC, ENOSYS, EOPNOTSUPP, EPERM};
use super::*;
use crate::bpf::Arch;
use crate::host::{Audit, Calls, Cgroup2, Identity, Kernel, Knobs, Landlock, Namespaces, Seccomp, Step};

pub(crate) const fn refused(at: Step, errno: i32) -> Fact {
    Fact::Refused { at, errno }
}

fn kernel(release: &str, major: u32, minor: u32) -> Kernel {
    Kernel { release: release.to_owned(), major, minor }
}

/// Root on a machine that has everything.
pub(crate) fn full() -> Host {
    let controllers: Vec<String> = ["cpu", "memory", "pids"].map(str::to_owned).into();
    Host {
        kernel: kernel("7.2.1", 7, 2),
        arch: Some(Arch::X86_64),
        identity: Identity {
            uid: 0,
            gid: 0,
            capabilities: 0x1ff_ffff_ffff,
            no_new_privs: false,
            filtered: false,
            initial_user_namespace: true,
            initial_pid_namespace: true,
        },
        landlock: Landlock { abi: 10, errata: 7, restrict: Fact::Works },
        seccomp: Seccomp {
            filter: Fact::Works,
            listener: Fact::Works,
            kill_process: Fact::Works,
            log: Fact::Works,
            notify: Fact::Works,
        },
        user_namespace: Fact::Works,
        knobs: Knobs { max_user_namespaces: Some(96_365), ..Knobs::default() },
        direct: Namespaces::WORKING,
        nested: Namespaces::WORKING,
        cgroups: Cgroups {
            version1: false,
            version2: Some(Cgroup2 {
                mount: "/sys/fs/cgroup".to_owned(),
                elsewhere: Vec::new(),
                own: "/sys/fs/cgroup/system.slice/weir.service".to_owned(),
                below: "/sys/fs/cgroup/system.slice/weir.service".to_owned(),
                controllers: controllers.clone(),
                delegated: controllers,
                enable: Fact::Works,
                child: Fact::Works,
                join: Fact::Works,
                kill: Fact::Works,
                swap: crate::plan::Swap::Forbidden,
            }),
        },
        calls: Calls {
            pidfd_open: Fact::Works,
            clone3: Fact::Works,
            close_range: Fact::Works,
            memfd_create: Fact::Works,
            openat2: Fact::Works,
        },
        audit: Audit { records: Fact::Works, enabled: Some(true) },
    }
}

/// The same machine, seen by an ordinary user.
pub(crate) fn user() -> Host {
    let mut host = full();
    host.identity = Identity { uid: 1000, gid: 1000, capabilities: 0, ..host.identity };
    host.direct = Namespaces::UNTRIED;
    host.audit = Audit { records: refused(Step::AuditBind, EPERM), enabled: None };
    host
}

/// A user who may not make user namespaces.
fn without_user_namespaces(errno: i32, knobs: Knobs) -> Host {
    Host { user_namespace: refused(Step::UnshareUser, errno), nested: Namespaces::UNTRIED, knobs, ..user() }
}

/// Landlock as a kernel of this ABI has it.
pub(crate) fn with_abi(release: &str, (major, minor): (u32, u32), abi: u32) -> Host {
    let restrict = if abi == 0 { refused(Step::LandlockVersion, ENOSYS) } else { Fact::Works };
    Host { kernel: kernel(release, major, minor), landlock: Landlock { abi, errata: 0, restrict }, ..full() }
}

/// An ordinary container: a filter, a covered `/proc`, no capabilities to speak of, a read-only group.
fn container() -> Host {
    let mut host = user();
    host.identity = Identity {
        uid: 0,
        capabilities: 0xa804_25fb,
        filtered: true,
        initial_pid_namespace: false,
        ..host.identity
    };
    host.user_namespace = refused(Step::UnshareUser, EPERM);
    host.nested = Namespaces::UNTRIED;
    if let Some(group) = &mut host.cgroups.version2 {
        group.child = refused(Step::CgroupMkdir, 30);
        group.join = Fact::Untried;
        group.kill = Fact::Untried;
    }
    host
}

fn missing(host: &Host) -> Vec<(Feature, Cause, Vec<Remedy>)> {
    let lacking = |finding: Finding| Some((finding.feature, finding.missing?, finding.remedies));
    findings(host).into_iter().filter_map(lacking).collect()
}

#[test]
fn a_full_machine_lacks_nothing() {
    assert_eq!(missing(&full()), []);
    assert_eq!((full().way(), confines(&full())), (Way::Direct, true));
}

#[test]
fn every_feature_is_reported_once() {
    for host in [full(), user(), container(), with_abi("5.10.0", (5, 10), 0)] {
        let features: Vec<Feature> = findings(&host).iter().map(|finding| finding.feature).collect();
        let unique: std::collections::HashSet<Feature> = features.iter().copied().collect();
        assert_eq!((features.len(), unique.len()), (31, 31));
        for finding in findings(&host) {
            assert!(finding.missing.is_some() || finding.remedies.is_empty(), "{finding:?}");
        }
    }
}

#[test]
fn landlock_by_abi() {
    let cases: [(u32, (u32, u32), usize); 11] = [
        (0, (5, 10), 9),
        (1, (5, 15), 8),
        (2, (6, 1), 7),
        (3, (6, 6), 6),
        (4, (6, 8), 5),
        (5, (6, 11), 4),
        (6, (6, 12), 3),
        (7, (6, 18), 2),
        (8, (7, 0), 2),
        (9, (7, 1), 1),
        (10, (7, 2), 0),
    ];
    for (abi, version, lacking) in cases {
        let host = with_abi("x", version, abi);
        let found = missing(&host);
        let want: Vec<_> = LANDLOCK[LANDLOCK.len() - lacking..]
            .iter()
            .map(|&(feature, _, (major, minor))| {
                let cause =
                    Cause::KernelTooOld { release: "x".to_owned(), since_major: major, since_minor: minor };
                (feature, cause, vec![Remedy::Kernel { major, minor }])
            })
            .collect();
        assert_eq!(found, want, "ABI {abi}");
    }
}

#[test]
fn landlock_switched_off_or_left_out() {
    let with = |errno, filtered| {
        let mut host = full();
        host.landlock = Landlock { abi: 0, errata: 0, restrict: refused(Step::LandlockVersion, errno) };
        host.identity.filtered = filtered;
        host
    };
    let at = Some(Step::LandlockVersion);
    let cases = [
        (with(EOPNOTSUPP, false), Cause::LandlockOff, Remedy::BootParameter("lsm=landlock,…")),
        (with(ENOSYS, false), Cause::NotBuilt, Remedy::KernelOption("CONFIG_SECURITY_LANDLOCK")),
        (with(EPERM, true), Cause::Surroundings { at }, Remedy::Container(cause::LANDLOCK)),
    ];
    for (host, cause, remedy) in cases {
        let want: Vec<_> =
            LANDLOCK.iter().map(|&(feature, ..)| (feature, cause.clone(), vec![remedy])).collect();
        assert_eq!(missing(&host), want);
        assert!(confines(&host));
    }
}

#[test]
fn what_refuses_user_namespaces_is_named() {
    let knob = |name, value| Cause::Setting { name, value };
    let set = |name, value| Remedy::Sysctl { name, value };
    let debian = Knobs { unprivileged_userns_clone: Some(0), ..Knobs::default() };
    let none = Knobs { max_user_namespaces: Some(0), ..Knobs::default() };
    let ubuntu = Knobs { apparmor_restrict_unprivileged_userns: Some(1), ..Knobs::default() };
    let open = Knobs { unprivileged_userns_clone: Some(1), max_user_namespaces: Some(9), ..Knobs::default() };
    let service = Remedy::SystemService;
    let cases = [
        (
            EPERM,
            debian,
            knob("kernel.unprivileged_userns_clone", 0),
            vec![service, set("kernel.unprivileged_userns_clone", 1)],
        ),
        (
            ENOSPC,
            none,
            knob("user.max_user_namespaces", 0),
            vec![service, set("user.max_user_namespaces", 10_000)],
        ),
        (
            EACCES,
            ubuntu,
            knob("kernel.apparmor_restrict_unprivileged_userns", 1),
            vec![Remedy::AppArmorProfile, service, set("kernel.apparmor_restrict_unprivileged_userns", 0)],
        ),
        (EINVAL, open, Cause::NotBuilt, vec![Remedy::KernelOption("CONFIG_USER_NS")]),
        (EPERM, open, Cause::Refused { at: Step::UnshareUser, errno: EPERM }, vec![service]),
    ];
    for (errno, knobs, cause, remedies) in cases {
        let host = without_user_namespaces(errno, knobs);
        let found = missing(&host);
        assert_eq!(found[0], (Feature::UserNamespace, cause, remedies), "{errno}");
        assert_eq!(found[1], (Feature::MountNamespace, Cause::NeedsUserNamespace, vec![]));
        assert_eq!((host.way(), confines(&host)), (Way::Bare, true));
        assert_eq!(obstacle(&host).map(|finding| finding.feature), Some(Feature::UserNamespace));
    }
}

/// Every capability over a user namespace is none over the machine.
#[test]
fn capabilities_in_a_user_namespace_lift_no_setting() {
    let knobs = Knobs { unprivileged_userns_clone: Some(0), ..Knobs::default() };
    let mut host = Host { knobs, user_namespace: refused(Step::UnshareUser, EPERM), ..full() };
    host.identity.initial_user_namespace = false;
    let cause = Cause::Setting { name: "kernel.unprivileged_userns_clone", value: 0 };
    assert_eq!(missing(&host)[0].1, cause);
    host.identity.initial_user_namespace = true;
    assert_eq!(missing(&host)[0].1, Cause::Refused { at: Step::UnshareUser, errno: EPERM });
}

/// Ubuntu lets the namespace be made and takes away what could be done in it.
#[test]
fn namespaces_without_capabilities_are_no_way() {
    let mut host = user();
    host.knobs.apparmor_restrict_unprivileged_userns = Some(1);
    host.nested = Namespaces::all(Fact::Untried);
    host.nested.mount = refused(Step::UnshareMount, EPERM);
    assert_eq!(host.way(), Way::Bare);
    let found = missing(&host);
    let cause = Cause::Setting { name: "kernel.apparmor_restrict_unprivileged_userns", value: 1 };
    assert_eq!((found[0].0, &found[0].1), (Feature::MountNamespace, &cause));
}

#[test]
fn nothing_confines_without_landlock_and_namespaces() {
    let mut host = without_user_namespaces(EPERM, Knobs::default());
    host.landlock = Landlock { abi: 0, errata: 0, restrict: refused(Step::LandlockVersion, EOPNOTSUPP) };
    assert!(!confines(&host));
    let mut host = full();
    host.seccomp.filter = refused(Step::SeccompFilter, EINVAL);
    assert!(!confines(&host));
    assert!(!confines(&Host { arch: None, ..full() }));
}

#[test]
fn covered_proc_leaves_landlock_alone() {
    let mut host = user();
    host.nested.proc = refused(Step::MountProc, EPERM);
    assert_eq!(host.way(), Way::Bare);
    let proc = missing(&host).into_iter().find(|(feature, ..)| *feature == Feature::OwnProc);
    assert_eq!(proc.map(|(_, cause, _)| cause), Some(Cause::CoveredProc));
}

/// Linux 5.10 has namespaces and cannot change a mount that is attached nowhere.
#[test]
fn a_kernel_that_cannot_build_a_tree() {
    let since = |major, minor| Cause::KernelTooOld {
        release: "5.10.0-30-amd64".to_owned(),
        since_major: major,
        since_minor: minor,
    };
    let cases = [
        (Step::MountSetattr, ENOSYS, since(5, 12)),
        (Step::PivotRoot, EINVAL, Cause::RootIsNoMount),
        (Step::MoveMount, EPERM, Cause::Refused { at: Step::MoveMount, errno: EPERM }),
    ];
    for (at, errno, want) in cases {
        let mut host = with_abi("5.10.0-30-amd64", (5, 10), 0);
        for set in [&mut host.direct, &mut host.nested] {
            set.detached = refused(at, errno);
        }
        assert_eq!((host.way(), confines(&host)), (Way::Bare, false));
        let found = obstacle(&host).map(|finding| (finding.feature, finding.missing));
        assert_eq!(found, Some((Feature::FileTree, Some(want))));
    }
}

/// Where nf_tables is missing the gate is, and nothing else.
#[test]
fn a_kernel_without_tables_has_no_gate() {
    let mut host = full();
    host.direct.gate = refused(Step::GateRules, EOPNOTSUPP);
    let found = missing(&host);
    let [(feature, cause, remedies)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((*feature, cause), (Feature::NetworkGate, &Cause::NoNetfilter));
    assert_eq!(remedies.len(), 2);
    assert_eq!(host.way(), Way::Direct);
}

#[test]
fn a_module_that_is_not_loaded() {
    let mut host = full();
    host.direct.overlay = refused(Step::MountOverlay, ENODEV);
    let remedies = vec![Remedy::Command("modprobe overlay"), Remedy::KernelOption("CONFIG_OVERLAY_FS")];
    assert_eq!(missing(&host), [(Feature::Overlay, Cause::NoFileSystem { name: "overlay" }, remedies)]);
    assert_eq!(host.way(), Way::Direct);
}

#[test]
fn control_groups() {
    let limits = |cgroups: &Cgroups| -> Vec<Option<Cause>> {
        groups(cgroups).into_iter().map(|finding| finding.missing).collect()
    };
    let version1 = Cgroups { version1: true, version2: None };
    assert_eq!(limits(&version1), vec![Some(Cause::OnlyCgroup1); 4]);
    assert_eq!(limits(&Cgroups { version1: false, version2: None }), vec![Some(Cause::NoCgroups); 4]);

    let mut hybrid = full().cgroups;
    hybrid.version1 = true;
    if let Some(group) = &mut hybrid.version2 {
        group.controllers = vec!["hugetlb".to_owned()];
    }
    let absent = |controller| Some(Cause::NoController { controller, version1: true });
    assert_eq!(limits(&hybrid), [absent("memory"), absent("pids"), absent("cpu"), None]);

    let mut occupied = full().cgroups;
    if let Some(group) = &mut occupied.version2 {
        group.delegated = vec!["pids".to_owned()];
        group.enable = refused(Step::CgroupEnable, EBUSY);
    }
    let in_the_way = Some(Cause::GroupHasProcesses);
    assert_eq!(limits(&occupied), [in_the_way.clone(), None, in_the_way, None]);

    let mut old = full().cgroups;
    if let Some(group) = &mut old.version2 {
        group.kill = refused(Step::CgroupKill, ENOENT);
    }
    assert_eq!(limits(&old), [None, None, None, Some(Cause::NotBuilt)]);
}

#[test]
fn texts_are_as_they_were() {
    let here = Host {
        landlock: Landlock { abi: 7, errata: 7, restrict: Fact::Works },
        cgroups: Cgroups { version1: true, version2: None },
        audit: Audit { records: Fact::Works, enabled: Some(false) },
        ..with_abi("6.18.44", (6, 18), 7)
    };
    let ubuntu = Knobs { apparmor_restrict_unprivileged_userns: Some(1), ..Knobs::default() };
    let mut old = with_abi("5.10.0-30-amd64", (5, 10), 0);
    old.direct.detached = refused(Step::MountSetattr, ENOSYS);
    old.nested.detached = refused(Step::MountSetattr, ENOSYS);
    let hosts = [
        ("full", full()),
        ("user", user()),
        ("root-cgroup1", here),
        ("apparmor", without_user_namespaces(EACCES, ubuntu)),
        ("container", container()),
        ("old-kernel", old),
    ];
    for (name, host) in hosts {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/doctor-{name}.txt"));
        let text = render(&host);
        if std::env::var_os("WEIR_BLESS").is_some() {
            std::fs::write(&path, &text).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        let want = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(text, want, "{name}; WEIR_BLESS=1 rewrites it");
    }
}

#[test]
fn findings_can_be_written_as_json() {
    let text = serde_json::to_string(&findings(&container())).unwrap_or_default();
    let back: Result<serde_json::Value, _> = serde_json::from_str(&text);
    assert_eq!(back.ok().and_then(|value| value.as_array().map(Vec::len)), Some(31));
}
