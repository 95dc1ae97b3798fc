//! What appears after the worker's sandbox was made: as closed to the worker as to a command that starts then.

use std::fs;

use serde_json::json;
use weir_tests::sandbox::{Way, World};

use super::super::peer::Server;
use super::{DENIED, Files};

#[test]
fn what_appears_later_is_as_closed_as_to_a_command() {
    Way::each_of(&[Way::Root, Way::User], "files::late", |way| {
        let world = World::new(way);
        world.profile(
            r#"
            "{w}/work" = "write"
            "{w}/work/kept" = "read"
            ":project_roots" = { "**/*.env" = "none" }
            "#,
            "",
        );
        world.file("work/a", "a");
        world.file("work/kept", "kept");
        let server = Server::start(&world);
        let mut files = Files::open(&world, &server);
        assert_eq!(files.read("{w}/work/a"), b"a");
        let worker = files.workers(&server);
        // The host adds a file, renames one, and replaces another by a rename, as an editor does.
        world.file("work/late.env", "content");
        world.directory("work/sub");
        world.link("work/sub/link", "../late.env");
        world.file("work/plain", "content");
        fs::rename(world.at("work/plain"), world.at("work/sub/renamed.env")).unwrap();
        world.file("work/new", "kept too");
        fs::rename(world.at("work/new"), world.at("work/kept")).unwrap();
        let write = |path: &str, writing: &str| json!({ "path": path, "content": "x", "writing": writing });
        let edit = json!({ "edits": [{ "old": "kept", "new": "lost" }] });
        for (method, file) in [
            ("file/read", json!({ "path": "{w}/work/late.env" })),
            ("file/read", json!({ "path": "{w}/work/sub/link" })),
            ("file/read", json!({ "path": "{w}/work/sub/renamed.env" })),
            ("file/copy", json!({ "from": "{w}/work/late.env", "to": "{w}/work/copy" })),
            ("file/move", json!({ "from": "{w}/work/late.env", "to": "{w}/work/moved" })),
            ("file/write", write("{w}/work/late.env", "replace")),
            ("file/write", write("{w}/work/sub/link", "append")),
            ("file/write", write("{w}/work/kept", "replace")),
            ("file/write", write("{w}/work/kept", "append")),
            ("file/patch", json!({ "changes": [{ "path": "{w}/work/kept", "by": edit }] })),
            ("file/remove", json!({ "path": "{w}/work/kept" })),
        ] {
            let (code, message) = files.refused(method, file.clone());
            assert!(code == DENIED && message.contains("config.toml:"), "{method} {file}: {code} {message}");
        }
        let search = json!({ "root": "{w}/work", "pattern": "content", "scope": "all" });
        let found = files.done("file/search", search);
        assert_eq!((&found["files"], &found["unreadable"]), (&json!([]), &json!(2)), "{found}");
        assert_eq!(files.workers(&server), worker);
        // The same by commands that start now, and without Weir.
        for words in [["cat", "late.env"], ["cat", "sub/renamed.env"], ["touch", "kept"]] {
            assert_ne!(world.run(words).code, 0, "{words:?}");
            assert_eq!(world.outside(words).code, 0, "{words:?}");
        }
        assert_eq!(files.read("{w}/work/kept"), b"kept too");
    });
}
