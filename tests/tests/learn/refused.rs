//! Where nothing can be learnt, that is said, by the name of what is missing.

use weir_tests::sandbox::{REFUSED, Way, World, finish, programs};

use super::lesson::Lesson;

#[test]
fn without_mounts_there_is_no_copy_and_so_no_lesson() {
    Way::each_of(&[Way::Bare], "learn::bare", |way| {
        let world = World::new(way);
        let mut command = world.command(&programs().weir);
        let run = finish(command.args(["learn", "--", "touch", "made"]));
        assert_eq!(run.code, REFUSED, "{run:?}");
        assert!(run.stderr.contains("needs overlayfs in a mount namespace"), "{}", run.stderr);
        assert!(run.stdout.is_empty() && !world.at("work/made").exists());
        // The control: the command itself can be run.
        assert_eq!(world.outside(["touch", "made"]).code, 0);
    });
}

#[test]
fn a_command_that_is_not_there_is_not_learnt() {
    Lesson::each("missing", |lesson| {
        let run = lesson.learn(&[], &["no-such-command"]);
        assert_eq!(run.code, 127, "{}", run.stderr);
        assert!(!lesson.file().exists());
    });
}
