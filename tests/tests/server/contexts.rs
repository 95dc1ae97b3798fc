//! A thread keeps its policy through every way of losing it: other files, another connection, the server's restart.

use std::path::Path;

use serde_json::{Value, json};
use weir_tests::sandbox::{Way, World};

use super::peer::{Client, Server, choice, start};

/// `WIDER` of the protocol's codes.
const WIDER: i64 = -32029;
/// `LEASE`.
const LEASE: i64 = -32030;

fn open(client: &mut Client, world: &World, thread: &str) -> Value {
    client.ask("context/open", json!({ "choice": choice(world), "thread": thread }))
}

/// The exit code of a command under a context.
fn run(client: &mut Client, world: &World, under: &Value, argv: &[&str]) -> Result<i64, Value> {
    let mut request = start(world, argv);
    request["under"] = under.clone();
    Ok(client.run(request)?.end["code"].as_i64().unwrap())
}

#[test]
fn a_thread_keeps_its_policy() {
    Way::each("server::thread", |way| {
        let world = World::new(way);
        let (inside, outside) = (world.directory("work/in"), world.directory("out"));
        world.profile(r#""{w}/work" = "write""#, "");
        let server = Server::start(&world);
        let mut client = server.client();
        let opened = open(&mut client, &world, "t")["result"].clone();
        let under = json!({ "context": opened["id"] });
        let touch = |place: &Path| ["touch".to_owned(), place.join("x").to_str().unwrap().to_owned()];
        let touches = |client: &mut Client, place: &Path| {
            let words = touch(place);
            run(client, &world, &under, &[&words[0], &words[1]]).unwrap()
        };
        assert_eq!(touches(&mut client, &inside), 0);
        assert_ne!(touches(&mut client, &outside), 0);
        // The files say more now; the context does not, and the thread does not get it.
        world.profile("\"{w}/work\" = \"write\"\n\"{w}/out\" = \"write\"", "");
        assert_ne!(touches(&mut client, &outside), 0);
        let refused = open(&mut client, &world, "t")["error"].clone();
        assert_eq!(refused["code"], WIDER, "{refused}");
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains(opened["digest"].as_str().unwrap()), "{message}");
        assert!(message.contains(outside.to_str().unwrap()), "{message}");
        // Another thread does get it: it was the binding that refused.
        let other = open(&mut client, &world, "other")["result"].clone();
        let under_other = json!({ "context": other["id"] });
        let words = touch(&outside);
        assert_eq!(run(&mut client, &world, &under_other, &[&words[0], &words[1]]), Ok(0));
        // Over the server's restart.
        drop((client, server));
        let server = Server::start(&world);
        let mut client = server.client();
        assert_eq!(open(&mut client, &world, "t")["error"]["code"], WIDER);
        world.profile(r#""{w}/work" = "write""#, "");
        let again = open(&mut client, &world, "t")["result"].clone();
        assert_eq!((&again["id"], &again["digest"]), (&opened["id"], &opened["digest"]));
        let list = client.ask("context/list", Value::Null)["result"]["contexts"].clone();
        assert_eq!(list.as_array().unwrap().len(), 2, "{list}");
    });
}

#[test]
fn an_escalation_is_a_lease_for_one_command() {
    Way::each("server::lease", |way| {
        let world = World::new(way);
        let outside = world.directory("out");
        world.profile(r#""{w}/work" = "write""#, "");
        let server = Server::start(&world);
        let mut client = server.client();
        let opened = open(&mut client, &world, "t")["result"].clone();
        let file = outside.join("x");
        let words = ["touch", file.to_str().unwrap()];
        let plain = json!({ "context": opened["id"] });
        assert_ne!(run(&mut client, &world, &plain, &words), Ok(0));
        let escalate = json!({
            "id": opened["id"],
            "grants": [{ "kind": "path", "path": outside, "access": "write" }],
            "scope": { "kind": "command", "argv": words },
            "for_ms": 60_000,
            "reason": "test",
        });
        let lease = client.ask("context/lease", escalate)["result"]["lease"].clone();
        let under = json!({ "context": opened["id"], "lease": lease });
        let other = run(&mut client, &world, &under, &["touch", "other"]).unwrap_err();
        assert_eq!(other["code"], LEASE);
        assert_eq!(run(&mut client, &world, &under, &words), Ok(0));
        assert!(file.exists());
        let twice = run(&mut client, &world, &under, &words).unwrap_err();
        assert_eq!(twice["code"], LEASE);
        std::fs::remove_file(&file).unwrap();
        assert_ne!(run(&mut client, &world, &plain, &words), Ok(0));
        assert!(!file.exists());
    });
}

/// More contexts than one piece of the memory holds in which the store's log is found, at a dozen pages each.
const MANY: usize = 500;

/// Bytes of the log at most: it is written back when it has a thousand pages, and one change is never as many again.
const MAX_LOG_BYTES: u64 = 8 << 20;

#[test]
fn a_server_may_bind_many_threads_and_its_log_does_not_grow_with_them() {
    Way::each("server::many", |way| {
        let world = World::new(way);
        world.profile(r#""{w}/work" = "write""#, "");
        let server = Server::start(&world);
        let mut client = server.client();
        for number in 0..MANY {
            let opened = open(&mut client, &world, &format!("t{number}"));
            assert!(opened["result"]["id"].is_u64(), "{number}: {opened}");
        }
        let files = std::fs::read_dir(world.at("state/contexts")).unwrap();
        let bytes =
            files.map(|file| file.unwrap()).filter(|file| file.path().to_string_lossy().ends_with("-wal"));
        let logs: Vec<_> = bytes.map(|file| file.metadata().unwrap().len()).collect();
        assert!(logs.len() == 1 && logs[0] < MAX_LOG_BYTES, "{logs:?}");
    });
}

/// A repository that a person makes where a thread works is not for that thread, whoever remembers it: the server, or the client alone.
#[test]
fn what_comes_to_be_on_the_disk_makes_no_context_wider() {
    Way::each("server::came", |way| {
        let world = World::new(way);
        world.profile(r#""{w}/work" = "write""#, "");
        let server = Server::start(&world);
        let mut client = server.client();
        let opened = open(&mut client, &world, "t")["result"].clone();
        let shown = client.ask("policy/show", choice(&world))["result"].clone();
        assert_eq!(shown["digest"], opened["digest"]);
        assert_eq!(world.outside(["git", "init", "-q"]).code, 0);
        let again = open(&mut client, &world, "t")["result"].clone();
        assert_eq!((&again["id"], &again["digest"]), (&opened["id"], &opened["digest"]));
        assert!(again["remarks"].to_string().contains(".git (read)"), "{again}");
        let within = |policy: &Value, thread: &str| json!({ "choice": choice(&world), "thread": thread, "within": policy });
        let unknown = client.ask("context/open", within(&shown["policy"], "u"))["result"].clone();
        assert_eq!(unknown["digest"], opened["digest"], "{unknown}");
        let new = open(&mut client, &world, "new")["result"].clone();
        assert_ne!(new["digest"], opened["digest"]);
        let touch = |client: &mut Client, of: &Value| {
            run(client, &world, &json!({ "context": of["id"] }), &["touch", ".git/x"])
        };
        assert_ne!(touch(&mut client, &again), Ok(0));
        assert_ne!(touch(&mut client, &unknown), Ok(0));
        assert_eq!(touch(&mut client, &new), Ok(0));
        // Narrower is narrower, also of a context that was cut.
        let narrow = client.ask("context/narrow", json!({ "id": again["id"], "choice": choice(&world) }));
        assert_eq!(narrow["result"]["digest"], opened["digest"], "{narrow}");
        // What is said by value is a bound and no grant, and what somebody wrote is refused by it.
        world.profile("\"{w}/work\" = \"write\"\n\"{w}/out\" = \"write\"", "");
        let wider = client.ask("context/open", within(&shown["policy"], "w"));
        assert_eq!(wider["error"]["code"], WIDER, "{wider}");
        world.profile(r#""{w}/work" = "read""#, "");
        let narrower = client.ask("context/open", within(&shown["policy"], "w"))["result"].clone();
        assert_ne!(narrower["digest"], opened["digest"]);
        assert!(narrower["id"].is_u64(), "{narrower}");
    });
}
