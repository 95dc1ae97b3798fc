//! What a part may call, as data; the compiled filter means the plain verdict; and a thread that is confined really is, each
//! refusal beside the same call before.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::sync::mpsc;

use super::*;
use crate::sys::confine::acts::{ACTS, nameless, tried};

const PARTS: [Part; 2] = [Part::Server, Part::Resolver];

fn data(arch: Arch, name: &str, args: [u64; 6]) -> SeccompData {
    let call = crate::seccomp::by_name(name).unwrap();
    let nr = call.number(arch).map_or(u32::from(u16::MAX), u32::from);
    SeccompData { nr, arch: arch.audit(), instruction_pointer: 0, args }
}

#[test]
fn every_name_is_a_call() {
    for name in OF_EVERY_PART.iter().chain(&OF_THE_SERVER).chain(&OF_THE_RESOLVER) {
        assert!(crate::seccomp::by_name(name).is_some(), "{name}");
    }
}

#[test]
fn the_filter_means_the_verdict() {
    let words = [0, 1, 2, 4, 7, 0o3, 0o100, 0o1000, u64::from(O_TMPFILE), 0x5421, 0x5412, u64::MAX];
    for (part, arch) in PARTS.into_iter().flat_map(|part| Arch::ALL.map(|arch| (part, arch))) {
        let program = filter(part, arch).unwrap();
        for (nr, word) in (0..520).chain([X32_BIT, u32::MAX]).flat_map(|nr| words.map(|word| (nr, word))) {
            for kind in Arch::ALL.map(Arch::audit) {
                let data = SeccompData { nr, arch: kind, instruction_pointer: 0, args: [word; 6] };
                let found = program.evaluate(&data).unwrap().action;
                assert_eq!(found, verdict(part, arch, &data), "{part:?} {arch} {data:?}");
            }
        }
    }
}

#[test]
fn no_part_may_start_reach_or_change_anything() {
    let refused = [
        "execve",
        "execveat",
        "fork",
        "vfork",
        "clone",
        "clone3",
        "ptrace",
        "process_vm_readv",
        "pidfd_getfd",
        "kill",
        "tkill",
        "tgkill",
        "rt_sigqueueinfo",
        "pidfd_send_signal",
        "socket",
        "socketpair",
        "listen",
        "accept",
        "unshare",
        "setns",
        "mount",
        "bpf",
        "io_uring_setup",
        "linkat",
        "link",
        "rename",
        "renameat2",
        "unlinkat",
        "mkdirat",
        "chmod",
        "fchmod",
        "fchmodat",
        "fchown",
        "setxattr",
        "openat2",
        "open_by_handle_at",
        "seccomp",
        "prctl",
        "setuid",
        "setresuid",
        "capset",
        "keyctl",
        "memfd_create",
        "creat",
    ];
    for (part, arch) in PARTS.into_iter().flat_map(|part| Arch::ALL.map(|arch| (part, arch))) {
        for name in refused {
            let found = verdict(part, arch, &data(arch, name, [0; 6]));
            assert!(matches!(found, Action::Errno(_)), "{part:?} {arch} {name}: {found:?}");
        }
        assert_eq!(verdict(part, arch, &data(arch, "read", [0; 6])), Action::Allow);
    }
}

/// What is asked of what is held already: whether it blocks, how much waits in it, how a terminal is set. Nothing puts input into a terminal.
#[test]
fn only_harmless_requests_are_made_of_what_is_held() {
    let cases = [
        ("FIONBIO", 0x5421, true),
        ("FIONREAD", 0x541b, true),
        ("SIOCOUTQ", 0x5411, true),
        ("TCGETS", 0x5401, true),
        ("TIOCSTI", 0x5412, false),
        ("TIOCLINUX", 0x541c, false),
        ("SIOCSIFADDR", 0x8916, false),
    ];
    for (part, arch) in PARTS.into_iter().flat_map(|part| Arch::ALL.map(|arch| (part, arch))) {
        for (name, request, may) in cases {
            let found = verdict(part, arch, &data(arch, "ioctl", [0, request, 0, 0, 0, 0]));
            assert_eq!(found == Action::Allow, may, "{part:?} {arch} {name}");
        }
    }
}

/// TCP and UDP of both versions are the server part's alone; no other family, no raw socket, no other protocol.
#[test]
fn only_the_server_part_makes_connections() {
    let arch = Arch::X86_64;
    let makes = |part, args| verdict(part, arch, &data(arch, "socket", args)) == Action::Allow;
    let cases = [
        ([2, 0o2_000_001, 0, 0, 0, 0], true),
        ([10, 0o2_004_001, 6, 0, 0, 0], true),
        ([2, 2, 17, 0, 0, 0], true),
        ([2, 3, 0, 0, 0, 0], false),
        ([2, 1, 132, 0, 0, 0], false),
        ([2, 2, 1, 0, 0, 0], false),
        ([1, 1, 0, 0, 0, 0], false),
        ([16, 3, 0, 0, 0, 0], false),
        ([17, 3, 0, 0, 0, 0], false),
        ([40, 1, 0, 0, 0, 0], false),
    ];
    for (args, server) in cases {
        assert_eq!([makes(Part::Server, args), makes(Part::Resolver, args)], [server, false], "{args:?}");
    }
    for name in ["connect", "bind", "accept4", "setsockopt"] {
        let found = PARTS.map(|part| verdict(part, arch, &data(arch, name, [0; 6])));
        assert_eq!(found, [Action::Allow, REFUSED], "{name}");
    }
}

#[test]
fn arguments_decide_about_opening_and_code() {
    let arch = Arch::X86_64;
    let opened =
        |part, flags| verdict(part, arch, &data(arch, "openat", [0, 0, flags, 0, 0, 0])) == Action::Allow;
    let nameless = u64::from(O_TMPFILE) | 0o200_002;
    let cases = [
        (0, false, true),
        (0o2_000_000, false, true),
        (1, false, false),
        (0o102, false, false),
        (nameless, true, false),
    ];
    for (flags, server, resolver) in cases {
        assert_eq!(
            (opened(Part::Server, flags), opened(Part::Resolver, flags)),
            (server, resolver),
            "{flags:o}"
        );
    }
    for (name, part) in ["mmap", "mprotect"].into_iter().flat_map(|name| PARTS.map(|part| (name, part))) {
        let with = |protection| verdict(part, arch, &data(arch, name, [0, 0, protection, 0, 0, 0]));
        assert_eq!((with(3), with(5)), (Action::Allow, REFUSED));
    }
}

#[test]
fn the_wall_grants_no_more_than_files_without_a_name() {
    assert_eq!((Wall::of(Part::Server, 0), Wall::of(Part::Resolver, 0)), (None, None));
    for abi in 1..=ABI_KNOWN + 1 {
        let [server, resolver] = PARTS.map(|part| Wall::of(part, abi).unwrap());
        assert_eq!(server.handled_fs, known_fs(abi.min(ABI_KNOWN)));
        assert_eq!(server.place, READ_FILE | WRITE_FILE);
        assert_eq!(resolver.handled_fs | READ_FILE | READ_DIR, server.handled_fs);
        assert_eq!((resolver.place, resolver.handled_fs & READ_FILE), (0, 0));
        assert_eq!(server.scoped != 0, abi >= 6);
        let ports = known_net(abi.min(ABI_KNOWN));
        assert_eq!((resolver.handled_net, server.handled_net), (ports, ports & 1));
    }
}

/// Landlock and the filter belong to a thread, so one is confined and the test goes on.
fn confined(part: Part, host: &Host) -> (Vec<bool>, Vec<bool>) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("there"), "yes").unwrap();
    let _listening = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    let place = File::open(dir.path()).unwrap();
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let before = tried(&place, dir.path());
            std::fs::remove_file(dir.path().join("new")).unwrap();
            enter(part, host, Some(place.as_fd())).unwrap();
            sender.send((before, tried(&place, dir.path()))).unwrap();
        });
    });
    receiver.recv().unwrap()
}

fn named(allowed: &[bool]) -> Vec<&'static str> {
    ACTS.into_iter().zip(allowed).filter(|(_, allowed)| **allowed).map(|(act, _)| act).collect()
}

#[test]
fn a_confined_thread_is_held() {
    let with = Host::presumed();
    let without =
        Host { landlock: crate::host::Landlock { abi: 0, ..with.landlock.clone() }, ..with.clone() };
    for host in [&with, &without] {
        let (before, server) = confined(Part::Server, host);
        assert_eq!(named(&before), ACTS);
        assert_eq!(named(&server), ["make a nameless file"]);
        let (before, resolver) = confined(Part::Resolver, host);
        assert_eq!(named(&before), ACTS);
        assert_eq!(named(&resolver), ["read a file", "list a directory"]);
    }
}

/// Landlock alone, so that the filter is not what refuses.
#[test]
fn landlock_alone_holds_the_files() {
    let host = Host::presumed();
    let Some(wall) = Wall::of(Part::Server, host.landlock.abi) else {
        return weir_tests::skip("confine::landlock", "this kernel offers no Landlock");
    };
    let dir = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    for dir in [&dir, &other] {
        std::fs::write(dir.path().join("there"), "yes").unwrap();
    }
    let (place, elsewhere) = (File::open(dir.path()).unwrap(), File::open(other.path()).unwrap());
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let before = (nameless(&place), nameless(&elsewhere));
            for dir in [&dir, &other] {
                std::fs::remove_file(dir.path().join("named")).unwrap();
            }
            sys::no_new_privileges().unwrap();
            sys::restrict(&wall, Some(place.as_fd())).unwrap();
            let reads = File::open(other.path().join("there")).is_ok();
            sender.send((before, (nameless(&place), nameless(&elsewhere)), reads)).unwrap();
        });
    });
    let (before, after, reads) = receiver.recv().unwrap();
    assert_eq!(before, ((true, true), (true, true)));
    assert_eq!((after, reads), (((true, false), (false, false)), false));
}
