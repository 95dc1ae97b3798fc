//! Limits that ended a command.

use weir_tests::sandbox::{Way, World};

use super::case::{apply, report_of, rule};

const SLEEPS: [&str; 2] = ["sleep", "2"];

#[test]
fn time_that_is_over_is_told_with_the_rule_where_one_limits_it() {
    Way::each("denials::time", |way| {
        let world = World::new(way);
        world.profile("\"{w}/work\" = \"write\"", "[permissions.test.resources]\nwall_time = \"300ms\"");
        assert_eq!(world.outside(SLEEPS).code, 0);
        let (run, exited) = report_of(&world, &[], SLEEPS.map(ToOwned::to_owned));
        assert_eq!(run.code, 124, "{run:?}");
        let [denial] = exited.denials.as_slice() else { panic!("{exited:?}") };
        assert_eq!((denial.operation.word(), denial.target.to_string().as_str()), ("use", "wall_time"));
        assert_eq!(rule(denial).as_deref(), Some("wall_time = \"300ms\""));
        apply(&world, denial.edit.as_ref().unwrap());
        let (run, exited) = report_of(&world, &[], SLEEPS.map(ToOwned::to_owned));
        assert_eq!((run.code, exited.denials.len()), (0, 0), "{exited:?}");
        // The caller's own limit is no rule of the profile, and no denial.
        let (run, exited) = report_of(&world, &["--timeout", "300ms"], SLEEPS.map(ToOwned::to_owned));
        assert_eq!((run.code, exited.denials.len()), (124, 0), "{exited:?}");
    });
}
