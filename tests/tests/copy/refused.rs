//! Where there can be no copy it is refused by rule and feature, and nothing runs.

use weir_tests::sandbox::{REFUSED, Way, World};

use super::settle::{WAYS, world};

#[test]
fn without_mounts_the_rule_is_refused_by_name() {
    Way::each_of(&[Way::Bare], "copy::bare", |way| {
        let world = world(way);
        let run = world.run(["sh", "-c", "echo new > a"]);
        assert_eq!(run.code, REFUSED);
        assert!(run.stderr.contains("`copy`") && run.stderr.contains("overlayfs"), "{}", run.stderr);
        assert!(run.stderr.contains("config.toml:"), "{}", run.stderr);
        assert!(!world.at("work/a").exists());
        // Under `write` the same command runs.
        world.profile_giving_up(&["no-carve-out"], r#""{w}/work" = "write""#, "");
        assert_eq!(world.run(["sh", "-c", "echo new > a"]).code, 0);
    });
}

#[test]
fn what_cannot_be_copied_is_refused() {
    Way::each_of(&WAYS, "copy::refused", |way| {
        for (rules, words) in [
            (r#""{w}/work/file" = "copy""#, "needs a directory"),
            (r#""/" = "copy""#, "the whole tree"),
            (r#""{w}" = "copy""#, "Weir's own directory"),
        ] {
            let world = World::new(way);
            world.file("work/file", "");
            world.profile(rules, "");
            let run = world.run(["true"]);
            assert_eq!(run.code, REFUSED, "{rules}: {}", run.stderr);
            assert!(run.stderr.contains(words), "{rules}: {}", run.stderr);
        }
    });
}
