//! A command that another connection takes over is that connection's: what its owner before says to have, the new one has still to hear.

use serde_json::{Value, json};
use weir_protocol::frame::Stream;
use weir_tests::sandbox::{Way, World};

use super::peer::{Client, Heard, Server, start};

/// Bytes that the command writes: more than memory holds of one stream.
const WRITTEN: u64 = 4_000_000;

fn world(way: Way) -> World {
    let world = World::new(way);
    world.profile(r#""{w}/work" = "write""#, "");
    world
}

/// Hears standard output up to this many bytes, all of them in order and none missing.
fn hear_up_to(client: &mut Client, from: u64, bytes: u64) {
    let mut at = from;
    while at < bytes {
        match client.hear() {
            Heard::Data(place, data) if place.stream == Stream::Output => {
                assert_eq!(place.offset, at);
                at += data.len() as u64;
            }
            Heard::Message(message) => assert_ne!(message["method"], "process/gap", "{message}"),
            Heard::End => panic!("the connection has ended"),
            _ => {}
        }
    }
}

/// The next event of this name.
fn event(client: &mut Client, name: &str) -> Value {
    loop {
        match client.hear() {
            Heard::Message(message) if message["method"] == name => return message["params"].clone(),
            Heard::End => panic!("the connection has ended before {name}"),
            _ => {}
        }
    }
}

#[test]
fn what_the_owner_before_has_is_kept_for_the_new_one() {
    Way::each_of(&[Way::Root, Way::User], "server::credit_of_another", |way| {
        let world = world(way);
        let server = Server::start(&world);
        let mut first = server.client();
        let script = format!("head -c {WRITTEN} /dev/zero; exec tail -f /dev/null");
        let mut request = start(&world, &["sh", "-c", &script]);
        request["output"] = json!({ "credit": 2 * WRITTEN, "when_left": "stay" });
        let id = first.ask("process/start", request)["result"]["id"].as_u64().unwrap();
        hear_up_to(&mut first, 0, WRITTEN);
        let mut second = server.client();
        let attach = json!({ "id": id, "from": [0, 0], "credit": 100_000, "role": "owner" });
        let attached = second.ask_first("process/attach", attach);
        assert_eq!(attached["result"]["from"], json!([0, 0]), "{attached}");
        first.credit(id, Stream::Output, WRITTEN, 2 * WRITTEN);
        // Said behind the credit, so it was heard.
        assert!(first.ask("process/list", Value::Null)["error"].is_null());
        hear_up_to(&mut second, 0, 100_000);
        second.credit(id, Stream::Output, 100_000, 2 * WRITTEN);
        hear_up_to(&mut second, 100_000, WRITTEN);
        // The control: what the owner itself says to have is forgotten.
        second.credit(id, Stream::Output, WRITTEN, 2 * WRITTEN);
        assert!(second.ask("process/list", Value::Null)["error"].is_null());
        let attach = json!({ "id": id, "from": [0, 0], "credit": 0, "role": "reader" });
        let attached = server.client().ask_first("process/attach", attach);
        assert_eq!(attached["result"]["from"][0], WRITTEN, "{attached}");
        second.ask("process/kill", json!({ "id": id, "grace_ms": 0 }));
    });
}

#[test]
fn a_command_stays_until_its_new_owner_has_heard_it_out() {
    Way::each_of(&[Way::Root, Way::User], "server::heard_out", |way| {
        let world = world(way);
        let server = Server::start(&world);
        let mut first = server.client();
        let mut request = start(&world, &["sh", "-c", "read one; echo $one"]);
        request["stdio"]["input"] = true.into();
        let id = first.ask("process/start", request)["result"]["id"].as_u64().unwrap();
        let mut second = server.client();
        let attach = json!({ "id": id, "from": [0, 0], "credit": 0, "role": "owner" });
        assert!(second.ask_first("process/attach", attach)["error"].is_null());
        assert!(second.input(id, 0, b"word\n"));
        event(&mut first, "process/closed");
        // Said behind the end of the first one's part.
        assert!(first.ask("process/list", Value::Null)["error"].is_null());
        let waited = second.ask("process/wait", json!({ "id": id }));
        assert_eq!(waited["result"]["end"], json!({ "reason": "exited", "code": 0 }), "{waited}");
        second.credit(id, Stream::Output, 0, 100);
        hear_up_to(&mut second, 0, 5);
        let closed = event(&mut second, "process/closed");
        assert_eq!(
            (&closed["streams"][0]["bytes"], &closed["streams"][0]["dropped"]),
            (&json!(5), &json!(0))
        );
        // It was not to stay, and everybody has all of it.
        let list = second.ask("process/list", Value::Null);
        assert_eq!(list["result"]["commands"], json!([]), "{list}");
    });
}
