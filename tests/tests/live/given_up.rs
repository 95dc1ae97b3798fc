//! Where the guarantee is given up by name, or cannot be had.

use weir_tests::sandbox::{Way, World, finish};

use crate::inside::{Inside, RULES};

/// `snapshot-globs` switches it off: that what the other tests find refused is refused by live rules.
#[test]
fn a_snapshot_holds_what_was_there_alone() {
    Way::each_of(&[Way::Root, Way::User], "live::snapshot", |way| {
        let world = World::new(way);
        world.profile_giving_up(&["snapshot-globs"], RULES, "");
        world.file("work/kept.env", "content");
        let mut inside = Inside::start(&world);
        inside.is_refused(&world, "cat kept.env");
        world.file("work/late.env", "content");
        assert!(inside.does("cat late.env"), "{way:?}");
        inside.end();
    });
}

/// What holds the rules, and what was given up, is in the report.
#[test]
fn the_plan_says_how_rules_are_held() {
    Way::each("live::plan", |way| {
        let world = World::new(way);
        world.profile(RULES, "");
        let plan = |world: &World| finish(world.weir(["--dry-run"]).arg("true")).text();
        let held = plan(&world);
        assert!(held.contains("live-rules"), "{way:?}");
        world.profile_giving_up(&["snapshot-globs", "no-carve-out"], RULES, "");
        let given_up = plan(&world);
        assert!(given_up.contains("what was there at the start"), "{way:?}");
        assert!(!given_up.contains("live-rules"), "{way:?}");
    });
}
