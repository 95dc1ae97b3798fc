//! Every kind of change: told, and applied as it is, or refused by name.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use weir_tests::sandbox::{Way, World, finish, programs};

use super::settle::{WAYS, assert_clean, changes, left, listed, shell, weir, world};

const BEFORE: &str = "mkdir -p d/e keep gone; echo 1 > f; echo 2 > d/e/g; echo 3 > gone/h; echo 4 > file-then-dir; mkdir dir-then-file; \
    echo 5 > dir-then-file/i; ln -s f link; ln -s f other; echo 6 > mode; echo 7 > touched; mkdir anew; echo 8 > anew/old; echo 9 > moved; \
    mkdir moved-dir; echo 10 > moved-dir/j; mkdir dir-mode";

const AFTER: &str = "echo new > f; rm d/e/g; rm -r gone; rm file-then-dir; mkdir file-then-dir; echo new > file-then-dir/x; rm -r dir-then-file; \
    echo new > dir-then-file; ln -sf keep link; rm other; echo new > other; chmod 700 mode; touch touched; rm -r anew; mkdir anew; echo new > anew/new; \
    mv moved moved-to; mv moved-dir moved-dir-to; chmod 711 dir-mode; mkdir -p tree/deep; echo new > tree/deep/leaf; ln tree/deep/leaf tree/twin; \
    mkfifo tree/pipe; ln -s nowhere tree/dangling; chmod 4755 tree/deep/leaf";

fn built(way: Way) -> World {
    let world = world(way);
    assert_eq!(world.outside(["sh", "-c", BEFORE]).code, 0);
    world
}

fn seen(world: &World) -> String {
    let line = "find . -printf '%y %m %p %l\\n' | sort -k3; find . -type f | sort | xargs tail -n +1";
    world.outside(["sh", "-c", line]).text()
}

#[test]
fn each_kind_is_told_and_applied() {
    Way::each_of(&WAYS, "copy::kinds", |way| {
        let world = built(way);
        shell(&world, AFTER);
        let expected = [
            "replaced anew",
            "removed d/e/g",
            "mode dir-mode",
            "replaced dir-then-file",
            "modified f",
            "replaced file-then-dir",
            "removed gone",
            "modified link",
            "modified mode",
            "removed moved",
            "removed moved-dir",
            "added moved-dir-to",
            "added moved-to",
            "replaced other",
            "added tree",
        ];
        assert_eq!(changes(&world), expected);
        assert_eq!(left(&world, &["apply"]), []);
        assert_eq!(changes(&world), Vec::<String>::new());
        assert_clean(&world);
        // The same without Weir; but for the bit that would make a program run as its owner.
        let control = built(way);
        assert_eq!(control.outside(["sh", "-c", AFTER]).code, 0);
        assert_eq!(control.outside(["chmod", "755", "tree/deep/leaf"]).code, 0);
        assert_eq!(seen(&world), seen(&control));
        let names =
            ["work/tree/deep/leaf", "work/tree/twin"].map(|name| fs::metadata(world.at(name)).unwrap());
        assert_eq!((names[0].ino(), names[0].nlink()), (names[1].ino(), 2));
    });
}

#[test]
fn what_is_not_applied_is_said() {
    Way::each_of(&WAYS, "copy::special", |way| {
        let world = world(way);
        shell(
            &world,
            "python3 -c 'import socket; socket.socket(socket.AF_UNIX)' || true; mkdir r; mkdir r/.git; echo 1 > r/f",
        );
        let notes: Vec<String> = listed(&world)
            .iter()
            .filter_map(|change| Some(format!("{}: {}", change["path"].as_str()?, change["note"].as_str()?)))
            .collect();
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].starts_with("r/.git: a repository"), "{notes:?}");
        let text = weir(&world, &["changes"]);
        assert!(String::from_utf8_lossy(&text.stdout).contains("git on the host would run its hooks"));
    });
}

/// Times and the attributes of programs go with a file.
#[test]
fn times_and_attributes_are_applied() {
    Way::each_of(&WAYS, "copy::attributes", |way| {
        let world = world(way);
        let act =
            "touch -d 2020-02-02 f; python3 -c 'import os; os.setxattr(\"f\", \"user.kept\", b\"yes\")'";
        shell(&world, &format!("echo new > f; {act}"));
        assert_eq!(left(&world, &["apply"]), []);
        let read = "python3 -c 'import os; print(os.getxattr(\"f\", \"user.kept\").decode(), int(os.stat(\"f\").st_mtime), os.listxattr(\"f\"))'";
        let applied = world.outside(["sh", "-c", read]).text();
        let control = World::new(way);
        assert_eq!(control.outside(["sh", "-c", &format!("echo new > f; {act}")]).code, 0);
        assert_eq!(applied, control.outside(["sh", "-c", read]).text());
    });
}

/// Whose a file or a directory is is applied where it may be, and told where it may not. A command has no privilege, and gives what is its user's
/// to a group of its user's alone; where there is a user namespace, to none.
#[test]
fn owners_are_told_applied_and_discarded() {
    const ACT: &str = "chgrp 1235 d d/e f; chgrp -h 1235 link; chmod 700 d/e";
    const OWNERS: &str = "stat -c '%n %u:%g %a' d d/e f link";
    let with = |world: &World, options: [&str; 2], words: &[&str]| {
        let mut command = world.command("/usr/bin/setpriv");
        finish(command.args(options).arg("--").arg(&programs().weir).args(words))
    };
    Way::each_of(&[Way::Root], "copy::owners", |way| {
        let made = || {
            let world = world(way);
            let before = "mkdir -p d/e; echo 1 > f; echo 2 > d/g; ln -s f link";
            assert_eq!(world.outside(["sh", "-c", before]).code, 0);
            world
        };
        let act = |world: &World| {
            let run = with(world, ["--groups", "0,1235"], &["run", "--", "sh", "-ec", ACT]);
            assert_eq!(run.code, 0, "{}", run.stderr);
        };
        let world = made();
        let old = world.outside(["sh", "-c", OWNERS]).text();
        act(&world);
        assert_eq!(changes(&world), ["mode d", "mode d/e", "modified f", "modified link"]);
        let told = String::from_utf8_lossy(&weir(&world, &["changes"]).stdout).into_owned();
        assert_eq!(told.matches("its owner becomes uid 0, gid 1235").count(), 4, "{told}");
        assert_eq!(world.outside(["sh", "-c", OWNERS]).text(), old);
        assert_eq!(left(&world, &["discard", "d", "link"]), []);
        assert_eq!(changes(&world), ["modified f"]);
        act(&world);
        // Whoever may not give it away hears so, of each, and all else is applied.
        shell(&world, "echo new > d/g");
        let run = with(&world, ["--bounding-set", "-chown"], &["apply"]);
        let told = String::from_utf8_lossy(&run.stdout).into_owned();
        let count = told.matches("its owner cannot become uid 0, gid 1235").count();
        assert_eq!((run.code, count), (1, 4), "{told}{}", run.stderr);
        assert_eq!(world.outside(["sh", "-c", OWNERS]).text(), old);
        assert_eq!(world.outside(["cat", "d/g"]).text(), "new");
        assert_eq!(left(&world, &["apply"]), []);
        assert_eq!(changes(&world), Vec::<String>::new());
        assert_clean(&world);
        let control = made();
        assert_eq!(control.outside(["sh", "-ec", ACT]).code, 0);
        let seen = [&world, &control].map(|world| world.outside(["sh", "-c", OWNERS]).text());
        assert_eq!(seen[0], seen[1]);
    });
}
