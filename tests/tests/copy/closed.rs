//! What is closed or read-only below a copy is so in the copy, in the first command and in the next; what is written through is.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use weir_tests::sandbox::{Way, World};

use super::settle::{WAYS, changes, left, shell};

const RULES: &str = r#"
":project_roots" = { "." = "copy", "**/*.env" = "none", "vendor" = "read", "private" = "none", "out" = "write" }
"#;

fn filled(way: Way) -> World {
    let world = World::new(way);
    for (path, content) in
        [("vendor/v", "v"), ("private/p", "p"), ("out/o", "o"), ("x.env", "secret"), (".git/config", "c")]
    {
        world.file(format!("work/{path}"), content);
    }
    world.directory("work/.git/hooks");
    world.profile(RULES, "");
    world
}

/// Each act fails under Weir, in both commands, and works without.
#[test]
fn what_is_closed_is_closed_in_the_copy() {
    Way::each_of(&WAYS, "copy::closed", |way| {
        let acts = [
            "cat private/p",
            "cat x.env",
            "cp x.env y",
            "echo 1 > later.env",
            "mv x.env y",
            "ln x.env y",
            "echo new > vendor/v",
            "rm vendor/v",
            "mv vendor v",
            "echo new > .git/config",
            "echo new > .git/hooks/pre-commit",
            "mv .git g",
            "mkdir .vscode",
            "echo 1 > .mcp.json",
            "cat ../weir/config.toml",
        ];
        let world = filled(way);
        for round in 0..2 {
            for act in acts {
                let run = world.run(["sh", "-c", act]);
                assert_ne!(run.code, 0, "{round}: {act}");
            }
            assert_eq!(changes(&world).iter().filter(|change| change.starts_with("added y")).count(), 0);
            // What is not closed can be changed all the same.
            shell(&world, "echo new > seen; echo new > .git/index; cat vendor/v .git/config");
        }
        for act in acts {
            let control = filled(way);
            assert_eq!(control.outside(["sh", "-c", act]).code, 0, "{act}");
        }
    });
}

#[test]
fn a_writable_place_inside_a_copy_is_the_host_s() {
    Way::each_of(&WAYS, "copy::through", |way| {
        let world = filled(way);
        shell(&world, "echo new > out/o; echo new > seen");
        assert_eq!(world.outside(["cat", "out/o"]).text(), "new");
        assert_eq!(changes(&world), ["added seen"]);
    });
}

/// A copy inside a writable place, and a copy in what is read-only inside a copy.
#[test]
fn copies_and_other_rules_lie_in_each_other() {
    Way::each_of(&WAYS, "copy::nested", |way| {
        let world = World::new(way);
        world.file("work/c/r/cc/f", "old");
        world.profile("\"{w}/work\" = \"write\"\n\"{w}/work/c\" = \"copy\"\n\"{w}/work/c/r\" = \"read\"\n\"{w}/work/c/r/cc\" = \"copy\"", "");
        shell(&world, "echo new > f; echo new > c/f; echo new > c/r/cc/f");
        assert_ne!(world.run(["sh", "-c", "echo new > c/r/f"]).code, 0);
        assert_ne!(world.run(["mv", "c", "d"]).code, 0);
        assert_eq!(world.outside(["cat", "f", "c/r/cc/f"]).text(), "new\nold");
        assert_eq!(shell(&world, "cat c/r/cc/f"), "new\n");
        assert_eq!(changes(&world), ["added f", "modified r/cc/f"]);
        assert_eq!(left(&world, &["apply", "c/r"]), []);
        assert_eq!(world.outside(["cat", "c/r/cc/f"]).text(), "new");
        assert_eq!(changes(&world), ["added f"]);
    });
}

/// A secret outside, which a rule closes, and one inside, which a pattern does.
fn with_secrets(way: Way) -> World {
    let world = World::new(way);
    world.file("around/secret/key", "secret");
    world.file("work/x.env", "secret");
    world.directory("work/d");
    world.profile(
        "\"{w}/around\" = \"read\"\n\"{w}/around/secret\" = \"none\"\n\"{w}/work\" = \"copy\"\n\":project_roots\" = { \"**/*.env\" = \"none\" }",
        "",
    );
    world
}

/// A further name of a secret, which the host has made, is closed in the copy as it would be outside, whatever is done to it there.
#[test]
fn another_name_of_something_closed_is_closed_in_the_copy() {
    Way::each_of(&WAYS, "copy::links", |way| {
        let world = with_secrets(way);
        let link = "ln ../around/secret/key key; ln x.env d/plain";
        assert_eq!(world.outside(["sh", "-c", link]).code, 0);
        for round in 0..2 {
            for name in ["key", "d/plain"] {
                for act in [
                    "cat N",
                    "chmod 644 N; cat N",
                    "touch -c -d 2020-02-02 N; cat N",
                    "mv N y && cat y",
                    "ln N y && cat y",
                    "mv d e; cat e/plain",
                ] {
                    let run = world.run(["sh", "-c", &act.replace('N', name)]);
                    assert!(run.code != 0 && run.stdout.is_empty(), "{round}: {act} {name}: {run:?}");
                }
            }
            shell(&world, "echo new > seen; ls d");
        }
        let changed = changes(&world);
        assert!(
            changed.iter().all(|change| change == "added seen" || change.starts_with("added e")),
            "{changed:?}"
        );
        assert_eq!(world.outside(["cat", "key", "d/plain"]).text(), "secretsecret");
    });
}

/// Nobody can tell whether a directory that may be searched and not listed holds such a name, so that it is closed as a whole.
#[test]
fn another_name_that_cannot_be_listed_is_closed_in_the_copy() {
    Way::each_of(&WAYS, "copy::unlisted-links", |way| {
        let world = with_secrets(way);
        let link = "mkdir dark; ln ../around/secret/key dark/key; ln x.env dark/plain; chmod 311 dark; cat dark/key dark/plain";
        assert_eq!(world.outside(["sh", "-c", link]).text(), "secretsecret");
        for name in ["dark/key", "dark/plain"] {
            for act in ["cat N", "touch -c -d 2020-02-02 N; cat N", "chmod 700 dark; touch -c N; cat N"] {
                let run = world.run(["sh", "-c", &act.replace('N', name)]);
                assert!(run.code != 0 && run.stdout.is_empty(), "{act} {name}: {run:?}");
            }
        }
        shell(&world, "echo new > seen; ls d");
    });
}

/// Of one file there are names in the closed place and in the copy around it, and more of them.
#[test]
fn every_name_of_what_is_closed_inside_a_copy_is_closed() {
    Way::each_of(&WAYS, "copy::inside-links", |way| {
        let world = World::new(way);
        world.file("work/closed/key", "secret");
        world.directory("work/d");
        world.profile("\"{w}/work\" = \"copy\"\n\"{w}/work/closed\" = \"none\"", "");
        let names = ["a", "d/b", "z"];
        for name in names {
            assert_eq!(world.outside(["ln", "closed/key", name]).code, 0);
        }
        for name in names {
            let run = world.run(["sh", "-c", &format!("touch -c -d 2020-02-02 {name}; cat {name}")]);
            assert!(run.code != 0 && run.stdout.is_empty(), "{name}: {run:?}");
        }
    });
}

/// The same of a name that the host makes while a command runs.
#[test]
fn another_name_that_comes_later_is_closed_in_the_copy() {
    Way::each_of(&WAYS, "copy::later-links", |way| {
        let world = with_secrets(way);
        for (link, act) in [
            ("ln ../around/secret/key key", "cat key"),
            ("ln ../around/secret/key key", "cp key y; cat y"),
            ("ln ../around/secret/key key", "mv key y && cat y"),
            ("ln ../around/secret/key key", "ln key y && cat y"),
            ("ln ../around/secret/key key", "echo new >> key && cat key"),
            ("ln x.env key", "cat key"),
            ("ln x.env key", "mv key y && cat y"),
        ] {
            let script = format!("ls > /dev/null; echo ready; read line; {act}");
            let mut child = world.weir(["--quiet"]);
            let child = child.args(["sh", "-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = child.spawn().unwrap();
            let mut told = BufReader::new(child.stdout.take().unwrap());
            let mut line = String::new();
            told.read_line(&mut line).unwrap();
            assert_eq!(line, "ready\n");
            assert_eq!(world.outside(["sh", "-c", link]).code, 0);
            child.stdin.take().unwrap().write_all(b"go\n").unwrap();
            line.clear();
            told.read_line(&mut line).unwrap();
            assert!(!child.wait().unwrap().success() && line.is_empty(), "{link}; {act}: {line}");
            assert_eq!(world.outside(["rm", "key"]).code, 0);
        }
    });
}
