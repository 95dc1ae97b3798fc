//! What is told and not granted, and what becomes of the copy.

use weir_tests::sandbox::{finish, programs};

use super::lesson::Lesson;

#[test]
fn a_secret_that_was_asked_for_is_told_and_not_granted() {
    Lesson::each("secret", |lesson| {
        let world = &lesson.world;
        let secret = world.at("home/.ssh/id_test").display().to_string();
        let run = lesson.learn(&[], &["sh", "-c", &format!("cat '{secret}'; echo done")]);
        assert_eq!((run.code, run.text().as_str()), (0, "done"), "{}", run.stderr);
        let text = lesson.proposal();
        assert!(text.contains("# \"~/.ssh/id_test\" = \"read\""), "{text}");
        assert!(text.contains("WARNING: a secret"), "{text}");
        assert!(!lesson.rules().keys().any(|key| key.contains("ssh")), "{text}");
        lesson.nothing_else();
    });
}

#[test]
fn what_is_written_outside_of_the_project_is_refused_and_told() {
    Lesson::each("outside", |lesson| {
        let world = &lesson.world;
        let (other, home) = (world.at("other/new"), world.at("home/cache"));
        let line = format!("touch '{}'; touch '{}'; true", other.display(), home.display());
        let run = lesson.learn(&[], &["sh", "-c", &line]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(!other.exists() && !home.exists());
        let text = lesson.proposal();
        assert!(text.contains("# NOT GRANTED") && text.contains("other"), "{text}");
        assert!(text.contains("an empty one, which can be written"), "{text}");
        // Under the proposal the home is such a one.
        assert_eq!(lesson.held(&["touch", home.to_str().unwrap()]).code, 0);
        assert!(!home.exists());
        lesson.nothing_else();
    });
}

#[test]
fn another_place_is_learnt_in_a_copy_as_well() {
    Lesson::each("copied", |lesson| {
        let world = &lesson.world;
        world.directory("cache");
        let cache = world.at("cache").display().to_string();
        let line = format!("echo kept > '{cache}/a'; cat '{cache}/a'");
        let run = lesson.learn(&["--copy", &cache], &["sh", "-c", &line]);
        assert_eq!(run.text(), "kept", "{}", run.stderr);
        assert!(!world.at("cache/a").exists());
        assert_eq!(lesson.rules()[cache.as_str()].as_str(), Some("write"));
        assert_eq!(lesson.held(&["sh", "-c", &line]).text(), "kept");
        assert!(world.at("cache/a").exists());
    });
}

#[test]
fn a_profile_is_extended_by_what_it_lacks() {
    Lesson::each("extends", |lesson| {
        let world = &lesson.world;
        world.file("data/has", "has ");
        world.file("data/lacks", "lacks ");
        world.file("data/closed/a", "closed");
        world.profile(
            "\":project_roots\" = \"read\"\n\"{w}/data/has\" = \"read\"\n\"{w}/data/closed\" = \"none\"",
            "",
        );
        let path = |name: &str| world.at("data").join(name).display().to_string();
        let words = ["cat", &path("has"), &path("lacks")].map(str::to_owned);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(lesson.learn(&["--profile", "test"], &words).text(), "has lacks");
        let text = lesson.proposal();
        let rules = lesson.rules();
        assert_eq!(rules.keys().collect::<Vec<_>>(), [&path("lacks")], "{text}");
        assert!(text.contains("extends = \"test\""), "{text}");
        // Added to the file of the profile that it extends, it is used by its name.
        let config = std::fs::read_to_string(world.at("weir/config.toml")).unwrap();
        world.file("weir/config.toml", format!("{config}\n{text}"));
        let run = |profile: &str| finish(world.weir(["--quiet", "--profile", profile]).args(&words));
        assert_eq!(run("learned").text(), "has lacks");
        assert_ne!(run("test").code, 0);
        // What the profile closes stays closed while learning, and is told.
        assert_ne!(lesson.learn(&["--profile", "test"], &["cat", &path("closed/a")]).code, 0);
        let text = lesson.proposal();
        assert!(text.contains("closed/a") && text.contains("WARNING"), "{text}");
        assert!(!lesson.rules().contains_key(&path("closed/a")), "{text}");
    });
}

#[test]
fn learning_starts_from_the_profile_that_is_extended() {
    Lesson::each("on_top", |lesson| {
        let world = &lesson.world;
        world.directory("out");
        world.file("data/lacks", "lacks");
        world.profile(
            "\":project_roots\" = \"read\"\n\"{w}/out\" = \"write\"",
            "[permissions.test.environment]\nset = { MODE = \"of the base\" }",
        );
        let (out, lacks) = (world.at("out/new"), world.at("data/lacks"));
        let line = format!("echo $MODE > '{0}'; cat '{0}' '{1}'", out.display(), lacks.display());
        let learnt = lesson.learn(&["--profile", "test"], &["sh", "-c", &line]);
        assert_eq!(learnt.text(), "of the base\nlacks", "{}", learnt.stderr);
        // What the base lets be written is written in a copy.
        assert!(!out.exists() && learnt.stderr.contains("in a copy and is discarded"), "{}", learnt.stderr);
        assert_eq!(lesson.rules().keys().collect::<Vec<_>>(), [lacks.to_str().unwrap()]);
        // Without it there is neither.
        assert_ne!(lesson.learn(&[], &["sh", "-c", &line]).code, 0);
        let secret = world.at("home/.ssh/id_test").display().to_string();
        assert_ne!(lesson.learn(&["--profile", "test"], &["cat", &secret]).code, 0, "secrets stay closed");
    });
}

#[test]
fn changes_are_kept_where_that_is_asked_for_and_never_mixed() {
    Lesson::each("keep", |lesson| {
        let world = &lesson.world;
        let made = lesson.learn(&[], &["sh", "-c", "echo new > a"]);
        assert!(made.stderr.contains("in a copy and is discarded (1)"), "{}", made.stderr);
        let changes = || finish(world.command(&programs().weir).arg("changes"));
        assert_eq!(changes().code, 0, "nothing is left");
        assert_eq!(lesson.learn(&["--keep"], &["sh", "-c", "echo new > a"]).code, 0);
        let kept = changes();
        assert_eq!(kept.code, 1);
        assert!(String::from_utf8_lossy(&kept.stdout).contains("A a"), "{kept:?}");
        assert!(!world.at("work/a").exists());
        // Another lesson would be mixed with it.
        let refused = lesson.learn(&[], &["true"]);
        assert_eq!(refused.code, 125, "{}", refused.stderr);
        assert!(refused.stderr.contains("has changes in a copy"), "{}", refused.stderr);
        assert_eq!(changes().code, 1, "and they are still there");
        assert_eq!(finish(world.command(&programs().weir).arg("discard")).code, 0);
        assert_eq!(lesson.learn(&[], &["true"]).code, 0);
    });
}
