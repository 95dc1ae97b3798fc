//! What a command leaves running: ended with it, or kept where the profile says so.

use serde_json::{Value, json};
use weir_tests::sandbox::{Way, World};

use super::peer::{Client, Heard, Server, start};

/// A command that ends at once and leaves somebody behind, who writes when a file appears and then ends.
const LEAVES: &str = "(while ! test -e go; do :; done; echo late) & echo early; exit 3";

/// The same, and who is left behind never ends.
const LEAVES_FOR_EVER: &str = "setsid sh -c 'tail -f /dev/null' & echo early; exit 3";

const KEEP: &str = "background = \"keep\"";

fn world(way: Way, line: &str) -> World {
    let world = World::new(way);
    world.profile(r#""{w}/work" = "write""#, "");
    let text = std::fs::read_to_string(world.at("weir/config.toml")).unwrap();
    world
        .file("weir/config.toml", text.replace("[permissions.test]", &format!("[permissions.test]\n{line}")));
    world
}

fn started(client: &mut Client, world: &World, script: &str) -> u64 {
    let answer = client.ask("process/start", start(world, &["sh", "-c", script]));
    answer["result"]["id"].as_u64().unwrap_or_else(|| panic!("{answer}"))
}

/// The next event, and whatever was written before it.
fn event(client: &mut Client, output: &mut Vec<u8>) -> Value {
    loop {
        match client.hear() {
            Heard::Data(_, bytes) => output.extend(bytes),
            Heard::Message(message) if message["method"].is_string() => return message,
            Heard::Message(_) | Heard::Credit(_) => {}
            Heard::End => panic!("the connection has ended"),
        }
    }
}

#[test]
fn what_is_left_goes_on_to_its_own_end_where_the_profile_keeps_it() {
    Way::each("server::background", |way| {
        let world = world(way, KEEP);
        let server = Server::start(&world);
        let mut client = server.client();
        let id = started(&mut client, &world, LEAVES);
        let mut output = Vec::new();
        let told = event(&mut client, &mut output);
        let end = json!({ "reason": "exited", "code": 3 });
        assert_eq!((&told["method"], &told["params"]["end"]), (&json!("process/background"), &end));
        // Another connection: what comes to this one meanwhile must not be lost.
        let listed = server.client().ask("process/list", Value::Null);
        let listed = &listed["result"]["commands"][0];
        assert_eq!((&listed["background"], &listed["exited"]), (&end, &Value::Null), "{listed}");
        world.file("work/go", "");
        let exited = event(&mut client, &mut output);
        assert_eq!((&exited["method"], &exited["params"]["end"]), (&json!("process/exited"), &end));
        let closed = event(&mut client, &mut output);
        assert_eq!((&closed["method"], &closed["params"]["id"]), (&json!("process/closed"), &json!(id)));
        assert_eq!(String::from_utf8(output).unwrap(), "early\nlate\n");
        assert_eq!(closed["params"]["streams"][0]["bytes"], 11);
    });
}

#[test]
fn what_is_left_ends_with_the_command_where_the_profile_is_silent() {
    Way::each("server::background_ends", |way| {
        let world = world(way, "description = \"silent\"");
        let server = Server::start(&world);
        let ran = server.client().run(start(&world, &["sh", "-c", LEAVES])).unwrap();
        assert_eq!((ran.output, ran.end["code"].as_i64()), ([b"early\n".to_vec(), Vec::new()], Some(3)));
    });
}

#[test]
fn what_is_kept_ends_when_it_is_told_to() {
    Way::each("server::background_killed", |way| {
        let world = world(way, KEEP);
        let server = Server::start(&world);
        let mut client = server.client();
        for method in ["process/kill", "process/signal"] {
            let id = started(&mut client, &world, LEAVES_FOR_EVER);
            let mut output = Vec::new();
            assert_eq!(event(&mut client, &mut output)["method"], "process/background");
            // The command itself is gone, and its number may be another's: a signal to it reaches nobody.
            let nobody = json!({ "id": id, "signal": 9, "to": "leader" });
            assert_eq!(server.client().ask("process/signal", nobody)["error"], Value::Null);
            let params = match method {
                "process/kill" => json!({ "id": id, "grace_ms": 0 }),
                _ => json!({ "id": id, "signal": 15, "to": "group" }),
            };
            client.call(method, params);
            assert_eq!(event(&mut client, &mut output)["method"], "process/exited", "{method}");
            assert_eq!(event(&mut client, &mut output)["method"], "process/closed", "{method}");
            assert_eq!(output, b"early\n");
        }
    });
}

#[test]
fn nothing_is_kept_where_nothing_is_left() {
    Way::each("server::background_nobody", |way| {
        let world = world(way, KEEP);
        let server = Server::start(&world);
        let mut client = server.client();
        started(&mut client, &world, "true & wait; exit 4");
        let mut output = Vec::new();
        let exited = event(&mut client, &mut output);
        assert_eq!(
            (&exited["method"], &exited["params"]["end"]["code"]),
            (&json!("process/exited"), &json!(4))
        );
    });
}

#[test]
fn run_waits_for_what_is_left_and_answers_as_the_command_did() {
    Way::each("server::background_run", |way| {
        let world = world(way, KEEP);
        let late = "(head -c 3000000 /dev/zero | cksum; echo late) & echo early; exit 3";
        let ran = world.run(["sh", "-c", late]);
        let told = String::from_utf8(ran.stdout).unwrap();
        assert_eq!((ran.code, told.lines().count()), (3, 3), "{told}{}", ran.stderr);
        assert!(told.ends_with("late\n"), "{told}");
    });
}
