//! A server that stops loses nothing: what runs is ended by name, its output is delivered, and the next server takes over.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use weir_protocol::frame::{self, Credit, Place as At, Stream};
use weir_tests::sandbox::way::is_root;

use super::client::{Came, Client, start};
use super::place::{ALICE, Place, SERVER};

/// More than a client has credit for at first, and more than memory holds.
const BYTES: usize = 3_000_000;

fn with_input(world: &Path, script: &str) -> Value {
    let mut params = start(world, &["sh", "-c", script]);
    params["stdio"]["input"] = json!(true);
    params
}

/// Starts a script that says `ready` on standard error, and waits for that.
fn ready(client: &mut Client, world: &Path, script: &str) -> u64 {
    let started = client.ask("process/start", &with_input(world, script)).unwrap();
    let id = started["id"].as_u64().unwrap();
    loop {
        let came = client.next().unwrap();
        let is_ready = matches!(&came, Came::Data(_, Stream::Error, bytes) if bytes == b"ready\n");
        client.meanwhile.push(came);
        if is_ready {
            return id;
        }
    }
}

fn give_credit(client: &mut Client, id: u64) {
    let received = At { id, stream: Stream::Output, offset: 0 };
    client.socket.write_all(&frame::credit(Credit { received, limit: 10 << 20 })).unwrap();
}

#[test]
fn what_runs_is_ended_by_name_and_its_output_is_whole() {
    let place = Place::new();
    let mut server = place.serve(&["--stop-after", "0"]);
    let mut client = server.client(ALICE);
    assert_eq!(place.told(), "READY=1");
    let script =
        format!("trap 'echo last; exit 7' TERM; head -c {BYTES} /dev/zero; echo ready >&2; read line");
    let id = ready(&mut client, &place.world(ALICE), &script);
    server.signal(libc::SIGTERM);
    assert_eq!(place.told(), "STOPPING=1");
    // Only now does the client take the rest.
    give_credit(&mut client, id);
    let outcome = client.outcome(id);
    assert_eq!(outcome.exited["end"], json!({"reason": "server-stopping"}), "{}", place.log());
    let expected = [vec![0; BYTES], b"last\n".to_vec()].concat();
    assert!(outcome.output == expected, "{} bytes", outcome.output.len());
    let account = &outcome.closed["streams"][0];
    assert_eq!(account["blake3"], blake3::hash(&expected).to_hex().as_str());
    assert_eq!(client.next(), None, "then the connection ends");
    assert!(server.ended().success());
    let log = fs::read_to_string(server.state().join("audit.jsonl")).unwrap();
    let stop: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(stop.iter().any(|record| record["action"] == "stop" && record["by"] == "supervisor"), "{log}");
}

#[test]
fn what_ends_in_time_ends_by_itself() {
    let place = Place::new();
    let mut server = place.serve(&["--stop-after", "600"]);
    let (mut client, mut late) = (server.client(ALICE), server.client(ALICE));
    let id = ready(&mut client, &place.world(ALICE), "echo ready >&2; read line; echo got $line; exit 3");
    assert_eq!(place.told(), "READY=1");
    server.signal(libc::SIGTERM);
    assert_eq!(place.told(), "STOPPING=1");
    // The server part has heard of it when it takes no more starts.
    let params = start(&place.world(ALICE), &["true"]);
    let refused = (0..1000).find_map(|_| late.ask("process/start", &params).err());
    let (code, error) = refused.unwrap();
    assert!([-32024, -32026].contains(&code), "{error}");
    assert_eq!(late.ask("process/list", &Value::Null).unwrap()["commands"][0]["id"], id);
    let input = At { id, stream: Stream::Input, offset: 0 };
    client.socket.write_all(&frame::data_header(input, 5).unwrap()).unwrap();
    client.socket.write_all(b"word\n").unwrap();
    let outcome = client.outcome(id);
    assert_eq!(outcome.exited["end"], json!({"reason": "exited", "code": 3}));
    assert_eq!(outcome.output, b"got word\n");
    assert!(server.ended().success());
    assert_eq!((client.next(), late.next()), (None, None));
}

#[test]
fn told_twice_it_ends_at_once() {
    let place = Place::new();
    let mut server = place.serve(&["--stop-after", "600"]);
    let mut client = server.client(ALICE);
    ready(&mut client, &place.world(ALICE), "trap '' TERM; echo ready >&2; read line");
    assert_eq!(place.told(), "READY=1");
    server.signal(libc::SIGTERM);
    assert_eq!(place.told(), "STOPPING=1");
    server.signal(libc::SIGTERM);
    assert!(server.ended().success());
    while client.next().is_some() {}
}

#[test]
fn an_idle_server_goes_and_the_next_takes_its_socket() {
    let place = Place::new();
    let listening = place.listen();
    let mut first = place.serve_on(&listening, &["--idle-exit", "1"]);
    let outcome = first.client(ALICE).run(&start(&place.world(ALICE), &["echo", "first"]));
    assert_eq!(outcome.output, b"first\n");
    assert!(first.ended().success());
    // A client that comes while there is no server waits for the next one.
    let waiting = first.connect(ALICE);
    let _second = place.serve_on(&listening, &["--idle-exit", "1"]);
    let outcome = Client::greeted(waiting).run(&start(&place.world(ALICE), &["echo", "second"]));
    assert_eq!(outcome.output, b"second\n");
}

/// Descriptors that were meant for another process, or are no listening socket, are not taken.
#[test]
fn what_was_handed_to_another_is_not_taken() {
    let place = Place::new();
    let path = place.at("own");
    let mut command = std::process::Command::new(Place::program());
    command.arg("--listen").arg(&path).arg("--state").arg(place.at("state"));
    if is_root() {
        command.args(["--server-user", "nobody"]);
    }
    command.env("NOTIFY_SOCKET", place.at("notify")).env("LISTEN_PID", "1").env("LISTEN_FDS", "1");
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    assert_eq!(place.told(), "READY=1");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    super::place::send(child.id().try_into().unwrap(), libc::SIGTERM);
    assert!(child.wait().unwrap().success());
    assert!(!path.exists(), "its own socket goes with it");
    let mut no_socket = place.command(&[]);
    let output = no_socket.stdin(Stdio::null()).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("descriptor 3 that the service manager handed over"), "{said}");
}

#[test]
fn what_is_kept_is_open_to_nobody_else() {
    let place = Place::new();
    let server = place.serve(&[]);
    server.client(ALICE).run(&start(&place.world(ALICE), &["true"]));
    let found = |name: &str| {
        let found = fs::metadata(server.state().join(name)).unwrap();
        (found.mode() & 0o777, found.uid())
    };
    let own = found("").1;
    let (parts, user) = if is_root() { (SERVER, ALICE) } else { (own, own) };
    assert_eq!(found(""), (0o711, own));
    assert_eq!(found("audit.jsonl"), (0o600, own));
    assert_eq!(found("contexts"), (0o700, parts));
    assert_eq!(found("spill"), (0o711, own));
    assert_eq!(found(&format!("spill/{user}")), (0o700, parts));
}
