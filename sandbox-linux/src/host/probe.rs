//! What is tried, in which order, and what depends on what.

use std::ffi::{CStr, CString};

use super::{
    Arch, Audit, CAP_SYS_ADMIN, Calls, Cgroups, Fact, Host, Identity, Knobs, Landlock, Namespaces, Seccomp,
    Step, cgroup, status,
};
use crate::bpf::Action;
use crate::gate::Gate;
use crate::plan::Loopback;
use crate::sys::audit;
use crate::sys::probe::{self as sys, Act, Trial};

pub(super) fn probe() -> Host {
    let identity = status::identity();
    let (direct, user_namespace, nested) = ways(&identity);
    Host {
        kernel: status::kernel(),
        arch: arch(),
        landlock: landlock(),
        seccomp: seccomp(),
        user_namespace,
        knobs: status::knobs(),
        direct,
        nested,
        cgroups: cgroup::cgroups(),
        calls: calls(),
        audit: audit(),
        identity,
    }
}

/// Tries what a sandbox is made of.
pub(super) fn tried() -> Host {
    let presumed = presumed();
    let (direct, user_namespace, nested) = ways(&presumed.identity);
    let landlock = landlock();
    Host { landlock, seccomp: seccomp(), user_namespace, direct, nested, ..presumed }
}

pub(super) fn presumed() -> Host {
    let identity = status::identity();
    let knobs = status::knobs();
    let capable = identity.has(CAP_SYS_ADMIN);
    let version = sys::landlock_version();
    let known = known(Action::Notify);
    let works = Fact::Works;
    Host {
        kernel: status::kernel(),
        arch: arch(),
        landlock: Landlock {
            abi: version.unwrap_or(0),
            errata: sys::landlock_errata().unwrap_or(0),
            restrict: Fact::from_result(Step::LandlockVersion, version),
        },
        seccomp: Seccomp { filter: works, listener: known, kill_process: works, log: works, notify: known },
        user_namespace: if forbidden(&knobs, capable) { Fact::Untried } else { works },
        knobs,
        direct: if capable { Namespaces::WORKING } else { Namespaces::UNTRIED },
        nested: Namespaces::WORKING,
        cgroups: Cgroups { version1: false, version2: None },
        calls: Calls {
            pidfd_open: works,
            clone3: works,
            close_range: works,
            memfd_create: works,
            openat2: works,
        },
        audit: Audit { records: Fact::Untried, enabled: None },
        identity,
    }
}

/// Whether a setting forbids user namespaces whoever asks, so that trying would fail. One that forbids them to some programs only (AppArmor)
/// says nothing about this one.
fn forbidden(knobs: &Knobs, capable: bool) -> bool {
    knobs.max_user_namespaces == Some(0) || !capable && knobs.unprivileged_userns_clone == Some(0)
}

/// Whether filters may answer this.
fn known(action: Action) -> Fact {
    Fact::from_result(Step::SeccompAction, sys::seccomp_action_available(action.encode()))
}

fn arch() -> Option<Arch> {
    match std::env::consts::ARCH {
        "x86_64" => Some(Arch::X86_64),
        "aarch64" => Some(Arch::Aarch64),
        _ => None,
    }
}

fn landlock() -> Landlock {
    let version = sys::landlock_version();
    let restrict = match version {
        Err(errno) => Fact::Refused { at: Step::LandlockVersion, errno },
        Ok(_) => {
            let trials = [
                Trial { step: Step::NoNewPrivs, act: Act::NoNewPrivs, needs: [None; 2] },
                Trial { step: Step::LandlockRestrict, act: Act::LandlockRestrict, needs: [Some(0), None] },
            ];
            last(&sys::in_child(&trials))
        }
    };
    Landlock { abi: version.unwrap_or(0), errata: sys::landlock_errata().unwrap_or(0), restrict }
}

fn seccomp() -> Seccomp {
    let trials = [
        Trial { step: Step::NoNewPrivs, act: Act::NoNewPrivs, needs: [None; 2] },
        Trial { step: Step::SeccompFilter, act: Act::SeccompFilter { flags: 0 }, needs: [Some(0), None] },
        Trial {
            step: Step::SeccompListener,
            act: Act::SeccompFilter { flags: sys::FILTER_FLAG_NEW_LISTENER },
            needs: [Some(1), None],
        },
    ];
    let [filter, listener] = match *sys::in_child(&trials) {
        [no_new_privs, filter, listener] => [no_new_privs.and(filter), listener],
        _ => [Fact::Untried; 2],
    };
    Seccomp {
        filter,
        listener,
        kill_process: known(Action::KillProcess),
        log: known(Action::Log),
        notify: known(Action::Notify),
    }
}

fn calls() -> Calls {
    Calls {
        pidfd_open: Fact::from_result(Step::PidfdOpen, sys::pidfd_open()),
        clone3: Fact::from_result(Step::Clone3, sys::clone3()),
        close_range: Fact::from_result(Step::CloseRange, sys::close_range()),
        memfd_create: Fact::from_result(Step::MemfdCreate, sys::memfd_create()),
        openat2: Fact::from_result(Step::Openat2, sys::openat2()),
    }
}

fn audit() -> Audit {
    Audit { records: audit::records(), enabled: audit::status().ok().map(|status| status.enabled) }
}

/// Trials to be made in one child.
struct Set<'a> {
    trials: Vec<Trial<'a>>,
}

impl<'a> Set<'a> {
    fn add(&mut self, step: Step, act: Act<'a>, needs: Option<usize>) -> Option<usize> {
        self.add_after(step, act, [needs, None])
    }

    fn add_after(&mut self, step: Step, act: Act<'a>, needs: [Option<usize>; 2]) -> Option<usize> {
        self.trials.push(Trial { step, act, needs });
        Some(self.trials.len() - 1)
    }
}

const ROOT: &CStr = c"/";
/// Covered in the child's own mount namespace only.
const PROC: &CStr = c"/proc";
/// Directories on the child's own tmpfs, which covers `/proc` by then.
const OVERLAY_DIRECTORIES: [&CStr; 4] = [c"/proc/lower", c"/proc/upper", c"/proc/work", c"/proc/merged"];
/// With its records in `user.*` attributes (Linux 5.11): in a user namespace it can have no others, and elsewhere whoever is not root could
/// not read them.
const OVERLAY: &CStr = c"lowerdir=/proc/lower,upperdir=/proc/upper,workdir=/proc/work,userxattr";

/// Where each fact of [`Namespaces`] will stand.
type Places = [Option<usize>; 17];

/// Adds every namespace and mount, all after `first` where it is given; answers where each fact will stand.
fn namespaces<'a>(set: &mut Set<'a>, first: Option<usize>, way: &'a Gate) -> Places {
    let mount = set.add(Step::UnshareMount, Act::Unshare(libc::CLONE_NEWNS), first);
    let ipc = set.add(Step::UnshareIpc, Act::Unshare(libc::CLONE_NEWIPC), first);
    let uts = set.add(Step::UnshareUts, Act::Unshare(libc::CLONE_NEWUTS), first);
    let cgroup = set.add(Step::UnshareCgroup, Act::Unshare(libc::CLONE_NEWCGROUP), first);
    let network = set.add(Step::UnshareNetwork, Act::Unshare(libc::CLONE_NEWNET), first);
    let links = set.add(Step::GateLinks, Act::GateLinks(way), network);
    let rules = set.add(Step::GateRules, Act::GateRules(way), links);
    let pid = set.add(Step::UnsharePid, Act::Unshare(libc::CLONE_NEWPID), first);
    let private = set.add(Step::MakePrivate, Act::MakePrivate(ROOT), mount);
    // The first process of the PID namespace goes on from here; procfs shows the namespace of who mounts it.
    let inside = set.add(Step::ForkInside, Act::Fork, pid);
    let procfs = Act::Mount { kind: c"proc", at: PROC, data: c"" };
    // Both: without a private tree the mount would reach the machine's own.
    let proc = set.add_after(Step::MountProc, procfs, [inside, private]);
    let tmpfs = set.add(Step::MountTmpfs, Act::Mount { kind: c"tmpfs", at: PROC, data: c"" }, private);
    let mut made = tmpfs;
    for directory in OVERLAY_DIRECTORIES {
        made = set.add(Step::MakeDirectory, Act::MakeDirectory(directory), made);
    }
    let merged = OVERLAY_DIRECTORIES[3];
    let overlay =
        set.add(Step::MountOverlay, Act::Mount { kind: c"overlay", at: merged, data: OVERLAY }, made);
    let [made, copied, changed, attached, pivot] = tree(set, tmpfs);
    [
        mount, pid, ipc, uts, cgroup, network, private, proc, tmpfs, overlay, made, copied, changed,
        attached, pivot, links, rules,
    ]
}

/// Adds what a file tree is built with, on the child's own tmpfs; last of all, for the root is another then.
fn tree(set: &mut Set<'_>, tmpfs: Option<usize>) -> [Option<usize>; 5] {
    [
        set.add(Step::Fsopen, Act::DetachedMount(c"tmpfs"), tmpfs),
        set.add(Step::OpenTree, Act::CopyMount(PROC), tmpfs),
        set.add(Step::MountSetattr, Act::ChangeMount(PROC), tmpfs),
        set.add(Step::MoveMount, Act::AttachMount(PROC), tmpfs),
        set.add(Step::PivotRoot, Act::PivotRoot(PROC), tmpfs),
    ]
}

fn collect(facts: &[Fact], places: Places) -> Namespaces {
    let fact = |place: Option<usize>| place.and_then(|at| facts.get(at).copied()).unwrap_or(Fact::Untried);
    let [
        mount,
        pid,
        ipc,
        uts,
        cgroup,
        network,
        private,
        proc,
        tmpfs,
        overlay,
        made,
        copied,
        changed,
        attached,
        pivot,
        links,
        rules,
    ] = places.map(fact);
    let detached = made.and(copied).and(changed).and(attached);
    let gate = links.and(rules);
    Namespaces { mount, pid, ipc, uts, cgroup, network, gate, private, proc, tmpfs, overlay, detached, pivot }
}

/// The trials without a user namespace.
fn direct(gate: &Gate) -> (Set<'_>, Places) {
    let mut set = Set { trials: Vec::new() };
    let places = namespaces(&mut set, None, gate);
    (set, places)
}

/// How many trials make the user namespace itself.
const USER_NAMESPACE_TRIALS: usize = 4;

/// The trials in a user namespace.
fn nested<'a>(uid_map: &'a CStr, gid_map: &'a CStr, gate: &'a Gate) -> (Set<'a>, Places) {
    let mut set = Set { trials: Vec::new() };
    let user = set.add(Step::UnshareUser, Act::Unshare(libc::CLONE_NEWUSER), None);
    let deny = Act::Write { path: c"/proc/self/setgroups", text: b"deny" };
    let denied = set.add(Step::DenySetgroups, deny, user);
    let uids = Act::Write { path: c"/proc/self/uid_map", text: uid_map.to_bytes() };
    let mapped = set.add(Step::WriteUidMap, uids, denied);
    let gids = Act::Write { path: c"/proc/self/gid_map", text: gid_map.to_bytes() };
    let ready = set.add(Step::WriteGidMap, gids, mapped);
    let places = namespaces(&mut set, ready, gate);
    (set, places)
}

/// Both ways to make namespaces, tried at the same time: without a user namespace (where privilege allows), the user
/// namespace itself, and with one.
fn ways(identity: &Identity) -> (Namespaces, Fact, Namespaces) {
    let map = |id: u32| CString::new(format!("{id} {id} 1\n")).unwrap_or_default();
    let (uid_map, gid_map) = (map(identity.uid), map(identity.gid));
    let gate = Gate::new(Loopback::Untouched);
    let (nested, nested_places) = nested(&uid_map, &gid_map, &gate);
    let (direct, direct_places) = direct(&gate);
    let at_work = sys::start(&nested.trials);
    let direct = if identity.has(CAP_SYS_ADMIN) {
        collect(&sys::in_child(&direct.trials), direct_places)
    } else {
        Namespaces::UNTRIED
    };
    let facts = at_work.facts();
    let user_namespace = last(&facts[..facts.len().min(USER_NAMESPACE_TRIALS)]);
    (direct, user_namespace, collect(&facts, nested_places))
}

/// The first fact that is not "works", or that one.
fn last(facts: &[Fact]) -> Fact {
    facts.iter().copied().fold(Fact::Works, Fact::and)
}
