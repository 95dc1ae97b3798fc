//! The prober's parsers on literals, and the prober on this machine.

use std::path::{Path, PathBuf};

use super::*;
use crate::host::{cgroup, status};

#[test]
fn releases() {
    let cases = [
        ("6.18.44-fc-v669", (6, 18)),
        ("5.10.0-30-amd64", (5, 10)),
        ("7.0-rc3", (7, 0)),
        ("4.18.0-553.el8.x86_64", (4, 18)),
        ("", (0, 0)),
        ("strange", (0, 0)),
    ];
    for (release, (major, minor)) in cases {
        let want = Kernel { release: release.to_owned(), major, minor };
        assert_eq!(status::parse_release(release), want);
    }
    let kernel = status::parse_release("6.12.1");
    assert!(
        kernel.at_least(6, 12) && kernel.at_least(5, 19) && !kernel.at_least(6, 13) && !kernel.at_least(7, 0)
    );
}

#[test]
fn identities() {
    let text = "Name:\tweir\nUid:\t0\t1000\t1000\t1000\nGid:\t5\t100\t100\t100\nCapEff:\t000001ffffffffff\n\
                NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";
    let none = Identity {
        uid: u32::MAX,
        gid: u32::MAX,
        capabilities: 0,
        no_new_privs: false,
        filtered: false,
        initial_user_namespace: false,
        initial_pid_namespace: false,
    };
    let want = Identity {
        uid: 1000,
        gid: 100,
        capabilities: 0x1ff_ffff_ffff,
        no_new_privs: true,
        filtered: true,
        ..none.clone()
    };
    assert_eq!(status::parse_status(text), want);
    assert!(want.has(CAP_SYS_ADMIN) && !none.has(CAP_SYS_ADMIN));
    assert_eq!(status::parse_status(""), none);
}

#[test]
fn mount_tables() {
    let unified = "30 25 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    let hybrid = "31 30 0:27 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
                  32 30 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    let container = "40 30 0:26 /docker/1\\040f /sys/fs/cgroup ro master:9 - cgroup2 cgroup rw\n";
    let old = "31 30 0:27 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n";
    let mounts = |version1, mount: &str, root: &str| cgroup::Mounts {
        version1,
        version2: Some((PathBuf::from(mount), PathBuf::from(root))),
        elsewhere: Vec::new(),
    };
    let twice = format!("{unified}33 30 0:26 / /mnt/groups rw - cgroup2 none rw\n");
    let elsewhere = vec![PathBuf::from("/mnt/groups")];
    let cases = [
        (unified, mounts(false, "/sys/fs/cgroup", "/")),
        (hybrid, mounts(true, "/sys/fs/cgroup/unified", "/")),
        (container, mounts(false, "/sys/fs/cgroup", "/docker/1 f")),
        (twice.as_str(), cgroup::Mounts { elsewhere, ..mounts(false, "/sys/fs/cgroup", "/") }),
        (old, cgroup::Mounts { version1: true, ..cgroup::Mounts::default() }),
        ("garbage\n30 - cgroup2\n", cgroup::Mounts::default()),
    ];
    for (table, want) in cases {
        assert_eq!(cgroup::parse_mounts(table), want, "{table}");
    }
}

#[test]
fn own_groups() {
    let own = |root: &str, membership: &str| {
        cgroup::own_directory(Path::new("/sys/fs/cgroup"), Path::new(root), membership)
    };
    let cases = [
        ("/", "0::/\n", Some("/sys/fs/cgroup")),
        ("/", "3:pids:/x\n0::/user.slice/a b\n", Some("/sys/fs/cgroup/user.slice/a b")),
        ("/docker/1", "0::/docker/1/job\n", Some("/sys/fs/cgroup/job")),
        ("/docker/1", "0::/docker/2\n", None),
        ("/", "0::/../outside\n", None),
        ("/", "1:name=systemd:/\n", None),
    ];
    for (root, membership, want) in cases {
        assert_eq!(own(root, membership), want.map(PathBuf::from), "{root} {membership}");
    }
}

#[test]
fn facts_chain() {
    let refused = Fact::Refused { at: Step::UnshareUser, errno: 1 };
    let cases = [
        (Fact::Works, Fact::Works, Fact::Works),
        (Fact::Works, refused, refused),
        (refused, Fact::Works, refused),
        (Fact::Untried, refused, Fact::Untried),
    ];
    for (first, second, want) in cases {
        assert_eq!(first.and(second), want);
    }
}

/// What the prober finds must survive being written and read, and must not depend on when it is asked.
#[test]
fn probing_is_repeatable_and_leaves_nothing() {
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let descriptors = || std::fs::read_dir("/proc/self/fd").map(Iterator::count).unwrap_or_default();
    let (mounts_before, descriptors_before) = (mounts(), descriptors());
    let host = Host::probe();
    assert_eq!(Host::probe(), host);
    assert_eq!(mounts(), mounts_before);
    assert_eq!(descriptors(), descriptors_before);
    if let Some(group) = &host.cgroups.version2 {
        let left = std::fs::read_dir(&group.below).map(|entries| {
            let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
            names.filter(|name| name.starts_with(&format!("weir-{}-", std::process::id()))).count()
        });
        assert_eq!(left.ok(), Some(0));
    }
    let text = serde_json::to_string(&host).unwrap_or_default();
    let back: Result<Host, _> = serde_json::from_str(&text);
    assert_eq!(back.ok(), Some(host));
}

/// Whatever is presumed and not there makes a step of entering fail; what is told by the kernel must be what the prober finds.
#[test]
fn what_the_machine_tells_is_presumed_as_it_is_probed() {
    let (presumed, probed) = (Host::presumed(), Host::probe());
    assert_eq!(presumed.kernel, probed.kernel);
    assert_eq!(presumed.arch, probed.arch);
    assert_eq!(presumed.identity, probed.identity);
    assert_eq!(
        (presumed.landlock.abi, presumed.landlock.errata),
        (probed.landlock.abi, probed.landlock.errata)
    );
    assert_eq!(presumed.seccomp.notify, probed.seccomp.notify);
    assert!(presumed.way() <= probed.way(), "{:?} {:?}", presumed.way(), probed.way());
}
