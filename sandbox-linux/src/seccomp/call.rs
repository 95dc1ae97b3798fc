//! Every system call of the two architectures, each with the class that decides it.
//!
//! Numbers are those of Linux 7.3: `arch/x86/entry/syscalls/syscall_64.tbl` (the `common` and `64` entries) and
//! `scripts/syscall.tbl` as 64-bit Arm uses it. A number that has no row is unknown and answers ENOSYS, so a kernel
//! newer than this table opens nothing. A test compares every row with another table.

use super::class::Class::{
    self, Clone, Clone3, Fanotify, FileHandle, HostName, IoPort, IoUring, Ioctl, Ipc, JoinNamespace,
    KernelImage, KernelSurface, Keyring, Limits, Listen, LsmState, Mknod, Mknodat, Mount, MountQuery,
    Obsolete, Ordinary, OtherProcess, Personality, Priority, Schedule, Send, SendMessage, Socket, Socketpair,
    SystemClock, SystemState, Unshare,
};
use crate::bpf::Arch;

/// Stands for "this architecture has no such call".
const NONE: u16 = u16::MAX;

/// One system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Its name, as in syscalls(2).
    pub name: &'static str,
    x86_64: u16,
    aarch64: u16,
    /// What decides it.
    pub class: Class,
}

impl Call {
    /// Its number, where the architecture has the call.
    #[must_use]
    pub fn number(&self, arch: Arch) -> Option<u16> {
        let number = match arch {
            Arch::X86_64 => self.x86_64,
            Arch::Aarch64 => self.aarch64,
        };
        (number != NONE).then_some(number)
    }
}

/// The call with this number.
#[must_use]
pub fn by_number(arch: Arch, nr: u32) -> Option<&'static Call> {
    CALLS.iter().find(|call| call.number(arch).map(u32::from) == Some(nr))
}

/// The call with this name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Call> {
    CALLS.iter().find(|call| call.name == name)
}

const fn row(name: &'static str, x86_64: u16, aarch64: u16, class: Class) -> Call {
    Call { name, x86_64, aarch64, class }
}

/// All calls, in the order of their x86-64 numbers: name, x86-64, aarch64, class.
pub const CALLS: &[Call] = &[
    row("read", 0, 63, Ordinary),
    row("write", 1, 64, Ordinary),
    row("open", 2, NONE, Ordinary),
    row("close", 3, 57, Ordinary),
    row("stat", 4, NONE, Ordinary),
    row("fstat", 5, 80, Ordinary),
    row("lstat", 6, NONE, Ordinary),
    row("poll", 7, NONE, Ordinary),
    row("lseek", 8, 62, Ordinary),
    row("mmap", 9, 222, Ordinary),
    row("mprotect", 10, 226, Ordinary),
    row("munmap", 11, 215, Ordinary),
    row("brk", 12, 214, Ordinary),
    row("rt_sigaction", 13, 134, Ordinary),
    row("rt_sigprocmask", 14, 135, Ordinary),
    row("rt_sigreturn", 15, 139, Ordinary),
    row("ioctl", 16, 29, Ioctl),
    row("pread64", 17, 67, Ordinary),
    row("pwrite64", 18, 68, Ordinary),
    row("readv", 19, 65, Ordinary),
    row("writev", 20, 66, Ordinary),
    row("access", 21, NONE, Ordinary),
    row("pipe", 22, NONE, Ordinary),
    row("select", 23, NONE, Ordinary),
    row("sched_yield", 24, 124, Ordinary),
    row("mremap", 25, 216, Ordinary),
    row("msync", 26, 227, Ordinary),
    row("mincore", 27, 232, Ordinary),
    row("madvise", 28, 233, Ordinary),
    row("shmget", 29, 194, Ipc),
    row("shmat", 30, 196, Ipc),
    row("shmctl", 31, 195, Ipc),
    row("dup", 32, 23, Ordinary),
    row("dup2", 33, NONE, Ordinary),
    row("pause", 34, NONE, Ordinary),
    row("nanosleep", 35, 101, Ordinary),
    row("getitimer", 36, 102, Ordinary),
    row("alarm", 37, NONE, Ordinary),
    row("setitimer", 38, 103, Ordinary),
    row("getpid", 39, 172, Ordinary),
    row("sendfile", 40, 71, Ordinary),
    row("socket", 41, 198, Socket),
    row("connect", 42, 203, Ordinary),
    row("accept", 43, 202, Ordinary),
    row("sendto", 44, 206, Send),
    row("recvfrom", 45, 207, Ordinary),
    row("sendmsg", 46, 211, SendMessage),
    row("recvmsg", 47, 212, Ordinary),
    row("shutdown", 48, 210, Ordinary),
    row("bind", 49, 200, Ordinary),
    row("listen", 50, 201, Listen),
    row("getsockname", 51, 204, Ordinary),
    row("getpeername", 52, 205, Ordinary),
    row("socketpair", 53, 199, Socketpair),
    row("setsockopt", 54, 208, Ordinary),
    row("getsockopt", 55, 209, Ordinary),
    row("clone", 56, 220, Clone),
    row("fork", 57, NONE, Ordinary),
    row("vfork", 58, NONE, Ordinary),
    row("execve", 59, 221, Ordinary),
    row("exit", 60, 93, Ordinary),
    row("wait4", 61, 260, Ordinary),
    row("kill", 62, 129, Ordinary),
    row("uname", 63, 160, Ordinary),
    row("semget", 64, 190, Ipc),
    row("semop", 65, 193, Ipc),
    row("semctl", 66, 191, Ipc),
    row("shmdt", 67, 197, Ipc),
    row("msgget", 68, 186, Ipc),
    row("msgsnd", 69, 189, Ipc),
    row("msgrcv", 70, 188, Ipc),
    row("msgctl", 71, 187, Ipc),
    row("fcntl", 72, 25, Ordinary),
    row("flock", 73, 32, Ordinary),
    row("fsync", 74, 82, Ordinary),
    row("fdatasync", 75, 83, Ordinary),
    row("truncate", 76, 45, Ordinary),
    row("ftruncate", 77, 46, Ordinary),
    row("getdents", 78, NONE, Ordinary),
    row("getcwd", 79, 17, Ordinary),
    row("chdir", 80, 49, Ordinary),
    row("fchdir", 81, 50, Ordinary),
    row("rename", 82, NONE, Ordinary),
    row("mkdir", 83, NONE, Ordinary),
    row("rmdir", 84, NONE, Ordinary),
    row("creat", 85, NONE, Ordinary),
    row("link", 86, NONE, Ordinary),
    row("unlink", 87, NONE, Ordinary),
    row("symlink", 88, NONE, Ordinary),
    row("readlink", 89, NONE, Ordinary),
    row("chmod", 90, NONE, Ordinary),
    row("fchmod", 91, 52, Ordinary),
    row("chown", 92, NONE, Ordinary),
    row("fchown", 93, 55, Ordinary),
    row("lchown", 94, NONE, Ordinary),
    row("umask", 95, 166, Ordinary),
    row("gettimeofday", 96, 169, Ordinary),
    row("getrlimit", 97, 163, Ordinary),
    row("getrusage", 98, 165, Ordinary),
    row("sysinfo", 99, 179, Ordinary),
    row("times", 100, 153, Ordinary),
    row("ptrace", 101, 117, OtherProcess),
    row("getuid", 102, 174, Ordinary),
    row("syslog", 103, 116, SystemState),
    row("getgid", 104, 176, Ordinary),
    row("setuid", 105, 146, Ordinary),
    row("setgid", 106, 144, Ordinary),
    row("geteuid", 107, 175, Ordinary),
    row("getegid", 108, 177, Ordinary),
    row("setpgid", 109, 154, Ordinary),
    row("getppid", 110, 173, Ordinary),
    row("getpgrp", 111, NONE, Ordinary),
    row("setsid", 112, 157, Ordinary),
    row("setreuid", 113, 145, Ordinary),
    row("setregid", 114, 143, Ordinary),
    row("getgroups", 115, 158, Ordinary),
    row("setgroups", 116, 159, Ordinary),
    row("setresuid", 117, 147, Ordinary),
    row("getresuid", 118, 148, Ordinary),
    row("setresgid", 119, 149, Ordinary),
    row("getresgid", 120, 150, Ordinary),
    row("getpgid", 121, 155, Ordinary),
    row("setfsuid", 122, 151, Ordinary),
    row("setfsgid", 123, 152, Ordinary),
    row("getsid", 124, 156, Ordinary),
    row("capget", 125, 90, Ordinary),
    row("capset", 126, 91, Ordinary),
    row("rt_sigpending", 127, 136, Ordinary),
    row("rt_sigtimedwait", 128, 137, Ordinary),
    row("rt_sigqueueinfo", 129, 138, Ordinary),
    row("rt_sigsuspend", 130, 133, Ordinary),
    row("sigaltstack", 131, 132, Ordinary),
    row("utime", 132, NONE, Ordinary),
    row("mknod", 133, NONE, Mknod),
    row("uselib", 134, NONE, Obsolete),
    row("personality", 135, 92, Personality),
    row("ustat", 136, NONE, Obsolete),
    row("statfs", 137, 43, Ordinary),
    row("fstatfs", 138, 44, Ordinary),
    row("sysfs", 139, NONE, Obsolete),
    row("getpriority", 140, 141, Ordinary),
    row("setpriority", 141, 140, Priority),
    row("sched_setparam", 142, 118, Schedule),
    row("sched_getparam", 143, 121, Ordinary),
    row("sched_setscheduler", 144, 119, Schedule),
    row("sched_getscheduler", 145, 120, Ordinary),
    row("sched_get_priority_max", 146, 125, Ordinary),
    row("sched_get_priority_min", 147, 126, Ordinary),
    row("sched_rr_get_interval", 148, 127, Ordinary),
    row("mlock", 149, 228, Ordinary),
    row("munlock", 150, 229, Ordinary),
    row("mlockall", 151, 230, Ordinary),
    row("munlockall", 152, 231, Ordinary),
    row("vhangup", 153, 58, SystemState),
    row("modify_ldt", 154, NONE, Obsolete),
    row("pivot_root", 155, 41, Mount),
    row("_sysctl", 156, NONE, Obsolete),
    row("prctl", 157, 167, Ordinary),
    row("arch_prctl", 158, NONE, Ordinary),
    row("adjtimex", 159, 171, SystemClock),
    row("setrlimit", 160, 164, Ordinary),
    row("chroot", 161, 51, Mount),
    row("sync", 162, 81, Ordinary),
    row("acct", 163, 89, SystemState),
    row("settimeofday", 164, 170, SystemClock),
    row("mount", 165, 40, Mount),
    row("umount2", 166, 39, Mount),
    row("swapon", 167, 224, SystemState),
    row("swapoff", 168, 225, SystemState),
    row("reboot", 169, 142, KernelImage),
    row("sethostname", 170, 161, HostName),
    row("setdomainname", 171, 162, HostName),
    row("iopl", 172, NONE, IoPort),
    row("ioperm", 173, NONE, IoPort),
    row("create_module", 174, NONE, Obsolete),
    row("init_module", 175, 105, KernelImage),
    row("delete_module", 176, 106, KernelImage),
    row("get_kernel_syms", 177, NONE, Obsolete),
    row("query_module", 178, NONE, Obsolete),
    row("quotactl", 179, 60, SystemState),
    row("nfsservctl", 180, 42, Obsolete),
    row("getpmsg", 181, NONE, Obsolete),
    row("putpmsg", 182, NONE, Obsolete),
    row("afs_syscall", 183, NONE, Obsolete),
    row("tuxcall", 184, NONE, Obsolete),
    row("security", 185, NONE, Obsolete),
    row("gettid", 186, 178, Ordinary),
    row("readahead", 187, 213, Ordinary),
    row("setxattr", 188, 5, Ordinary),
    row("lsetxattr", 189, 6, Ordinary),
    row("fsetxattr", 190, 7, Ordinary),
    row("getxattr", 191, 8, Ordinary),
    row("lgetxattr", 192, 9, Ordinary),
    row("fgetxattr", 193, 10, Ordinary),
    row("listxattr", 194, 11, Ordinary),
    row("llistxattr", 195, 12, Ordinary),
    row("flistxattr", 196, 13, Ordinary),
    row("removexattr", 197, 14, Ordinary),
    row("lremovexattr", 198, 15, Ordinary),
    row("fremovexattr", 199, 16, Ordinary),
    row("tkill", 200, 130, Ordinary),
    row("time", 201, NONE, Ordinary),
    row("futex", 202, 98, Ordinary),
    row("sched_setaffinity", 203, 122, Schedule),
    row("sched_getaffinity", 204, 123, Ordinary),
    row("set_thread_area", 205, NONE, Obsolete),
    row("io_setup", 206, 0, Ordinary),
    row("io_destroy", 207, 1, Ordinary),
    row("io_getevents", 208, 4, Ordinary),
    row("io_submit", 209, 2, Ordinary),
    row("io_cancel", 210, 3, Ordinary),
    row("get_thread_area", 211, NONE, Obsolete),
    row("lookup_dcookie", 212, 18, Obsolete),
    row("epoll_create", 213, NONE, Ordinary),
    row("epoll_ctl_old", 214, NONE, Obsolete),
    row("epoll_wait_old", 215, NONE, Obsolete),
    row("remap_file_pages", 216, 234, Ordinary),
    row("getdents64", 217, 61, Ordinary),
    row("set_tid_address", 218, 96, Ordinary),
    row("restart_syscall", 219, 128, Ordinary),
    row("semtimedop", 220, 192, Ipc),
    row("fadvise64", 221, 223, Ordinary),
    row("timer_create", 222, 107, Ordinary),
    row("timer_settime", 223, 110, Ordinary),
    row("timer_gettime", 224, 108, Ordinary),
    row("timer_getoverrun", 225, 109, Ordinary),
    row("timer_delete", 226, 111, Ordinary),
    row("clock_settime", 227, 112, SystemClock),
    row("clock_gettime", 228, 113, Ordinary),
    row("clock_getres", 229, 114, Ordinary),
    row("clock_nanosleep", 230, 115, Ordinary),
    row("exit_group", 231, 94, Ordinary),
    row("epoll_wait", 232, NONE, Ordinary),
    row("epoll_ctl", 233, 21, Ordinary),
    row("tgkill", 234, 131, Ordinary),
    row("utimes", 235, NONE, Ordinary),
    row("vserver", 236, NONE, Obsolete),
    row("mbind", 237, 235, Ordinary),
    row("set_mempolicy", 238, 237, Ordinary),
    row("get_mempolicy", 239, 236, Ordinary),
    row("mq_open", 240, 180, Ipc),
    row("mq_unlink", 241, 181, Ipc),
    row("mq_timedsend", 242, 182, Ipc),
    row("mq_timedreceive", 243, 183, Ipc),
    row("mq_notify", 244, 184, Ipc),
    row("mq_getsetattr", 245, 185, Ipc),
    row("kexec_load", 246, 104, KernelImage),
    row("waitid", 247, 95, Ordinary),
    row("add_key", 248, 217, Keyring),
    row("request_key", 249, 218, Keyring),
    row("keyctl", 250, 219, Keyring),
    row("ioprio_set", 251, 30, Priority),
    row("ioprio_get", 252, 31, Ordinary),
    row("inotify_init", 253, NONE, Ordinary),
    row("inotify_add_watch", 254, 27, Ordinary),
    row("inotify_rm_watch", 255, 28, Ordinary),
    row("migrate_pages", 256, 238, Ordinary),
    row("openat", 257, 56, Ordinary),
    row("mkdirat", 258, 34, Ordinary),
    row("mknodat", 259, 33, Mknodat),
    row("fchownat", 260, 54, Ordinary),
    row("futimesat", 261, NONE, Ordinary),
    row("newfstatat", 262, 79, Ordinary),
    row("unlinkat", 263, 35, Ordinary),
    row("renameat", 264, 38, Ordinary),
    row("linkat", 265, 37, Ordinary),
    row("symlinkat", 266, 36, Ordinary),
    row("readlinkat", 267, 78, Ordinary),
    row("fchmodat", 268, 53, Ordinary),
    row("faccessat", 269, 48, Ordinary),
    row("pselect6", 270, 72, Ordinary),
    row("ppoll", 271, 73, Ordinary),
    row("unshare", 272, 97, Unshare),
    row("set_robust_list", 273, 99, Ordinary),
    row("get_robust_list", 274, 100, Ordinary),
    row("splice", 275, 76, Ordinary),
    row("tee", 276, 77, Ordinary),
    row("sync_file_range", 277, 84, Ordinary),
    row("vmsplice", 278, 75, Ordinary),
    row("move_pages", 279, 239, Ordinary),
    row("utimensat", 280, 88, Ordinary),
    row("epoll_pwait", 281, 22, Ordinary),
    row("signalfd", 282, NONE, Ordinary),
    row("timerfd_create", 283, 85, Ordinary),
    row("eventfd", 284, NONE, Ordinary),
    row("fallocate", 285, 47, Ordinary),
    row("timerfd_settime", 286, 86, Ordinary),
    row("timerfd_gettime", 287, 87, Ordinary),
    row("accept4", 288, 242, Ordinary),
    row("signalfd4", 289, 74, Ordinary),
    row("eventfd2", 290, 19, Ordinary),
    row("epoll_create1", 291, 20, Ordinary),
    row("dup3", 292, 24, Ordinary),
    row("pipe2", 293, 59, Ordinary),
    row("inotify_init1", 294, 26, Ordinary),
    row("preadv", 295, 69, Ordinary),
    row("pwritev", 296, 70, Ordinary),
    row("rt_tgsigqueueinfo", 297, 240, Ordinary),
    row("perf_event_open", 298, 241, KernelSurface),
    row("recvmmsg", 299, 243, Ordinary),
    row("fanotify_init", 300, 262, Fanotify),
    row("fanotify_mark", 301, 263, Fanotify),
    row("prlimit64", 302, 261, Limits),
    row("name_to_handle_at", 303, 264, Ordinary),
    row("open_by_handle_at", 304, 265, FileHandle),
    row("clock_adjtime", 305, 266, SystemClock),
    row("syncfs", 306, 267, Ordinary),
    row("sendmmsg", 307, 269, Send),
    row("setns", 308, 268, JoinNamespace),
    row("getcpu", 309, 168, Ordinary),
    row("process_vm_readv", 310, 270, OtherProcess),
    row("process_vm_writev", 311, 271, OtherProcess),
    row("kcmp", 312, 272, OtherProcess),
    row("finit_module", 313, 273, KernelImage),
    row("sched_setattr", 314, 274, Schedule),
    row("sched_getattr", 315, 275, Ordinary),
    row("renameat2", 316, 276, Ordinary),
    row("seccomp", 317, 277, Ordinary),
    row("getrandom", 318, 278, Ordinary),
    row("memfd_create", 319, 279, Ordinary),
    row("kexec_file_load", 320, 294, KernelImage),
    row("bpf", 321, 280, KernelSurface),
    row("execveat", 322, 281, Ordinary),
    row("userfaultfd", 323, 282, KernelSurface),
    row("membarrier", 324, 283, Ordinary),
    row("mlock2", 325, 284, Ordinary),
    row("copy_file_range", 326, 285, Ordinary),
    row("preadv2", 327, 286, Ordinary),
    row("pwritev2", 328, 287, Ordinary),
    row("pkey_mprotect", 329, 288, Ordinary),
    row("pkey_alloc", 330, 289, Ordinary),
    row("pkey_free", 331, 290, Ordinary),
    row("statx", 332, 291, Ordinary),
    row("io_pgetevents", 333, 292, Ordinary),
    row("rseq", 334, 293, Ordinary),
    row("uretprobe", 335, NONE, Ordinary),
    row("uprobe", 336, NONE, Ordinary),
    row("pidfd_send_signal", 424, 424, Ordinary),
    row("io_uring_setup", 425, 425, IoUring),
    row("io_uring_enter", 426, 426, IoUring),
    row("io_uring_register", 427, 427, IoUring),
    row("open_tree", 428, 428, Mount),
    row("move_mount", 429, 429, Mount),
    row("fsopen", 430, 430, Mount),
    row("fsconfig", 431, 431, Mount),
    row("fsmount", 432, 432, Mount),
    row("fspick", 433, 433, Mount),
    row("pidfd_open", 434, 434, Ordinary),
    row("clone3", 435, 435, Clone3),
    row("close_range", 436, 436, Ordinary),
    row("openat2", 437, 437, Ordinary),
    row("pidfd_getfd", 438, 438, OtherProcess),
    row("faccessat2", 439, 439, Ordinary),
    row("process_madvise", 440, 440, Ordinary),
    row("epoll_pwait2", 441, 441, Ordinary),
    row("mount_setattr", 442, 442, Mount),
    row("quotactl_fd", 443, 443, SystemState),
    row("landlock_create_ruleset", 444, 444, Ordinary),
    row("landlock_add_rule", 445, 445, Ordinary),
    row("landlock_restrict_self", 446, 446, Ordinary),
    row("memfd_secret", 447, 447, Ordinary),
    row("process_mrelease", 448, 448, Ordinary),
    row("futex_waitv", 449, 449, Ordinary),
    row("set_mempolicy_home_node", 450, 450, Ordinary),
    row("cachestat", 451, 451, Ordinary),
    row("fchmodat2", 452, 452, Ordinary),
    row("map_shadow_stack", 453, 453, Ordinary),
    row("futex_wake", 454, 454, Ordinary),
    row("futex_wait", 455, 455, Ordinary),
    row("futex_requeue", 456, 456, Ordinary),
    row("statmount", 457, 457, MountQuery),
    row("listmount", 458, 458, MountQuery),
    row("lsm_get_self_attr", 459, 459, Ordinary),
    row("lsm_set_self_attr", 460, 460, LsmState),
    row("lsm_list_modules", 461, 461, Ordinary),
    row("mseal", 462, 462, Ordinary),
    row("setxattrat", 463, 463, Ordinary),
    row("getxattrat", 464, 464, Ordinary),
    row("listxattrat", 465, 465, Ordinary),
    row("removexattrat", 466, 466, Ordinary),
    row("open_tree_attr", 467, 467, Mount),
    row("file_getattr", 468, 468, Ordinary),
    row("file_setattr", 469, 469, Ordinary),
    row("listns", 470, 470, MountQuery),
    row("rseq_slice_yield", 471, 471, Ordinary),
    row("fchroot", 472, 472, Mount),
];

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// Rows that the other table has not: `listns` came with Linux 6.19, `rseq_slice_yield` with 7.0, `fchroot` with 7.3.
    const NEWER: [&str; 3] = ["listns", "rseq_slice_yield", "fchroot"];

    fn ours(arch: Arch) -> BTreeMap<u32, &'static str> {
        CALLS
            .iter()
            .filter(|call| !NEWER.contains(&call.name))
            .filter_map(|call| Some((u32::from(call.number(arch)?), call.name)))
            .collect()
    }

    /// Rows of one table that the other lacks or has otherwise, both ways.
    fn differences(ours: &BTreeMap<u32, &str>, theirs: &BTreeMap<u32, &str>) -> Vec<String> {
        let lacking = |from: &BTreeMap<u32, &str>, of: &BTreeMap<u32, &str>| {
            let missing = from.iter().filter(|(nr, name)| of.get(nr) != Some(name));
            missing.map(|(nr, name)| format!("{nr} {name}")).collect::<Vec<_>>()
        };
        [lacking(ours, theirs), lacking(theirs, ours)].concat()
    }

    #[test]
    fn x86_64_agrees_with_another_table() {
        use syscalls::x86_64::Sysno;
        let call = |nr: u32| Some((nr, Sysno::new(usize::try_from(nr).ok()?)?.name()));
        let theirs = (0..1024).filter_map(call).collect();
        assert_eq!(differences(&ours(Arch::X86_64), &theirs), [""; 0]);
    }

    #[test]
    fn aarch64_agrees_with_another_table() {
        use syscalls::aarch64::Sysno;
        let call = |nr: u32| Some((nr, Sysno::new(usize::try_from(nr).ok()?)?.name()));
        // That table also lists the `*_time64` calls, 403 to 423, which only 32-bit architectures have
        // (`include/uapi/asm-generic/unistd.h`), and calls 79 `fstatat`.
        let theirs = (0..1024)
            .filter(|nr| !(403..=423).contains(nr))
            .filter_map(call)
            .map(|(nr, name)| (nr, if name == "fstatat" { "newfstatat" } else { name }))
            .collect();
        assert_eq!(differences(&ours(Arch::Aarch64), &theirs), [""; 0]);
    }

    #[test]
    fn names_and_numbers_are_unique() {
        let names: BTreeSet<&str> = CALLS.iter().map(|call| call.name).collect();
        assert_eq!(names.len(), CALLS.len());
        for arch in Arch::ALL {
            let numbers: Vec<u16> = CALLS.iter().filter_map(|call| call.number(arch)).collect();
            let unique: BTreeSet<u16> = numbers.iter().copied().collect();
            assert_eq!(unique.len(), numbers.len(), "{arch}");
        }
    }
}
