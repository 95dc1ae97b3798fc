//! What a client does wrong is answered or ends its own connection; nobody else's, and nothing that runs.

use serde_json::{Value, json};
use weir_protocol::frame::{self, MAX_CONTROL_BYTES};
use weir_tests::sandbox::{Way, World};

use super::peer::{Client, Heard, Server, choice, start};

fn world(way: Way) -> World {
    let world = World::new(way);
    world.profile(r#""{w}/work" = "write""#, "");
    world
}

/// Another client is served as if nothing had happened.
fn serves(server: &Server, world: &World) {
    let mut client = server.client();
    assert_eq!(client.run(start(world, &["echo", "fine"])).unwrap().output[0], b"fine\n");
}

/// The connection's last words, and its end.
fn last_words(client: &mut Client) -> Vec<Value> {
    let mut words = Vec::new();
    loop {
        match client.hear() {
            Heard::Message(message) => words.push(message),
            Heard::End => return words,
            _ => {}
        }
    }
}

#[test]
fn what_is_no_frame_ends_the_connection_and_no_other() {
    Way::each("server::frames", |way| {
        let world = world(way);
        let server = Server::start(&world);
        let too_long = u32::try_from(MAX_CONTROL_BYTES + 1).unwrap().to_be_bytes();
        let cases: [&[u8]; 5] = [
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            &[0, 0, 0, 1, 9, 0],
            &[too_long[0], too_long[1], too_long[2], too_long[3], 0],
            &[0, 0, 0, 3, 1, 0, 0, 0],
            &[0xff; 64],
        ];
        let mut bystander = server.client();
        for case in cases {
            let mut client = server.client();
            client.raw(case);
            let words = last_words(&mut client);
            assert_eq!(words.len(), 1, "{case:?}: {words:?}");
            assert_eq!(words[0]["error"]["code"], -32600);
        }
        // Half a frame, and then nothing more.
        let mut client = server.client();
        client.raw(&[0, 0, 1, 0, 0, b'{']);
        client.socket().shutdown(std::net::Shutdown::Write).unwrap();
        assert!(last_words(&mut client)[0]["error"]["message"].as_str().unwrap().contains("inside a frame"));
        assert!(bystander.ask("process/list", Value::Null)["error"].is_null());
        serves(&server, &world);
    });
}

#[test]
fn a_request_that_is_wrong_is_answered_and_the_connection_goes_on() {
    Way::each_of(&[Way::Root, Way::User], "server::requests", |way| {
        let world = world(way);
        let server = Server::start(&world);
        let mut client = Client::mute(server.socket());
        // Before hello nothing else is answered.
        assert_eq!(client.ask("process/list", Value::Null)["error"]["code"], -32024);
        let old = client.ask("server/hello", json!({ "versions": [77], "client": "test" }));
        assert_eq!(old["error"]["code"], -32027, "{old}");
        let hello = json!({ "versions": [77, 1], "client": "test" });
        assert_eq!(client.ask("server/hello", hello.clone())["result"]["version"], 1);
        assert_eq!(client.ask("server/hello", hello)["error"]["code"], -32024);
        let mut odd = start(&world, &["true"]);
        odd["colour"] = "green".into();
        let mut as_root = start(&world, &["true"]);
        as_root["user"] = "root".into();
        let mut unknown = start(&world, &["true"]);
        unknown["choice"]["profile"] = "no-such-profile".into();
        let missing = start(&world, &["no-such-command"]);
        let cases: Vec<(&str, Value, i64)> = vec![
            ("process/fly", json!({}), -32602),
            ("process/start", json!({ "argv": 7 }), -32602),
            ("process/start", odd, -32602),
            ("process/start", as_root, -32015),
            ("process/start", unknown, -32012),
            ("process/start", start(&world, &[]), -32015),
            ("process/start", missing, -32022),
            ("process/signal", json!({ "id": 99, "signal": 9, "to": "all" }), -32025),
            ("process/kill", json!({ "id": 99, "grace_ms": 0 }), -32025),
            ("process/attach", json!({ "id": u64::MAX }), -32025),
            ("process/forget", json!({ "id": 0 }), -32025),
            ("context/fork", json!({ "id": 12 }), -32028),
            ("context/open", json!({ "choice": choice(&world), "thread": "" }), -32015),
        ];
        for (method, params, code) in cases {
            let answer = client.ask(method, params.clone());
            assert_eq!(answer["error"]["code"], code, "{method} {params}: {answer}");
        }
        // What is no JSON, and what is no request.
        for payload in [&b"{"[..], b"[]", b"\xff\xff", b"{\"jsonrpc\":\"2.0\"}"] {
            client.raw(&frame::control(payload).unwrap());
            let Heard::Message(answer) = client.hear() else { panic!("no answer") };
            assert!(answer["error"]["code"].is_i64(), "{answer}");
        }
        assert!(client.ask("process/list", Value::Null)["error"].is_null());
    });
}

/// Sends input that has no place.
type Violate = fn(&mut Client, u64);

#[test]
fn input_beyond_the_credit_or_out_of_place_ends_the_connection() {
    Way::each_of(&[Way::Root, Way::User], "server::violations", |way| {
        let world = world(way);
        let server = Server::start(&world);
        let violations: [(Violate, &str); 3] = [
            (|client, id| _ = client.input(id, 5, b"early"), "begins at byte 5, and the next one is byte 0"),
            (
                |client, id| {
                    let chunk = [0; 100_000];
                    // Nobody reads it, and it is more than may be under way.
                    let _ = (0..8).all(|at| client.input(id, at * 100_000, &chunk));
                },
                "and the credit at byte ",
            ),
            (
                |client, id| {
                    client.call("process/close-input", json!({ "id": id }));
                    client.input(id, 0, b"late");
                },
                "its end has been said already",
            ),
        ];
        for (violate, why) in violations {
            let mut client = server.client();
            let mut request = start(&world, &["tail", "-f", "/dev/null"]);
            request["stdio"]["input"] = true.into();
            let id = client.ask("process/start", request)["result"]["id"].as_u64().unwrap();
            violate(&mut client, id);
            let words = last_words(&mut client);
            let error = &words.iter().find(|word| word["error"].is_object()).unwrap()["error"];
            assert_eq!(
                (&error["code"], &error["data"]["name"]),
                (&json!(-32034), &json!("input")),
                "{error}"
            );
            assert!(error["message"].as_str().unwrap().contains(why), "{error}");
            assert!(error["data"]["hint"].as_str().unwrap().contains("up to the `limit`"), "{error}");
        }
        serves(&server, &world);
    });
}

/// Also of the client for which the server part was made, and while what it started goes on.
#[test]
fn a_connection_ends_at_once_whatever_goes_on() {
    Way::each_of(&[Way::Root, Way::User], "server::end", |way| {
        let world = world(way);
        let server = Server::start(&world);
        let mut first = server.client();
        let mut request = start(&world, &["tail", "-f", "/dev/null"]);
        request["output"]["when_left"] = "stay".into();
        let id = first.ask("process/start", request)["result"]["id"].clone();
        assert!(id.is_u64());
        first.raw(&[0xff; 64]);
        assert!(!last_words(&mut first).is_empty());
        let mut second = server.client();
        assert_eq!(second.ask("process/list", Value::Null)["result"]["commands"][0]["id"], id);
        assert!(second.ask("process/kill", json!({ "id": id, "grace_ms": 0 }))["error"].is_null());
    });
}

#[test]
fn a_client_that_never_reads_or_asks_without_end_holds_up_nobody() {
    Way::each_of(&[Way::Root, Way::User], "server::flood", |way| {
        let world = world(way);
        let server = Server::start(&world);
        // Output without end, and nobody who reads it.
        let mut mute = server.client();
        let mut request = start(&world, &["cat", "/dev/zero"]);
        request["output"]["credit"] = u64::MAX.into();
        mute.call("process/start", request);
        // Answers without end, and nobody who reads them. The last one no longer fits.
        let mut flood = server.client();
        let list = frame::control(br#"{"jsonrpc":"2.0","id":1,"method":"process/list"}"#).unwrap();
        flood.socket().set_nonblocking(true).unwrap();
        let many = list.repeat(500);
        while flood.raw(&many) {}
        serves(&server, &world);
        drop((mute, flood));
        // What they started has gone with them.
        let mut client = server.client();
        let gone = (0..10_000).any(|_| {
            let list = client.ask("process/list", Value::Null);
            list["result"]["commands"].as_array().unwrap().is_empty()
        });
        assert!(gone);
        serves(&server, &world);
    });
}
