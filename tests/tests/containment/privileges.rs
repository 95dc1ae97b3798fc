//! Rights that a command must not have, or get: capabilities, other ids, setuid programs, devices, settings of the machine.

use std::os::unix::fs::PermissionsExt;

use weir_tests::sandbox::probe::Expect;
use weir_tests::sandbox::{Act, Way, World, act, programs, way};

const PROFILE: &str = "\":root\" = \"read\"\n\"{w}/work\" = \"write\"";

#[test]
fn no_capability_is_left() {
    Way::each("containment::capabilities", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "");
        let none = "0000000000000000";
        let sets = ["CapInh", "CapPrm", "CapEff", "CapAmb"];
        let mut acts: Vec<Act> = sets.iter().map(|set| act(["status", set]).answers(none)).collect();
        acts.push(act(["status", "NoNewPrivs"]).answers("1"));
        acts.push(act(["status", "Seccomp"]).answers("2"));
        if way != Way::Bare {
            acts.push(act(["status", "CapBnd"]).answers(none));
        }
        world.check(|_| {}, &acts);
    });
}

/// As root: the invoking user's id stays, and no other can be had.
#[test]
fn ids_cannot_be_changed() {
    Way::each_of(&[Way::Root], "containment::ids", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "");
        world.check(|world| drop(world.file("work/f", "x")), &[act(["chown", "f"]), act(["set-uid", "1"])]);
    });
}

#[test]
fn setuid_and_file_capabilities_give_nothing() {
    if !way::is_root() {
        return weir_tests::skip("containment::setuid", "only root can make such programs");
    }
    Way::each_of(&[Way::User, Way::Bare], "containment::setuid", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "");
        world.check(
            |world| {
                for name in ["setuid", "capable"] {
                    let tool = world.at(format!("work/{name}"));
                    std::fs::copy(&programs().probe, &tool).unwrap();
                    let mode = if name == "setuid" { 0o4755 } else { 0o755 };
                    std::fs::set_permissions(&tool, PermissionsExt::from_mode(mode)).unwrap();
                }
                // Version 2, effective: CAP_DAC_READ_SEARCH.
                let mut command = std::process::Command::new("setcap");
                let set = command.arg("cap_dac_read_search+ep").arg(world.at("work/capable")).status();
                assert!(set.unwrap().success());
                std::fs::create_dir_all(world.at("secret")).unwrap();
                std::fs::write(world.at("secret/root-only"), "secret").unwrap();
                std::fs::set_permissions(world.at("secret/root-only"), PermissionsExt::from_mode(0o600))
                    .unwrap();
            },
            &[
                // Without Weir these work unless the surroundings forbid new privileges already.
                act(["exec", "{w}/work/setuid", "read", "{w}/secret/root-only", ","])
                    .outside(if way == Way::Bare {
                        Expect::Anything
                    } else {
                        Expect::Answers("ok secret".to_owned())
                    })
                    .inside(Expect::Answers("EACCES".to_owned())),
                act(["exec", "{w}/work/capable", "read", "{w}/secret/root-only", ","])
                    .outside(if way == Way::Bare {
                        Expect::Anything
                    } else {
                        Expect::Answers("ok secret".to_owned())
                    })
                    .inside(Expect::Answers("EACCES".to_owned())),
            ],
        );
    });
}

#[test]
fn device_nodes_are_not_made_and_do_not_work() {
    Way::each_of(&[Way::Root], "containment::devices", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "");
        // Character device 1:3 is /dev/null; block device 7:0 a loop device that nothing uses here.
        world.check(
            |world| {
                let made = std::process::Command::new("mknod")
                    .arg(world.at("work/made-before"))
                    .args(["c", "1", "5"])
                    .status();
                assert!(made.unwrap().success());
            },
            &[
                act(["mknod", "{w}/work/c", "0x21b6", "259"]),
                act(["mknod", "{w}/work/b", "0x61b6", "1792"]),
                act(["open-write", "{w}/work/made-before"]),
                act(["read", "{w}/work/made-before"]),
                act(["open-write", "/dev/null"]).works(),
                act(["read", "/dev/null"]).works(),
            ],
        );
    });
}

#[test]
fn dev_holds_the_core_devices_and_nothing_else() {
    Way::each_of(&[Way::Root, Way::User], "containment::dev", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "");
        let listed = world.run(["ls", "/dev"]).text();
        let names: Vec<&str> = listed.split_whitespace().collect();
        let known = [
            "fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty",
            "urandom", "zero",
        ];
        assert!(names.iter().all(|name| known.contains(name)), "{names:?}");
        world.check(
            |_| {},
            &[
                act(["create", "/dev/shm/weir-test-file"]).works(),
                act(["unlink", "/dev/shm/weir-test-file"]).works(),
                act(["open-write", "/dev/null"]).works(),
                act(["open-write", "/dev/zero"]).works(),
                act(["open-write", "/dev/ptmx"]).works(),
                act(["create", "/dev/weir-test-file"]).outside(Expect::Anything),
                act(["mkdir", "/dev/weir-test-directory"]).outside(Expect::Anything),
                act(["rmdir", "/dev/weir-test-directory"]).outside(Expect::Anything),
                act(["unlink", "/dev/weir-test-file"]).outside(Expect::Anything),
                act(["read", "/dev/mem"]).outside(Expect::Anything),
                act(["open-write", "/dev/kmsg"]).outside(Expect::Anything),
            ],
        );
    });
}

/// Settings of the machine, for uid 0: they are opened, never changed.
#[test]
fn settings_of_the_machine_are_not_writable() {
    Way::each_of(&[Way::Root], "containment::sysctl", |way| {
        let world = World::new(way);
        let settings = [
            "/proc/sys/kernel/core_pattern",
            "/proc/sys/kernel/modprobe",
            "/proc/sys/kernel/hostname",
            "/proc/sys/kernel/sysrq",
            "/proc/sys/vm/overcommit_memory",
            "/proc/sys/fs/file-max",
            "/proc/sys/net/ipv4/ip_forward",
            "/proc/sysrq-trigger",
            "/proc/self/oom_score_adj",
        ];
        let mut acts: Vec<Act> = settings
            .iter()
            .filter(|path| std::path::Path::new(path).exists())
            .map(|path| act(["open-write", path]))
            .collect();
        assert!(acts.len() > 5);
        acts.push(act(["read", "/proc/sys/kernel/ostype"]).works());
        for profile in [PROFILE, "\"/proc\" = \"read\"\n\"{w}/work\" = \"write\"", "\":root\" = \"write\""] {
            let giving_up: &[&str] = &["no-carve-out"];
            world.profile_giving_up(giving_up, profile, "");
            world.check(|_| {}, &acts);
            if profile == PROFILE {
                continue;
            }
            let below = ["/proc", "/sys/kernel", "/sys/module", "/sys/fs", "/sys/power", "/sys/bus"];
            let walks = below.map(|place| act(["writable-below", place]));
            assert_eq!(world.run(world.probe_words(&walks)).text(), ["ok"; 6].join("\n"), "{profile}");
        }
    });
}

#[test]
fn control_groups_are_not_writable() {
    let Some(group) = own_group() else {
        return weir_tests::skip("containment::cgroup", "no control group is mounted for writing here");
    };
    Way::each_of(&[Way::Root], "containment::cgroup", |way| {
        let world = World::new(way);
        for profile in [PROFILE, "\":root\" = \"write\""] {
            world.profile_giving_up(&["no-carve-out"], profile, "");
            world.check(
                |_| {},
                &[
                    act(["open-write", &format!("{group}/cgroup.procs")]),
                    act(["list", "/sys/kernel"]).works(),
                ],
            );
        }
    });
}

fn own_group() -> Option<String> {
    let groups = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/pids"];
    let can =
        |group: &&&str| std::fs::OpenOptions::new().write(true).open(format!("{group}/cgroup.procs")).is_ok();
    groups.iter().find(can).map(|group| (*group).to_owned())
}

#[test]
fn memory_and_keys_of_the_machine_are_hidden() {
    Way::each_of(&[Way::Root, Way::User], "containment::proc_hidden", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "");
        let files = [
            "/proc/kcore",
            "/proc/keys",
            "/proc/key-users",
            "/proc/timer_list",
            "/proc/kpagecount",
            "/proc/kpageflags",
            "/proc/kpagecgroup",
        ];
        let present: Vec<Act> = files
            .iter()
            .filter(|path| std::fs::File::open(path).is_ok())
            .map(|path| act(["read", path]).outside(Expect::Anything))
            .chain([act(["read", "/proc/version"]).works()])
            .collect();
        assert!(present.len() > 3 || !way::is_root());
        world.check(|_| {}, &present);
    });
}
