//! Ways around a path rule through the file tree itself: symbolic and hard links, renames, descriptors, handles, races.

use std::os::unix::fs::symlink;

use weir_tests::sandbox::probe::Expect;
use weir_tests::sandbox::{Way, World, act};

/// Everything below `work` is the command's; `data` can be read; `secret` is none of its business.
const PROFILE: &str = "\"{w}/work\" = \"write\"\n\"{w}/data\" = \"read\"";

fn tree(world: &World) {
    for path in ["work/plain", "data/seen", "secret/key"] {
        world.file(path, "content");
    }
    world.link("work/link", "../secret/key");
    world.link("work/absolute", world.at("secret/key"));
    world.link("work/directory", "../secret");
    world.link("work/upwards", "../../../../../../../..");
    world.link("data/link", "../secret/key");
}

#[test]
fn symbolic_links_lead_nowhere_new() {
    Way::each("containment::symlinks", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "");
        let secret = world.at("secret/key").to_string_lossy().into_owned();
        world.check(
            tree,
            &[
                act(["read", "plain"]).works(),
                act(["read", "link"]),
                act(["read", "absolute"]),
                act(["read", "directory/key"]),
                act(["read", &format!("upwards{secret}")]),
                act(["read", "{w}/data/link"]),
                act(["read", "{w}/data/../secret/key"]),
                act(["write", "link"]),
                act(["create", "directory/new"]),
                act(["symlink", &secret, "fresh"]).works(),
                act(["read", "fresh"]),
                act(["symlink", "/proc/self/root", "own-root"]).works(),
                act(["read", &format!("own-root{secret}")]),
                act(["read", &format!("/proc/self/root{secret}")]),
                act(["read", "/proc/self/cwd/../secret/key"]),
                act(["read", &format!("/proc/thread-self/root{secret}")]),
                act(["opath", "plain"]).works(),
                act(["opath", &secret]),
            ],
        );
    });
}

/// A link or a rename must not carry a file from where it can be read to where it can be written, or out of sight.
#[test]
fn links_and_renames_across_roots_gain_nothing() {
    Way::each("containment::across_roots", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "");
        world.check(
            tree,
            &[
                act(["link", "{w}/data/seen", "linked"]),
                act(["write", "linked"]),
                act(["link", "{w}/secret/key", "linked-key"]),
                act(["read", "linked-key"]),
                act(["rename", "{w}/secret/key", "moved-key"]),
                act(["read", "moved-key"]),
                act(["exchange", "plain", "{w}/data/seen"]),
                act(["exchange", "plain", "{w}/data/seen"]),
                act(["rename", "plain", "{w}/data/taken"]),
                act(["rename", "{w}/data/seen", "taken"]),
                act(["rename", "{w}/secret", "{w}/work/whole"]),
                act(["rename", "{w}/work/whole", "{w}/secret"]),
                act(["mkdir", "within"]).works(),
                act(["create", "within/new"]).works(),
                act(["link", "within/new", "second"]).works(),
                act(["rename", "within/new", "third"]).works(),
            ],
        );
    });
}

/// A denied file under another name that it had before: the rule names the file, not one of its names.
#[test]
fn a_hard_link_made_before_is_closed_as_well() {
    Way::each_of(&[Way::Root, Way::User], "containment::hard_links", |way| {
        let world = World::new(way);
        world.profile(
            r#"
            "{w}/work" = "write"
            "{w}/work/secret.txt" = "none"
            ":project_roots" = { "**/*.env" = "none" }
            "#,
            "",
        );
        world.check(
            |world| {
                world.file("work/plain", "content");
                world.file("work/secret.txt", "content");
                world.file("work/deep/a.env", "content");
                std::fs::hard_link(world.at("work/deep/a.env"), world.at("work/alias-env")).unwrap();
            },
            &[
                act(["read", "plain"]).works(),
                act(["read", "secret.txt"]),
                act(["read", "deep/a.env"]),
                act(["read", "alias-env"]),
                act(["link", "secret.txt", "made"]),
                act(["read", "made"]),
                act(["link", "deep/a.env", "made-env"]),
                act(["read", "made-env"]),
            ],
        );
    });
}

/// What patterns deny, as it stands at start: files and directories, at any depth, through links.
#[test]
fn patterns_close_files_and_directories_at_any_depth() {
    Way::each_of(&[Way::Root, Way::User], "containment::patterns", |way| {
        let world = World::new(way);
        world.profile(
            r#"
            ":project_roots" = { "." = "write", "**/*.env" = "none", "**/.secrets" = "none" }
            glob_scan_max_depth = 2
            "#,
            "",
        );
        let deep = "a/b/c/d/e/f/g/h/deep.env";
        world.check(
            |world| {
                for path in ["plain", "x.env", "sub/y.env", deep, ".secrets/key", "sub/.secrets/more/key"] {
                    world.file(format!("work/{path}"), "content");
                }
                world.file("work/real", "content");
                symlink("real", world.at("work/link.env")).unwrap();
                symlink("x.env", world.at("work/harmless")).unwrap();
            },
            &[
                act(["read", "plain"]).works(),
                act(["read", "x.env"]),
                act(["write", "x.env"]),
                act(["read", "sub/y.env"]),
                act(["read", deep]),
                act(["read", ".secrets/key"]),
                act(["list", ".secrets"]),
                act(["read", "sub/.secrets/more/key"]),
                act(["read", "harmless"]),
                act(["create", "sub/new"]).works(),
            ],
        );
    });
}

#[test]
fn a_file_handle_opens_nothing() {
    Way::each_of(&[Way::Root], "containment::open_by_handle", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "");
        // Asked for and opened by handle: only root may do that outside.
        world.check(
            tree,
            &[
                act(["handle", "{w}/work/plain"]),
                act(["handle", "{w}/secret/key"]),
                act(["read", "plain"]).works(),
            ],
        );
    });
}

/// Rounds of a race. In each the link may point to either place when it is opened.
const ROUNDS: &str = "20000";

#[test]
fn a_symlink_swapped_during_the_run_leaks_nothing() {
    Way::each("containment::symlink_race", |way| {
        let world = World::new(way);
        world.profile(PROFILE, "");
        world.check(
            |world| {
                world.file("work/good", "good");
                world.file("secret/key", "bad");
                world.link("work/link", "good");
            },
            &[
                act(["swap", "link", "good", "{w}/secret/key", ROUNDS])
                    .inside(Expect::Errors(&["no: nothing leaked"])),
                act(["read", "good"]).works(),
            ],
        );
    });
}

/// The caller's own race: what Weir opens for a launch must not be led elsewhere by links that change meanwhile.
#[test]
fn a_root_swapped_for_a_link_while_starting_leaks_nothing() {
    Way::each_of(&[Way::Root, Way::User], "containment::start_race", |way| {
        let world = World::new(way);
        world.profile("\"{w}/work\" = \"write\"\n\"{w}/work/inner\" = \"read\"", "");
        world.file("secret/key", "leaked");
        world.file("work/inner/key", "inner");
        let over = std::sync::atomic::AtomicBool::new(false);
        let (inner, aside) = (world.at("work/inner"), world.at("aside"));
        symlink(world.at("secret"), world.at("trap")).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = std::fs::rename(&inner, &aside);
                    let _ = std::fs::rename(world.at("trap"), &inner);
                    let _ = std::fs::rename(&inner, world.at("trap"));
                    let _ = std::fs::rename(&aside, &inner);
                }
            });
            for _ in 0..8 {
                let run = world.run(["cat", "inner/key"]);
                assert!(!String::from_utf8_lossy(&run.stdout).contains("leaked"), "{run:?}");
            }
            over.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(world.run(["cat", "inner/key"]).text(), "inner");
    });
}

/// The report is written by `weir` itself, which is not confined: a link that the command put in the way must not lead it
/// elsewhere.
#[test]
fn a_report_is_not_led_elsewhere() {
    Way::each("containment::report_link", |way| {
        let world = World::new(way);
        world.profile("\":root\" = \"read\"\n\"{w}/work\" = \"write\"", "");
        let report = |script: &str| {
            world.clear();
            world.directory("victim");
            world.directory("work/out");
            weir_tests::sandbox::finish(
                world.weir(["--report", "out/report.json"]).args(["sh", "-c", script]),
            )
            .text()
        };
        report("true");
        assert!(world.at("work/out/report.json").exists());
        report("mv out moved; ln -s ../victim out");
        assert!(!world.at("victim/report.json").exists(), "{way:?}");
        assert!(world.at("work/moved/report.json").exists(), "{way:?}");
    });
}
