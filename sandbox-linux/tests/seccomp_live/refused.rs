//! The calls to try, as data: arguments that change nothing, and what each answers with and without the filter.

use libc::{EACCES, EAFNOSUPPORT, ENOSYS, EPERM, EPROTONOSUPPORT};

/// What the call does without a filter, as root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outside {
    /// It succeeds.
    Succeeds,
    /// The kernel looks at its arguments: any answer but the filter's.
    Reaches,
}

/// One call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its arguments.
    pub(crate) args: [u64; 6],
    /// The filter's answer.
    pub(crate) refused: i32,
    /// The answer without it.
    pub(crate) outside: Outside,
}

/// An invalid descriptor.
const NO_FD: u64 = u64::MAX;
/// `AT_FDCWD`.
const CWD: u64 = (-100_i64).cast_unsigned();
/// Above the 32 bits that the kernel reads.
const ABOVE: u64 = 0xdead_beef_0000_0000;
/// A pointer to nothing.
const BAD: u64 = 1;

fn text(s: &'static std::ffi::CStr) -> u64 {
    s.as_ptr().addr() as u64
}

fn case<const N: usize>(name: &'static str, given: [u64; N], refused: i32, outside: Outside) -> Case {
    let mut args = [0; 6];
    args[..N].copy_from_slice(&given);
    Case { name, args, refused, outside }
}

fn succeeds<const N: usize>(name: &'static str, given: [u64; N], refused: i32) -> Case {
    case(name, given, refused, Outside::Succeeds)
}

fn reaches<const N: usize>(name: &'static str, given: [u64; N], refused: i32) -> Case {
    case(name, given, refused, Outside::Reaches)
}

/// Refused whatever the network and the unix sockets.
pub(crate) fn always() -> Vec<Case> {
    [processes_and_kernel(), mounts(), namespaces(), machine(), arguments(), sockets()].concat()
}

fn processes_and_kernel() -> Vec<Case> {
    vec![
        succeeds("ptrace", [0], EPERM), // PTRACE_TRACEME
        succeeds("process_vm_readv", [1], EPERM),
        succeeds("process_vm_writev", [1], EPERM),
        reaches("pidfd_getfd", [NO_FD], EPERM),
        reaches("kcmp", [0, 0, 1], EPERM), // no such processes
        reaches("bpf", [9999], EPERM),
        reaches("perf_event_open", [], EPERM),
        succeeds("userfaultfd", [], EPERM),
        succeeds("keyctl", [0, (-3_i64).cast_unsigned(), 1], EPERM), // the session keyring
        reaches("add_key", [BAD], EPERM),
        reaches("request_key", [BAD], EPERM),
        reaches("io_uring_setup", [1], ENOSYS),
        reaches("io_uring_enter", [NO_FD], ENOSYS),
        reaches("io_uring_register", [NO_FD], ENOSYS),
        reaches("open_by_handle_at", [NO_FD], EPERM),
        succeeds("fanotify_init", [], EPERM),
        reaches("fanotify_mark", [NO_FD], EPERM),
        reaches("lsm_set_self_attr", [], EPERM),
        succeeds("modify_ldt", [0], ENOSYS), // reads none of it
    ]
}

fn mounts() -> Vec<Case> {
    let root = text(c"/");
    vec![
        reaches("mount", [BAD, BAD, BAD], EPERM),
        reaches("umount2", [BAD], EPERM),
        reaches("pivot_root", [BAD, BAD], EPERM),
        succeeds("chroot", [root], EPERM),
        reaches("fchroot", [NO_FD], EPERM),
        reaches("move_mount", [NO_FD, BAD, NO_FD, BAD], EPERM),
        succeeds("open_tree", [CWD, root, 1], EPERM), // OPEN_TREE_CLONE
        reaches("open_tree_attr", [CWD, BAD], EPERM),
        succeeds("fsopen", [text(c"tmpfs")], EPERM),
        reaches("fsconfig", [NO_FD], EPERM),
        reaches("fsmount", [NO_FD], EPERM),
        succeeds("fspick", [CWD, root], EPERM),
        reaches("mount_setattr", [CWD, BAD], EPERM),
        reaches("statmount", [BAD], ENOSYS),
        reaches("listmount", [BAD], ENOSYS),
    ]
}

fn namespaces() -> Vec<Case> {
    let mut cases = vec![
        reaches("setns", [NO_FD], EPERM),
        reaches("clone3", [], ENOSYS),
        succeeds("clone", [0x8000 | 17], EPERM), // CLONE_PARENT
        succeeds("unshare", [0x80], EPERM),      // CLONE_NEWTIME
        reaches("unshare", [0x2_0000 | ABOVE], EPERM),
    ];
    for flag in [0x2_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000] {
        // A machine may forbid user namespaces, with another error.
        let outside = if flag == 0x1000_0000 { Outside::Reaches } else { Outside::Succeeds };
        cases.push(case("unshare", [flag], EPERM, outside));
        cases.push(case("clone", [flag | 17], EPERM, outside));
        cases.push(case("clone", [flag | 17 | ABOVE], EPERM, outside));
    }
    cases
}

fn machine() -> Vec<Case> {
    vec![
        reaches("kexec_load", [], EPERM),
        reaches("kexec_file_load", [NO_FD], EPERM),
        reaches("reboot", [0, 0], EPERM), // not its magic numbers
        reaches("swapon", [BAD], EPERM),
        reaches("swapoff", [BAD], EPERM),
        reaches("acct", [BAD], EPERM),
        reaches("quotactl", [0, BAD], EPERM),
        reaches("quotactl_fd", [NO_FD], EPERM),
        succeeds("syslog", [10], EPERM), // SYSLOG_ACTION_SIZE_BUFFER
        succeeds("vhangup", [], EPERM),  // no terminal here
        succeeds("settimeofday", [], EPERM),
        reaches("clock_settime", [999], EPERM),
        reaches("adjtimex", [BAD], EPERM),
        reaches("clock_adjtime", [0, BAD], EPERM),
        reaches("sethostname", [0, 1000], EPERM),
        reaches("setdomainname", [0, 1000], EPERM),
        reaches("iopl", [0], EPERM),
        reaches("ioperm", [0, 1, 0], EPERM),
    ]
}

fn arguments() -> Vec<Case> {
    let nowhere = text(c"/proc/nowhere/node");
    let mut cases = vec![
        succeeds("personality", [0x0040_0000], EPERM), // READ_IMPLIES_EXEC
        succeeds("personality", [0x0040_0000 | ABOVE], EPERM),
        reaches("mknod", [nowhere, 0o020_600, 0x103], EPERM),
        reaches("mknodat", [CWD, nowhere, 0o060_600, 0x700], EPERM),
        reaches("mknodat", [CWD, nowhere, 0o060_600 | ABOVE, 0x700], EPERM),
    ];
    for request in [0x5412, 0x541c, 0x5423, 0x4b47, 0x4b49, 0x4b4b, 0x4bfb, 0x4b4d] {
        cases.push(reaches("ioctl", [NO_FD, request, BAD], EPERM));
        cases.push(reaches("ioctl", [NO_FD, request | ABOVE, BAD], EPERM));
    }
    cases
}

fn sockets() -> Vec<Case> {
    vec![
        succeeds("socket", [17, 3, 0x300], EAFNOSUPPORT), // AF_PACKET
        succeeds("socket", [17 | ABOVE, 3, 0x300], EAFNOSUPPORT),
        succeeds("socket", [40, 1, 0], EAFNOSUPPORT), // AF_VSOCK
        succeeds("socket", [40 | ABOVE, 1 | 0o2_000_000, 0], EAFNOSUPPORT),
        succeeds("socket", [16, 3, 4], EPROTONOSUPPORT), // NETLINK_SOCK_DIAG
        succeeds("socket", [16, 3, 9], EPROTONOSUPPORT), // NETLINK_AUDIT
        succeeds("socket", [16, 3, 12 | ABOVE], EPROTONOSUPPORT), // NETLINK_NETFILTER
        succeeds("socket", [16, 3, 15], EPROTONOSUPPORT), // NETLINK_KOBJECT_UEVENT
        succeeds("socket", [16, 3, 16], EPROTONOSUPPORT), // NETLINK_GENERIC
    ]
}

/// Refused where there is no network at all; with a network, raw sockets are.
pub(crate) fn internet() -> Vec<Case> {
    [2, 10]
        .into_iter()
        .flat_map(|family| {
            [
                succeeds("socket", [family, 1, 0], EACCES),
                succeeds("socket", [family, 2, 0], EACCES),
                succeeds("socket", [family | ABOVE, 2 | 0o2_000_000, 17], EACCES),
                succeeds("socket", [family, 3, 255], EACCES),
            ]
        })
        .collect()
}

/// Refused where unix sockets are.
pub(crate) fn unix() -> Vec<Case> {
    vec![
        succeeds("socket", [1, 1, 0], EACCES),
        succeeds("socket", [1 | ABOVE, 2 | ABOVE, 0], EACCES),
        // The place for the pair is bad, so without a filter the kernel answers EFAULT.
        reaches("socketpair", [1, 2, 0, BAD], EACCES),
    ]
}

/// Refused where the sandbox shares the host's processes and queues.
pub(crate) fn shared() -> Vec<Case> {
    const KEY: u64 = 0x7765_6972;
    vec![
        reaches("prlimit64", [1, 7, BAD], EPERM),
        reaches("shmget", [KEY], ENOSYS),
        reaches("semget", [KEY], ENOSYS),
        reaches("msgget", [KEY], ENOSYS),
        reaches("mq_open", [BAD], ENOSYS),
        reaches("mq_unlink", [BAD], ENOSYS),
    ]
}

/// What nested user namespaces and io_uring, granted by name, let through again.
pub(crate) fn granted() -> Vec<Case> {
    vec![
        reaches("unshare", [0x1000_0000], EPERM),
        reaches("clone", [0x1000_0000 | 17], EPERM),
        reaches("clone3", [], ENOSYS),
        reaches("mount", [BAD, BAD, BAD], EPERM),
        reaches("setns", [NO_FD], EPERM),
        reaches("io_uring_setup", [1], ENOSYS),
    ]
}
