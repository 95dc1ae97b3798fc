//! What path rules mean to a command: precedence, closed places inside open ones, places opened again, names of every kind.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use weir_tests::sandbox::{Act, REFUSED, Way, World, act};

/// Ways that can make a place read-only in everything, mode and times included.
const MOUNTING: [Way; 2] = [Way::Root, Way::User];

const NESTED: &str = r#"
"{w}/data" = "read"
"{w}/data/closed" = "none"
"{w}/data/closed/open" = "read"
"{w}/data/closed/open/room" = "write"
"{w}/data/file.txt" = "none"
"{w}/work" = "write"
"{w}/work/sealed" = "read"
"{w}/work/sealed/deeper" = "write"
"{w}/work/closed" = "none"
"{w}/work/closed/again" = "write"
"{w}/work/secret.txt" = "none"
"#;

fn nested(world: &World) {
    for path in [
        "data/plain",
        "data/file.txt",
        "data/closed/hidden",
        "data/closed/open/seen",
        "data/closed/open/room/own",
        "work/plain",
        "work/secret.txt",
        "work/sealed/fixed",
        "work/sealed/deeper/own",
        "work/closed/hidden",
        "work/closed/again/own",
    ] {
        world.file(path, "content");
    }
}

/// Every act that a rule decides, at one file.
fn reading(path: &str) -> Act {
    act(["read", &format!("{{w}}/{path}")])
}

fn writing(path: &str) -> Act {
    act(["write", &format!("{{w}}/{path}")])
}

#[test]
fn none_inside_read_and_write_and_opened_again() {
    Way::each("containment::precedence", |way| {
        let world = World::new(way);
        world.profile(NESTED, "");
        world.check(
            nested,
            &[
                reading("data/plain").answers("content"),
                reading("data/file.txt"),
                reading("data/closed/hidden"),
                act(["list", "{w}/data/closed"]),
                reading("data/closed/open/seen").answers("content"),
                writing("data/plain"),
                writing("data/closed/open/seen"),
                writing("data/closed/open/room/own").works(),
                act(["create", "{w}/data/new"]),
                act(["create", "{w}/data/closed/new"]),
                act(["create", "{w}/data/closed/open/room/new"]).works(),
                reading("work/secret.txt"),
                writing("work/secret.txt"),
                reading("work/sealed/fixed").answers("content"),
                writing("work/sealed/fixed"),
                act(["create", "{w}/work/sealed/new"]),
                writing("work/sealed/deeper/own").works(),
                reading("work/closed/hidden"),
                act(["create", "{w}/work/closed/new"]),
                writing("work/closed/again/own").works(),
                act(["create", "{w}/work/closed/again/new"]).works(),
                act(["create", "{w}/work/new"]).works(),
            ],
        );
    });
}

/// A denied file must be an error to whoever reads it: empty with exit code 0 would be a wrong answer.
#[test]
fn a_denied_file_never_reads_as_empty() {
    Way::each("containment::silent_wrong_answer", |way| {
        let world = World::new(way);
        nested(&world);
        world.profile(NESTED, "");
        let script = r#"for f in data/file.txt data/closed/hidden work/secret.txt work/closed/hidden; do
            for c in "cat" "wc -c" "head -c1" "tail -n1" "sha256sum" "cp -t ." "grep -c ."; do
                found=$($c "../$f" 2>/dev/null); echo "$f $c: $? $found"
            done
        done"#;
        let outside = world.outside(["sh", "-c", script]).text();
        assert!(outside.lines().all(|line| line.contains(": 0 ") || line.contains(" cp ")), "{outside}");
        let inside = world.run(["sh", "-c", script]).text();
        let fails = |line: &str| [": 1", ": 2"].iter().any(|code| line.trim_end().ends_with(code));
        assert!(inside.lines().count() == 28 && inside.lines().all(fails), "{way:?} {inside}");
    });
}

#[test]
fn what_is_closed_inside_a_grant_is_moved_by_nobody() {
    Way::each("containment::mask_detached", |way| {
        let world = World::new(way);
        world.profile(NESTED, "");
        world.check(
            |world| {
                nested(world);
                world.file("work/own/thing", "own");
            },
            &[
                act(["exchange", "{w}/work/closed", "{w}/work/own"]),
                act(["exchange", "{w}/work/closed", "{w}/work/own"]),
                act(["exchange", "{w}/work/secret.txt", "{w}/work/plain"]),
                act(["exchange", "{w}/work/secret.txt", "{w}/work/plain"]),
                act(["rename", "{w}/work/sealed", "{w}/work/elsewhere"]),
                act(["rename", "{w}/work/elsewhere", "{w}/work/sealed"]),
                act(["rename", "{w}/work/plain", "{w}/work/secret.txt"]),
                act(["unlink", "{w}/work/secret.txt"]),
                act(["link", "{w}/work/sealed/fixed", "{w}/work/second"]),
                act(["write", "{w}/work/second"]),
                act(["unlink", "{w}/work/sealed/fixed"]),
                act(["rename", "{w}/work/closed", "{w}/work/elsewhere"]),
                act(["read", "{w}/work/closed/hidden"]).outside(weir_tests::sandbox::probe::Expect::Fails),
                act(["read", "{w}/work/elsewhere/hidden"]),
            ],
        );
        if MOUNTING.contains(&way) {
            world.check(nested, &[act(["chmod", "{w}/work/closed"])]);
        }
    });
}

/// The command must not move a directory above a closed place away and put its own there.
#[test]
fn directories_above_a_closed_place_stay() {
    Way::each("containment::pins", |way| {
        let world = World::new(way);
        world.profile(
            r#"
            "{w}/work" = "write"
            "{w}/work/a/b/c/closed" = "none"
            "{w}/work/a/b/c/sealed" = "read"
            "#,
            "",
        );
        world.check(
            |world| {
                world.file("work/a/b/c/closed/x", "content");
                world.file("work/a/b/c/sealed/x", "content");
                world.file("work/a/b/beside", "content");
            },
            &[
                act(["write", "{w}/work/a/b/beside"]).works(),
                act(["create", "{w}/work/a/b/c/new"]).works(),
                act(["unlink", "{w}/work/a/b/c/new"]).works(),
                act(["rename", "{w}/work/a/b/c/sealed", "{w}/work/moved"]),
                act(["rename", "{w}/work/moved", "{w}/work/a/b/c/sealed"]),
                act(["rename", "{w}/work/a/b/c", "{w}/work/moved"]),
                act(["rename", "{w}/work/moved", "{w}/work/a/b/c"]),
                act(["rename", "{w}/work/a/b", "{w}/work/moved"]),
                act(["rename", "{w}/work/moved", "{w}/work/a/b"]),
                act(["rename", "{w}/work/a", "{w}/work/moved"]),
                act(["read", "{w}/work/moved/b/c/closed/x"]),
                act(["write", "{w}/work/moved/b/c/sealed/x"]),
            ],
        );
    });
}

/// Without user namespaces some guarantees cannot be had; each is named, and nothing runs. What is closed or read-only inside a grant is
/// not among them.
#[test]
fn what_the_bare_way_cannot_hold_is_refused_by_name() {
    Way::each_of(&[Way::Bare], "containment::bare_refusal", |way| {
        let world = World::new(way);
        nested(&world);
        let text =
            world.expand(&format!("default_permissions = \"test\"\n[permissions.test.filesystem]\n{NESTED}"));
        world.file("weir/config.toml", text);
        let run = world.run(["touch", "ran"]);
        assert_eq!(run.code, REFUSED, "{}", run.stderr);
        for held in ["secret.txt", "work/sealed", "no-carve-out"] {
            assert!(!run.stderr.contains(held), "{held}: {}", run.stderr);
        }
        for part in ["mount namespace", "no-stand-ins", "shared-processes", "shared-metadata"] {
            assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
        }
        assert!(!world.at("work/ran").exists());
    });
}

/// Without a mount namespace nor live rules nothing holds what is read-only inside a grant: that is said with the rule's line.
#[test]
fn a_snapshot_in_the_bare_way_holds_no_exceptions() {
    Way::each_of(&[Way::Bare], "containment::bare_snapshot", |way| {
        let world = World::new(way);
        nested(&world);
        world.profile_giving_up(&["snapshot-globs"], NESTED, "");
        let run = world.run(["touch", "ran"]);
        assert_eq!(run.code, REFUSED, "{}", run.stderr);
        for part in ["work/sealed", "config.toml:", "mount namespace", "no-carve-out"] {
            assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
        }
        assert!(!world.at("work/ran").exists());
    });
}

#[test]
fn grants_hold_and_nothing_else_is_there() {
    Way::each("containment::grants", |way| {
        let world = World::new(way);
        world.profile(
            r#"
            "{w}/work" = "write"
            "{w}/data" = "read"
            "{w}/one/granted.txt" = "read"
            "{w}/one/own.txt" = "write"
            "#,
            "",
        );
        world.check(
            |world| {
                for path in ["work/f", "data/f", "one/granted.txt", "one/own.txt", "one/other.txt", "other/f"]
                {
                    world.file(path, "content");
                }
                world.script("data/tool", "#!/bin/sh\necho ran\n");
                world.script("other/tool", "#!/bin/sh\necho ran\n");
            },
            &[
                reading("work/f").works(),
                writing("work/f").works(),
                act(["truncate", "{w}/work/f"]).works(),
                act(["mkdir", "{w}/work/d"]).works(),
                act(["rmdir", "{w}/work/d"]).works(),
                act(["symlink", "{w}/data/f", "{w}/work/l"]).works(),
                act(["unlink", "{w}/work/l"]).works(),
                act(["mknod", "{w}/work/fifo", "0x11a4", "0"]).works(),
                act(["unlink", "{w}/work/fifo"]).works(),
                act(["tmpfile", "{w}/work", "{w}/work/named"]).works(),
                act(["unlink", "{w}/work/named"]).works(),
                reading("data/f").works(),
                writing("data/f"),
                act(["truncate", "{w}/data/f"]),
                act(["create", "{w}/data/new"]),
                act(["unlink", "{w}/data/new"]),
                act(["mkdir", "{w}/data/d"]),
                act(["rmdir", "{w}/data/d"]),
                act(["tmpfile", "{w}/data"]),
                act(["exec", "{w}/data/tool"]).answers("ran"),
                reading("one/granted.txt").works(),
                writing("one/granted.txt"),
                writing("one/own.txt").works(),
                act(["truncate", "{w}/one/own.txt"]).works(),
                act(["unlink", "{w}/one/own.txt"]),
                reading("one/other.txt"),
                act(["list", "{w}/one"]),
                act(["list", "{w}"]),
                reading("other/f"),
                writing("other/f"),
                act(["exec", "{w}/other/tool"]),
                act(["create", "{w}/other/new"]),
                act(["create", "{w}/new"]),
                reading("weir/config.toml"),
            ],
        );
    });
}

#[test]
fn odd_names_are_names() {
    Way::each("containment::odd_names", |way| {
        let names: [&[u8]; 8] = [
            b"with space",
            b"quo'te\"s",
            b"new\nline",
            b"\xff\xfe",
            b"-rf",
            b"a=b,c:d",
            b"$(x)`y`",
            "ünï".as_bytes(),
        ];
        let world = World::new(way);
        let place = |world: &World, top: &str, name: &[u8]| {
            world.at(top).join(OsString::from_vec(name.to_vec())).into_os_string()
        };
        world.profile(
            r#"
            "{w}/work" = "write"
            "{w}/data/with space" = "read"
            "{w}/data/quo'te\"s" = "read"
            "{w}/data/ünï" = "read"
            "#,
            "",
        );
        let granted: [&[u8]; 3] = [b"with space", b"quo'te\"s", "ünï".as_bytes()];
        let mut acts = Vec::new();
        for name in names {
            acts.push(act([OsString::from("read"), place(&world, "work", name)]).answers("content"));
            acts.push(act([OsString::from("write"), place(&world, "work", name)]).works());
            let other = act([OsString::from("read"), place(&world, "data", name)]);
            acts.push(if granted.contains(&name) { other.answers("content") } else { other });
        }
        world.check(
            |world| {
                for name in names {
                    for top in ["work", "data"] {
                        world.file(place(world, top, name), "content");
                    }
                }
            },
            &acts,
        );
    });
}

#[test]
fn odd_names_are_closed_as_well() {
    Way::each("containment::odd_names_closed", |way| {
        let world = World::new(way);
        let names = ["with space", "quo'te\"s", "-rf", "a=b,c:d", "$(x)`y`", "ünï"];
        let rules: Vec<_> =
            names.iter().map(|name| format!("{:?} = \"none\"", format!("{{w}}/work/{name}"))).collect();
        world.profile(&format!("\"{{w}}/work\" = \"write\"\n{}", rules.join("\n")), "");
        let mut acts: Vec<_> =
            names.iter().map(|name| act(["read", &format!("{{w}}/work/{name}")])).collect();
        acts.push(act(["read", "{w}/work/plain"]).works());
        world.check(
            |world| {
                for name in names.iter().chain(&["plain"]) {
                    world.file(format!("work/{name}"), "content");
                }
            },
            &acts,
        );
    });
}

/// One directory that nobody may read must not make every command fail.
#[test]
fn unreadable_directories_stop_nothing() {
    use std::os::unix::fs::PermissionsExt;
    Way::each("containment::unreadable", |way| {
        let world = World::new(way);
        world.file("work/shut/inner", "content");
        let mode =
            |bits| std::fs::set_permissions(world.at("work/shut"), PermissionsExt::from_mode(bits)).unwrap();
        mode(0o000);
        world.profile(
            "\"{w}/work\" = \"write\"\n\"{w}/work/shut/inner\" = \"write\"\n\"{w}/absent/more\" = \"read\"",
            "",
        );
        assert_eq!(world.outside(["echo", "ran"]).text(), "ran");
        assert_eq!(world.run(["echo", "ran"]).text(), "ran");
        // A pattern could match in what cannot be listed.
        world.profile("\"{w}/work\" = { \".\" = \"write\", \"**/*.env\" = \"none\" }", "");
        for bits in [0o000, 0o111, 0o311] {
            let mut acts = vec![act(["read", "{w}/work/open"]).works()];
            if bits != 0 {
                acts.push(act(["read", "{w}/work/shut/x.env"]));
            }
            world.check(
                |world| {
                    world.file("work/open", "content");
                    world.file("work/shut/x.env", "content");
                    mode(bits);
                },
                &acts,
            );
        }
        mode(0o755);
    });
}

/// A working directory that the command may not enter is refused; it never becomes a grant (CVE-2025-59532).
#[test]
fn a_working_directory_outside_the_roots_grants_nothing() {
    Way::each("containment::cwd", |way| {
        let world = World::new(way);
        world.file("elsewhere/file", "content");
        world.profile("\"{w}/work\" = \"write\"", "");
        let elsewhere = world.at("elsewhere");
        let words = ["sh", "-c", "cat file; echo x >new; pwd"];
        let outside =
            weir_tests::sandbox::finish(world.command(words[0]).args(&words[1..]).current_dir(&elsewhere));
        assert!(outside.text().starts_with("content"));
        std::fs::remove_file(elsewhere.join("new")).unwrap();
        for options in [vec![], vec!["-C", elsewhere.to_str().unwrap()]] {
            let mut command = world.weir(&options);
            if options.is_empty() {
                command.current_dir(&elsewhere);
            }
            let run = weir_tests::sandbox::finish(command.args(words));
            assert!(run.stdout.is_empty() || way == Way::Bare, "{run:?}");
            assert!(!String::from_utf8_lossy(&run.stdout).contains("content"), "{run:?}");
            assert!(!elsewhere.join("new").exists(), "{run:?}");
            if way != Way::Bare {
                assert_eq!(run.code, REFUSED, "{run:?}");
                assert!(run.stderr.contains("elsewhere"), "{run:?}");
            }
        }
    });
}

/// Modes, times and attributes of what may only be read, or not even that. Landlock has no say over them, so without mounts
/// the user's own files can be changed in this way, which the report says.
#[test]
fn metadata_outside_the_roots_stays() {
    Way::each_of(&MOUNTING, "containment::metadata", |way| {
        let world = World::new(way);
        world.profile("\"{w}/work\" = \"write\"\n\"{w}/data\" = \"read\"", "");
        let mut acts = Vec::new();
        for place in ["data/f", "secret/f", "data", "secret"] {
            for verb in ["chmod", "touch", "xattr"] {
                acts.push(act([verb, &format!("{{w}}/{place}")]));
            }
        }
        for verb in ["chmod", "touch", "xattr"] {
            acts.push(act([verb, "{w}/work/f"]).works());
        }
        world.check(
            |world| {
                for path in ["work/f", "data/f", "secret/f"] {
                    world.file(path, "content");
                }
            },
            &acts,
        );
    });
}
