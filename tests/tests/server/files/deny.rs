//! What a call may not do: each way in, with the same act outside Weir, where it works.

use std::fs;

use serde_json::{Value, json};
use weir_tests::sandbox::{Way, World};

use super::super::peer::Server;
use super::{DENIED, Files};

/// What every way holds.
const ROOTS: &str = r#"
"{w}/work" = "write"
"{w}/data" = "read"
"#;

/// Exceptions within a writable root.
const EXCEPTIONS: &str = r#"
"{w}/work/closed" = "none"
":project_roots" = { "**/*.env" = "none" }
"#;

fn profile(world: &World) {
    world.profile(&format!("{ROOTS}{EXCEPTIONS}"), "");
}

fn tree(world: &World) {
    for path in [
        "work/plain",
        "work/closed/x",
        "work/deep/a.env",
        "work/.git/config",
        "work/.git/hooks/pre-commit",
        "data/seen",
        "data/sub/seen",
        "secret/key",
    ] {
        world.file(path, "content\n");
    }
    world.file("work/.git/HEAD", "ref: refs/heads/main\n");
    world.link("work/file", "../secret/key");
    world.link("work/directory", "../secret");
    world.link("work/shown", "../data");
    fs::hard_link(world.at("work/deep/a.env"), world.at("work/alias")).unwrap();
}

fn write(path: &str, writing: &str) -> Value {
    json!({ "path": path, "content": "changed\n", "writing": writing })
}

/// What is asked, and the rule that the refusal has to name.
fn reads() -> Vec<(&'static str, Value, &'static str)> {
    let read = |path: &str| json!({ "path": path });
    let copy = |from: &str| json!({ "from": from, "to": "{w}/work/copy" });
    vec![
        ("file/read", read("{w}/secret/key"), "no rule covers this"),
        ("file/read", read("{w}/work/closed/x"), "closed"),
        ("file/read", read("{w}/work/deep/a.env"), "*.env"),
        ("file/read", read("{w}/work/file"), "no rule covers this"),
        ("file/read", read("{w}/work/directory/key"), "secret/key"),
        ("file/read", read("{w}/secret/none"), "no rule covers this"),
        ("file/list", read("{w}/secret"), "no rule covers this"),
        ("file/list", read("{w}/work/closed"), "closed"),
        ("file/list", read("{w}/work/directory"), "secret"),
        ("file/copy", copy("{w}/secret/key"), "no rule covers this"),
        ("file/copy", copy("{w}/work/deep/a.env"), "*.env"),
        ("file/glob", json!({ "root": "{w}/secret", "patterns": ["**"] }), "no rule covers this"),
        ("file/search", json!({ "root": "{w}/work/closed", "pattern": "content" }), "closed"),
        ("file/search", json!({ "root": "{w}/work/file", "pattern": "content" }), "secret/key"),
    ]
}

fn writes() -> Vec<(&'static str, Value, &'static str)> {
    let pair = |from: &str, to: &str| json!({ "from": from, "to": to });
    let patch = |path: &str, by: Value| json!({ "changes": [{ "path": path, "by": by }] });
    let edit = json!({ "edits": [{ "old": "content", "new": "changed" }] });
    let tree = |path: &str| json!({ "path": path, "extent": "tree" });
    vec![
        ("file/write", write("{w}/data/seen", "replace"), "data"),
        ("file/write", write("{w}/data/seen", "append"), "data"),
        ("file/write", write("{w}/data/new", "create"), "data"),
        ("file/write", write("{w}/work/shown/new", "create"), "data"),
        ("file/write", write("{w}/work/directory/new", "create"), "secret"),
        ("file/write", write("{w}/work/file", "replace"), "secret"),
        ("file/write", write("{w}/work/closed/x", "replace"), "closed"),
        ("file/write", write("{w}/work/.git/config", "replace"), ".git/config"),
        ("file/write", write("{w}/work/.git/hooks/post-commit", "create"), ".git/hooks"),
        ("file/write", write("{w}/work/.mcp.json", "create"), ".mcp.json"),
        ("file/patch", patch("{w}/data/seen", edit.clone()), "data"),
        ("file/patch", patch("{w}/work/.git/config", edit), ".git/config"),
        ("file/patch", patch("{w}/data/seen", json!("remove")), "data"),
        ("file/copy", pair("{w}/work/plain", "{w}/data/copy"), "data"),
        ("file/move", pair("{w}/work/plain", "{w}/data/moved"), "data"),
        ("file/write", write("{w}/work/deep/a.env", "replace"), "*.env"),
        ("file/move", pair("{w}/work/plain", "{w}/work/deep/a.env"), "*.env"),
        ("file/move", pair("{w}/work/plain", "{w}/work/.mcp.json"), ".mcp.json"),
        ("file/move", pair("{w}/data/seen", "{w}/work/taken"), "data"),
        ("file/remove", json!({ "path": "{w}/data/seen" }), "data"),
        ("file/remove", tree("{w}/data/sub"), "data"),
        ("file/remove", tree("{w}/work/.git/hooks"), ".git/hooks"),
        ("file/remove", tree("{w}/work/closed"), "closed"),
    ]
}

/// Everything in the world but what Weir itself keeps there.
fn everything(world: &World) -> String {
    let words =
        ["find", "work", "data", "secret", "-printf", "%p %y %l\n", "-type", "f", "-exec", "cat", "{}", ";"];
    let mut command = world.command(words[0]);
    let run = weir_tests::sandbox::finish(command.args(&words[1..]).current_dir(world.root()));
    assert_eq!(run.code, 0, "{}", run.stderr);
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn a_call_reads_nothing_that_the_profile_keeps_out() {
    Way::each("files::reads", |way| {
        let world = World::new(way);
        tree(&world);
        profile(&world);
        let server = Server::start(&world);
        let mut files = Files::open(&world, &server);
        for (method, file, rule) in reads() {
            let (code, message) = files.refused(method, file.clone());
            assert!(code == DENIED && message.contains(rule), "{method} {file}: {code} {message}");
        }
        // The rule stands in a line of a file, and what would allow it is said.
        let (_, message) = files.refused("file/write", write("{w}/data/new", "create"));
        assert!(message.contains("config.toml:") && message.contains("to allow it"), "{message}");
        assert!(!world.at("work/copy").exists());
        // Without Weir, each of them works for the same user.
        for path in ["secret/key", "work/closed/x", "work/deep/a.env", "work/file", "work/directory/key"] {
            assert_eq!(world.outside(["cat".as_ref(), world.at(path).as_os_str()]).text(), "content");
        }
        for path in ["secret", "work/closed", "work/directory"] {
            assert_eq!(world.outside(["ls".as_ref(), world.at(path).as_os_str()]).code, 0);
        }
        // And what may be read is.
        for path in ["work/plain", "data/seen", "work/shown/seen", "work/.git/config"] {
            assert_eq!(files.read(&format!("{{w}}/{path}")), b"content\n", "{path}");
        }
        // A search through everything finds nothing of it.
        let all = json!({ "root": "{w}/work", "pattern": "content", "scope": "all" });
        let found = files.done("file/search", all);
        let found: Vec<&str> =
            found["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
        let hidden = ["file", "directory/key", "closed/x", "deep/a.env"];
        assert!(found.contains(&"plain") && hidden.iter().all(|path| !found.contains(path)), "{found:?}");
        let grep = world.outside(["grep", "-rl", "content", "."]).text();
        assert!(grep.contains("closed/x") && grep.contains("deep/a.env"), "{grep}");
    });
}

#[test]
fn a_call_changes_nothing_that_the_profile_keeps_out() {
    Way::each("files::writes", |way| {
        let world = World::new(way);
        tree(&world);
        profile(&world);
        let server = Server::start(&world);
        let mut files = Files::open(&world, &server);
        let before = everything(&world);
        for (method, file, rule) in writes() {
            let (code, message) = files.refused(method, file.clone());
            assert!(code == DENIED && message.contains(rule), "{method} {file}: {code} {message}");
            assert_eq!(everything(&world), before, "{method} {file}");
        }
        files.done("file/write", write("{w}/work/plain", "replace"));
        files.done("file/write", write("{w}/work/.git/index", "create"));
        assert_ne!(everything(&world), before);
        // The same without Weir.
        let at = |path: &str| world.at(path).to_string_lossy().into_owned();
        for words in [
            vec!["cp".to_owned(), at("work/plain"), at("data/seen")],
            vec!["cp".to_owned(), at("work/plain"), at("work/directory/new")],
            vec!["cp".to_owned(), at("work/plain"), at("work/closed/x")],
            vec!["cp".to_owned(), at("work/plain"), at("work/deep/a.env")],
            vec!["cp".to_owned(), at("work/plain"), at("work/.git/config")],
            vec!["cp".to_owned(), at("work/plain"), at("work/.mcp.json")],
            vec!["mv".to_owned(), at("data/seen"), at("work/taken")],
            vec!["rm".to_owned(), "-r".to_owned(), at("work/.git/hooks"), at("work/closed"), at("data/sub")],
        ] {
            assert_eq!(world.outside(&words).code, 0, "{words:?}");
        }
    });
}

/// A denied file under another name that it had before, and one that gets a denied name later.
#[test]
fn other_names_of_a_denied_file_are_closed_as_well() {
    Way::each("files::names", |way| {
        let world = World::new(way);
        tree(&world);
        profile(&world);
        let server = Server::start(&world);
        let mut files = Files::open(&world, &server);
        let (code, message) = files.refused("file/read", json!({ "path": "{w}/work/alias" }));
        assert_eq!(code, DENIED, "{message}");
        assert_eq!(files.refused("file/write", write("{w}/work/alias", "replace")).0, DENIED);
        assert_eq!(fs::read(world.at("work/deep/a.env")).unwrap(), b"content\n");
        assert_eq!(world.outside(["cat", "alias"]).text(), "content");
    });
}

/// A profile that may read everything and write nothing refuses every change, whatever the file's own permissions say.
#[test]
fn a_profile_that_only_reads_lets_nothing_be_written() {
    Way::each("files::read_only", |way| {
        let world = World::new(way);
        tree(&world);
        world.profile(r#""{w}" = "read""#, "");
        let server = Server::start(&world);
        let mut files = Files::open(&world, &server);
        let before = everything(&world);
        for writing in ["create", "replace", "append"] {
            let new = files.refused("file/write", write("{w}/work/new", writing));
            assert_eq!(new.0, DENIED, "{}", new.1);
            if writing != "create" {
                assert_eq!(files.refused("file/write", write("{w}/work/plain", writing)).0, DENIED);
            }
        }
        assert_eq!(files.refused("file/remove", json!({ "path": "{w}/work/plain" })).0, DENIED);
        assert_eq!(everything(&world), before);
        assert_eq!(files.read("{w}/secret/key"), b"content\n");
        assert_eq!(world.outside(["touch", "new"]).code, 0);
    });
}
