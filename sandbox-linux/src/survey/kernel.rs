//! Mounts through which the kernel itself is seen or set, wherever they are: a second `/proc` or `/sys` in a directory that is a root of
//! its own, control groups mounted by hand, a part of either bound somewhere.
//!
//! At their usual places `compile` treats them by path. Elsewhere they would come along with whatever is granted around them, and their
//! files obey uid 0 as on the host, whatever capabilities it lacks. The table of mounts tells of them by the type of the file system, which
//! a mount of a part of one has too. Called by `Survey::take`, and by the compiler through [`Survey::kernel_rules`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_protocol::AbsPath;
use weir_protocol::policy::{Access, Filesystem, Origin, PathRule};

use super::{Kind, Survey};
use crate::host::Way;
use crate::mounts::Mounts;

/// What a mount shows of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KernelTree {
    /// The host's processes: what a sandbox does not see.
    Processes,
    /// Settings, devices or records of the machine: what nobody sets from inside.
    Machine,
}

/// Types of file system (`/proc/filesystems`) that are the kernel's own, and what they show.
const KERNEL_TYPES: [(&str, KernelTree); 24] = [
    // Every process, its memory and its files, and sysctls.
    ("proc", KernelTree::Processes),
    // Open doors to namespaces of other processes.
    ("nsfs", KernelTree::Processes),
    // Devices, drivers and their settings.
    ("sysfs", KernelTree::Machine),
    // Control groups of both versions.
    ("cgroup", KernelTree::Machine),
    ("cgroup2", KernelTree::Machine),
    ("cpuset", KernelTree::Machine),
    // Shares of caches and memory bandwidth.
    ("resctrl", KernelTree::Machine),
    // What drivers and tracers show and take.
    ("debugfs", KernelTree::Machine),
    ("tracefs", KernelTree::Machine),
    // Objects of the kernel made by making directories.
    ("configfs", KernelTree::Machine),
    // Policies of security modules.
    ("securityfs", KernelTree::Machine),
    ("selinuxfs", KernelTree::Machine),
    ("smackfs", KernelTree::Machine),
    // Programs and maps that were pinned.
    ("bpf", KernelTree::Machine),
    // What the firmware and the last crash left.
    ("efivarfs", KernelTree::Machine),
    ("pstore", KernelTree::Machine),
    // Interpreters that the kernel starts.
    ("binfmt_misc", KernelTree::Machine),
    // Connections to file systems, which can be cut.
    ("fusectl", KernelTree::Machine),
    // Services of the kernel for network file systems.
    ("nfsd", KernelTree::Machine),
    ("rpc_pipefs", KernelTree::Machine),
    // The hypervisor.
    ("xenfs", KernelTree::Machine),
    // Device nodes and terminals: what is removed there is gone from `/dev`.
    ("devtmpfs", KernelTree::Machine),
    ("devpts", KernelTree::Machine),
    ("binder", KernelTree::Machine),
];

/// Where such file systems belong.
const USUAL_PLACES: [&[u8]; 3] = [b"/proc", b"/sys", b"/dev"];

impl KernelTree {
    fn of(kind: &[u8]) -> Option<Self> {
        KERNEL_TYPES.iter().find(|(name, _)| name.as_bytes() == kind).map(|(_, tree)| *tree)
    }

    /// The most that is granted where a rule around it grants more. Without mounts the host's processes are to be seen in any case.
    const fn most(self, way: Way) -> Access {
        match (self, way) {
            (Self::Processes, Way::Direct | Way::UserNamespace) => Access::None,
            (Self::Machine, _) | (_, Way::Bare) => Access::Read,
        }
    }
}

/// Those that are granted.
pub(super) fn trees(filesystem: &Filesystem, mounts: &Mounts) -> BTreeMap<AbsPath, KernelTree> {
    let found = mounts.all().iter().filter_map(|mount| {
        let tree = KernelTree::of(&mount.kind)?;
        let at = AbsPath::parse(mount.point.as_slice()).ok()?;
        let is_usual =
            at.components().next().is_some_and(|top| USUAL_PLACES.iter().any(|usual| &usual[1..] == top));
        let is_granted = !at.is_root() && !is_usual && filesystem.access(&at) > Access::None;
        (is_granted && mounts.is_seen(mount)).then_some((at, tree))
    });
    found.collect()
}

impl Survey {
    /// What is closed or read-only of such mounts, as rules to be added to these. One that a rule names itself may be read; where a rule
    /// lets one be written, the compiler refuses it.
    #[must_use]
    pub fn kernel_rules(&self, filesystem: &Filesystem, way: Way) -> Vec<PathRule> {
        let is_there =
            |at: &AbsPath| !matches!(self.places.get(at), None | Some(Kind::Missing | Kind::Symlink));
        let narrowed = self.kernel_trees.iter().filter_map(|(at, tree)| {
            let most = tree.most(way);
            let is_named = filesystem.rule_at(at).is_some();
            // What lies in a directory with a stand-in is not shown at all.
            let is_replaced = way != Way::Bare && filesystem.stand_in(at).is_some();
            let is_shown = !is_named && !is_replaced && is_there(at);
            (is_shown && filesystem.access(at) > most).then_some((at, most))
        });
        let rule = |(at, access): (&AbsPath, Access)| PathRule {
            path: at.clone(),
            access,
            origin: Origin::implied("the kernel is seen and set through this mount"),
            via: None,
            overruled: Vec::new(),
        };
        narrowed.map(rule).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::survey::tests::{path, policy};

    /// A second `/proc`, a part of one, control groups in something private, and what is none of these, in a place that may be written.
    const TABLE: &[u8] = b"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
        23 22 0:5 / /proc rw - proc proc rw\n\
        24 22 0:6 / /sys rw - sysfs sysfs rw\n\
        25 24 0:7 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n\
        26 22 0:8 / /dev rw - devtmpfs udev rw\n\
        30 22 0:5 / /w/root/proc rw - proc proc rw\n\
        31 22 0:5 /sys /w/part rw - proc proc rw\n\
        32 22 0:7 / /w/groups rw - cgroup2 cgroup2 rw\n\
        33 22 0:8 / /w/root/dev rw - devtmpfs udev rw\n\
        34 22 0:9 / /w/data rw - ext4 /dev/sdb rw\n\
        35 22 0:6 / /w/under rw - sysfs sysfs rw\n\
        36 35 0:10 / /w/under rw - tmpfs t rw\n\
        37 22 0:5 / /x/proc rw - proc proc rw\n\
        38 22 0:6 / /r/sys rw - sysfs sysfs rw\n\
        39 22 0:5 / /r/proc rw - proc proc rw\n\
        40 22 0:5 / /r/named rw - proc proc rw\n\
        41 22 0:5 / /w/gone rw - proc proc rw\n";

    #[test]
    fn what_is_granted_around_such_a_mount_is_narrowed() {
        let rules = [
            ("/w", Access::Write),
            ("/r", Access::Read),
            ("/r/named", Access::Read),
            ("/w/part", Access::Read),
        ];
        let paths = rules.map(|(at, access)| (path(at), access));
        let policy = policy(&paths.each_ref().map(|(at, access)| (at, *access)), &[]);
        let kernel_trees = trees(policy.filesystem(), &Mounts::of(TABLE));
        let found: Vec<_> = kernel_trees.keys().map(ToString::to_string).collect();
        let want = [
            "/r/named",
            "/r/proc",
            "/r/sys",
            "/w/gone",
            "/w/groups",
            "/w/part",
            "/w/root/dev",
            "/w/root/proc",
        ];
        assert_eq!(found, want);
        let kind = |at: &AbsPath| if at.as_bytes() == b"/w/gone" { Kind::Missing } else { Kind::Directory };
        let places = kernel_trees.keys().map(|at| (at.clone(), kind(at))).collect();
        let survey = Survey { kernel_trees, places, ..Survey::default() };
        let narrowed = |way| -> Vec<(String, Access)> {
            let rules = survey.kernel_rules(policy.filesystem(), way);
            rules.into_iter().map(|rule| (rule.path.to_string(), rule.access)).collect()
        };
        let at = |path: &str, access| (path.to_owned(), access);
        for way in [Way::Direct, Way::UserNamespace] {
            let want = [
                at("/r/proc", Access::None),
                at("/w/groups", Access::Read),
                at("/w/root/dev", Access::Read),
                at("/w/root/proc", Access::None),
            ];
            assert_eq!(narrowed(way), want, "{way:?}");
        }
        let want = [
            at("/w/groups", Access::Read),
            at("/w/root/dev", Access::Read),
            at("/w/root/proc", Access::Read),
        ];
        assert_eq!(narrowed(Way::Bare), want);
    }
}
