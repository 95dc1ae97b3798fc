//! Users on one server: nobody runs as another, sees another's commands, or takes another's share.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, chown};
use std::path::PathBuf;

use serde_json::{Value, json};
use weir_protocol::frame::Stream;
use weir_tests::sandbox::way::is_root;
use weir_tests::sandbox::{PATH, Way, World};

use super::peer::{Client, Heard, Server};

/// Users without an entry in any table.
const USERS: [u32; 2] = [61_301, 61_302];

/// `NO_COMMAND`, `NO_CONTEXT`, `QUOTA` of the protocol's codes.
const NO_COMMAND: i64 = -32025;
const NO_CONTEXT: i64 = -32028;
const QUOTA: i64 = -32026;

/// A home of a user's own with a file that nobody else may read.
fn home(world: &World, uid: u32) -> PathBuf {
    let home = world.directory(format!("home-{uid}"));
    let secret = world.file(format!("home-{uid}/secret"), format!("of {uid}"));
    fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
    // Its own mode would let everyone read it, the directory's does not.
    let open = world.file(format!("home-{uid}/closed/open"), "behind a closed directory");
    let closed = home.join("closed");
    fs::set_permissions(&closed, PermissionsExt::from_mode(0o700)).unwrap();
    for place in [&home, &secret, &closed, &open] {
        chown(place, Some(uid), Some(uid)).unwrap();
    }
    home
}

fn request(world: &World, uid: u32, argv: &[&str], extra: &[&str]) -> Value {
    let home = home_of(world, uid);
    json!({
        "choice": {
            "standpoint": { "cwd": home, "home": home, "weir_home": home.join(".weir") },
            "profile": ":isolated",
            "read": extra,
        },
        "argv": argv,
        "env": [["PATH", PATH]],
        "stdio": { "kind": "pipes", "input": false },
        "output": { "credit": 1 << 20 },
    })
}

fn home_of(world: &World, uid: u32) -> PathBuf {
    world.at(format!("home-{uid}"))
}

/// What a command prints on standard output, or the server's refusal.
fn output(client: &mut Client, request: Value) -> Result<String, Value> {
    let ran = client.run(request)?;
    Ok(String::from_utf8_lossy(&ran.output[0]).trim().to_owned())
}

fn server_of_two() -> Option<(World, Server)> {
    if !is_root() {
        weir_tests::skip("server::users", "only root serves several users");
        return None;
    }
    let world = World::new(Way::Root);
    USERS.iter().for_each(|uid| drop(home(&world, *uid)));
    let server = Server::start_with(&world, &["--max-commands", "3", "--max-connections", "4"]);
    server.open_to_all();
    Some((world, server))
}

#[test]
fn a_command_runs_as_who_asks_with_that_users_rights_and_no_others() {
    let Some((world, server)) = server_of_two() else { return };
    let [one, other] = USERS;
    let mut client = Client::connect_as(server.socket(), one);
    let who =
        output(&mut client, request(&world, one, &["sh", "-c", "id -u; id -g; id -G; touch mine"], &[]));
    assert_eq!(who.unwrap(), format!("{one}\n{one}\n{one}"));
    assert_eq!(fs::metadata(home_of(&world, one).join("mine")).unwrap().uid(), one);
    let own = home_of(&world, one).join("secret");
    assert_eq!(
        output(&mut client, request(&world, one, &["cat", own.to_str().unwrap()], &[])).unwrap(),
        format!("of {one}")
    );
    // What the user may not read is not read for them either, however the profile grants it. The launcher's own rights count for nothing:
    // also where only a directory on the way is closed.
    for name in ["secret", "closed/open"] {
        let place = home_of(&world, other).join(name);
        let place = place.to_str().unwrap();
        let refused = output(&mut client, request(&world, one, &["cat", place], &[place]));
        assert!(refused.as_ref().is_ok_and(String::is_empty) || refused.is_err(), "{refused:?}");
        let mut owner = Client::connect_as(server.socket(), other);
        assert!(!output(&mut owner, request(&world, other, &["cat", place], &[place])).unwrap().is_empty());
    }
    let mut as_root = request(&world, one, &["id"], &[]);
    as_root["user"] = "root".into();
    assert!(output(&mut client, as_root).is_err());
}

/// The bytes of a file, read by a call under a context of this profile, or the server's refusal.
fn content(client: &mut Client, request: &Value, path: &str) -> Result<Vec<u8>, Value> {
    let opened = client.ask("context/open", json!({ "choice": request["choice"] }));
    let read = json!({
        "under": { "context": opened["result"]["id"] },
        "standpoint": request["choice"]["standpoint"],
        "file": { "path": path },
    });
    let id = client.call("file/read", read);
    let mut found = Vec::new();
    loop {
        match client.hear() {
            Heard::Data(place, bytes) if place.stream == Stream::Content => found.extend(bytes),
            Heard::Message(message) if message["id"] == id && message["error"].is_null() => return Ok(found),
            Heard::Message(message) if message["id"] == id => return Err(message["error"].clone()),
            heard => assert!(heard != Heard::End),
        }
    }
}

#[test]
fn a_call_on_files_has_the_rights_of_who_asks_and_no_others() {
    let Some((world, server)) = server_of_two() else { return };
    let [one, other] = USERS;
    let mut client = Client::connect_as(server.socket(), one);
    for name in ["secret", "closed/open"] {
        let place = home_of(&world, other).join(name);
        let place = place.to_str().unwrap();
        assert!(content(&mut client, &request(&world, one, &[], &[place]), place).is_err(), "{name}");
        let mut owner = Client::connect_as(server.socket(), other);
        assert!(content(&mut owner, &request(&world, other, &[], &[place]), place).is_ok(), "{name}");
    }
    let own = home_of(&world, one).join("secret");
    let own = own.to_str().unwrap();
    let found = content(&mut client, &request(&world, one, &[], &[own]), own);
    assert_eq!(found.unwrap(), format!("of {one}").into_bytes());
}

#[test]
fn nobody_sees_another_users_commands_or_contexts() {
    let Some((world, server)) = server_of_two() else { return };
    let [one, other] = USERS;
    let mut client = Client::connect_as(server.socket(), one);
    let lasting = request(&world, one, &["tail", "-f", "/dev/null"], &[]);
    let id = client.ask("process/start", lasting.clone())["result"]["id"].as_u64().unwrap();
    let opened = client.ask("context/open", json!({ "choice": lasting["choice"], "thread": "t" }));
    let context = opened["result"]["id"].clone();
    assert!(context.is_u64(), "{opened}");
    let mut stranger = Client::connect_as(server.socket(), other);
    let list = stranger.ask("process/list", Value::Null);
    assert_eq!(list["result"]["commands"], json!([]), "{list}");
    for (method, params) in [
        ("process/attach", json!({ "id": id })),
        ("process/kill", json!({ "id": id, "grace_ms": 0 })),
        ("process/signal", json!({ "id": id, "signal": 9, "to": "all" })),
        ("process/forget", json!({ "id": id })),
    ] {
        assert_eq!(stranger.ask(method, params)["error"]["code"], NO_COMMAND, "{method}");
    }
    let close = stranger.ask("context/close", json!({ "id": context }));
    assert_eq!(close["error"]["code"], NO_CONTEXT);
    let standpoint = lasting["choice"]["standpoint"].clone();
    let list = json!({ "under": { "context": context }, "standpoint": standpoint, "file": { "path": "/" } });
    assert_eq!(stranger.ask("file/list", list)["error"]["code"], NO_CONTEXT);
    // The same thread of another user is another thread.
    let theirs = request(&world, other, &["true"], &[])["choice"].clone();
    let opened = stranger.ask("context/open", json!({ "choice": theirs, "thread": "t" }));
    assert!(opened["error"].is_null(), "{opened}");
    // A second connection of the same user does see it.
    let mut again = Client::connect_as(server.socket(), one);
    assert_eq!(again.ask("process/list", Value::Null)["result"]["commands"][0]["id"], id);
    assert!(again.ask("process/kill", json!({ "id": id, "grace_ms": 0 }))["error"].is_null());
}

#[test]
fn one_users_share_is_not_anothers() {
    let Some((world, server)) = server_of_two() else { return };
    let [one, other] = USERS;
    let mut client = Client::connect_as(server.socket(), one);
    let lasting = request(&world, one, &["tail", "-f", "/dev/null"], &[]);
    let ids: Vec<Value> =
        (0..3).map(|_| client.ask("process/start", lasting.clone())["result"]["id"].clone()).collect();
    assert!(ids.iter().all(Value::is_u64), "{ids:?}");
    let refused = client.ask("process/start", lasting.clone());
    assert_eq!(refused["error"]["code"], QUOTA, "{refused}");
    let mut stranger = Client::connect_as(server.socket(), other);
    assert_eq!(output(&mut stranger, request(&world, other, &["echo", "fine"], &[])).unwrap(), "fine");
    // What has ended gives its place back.
    client.ask("process/kill", json!({ "id": ids[0], "grace_ms": 0 }));
    let started = (0..1000).any(|_| client.ask("process/start", lasting.clone())["error"].is_null());
    assert!(started);
}
