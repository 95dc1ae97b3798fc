//! Commands that fail for reasons of their own: nothing is invented.

use weir_tests::sandbox::{Way, World};

use super::case::{PROFILE, prepare, report_of};

/// Shell scripts that fail inside as they fail without Weir.
const FAILING: [&str; 22] = [
    "exit 1",
    "false",
    "no-such-program-anywhere",
    "cat {w}/work/missing",
    "cat {w}/data/missing",
    "cat {w}/data/seen/below",
    "cd {w}/data/seen",
    "mkdir {w}/work/own",
    "mkdir {w}/work/a/b",
    "rmdir {w}/work/full",
    "rm {w}/work/missing",
    "ln -s x {w}/work/own",
    "ln {w}/work/missing {w}/work/new",
    "mv {w}/work/missing {w}/work/new",
    ": >{w}/work/full",
    ": >{w}/work/own/below",
    ": >{w}/work/missing/new",
    "mkdir {w}/nowhere/new",
    "{w}/work/own",
    "cat <{w}/work/shut",
    "kill -9 $$",
    "kill -0 999999999",
];

#[test]
fn what_fails_by_itself_is_no_denial() {
    Way::each("denials::none", |way| {
        let world = World::new(way);
        let profile = if way == Way::Bare {
            PROFILE.replace("\"{w}/data/shut\" = \"none\"\n", "")
        } else {
            PROFILE.to_owned()
        };
        world.profile(&profile, "");
        prepare(&world);
        world.file("work/full/file", "");
        for script in FAILING {
            // What a mode refuses; root inside has no right to pass over it.
            let shut = format!("chmod 0 work/shut 2>/dev/null; {script}");
            world.file("work/shut", "");
            let script = world.expand(if script.contains("work/shut") { &shut } else { script });
            let words = ["sh", "-c", &script].map(ToOwned::to_owned);
            let (run, exited) = report_of(&world, &["-C", "{w}"], words);
            assert_ne!(run.code, 0, "{script}: {run:?}");
            assert_eq!(exited.denials, [], "{script}: {run:?}");
        }
    });
}

#[test]
fn a_connection_that_nobody_answers_is_no_denial() {
    Way::each_of(&[Way::Root, Way::User], "denials::refused-inside", |way| {
        let world = World::new(way);
        world.profile("\"{w}/work\" = \"write\"", "[permissions.test.network]\nloopback = true");
        let (run, exited) = super::case::reported(&world, &[], &["tcp", "127.0.0.1:9"]);
        assert!(!run.text().starts_with("ok"), "{run:?}");
        assert_eq!(exited.denials, [], "{run:?}");
    });
}
