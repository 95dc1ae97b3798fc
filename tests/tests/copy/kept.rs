//! What is kept of a copy, from one command to the next, and by whom.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use weir_tests::sandbox::{Way, World, finish, programs};

use super::settle::{RULE, WAYS, assert_clean, changes, left, shell, weir, world};

#[test]
fn the_next_command_sees_what_the_one_before_changed_and_the_host_does_not() {
    Way::each_of(&WAYS, "copy::kept", |way| {
        let world = world(way);
        world.file("work/a", "old");
        assert_eq!(changes(&world), Vec::<String>::new());
        shell(&world, "echo new > a; mkdir d; echo more > d/b");
        assert_eq!(shell(&world, "cat a d/b"), "new\nmore\n");
        assert_eq!(world.outside(["cat", "a"]).text(), "old");
        assert!(!world.at("work/d").exists());
        assert_eq!(changes(&world), ["modified a", "added d"]);
        let diff = weir(&world, &["changes", "--diff"]);
        let diff = String::from_utf8_lossy(&diff.stdout).into_owned();
        assert!(diff.contains("--- a/a") && diff.contains("-old") && diff.contains("+new"), "{diff}");
        assert_eq!(left(&world, &["apply"]), []);
        assert_eq!(world.outside(["cat", "a", "d/b"]).text(), "new\nmore");
        assert_eq!(changes(&world), Vec::<String>::new());
        assert_clean(&world);
        // Without Weir, and with `write`, the host changes at once.
        world.profile(r#""{w}/work" = "write""#, "");
        shell(&world, "echo at once > a");
        assert_eq!(world.outside(["cat", "a"]).text(), "at once");
    });
}

#[test]
fn what_is_discarded_is_gone_for_the_next_command_too() {
    Way::each_of(&WAYS, "copy::discard", |way| {
        let world = world(way);
        world.file("work/a", "old");
        world.file("work/d/b", "old");
        shell(&world, "echo new > a; echo new > d/b; echo new > c");
        assert_eq!(left(&world, &["discard", "a"]), []);
        assert_eq!(shell(&world, "cat a d/b c"), "oldnew\nnew\n");
        assert_eq!(changes(&world), ["added c", "modified d/b"]);
        assert_eq!(left(&world, &["discard"]), []);
        assert_eq!(shell(&world, "cat a d/b; ls"), "oldolda\nd\n");
        assert_eq!(changes(&world), Vec::<String>::new());
        // A copy in which nothing is changed leaves nothing behind.
        assert_eq!(fs::read_dir(world.at("weir/copies")).unwrap().count(), 0);
    });
}

#[test]
fn the_option_makes_a_copy_of_what_may_be_written() {
    Way::each_of(&WAYS, "copy::option", |way| {
        let world = World::new(way);
        world.profile(r#""{w}/work" = "write""#, "");
        let run = finish(world.weir(["--copy", "."]).args(["sh", "-c", "echo new > a"]));
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(!world.at("work/a").exists());
        assert_eq!(changes(&world), ["added a"]);
    });
}

#[test]
fn one_command_at_a_time_holds_a_copy() {
    Way::each_of(&WAYS, "copy::in-use", |way| {
        let world = world(way);
        let mut first = world.weir(["--quiet"]);
        let mut first = first.args(["sh", "-c", "echo ready; read line"]);
        first = first.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut first = first.spawn().unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(first.stdout.as_mut().unwrap()), &mut line)
            .unwrap();
        assert_eq!(line, "ready\n");
        for run in [
            world.run(["true"]),
            weir(&world, &["changes"]),
            weir(&world, &["apply"]),
            weir(&world, &["discard"]),
        ] {
            assert_ne!(run.code, 0);
            assert!(run.stderr.contains("is in use"), "{}", run.stderr);
        }
        drop(first.stdin.take());
        first.wait().unwrap();
        assert_eq!(world.run(["true"]).code, 0);
    });
}

/// Where copies are kept belongs to whoever runs the command, or nothing is kept there; and nobody inside reaches it.
#[test]
fn a_copy_is_kept_where_only_its_user_may_write() {
    Way::each_of(&WAYS, "copy::own", |way| {
        let world = world(way);
        shell(&world, "echo new > a");
        let found = world.run(["ls".as_ref(), world.at("weir/copies").as_os_str()]);
        assert_ne!(found.code, 0, "{found:?}");
        assert_eq!(world.outside(["ls".as_ref(), world.at("weir/copies").as_os_str()]).code, 0);
        fs::set_permissions(world.at("weir"), fs::Permissions::from_mode(0o777)).unwrap();
        let open = world.run(["true"]);
        assert!(open.stderr.contains("must be a directory of the user"), "{}", open.stderr);
        assert!(weir(&world, &["apply"]).stderr.contains("must be a directory of the user"));
        fs::set_permissions(world.at("weir"), fs::Permissions::from_mode(0o755)).unwrap();
        if way == Way::Root {
            let user = Some(weir_tests::sandbox::way::USER);
            std::os::unix::fs::chown(world.at("weir/copies"), user, user).unwrap();
            assert!(world.run(["true"]).stderr.contains("must be a directory of the user"));
            std::os::unix::fs::chown(world.at("weir/copies"), Some(0), Some(0)).unwrap();
        }
        assert_eq!(changes(&world), ["added a"]);
    });
}

/// The plan names the copy and makes none.
#[test]
fn a_dry_run_keeps_nothing() {
    Way::each_of(&WAYS, "copy::dry-run", |way| {
        let world = World::new(way);
        world.profile(RULE, "");
        let mut plan = world.command(&programs().weir);
        let plan = finish(plan.args(["run", "--dry-run", "--", "true"])).text();
        assert!(plan.contains("copy ") && plan.contains("changes in"), "{plan}");
        assert!(!world.at("weir/copies").exists());
    });
}
