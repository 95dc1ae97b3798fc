//! What the host does while a command runs.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use weir_tests::sandbox::{Way, World, grow_old};

use crate::inside::{Inside, RULES};

/// What is there at the start.
fn world(way: Way) -> World {
    let world = World::new(way);
    world.profile(RULES, "");
    for path in [
        "plain",
        "kept.env",
        "secret.txt",
        "private/key",
        "pub/key",
        "one",
        "two",
        "linked",
        "deep/a/b/c/d/plain",
    ] {
        world.file(format!("work/{path}"), "content");
    }
    world
}

/// The acts that must be refused after each change; each is a way to a file's content.
fn check(test: &str, changes: &[Change]) {
    Way::each(&format!("live::{test}"), |way| {
        let world = world(way);
        let mut inside = Inside::start(&world);
        for (change, paths) in changes {
            change(&world);
            for path in *paths {
                inside.is_refused(&world, &format!("cat {path}"));
            }
        }
        // Whatever else the host makes is there.
        world.file("work/later/plain", "content");
        assert!(inside.does("cat later/plain plain"), "{way:?}");
        inside.end();
    });
}

/// A change, and what must be closed then.
type Change = (fn(&World), &'static [&'static str]);

fn rename(world: &World, from: &str, to: &str) {
    fs::rename(world.at("work").join(from), world.at("work").join(to)).unwrap();
}

fn hard_link(world: &World, from: &str, to: &str) {
    fs::hard_link(world.at("work").join(from), world.at("work").join(to)).unwrap();
}

#[test]
fn what_the_host_makes_is_closed_at_any_depth() {
    check(
        "made",
        &[
            (
                |world| {
                    world.file("work/late.env", "content");
                },
                &[
                    "late.env",
                    "./late.env",
                    "\"$PWD/late.env\"",
                    "/proc/self/cwd/late.env",
                    "pub/../late.env",
                ],
            ),
            (
                |world| {
                    world.file("work/deep/a/b/c/d/e/f/late.env", "content");
                    world.file("work/deep/a/b/c/d/e/f/.secrets/g/key", "content");
                },
                &["deep/a/b/c/d/e/f/late.env", "deep/a/b/c/d/e/f/.secrets/g/key"],
            ),
        ],
    );
}

#[test]
fn what_the_host_renames_is_closed() {
    check(
        "renamed",
        &[
            (|world| rename(world, "one", "one.env"), &["one.env"]),
            // The directory above, and the whole subtree with it.
            (|world| rename(world, "pub", ".secrets"), &[".secrets/key"]),
            (|world| rename(world, ".secrets", "deep/.secrets"), &["deep/.secrets/key"]),
        ],
    );
}

/// As every editor saves: a mask on the old file goes with it.
#[test]
fn what_the_host_replaces_is_closed() {
    check(
        "replaced",
        &[
            (
                |world| {
                    world.file("work/new", "content");
                    rename(world, "new", "kept.env");
                },
                &["kept.env"],
            ),
            (
                |world| {
                    world.file("work/new", "content");
                    rename(world, "new", "secret.txt");
                },
                &["secret.txt"],
            ),
            (
                |world| {
                    fs::remove_file(world.at("work/secret.txt")).unwrap();
                    world.file("work/secret.txt", "content");
                },
                &["secret.txt"],
            ),
            (
                |world| {
                    rename(world, "private", "before");
                    world.file("work/private/key", "content");
                    world.file("work/private/more/key", "content");
                },
                &["private/key", "private/more/key"],
            ),
        ],
    );
}

#[test]
fn links_lead_to_nothing_that_is_closed() {
    check(
        "symlinks",
        &[
            // Its own name is closed.
            (
                |world| {
                    world.link("work/link.env", "plain");
                },
                &["link.env"],
            ),
            // Its target's is.
            (
                |world| {
                    world.file("work/late.env", "content");
                    world.link("work/harmless", "late.env");
                    world.link("work/twice", "harmless");
                },
                &["harmless", "twice"],
            ),
            // A link on the way.
            (
                |world| {
                    world.link("work/deep/.secrets", "../pub");
                    world.link("work/way", "deep/.secrets");
                },
                &["deep/.secrets/key", "way/key"],
            ),
        ],
    );
}

#[test]
fn hard_links_are_closed_under_each_name() {
    check(
        "hard_links",
        &[
            // The other name is older than the rule's.
            (|world| hard_link(world, "linked", "deep/a/linked.env"), &["linked", "deep/a/linked.env"]),
            // Younger, and of a file that is younger itself.
            (
                |world| {
                    world.file("work/late.env", "content");
                    hard_link(world, "late.env", "alias");
                },
                &["alias"],
            ),
            // Of what was closed at the start.
            (|world| hard_link(world, "kept.env", "kept"), &["kept"]),
            (|world| hard_link(world, "private/key", "key"), &["key"]),
            // A name that becomes closed as a directory above it moves.
            (
                |world| {
                    world.directory("work/box");
                    hard_link(world, "two", "box/two");
                    rename(world, "box", ".secrets");
                },
                &["two"],
            ),
            // In a directory that has moved since it was first looked at, and later on.
            (
                |world| {
                    world.directory("work/walked/deeper");
                    hard_link(world, "late.env", "again");
                },
                &["again"],
            ),
            (
                |world| {
                    rename(world, "walked", "ran");
                    world.file("work/ran/deeper/far.env", "content");
                    hard_link(world, "ran/deeper/far.env", "far");
                },
                &["far"],
            ),
            (
                |world| {
                    world.file("work/ran/deeper/farther.env", "content");
                    hard_link(world, "ran/deeper/farther.env", "farther");
                },
                &["farther"],
            ),
        ],
    );
}

/// Files whose names are known from the start are not looked for, until they get another.
#[test]
fn a_new_name_of_an_old_file_is_closed() {
    Way::each("live::old", |way| {
        let world = world(way);
        hard_link(&world, "one", "other");
        hard_link(&world, "two", "pair");
        grow_old(OLD);
        let mut inside = Inside::start(&world);
        assert!(inside.does("cat one other two pair"), "{way:?}");
        hard_link(&world, "one", "deep/late.env");
        rename(&world, "pair", "pair.env");
        for path in ["one", "other", "deep/late.env", "two", "pair.env"] {
            inside.is_refused(&world, &format!("cat {path}"));
        }
        assert!(inside.does("cat plain"), "{way:?}");
        inside.end();
    });
}

/// The directory that a pattern begins in need not be there at the start, nor stay the same one.
#[test]
fn a_base_that_comes_later_or_is_replaced_is_looked_at() {
    Way::each("live::base", |way| {
        let world = World::new(way);
        let rules = "\"sec/*.key\" = \"none\", \"far/off/*.key\" = \"none\"";
        world.profile(&format!("\"{{w}}/work\" = {{ \".\" = \"write\", {rules} }}"), "");
        world.file("work/plain", "content");
        let mut inside = Inside::start(&world);
        hard_link(&world, "plain", "pair");
        assert!(inside.does("cat pair"), "{way:?}");
        let closed = |path: &str, other: &str, inside: &mut Inside| {
            world.file(format!("work/{path}"), "content");
            hard_link(&world, path, other);
            inside.is_refused(&world, &format!("cat {other}"));
        };
        closed("sec/a.key", "a", &mut inside);
        rename(&world, "sec", "gone");
        closed("sec/b.key", "b", &mut inside);
        fs::remove_dir_all(world.at("work/sec")).unwrap();
        closed("sec/c.key", "c", &mut inside);
        closed("far/off/d.key", "d", &mut inside);
        rename(&world, "far", "near");
        closed("far/off/e.key", "e", &mut inside);
        assert!(inside.does("cat plain pair"), "{way:?}");
        inside.end();
    });
}

/// What has had its names for longer than this has them from before a command's start.
const OLD: Duration = Duration::from_secs(4);

/// A directory that can be searched and not listed, which nobody could look through.
#[test]
fn what_lies_in_an_unreadable_directory_is_closed() {
    check(
        "unreadable",
        &[(
            |world| {
                world.file("work/dark/x.env", "content");
                fs::set_permissions(world.at("work/dark"), Permissions::from_mode(0o311)).unwrap();
            },
            &["dark/x.env"],
        )],
    );
}

/// In the mount table of whoever runs Weir, a closed file and directory have second paths.
#[test]
fn what_is_mounted_elsewhere_is_closed_there() {
    Way::each_of(&[Way::Root], "live::mounted", |way| {
        let world = world(way);
        world.file("work/plain-file", "content");
        world.directory("work/elsewhere");
        world.directory("work/open");
        let mounts =
            "mount --bind private elsewhere && mount --bind kept.env plain-file && mount --bind pub open";
        let mut outside = world.command("unshare");
        let all = "cat elsewhere/key plain-file open/key";
        outside.args(["--mount", "sh", "-c", &format!("{mounts} && {all}")]);
        assert!(outside.output().unwrap().status.success());
        let weir = weir_tests::sandbox::programs().weir.clone();
        let mut inside = world.command("unshare");
        let script = format!("{mounts} && exec \"$0\" run --quiet -- sh");
        inside.args(["--mount", "sh", "-c", &script]).arg(weir);
        let mut inside = Inside::of_shell(inside);
        for path in ["elsewhere/key", "plain-file"] {
            assert!(!inside.does(&format!("cat {path}")), "{path}");
        }
        // The host replaces what was masked.
        world.file("work/new", "content");
        rename(&world, "new", "private/key");
        assert!(!inside.does("cat elsewhere/key"));
        assert!(inside.does("cat open/key"));
        inside.end();
    });
}
