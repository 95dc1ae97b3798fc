//! Control groups: where the version 2 hierarchy is, and below which group of it the prober may make others.

use std::ffi::{CStr, CString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Cgroup2, Cgroups, Fact, Step, status};
use crate::group::Group;
use crate::plan::Swap;
use crate::sys::probe::{self, Act, Trial};

/// What a mount table says of control groups.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Mounts {
    pub(super) version1: bool,
    /// Mount point and root within the hierarchy.
    pub(super) version2: Option<(PathBuf, PathBuf)>,
    /// Further mount points of it.
    pub(super) elsewhere: Vec<PathBuf>,
}

pub(super) fn cgroups() -> Cgroups {
    let mounts = parse_mounts(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default());
    let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let version2 = mounts.version2.and_then(|(mount, root)| {
        let own = own_directory(&mount, &root, &membership)?;
        Some(try_groups(&mount, &mounts.elsewhere, &own))
    });
    Cgroups { version1: mounts.version1, version2 }
}

/// Reads a mount table (proc_pid_mountinfo(5)).
pub(super) fn parse_mounts(mountinfo: &str) -> Mounts {
    let mut mounts = Mounts::default();
    for line in mountinfo.lines() {
        let Some((before, after)) = line.split_once(" - ") else { continue };
        let mut fields = before.split(' ').skip(3);
        let (Some(root), Some(mount)) = (fields.next(), fields.next()) else { continue };
        match after.split(' ').next() {
            Some("cgroup") => mounts.version1 = true,
            Some("cgroup2") if mounts.version2.is_none() => {
                mounts.version2 = Some((unescape(mount), unescape(root)));
            }
            Some("cgroup2") => mounts.elsewhere.push(unescape(mount)),
            _ => {}
        }
    }
    mounts
}

/// The directory of the group named on the `0::` line of `/proc/self/cgroup`, if the mount shows it.
pub(super) fn own_directory(mount: &Path, root: &Path, membership: &str) -> Option<PathBuf> {
    let group = membership.lines().find_map(|line| line.strip_prefix("0::"))?;
    let below = Path::new(group).strip_prefix(root).ok()?;
    // A group outside the prober's cgroup namespace is written with leading `..`.
    let inside = below.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    inside.then(|| mount.join(below))
}

/// Octal escapes of the mount table: space, tab, newline, backslash.
fn unescape(field: &str) -> PathBuf {
    let text =
        field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\");
    PathBuf::from(text)
}

/// Most groups looked at: those around the prober's own, the nearest first.
const MAX_AROUND: usize = 16;

/// Controllers that limit a tree.
const LIMITING: [&str; 3] = ["memory", "pids", "cpu"];

/// Attributes with which systemd marks a group that it has handed over (systemd.resource-control(5), `Delegate=`).
const DELEGATED: [&CStr; 2] = [c"user.delegate", c"trusted.delegate"];

/// There where systemd runs the machine (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";

/// Tries the nearest of the groups that give most controllers, by making a group below it; another one where that fails.
fn try_groups(mount: &Path, elsewhere: &[PathBuf], own: &Path) -> Cgroup2 {
    let mut candidates: Vec<Cgroup2> = own
        .ancestors()
        .take_while(|directory| directory.starts_with(mount))
        .take(MAX_AROUND)
        .filter(|directory| *directory == own || is_to_use(directory, mount))
        .map(|directory| look(mount, elsewhere, own, directory))
        .collect();
    // Stable, so that the nearest stays first.
    candidates.sort_by_key(|candidate| std::cmp::Reverse(promises(candidate)));
    for candidate in &mut candidates {
        attempt(candidate);
        if candidate.child.and(candidate.join).works() {
            return candidate.clone();
        }
    }
    let of_own = candidates.into_iter().find(|candidate| candidate.below == candidate.own);
    of_own.unwrap_or_else(|| look(mount, elsewhere, own, own))
}

/// How many of the limiting controllers a group gives, or could be made to give, to one below it.
fn promises(group: &Cgroup2) -> usize {
    let has = |list: &[String], name: &str| list.iter().any(|one| one == name);
    let gives =
        |name: &&&str| has(&group.controllers, name) && (has(&group.delegated, name) || group.enable.works());
    LIMITING.iter().filter(gives).count()
}

/// Whether a group around the prober's own is its to make groups in: handed over to its user, or to whoever runs below it; for root
/// any one where no systemd takes the whole hierarchy for its own.
fn is_to_use(directory: &Path, mount: &Path) -> bool {
    let uid = status::identity().uid;
    if uid != 0 {
        return fs::metadata(directory).is_ok_and(|found| found.uid() == uid);
    }
    let mut around = directory.ancestors().take_while(|one| one.starts_with(mount));
    let marked = |one: &Path| DELEGATED.iter().any(|name| probe::has_attribute(&text(one), name));
    !Path::new(SYSTEMD).exists() || around.any(marked)
}

/// What a group's files say, nothing tried.
fn look(mount: &Path, elsewhere: &[PathBuf], own: &Path, directory: &Path) -> Cgroup2 {
    let words = |name: &str| -> Vec<String> {
        let text = fs::read_to_string(directory.join(name)).unwrap_or_default();
        text.split_whitespace().map(str::to_owned).collect()
    };
    let lossy = |path: &Path| path.to_string_lossy().into_owned();
    Cgroup2 {
        mount: lossy(mount),
        elsewhere: elsewhere.iter().map(|path| lossy(path)).collect(),
        own: lossy(own),
        below: lossy(directory),
        controllers: words("cgroup.controllers"),
        delegated: words("cgroup.subtree_control"),
        enable: enable(directory),
        child: Fact::Untried,
        join: Fact::Untried,
        kill: Fact::Untried,
        // There even where nothing is used for swapping at the moment (proc_swaps(5)).
        swap: if Path::new("/proc/swaps").exists() { Swap::Forbidden } else { Swap::Absent },
    }
}

/// Whether a group would take more controllers for those below it. Not done here, for what is enabled stays so.
fn enable(directory: &Path) -> Fact {
    let opened = fs::OpenOptions::new().write(true).open(directory.join("cgroup.subtree_control"));
    if let Err(error) = opened {
        return Fact::Refused { at: Step::CgroupEnable, errno: error.raw_os_error().unwrap_or(0) };
    }
    // The machine's first group may have processes, and alone has no type.
    let is_first = !directory.join("cgroup.type").exists();
    let is_empty = fs::read_to_string(directory.join("cgroup.procs")).is_ok_and(|list| list.is_empty());
    if is_first || is_empty {
        Fact::Works
    } else {
        Fact::Refused { at: Step::CgroupEnable, errno: libc::EBUSY }
    }
}

/// Makes a group, and a process in it that ends; both are gone afterwards, also where the prober is ended meanwhile.
fn attempt(candidate: &mut Cgroup2) {
    match Group::bare(&candidate.below) {
        Err(errno) => candidate.child = Fact::Refused { at: Step::CgroupMkdir, errno },
        Ok(group) => {
            candidate.child = Fact::Works;
            let inner = Path::new(&candidate.below).join(group.inner());
            candidate.join = join(&inner);
            candidate.kill = Fact::from_result(Step::CgroupKill, group.can_end());
        }
    }
}

fn text(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}

/// Makes a process in the group. By clone3 where the kernel can: moving one costs a grace period of some milliseconds.
fn join(group: &Path) -> Fact {
    let (directory, processes) = (text(group), text(&group.join("cgroup.procs")));
    let attempt = |act| {
        let trial = Trial { step: Step::CgroupJoin, act, needs: [None; 2] };
        probe::in_child(&[trial]).first().copied().unwrap_or(Fact::Untried)
    };
    match attempt(Act::CloneInto(&directory)) {
        Fact::Refused { errno: libc::ENOSYS | libc::EINVAL | libc::E2BIG, .. } => {
            attempt(Act::Write { path: &processes, text: b"0" })
        }
        fact => fact,
    }
}
