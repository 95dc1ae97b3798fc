//! System calls that the filter refuses, one by one through `weir run`, also by the number of another interface.

use weir_sandbox_linux::bpf::Arch;
use weir_sandbox_linux::seccomp::{self, CALLS};
use weir_tests::sandbox::{Act, Way, World, act};

const PROFILE: &str = "\":root\" = \"read\"\n\"{w}/work\" = \"write\"";

#[cfg(target_arch = "x86_64")]
const HERE: Arch = Arch::X86_64;
#[cfg(target_arch = "aarch64")]
const HERE: Arch = Arch::Aarch64;

/// The calls that SPEC names, with what each answers; every argument is zero.
const REFUSED: [(&str, &str); 40] = [
    ("ptrace", "EPERM"),
    ("process_vm_readv", "EPERM"),
    ("process_vm_writev", "EPERM"),
    ("pidfd_getfd", "EPERM"),
    ("kcmp", "EPERM"),
    ("io_uring_setup", "ENOSYS"),
    ("io_uring_enter", "ENOSYS"),
    ("io_uring_register", "ENOSYS"),
    ("bpf", "EPERM"),
    ("perf_event_open", "EPERM"),
    ("userfaultfd", "EPERM"),
    ("keyctl", "EPERM"),
    ("add_key", "EPERM"),
    ("request_key", "EPERM"),
    ("mount", "EPERM"),
    ("umount2", "EPERM"),
    ("pivot_root", "EPERM"),
    ("open_tree", "EPERM"),
    ("move_mount", "EPERM"),
    ("fsopen", "EPERM"),
    ("fsconfig", "EPERM"),
    ("fsmount", "EPERM"),
    ("fspick", "EPERM"),
    ("mount_setattr", "EPERM"),
    ("setns", "EPERM"),
    ("clone3", "ENOSYS"),
    ("kexec_load", "EPERM"),
    ("init_module", "EPERM"),
    ("finit_module", "EPERM"),
    ("delete_module", "EPERM"),
    ("reboot", "EPERM"),
    ("swapon", "EPERM"),
    ("swapoff", "EPERM"),
    ("acct", "EPERM"),
    ("quotactl", "EPERM"),
    ("quotactl_fd", "EPERM"),
    ("open_by_handle_at", "EPERM"),
    ("fanotify_init", "EPERM"),
    ("syslog", "EPERM"),
    ("clock_settime", "EPERM"),
];

fn number(name: &str) -> Option<u16> {
    seccomp::by_name(name).and_then(|call| call.number(HERE))
}

/// Only inside: outside some of these end the machine. That each is refused by the filter and not by the kernel itself is
/// held against a control in `sandbox-linux/tests/seccomp_live.rs`.
fn answers(world: &World, acts: &[Act]) -> Vec<String> {
    world.run(world.probe_words(acts)).text().lines().map(str::to_owned).collect()
}

fn call(number: u32) -> Act {
    act(["call".to_owned(), number.to_string(), "0".to_owned(), "0".to_owned()])
}

#[test]
fn every_named_call_is_refused() {
    Way::each("containment::calls", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "");
        let mut acts: Vec<Act> =
            REFUSED.iter().filter_map(|(name, _)| number(name)).map(|nr| call(nr.into())).collect();
        assert_eq!(acts.len(), REFUSED.len());
        // What every program needs passes, and what nobody knows is missing.
        acts.extend([call(number("getppid").unwrap().into()), call(999)]);
        let expect: Vec<&str> = REFUSED.iter().map(|(_, answer)| *answer).chain(["ok", "ENOSYS"]).collect();
        assert_eq!(answers(&world, &acts), expect);
    });
}

/// Every number of the table again with the bit of the x32 interface: whatever the kernel has behind it, none is reached.
#[test]
#[cfg(target_arch = "x86_64")]
fn x32_calls_reach_nothing() {
    const X32: u32 = 0x4000_0000;
    Way::each("containment::x32", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "");
        let numbers = CALLS.iter().filter_map(|call| call.number(HERE)).map(|number| X32 | u32::from(number));
        let acts: Vec<Act> = numbers.chain(512..=547).map(call).collect();
        let found = answers(&world, &acts);
        assert!(found.len() == acts.len() && found.iter().all(|answer| answer == "ENOSYS"), "{found:?}");
    });
}

/// The interface of 32-bit programs, by its own gate: getpid (20), ptrace (26), mount (21).
#[test]
#[cfg(target_arch = "x86_64")]
fn int_0x80_reaches_nothing() {
    let world = World::new(Way::User);
    let acts: Vec<Act> =
        [20, 26, 21].map(|number: u32| act(["int80".to_owned(), number.to_string()])).to_vec();
    let control = world.outside(world.probe_words(&acts[..1]));
    if !control.stdout.starts_with(b"ok") {
        return weir_tests::skip("containment::int80", "this kernel runs no 32-bit programs");
    }
    // 128 and the number of SIGSYS: whoever tries ends.
    const KILLED: i32 = 159;
    Way::each("containment::int80", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "");
        for one in &acts {
            let run = world.run(world.probe_words(std::slice::from_ref(one)));
            assert_eq!(
                (run.code, run.stdout.as_slice()),
                (KILLED, b"".as_slice()),
                "{one:?}: {}",
                run.stderr
            );
        }
    });
}
