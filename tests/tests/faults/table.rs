//! The faults, and what each must end in.

use crate::place::{USER_TEXT, Way};

/// What a fault must end in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// The command does not run, and the message names this.
    Fails(&'static str),
    /// The command runs, and everything else holds it.
    Holds,
}

/// One fault.
#[derive(Debug)]
pub(crate) struct Fault {
    /// As strace takes it: the call, the error, and which of the calls.
    pub(crate) inject: String,
    /// The profile.
    pub(crate) profile: &'static str,
    /// Options of `weir run`.
    pub(crate) options: &'static [&'static str],
    /// What it must end in.
    pub(crate) expect: Expect,
}

/// The profile of all faults but those of [`GIVEN_UP`] and [`GATED`].
pub(crate) const PROFILE: &str = "fault";

/// The same in every way. A call without `when` fails whenever it is made.
const EVERYWHERE: [(&str, Expect); 17] = [
    // The server part itself begins with these.
    ("clone:error=EPERM", Expect::Fails("cannot start")),
    ("close_range:error=EPERM", Expect::Fails("cannot start")),
    ("execve:error=EPERM", Expect::Fails("")),
    ("clone3:error=ENOSYS", Expect::Holds),
    ("setsid:error=EPERM", Expect::Fails("setsid")),
    ("landlock_add_rule:error=EPERM", Expect::Fails("landlock_add_rule")),
    ("landlock_add_rule:error=ENOMEM:when=2", Expect::Fails("landlock_add_rule")),
    ("seccomp:error=EPERM", Expect::Fails("system call filter")),
    ("seccomp:error=EPERM:when=1", Expect::Fails("system call filter")),
    ("capset:error=EPERM", Expect::Fails("capset")),
    ("signalfd4:error=EPERM", Expect::Fails("signalfd")),
    ("setpgid:error=EPERM", Expect::Fails("setpgid")),
    ("dup3:error=EPERM", Expect::Fails("dup3")),
    ("prlimit64:error=EPERM", Expect::Fails("setrlimit")),
    ("pipe2:error=EMFILE", Expect::Fails("")),
    ("socketpair:error=EMFILE", Expect::Fails("")),
    ("sendmsg:error=EPERM", Expect::Fails("")),
];

/// With mounts: what makes them, and what a host without Landlock is left with.
const WITH_MOUNTS: [(&str, Expect); 32] = [
    // A kernel that has no Landlock, or in which it is switched off: mounts hold by themselves what it would hold a second time.
    ("landlock_create_ruleset:error=ENOSYS", Expect::Holds),
    ("landlock_create_ruleset:error=EOPNOTSUPP", Expect::Holds),
    // One that has it and in which it fails: that is less than was asked.
    ("landlock_create_ruleset:error=EPERM", Expect::Fails("asking for Landlock's version: EPERM")),
    ("landlock_create_ruleset:error=ENOMEM:when=1", Expect::Fails("Landlock")),
    ("landlock_restrict_self:error=EPERM", Expect::Fails("restricting a process by Landlock: EPERM")),
    ("landlock_restrict_self:error=E2BIG", Expect::Fails("restricting a process by Landlock: error 7")),
    (
        "landlock_restrict_self:error=EOPNOTSUPP",
        Expect::Fails("restricting a process by Landlock: EOPNOTSUPP"),
    ),
    // The second is the listener, without which names that do not exist cannot be guarded.
    ("seccomp:error=EPERM:when=2", Expect::Fails("seccomp")),
    ("mount:error=EPERM", Expect::Fails("making mounts private")),
    ("fsopen:error=EPERM", Expect::Fails("fsopen")),
    ("fsopen:error=ENOSYS", Expect::Fails("fsopen")),
    ("fsopen:error=EPERM:when=3", Expect::Fails("mount: build the file tree")),
    ("fsconfig:error=EPERM", Expect::Fails("fsopen")),
    ("fsconfig:error=EPERM:when=6", Expect::Fails("mount: build the file tree")),
    ("fsmount:error=EPERM", Expect::Fails("fsopen")),
    ("fsmount:error=EPERM:when=2", Expect::Fails("mount: make the root")),
    ("open_tree:error=EPERM", Expect::Fails("open_tree")),
    ("open_tree:error=EPERM:when=5", Expect::Fails("mount: build the file tree")),
    ("mount_setattr:error=EPERM", Expect::Fails("mount_setattr")),
    ("mount_setattr:error=ENOSYS", Expect::Fails("mount_setattr")),
    ("mount_setattr:error=EPERM:when=4", Expect::Fails("mount: build the file tree")),
    ("move_mount:error=EPERM", Expect::Fails("move_mount")),
    ("move_mount:error=EPERM:when=5", Expect::Fails("mount: build the file tree")),
    ("openat2:error=EPERM", Expect::Fails("mount: make a place to build")),
    ("mkdirat:error=EPERM", Expect::Fails("mount: make a place to build")),
    ("pivot_root:error=EPERM", Expect::Fails("pivot_root")),
    ("pivot_root:error=EPERM:when=2", Expect::Fails("pivot_root: enter the file tree")),
    ("umount2:error=EPERM", Expect::Fails("pivot_root: enter the file tree")),
    ("chdir:error=EPERM:when=3", Expect::Fails("pivot_root: enter the file tree")),
    ("fchdir:error=EPERM", Expect::Fails("pivot_root: enter the file tree")),
    ("sethostname:error=EPERM", Expect::Fails("sethostname")),
    ("unshare:error=EPERM", Expect::Holds),
];

/// With mounts, under a profile that gives Landlock up by name.
const GIVEN_UP: [(&str, Expect); 3] = [
    ("landlock_create_ruleset:error=EPERM", Expect::Holds),
    ("landlock_restrict_self:error=EPERM", Expect::Holds),
    // What is given up is Landlock that fails for good, not a step that could be taken.
    ("landlock_add_rule:error=EPERM", Expect::Fails("landlock_add_rule")),
];

/// With mounts, under a profile with rules for hosts: what leads everything to the network gate.
const GATED: [(&str, Expect); 6] = [
    ("socket:error=EMFILE", Expect::Fails("network gate")),
    ("sendto:error=EPERM", Expect::Fails("network gate")),
    ("recvfrom:error=EIO", Expect::Fails("network gate")),
    ("setsockopt:error=EPERM", Expect::Fails("socket: make the sockets of the network gate")),
    ("bind:error=EADDRINUSE", Expect::Fails("socket: make the sockets of the network gate")),
    ("listen:error=EADDRINUSE", Expect::Fails("socket: make the sockets of the network gate")),
];

/// Without mounts Landlock holds everything, and there is no way around it.
const BARE: [(&str, Expect); 6] = [
    ("landlock_create_ruleset:error=EPERM", Expect::Fails("Landlock")),
    ("landlock_create_ruleset:error=ENOSYS", Expect::Fails("Landlock")),
    ("landlock_restrict_self:error=EPERM", Expect::Fails("Landlock")),
    ("landlock_restrict_self:error=E2BIG", Expect::Fails("Landlock")),
    ("openat2:error=EPERM", Expect::Fails("landlock_add_rule")),
    ("chdir:error=EACCES:when=1", Expect::Fails("chdir")),
];

/// Going back from the network namespace that was made ahead, which only root may make.
const NETWORK_AHEAD: (&str, Expect) =
    ("setns:error=EPERM", Expect::Fails("clone: make the sandbox's first process"));

/// Becoming another user, which only root does.
const ANOTHER_USER: [(&str, Expect); 3] = [
    ("setgroups:error=EPERM", Expect::Fails("setgroups")),
    ("setresgid:error=EPERM", Expect::Fails("setresgid")),
    ("setresuid:error=EAGAIN", Expect::Fails("setresuid")),
];

/// The steps by prctl(2) from the last capability of the bounding set on, in the order in which the first process takes them.
const PRCTL: [&str; 5] = [
    "prctl: empty the capability bounding set",
    "prctl: lock the secure bits",
    "prctl: set no-new-privs",
    "prctl: hide the first process's memory",
    "prctl: end with the launcher",
];

/// Every fault for a way.
pub(crate) fn faults(way: Way) -> Vec<Fault> {
    let own: &[(&str, Expect)] = if way == Way::Bare { &BARE } else { &WITH_MOUNTS };
    let mut faults: Vec<Fault> =
        EVERYWHERE.iter().chain(own).map(|(inject, expect)| plain(inject, *expect)).collect();
    if way == Way::Root {
        let other = |(inject, expect): &(&str, Expect)| Fault {
            options: &["--user", USER_TEXT],
            ..plain(inject, *expect)
        };
        faults.extend(ANOTHER_USER.iter().map(other));
        faults.push(plain(NETWORK_AHEAD.0, NETWORK_AHEAD.1));
    }
    if way != Way::Bare {
        let given_up = |(inject, expect): &(&str, Expect)| Fault {
            profile: "without-landlock",
            ..plain(inject, *expect)
        };
        faults.extend(GIVEN_UP.iter().map(given_up));
        let gated = |(inject, expect): &(&str, Expect)| Fault { profile: "gated", ..plain(inject, *expect) };
        faults.extend(GATED.iter().map(gated));
        // In a user namespace one call goes before: the maps are written by a process that can be dumped.
        let first = bounding_set_calls() + usize::from(way == Way::User);
        let step = |(at, step): (usize, &&'static str)| {
            plain(&format!("prctl:error=EPERM:when={}", first + at), Expect::Fails(step))
        };
        faults.extend(PRCTL.iter().enumerate().map(step));
    }
    faults
}

fn plain(inject: &str, expect: Expect) -> Fault {
    Fault { inject: inject.to_owned(), profile: PROFILE, options: &[], expect }
}

/// How many calls it takes to empty the bounding set: one for each capability, and one that finds no further.
fn bounding_set_calls() -> usize {
    let last = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap();
    last.trim().parse::<usize>().unwrap() + 2
}
