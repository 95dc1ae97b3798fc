//! A project in a directory that its user may search and not list: nobody can tell what a pattern matches there, and the project has a rule of
//! its own.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use weir_tests::sandbox::{REFUSED, Way, World};

/// A world whose directory `shared` belongs to somebody else, where there is somebody else, and can only be searched.
fn world(way: Way) -> World {
    let world = World::new(way);
    for path in [
        "shared/project/file",
        "shared/project/a.env",
        "shared/project/deep/b.env",
        "shared/beside",
        "shared/c.env",
    ] {
        world.file(path, "content\n");
    }
    let shared = world.at("shared");
    if way.user().is_some() {
        std::os::unix::fs::chown(&shared, Some(0), Some(0)).unwrap();
    }
    fs::set_permissions(shared, Permissions::from_mode(0o711)).unwrap();
    world
}

#[test]
fn a_project_in_a_directory_that_cannot_be_listed_is_worked_in() {
    Way::each("live::unlisted", |way| {
        let world = world(way);
        let rules = "\"{w}\" = \"read\"\n\"{w}/**/*.env\" = \"none\"\n\"{w}/shared/project\" = \"write\"";
        world.profile(rules, "");
        let inside = |line: &str| world.run_in(world.at("shared/project"), ["sh", "-c", line]);
        let run = inside("echo new > made && cat file made");
        assert_eq!(
            (run.code, String::from_utf8_lossy(&run.stdout).as_ref()),
            (0, "content\nnew\n"),
            "{}",
            run.stderr
        );
        // Patterns hold there, now and later, and what lies beside it is known to whoever can list it.
        for line in ["cat a.env", "cat deep/b.env", "echo x > later.env", "cat ../c.env", "ls .."] {
            let run = inside(line);
            let lists = line == "ls .." && way == Way::Root;
            assert!((run.code == 0) == lists && run.code != REFUSED, "{line}: {run:?}");
        }
        for line in ["cat shared/project/a.env", "cat shared/c.env", "cat shared/beside"] {
            assert_eq!(world.outside(["sh", "-c", &format!("cd ..; {line}")]).code, 0, "{line}");
        }
        assert_eq!(inside("cat ../beside").code == 0, way == Way::Root);
    });
}
