//! What cannot be run is refused with one clear message and a code from 125 to 127; nothing is started and nothing is left.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may panic outside its #[test] functions too")]

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use weir_tests::sandbox::{Run, Way, World, finish, programs};

/// What a command that must not run would leave.
const MADE: &str = "work/made";

/// A world with a profile that holds in each way.
fn world(way: Way) -> World {
    let world = World::new(way);
    world.profile(r#""{w}/work" = "write""#, "");
    world
}

/// Everything in the world, by name.
fn files(below: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(below).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        }
        found.insert(entry.path());
    }
    found
}

/// Runs `touch made` or another command in a way that must be refused.
fn refused(world: &World, options: &[&str], command: &[&str], code: i32, says: &str) {
    let before = files(world.root());
    let options: Vec<String> = options.iter().map(|option| world.expand(option)).collect();
    let run = finish(world.weir(&options).args(command));
    check(world, &run, code, says, &format!("{options:?} {command:?}"));
    assert_eq!(files(world.root()), before, "{options:?} {command:?}");
}

fn check(world: &World, run: &Run, code: i32, says: &str, what: &str) {
    let what = format!("{:?}, {what}: {}", world.way(), run.stderr);
    assert_eq!(run.code, code, "{what}");
    assert!(run.stderr.contains(&world.expand(says)), "{what}");
    assert!(run.stderr.starts_with("weir: ") && run.stdout.is_empty(), "{what}");
    assert!(!world.at(MADE).exists(), "{what}");
}

const TOUCH: [&str; 2] = ["touch", "made"];

#[test]
fn the_same_command_runs_where_nothing_is_wrong() {
    Way::each("bad_input::control", |way| {
        let world = world(way);
        assert_eq!(world.run(TOUCH).text(), "");
        assert!(world.at(MADE).exists());
    });
}

#[test]
fn names_that_lead_nowhere_are_told() {
    Way::each("bad_input::names", |way| {
        let world = world(way);
        world.file("work/plain", "text");
        world.directory("work/directory");
        refused(&world, &["--profile", "nope"], &TOUCH, 125, "there is no profile `nope`; known here: ");
        refused(&world, &["-C", "{w}/missing"], &TOUCH, 125, "{w}/missing: No such file or directory");
        refused(&world, &["-C", "{w}/work/plain"], &TOUCH, 125, "{w}/work/plain is not a directory");
        refused(&world, &["--project-root", "{w}/missing"], &TOUCH, 125, "{w}/missing: No such file");
        refused(&world, &["--config", "{w}/missing"], &TOUCH, 125, "cannot read {w}/missing: ");
        refused(
            &world,
            &["--report", "{w}/missing/report"],
            &TOUCH,
            125,
            "cannot write the report {w}/missing/report",
        );
        refused(&world, &[], &["no-such-command"], 127, "no-such-command: command not found");
        refused(&world, &[], &["./missing"], 127, "./missing: command not found");
        refused(&world, &[], &["./plain"], 126, "./plain: ");
        refused(&world, &[], &["./directory"], 126, "./directory: ");
    });
}

#[test]
fn a_program_that_the_host_has_is_told_with_what_would_allow_it() {
    Way::each("bad_input::unseen", |way| {
        let world = world(way);
        let tool = world.script("other/tool", "#!/bin/sh\necho done\n");
        let tool = tool.to_str().unwrap();
        world.script("work/by-tool", world.expand("#!{w}/other/tool\n"));
        world.script("work/by-nothing", world.expand("#!{w}/missing\n"));
        world.link("work/way", "../other/tool");
        assert_eq!(world.outside([tool]).text().trim_end(), "done");
        // Where there are mounts it is not there, otherwise it cannot be opened.
        let code = if way == Way::Bare { 126 } else { 127 };
        let advice = "no rule of profile test opens {w}/other/tool; to allow it: --read {w}/other/tool";
        for command in [tool, "../other/tool", "./by-tool", "./way"] {
            refused(&world, &[], &[command], code, advice);
        }
        refused(&world, &[], &["./by-nothing"], 127, "its interpreter {w}/missing is not there");
        let path = world.expand("PATH={w}/other");
        refused(&world, &["--env", &path], &["tool"], code, advice);
        for command in [tool, "./by-tool", "./way"] {
            let run = finish(world.weir(["--read", tool]).arg(command));
            assert_eq!((run.text().trim_end(), run.code), ("done", 0), "{way:?} {command}: {}", run.stderr);
        }
    });
}

#[test]
fn a_directory_that_cannot_be_entered_is_told() {
    Way::each_of(&[Way::User, Way::Bare], "bad_input::unreadable", |way| {
        let world = world(way);
        let closed = world.directory("closed");
        fs::set_permissions(&closed, Permissions::from_mode(0o000)).unwrap();
        let run = finish(world.weir(["-C", &world.expand("{w}/closed")]).args(TOUCH));
        check(&world, &run, 125, "{w}/closed", "a closed directory");
        fs::set_permissions(&closed, Permissions::from_mode(0o755)).unwrap();
    });
}

#[test]
fn a_profile_that_this_host_cannot_hold_is_told_with_what_is_missing() {
    Way::each_of(&[Way::Bare], "bad_input::unenforceable", |way| {
        let world = world(way);
        refused(
            &world,
            &["--profile", ":workspace"],
            &TOUCH,
            125,
            "profile `:workspace` cannot be enforced on this host",
        );
        refused(&world, &["--profile", ":workspace"], &TOUCH, 125, "needs a mount namespace");
    });
    Way::each_of(&[Way::Bare], "bad_input::network_gate", |way| {
        let world = World::new(way);
        world.profile(
            r#""{w}/work" = "write""#,
            "[permissions.test.network]\nenabled = true\nmode = \"full\"\ndomains = { \"example.org\" = \"allow\" }\n",
        );
        refused(&world, &[], &TOUCH, 125, "needs the network gate");
    });
}

/// Whatever number of descriptors the process may have, it runs the command in full or says what it lacks.
#[test]
fn too_few_descriptors_are_told() {
    Way::each("bad_input::descriptors", |way| {
        let world = world(way);
        let weir = programs().weir.display();
        let mut ran = 0;
        for most in 4..40 {
            let line = format!("ulimit -n {most} && exec '{weir}' run --quiet -- touch made");
            let run = finish(world.command("sh").args(["-c", &line]));
            if run.code == 0 {
                fs::remove_file(world.at(MADE)).unwrap();
                ran += 1;
                continue;
            }
            let what = format!("{way:?}, {most} descriptors: {}", run.stderr);
            assert!((125..=127).contains(&run.code), "{what}");
            assert!(run.stderr.contains("Too many open files"), "{what}");
            assert!(!world.at(MADE).exists(), "{what}");
        }
        assert!(ran > 0, "{way:?}: no number was enough");
    });
}

/// A closed descriptor is an empty one to the command, never some other file.
#[test]
fn closed_streams_lead_nowhere() {
    Way::each("bad_input::closed", |way| {
        let world = world(way);
        let weir = programs().weir.display();
        for (closed, command, expect) in [
            ("<&-", "cat; echo $?", "0"),
            (">&-", "echo lost", ""),
            ("2>&-", "echo lost >&2; echo out", "out"),
        ] {
            let line = format!("exec '{weir}' run --quiet -- sh -c '{command}' {closed}");
            let run = finish(world.command("sh").args(["-c", &line]));
            assert_eq!(run.text(), expect, "{way:?} {closed}");
        }
    });
}

/// On a file system without room the report cannot be written: that is told, and half a report is not left.
#[test]
fn a_full_disk_is_told() {
    Way::each_of(&[Way::Root], "bad_input::full_disk", |way| {
        let world = world(way);
        world.directory("full");
        let weir = programs().weir.display();
        let script = format!(
            "set -e; mount -t tmpfs -o size=64k none full; head -c 1000000 /dev/zero >full/filler 2>/dev/null || :; cd work; \
             code=0; '{weir}' run --quiet --report ../full/report -- true || code=$?; ls ../full; exit $code"
        );
        let run =
            finish(world.command("unshare").args(["--mount", "sh", "-c", &script]).current_dir(world.root()));
        assert_eq!((run.code, run.stdout.as_slice()), (125, b"filler\n".as_slice()), "{}", run.stderr);
        assert!(
            run.stderr.contains("cannot write the report") && run.stderr.contains("No space left"),
            "{}",
            run.stderr
        );
    });
}
