//! `weir denials`: what is kept of runs that are over, and where.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use weir_tests::sandbox::{Run, Way, World, finish, programs};

fn denials(world: &World, options: &[&str]) -> Run {
    finish(world.command(&programs().weir).arg("denials").args(options))
}

fn runs(world: &World, options: &[&str]) -> Vec<Value> {
    let run = denials(world, &[options, &["--json"]].concat());
    let told: Value = serde_json::from_str(&run.text()).unwrap();
    told["runs"].as_array().unwrap().clone()
}

#[test]
fn the_client_keeps_what_was_refused_where_no_server_runs() {
    Way::each("denials::kept", |way| {
        let world = World::new(way);
        world.profile("\"{w}/work\" = \"write\"\n\"{w}/data\" = \"read\"", "");
        world.directory("data");
        assert_eq!(runs(&world, &[]), Vec::<Value>::new());
        let mkdir = |name: &str| world.run(["mkdir".to_owned(), world.expand(&format!("{{w}}/data/{name}"))]);
        assert!(mkdir("one").stderr.contains("to allow: --write"));
        assert_ne!(mkdir("two").code, 0);
        // Nothing was refused to this one.
        assert_eq!(world.run(["true"]).code, 0);
        assert_eq!((runs(&world, &[]).len(), runs(&world, &["--since", "1h"]).len()), (2, 2));
        assert_eq!(runs(&world, &["--since", "2999"]).len(), 0);
        let last = runs(&world, &["--last"]);
        assert_eq!(last.len(), 1);
        assert_eq!(last[0]["denials"][0]["target"], world.expand("{w}/data/two"));
        let text = denials(&world, &["--last"]).text();
        assert!(text.contains("make-directory") && text.contains("to allow: --write"), "{text}");
        for none in ["yesterday", "2026-02-31", "2026-11-28T25:00"] {
            let refused = denials(&world, &["--since", none]);
            let accepted = refused.stderr.contains("(90m)") && refused.stderr.contains("`2026-11-28T09:30`");
            assert!(refused.code == 2 && accepted, "{none}: {}", refused.stderr);
        }
        let file = world.at("weir/denials.jsonl");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        // Nobody inside reads it.
        let inside = world.run(["cat".as_ref(), file.as_os_str()]);
        assert_ne!(inside.code, 0, "{inside:?}");
        assert_eq!(world.outside(["cat".as_ref(), file.as_os_str()]).code, 0);
    });
}
