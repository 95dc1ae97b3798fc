//! `weir threads` as a person runs it.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/talk.rs"]
mod talk;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use talk::{new, path, turn};
use weir_agent::thread::{ForkPoint, Keeping, Store, ThreadId};

fn weir(home: &Path, arguments: &[&str]) -> Output {
    let mut weir = Command::new(env!("CARGO_BIN_EXE_weir"));
    weir.arg("threads").args(arguments).env("WEIR_HOME", home).current_dir("/").output().unwrap()
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn ok(home: &Path, arguments: &[&str]) -> String {
    let (code, out, err) = said(&weir(home, arguments));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{arguments:?}: {out}");
    out
}

fn json(home: &Path, arguments: &[&str]) -> serde_json::Value {
    serde_json::from_str(&ok(home, &[arguments, &["--json"]].concat())).unwrap()
}

fn make(store: &Store, cwd: &str, questions: &[&str]) -> ThreadId {
    let mut thread = store.create(new(cwd, Keeping::Disk)).unwrap();
    for question in questions {
        turn(&mut thread, question);
    }
    thread.id()
}

#[test]
fn threads_are_listed_shown_and_read_page_by_page() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    assert_eq!(json(home, &["list"]), serde_json::json!({ "threads": [] }));
    let store = Store::open(home);
    let first = make(&store, "/", &["first question", "\u{1b}[31mred", "third"]);
    let second = make(&store, "/elsewhere", &["other"]);
    let text = ok(home, &["list"]);
    assert!(text.starts_with("THREAD"), "{text}");
    assert!(text.contains("first question") && text.contains("/elsewhere"), "{text}");
    let listing = json(home, &["list", "--limit", "1"]);
    assert_eq!(listing["threads"][0]["thread"], second.to_string());
    let cursor = listing["next"].as_str().unwrap();
    assert_eq!(json(home, &["list", "--cursor", cursor])["threads"][0]["thread"], first.to_string());
    assert_eq!(json(home, &["list", "--here"])["threads"].as_array().unwrap().len(), 1);
    assert_eq!(json(home, &["list", "--search", "FIRST"])["threads"][0]["turns"], 3);

    let prefix = &first.to_string()[..23];
    assert_eq!(json(home, &["show", prefix])["preview"], "first question");
    assert!(ok(home, &["show", prefix]).contains("turns        3"));
    let page = json(home, &["turns", prefix, "--limit", "2"]);
    assert_eq!(
        (&page["turns"][0]["number"], &page["turns"][0]["items"][0]["text"]),
        (&2.into(), &"third".into())
    );
    let cursor = page["next"].as_str().unwrap();
    let rest = json(home, &["turns", prefix, "--cursor", cursor]);
    assert_eq!((rest["turns"].as_array().unwrap().len(), &rest["next"]), (1, &serde_json::Value::Null));
    // What others wrote does not speak to the terminal.
    let shown = ok(home, &["turns", prefix, "--order", "oldest-first"]);
    assert!(shown.contains("[31mred") && !shown.contains('\u{1b}'), "{shown}");
    assert!(shown.find("first").unwrap() < shown.find("third").unwrap());
    assert_eq!(ok(home, &["path", prefix]).trim(), store.path(first).unwrap().to_str().unwrap());
}

#[test]
fn threads_are_named_put_away_and_deleted() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let store = Store::open(home);
    let id = make(&store, "/", &["one"]).to_string();
    ok(home, &["name", &id, "the port"]);
    assert_eq!(json(home, &["show", "the port"])["thread"], id);
    ok(home, &["archive", "the port"]);
    assert_eq!(json(home, &["list"])["threads"], serde_json::json!([]));
    assert_eq!(json(home, &["list", "--archived"])["threads"][0]["thread"], id);
    let (code, _, err) = said(&weir(home, &["archive", &id]));
    assert_eq!((code, err.contains("unarchive")), (Some(2), true), "{err}");
    ok(home, &["unarchive", &id]);
    let fork = store.fork(id.parse().unwrap(), ForkPoint::End, Keeping::Disk).unwrap().id().to_string();
    let (code, _, err) = said(&weir(home, &["delete", &id]));
    assert_eq!((code, err.contains(&fork)), (Some(0), true), "{err}");
    assert_eq!(json(home, &["turns", &fork])["turns"].as_array().unwrap().len(), 1);
    assert_eq!(json(home, &["delete", &fork])["deleted"][0]["kept_for"], serde_json::json!([]));
    let (code, _, err) = said(&weir(home, &["show", &id]));
    assert_eq!((code, err.contains("weir threads list")), (Some(2), true), "{err}");
}

#[test]
fn what_commands_wrote_goes_with_their_thread_and_with_no_other() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let store = Store::open(home);
    let [one, other] = [(); 2].map(|()| {
        let mut thread = store.create(new("/", Keeping::Disk)).unwrap();
        turn(&mut thread, "one");
        let outputs = thread.outputs().unwrap().unwrap();
        fs::write(outputs.join("7-abc"), "what it wrote").unwrap();
        (thread.id().to_string(), outputs)
    });
    assert_eq!(fs::metadata(&one.1).unwrap().permissions().mode() & 0o777, 0o700);
    ok(home, &["archive", &one.0]);
    assert!(one.1.join("7-abc").exists(), "what is put away is kept whole");
    ok(home, &["delete", &one.0]);
    assert!(!one.1.exists() && other.1.join("7-abc").exists());
    assert_eq!(store.create(new("/", Keeping::Memory)).unwrap().outputs().unwrap(), None);
}

#[test]
fn a_thread_that_another_process_continues_is_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let store = Store::open(home);
    let mut thread = store.create(new("/", Keeping::Disk)).unwrap();
    turn(&mut thread, "one");
    let id = thread.id().to_string();
    for act in [&["name", &id, "x"][..], &["archive", &id], &["delete", &id]] {
        let (code, _, err) = said(&weir(home, act));
        assert_eq!((code, err.contains("in use by another process")), (Some(2), true), "{act:?}: {err}");
    }
    assert_eq!(json(home, &["turns", &id])["turns"][0]["items"][0]["text"], "one");
    drop(thread);
    ok(home, &["name", &id, "x"]);
}

#[test]
fn damage_is_told_with_its_line() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let store = Store::open(home);
    let id = make(&store, "/", &["one"]);
    let file = store.path(id).unwrap();
    assert_eq!(json(home, &["check"])["sound"], true);
    let before = fs::read(&file).unwrap();
    let lines = before.iter().filter(|byte| **byte == b'\n').count();
    OpenOptions::new().append(true).open(&file).unwrap().write_all(b"\x1b nonsense\n{\"torn\":").unwrap();
    fs::write(file.with_file_name("notes.txt"), "mine").unwrap();
    for arguments in [&["check"][..], &["check", "--rebuild"]] {
        let (code, out, _) = said(&weir(home, arguments));
        assert_eq!(code, Some(1), "{out}");
        for expect in [
            &format!("line {}: ", lines + 1),
            &format!("line {}: ", lines + 2),
            "notes.txt",
            "1 threads are damaged",
        ] {
            assert!(out.contains(expect), "{expect}: {out}");
        }
    }
    assert!(fs::read(&file).unwrap().starts_with(&before));
    assert_eq!(json(home, &["turns", &id.to_string()])["turns"][0]["items"][0]["text"], "one");
}

#[test]
fn what_cannot_be_meant_is_bad_input() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let store = Store::open(home);
    let made: Vec<ThreadId> = (0..2).map(|_| make(&store, "/", &[])).collect();
    assert_eq!(store.show(made[0]).unwrap().cwd, path("/"));
    let cases: [(&[&str], &str); 5] = [
        (&["show", "nobody"], "there is no thread `nobody`"),
        (&["show", "0"], "may be any of several"),
        (&["turns", &made[0].to_string(), "--cursor", "7"], "`7` is no cursor"),
        (&["list", "--cursor", "x"], "`x` is no cursor"),
        (&["list", "--limit", "0"], "0 is not in 1..=1000"),
    ];
    for (arguments, expect) in cases {
        let (code, out, err) = said(&weir(home, arguments));
        assert_eq!((code, out.as_str(), err.contains(expect)), (Some(2), "", true), "{arguments:?}: {err}");
    }
}
