//! Facts that are files: who the prober is, the kernel's release, and its settings.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::{Identity, Kernel, Knobs};

/// Inode of the machine's first user namespace (`PROC_USER_INIT_INO`, `linux/proc_ns.h`).
const INITIAL_USER_NAMESPACE: u64 = 0xefff_fffd;
/// Inode of the machine's first PID namespace (`PROC_PID_INIT_INO`).
const INITIAL_PID_NAMESPACE: u64 = 0xefff_fffc;

pub(super) fn kernel() -> Kernel {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    parse_release(release.trim_end())
}

/// The two leading numbers; 0 where there is none, so that an unknown kernel counts as old.
pub(super) fn parse_release(release: &str) -> Kernel {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.parse().unwrap_or(0));
    let major = numbers.next().unwrap_or(0);
    let minor = numbers.next().unwrap_or(0);
    Kernel { release: release.to_owned(), major, minor }
}

pub(super) fn identity() -> Identity {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut identity = parse_status(&status);
    identity.initial_user_namespace = inode("/proc/self/ns/user") == Some(INITIAL_USER_NAMESPACE);
    identity.initial_pid_namespace = inode("/proc/self/ns/pid") == Some(INITIAL_PID_NAMESPACE);
    identity
}

/// The fields of `/proc/self/status` (proc_pid_status(5)); what is missing counts as no privilege.
pub(super) fn parse_status(status: &str) -> Identity {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim).unwrap_or_default()
    };
    // Real, effective, saved and file-system id, in that order.
    let effective =
        |name| field(name).split_whitespace().nth(1).and_then(|id| id.parse().ok()).unwrap_or(u32::MAX);
    Identity {
        uid: effective("Uid"),
        gid: effective("Gid"),
        capabilities: u64::from_str_radix(field("CapEff"), 16).unwrap_or(0),
        no_new_privs: field("NoNewPrivs") == "1",
        filtered: field("Seccomp") == "2",
        initial_user_namespace: false,
        initial_pid_namespace: false,
    }
}

pub(super) fn knobs() -> Knobs {
    let number = |path| fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok());
    Knobs {
        unprivileged_userns_clone: number("/proc/sys/kernel/unprivileged_userns_clone"),
        max_user_namespaces: number("/proc/sys/user/max_user_namespaces"),
        apparmor_restrict_unprivileged_userns: number(
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        ),
    }
}

fn inode(path: &str) -> Option<u64> {
    fs::metadata(path).ok().map(|metadata| metadata.ino())
}
