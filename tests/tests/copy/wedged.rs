//! What a command, or the host meanwhile, does to directories leaves every change to be told, applied and discarded.

use weir_tests::sandbox::{Way, World};

use super::settle::{WAYS, assert_clean, changes, left, shell, weir, world};

/// What the host has, what a command does, and what the host does then.
type Case = (&'static str, &'static str, &'static str);

const AROUND: &str = "mkdir d; echo 1 > d/f; echo 2 > d/h; echo 3 > g; echo 4 > file";

/// What a parent on the host no longer is, or never was.
const PARENTS: [Case; 6] = [
    (AROUND, "mkdir n; mv g n/", ""),
    (AROUND, "rm file; mkdir file; mv g file/", ""),
    (AROUND, "mkdir -p n/m; mv d/f n/m; mv d n/", ""),
    (AROUND, "echo new > d/f", "rm -r d"),
    (AROUND, "echo new > d/f", "rm -r d; ln -s /tmp d"),
    (AROUND, "echo new > d/f; mkdir d/n; mv g d/n/", "rm -r d; echo new > d"),
];

fn after(way: Way, (before, act, host): Case) -> World {
    let world = world(way);
    assert_eq!(world.outside(["sh", "-c", before]).code, 0, "{before}");
    shell(&world, act);
    assert_eq!(world.outside(["sh", "-c", host]).code, 0, "{host}");
    world
}

fn seen(world: &World) -> String {
    world
        .outside([
            "sh",
            "-c",
            "find . -printf '%y %m %p %l\\n' | sort -k3; find . -type f | sort | xargs tail -n +1",
        ])
        .text()
}

#[test]
fn a_parent_that_the_host_has_not_is_no_obstacle() {
    Way::each_of(&WAYS, "copy::parents", |way| {
        for case in PARENTS {
            let world = after(way, case);
            assert_ne!(changes(&world), Vec::<String>::new(), "{case:?}");
            assert_eq!(left(&world, &["discard"]), [], "{case:?}");
            assert_eq!(changes(&world), Vec::<String>::new(), "{case:?}");
            let world = after(way, case);
            let conflicts = left(&world, &["apply"]);
            assert_eq!(conflicts.is_empty(), case.2.is_empty(), "{case:?}: {conflicts:?}");
            assert!(conflicts.iter().all(|(_, is_conflict)| *is_conflict), "{case:?}: {conflicts:?}");
            assert_eq!(left(&world, &["apply", "--force"]), [], "{case:?}");
            assert_eq!(changes(&world), Vec::<String>::new(), "{case:?}");
            assert_clean(&world);
            if case.2.is_empty() {
                let control = self::world(way);
                assert_eq!(control.outside(["sh", "-c", case.0]).code, 0);
                assert_eq!(control.outside(["sh", "-c", case.1]).code, 0);
                assert_eq!(seen(&world), seen(&control), "{case:?}");
            }
        }
    });
}

/// Modes that forbid to change what is changed beside them, before, after, or both.
const MODES: [(&str, &str); 8] = [
    ("true", "echo new > d/new; echo new > d/f; rm d/h; echo new > g; chmod 555 d"),
    ("chmod 555 d", "chmod 755 d; echo new > d/new; echo new > d/f; rm d/h; echo new > g"),
    ("chmod 555 d", "chmod 755 d; echo new > d/new; echo new > d/f; rm d/h; echo new > g; chmod 555 d"),
    (
        "mkdir -p d/e; echo 1 > d/e/f; chmod 555 d/e d",
        "chmod 755 d d/e; echo new > d/e/f; echo new > d/f; chmod 511 d/e; chmod 500 d",
    ),
    ("chmod 555 .", "chmod 755 .; echo new > g; echo new > d/f; rm file; chmod 555 ."),
    (
        "chmod 555 d",
        "chmod 755 d; python3 -c 'import os; os.setxattr(\"d\", \"user.kept\", b\"yes\")'; echo new > d/f; chmod 500 d",
    ),
    ("true", "mkdir -p n/m; echo new > n/m/f; chmod 555 n/m n"),
    ("true", "rm -r d; mkdir -p d/m; echo new > d/m/f; chmod 555 d/m d"),
];

#[test]
fn modes_that_forbid_changes_come_last() {
    Way::each_of(&WAYS, "copy::modes", |way| {
        for (before, act) in MODES {
            let before = format!("{AROUND}; {before}");
            let world = world(way);
            assert_eq!(world.outside(["sh", "-c", &before]).code, 0, "{before}");
            shell(&world, act);
            assert_eq!(left(&world, &["apply"]), [], "{act}");
            assert_eq!(changes(&world), Vec::<String>::new(), "{act}");
            assert_clean(&world);
            let control = self::world(way);
            assert_eq!(control.outside(["sh", "-c", &format!("{before}; {act}")]).code, 0);
            assert_eq!(seen(&world), seen(&control), "{before}; {act}");
            let open = "chmod -R u+rwx .";
            assert_eq!([&world, &control].map(|world| world.outside(["sh", "-c", open]).code), [0, 0]);
        }
    });
}

/// A directory whose mode keeps its owner out is named, the rest goes on, and it can be discarded.
#[test]
fn a_directory_closed_to_its_owner_is_named_and_discarded() {
    Way::each_of(&[Way::User], "copy::shut", |way| {
        for act in
            ["chmod 000 d", "rm -r d; mkdir d; echo new > d/f; chmod 111 d", "echo new > d/f; chmod 444 d"]
        {
            let case = (AROUND, &*format!("{act}; echo new > g"), "");
            let world = world(way);
            assert_eq!(world.outside(["sh", "-c", case.0]).code, 0);
            shell(&world, case.1);
            assert_eq!(changes(&world), ["mode d", "modified g"], "{act}");
            assert_eq!(left(&world, &["apply"]), [("d".to_owned(), false)], "{act}");
            assert_eq!(world.outside(["cat", "g", "d/f"]).text(), "new\n1", "{act}");
            assert_eq!(left(&world, &["discard", "d"]), [], "{act}");
            assert_eq!(changes(&world), Vec::<String>::new(), "{act}");
            shell(&world, act);
            assert_eq!(left(&world, &["discard"]), [], "{act}");
            assert_eq!(shell(&world, "cat d/f d/h"), "1\n2\n", "{act}");
        }
        let world = world(way);
        assert_eq!(world.outside(["sh", "-c", AROUND]).code, 0);
        shell(&world, "echo new > g; chmod 000 .");
        assert_eq!(changes(&world), ["modified g"]);
        assert_eq!(left(&world, &["apply"]), []);
        assert_eq!(world.outside(["cat", "g"]).text(), "new");
        shell(&world, "chmod 000 .");
        assert_eq!(left(&world, &["discard"]), []);
        shell(&world, "ls");
    });
}

/// What programs note of a directory is applied like what they note of a file, and discarded.
#[test]
fn attributes_of_a_directory_are_applied() {
    const SET: &str = "python3 -c 'import os; os.setxattr(\"d\", \"user.kept\", b\"yes\"); os.removexattr(\"d\", \"user.old\")'";
    const READ: &str = "python3 -c 'import os; print(sorted(os.listxattr(\"d\")))'";
    Way::each_of(&WAYS, "copy::directory-attributes", |way| {
        let world = world(way);
        let old = "mkdir d; python3 -c 'import os; os.setxattr(\"d\", \"user.old\", b\"yes\")'";
        assert_eq!(world.outside(["sh", "-c", old]).code, 0);
        shell(&world, SET);
        assert_eq!(changes(&world), ["mode d"]);
        assert_eq!(left(&world, &["discard", "d"]), []);
        assert_eq!(changes(&world), Vec::<String>::new());
        shell(&world, SET);
        assert_eq!(left(&world, &["apply"]), []);
        assert_eq!(world.outside(["sh", "-c", READ]).text(), "['user.kept']");
        assert_eq!(changes(&world), Vec::<String>::new());
    });
}

/// What is asked wrongly is told from what Weir cannot do, before anything is done.
#[test]
fn a_path_at_which_there_is_nothing_is_told_before_anything_is_done() {
    Way::each_of(&WAYS, "copy::nothing", |way| {
        let world = world(way);
        shell(&world, "echo new > f; echo new > 'a\nb'");
        for words in [["apply", "f", "nonexist"], ["discard", "f", "nonexist"]] {
            let run = weir(&world, &words);
            assert!(run.code == 2 && run.stderr.contains("nothing at"), "{words:?}: {}", run.stderr);
            assert_eq!(changes(&world), ["added a\nb", "added f"]);
        }
        let told = weir(&world, &["changes"]);
        assert!(String::from_utf8_lossy(&told.stdout).contains("A a\\nb\n"), "{told:?}");
        std::fs::set_permissions(
            world.at("weir/copies"),
            std::os::unix::fs::PermissionsExt::from_mode(0o777),
        )
        .unwrap();
        assert_eq!(["changes", "apply", "discard"].map(|word| weir(&world, &[word]).code), [125; 3]);
    });
}
