//! Limits that the server itself holds.

use serde_json::{Value, json};
use weir_protocol::frame::Stream;
use weir_tests::sandbox::{Way, World};

use super::peer::{Client, Heard, Server, start};

/// Bytes of both streams that the profile allows.
const ALLOWED: u64 = 100_000;

/// Runs a command to its end: bytes of each stream, how it ended, and the last word.
fn run(client: &mut Client, request: Value) -> ([u64; 2], Value, Value) {
    let answer = client.ask("process/start", request);
    let id = answer["result"]["id"].as_u64().unwrap_or_else(|| panic!("{answer}"));
    let (mut bytes, mut end) = ([0, 0], Value::Null);
    loop {
        match client.hear() {
            Heard::Data(place, more) => {
                let count = &mut bytes[usize::from(place.stream == Stream::Error)];
                assert_eq!(place.offset, *count);
                *count += more.len() as u64;
                client.credit(id, place.stream, *count, *count + (1 << 20));
            }
            Heard::Message(message) => match message["method"].as_str() {
                Some("process/exited") => end = message["params"]["end"].clone(),
                Some("process/closed") => return (bytes, end, message["params"].clone()),
                _ => assert!(message["error"].is_null(), "{message}"),
            },
            Heard::Credit(_) => {}
            Heard::End => panic!("the connection has ended"),
        }
    }
}

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
        let (bytes, end, _) = run(&mut client, shell(&whole));
        assert_eq!((bytes, end), ([60_000, ALLOWED - 60_000], json!({ "reason": "exited", "code": 0 })));
        let beyond = json!({ "reason": "output", "limit_bytes": ALLOWED });
        for script in
            ["cat /dev/zero", "cat /dev/zero >&2", "cat /dev/zero & trap '' TERM; cat /dev/zero >&2"]
        {
            let (bytes, end, closed) = run(&mut client, shell(script));
            assert_eq!(end, beyond, "{script}");
            assert!(bytes.iter().sum::<u64>() > ALLOWED, "{script}: {bytes:?}");
            for (at, bytes) in bytes.into_iter().enumerate() {
                assert_eq!(closed["streams"][at]["bytes"], bytes, "{script}");
                assert_eq!(closed["streams"][at]["dropped"], 0, "{script}");
            }
        }
        let mut terminal = shell("cat /dev/zero");
        terminal["stdio"] = json!({ "kind": "carried", "size": [24, 80] });
        assert_eq!(run(&mut client, terminal).1, beyond);
        // What the server does not carry it cannot count.
        let mut own = shell("true");
        own["stdio"] = json!({ "kind": "descriptors", "open": [false, false, false] });
        let refused = client.ask("process/start", own);
        assert_eq!(refused["error"]["data"]["name"], "unenforceable", "{refused}");
    });
}
