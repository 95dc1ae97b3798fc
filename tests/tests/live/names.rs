//! What the command itself does: it makes no closed name, and takes nothing closed away.

use weir_tests::sandbox::{Way, World};

use crate::inside::{Inside, RULES};

fn world(way: Way) -> World {
    let world = World::new(way);
    world.profile(RULES, "");
    for path in ["plain", "two", "three", "free", "dir/file", "away/a/plain"] {
        world.file(format!("work/{path}"), "content");
    }
    world
}

/// Each line is tried inside first, then outside, where it works.
#[test]
fn no_closed_name_comes_into_being() {
    Way::each("live::names", |way| {
        let world = world(way);
        let mut inside = Inside::start(&world);
        for line in [
            "echo x > made.env",
            "echo x > dir/made.env",
            "mkdir .secrets",
            "mkdir -p dir/.secrets",
            "mv plain plain.env",
            "ln two two.env",
            "ln -s two link.env",
            "mkfifo fifo.env",
            "mv dir .secrets/dir",
            "cp three three.env",
        ] {
            inside.is_refused(&world, line);
        }
        assert!(
            inside.does("echo x > made && mkdir made.d && mv made made.d && ln free free.b && rm free.b")
        );
        inside.end();
    });
}

/// A closed file keeps its name, its content and its place.
#[test]
fn nothing_closed_is_taken_away() {
    Way::each("live::moves", |way| {
        let world = world(way);
        let mut inside = Inside::start(&world);
        for path in ["a.env", "b.env", "c.env", "d.env", "e.env", "f.env", "away/a/.secrets/key"] {
            world.file(format!("work/{path}"), "content");
        }
        for line in [
            "mv a.env a",
            "ln b.env b",
            "rm -f c.env && test ! -e c.env",
            "truncate -s 0 d.env",
            "echo >> e.env",
            "python3 -c 'import os; os.truncate(\"f.env\", 1)'",
            "python3 -c 'import os; os.open(\"f.env\", os.O_RDONLY | os.O_NOFOLLOW)'",
        ] {
            inside.is_refused(&world, line);
        }
        // The pattern reaches as far there: nothing gets away by it.
        assert!(inside.does("mv away moved") && !inside.does("cat moved/a/.secrets/key"));
        assert!(inside.does("cat moved/a/plain"));
        inside.end();
    });
}

/// A directory is not taken out of the reach of a pattern that speaks of its place.
#[test]
fn a_directory_with_something_closed_stays_in_its_place() {
    Way::each("live::anchored", |way| {
        let world = World::new(way);
        world.profile("\":project_roots\" = { \".\" = \"write\", \"keys/**/*.pem\" = \"none\" }", "");
        world.file("work/plain", "content");
        let mut inside = Inside::start(&world);
        world.file("work/keys/a/x.pem", "content");
        world.file("work/keys/b/plain", "content");
        assert!(!inside.does("mv keys/a a"), "{way:?}");
        assert!(!inside.does("mv keys others"), "{way:?}");
        assert!(!inside.does("cat keys/a/x.pem"), "{way:?}");
        assert!(inside.does("mv keys/b b && cat b/plain"), "{way:?}");
        inside.is_refused(&world, "mv keys/a a && cat a/x.pem");
        inside.end();
    });
}
