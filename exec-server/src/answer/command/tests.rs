//! What is found for a command, on files of the test's own.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::profile::literal;

/// Programs in a directory of the test's own, some of which may be executed.
struct Ground {
    root: AbsPath,
    _keep: tempfile::TempDir,
}

impl Ground {
    fn new() -> Self {
        let keep = tempfile::tempdir().unwrap();
        let root = AbsPath::from_host(&keep.path().canonicalize().unwrap()).unwrap();
        let ground = Self { root, _keep: keep };
        ground.file("shut/tool", "#!/bin/sh\n", 0o755);
        ground.file("open/tool", "#!/bin/sh\n", 0o755);
        ground.file("open/plain", "#!/bin/sh\n", 0o644);
        ground.file("open/bare", "echo of no format\n", 0o755);
        ground.file("open/odd", "#!/nowhere/sh\n", 0o755);
        ground.file("open/by-env", "#!/usr/bin/env -S A=b tool\n", 0o755);
        ground.file("open/loop", &format!("#!{}/open/loop\n", ground.root), 0o755);
        ground.file("open/anew", "#!/usr/bin/env anew\n", 0o755);
        ground.file("open/elevated", "#!/bin/sh\n", 0o4755);
        symlink("../shut/tool", ground.at("open/way").as_path()).unwrap();
        std::fs::create_dir(ground.at("links").as_path()).unwrap();
        symlink("../open/tool", ground.at("links/hidden").as_path()).unwrap();
        ground
    }

    fn at(&self, name: &str) -> AbsPath {
        AbsPath::from_host(&self.root.as_path().join(name)).unwrap()
    }

    fn file(&self, name: &str, text: &str, mode: u32) {
        let path = self.at(name);
        std::fs::create_dir_all(path.as_path().parent().unwrap()).unwrap();
        std::fs::write(path.as_path(), text).unwrap();
        std::fs::set_permissions(path.as_path(), PermissionsExt::from_mode(mode)).unwrap();
    }

    fn policy(&self, more: &str) -> Policy {
        let text = format!("[permissions.test.filesystem]\n\"{}/open\" = \"read\"\n{more}\n", self.root);
        literal::policy(&text, self.at("home"), self.root.clone())
    }

    /// What is needed, each as `need path`, with what is missing.
    fn found(&self, policy: &Policy, name: &str) -> (Vec<String>, Option<String>) {
        let path: ByteString = format!("{0}/shut:{0}/open", self.root).as_str().into();
        let starting = Starting::of(policy, &[name.into()], Some(&path), &self.root).unwrap();
        let root = format!("{}/", self.root);
        let told = |piece: &Piece| format!("{} {}", piece.need.words(), piece.path).replace(&root, "");
        (starting.pieces.iter().skip(1).map(told).collect(), starting.missing)
    }
}

/// The programs of this machine that stand in a chain, by their final names.
fn final_name(path: &str) -> String {
    std::fs::canonicalize(path).unwrap().display().to_string()
}

#[test]
fn a_command_is_followed_down_to_its_loader() {
    let ground = Ground::new();
    let policy = ground.policy("");
    let (shell, env) = (final_name("/bin/sh"), final_name("/usr/bin/env"));
    let below = |pieces: &[String], expect: &[String]| {
        let kept: Vec<_> = pieces.iter().filter(|piece| !piece.starts_with("loader")).cloned().collect();
        assert_eq!(kept, expect);
        pieces.len() > kept.len()
    };
    let of_shell = format!("interpreter {shell}");
    let cases = [
        ("tool", vec!["program open/tool".to_owned(), of_shell.clone()]),
        ("./open/tool", vec!["program open/tool".to_owned(), of_shell.clone()]),
        ("bare", vec!["program open/bare".to_owned(), of_shell.clone()]),
        ("way", vec!["program shut/tool".to_owned(), of_shell.clone()]),
        (
            "by-env",
            vec![
                "program open/by-env".to_owned(),
                format!("interpreter {env}"),
                "program open/tool".to_owned(),
                of_shell.clone(),
            ],
        ),
        ("links/hidden", vec!["link links/hidden".to_owned(), "program open/tool".to_owned(), of_shell]),
    ];
    for (name, expect) in cases {
        let (pieces, missing) = ground.found(&policy, name);
        let has_loader = below(&pieces, &expect);
        assert_eq!((has_loader, missing), (cfg!(target_os = "linux"), None), "{name}");
    }
    let (pieces, missing) = ground.found(&policy, "loop");
    assert_eq!(pieces, ["program open/loop", "interpreter open/loop"]);
    let endless = Some("its interpreters come to no end");
    assert_eq!(missing.as_deref(), endless);
    assert_eq!(ground.found(&policy, "anew").1.as_deref(), endless);
}

#[test]
fn what_is_missing_is_told() {
    let ground = Ground::new();
    let policy = ground.policy("");
    let cases = [
        ("none", "there is no program none on the command's PATH"),
        ("plain", "plain cannot be executed: no file of this name has the mode for it"),
        ("odd", "the interpreter /nowhere/sh is not there"),
    ];
    for (name, expect) in cases {
        assert_eq!(ground.found(&policy, name).1.as_deref(), Some(expect), "{name}");
    }
    assert_eq!(Starting::of(&policy, &[], None, &ground.root), None);
}

#[test]
fn what_comes_first_and_may_not_be_executed_is_passed_over_and_privilege_is_told() {
    let ground = Ground::new();
    let path: ByteString = format!("{0}/shut:{0}/open", ground.root).as_str().into();
    let notes = |policy: &Policy, name: &str| {
        let starting = Starting::of(policy, &[name.into()], Some(&path), &ground.root).unwrap();
        starting.pieces[1].notes.clone()
    };
    let policy = ground.policy("");
    let passed_over = format!(
        "{}/shut/tool comes first on PATH, and is passed over, for it may not be executed",
        ground.root
    );
    assert_eq!(notes(&policy, "tool"), [passed_over]);
    let more = format!("\"{}/shut\" = \"read\"", ground.root);
    assert_eq!(notes(&ground.policy(&more), "tool"), [""; 0]);
    assert_eq!(
        notes(&policy, "elevated"),
        ["it runs without its owner's or its group's rights: no-new-privs"]
    );
}

#[test]
fn the_path_is_the_one_that_the_command_gets() {
    let ground = Ground::new();
    let callers: ByteString = "/callers".into();
    let inside = |more: &str| {
        path_inside(&ground.policy(more), Some(&callers)).map(|path| String::from_utf8(path).unwrap())
    };
    let table = "[permissions.test.environment]\n";
    assert_eq!(inside("").as_deref(), Some("/callers"));
    assert_eq!(inside(&format!("{table}inherit = \"none\"")), None);
    assert_eq!(inside(&format!("{table}set = {{ PATH = \"/own\" }}")).as_deref(), Some("/own"));
}

#[test]
fn what_env_executes_is_the_word_behind_it() {
    let cases: [(&str, Option<&str>); 7] = [
        ("#!/usr/bin/env python3\n", Some("python3")),
        ("#!/usr/bin/env python3 -u\n", Some("python3 -u")),
        ("#! /usr/bin/env -S python3 -u\n", Some("python3")),
        ("#!/usr/bin/env -SA=b -i tool x\n", Some("tool")),
        ("#!/usr/bin/env\n", None),
        ("#!/usr/bin/env -i\n", None),
        ("#!/usr/bin/env A=b\n", None),
    ];
    for (head, expect) in cases {
        assert_eq!(of_env(head.as_bytes()).as_deref(), expect.map(str::as_bytes), "{head}");
    }
}
