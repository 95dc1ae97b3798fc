//! The filter's laws, and its answers call by call.

use proptest::prelude::*;

use super::*;
use crate::bpf::{Errno, Program};

const EPERM: Action = Action::Errno(Errno::EPERM);
const EACCES: Action = Action::Errno(Errno::EACCES);
const ENOSYS: Action = Action::Errno(Errno::ENOSYS);
const NO_PROTOCOL: Action = Action::Errno(Errno::EPROTONOSUPPORT);
const NO_FAMILY: Action = Action::Errno(Errno::EAFNOSUPPORT);
const ALLOW: Action = Action::Allow;

/// `AUDIT_ARCH_I386`, `AUDIT_ARCH_ARM`.
const I386: u32 = 0x4000_0003;
const ARM: u32 = 0x4000_0028;

/// What an ordinary confined command gets.
const WORKSPACE: Needs = Needs { network: Network::Private, unix_sockets: Grant::Allowed, ..Needs::STRICT };
/// The least refused.
const WIDE: Needs = Needs {
    network: Network::Host,
    unix_sockets: Grant::Allowed,
    nested_user_namespaces: Grant::Allowed,
    io_uring: Grant::Allowed,
    ipc: Ipc::Own,
    pids: Pids::Own,
};
/// No namespace at all.
const BARE: Needs = Needs { ipc: Ipc::Shared, pids: Pids::Shared, ..Needs::STRICT };

fn all_needs() -> Vec<Needs> {
    let grants = [Grant::Denied, Grant::Allowed];
    let mut all = Vec::new();
    for network in [Network::None, Network::Private, Network::Proxied, Network::Host] {
        for unix_sockets in grants {
            for nested_user_namespaces in grants {
                for io_uring in grants {
                    for ipc in [Ipc::Own, Ipc::Shared] {
                        for pids in [Pids::Own, Pids::Shared] {
                            all.push(Needs {
                                network,
                                unix_sockets,
                                nested_user_namespaces,
                                io_uring,
                                ipc,
                                pids,
                            });
                        }
                    }
                }
            }
        }
    }
    all
}

fn compiled(needs: &Needs, arch: Arch) -> Program {
    compile(needs, arch).unwrap_or_else(|defect| panic!("{needs:?} {arch}: {defect}"))
}

fn run(program: &Program, data: &SeccompData) -> Action {
    program.evaluate(data).unwrap_or_else(|defect| panic!("{data:?}: {defect}")).action
}

/// Calls by name against the compiled program of both architectures.
fn check(needs: &Needs, cases: &[(&str, &[u64], Action)]) {
    for arch in Arch::ALL {
        let program = compiled(needs, arch);
        for &(name, given, want) in cases {
            let call = by_name(name).unwrap_or_else(|| panic!("no row for {name}"));
            let Some(nr) = call.number(arch) else { continue };
            let mut args = [0; 6];
            args[..given.len()].copy_from_slice(given);
            // What stands above the 32 bits that the kernel reads must not matter.
            for above in [0, 0xffff_ffff_0000_0000, 0x0000_0001_0000_0000] {
                let args = if name == "prlimit64" { args } else { args.map(|arg| arg | above) };
                let data =
                    SeccompData { nr: u32::from(nr), arch: arch.audit(), args, ..SeccompData::default() };
                assert_eq!(run(&program, &data), want, "{arch} {name} {args:x?}");
            }
        }
    }
}

#[test]
fn the_list_of_refused_calls() {
    let eperm = "ptrace process_vm_readv process_vm_writev pidfd_getfd kcmp bpf perf_event_open userfaultfd keyctl \
                 add_key request_key mount umount2 pivot_root chroot fchroot move_mount open_tree open_tree_attr fsopen fsconfig \
                 fsmount fspick mount_setattr setns kexec_load kexec_file_load init_module finit_module \
                 delete_module reboot swapon swapoff acct quotactl quotactl_fd open_by_handle_at iopl ioperm \
                 settimeofday clock_settime adjtimex clock_adjtime sethostname setdomainname fanotify_init \
                 fanotify_mark syslog vhangup lsm_set_self_attr";
    let enosys = "io_uring_setup io_uring_enter io_uring_register clone3 statmount listmount listns \
                  lookup_dcookie uselib create_module query_module nfsservctl modify_ldt _sysctl sysfs ustat";
    for needs in [Needs::STRICT, WORKSPACE, BARE] {
        let cases =
            |names: &'static str, want| names.split_whitespace().map(move |name| (name, &[] as &[u64], want));
        let all: Vec<_> = cases(eperm, EPERM).chain(cases(enosys, ENOSYS)).collect();
        check(&needs, &all);
    }
}

#[test]
fn ordinary_work_passes() {
    let names = "read write open openat openat2 close stat newfstatat statx mmap mprotect munmap brk execve execveat fork \
                 vfork exit exit_group wait4 waitid kill tgkill rt_sigaction rt_sigprocmask pipe2 dup3 fcntl flock poll ppoll \
                 epoll_create1 epoll_ctl epoll_pwait2 eventfd2 signalfd4 timerfd_create inotify_init1 inotify_add_watch \
                 futex futex_waitv set_robust_list rseq sched_getaffinity sched_setaffinity sched_yield getrandom memfd_create \
                 copy_file_range sendfile splice fallocate ftruncate renameat2 linkat symlinkat unlinkat mkdirat fchmod \
                 fchmodat2 fchownat utimensat getdents64 getcwd chdir umask setsid setpgid getpid gettid prctl seccomp \
                 landlock_create_ruleset landlock_add_rule landlock_restrict_self pidfd_open pidfd_send_signal close_range \
                 name_to_handle_at connect bind accept4 sendto recvfrom sendmsg recvmsg setsockopt \
                 getsockopt setuid setgid setgroups capget capset mlock madvise membarrier pkey_alloc arch_prctl \
                 uprobe uretprobe map_shadow_stack mseal cachestat getxattr setxattr setpriority ioprio_set getrusage \
                 sync fsync sysinfo uname times getrlimit setrlimit prlimit64 io_setup io_submit set_mempolicy mbind";
    let cases: Vec<(&str, &[u64], Action)> =
        names.split_whitespace().map(|name| (name, &[] as &[u64], ALLOW)).collect();
    for needs in all_needs() {
        check(&needs, &cases);
    }
}

#[test]
fn namespaces_are_made_only_by_grant() {
    const THREAD: u64 = 0x3d_0f00;
    const VFORK: u64 = 0x4100 | 17;
    let common: [(&str, &[u64], Action); 5] = [
        ("clone", &[17], ALLOW),
        ("clone", &[THREAD], ALLOW),
        ("clone", &[VFORK], ALLOW),
        ("unshare", &[0x200], ALLOW), // CLONE_FS
        ("unshare", &[0x400], ALLOW), // CLONE_FILES
    ];
    check(&WORKSPACE, &common);
    check(&WIDE, &common);
    let new: [u64; 7] =
        [0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];
    for flag in new {
        check(&WORKSPACE, &[("clone", &[flag | 17], EPERM), ("unshare", &[flag], EPERM)]);
        check(&WIDE, &[("clone", &[flag | 17], ALLOW), ("unshare", &[flag], ALLOW)]);
    }
    check(
        &WORKSPACE,
        &[("unshare", &[0x80], EPERM), ("clone", &[0x8000 | 17], EPERM), ("clone3", &[], ENOSYS)],
    );
    for name in
        ["clone3", "mount", "umount2", "pivot_root", "chroot", "setns", "sethostname", "mount_setattr"]
    {
        check(&WIDE, &[(name, &[], ALLOW)]);
    }
    check(&WIDE, &[("ptrace", &[], EPERM), ("open_by_handle_at", &[], EPERM), ("bpf", &[], EPERM)]);
}

#[test]
fn io_uring_is_by_grant() {
    for name in ["io_uring_setup", "io_uring_enter", "io_uring_register"] {
        check(&WIDE, &[(name, &[], ALLOW)]);
        check(&Needs { io_uring: Grant::Denied, ..WIDE }, &[(name, &[], ENOSYS)]);
    }
    let open = Needs { io_uring: Grant::Allowed, ..Needs::STRICT };
    assert_eq!(
        open.unfiltered(),
        [
            Unfiltered::InternetSocketsByIoUring,
            Unfiltered::UnixSocketsByIoUring,
            Unfiltered::OtherSocketsByIoUring
        ]
    );
    assert_eq!(WIDE.unfiltered(), [Unfiltered::OtherSocketsByIoUring]);
    assert_eq!(Needs::STRICT.unfiltered(), []);
}

/// `SOCK_CLOEXEC | SOCK_NONBLOCK`.
const FLAGS: u64 = 0o2_004_000;

#[test]
fn sockets() {
    let everywhere: [(&str, &[u64], Action); 16] = [
        ("socket", &[16, 3, 0], ALLOW),         // netlink, route
        ("socket", &[16, 2 | FLAGS, 0], ALLOW), // the same, datagram
        ("socket", &[16, 3, 4], NO_PROTOCOL),   // sock_diag
        ("socket", &[16, 3, 9], NO_PROTOCOL),   // audit
        ("socket", &[16, 3, 12], NO_PROTOCOL),  // netfilter
        ("socket", &[16, 3, 15], NO_PROTOCOL),  // uevents
        ("socket", &[16, 3, 16], NO_PROTOCOL),  // generic
        ("socket", &[0, 1, 0], NO_FAMILY),      // unspecified
        ("socket", &[17, 3, 0x300], NO_FAMILY), // packet
        ("socket", &[38, 5, 0], NO_FAMILY),     // AF_ALG
        ("socket", &[40, 1, 0], NO_FAMILY),     // vsock
        ("socket", &[43, 1, 0], NO_FAMILY),     // SMC
        ("socket", &[44, 3, 0], NO_FAMILY),     // XDP
        ("socket", &[31, 3, 1], NO_FAMILY),     // bluetooth
        ("socket", &[u64::MAX, 1, 0], NO_FAMILY),
        ("socketpair", &[2, 1, 0], NO_FAMILY),
    ];
    for needs in all_needs() {
        check(&needs, &everywhere);
    }
    let none = Network::None;
    for family in [2, 10] {
        for kind in [1, 2, 3, 5, 10] {
            check(&Needs { network: none, ..WORKSPACE }, &[("socket", &[family, kind, 0], EACCES)]);
        }
        for network in [Network::Private, Network::Host] {
            check(
                &Needs { network, ..WORKSPACE },
                &[
                    ("socket", &[family, 1, 0], ALLOW),
                    ("socket", &[family, 1 | FLAGS, 6], ALLOW),
                    ("socket", &[family, 2 | FLAGS, 0], ALLOW),
                    ("socket", &[family, 2, 17], ALLOW),
                    ("socket", &[family, 2, 1], ALLOW),           // ping
                    ("socket", &[family, 2, 58], ALLOW),          // ping, IPv6
                    ("socket", &[family, 1, 262], NO_PROTOCOL),   // MPTCP
                    ("socket", &[family, 1, 132], NO_PROTOCOL),   // SCTP
                    ("socket", &[family, 1, 256], NO_PROTOCOL),   // SMC
                    ("socket", &[family, 2, 136], NO_PROTOCOL),   // UDP-Lite
                    ("socket", &[family, 3, 1], EPERM),           // raw
                    ("socket", &[family, 3 | FLAGS, 255], EPERM), // raw
                    ("socket", &[family, 10, 0x300], EPERM),      // the old packet socket
                    ("socket", &[family, 5, 132], EPERM),         // SCTP, one to many
                    ("socket", &[family, 6, 33], EPERM),          // DCCP
                ],
            );
        }
    }
}

/// Where ports are Landlock's to hold, nothing passes that it does not see.
#[test]
fn behind_proxies_there_is_tcp_alone_and_no_way_past_the_ports() {
    let proxied = Needs { network: Network::Proxied, ..WORKSPACE };
    const FAST_OPEN: u64 = 0x2000_0000;
    for family in [2, 10] {
        check(
            &proxied,
            &[
                ("socket", &[family, 1 | FLAGS, 0], ALLOW),
                ("socket", &[family, 1, 6], ALLOW),
                ("socket", &[family, 1, 262], NO_PROTOCOL), // MPTCP
                ("socket", &[family, 2, 0], EACCES),
                ("socket", &[family, 2, 17], EACCES),
                ("socket", &[family, 2, 1], EACCES),
                ("socket", &[family, 3, 255], EACCES),
                ("socket", &[family, 5, 132], EACCES),
            ],
        );
    }
    let not_supported = Action::Errno(Errno::EOPNOTSUPP);
    let told = |flags, listen, send| {
        let cases: [(&str, &[u64], Action); 4] = [
            ("sendto", &[3, 0, 0, flags, 0, 0], send),
            ("sendmsg", &[3, 0, flags], send),
            ("sendmmsg", &[3, 0, 1, flags], send),
            ("listen", &[3, 1], listen),
        ];
        cases.map(|(name, args, want)| (name, args.to_vec(), want))
    };
    let check_all = |needs: &Needs, cases: [(&'static str, Vec<u64>, Action); 4]| {
        for (name, args, want) in &cases {
            check(needs, &[(name, args, *want)]);
        }
    };
    check_all(&proxied, told(0x4000, EACCES, ALLOW));
    check_all(&proxied, told(FAST_OPEN | 0x4000, EACCES, not_supported));
    check_all(&WORKSPACE, told(FAST_OPEN, ALLOW, ALLOW));
}

#[test]
fn unix_sockets_are_by_grant() {
    let open: [(&str, &[u64], Action); 4] = [
        ("socket", &[1, 1 | FLAGS, 0], ALLOW),
        ("socket", &[1, 2, 0], ALLOW),
        ("socketpair", &[1, 1, 0], ALLOW),
        ("socketpair", &[1, 2, 0], ALLOW),
    ];
    check(&WORKSPACE, &open);
    let shut: [(&str, &[u64], Action); 7] = [
        ("socket", &[1, 1 | FLAGS, 0], EACCES),
        ("socket", &[1, 2, 0], EACCES),
        ("socket", &[1, 5, 0], EACCES),
        ("socketpair", &[1, 1 | FLAGS, 0], ALLOW),
        ("socketpair", &[1, 5, 0], ALLOW),
        ("socketpair", &[1, 2 | FLAGS, 0], EACCES),
        ("socketpair", &[1, 3, 0], EACCES), // a datagram socket by another name
    ];
    check(&Needs::STRICT, &shut);
}

#[test]
fn requests_to_terminals_and_consoles() {
    for needs in [Needs::STRICT, WIDE] {
        for request in [0x5412, 0x541c, 0x5423, 0x4b47, 0x4b49, 0x4b4b, 0x4bfb, 0x4b4d] {
            check(&needs, &[("ioctl", &[0, request], EPERM)]);
        }
        // TCGETS, TIOCGWINSZ, TIOCSWINSZ, TIOCSCTTY, TIOCGPTN, FIONREAD, FIOCLEX, FICLONE
        for request in [0x5401, 0x5413, 0x5414, 0x540e, 0x8004_5430, 0x541b, 0x5451, 0x4004_9409] {
            check(&needs, &[("ioctl", &[0, request], ALLOW)]);
        }
    }
}

#[test]
fn personalities_device_nodes_and_limits() {
    let cases: [(&str, &[u64], Action); 16] = [
        ("personality", &[0], ALLOW),
        ("personality", &[0xffff_ffff], ALLOW),
        ("personality", &[0x0004_0000], ALLOW),
        ("personality", &[8], ALLOW),
        ("personality", &[0x0002_0008], ALLOW),
        ("personality", &[0x0040_0000], EPERM), // READ_IMPLIES_EXEC
        ("personality", &[0x0010_0000], EPERM), // MMAP_PAGE_ZERO
        ("personality", &[0x0444_0000], EPERM),
        ("mknod", &[0, 0o010_644], ALLOW),
        ("mknod", &[0, 0o020_644], EPERM),
        ("mknod", &[0, 0o060_644], EPERM),
        ("mknodat", &[0, 0, 0o010_644], ALLOW),
        ("mknodat", &[0, 0, 0o140_644], ALLOW),
        ("mknodat", &[0, 0, 0o100_644], ALLOW),
        ("mknodat", &[0, 0, 0o020_644], EPERM),
        ("mknodat", &[0, 0, 0o060_644], EPERM),
    ];
    check(&Needs::STRICT, &cases);
    check(
        &BARE,
        &[
            ("prlimit64", &[0, 7, 0x7fff_0000_1000, 0], ALLOW),
            ("prlimit64", &[4711, 7, 0, 0x7fff_0000_1000], ALLOW),
            ("prlimit64", &[4711, 7, 0x7fff_0000_1000, 0], EPERM),
            ("prlimit64", &[4711, 7, 0x7fff_0000_0000, 0], EPERM),
            ("prlimit64", &[4711, 7, 0x0000_0001_0000_0000, 0], EPERM),
            ("sched_setaffinity", &[0, 8, 0x7fff_0000_1000], ALLOW),
            ("sched_setaffinity", &[4711, 8, 0x7fff_0000_1000], EPERM),
            ("sched_setattr", &[4711, 0x7fff_0000_1000, 0], EPERM),
            ("setpriority", &[0, 0, 19], ALLOW),
            ("setpriority", &[1, 0, 19], ALLOW),
            ("setpriority", &[2, 0, 19], EPERM),
            ("setpriority", &[0, 4711, 19], EPERM),
            ("ioprio_set", &[1, 0, 0], ALLOW),
            ("ioprio_set", &[3, 0, 0], EPERM),
        ],
    );
    check(&Needs::STRICT, &[("setpriority", &[0, 4711, 19], ALLOW)]);
    check(&Needs::STRICT, &[("prlimit64", &[4711, 7, 0x7fff_0000_1000, 0], ALLOW)]);
}

#[test]
fn shared_queues_are_refused() {
    for name in ["shmget", "shmat", "shmctl", "semget", "semop", "msgget", "msgsnd", "mq_open", "mq_unlink"] {
        check(&Needs::STRICT, &[(name, &[], ALLOW)]);
        check(&BARE, &[(name, &[], ENOSYS)]);
    }
}

#[test]
fn foreign_abis_and_unknown_numbers() {
    for needs in [Needs::STRICT, WIDE] {
        let x86 = compiled(&needs, Arch::X86_64);
        let arm = compiled(&needs, Arch::Aarch64);
        let data = |nr, arch| SeccompData { nr, arch, ..SeccompData::default() };
        let (x86_64, aarch64) = (Arch::X86_64.audit(), Arch::Aarch64.audit());
        for nr in (0..600).chain([X32_BIT, X32_BIT + 512, u32::MAX]) {
            assert_eq!(run(&x86, &data(nr, I386)), Action::KillProcess);
            assert_eq!(run(&x86, &data(nr, aarch64)), Action::KillProcess);
            assert_eq!(run(&arm, &data(nr, ARM)), Action::KillProcess);
            assert_eq!(run(&x86, &data(nr | X32_BIT, x86_64)), ENOSYS);
            assert_eq!(run(&x86, &data(nr | 0x8000_0000, x86_64)), ENOSYS);
        }
        for nr in (473..600).chain([335 + 2, 423, 0x3fff_ffff]) {
            assert_eq!(run(&x86, &data(nr, x86_64)), ENOSYS, "{nr}");
            assert_eq!(run(&arm, &data(nr, aarch64)), ENOSYS, "{nr}");
        }
    }
}

/// Words that some rule compares with, and neighbours.
const EDGES: [u64; 24] = [
    0,
    1,
    2,
    3,
    5,
    6,
    7,
    8,
    10,
    11,
    16,
    17,
    40,
    58,
    262,
    0x80,
    0x5412,
    0x541c,
    0x8000,
    0x0800_0001,
    0x7e02_8011,
    0xffff_ffff,
    0x2000,
    0x6000,
];

#[test]
fn the_program_means_the_verdict_for_every_number() {
    for needs in all_needs() {
        for arch in Arch::ALL {
            let program = compiled(&needs, arch);
            for nr in (0..600).chain(X32_BIT..X32_BIT + 600) {
                for (at, &edge) in EDGES.iter().enumerate().step_by(if nr < 600 { 5 } else { 24 }) {
                    let args = std::array::from_fn(|arg| EDGES[(at + arg * 7) % EDGES.len()] | edge << 32);
                    let data = SeccompData { nr, arch: arch.audit(), instruction_pointer: edge, args };
                    assert_eq!(
                        run(&program, &data),
                        verdict(&needs, arch, &data),
                        "{needs:?} {arch} {data:x?}"
                    );
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(20_000) })]
    #[test]
    fn the_program_means_the_verdict(
        needs in prop::sample::select(all_needs()),
        arch in prop::sample::select(Arch::ALL.to_vec()),
        entry in prop::sample::select(vec![Arch::X86_64.audit(), Arch::Aarch64.audit(), I386, ARM, 0]),
        call in prop::sample::select(CALLS),
        raw in prop::option::weighted(0.1, any::<u32>()),
        args in prop::array::uniform6(prop_oneof![prop::sample::select(&EDGES), any::<u64>()]),
    ) {
        let nr = raw.or(call.number(arch).map(u32::from)).unwrap_or(0);
        let entry = if entry == 0 { arch.audit() } else { entry };
        let data = SeccompData { nr, arch: entry, instruction_pointer: args[5], args };
        prop_assert_eq!(run(&compiled(&needs, arch), &data), verdict(&needs, arch, &data));
    }
}

/// What matters of a verdict for "more is refused".
fn refuses(action: Action) -> bool {
    action != Action::Allow
}

#[test]
fn a_denied_grant_never_opens_a_call() {
    for arch in Arch::ALL {
        for wide in all_needs() {
            let narrow = [
                Needs { network: Network::None, ..wide },
                Needs { unix_sockets: Grant::Denied, ..wide },
                Needs { nested_user_namespaces: Grant::Denied, ..wide },
                Needs { io_uring: Grant::Denied, ..wide },
            ];
            // Without an Internet socket these do nothing that ports would have to hold.
            let of_ports = [Class::Listen, Class::Send, Class::SendMessage];
            for call in CALLS {
                let Some(nr) = call.number(arch) else { continue };
                if wide.network == Network::Proxied && of_ports.contains(&call.class) {
                    continue;
                }
                for (at, _) in EDGES.iter().enumerate().step_by(3) {
                    let args = std::array::from_fn(|arg| EDGES[(at + arg * 5) % EDGES.len()]);
                    let data =
                        SeccompData { nr: nr.into(), arch: arch.audit(), args, ..SeccompData::default() };
                    let before = refuses(verdict_of(call, &wide, &data));
                    for needs in &narrow {
                        assert!(!before || refuses(verdict_of(call, needs, &data)), "{needs:?} {data:?}");
                    }
                }
            }
        }
    }
}

fn verdict_of(call: &Call, needs: &Needs, data: &SeccompData) -> Action {
    match call.class.verdict(needs) {
        Verdict::Always(action) => action,
        Verdict::ByArguments(rule) => rule.decide(data),
    }
}

#[test]
fn same_needs_same_bytes() {
    for needs in all_needs() {
        for arch in Arch::ALL {
            assert_eq!(compile(&needs, arch), compile(&needs, arch));
        }
    }
}

/// Longest way through a program to a verdict that the number alone decides: fixed so that growth is noticed.
const MOST_STEPS: usize = 16;
/// Most instructions of any program: fixed so that growth is noticed.
const MOST_INSNS: usize = 512;

#[test]
fn the_program_stays_small_and_shallow() {
    for needs in all_needs() {
        for arch in Arch::ALL {
            let program = compiled(&needs, arch);
            assert!(program.insns().len() <= MOST_INSNS, "{needs:?} {arch}: {}", program.insns().len());
            for call in CALLS.iter().filter(|call| matches!(call.class.verdict(&needs), Verdict::Always(_))) {
                let Some(nr) = call.number(arch) else { continue };
                let data = SeccompData { nr: nr.into(), arch: arch.audit(), ..SeccompData::default() };
                let steps = program.evaluate(&data).map(|run| run.steps);
                assert!(steps.is_ok_and(|steps| steps <= MOST_STEPS), "{} {arch}: {steps:?}", call.name);
            }
        }
    }
}
