//! What stands in for home and the temporary directories: empty, writable, gone afterwards; and that nothing is left on the host.

use std::collections::BTreeSet;
use std::path::Path;

use weir_tests::sandbox::probe::Expect;
use weir_tests::sandbox::{Act, Way, World, act};

#[test]
fn home_and_temporary_directories_are_private() {
    Way::each_of(&[Way::Root, Way::User], "containment::private", |way| {
        let world = World::new(way);
        let name = format!("weir-test-{}", std::process::id());
        for profile in [
            "\"{w}/work\" = \"write\"",
            "\"{w}\" = \"read\"\n\"{w}/work\" = \"write\"\n\"{w}/home\" = \"none\"",
        ] {
            world.profile(profile, "");
            let mut acts: Vec<Act> = vec![act(["read", "{w}/home/.ssh/id"])];
            for place in ["{w}/home", "/tmp", "/var/tmp", "/dev/shm"] {
                let file = format!("{place}/{name}");
                acts.push(act(["list", place]).inside(Expect::Answers(String::new())));
                acts.push(act(["create", &file]).works());
                acts.push(act(["read", &file]).works());
                acts.push(act(["mkdir", &format!("{file}.d")]).works());
                acts.push(act(["rmdir", &format!("{file}.d")]).works());
                acts.push(act(["list", place]).answers(&name));
                acts.push(act(["unlink", &file]).works());
            }
            world.check(|world| drop(world.file("home/.ssh/id", "content")), &acts);
        }
        // What was made there is neither on the host nor in the next sandbox.
        let script = format!("for d in ~ /tmp /var/tmp /dev/shm; do echo x >$d/{name}; done; cat ~/{name}");
        assert_eq!(world.run(["sh", "-c", &script]).text(), "x");
        for place in ["/tmp", "/var/tmp", "/dev/shm"] {
            assert!(!Path::new(place).join(&name).exists(), "{place}");
        }
        assert!(!world.at("home").join(&name).exists());
        assert_eq!(
            world.run(["sh", "-c", "ls -A ~ /tmp /var/tmp /dev/shm | grep -c weir-test || :"]).text(),
            "0"
        );
    });
}

/// Where there is no mount namespace they are out of reach, and the report says so.
#[test]
fn without_mounts_home_and_temporary_directories_are_closed() {
    Way::each_of(&[Way::Bare], "containment::private_bare", |way| {
        let world = World::new(way);
        world.profile("\"{w}/work\" = \"write\"", "");
        let name = format!("weir-test-{}", std::process::id());
        let mut acts = vec![act(["read", "{w}/home/.ssh/id"])];
        for place in ["{w}/home", "/tmp", "/var/tmp", "/dev/shm"] {
            acts.push(act(["list", place]));
            acts.push(act(["create", &format!("{place}/{name}")]));
            acts.push(act(["unlink", &format!("{place}/{name}")]));
        }
        world.check(|world| drop(world.file("home/.ssh/id", "content")), &acts);
        assert!(world.run(["true"]).stderr.contains("out of reach"));
    });
}

/// Everything below a directory, by name and kind.
fn listing(root: &Path) -> BTreeSet<String> {
    let (mut open, mut found) = (vec![root.to_owned()], BTreeSet::new());
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            found.insert(format!("{:?} {}", entry.file_type().unwrap(), entry.path().display()));
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            }
        }
    }
    found
}

/// Protected names that do not exist are neither made by the command nor left behind by Weir (FIELD: ghost files).
#[test]
fn missing_protected_names_stay_missing() {
    Way::each("containment::ghosts", |way| {
        let world = World::new(way);
        world.profile("\":root\" = \"read\"\n\":project_roots\" = \"write\"", "");
        let before = listing(world.root());
        let names = [
            ".codex",
            ".agents",
            ".claude",
            ".weir",
            ".vscode",
            ".idea",
            ".mcp.json",
            ".bashrc",
            ".profile",
            ".git",
        ];
        let mut acts: Vec<Act> = Vec::new();
        for name in names {
            acts.push(act(["mkdir", name]));
            acts.push(act(["rmdir", name]));
            acts.push(act(["create", name]));
            acts.push(act(["unlink", name]));
            acts.push(act(["symlink", "elsewhere", name]));
            acts.push(act(["unlink", name]));
            acts.push(act(["rename", "made", name]));
            acts.push(act(["rename", name, "made"]));
            acts.push(act(["link", "made", name]));
            acts.push(act(["unlink", name]));
        }
        acts.push(act(["create", "other"]).works());
        acts.push(act(["unlink", "other"]).works());
        world.check(|world| drop(world.file("work/made", "content")), &acts);
        std::fs::remove_file(world.at("work/made")).unwrap();
        let mut after = listing(world.root());
        // What was refused is kept in Weir's own directory.
        after.retain(|entry| !entry.ends_with("/weir/denials.jsonl"));
        assert_eq!(after, before);
    });
}

/// Hooks, configuration and editor settings that exist are read-only, and still cannot be replaced.
#[test]
fn protected_metadata_is_read_only() {
    Way::each_of(&[Way::Root, Way::User], "containment::protected", |way| {
        let world = World::new(way);
        world.profile("\":root\" = \"read\"\n\":project_roots\" = \"write\"", "");
        world.check(
            |world| {
                assert_eq!(world.outside(["git", "init", "-q", "."]).code, 0);
                world.file("work/.git/hooks/pre-commit", "#!/bin/sh\n");
                assert_eq!(world.outside(["git", "init", "-q", "--bare", "bare.git"]).code, 0);
                world.file("work/bare.git/hooks/pre-receive", "#!/bin/sh\n");
                world.file("work/.vscode/tasks.json", "{}");
                world.file("work/.mcp.json", "{}");
                world.file("work/.bashrc", "");
            },
            &[
                act(["write", ".git/config"]),
                act(["create", ".git/hooks/post-checkout"]),
                act(["unlink", ".git/hooks/post-checkout"]),
                act(["write", ".git/hooks/pre-commit"]),
                act(["write", "bare.git/hooks/pre-receive"]),
                act(["create", "bare.git/hooks/post-receive"]),
                act(["write", "bare.git/config"]),
                act(["create", "bare.git/commondir"]),
                act(["create", "bare.git/objects/new"]).works(),
                act(["create", "bare.git/HEAD.lock"]).works(),
                act(["chmod", ".git/hooks/pre-commit"]),
                act(["write", ".vscode/tasks.json"]),
                act(["write", ".mcp.json"]),
                act(["write", ".bashrc"]),
                act(["create", ".git/config.lock"]).works(),
                act(["rename", ".git/config.lock", ".git/config"]),
                act(["rename", ".git/hooks", ".git/hooks.old"]),
                act(["rename", ".git/hooks.old", ".git/hooks"]),
                act(["rename", ".vscode", ".vscode.old"]),
                act(["rename", ".vscode.old", ".vscode"]),
                act(["rename", ".git", ".git.old"]),
                act(["rename", ".git.old", ".git"]),
                act(["unlink", ".mcp.json"]),
                act(["read", ".git/config"]).works(),
                act(["create", ".git/objects/new"]).works(),
                act(["create", ".git/index.lock"]).works(),
            ],
        );
    });
}

/// Repositories that a command makes, bare ones too, are named with what the host must not trust in them.
#[test]
fn repositories_that_are_made_are_named() {
    Way::each("containment::made", |way| {
        let world = World::new(way);
        world.profile("\":root\" = \"read\"\n\":project_roots\" = \"write\"", "");
        let script = "git init -q one && git init -q --bare two.git && mkdir -p deep && git init -q --bare deep/three && \
                      git -C two.git symbolic-ref HEAD refs/heads/other && mkdir objects refs && \
                      mkdir -p last/objects last/refs && : > last/HEAD && \
                      mkdir -p laid/objects laid/refs && : > laid/h && mv laid/h laid/HEAD && mv laid put";
        let report = world.at("report.json");
        let run = weir_tests::sandbox::finish(
            world.weir(["--report".as_ref(), report.as_os_str()]).args(["sh", "-c", script]),
        );
        assert_eq!(run.code, 0, "{run:?}");
        let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
        let named: Vec<&str> = report["exited"]["new_repositories"]
            .as_array()
            .unwrap()
            .iter()
            .map(|path| path.as_str().unwrap())
            .collect();
        let made = ["one/.git", "two.git", "deep/three", "last", "laid", "put"]
            .map(|name| world.expand(&format!("{{w}}/work/{name}")));
        assert_eq!(named, made);
    });
}
