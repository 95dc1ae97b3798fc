//! Limits that the server itself holds.

use std::fs;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};
use weir_protocol::method::output::MAX_LISTED_WORDS_BYTES;
use weir_protocol::policy::Digest;
use weir_tests::sandbox::{Way, World};

use super::peer::{Client, Heard, Server, start};

/// Bytes of both streams that the profile allows.
const ALLOWED: u64 = 100_000;

#[test]
fn output_beyond_its_limit_ends_the_command_and_all_of_it_arrives() {
    Way::each("server::output_limit", |way| {
        let world = World::new(way);
        world
            .profile(r#""{w}/work" = "write""#, &format!("[permissions.test.resources]\noutput = {ALLOWED}"));
        let server = Server::start(&world);
        let mut client = server.client();
        let shell = |script: &str| start(&world, &["sh", "-c", script]);
        // The whole of the limit, in two streams and in a terminal.
        let whole = format!("head -c 60000 /dev/zero; head -c {} /dev/zero >&2", ALLOWED - 60_000);
        let ran = client.run(shell(&whole)).unwrap();
        let bytes = ran.output.map(|bytes| bytes.len() as u64);
        assert_eq!((bytes, ran.end), ([60_000, ALLOWED - 60_000], json!({ "reason": "exited", "code": 0 })));
        let beyond = json!({ "reason": "output", "limit_bytes": ALLOWED });
        for script in
            ["cat /dev/zero", "cat /dev/zero >&2", "cat /dev/zero & trap '' TERM; cat /dev/zero >&2"]
        {
            let ran = client.run(shell(script)).unwrap();
            let (bytes, closed) = (ran.output.map(|bytes| bytes.len() as u64), ran.closed);
            assert_eq!(ran.end, beyond, "{script}");
            assert!(bytes.iter().sum::<u64>() > ALLOWED, "{script}: {bytes:?}");
            for (at, bytes) in bytes.into_iter().enumerate() {
                assert_eq!(closed["streams"][at]["bytes"], bytes, "{script}");
                assert_eq!(closed["streams"][at]["dropped"], 0, "{script}");
            }
        }
        let mut terminal = shell("cat /dev/zero");
        terminal["stdio"] = json!({ "kind": "carried", "size": [24, 80] });
        assert_eq!(client.run(terminal).unwrap().end, beyond);
        // What the server does not carry it cannot count.
        let mut own = shell("true");
        own["stdio"] = json!({ "kind": "descriptors", "open": [false, false, false] });
        let refused = client.ask("process/start", own);
        assert_eq!(refused["error"]["data"]["name"], "unenforceable", "{refused}");
    });
}

/// Bytes that the server may write to one file here.
const SPILLED: u64 = 4 << 20;

/// Everything that the server's processes have open.
fn open(server: &Server) -> Vec<String> {
    let directories = server.descendants().into_iter().map(|pid| format!("/proc/{pid}/fd"));
    let entries = directories.filter_map(|directory| fs::read_dir(directory).ok()).flatten().flatten();
    entries
        .filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned()))
        .collect()
}

/// Waits until what is open is as it should be. Each turn asks the server in between.
fn until(client: &mut Client, server: &Server, what: &str, holds: impl Fn(&[String]) -> bool) {
    for _ in 0..10_000 {
        if holds(&open(server)) {
            return;
        }
        client.ask("process/list", Value::Null);
    }
    panic!("{what}: {:?}", open(server));
}

#[test]
fn commands_that_are_over_leave_nothing_open() {
    Way::each_of(&[Way::Root, Way::User], "server::left_open", |way| {
        let world = World::new(way);
        world.profile(r#""{w}/work" = "write""#, "");
        let server = Server::start(&world);
        let mut client = server.client();
        client.run(start(&world, &["true"])).unwrap();
        until(&mut client, &server, "one command", |open| !open.iter().any(|one| one.contains("ptmx")));
        let before = open(&server).len();
        for stdio in
            [json!({ "kind": "pipes", "input": true }), json!({ "kind": "carried", "size": [10, 10] })]
        {
            for _ in 0..10 {
                let mut request = start(&world, &["true"]);
                request["stdio"] = stdio.clone();
                client.run(request).unwrap();
            }
            until(&mut client, &server, "ended", |open| open.len() <= before);
        }
        // A client that goes while its command waits in its write, with output on the disk.
        let limit = Rlimit { current: Some(SPILLED), maximum: Some(SPILLED) };
        for pid in server.descendants() {
            let _ = prlimit(Pid::from_raw(pid), Resource::Fsize, limit);
        }
        for limited in [false, true] {
            let table = if limited { "[permissions.test.resources]\noutput = 9000000000" } else { "" };
            world.profile(r#""{w}/work" = "write""#, table);
            let mut leaving = server.client();
            let mut request = start(&world, &["head", "-c", "100000000", "/dev/zero"]);
            request["output"] = json!({ "credit": 0 });
            let id = leaving.ask("process/start", request)["result"]["id"].clone();
            let spills =
                |open: &[String]| open.iter().any(|one| one.ends_with("(deleted)") && one.contains("spill"));
            let waits = |list: &Value| {
                let written = &list["result"]["commands"][0]["written"][0];
                written.as_u64().is_some_and(|written| written >= SPILLED)
            };
            assert!(id.is_u64());
            let mut turns = 0..100_000;
            while !waits(&client.ask("process/list", Value::Null)) {
                assert!(turns.next().is_some(), "the command does not come to wait");
            }
            assert!(spills(&open(&server)));
            drop(leaving);
            until(&mut client, &server, "left", |open| !spills(open) && open.len() <= before);
        }
    });
}

#[test]
fn what_cannot_be_held_or_sent_is_refused() {
    Way::each_of(&[Way::User], "server::bad_numbers", |way| {
        let world = World::new(way);
        world.profile(r#""{w}/work" = "write""#, "");
        let server = Server::start(&world);
        let mut client = server.client();
        let mut request = start(&world, &["head", "-c", "3000000", "/dev/zero"]);
        for (head, tail) in [(1_u64 << 62, 0), (0, u64::MAX), (1, 1 << 30)] {
            let overflow = json!({ "kind": "head-and-tail", "head": head, "tail": tail });
            request["output"] = json!({ "credit": 0, "overflow": overflow });
            let refused = client.ask("process/start", request.clone());
            assert_eq!(refused["error"]["data"]["name"], "bad-call", "{refused}");
        }
        let overflow = json!({ "kind": "head-and-tail", "head": 0, "tail": 1 << 30 });
        request["output"] = json!({ "credit": 1 << 30, "overflow": overflow });
        assert_eq!(client.run(request).unwrap().output[0].len(), 3_000_000);
        let id =
            client.ask("process/start", start(&world, &["tail", "-f", "/dev/null"]))["result"]["id"].clone();
        for signal in [-1, 0, 65, 15_555] {
            let refused = client.ask("process/signal", json!({ "id": id, "signal": signal, "to": "all" }));
            assert_eq!(refused["error"]["data"]["name"], "bad-call", "{refused}");
        }
        let sent = client.ask("process/signal", json!({ "id": id, "signal": 9, "to": "all" }));
        assert!(sent["error"].is_null(), "{sent}");
    });
}

#[test]
fn a_client_too_many_hears_why_it_is_not_served() {
    Way::each_of(&[Way::User], "server::too_many", |way| {
        let world = World::new(way);
        let server = Server::start_with(&world, &["--max-connections", "1"]);
        let mut first = server.client();
        let Heard::Message(word) = Client::mute(server.socket()).hear() else { panic!("no word") };
        assert_eq!((&word["id"], &word["error"]["data"]["name"]), (&Value::Null, &json!("quota")), "{word}");
        assert!(first.ask("process/list", Value::Null)["error"].is_null());
    });
}

/// Words of a command: as many bytes as execve(2) takes, each of them six in JSON.
fn long_words() -> Vec<String> {
    vec!["\u{1}".repeat(120_000); 15]
}

#[test]
fn a_list_of_commands_with_many_words_fits_in_a_frame() {
    Way::each_of(&[Way::User], "server::long_words", |way| {
        let world = World::new(way);
        world.profile(r#""{w}/work" = "write""#, "");
        let server = Server::start(&world);
        let mut client = server.client();
        let words = long_words();
        let mut argv: Vec<&str> = vec!["sh", "-c", "exec tail -f /dev/null"];
        let short = client.ask("process/start", start(&world, &argv));
        assert!(short["error"].is_null(), "{short}");
        argv.extend(words.iter().map(String::as_str));
        for _ in 0..2 {
            let long = client.ask("process/start", start(&world, &argv));
            assert!(long["error"].is_null(), "{long}");
        }
        let list = client.ask("process/list", Value::Null);
        let commands = list["result"]["commands"].as_array().unwrap();
        assert_eq!(commands.len(), 3);
        assert_eq!((&commands[0]["argv"], &commands[0]["whole_argv"]), (&json!(argv[..3]), &Value::Null));
        let whole = serde_json::to_value(Digest::of_words(&argv)).unwrap();
        for listed in &commands[1..] {
            let told = listed["argv"].as_array().unwrap();
            let bytes: usize = told.iter().map(|word| word.as_str().unwrap().len()).sum();
            assert_eq!((bytes, &listed["whole_argv"]), (MAX_LISTED_WORDS_BYTES, &whole));
        }
        // Of one alone all of it is told.
        let attach = json!({ "id": commands[1]["id"], "role": "reader" });
        let attached = server.client().ask_first("process/attach", attach);
        assert_eq!(attached["result"]["listed"]["argv"], json!(argv));
    });
}
