//! Limits that the server itself holds.

use serde_json::json;
use weir_tests::sandbox::{Way, World};

use super::peer::{Server, start};

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
