//! Mounts through which the kernel is seen or set, beside their usual places: a second `/proc` in a directory that is somebody's root, a
//! part of one, control groups mounted by hand. Files there obey uid 0 by its number alone.

use std::process::Command;

use weir_tests::sandbox::{Run, Way, World, finish, programs};

/// Who runs, and how it is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holding {
    Way(Way),
    /// uid 0 without namespaces.
    RootAlone,
}

const HOLDINGS: [Holding; 4] =
    [Holding::Way(Way::Root), Holding::Way(Way::User), Holding::Way(Way::Bare), Holding::RootAlone];

/// Mounts, in a mount namespace that ends with the command.
const MOUNTS: &str = "mount -t proc proc proc && mount -t sysfs sysfs sys && mount --bind proc/sys part && \
     mount --bind proc/sys/kernel/printk_ratelimit_burst file && { mount -t devtmpfs dev dev || true; } && \
     { mount -t cgroup2 none groups || true; } && \
     mount -t tmpfs -o mode=755 nodes nodes && mknod -m 666 nodes/kmsg c 1 11 && mknod -m 666 nodes/fuse c 10 229 && \
     exec \"$@\"";

/// Tries to open what the arguments name, and says which of a host's processes it sees.
const LOOK: &str = "import os, sys\n\
    flags = os.O_NONBLOCK | int(sys.argv[2])\n\
    for name in sys.argv[3:]:\n\
    \x20   try: os.close(os.open(name, flags)); print(name, 'opened')\n\
    \x20   except OSError as error: print(name, 'refused')\n\
    print('seen' if os.path.exists(f'proc/{sys.argv[1]}/cmdline') else 'unseen')\n\
    try: print(open('sys/kernel/mm/transparent_hugepage/enabled').read().strip() and 'read')\n\
    except OSError as error: print('unread')\n";

/// Opened, never written.
const PLACES: [&str; 7] = [
    "groups/cgroup.procs",
    "proc/sys/kernel/core_pattern",
    "proc/sysrq-trigger",
    "sys/kernel/mm/transparent_hugepage/enabled",
    "part/kernel/core_pattern",
    "file",
    "plain",
];

/// A command with these mounts made in `work` before it, as the holding's user.
fn mounted(holding: Holding, world: &World, prepared: &Command) -> Command {
    let mut words: Vec<std::ffi::OsString> = Vec::new();
    let mut add = |list: &[&str]| words.extend(list.iter().map(Into::into));
    match holding {
        Holding::RootAlone => {
            add(&["setpriv", "--bounding-set=-sys_admin"]);
            add(&[&programs().probe.to_string_lossy(), "refuse-user-namespaces"]);
        }
        Holding::Way(way) => {
            if let Some(user) = way.user().map(|user| user.to_string()) {
                add(&["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups"]);
            }
        }
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", MOUNTS, "sh"]).args(words);
    command.arg(prepared.get_program()).args(prepared.get_args()).env_clear();
    command.envs(prepared.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.current_dir(world.at("work"));
    command
}

/// What that says outside and inside; `flags` are those of open(2).
fn looked(holding: Holding, filesystem: &str, flags: i32, places: &[&str]) -> Option<[Run; 2]> {
    let (way, given_up) = match holding {
        Holding::Way(way) => (way, &[][..]),
        Holding::RootAlone => (Way::Root, Way::Bare.degrade()),
    };
    if way.available().is_err() || Way::Root.available().is_err() {
        weir_tests::skip(&format!("{}::containment::kernel", way.name()), "only root mounts");
        return None;
    }
    let world = World::new(way);
    world.profile_giving_up(given_up, filesystem, "");
    for name in ["proc", "sys", "part", "groups", "dev", "nodes"] {
        world.directory(format!("work/{name}"));
    }
    world.file("work/file", "");
    world.file("work/plain", "");
    let host = std::process::id().to_string();
    let flags = flags.to_string();
    let words = [&["-c", LOOK, &host, &flags], places].concat();
    let mut outside = world.command("/usr/bin/python3");
    let mut inside = world.weir::<&str>([]);
    outside.args(&words);
    inside.arg("/usr/bin/python3").args(&words);
    Some([outside, inside].map(|command| finish(&mut mounted(holding, &world, &command))))
}

/// Whatever is granted around such a mount, nobody sets the machine through it; the host's processes stay out of sight where they can.
#[test]
fn a_second_proc_or_sys_is_neither_written_nor_shows_processes() {
    for holding in HOLDINGS {
        for filesystem in [
            "\":minimal\" = \"read\"\n\"{w}/work\" = \"write\"",
            "\":root\" = \"read\"\n\"{w}/work\" = \"write\"",
        ] {
            let Some([outside, inside]) = looked(holding, filesystem, libc::O_WRONLY, &PLACES) else {
                continue;
            };
            let outside = outside.text();
            let is_root = matches!(holding, Holding::RootAlone | Holding::Way(Way::Root));
            let opened = outside.lines().filter(|line| line.ends_with(" opened")).count();
            assert!(
                outside.contains("plain opened") && outside.contains("\nseen\nread"),
                "{holding:?}: {outside}"
            );
            assert!(!is_root || opened >= PLACES.len() - 1, "{holding:?}: {outside}");
            assert_eq!(inside.code, 0, "{holding:?}: {inside:?}");
            let inside = inside.text();
            let opened: Vec<_> = inside.lines().filter(|line| line.ends_with(" opened")).collect();
            assert_eq!(opened, ["plain opened"], "{holding:?}: {inside}");
            let is_bare = matches!(holding, Holding::RootAlone | Holding::Way(Way::Bare));
            let seen = if is_bare { "\nseen\nread" } else { "\nunseen\nread" };
            assert!(inside.contains(seen), "{holding:?}: {inside}");
        }
    }
}

/// A rule may open such a mount to be read, and none to be written.
#[test]
fn a_rule_that_writes_there_is_refused() {
    for holding in HOLDINGS {
        for (access, works) in [("read", true), ("write", false)] {
            let rules = format!(
                "\":minimal\" = \"read\"\n\"{{w}}/work\" = \"read\"\n\"{{w}}/work/proc\" = \"{access}\""
            );
            let Some([_, inside]) = looked(holding, &rules, libc::O_WRONLY, &PLACES) else { continue };
            let text = String::from_utf8_lossy(&inside.stdout);
            let is_seen = inside.code == 0 && text.contains("\nseen\nread") && !text.contains("opened");
            let is_told = inside.stderr.contains("the kernel is set through what is mounted on");
            assert_eq!((is_seen, is_told), (works, !works), "{holding:?} {access}: {inside:?}");
        }
    }
}

/// Of the host's devices a command has those that rules name, whoever it is; nodes elsewhere are inert.
#[test]
fn devices_are_those_that_rules_name() {
    const NODES: [&str; 5] = ["nodes/kmsg", "nodes/fuse", "/dev/kmsg", "/dev/fuse", "/dev/zero"];
    for holding in HOLDINGS {
        for filesystem in ["\":minimal\" = \"read\"", "\":minimal\" = \"read\"\n\":root\" = \"read\""] {
            let rules = format!("{filesystem}\n\"{{w}}/work\" = \"write\"");
            let Some([outside, inside]) = looked(holding, &rules, libc::O_RDONLY, &NODES) else { continue };
            let outside = outside.text();
            let is_root = matches!(holding, Holding::RootAlone | Holding::Way(Way::Root));
            assert!(!is_root || outside.contains("nodes/kmsg opened"), "{holding:?}: {outside}");
            let inside = inside.text();
            let opened: Vec<_> = inside.lines().filter(|line| line.ends_with(" opened")).collect();
            assert_eq!(opened, ["/dev/zero opened"], "{holding:?} {filesystem}: {inside}");
        }
        // A rule that names one opens it.
        let rules = "\":minimal\" = \"read\"\n\":root\" = \"read\"\n\"/dev/fuse\" = \"write\"";
        let Some([outside, inside]) = looked(holding, rules, libc::O_RDONLY, &NODES) else { continue };
        let is_there = outside.text().contains("/dev/fuse opened");
        assert_eq!(inside.text().contains("/dev/fuse opened"), is_there, "{holding:?}: {inside:?}");
    }
}
