//! The filter's answers call by call, and its agreement with the plain verdict.

use super::*;

const NEITHER: Traps =
    Traps { names: false, unix_connect: false, opens: false, reads_alone: false, looks: false };
const NAMES_ONLY: Traps = Traps { names: true, ..NEITHER };
const SOCKETS_ONLY: Traps = Traps { unix_connect: true, ..NEITHER };
const BOTH: Traps = Traps { names: true, unix_connect: true, ..NEITHER };
const OPENS_ONLY: Traps = Traps { opens: true, ..NEITHER };
const READS_ALONE: Traps = Traps { reads_alone: true, ..OPENS_ONLY };
const EVERY: Traps = Traps { names: true, unix_connect: true, opens: true, ..NEITHER };
const RECORDED: Traps = Traps { looks: true, ..EVERY };
const ALL: [Traps; 8] = [NEITHER, NAMES_ONLY, SOCKETS_ONLY, BOTH, OPENS_ONLY, READS_ALONE, EVERY, RECORDED];

const ALLOW: Action = Action::Allow;
const NOTIFY: Action = Action::Notify;
const EPERM: Action = Action::Errno(Errno::EPERM);
const ENOSYS: Action = Action::Errno(Errno::ENOSYS);
const ENOTTY: Action = Action::Errno(Errno::ENOTTY);
const EOPNOTSUPP: Action = Action::Errno(Errno::EOPNOTSUPP);
const NO_PROTOCOL: Action = Action::Errno(Errno::EPROTONOSUPPORT);

fn compiled(traps: &Traps, arch: Arch) -> Program {
    filter(traps, arch).unwrap_or_else(|defect| panic!("{traps:?} {arch}: {defect}"))
}

fn run(program: &Program, data: &SeccompData) -> Action {
    program.evaluate(data).unwrap_or_else(|defect| panic!("{data:?}: {defect}")).action
}

fn check(traps: &Traps, cases: &[(&str, &[u64], Action)]) {
    for arch in Arch::ALL {
        let program = compiled(traps, arch);
        for &(name, given, want) in cases {
            let call = seccomp::by_name(name).unwrap_or_else(|| panic!("no row for {name}"));
            let Some(nr) = call.number(arch) else { continue };
            let mut args = [0; 6];
            args[..given.len()].copy_from_slice(given);
            for above in [0, 0xffff_ffff_0000_0000] {
                let args = args.map(|arg| arg | above);
                let data = SeccompData { nr: nr.into(), arch: arch.audit(), args, ..SeccompData::default() };
                assert_eq!(run(&program, &data), want, "{traps:?} {arch} {name} {args:x?}");
            }
        }
    }
}

const PATH: u64 = 0x7fff_0000_1000;

#[test]
fn names_are_trapped() {
    let cases: Vec<(&str, &[u64], Action)> =
        NAMES.into_iter().map(|name| (name, &[] as &[u64], NOTIFY)).collect();
    check(&NAMES_ONLY, &cases);
    check(&BOTH, &cases);
    let opening: [(&str, &[u64], Action); 14] = [
        ("open", &[PATH, 0], ALLOW),
        ("open", &[PATH, 0o101], NOTIFY),
        ("open", &[PATH, 0o1102], NOTIFY),
        ("open", &[PATH, 0o10_000_100], ALLOW), // O_PATH voids O_CREAT
        ("openat", &[3, PATH, 0o2_000_000], ALLOW),
        ("openat", &[3, PATH, 0o2_000_301], NOTIFY),
        ("openat", &[3, PATH, 0o20_200_002], ALLOW), // O_TMPFILE has no name
        ("openat2", &[], ENOSYS),
        ("io_uring_setup", &[], ENOSYS),
        ("landlock_create_ruleset", &[], EOPNOTSUPP),
        ("landlock_restrict_self", &[], ALLOW),
        ("prctl", &[4, 0], EPERM),
        ("prctl", &[4, 1], ALLOW),
        ("prctl", &[38, 1], ALLOW),
    ];
    check(&NAMES_ONLY, &opening);
    let requests = NAMING_IOCTLS.map(u64::from);
    for request in requests {
        check(&NAMES_ONLY, &[("ioctl", &[3, request], ENOTTY)]);
        check(&SOCKETS_ONLY, &[("ioctl", &[3, request], ALLOW)]);
    }
    check(
        &NAMES_ONLY,
        &[("ioctl", &[3, 0x5401], ALLOW), ("connect", &[3], ALLOW), ("socket", &[1, 2], ALLOW)],
    );
}

#[test]
fn opens_are_trapped() {
    let named = NAMES.into_iter().chain(CHANGES).map(|name| (name, &[] as &[u64], NOTIFY));
    check(&OPENS_ONLY, &named.collect::<Vec<_>>());
    let cases: [(&str, &[u64], Action); 9] = [
        ("open", &[PATH, 0], NOTIFY),
        ("openat", &[3, PATH, 0o10_000_000], ALLOW), // a place alone
        ("openat2", &[], ENOSYS),
        ("io_uring_setup", &[], ENOSYS),
        ("landlock_create_ruleset", &[], EOPNOTSUPP),
        ("prctl", &[4, 0], EPERM),
        ("newfstatat", &[], ALLOW),
        ("execve", &[], ALLOW),
        ("connect", &[3], ALLOW),
    ];
    check(&OPENS_ONLY, &cases);
    check(&NAMES_ONLY, &CHANGES.map(|name| (name, &[] as &[u64], ALLOW)));
}

#[test]
fn looks_are_trapped_where_a_run_is_recorded_and_nowhere_else() {
    let notified: [(&str, &[u64], Action); 14] = [
        ("listen", &[3, 5], NOTIFY),
        ("stat", &[PATH], NOTIFY),
        ("newfstatat", &[3, PATH, PATH, 0], NOTIFY),
        ("newfstatat", &[3, PATH, PATH, 0x100], NOTIFY),
        ("statx", &[3, PATH, 0x800], NOTIFY),
        ("readlinkat", &[3, PATH], NOTIFY),
        ("faccessat2", &[3, PATH, 4, 0], NOTIFY),
        ("chdir", &[PATH], NOTIFY),
        ("fchmodat", &[3, PATH, 0o644], NOTIFY),
        ("utimensat", &[3, 0, 0, 0], NOTIFY),
        ("fchown", &[3, 0, 0], NOTIFY),
        ("setxattr", &[PATH], NOTIFY),
        ("execve", &[PATH], NOTIFY),
        ("openat", &[3, PATH, 0o10_000_000], NOTIFY), // a place alone
    ];
    check(&RECORDED, &notified);
    let unrecorded: Vec<_> = notified.map(|(name, given, _)| (name, given, ALLOW)).into();
    for traps in ALL.into_iter().filter(|traps| !traps.looks) {
        check(&traps, &unrecorded);
    }
    // Of a descriptor there is nothing to tell.
    let descriptors: [(&str, &[u64], Action); 5] = [
        ("newfstatat", &[3, PATH, PATH, 0x1000], ALLOW),
        ("statx", &[3, PATH, 0x1000], ALLOW),
        ("faccessat2", &[3, PATH, 4, 0x1000], ALLOW),
        ("fstat", &[3], ALLOW),
        ("read", &[3], ALLOW),
    ];
    check(&RECORDED, &descriptors);
}

/// Whatever else is handed over is so in a recorded run as well, with the same answer: no call that is judged is watched instead.
#[test]
fn what_is_performed_is_performed_in_a_recorded_run() {
    for arch in Arch::ALL {
        for call in CALLS {
            let (plain, recorded) = (of_call(&EVERY, call.name), of_call(&RECORDED, call.name));
            let is_watched = is_watched(call.name).is_some() || matches!(call.name, "open" | "openat");
            assert_eq!(plain == recorded, !is_watched, "{arch} {}", call.name);
            assert!(!is_watched || plain == Verdict::Always(ALLOW) || call.name.starts_with("open"));
        }
    }
}

#[test]
fn sockets_are_trapped() {
    let cases: [(&str, &[u64], Action); 16] = [
        ("connect", &[3, PATH, 16], NOTIFY),
        ("bind", &[3, PATH, 16], NOTIFY),
        ("socket", &[1, 1], ALLOW),
        ("socket", &[1, 5 | 0o2_004_000], ALLOW),
        ("socket", &[1, 2], NO_PROTOCOL),
        ("socket", &[1, 2 | 0o2_000_000], NO_PROTOCOL),
        ("socket", &[1, 3], NO_PROTOCOL),
        ("socket", &[2, 2], ALLOW),
        ("socketpair", &[1, 1], ALLOW),
        ("socketpair", &[1, 2], NO_PROTOCOL),
        ("socketpair", &[1, 3], NO_PROTOCOL),
        ("sendto", &[], ALLOW),
        ("io_uring_setup", &[], ENOSYS),
        ("landlock_create_ruleset", &[], EOPNOTSUPP),
        ("openat", &[3, PATH, 0o101], ALLOW),
        ("mkdir", &[], ALLOW),
    ];
    check(&SOCKETS_ONLY, &cases);
}

#[test]
fn the_program_means_the_verdict_for_every_number() {
    let edges = [0, 1, 2, 4, 0o101, 0o10_000_100, 0x5000_940e];
    for traps in ALL {
        for arch in Arch::ALL {
            let program = compiled(&traps, arch);
            for nr in (0..480).chain([X32_BIT, X32_BIT + 2]) {
                for (first, second) in edges.into_iter().flat_map(|a| edges.map(|b| (a, b))) {
                    let args = [first, second, first, second, 0, 0];
                    let data = SeccompData { nr, arch: arch.audit(), args, ..SeccompData::default() };
                    assert_eq!(
                        run(&program, &data),
                        verdict(&traps, arch, &data),
                        "{traps:?} {arch} {nr} {args:x?}"
                    );
                }
            }
            let foreign = SeccompData { nr: 5, arch: 0x4000_0003, ..SeccompData::default() };
            assert_eq!(run(&program, &foreign), FOREIGN);
        }
    }
}

/// Nothing but the listed calls is touched, so that a build pays only where names are made.
#[test]
fn without_traps_everything_passes() {
    for arch in Arch::ALL {
        for call in CALLS {
            assert_eq!(of_call(&NEITHER, call.name), Verdict::Always(ALLOW), "{arch} {}", call.name);
        }
    }
}

/// Whoever reads alone is asked about everything else that an opening can do, and about directories.
#[test]
fn a_file_that_is_read_alone_is_not_trapped() {
    let opening: [(&str, &[u64], Action); 12] = [
        ("open", &[PATH, 0], ALLOW),
        ("openat", &[3, PATH, 0o2_004_000], ALLOW), // O_CLOEXEC | O_NONBLOCK
        ("openat", &[3, PATH, 0o10_000_000], ALLOW), // O_PATH
        ("openat", &[3, PATH, 0o10_200_000], ALLOW),
        ("open", &[PATH, 0o1], NOTIFY),
        ("open", &[PATH, 0o2], NOTIFY),
        ("open", &[PATH, 0o3], NOTIFY),
        ("openat", &[3, PATH, 0o100], NOTIFY),
        ("openat", &[3, PATH, 0o1_000], NOTIFY),
        ("openat", &[3, PATH, 0o20_200_000], NOTIFY),
        ("openat", &[3, PATH, 0o200_000], NOTIFY),
        ("openat", &[3, PATH, 0o40_000], NOTIFY),
    ];
    check(&READS_ALONE, &opening);
    let others: Vec<(&str, &[u64], Action)> =
        NAMES.into_iter().chain(CHANGES).map(|name| (name, &[] as &[u64], NOTIFY)).collect();
    check(&READS_ALONE, &others);
}
