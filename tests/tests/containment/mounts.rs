//! Mounts, namespaces and roots: nothing that the sandbox hides can be uncovered again.

use weir_tests::sandbox::probe::Expect;
use weir_tests::sandbox::{Act, Way, World, act, finish, programs};

const PROFILE: &str = r#"
":root" = "read"
"{w}/work" = "write"
"{w}/work/closed" = "none"
"{w}/work/sealed" = "read"
"#;

fn tree(world: &World) {
    for path in ["work/closed/key", "work/sealed/fixed", "work/plain"] {
        world.file(path, "content");
    }
    world.directory("work/empty");
}

/// Every call of the mount family.
fn acts() -> Vec<Act> {
    vec![
        act(["mount-tmpfs", "{w}/work/empty"]),
        act(["mount-proc", "{w}/work/empty"]),
        act(["mount-bind", "{w}/work/sealed", "{w}/work/empty"]),
        act(["mount-bind", "/", "{w}/work/empty"]),
        act(["open-tree", "/"]),
        act(["move-mount", "/", "{w}/work/empty"]),
        act(["fsopen"]),
        act(["mount-setattr", "{w}/work/empty"]),
        act(["umount", "{w}/work/empty"]),
    ]
}

/// The same acts in a mount namespace of the caller's own, so that the control changes nothing on the host.
fn outside(world: &World, acts: &[Act]) -> Vec<String> {
    let mut command = world.command("unshare");
    command.args(if world.way() == Way::Root {
        vec!["--mount"]
    } else {
        vec!["--user", "--map-root-user", "--mount"]
    });
    let text = String::from_utf8(finish(command.args(world.probe_words(acts))).stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn mounts_are_neither_made_nor_taken_away() {
    Way::each("containment::mounts", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "");
        tree(&world);
        if way != Way::Bare {
            let answers = outside(&world, &acts());
            // A user namespace alone lets nobody mount /proc, or make writable what came from outside.
            let works =
                |(at, answer): (usize, &String)| answer == "ok" || (way == Way::User && [1, 7].contains(&at));
            assert!(answers.len() == acts().len() && answers.iter().enumerate().all(works), "{answers:?}");
        }
        let mut acts: Vec<Act> = acts().into_iter().map(|one| one.outside(Expect::Anything)).collect();
        for target in ["{w}/work/closed", "{w}/work/sealed", "{w}/work", "/", "/proc", "/dev", "/tmp", "/sys"]
        {
            for verb in ["umount", "remount-writable", "mount-setattr"] {
                acts.push(act([verb, target]).outside(Expect::Anything));
            }
        }
        acts.push(act(["pivot-root", "{w}/work"]).outside(Expect::Anything));
        acts.push(act(["chroot", "{w}/work/empty"]).outside(Expect::Anything));
        acts.push(act(["mount-move", "{w}/work/sealed", "{w}/work/empty"]).outside(Expect::Anything));
        let run = world.run(world.probe_words(&acts));
        let answers = String::from_utf8_lossy(&run.stdout).into_owned();
        assert_eq!(answers.lines().count(), acts.len(), "{run:?}");
        assert!(answers.lines().all(|answer| answer == "EPERM"), "{answers}");
        let after = world.run(["sh", "-c", "cat closed/key || echo x >sealed/fixed || echo held"]);
        assert_eq!(after.text(), "held");
    });
}

/// chroot and a working directory outside it: the classic way out needs a capability that is gone.
#[test]
fn chroot_is_refused() {
    Way::each_of(&[Way::Root], "containment::chroot", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "");
        world.check(tree, &[act(["chroot", "/"]), act(["read", "plain"]).works()]);
    });
}

const NEW: [(&str, &str); 8] = [
    ("mount", "0x20000"),
    ("cgroup", "0x2000000"),
    ("uts", "0x4000000"),
    ("ipc", "0x8000000"),
    ("user", "0x10000000"),
    ("pid", "0x20000000"),
    ("network", "0x40000000"),
    ("time", "0x80"),
];

#[test]
fn nested_namespaces_are_closed() {
    Way::each("containment::nested_closed", |way| {
        let world = World::new(way);
        world.profile("\"{w}/work\" = \"write\"", "");
        let mut acts: Vec<Act> = NEW.iter().map(|(_, flag)| act(["unshare", flag])).collect();
        acts.push(act(["unshare", "0x200"]).works());
        // clone with a flag, clone3, and entering a namespace by its file.
        let clone = libc_number("clone");
        acts.push(
            act(["call", &clone, "0x10000011"]).outside(Expect::Anything).inside(Expect::Errors(&["EPERM"])),
        );
        let clone3 = libc_number("clone3");
        acts.push(
            act(["call", &clone3, "0", "0"]).outside(Expect::Anything).inside(Expect::Errors(&["ENOSYS"])),
        );
        for kind in ["mnt", "net", "pid_for_children", "user", "ipc", "uts"] {
            acts.push(
                act(["setns", &format!("/proc/self/ns/{kind}")])
                    .outside(Expect::Anything)
                    .inside(Expect::Errors(&["EPERM"])),
            );
        }
        // One process for each namespace outside, for the first would be in the way of the next; one for all inside.
        for one in &acts[..=NEW.len()] {
            let answer = world.outside(world.probe_words(std::slice::from_ref(one))).text();
            let can = way == Way::Root || (way == Way::User && one == &acts[4]) || one == &acts[NEW.len()];
            assert!(answer == "ok" || !can, "{one:?}: {answer}");
        }
        let run = world.run(world.probe_words(&acts[..=NEW.len()]));
        let answers = String::from_utf8_lossy(&run.stdout).into_owned();
        assert_eq!(answers.trim(), format!("{}ok", "EPERM\n".repeat(NEW.len())));
        let run = world.run(world.probe_words(&acts[NEW.len() + 1..]));
        let answers = String::from_utf8_lossy(&run.stdout).into_owned();
        assert_eq!(
            answers.lines().collect::<Vec<_>>(),
            ["EPERM", "ENOSYS", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM", "EPERM"]
        );
    });
}

#[test]
fn nested_user_namespaces_are_opened_by_name() {
    // Not as root: the kernel lets uid 0 without CAP_SETFCAP map no ids (user_namespaces(7)).
    Way::each_of(&[Way::User], "containment::nested_open", |way| {
        let world = World::new(way);
        let kernel = "[permissions.test.kernel]\nnested_user_namespaces = true";
        world.profile_giving_up(&["no-carve-out"], PROFILE, kernel);
        tree(&world);
        let words = ["unshare", "--user", "--map-root-user", "--pid", "--net", "--fork", "id", "-u"];
        assert_eq!(world.outside(words).text(), "0");
        assert_eq!(world.run(words).text(), "0");
        // With every capability in there, what is closed stays closed.
        let tries = "unshare --mount true; umount closed; umount -l closed; mount -o remount,rw,bind sealed; mount --bind . empty; \
                     mount -t proc none empty; cat closed/key empty/closed/key; echo x >sealed/fixed; echo 1 >/proc/sys/vm/swappiness; \
                     echo h >/proc/sys/kernel/hostname; echo tried";
        let run = world.run(["unshare", "--user", "--map-root-user", "sh", "-c", tries]);
        assert_eq!(String::from_utf8_lossy(&run.stdout).trim(), "tried", "{run:?}");
        assert_eq!(std::fs::read_to_string(world.at("work/sealed/fixed")).unwrap(), "content");
    });
}

fn libc_number(name: &str) -> String {
    let call = weir_sandbox_linux::seccomp::by_name(name).unwrap();
    let arch = if cfg!(target_arch = "x86_64") {
        weir_sandbox_linux::bpf::Arch::X86_64
    } else {
        weir_sandbox_linux::bpf::Arch::Aarch64
    };
    call.number(arch).unwrap().to_string()
}

#[test]
fn nothing_is_left_in_the_mount_table() {
    Way::each("containment::mounts_left", |way| {
        let world = World::new(way);
        world.profile("\"{w}/work\" = \"write\"\n\"/srv\" = \"read\"", "");
        let table = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let before = table();
        assert_eq!(world.run(["true"]).code, 0);
        assert_eq!(world.run([programs().probe.as_os_str(), "read".as_ref(), "absent".as_ref()]).code, 0);
        assert_eq!(table(), before);
    });
}
