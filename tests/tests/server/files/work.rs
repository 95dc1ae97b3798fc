//! What each call does where it may.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, symlink};

use serde_json::{Value, json};
use weir_tests::sandbox::{Way, World};

use super::super::peer::Server;
use super::{EXISTS, Files, IS_DIRECTORY, MISMATCH, MISSING, NOT_DIRECTORY, NOT_EMPTY, PATTERN, SPECIAL};

/// A test with one context that may write `work`, in every way.
fn each(name: &str, test: impl Fn(&World, &mut Files<'_>)) {
    Way::each(&format!("files::{name}"), |way| {
        let world = World::new(way);
        world.profile(r#""{w}/work" = "write""#, "");
        let server = Server::start(&world);
        test(&world, &mut Files::open(&world, &server));
    });
}

#[test]
fn a_file_is_read_from_any_byte_on() {
    each("read", |world, files| {
        let bytes: Vec<u8> = (0..3_000_000_u32).flat_map(|at| (at % 251).to_le_bytes()).collect();
        world.file("work/large", &bytes);
        world.file("work/empty", "");
        let mut at = 0;
        let mut found = Vec::new();
        loop {
            let (answer, piece) = files.ask("file/read", &json!({ "path": "{w}/work/large", "offset": at }));
            let result = &answer["result"];
            assert_eq!(result["size"], bytes.len(), "{answer}");
            assert_eq!(result["bytes"], piece.len());
            assert_eq!(result["blake3"], blake3::hash(&piece).to_hex().as_str());
            at += piece.len();
            found.extend(piece);
            if result["ends"] == true {
                break;
            }
        }
        assert!(found == bytes, "{} bytes", found.len());
        for (offset, length, expected, ends) in [
            (1_u64, 3_u64, &bytes[1..4], false),
            (11_999_990, 10, &bytes[11_999_990..], true),
            (12_000_000, 10, &[][..], true),
            (u64::MAX, u64::MAX, &[], true),
        ] {
            let ask = json!({ "path": "{w}/work/large", "offset": offset, "length": length });
            let (answer, piece) = files.ask("file/read", &ask);
            assert_eq!((piece.as_slice(), &answer["result"]["ends"]), (expected, &json!(ends)), "{offset}");
        }
        assert_eq!(files.read("{w}/work/empty"), b"");
        assert_eq!(files.refused("file/read", json!({ "path": "{w}/work" })).0, IS_DIRECTORY);
        assert_eq!(files.refused("file/read", json!({ "path": "{w}/work/none" })).0, MISSING);
        assert_eq!(files.refused("file/read", json!({ "path": "{w}/work/empty/x" })).0, NOT_DIRECTORY);
        assert_eq!(files.refused("file/read", json!({ "path": "/dev/null" })).0, SPECIAL);
        let pipe = world.at("work/pipe");
        assert!(world.outside(["mkfifo".as_ref(), pipe.as_os_str()]).code == 0);
        assert_eq!(files.refused("file/read", json!({ "path": "{w}/work/pipe" })).0, SPECIAL);
        let replace = json!({ "path": "{w}/work/pipe", "content": "x", "writing": "replace" });
        assert_eq!(files.refused("file/write", replace).0, SPECIAL);
    });
}

#[test]
fn a_file_is_made_replaced_and_extended() {
    each("write", |world, files| {
        let write = |path: &str, content: &str, writing: &str| json!({ "path": path, "content": content, "writing": writing });
        let path = world.at("work/new");
        let result = files.done("file/write", write("{w}/work/new", "one", "create"));
        assert_eq!(result, json!({ "size": 3, "manner": "in-place" }));
        assert_eq!(files.refused("file/write", write("{w}/work/new", "two", "create")).0, EXISTS);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        let mode = 0o640;
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        let before = fs::metadata(&path).unwrap();
        let result = files.done("file/write", write("{w}/work/new", "three", "replace"));
        assert_eq!(result, json!({ "size": 5, "manner": "renamed" }));
        let after = fs::metadata(&path).unwrap();
        assert_eq!((after.mode(), after.uid()), (before.mode(), before.uid()));
        assert_ne!(after.ino(), before.ino());
        let result = files.done("file/write", write("{w}/work/new", "+", "append"));
        assert_eq!(result["size"], 6);
        assert_eq!(fs::read(&path).unwrap(), b"three+");
        // Other names of a file stay names of it, and a link stays a link.
        fs::hard_link(&path, world.at("work/other")).unwrap();
        symlink("new", world.at("work/link")).unwrap();
        let result = files.done("file/write", write("{w}/work/link", "four", "replace"));
        assert_eq!(result["manner"], "in-place");
        assert_eq!(fs::read(world.at("work/other")).unwrap(), b"four");
        fs::remove_file(world.at("work/other")).unwrap();
        let result = files.done("file/write", write("{w}/work/link", "five", "replace"));
        assert_eq!(result["manner"], "renamed");
        assert!(fs::symlink_metadata(world.at("work/link")).unwrap().is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"five");
        let mut script = write("{w}/work/script", "#!/bin/sh\n", "create");
        script["permissions"] = json!(0o755);
        files.done("file/write", script);
        assert_eq!(fs::metadata(world.at("work/script")).unwrap().mode() & 0o7777, 0o755);
        let bytes = json!({ "path": "{w}/work/bytes", "content": { "hex": "00ff0a" }, "writing": "create" });
        files.done("file/write", bytes);
        assert_eq!(files.read("{w}/work/bytes"), [0, 255, 10]);
        assert_eq!(files.refused("file/write", write("{w}/work", "x", "replace")).0, IS_DIRECTORY);
        assert_eq!(files.refused("file/write", write("{w}/work/no/x", "x", "create")).0, MISSING);
        // Nothing is left beside what was written.
        let mut names: Vec<String> = fs::read_dir(world.at("work"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["bytes", "link", "new", "script"]);
    });
}

#[test]
fn a_patch_is_done_whole_or_not_at_all() {
    each("patch", |world, files| {
        let text = "one\ntwo\nthree\ntwo\n";
        world.file("work/a", text);
        world.file("work/b", text);
        world.file("work/gone", "x");
        let edit = |old: &str, new: &str, times: u32| json!({ "old": old, "new": new, "times": times });
        let diff = "--- a/b\n+++ b/b\n@@ -1,3 +1,3 @@\n one\n-two\n+zwei\n three\n";
        let changes = json!({ "changes": [
            { "path": "{w}/work/a", "by": { "edits": [edit("two", "2", 2), edit("2\nthree", "drei", 1)] } },
            { "path": "{w}/work/b", "by": { "diff": diff } },
            { "path": "{w}/work/c", "by": { "create": "new" } },
            { "path": "{w}/work/gone", "by": "remove" },
        ] });
        let result = files.done("file/patch", changes);
        assert_eq!(result["sizes"], json!([11, 19, 3, null]));
        let now = |name: &str| fs::read_to_string(world.at(format!("work/{name}"))).ok();
        assert_eq!(now("a").unwrap(), "one\ndrei\n2\n");
        assert_eq!(now("b").unwrap(), "one\nzwei\nthree\ntwo\n");
        assert_eq!((now("c").unwrap().as_str(), now("gone")), ("new", None));
        // Each of these comes behind a change that fits, and keeps it from being made.
        for (by, code, says) in [
            (json!({ "edits": [edit("two", "2", 2)] }), MISMATCH, "1 times, not 2"),
            (json!({ "edits": [edit("none", "2", 1)] }), MISMATCH, "0 times"),
            (json!({ "edits": [edit("", "2", 1)] }), MISMATCH, "nothing to be replaced"),
            (json!({ "diff": diff }), MISMATCH, "hunk"),
            (json!({ "diff": "no diff" }), MISMATCH, ""),
            (json!({ "create": "x" }), EXISTS, ""),
        ] {
            let fits = json!({ "path": "{w}/work/a", "by": { "edits": [edit("one", "1", 1)] } });
            let changes = json!({ "changes": [fits, { "path": "{w}/work/b", "by": by }] });
            let (found, message) = files.refused("file/patch", changes);
            assert!(found == code && message.contains(says), "{by}: {found} {message}");
            assert_eq!(now("a").unwrap(), "one\ndrei\n2\n");
        }
        let missing = json!({ "changes": [{ "path": "{w}/work/none", "by": "remove" }] });
        assert_eq!(files.refused("file/patch", missing).0, MISSING);
        let same = json!({ "path": "{w}/work/a", "by": { "edits": [edit("one", "1", 1)] } });
        assert_eq!(files.refused("file/patch", json!({ "changes": [same, same] })).0, MISMATCH);
    });
}

#[test]
fn what_was_written_before_a_failure_is_put_back() {
    each("put_back", |world, files| {
        world.file("work/a", "old");
        world.file("work/gone", "still here");
        // That the last one has no directory shows only when it is written.
        let changes = json!({ "changes": [
            { "path": "{w}/work/a", "by": { "edits": [{ "old": "old", "new": "new" }] } },
            { "path": "{w}/work/gone", "by": "remove" },
            { "path": "{w}/work/made", "by": { "create": "x" } },
            { "path": "{w}/work/absent/c", "by": { "create": "x" } },
        ] });
        assert_eq!(files.refused("file/patch", changes).0, MISSING);
        let now = |name: &str| fs::read_to_string(world.at(format!("work/{name}"))).ok();
        assert_eq!(now("a").as_deref(), Some("old"));
        assert_eq!(now("gone").as_deref(), Some("still here"));
        assert_eq!(now("made"), None);
    });
}

#[test]
fn a_directory_is_listed_in_pieces_and_a_file_described() {
    each("list", |world, files| {
        for name in ["b", "a", "d", "c"] {
            world.file(format!("work/d/{name}"), name.repeat(3));
        }
        world.link("work/d/link", "a");
        world.directory("work/d/sub");
        let names = |result: &Value| -> Vec<String> {
            let entries = result["entries"].as_array().unwrap();
            entries.iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
        };
        let all = files.done("file/list", json!({ "path": "{w}/work/d" }));
        assert_eq!(names(&all), ["a", "b", "c", "d", "link", "sub"]);
        assert_eq!(all["more"], false);
        let kinds: Vec<&Value> =
            all["entries"].as_array().unwrap().iter().map(|e| &e["attributes"]["kind"]).collect();
        assert_eq!(kinds, ["file", "file", "file", "file", "link", "directory"]);
        assert_eq!(all["entries"][4]["attributes"]["target"], "a");
        let (mut found, mut after) = (Vec::new(), Value::Null);
        loop {
            let part = files.done("file/list", json!({ "path": "{w}/work/d", "after": after, "limit": 4 }));
            found.extend(names(&part));
            if part["more"] == false {
                break;
            }
            after = json!(found.last().unwrap());
        }
        assert_eq!(found, names(&all));
        assert_eq!(files.refused("file/list", json!({ "path": "{w}/work/d/a" })).0, NOT_DIRECTORY);
        assert_eq!(files.refused("file/list", json!({ "path": "{w}/work/none" })).0, MISSING);
        let found = fs::metadata(world.at("work/d/a")).unwrap();
        let stat = files.done("file/stat", json!({ "path": "{w}/work/d/link" }));
        assert_eq!(
            (&stat["kind"], &stat["size"], &stat["permissions"], &stat["links"]),
            (&json!("file"), &json!(3), &json!(found.mode() & 0o7777), &json!(1))
        );
        assert_eq!(stat["modified_ns"], found.mtime() * 1_000_000_000 + found.mtime_nsec());
        let link = files.done("file/stat", json!({ "path": "{w}/work/d/link", "links": "keep" }));
        assert_eq!((&link["kind"], &link["target"]), (&json!("link"), &json!("a")));
        assert_eq!(files.refused("file/stat", json!({ "path": "{w}/work/d/no" })).0, MISSING);
    });
}

#[test]
fn trees_are_copied_moved_and_removed() {
    each("trees", |world, files| {
        world.file("work/t/deep/a", "a");
        world.script("work/t/run", "#!/bin/sh\n");
        world.link("work/t/link", "deep/a");
        let pair = |from: &str, to: &str| json!({ "from": from, "to": to });
        let tree = |mut file: Value| {
            file["extent"] = json!("tree");
            file
        };
        assert_eq!(files.refused("file/copy", pair("{w}/work/t", "{w}/work/u")).0, IS_DIRECTORY);
        files.done("file/copy", tree(pair("{w}/work/t", "{w}/work/u")));
        assert_eq!(fs::read(world.at("work/u/deep/a")).unwrap(), b"a");
        assert_eq!(fs::metadata(world.at("work/u/run")).unwrap().mode() & 0o111, 0o111);
        assert_eq!(fs::read_link(world.at("work/u/link")).unwrap().to_str(), Some("deep/a"));
        assert_eq!(files.refused("file/copy", tree(pair("{w}/work/t", "{w}/work/u"))).0, EXISTS);
        world.file("work/t/deep/a", "changed");
        let mut again = tree(pair("{w}/work/t", "{w}/work/u"));
        again["existing"] = json!("replace");
        files.done("file/copy", again);
        assert_eq!(fs::read(world.at("work/u/deep/a")).unwrap(), b"changed");
        // A tree does not go into itself.
        files.refused("file/copy", tree(pair("{w}/work/t", "{w}/work/t/deep/t")));
        assert!(!world.at("work/t/deep/t").exists());

        world.file("work/one", "1");
        world.file("work/two", "2");
        assert_eq!(files.refused("file/move", pair("{w}/work/one", "{w}/work/two")).0, EXISTS);
        assert_eq!(fs::read(world.at("work/two")).unwrap(), b"2");
        let mut over = pair("{w}/work/one", "{w}/work/two");
        over["existing"] = json!("replace");
        files.done("file/move", over);
        assert_eq!(fs::read(world.at("work/two")).unwrap(), b"1");
        assert!(!world.at("work/one").exists());
        files.done("file/move", pair("{w}/work/u", "{w}/work/v"));
        assert!(world.at("work/v/deep/a").exists() && !world.at("work/u").exists());
        assert_eq!(files.refused("file/move", pair("{w}/work/none", "{w}/work/x")).0, MISSING);

        assert_eq!(files.refused("file/remove", json!({ "path": "{w}/work/v" })).0, NOT_EMPTY);
        files.done("file/remove", json!({ "path": "{w}/work/v/link" }));
        assert!(world.at("work/v/deep/a").exists());
        files.done("file/remove", tree(json!({ "path": "{w}/work/v" })));
        assert!(!world.at("work/v").exists());
        assert_eq!(files.refused("file/remove", json!({ "path": "{w}/work/v" })).0, MISSING);
    });
}

#[test]
fn files_are_found_by_name_and_by_content() {
    each("find", |world, files| {
        world.file("work/.gitignore", "ignored/\n");
        world.file("work/src/main.rs", "fn main() {\n    needle();\n}\n");
        world.file("work/src/deep/lib.rs", "// Needle\r\nlast needle");
        world.file("work/notes.txt", "a needle too\n");
        world.file("work/.hidden", "needle\n");
        world.file("work/ignored/x.rs", "needle\n");
        world.file("work/binary", b"needle\n\0needle\n");
        let glob = |patterns: &[&str], scope: &str| json!({ "root": "{w}/work", "patterns": patterns, "scope": scope });
        let found = |files: &mut Files<'_>, ask| files.done("file/glob", ask)["paths"].clone();
        assert_eq!(found(files, glob(&["**/*.rs"], "visible")), json!(["src/deep/lib.rs", "src/main.rs"]));
        assert_eq!(found(files, glob(&["*.rs"], "visible")), json!([]));
        assert_eq!(
            found(files, glob(&["src/*", "*.txt"], "visible")),
            json!(["notes.txt", "src/deep", "src/main.rs"])
        );
        assert_eq!(found(files, glob(&["*"], "hidden")).as_array().unwrap().len(), 5);
        assert!(found(files, glob(&["**"], "all")).to_string().contains("ignored/x.rs"));
        assert_eq!(files.refused("file/glob", glob(&["a["], "all")).0, PATTERN);
        let mut one = glob(&["**/*.rs"], "visible");
        one["limit"] = json!(1);
        let cut = files.done("file/glob", one);
        assert_eq!((cut["paths"].as_array().unwrap().len(), &cut["cut"]), (1, &json!("limit")));

        let search = |pattern: &str| json!({ "root": "{w}/work", "pattern": pattern });
        let result = files.done("file/search", search("n[e]+dle"));
        let expected = json!([
            { "path": "notes.txt", "lines": [{ "number": 1, "column": 3, "text": "a needle too" }] },
            { "path": "src/deep/lib.rs", "lines": [{ "number": 2, "column": 6, "text": "last needle" }] },
            { "path": "src/main.rs", "lines": [{ "number": 2, "column": 5, "text": "    needle();" }] },
        ]);
        assert_eq!((&result["files"], &result["cut"]), (&expected, &Value::Null), "{result}");
        let mut ask = search("NEEDLE");
        ask["case"] = json!("insensitive");
        ask["files"] = json!(["**/*.rs"]);
        ask["context"] = json!(1);
        let result = files.done("file/search", ask);
        let expected = json!([
            { "path": "src/deep/lib.rs", "lines": [
                { "number": 1, "column": 4, "text": "// Needle" },
                { "number": 2, "column": 6, "text": "last needle" },
            ] },
            { "path": "src/main.rs", "lines": [
                { "number": 1, "text": "fn main() {" },
                { "number": 2, "column": 5, "text": "    needle();" },
                { "number": 3, "text": "}" },
            ] },
        ]);
        assert_eq!(result["files"], expected);
        let mut literal = search("n[e]+dle");
        literal["syntax"] = json!("literal");
        assert_eq!(files.done("file/search", literal)["files"], json!([]));
        let mut one = search("needle");
        one["limit"] = json!(1);
        assert_eq!(files.done("file/search", one)["cut"], "limit");
        let single = json!({ "root": "{w}/work/notes.txt", "pattern": "too" });
        assert_eq!(files.done("file/search", single)["files"][0]["path"], "");
        assert_eq!(files.refused("file/search", search("a(")).0, PATTERN);
        // A pipe under the name of what says what is ignored keeps nobody waiting.
        let before = files.done("file/search", search("needle"))["unreadable"].as_u64().unwrap();
        world.directory("work/src/trap");
        let pipe = world.at("work/src/trap/.gitignore");
        assert_eq!(world.outside(["mkfifo".as_ref(), pipe.as_os_str()]).code, 0);
        let result = files.done("file/search", search("needle"));
        let found = result["files"].as_array().unwrap().len();
        assert_eq!((found, result["unreadable"].as_u64()), (3, Some(before + 1)));
        let trapped = json!({ "root": "{w}/work/src/trap", "pattern": "x" });
        assert_eq!(files.refused("file/search", trapped).0, SPECIAL);
        let missing = json!({ "root": "{w}/work/none", "pattern": "x" });
        assert_eq!(files.refused("file/search", missing).0, MISSING);
    });
}
