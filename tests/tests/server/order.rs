//! What a client hears of a command comes in an order that makes sense, and whoever the kernel names is served.

use std::collections::HashMap;

use serde_json::{Value, json};
use weir_protocol::frame::Stream;
use weir_tests::sandbox::{Way, World};

use super::peer::{Heard, Server, start};

/// Commands that are started at once on one connection.
const COMMANDS: usize = 24;

fn world(way: Way) -> World {
    let world = World::new(way);
    world.profile(r#""{w}/work" = "write""#, "");
    world
}

/// What has been heard of one command, in order, pieces of a stream taken together.
type Words = HashMap<u64, Vec<&'static str>>;

fn note(words: &mut Words, id: u64, word: &'static str) {
    let of = words.entry(id).or_default();
    if of.last() != Some(&word) {
        of.push(word);
    }
}

#[test]
fn an_answer_comes_before_the_bytes_and_closed_comes_last_with_many_at_once() {
    Way::each("server::order", |way| {
        let world = world(way);
        let server = Server::start(&world);
        let mut client = server.client();
        // One command's bytes fill the connection, which nobody reads; the answers for all others wait behind them.
        let flood = client.ask("process/start", start(&world, &["head", "-c", "1000000", "/dev/zero"]));
        let flood = flood["result"]["id"].as_u64().unwrap();
        let mut short = start(&world, &["head", "-c", "20000", "/dev/zero"]);
        // The first ones may be through before the connection is full; they are listed all the same.
        short["output"]["when_left"] = "stay".into();
        let calls: Vec<u64> = (0..COMMANDS).map(|_| client.call("process/start", short.clone())).collect();
        let mut other = server.client();
        let written = |listed: &Value| listed["written"][0].as_u64() >= Some(20_000);
        loop {
            let listed = other.ask("process/list", Value::Null);
            let commands = listed["result"]["commands"].as_array().unwrap();
            if commands.len() == COMMANDS + 1 && commands.iter().all(written) {
                break;
            }
        }
        let (mut words, mut bytes, mut closed) = (Words::new(), HashMap::<u64, u64>::new(), 0);
        while closed < COMMANDS {
            match client.hear() {
                Heard::Message(message) if calls.iter().any(|call| message["id"] == *call) => {
                    let id = message["result"]["id"].as_u64();
                    note(&mut words, id.unwrap_or_else(|| panic!("{message}")), "answer");
                }
                Heard::Data(place, _) if place.id == flood => {}
                Heard::Message(message) if message["params"]["id"] == flood => {}
                Heard::Data(place, data) => {
                    let before = bytes.entry(place.id).or_default();
                    assert_eq!((place.stream, place.offset), (Stream::Output, *before));
                    *before += data.len() as u64;
                    note(&mut words, place.id, "bytes");
                }
                Heard::Message(message) => {
                    let id = message["params"]["id"].as_u64().unwrap();
                    let word = if message["method"] == "process/closed" { "closed" } else { "exited" };
                    closed += usize::from(word == "closed");
                    note(&mut words, id, word);
                }
                heard => panic!("{heard:?}"),
            }
        }
        assert_eq!(words.len(), COMMANDS);
        for (id, words) in words {
            assert_eq!((words[0], words[words.len() - 1]), ("answer", "closed"), "{id}: {words:?}");
            assert_eq!(words.iter().filter(|word| **word == "exited").count(), 1, "{id}: {words:?}");
            assert_eq!(bytes[&id], 20_000);
        }
    });
}

#[test]
fn whoever_comes_back_hears_where_both_ways_go_on() {
    Way::each_of(&[Way::Root, Way::User], "server::back", |way| {
        let world = world(way);
        let server = Server::start(&world);
        let mut first = server.client();
        let mut parameters = start(&world, &["sh", "-c", "echo ready; read one; echo $one; cat >&2"]);
        parameters["stdio"]["input"] = true.into();
        parameters["output"] = json!({ "credit": 1 << 20, "when_left": "stay", "keep": "all" });
        let id = first.ask("process/start", parameters)["result"]["id"].as_u64().unwrap();
        assert!(first.input(id, 0, b"word\nre"));
        let mut arrived = Vec::new();
        while arrived != b"ready\nword\n" {
            if let Heard::Data(place, bytes) = first.hear() {
                arrived.extend(if place.stream == Stream::Output { bytes } else { Vec::new() });
            }
        }
        drop(first);
        let attach =
            |from: [u64; 2], role: &str| json!({ "id": id, "from": from, "credit": 1 << 20, "role": role });
        let mut reader = server.client();
        let attached = reader.ask_first("process/attach", attach([6, 0], "reader"));
        assert_eq!((&attached["result"]["from"][0], &attached["result"]["input"]), (&json!(6), &Value::Null));
        let mut owner = server.client();
        let attached = owner.ask_first("process/attach", attach([6, 9999], "owner"));
        assert_eq!((&attached["result"]["from"][0], &attached["result"]["input"]), (&json!(6), &json!(7)));
        let listed = &attached["result"]["listed"];
        assert_eq!((&listed["carried"], &listed["when_left"]), (&json!(true), &json!("stay")));
        assert!(owner.input(id, 7, b"st\n"));
        owner.call("process/close-input", json!({ "id": id }));
        let mut rest = Vec::new();
        loop {
            match reader.hear() {
                Heard::Data(place, bytes) if place.stream == Stream::Error => rest.extend(bytes),
                Heard::Message(message) if message["method"] == "process/closed" => break,
                Heard::End => panic!("the reader was cut off"),
                _ => {}
            }
        }
        assert_eq!(rest, b"rest\n");
    });
}

#[test]
fn a_client_from_outside_of_the_servers_pid_namespace_is_served() {
    Way::each_of(&[Way::Root], "server::outside", |way| {
        let world = world(way);
        let Some(server) = Server::start_enclosed(&world) else {
            return weir_tests::skip("server::enclosed", "no PID namespace can be made here");
        };
        let mut client = server.client();
        let started = client.ask("process/start", start(&world, &["true"]));
        assert!(started["result"]["pid"].as_i64().is_some(), "{started}");
    });
}
