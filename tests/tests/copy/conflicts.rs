//! What was changed on both sides, and what is applied by path.

use weir_tests::sandbox::Way;

use super::settle::{WAYS, assert_clean, changes, left, listed, shell, weir, world};

#[test]
fn what_the_host_changed_since_stays_unless_forced() {
    Way::each_of(&WAYS, "copy::conflicts", |way| {
        let world = world(way);
        for name in ["a", "b", "gone/f", "d/f", "up"] {
            world.file(format!("work/{name}"), "old");
        }
        shell(
            &world,
            "echo in >> a; echo in > b; rm -r gone; rm -r d; mkdir d; echo in > d/g; echo in > new; echo in >> up",
        );
        // The host: a changed, a file in what the copy removed, one in what it made anew, one of a name that it made, one removed.
        let host = "echo out >> a; echo out >> gone/f; echo out >> d/f; echo out > new; rm up";
        assert_eq!(world.outside(["sh", "-c", host]).code, 0);
        let marked: Vec<String> = listed(&world)
            .iter()
            .filter(|change| change.get("conflict").is_some())
            .map(|change| change["path"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(marked, ["a", "d", "gone", "new", "up"]);
        let conflicts =
            |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), true)).collect::<Vec<_>>();
        assert_eq!(left(&world, &["apply"]), conflicts(&["a", "d", "gone", "new", "up"]));
        assert_eq!(
            world.outside(["sh", "-c", "cat a b gone/f d/f new; ls"]).text(),
            "oldout\nin\noldout\noldout\nout\na\nb\nd\ngone\nnew"
        );
        // What was applied is no conflict of the next time.
        shell(&world, "echo again >> b");
        assert_eq!(left(&world, &["apply", "b"]), []);
        assert_eq!(world.outside(["cat", "b"]).text(), "in\nagain");
        assert_eq!(left(&world, &["apply", "--force"]), []);
        assert_eq!(
            world.outside(["sh", "-c", "cat a new up d/g; ls; ls d"]).text(),
            "oldin\nin\noldin\nin\na\nb\nd\nnew\nup\ng"
        );
        assert_eq!(changes(&world), Vec::<String>::new());
        assert_clean(&world);
    });
}

#[test]
fn changes_are_applied_and_discarded_by_path_and_new_directories_whole() {
    Way::each_of(&WAYS, "copy::by-path", |way| {
        let world = world(way);
        world.file("work/src/a", "old");
        world.file("work/src/b", "old");
        shell(&world, "echo new > src/a; echo new > src/b; mkdir -p n/m; echo new > n/m/f");
        assert_eq!(left(&world, &["apply", "src/a"]), []);
        assert_eq!(world.outside(["sh", "-c", "cat src/a src/b"]).text(), "new\nold");
        assert_eq!(left(&world, &["apply", "n/m/f"]), [("n/m/f".to_owned(), false)]);
        assert_eq!(left(&world, &["discard", "src"]), []);
        assert_eq!(shell(&world, "cat src/a src/b n/m/f"), "new\noldnew\n");
        assert_eq!(left(&world, &["apply", "n"]), []);
        assert_eq!(world.outside(["cat", "n/m/f"]).text(), "new");
        let outside = weir(&world, &["apply", "../home"]);
        assert!(
            outside.code != 0 && outside.stderr.contains("no directory of which there is a copy"),
            "{}",
            outside.stderr
        );
    });
}

#[test]
fn what_applying_does_to_the_other_names_of_a_file_is_no_conflict() {
    Way::each_of(&WAYS, "copy::names-applied", |way| {
        let linked = || {
            let world = world(way);
            world.file("work/a", "old");
            let link = "mkdir gone new; for name in b c gone/d new/e f g; do ln a $name; done";
            assert_eq!(world.outside(["sh", "-c", link]).code, 0);
            shell(
                &world,
                "for f in a b c f g; do echo $f > $f; done; rm g; rm -r gone new; mkdir new; echo x > new/x",
            );
            world
        };
        let content = "cat a b c f; ls . new";
        let whole = "a\nb\nc\nf\n.:\na\nb\nc\nf\nnew\n\nnew:\nx";
        // All at once, in any order of what takes a name from it.
        let world = linked();
        assert_eq!(left(&world, &["apply"]), []);
        assert_eq!(world.outside(["sh", "-c", content]).text(), whole);
        // One after another: in place of it, removed, with a directory that goes, with one that is made anew.
        let world = linked();
        for step in ["a", "g", "gone", "new", "c", "b"] {
            assert_eq!(left(&world, &["apply", step]), [], "{step}");
        }
        shell(&world, "echo again >> b");
        assert_eq!(left(&world, &["apply", "b", "f"]), []);
        assert_eq!(
            world.outside(["sh", "-c", content]).text(),
            whole.replace("b\nc\nf\n.", "b\nagain\nc\nf\n.")
        );
        assert_eq!(changes(&world), Vec::<String>::new());
        // What the host does to such a file, before or after, is its change all the same.
        let conflict =
            |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), true)).collect::<Vec<_>>();
        let world = linked();
        assert_eq!(left(&world, &["apply", "a", "new"]), []);
        assert_eq!(world.outside(["chmod", "600", "c"]).code, 0);
        assert_eq!(left(&world, &["apply"]), conflict(&["b", "c", "f", "g", "gone"]));
        assert_eq!(left(&world, &["apply", "--force", "b"]), []);
        assert_eq!(left(&world, &["apply", "c"]), conflict(&["c"]));
        assert_eq!(left(&world, &["apply", "--force"]), []);
        assert_eq!(world.outside(["sh", "-c", content]).text(), whole);
        assert_clean(&world);
    });
}
