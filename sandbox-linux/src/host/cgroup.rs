//! Control groups: where the version 2 hierarchy is, and what may be done below the prober's own group.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::{Cgroup2, Cgroups, Fact, Step};
use crate::sys::probe::{self, Act, Trial};

/// What a mount table says of control groups.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Mounts {
    pub(super) version1: bool,
    /// Mount point and root within the hierarchy.
    pub(super) version2: Option<(PathBuf, PathBuf)>,
}

pub(super) fn cgroups() -> Cgroups {
    let mounts = parse_mounts(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default());
    let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let version2 = mounts.version2.and_then(|(mount, root)| {
        let own = own_directory(&mount, &root, &membership)?;
        Some(try_group(&mount, &own))
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

/// Makes a group below `own`, moves a process in and out again by its end, and removes the group.
fn try_group(mount: &Path, own: &Path) -> Cgroup2 {
    let words = |path: PathBuf| -> Vec<String> {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace().map(str::to_owned).collect()
    };
    let child = own.join(format!("weir-probe-{}", std::process::id()));
    let made = fs::create_dir(&child);
    let errno = |error: &std::io::Error| error.raw_os_error().unwrap_or(0);
    let mut group = Cgroup2 {
        mount: mount.to_string_lossy().into_owned(),
        own: own.to_string_lossy().into_owned(),
        controllers: words(own.join("cgroup.controllers")),
        delegated: words(own.join("cgroup.subtree_control")),
        child: Fact::from_result(Step::CgroupMkdir, made.as_ref().map_err(errno)),
        join: Fact::Untried,
        kill: Fact::Untried,
    };
    if made.is_ok() {
        group.join = join(&child);
        let kill = fs::metadata(child.join("cgroup.kill"));
        group.kill = Fact::from_result(Step::CgroupKill, kill.as_ref().map_err(errno));
        if let Err(error) = fs::remove_dir(&child) {
            group.child = Fact::Refused { at: Step::CgroupMkdir, errno: errno(&error) };
        }
    }
    group
}

/// Makes a process in the group. By clone3 where the kernel can: moving one costs a grace period of some milliseconds.
fn join(group: &Path) -> Fact {
    let text = |path: &Path| CString::new(path.as_os_str().as_bytes()).unwrap_or_default();
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
