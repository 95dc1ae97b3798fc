//! `weir demo` does what it shows: in every way, with nothing left behind.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test may panic outside its #[test] functions too")]

use serde_json::Value;
use weir_tests::sandbox::{Run, Way, World, finish, programs};

fn text(run: &Run) -> String {
    String::from_utf8(run.stdout.clone()).unwrap()
}

/// `weir demo` with its temporary directory in the world.
fn demo(world: &World, options: &[&str]) -> Run {
    let tmp = world.directory("tmp");
    let mut command = world.command(&programs().weir);
    command.arg("demo").args(options).env("TMPDIR", tmp);
    finish(&mut command)
}

#[test]
fn the_session_ends_well_and_leaves_nothing() {
    Way::each("demo::session", |way| {
        let world = World::new(way);
        let run = demo(&world, &[]);
        assert_eq!(run.code, 0, "{way:?}: {}{}", text(&run), run.stderr);
        for part in [
            "FAILED  expected 'Hello, world!'",
            "settings.env: Permission denied",
            "is not reached",
            "Exited with code 0",
        ] {
            assert!(text(&run).contains(part), "{way:?}, {part}: {}", text(&run));
        }
        assert!(!text(&run).contains("only-the-owner"), "{way:?}: {}", text(&run));
        assert_eq!(std::fs::read_dir(world.at("tmp")).unwrap().count(), 0, "{way:?}");
    });
}

#[test]
fn what_is_kept_is_a_mended_project_and_the_secret_that_nobody_read() {
    Way::each("demo::kept", |way| {
        let world = World::new(way);
        let run = demo(&world, &["--json", "--keep"]);
        assert_eq!(run.code, 0, "{way:?}: {}", run.stderr);
        let events: Vec<Value> = text(&run).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(events.last().unwrap()["type"], "turn.completed", "{way:?}");
        let kept = std::fs::read_dir(world.at("tmp")).unwrap().next().unwrap().unwrap().path();
        // The control: without Weir the secret is there to be read, and the test is what it was.
        let script = "cat settings.env && sh ./test.sh";
        let outside = world.outside(["sh", "-c", &format!("cd {}/project && {script}", kept.display())]);
        assert!(outside.code == 0 && text(&outside).contains("only-the-owner"), "{way:?}: {outside:?}");
    });
}
