//! What a call takes and brings at most, and bad questions.

use serde_json::{Value, json};
use weir_tests::sandbox::{Way, World};

use super::super::peer::Server;
use super::{Files, TOO_LARGE};

/// `BAD_CALL` of the protocol's codes.
const BAD_CALL: i64 = -32602;

fn with(test: impl Fn(&World, &mut Files<'_>)) {
    Way::each_of(&[Way::Root, Way::User], "files::bounds", |way| {
        let world = World::new(way);
        world.profile(r#""{w}/work" = "write""#, "");
        let server = Server::start(&world);
        test(&world, &mut Files::open(&world, &server));
    });
}

#[test]
fn what_is_too_large_is_refused_and_the_bound_itself_is_not() {
    with(|world, files| {
        let most = 4 << 20;
        let write = |bytes: usize| json!({ "path": "{w}/work/a", "content": "x".repeat(bytes), "writing": "replace" });
        files.done("file/write", write(most));
        assert_eq!(files.refused("file/write", write(most + 1)).0, TOO_LARGE);
        // However much has to be escaped.
        let odd = json!({ "path": "{w}/work/odd", "content": "\u{1}".repeat(2 << 20), "writing": "create" });
        assert_eq!(files.done("file/write", odd)["size"], 2 << 20);
        let patch = |count: usize| {
            let change = |at: usize| json!({ "path": format!("{{w}}/work/p{at}"), "by": { "create": "" } });
            json!({ "changes": (0..count).map(change).collect::<Vec<Value>>() })
        };
        assert_eq!(files.refused("file/patch", patch(257)).0, TOO_LARGE);
        assert!(!world.at("work/p0").exists());
        files.done("file/patch", patch(256));
        assert!(world.at("work/p255").exists());
        let large = world.file("work/large", "");
        std::fs::File::options().write(true).open(&large).unwrap().set_len(33 << 20).unwrap();
        let edit = json!({ "changes": [{ "path": "{w}/work/large", "by": { "edits": [{ "old": "x", "new": "y" }] } }] });
        assert_eq!(files.refused("file/patch", edit).0, TOO_LARGE);
        // A small file that edits would blow up.
        world.file("work/small", "x".repeat(100_000));
        let blow = json!({ "old": "x", "new": "y".repeat(1000), "times": 100_000 });
        let grown = json!({ "changes": [{ "path": "{w}/work/small", "by": { "edits": [blow] } }] });
        assert_eq!(files.refused("file/patch", grown).0, TOO_LARGE);
        let patterns: Vec<&str> = vec!["*"; 65];
        let many = json!({ "root": "{w}/work", "patterns": patterns });
        assert_eq!(files.refused("file/glob", many).0, TOO_LARGE);
        let long = json!({ "root": "{w}/work", "pattern": "x".repeat(4097) });
        assert_eq!(files.refused("file/search", long).0, TOO_LARGE);
    });
}

#[test]
fn what_is_found_is_bounded_and_the_cut_is_told() {
    with(|world, files| {
        // Lines of 1 KiB that take six bytes for one in JSON, and far more of them than one answer takes.
        let line = format!("{}\n", "\u{1}".repeat(2000));
        world.file("work/lines", line.repeat(5000));
        let found = files.done("file/search", json!({ "root": "{w}/work", "pattern": "." }));
        assert_eq!(found["cut"], "bytes");
        let lines = found["files"][0]["lines"].as_array().unwrap();
        assert_eq!(lines[0]["text"].as_str().unwrap().len(), 1024);
        assert!((1500..=(2 << 20) / 1024).contains(&lines.len()), "{}", lines.len());
        // Empty lines, with as many empty ones around each as can be asked for.
        world.file("work/lines", "\n".repeat(500_000));
        let empty = json!({ "root": "{w}/work", "pattern": "^$", "context": 20 });
        let found = files.done("file/search", empty);
        assert_eq!(found["cut"], "limit");
        for limit in [0, 1, 2] {
            let few = json!({ "root": "{w}/work/lines", "pattern": "^$", "limit": limit });
            let found = files.done("file/search", few);
            let lines =
                found["files"].as_array().unwrap().iter().flat_map(|file| file["lines"].as_array().unwrap());
            assert_eq!((lines.count(), &found["cut"]), (limit, &json!("limit")));
        }
        // Names that say more than one answer holds.
        let target = "x".repeat(4000);
        for number in 0..1000 {
            world.link(format!("work/long-{number:04}"), &target);
        }
        let (mut count, mut after) = (0, Value::Null);
        loop {
            let part = files.done("file/list", json!({ "path": "{w}/work", "after": after }));
            let entries = part["entries"].as_array().unwrap();
            assert!(!entries.is_empty() && entries.len() < 600, "{}", entries.len());
            count += entries.len();
            after = entries.last().unwrap()["name"].clone();
            if part["more"] == false {
                break;
            }
        }
        assert_eq!(count, 1001);
        (0..1000)
            .for_each(|number| std::fs::remove_file(world.at(format!("work/long-{number:04}"))).unwrap());
        // A pattern that is costly to most engines.
        world.file("work/lines", format!("{}\n", "a".repeat(100_000)));
        let costly = json!({ "root": "{w}/work", "pattern": "(a+)+b" });
        assert_eq!(files.done("file/search", costly)["files"], json!([]));
        let huge = json!({ "root": "{w}/work", "pattern": "((a{1000}){1000}){1000}" });
        assert_eq!(files.refused("file/search", huge).0, super::PATTERN);
    });
}

#[test]
fn bad_questions_have_their_own_errors() {
    with(|_, files| {
        let standpoint = super::choice(files.world)["standpoint"].clone();
        let under = json!({ "context": files.context });
        for (method, file) in [
            ("file/read", json!({ "path": "relative" })),
            ("file/read", json!({ "path": "/a/../b" })),
            ("file/read", json!({ "path": "/a\0b" })),
            ("file/read", json!({ "path": "/a", "unknown": 1 })),
            ("file/read", json!({ "path": "/a", "offset": -1 })),
            ("file/read", json!({})),
            ("file/write", json!({ "path": "/a", "content": "x", "writing": "else" })),
            ("file/patch", json!({ "changes": [{ "path": "/a", "by": { "else": 1 } }] })),
            ("file/else", json!({ "path": "/a" })),
        ] {
            let params = json!({ "under": under, "standpoint": standpoint, "file": file });
            let answer = files.client.ask(method, params);
            assert_eq!(answer["error"]["code"], BAD_CALL, "{method} {file}: {answer}");
        }
        let bare = files.client.ask("file/read", json!({ "file": { "path": "/a" } }));
        assert_eq!(bare["error"]["code"], BAD_CALL);
        // The connection is as good as before.
        files.done("file/list", json!({ "path": "{w}/work" }));
    });
}
