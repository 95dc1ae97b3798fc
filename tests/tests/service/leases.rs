//! A lease is on record before it can be used, refused or over; where it cannot be recorded there is none.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use weir_tests::sandbox::programs;

use super::client::{Client, standpoint, start};
use super::place::{ALICE, Place, Server};

const AUDIT: i64 = -32032;
const LEASE: i64 = -32030;
const NO_CONTEXT: i64 = -32028;

/// Longer than the test takes, in milliseconds.
const LONG: u64 = 60_000;

/// What the log says of leases, and of starts.
fn recorded(log: &Path) -> Vec<Value> {
    let text = fs::read_to_string(log).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records
        .filter(|record| {
            let action = record["action"].as_str().unwrap();
            action == "start" || action.ends_with("lease")
        })
        .collect()
}

fn log(server: &Server) -> std::path::PathBuf {
    server.state().join("audit.jsonl")
}

fn open(client: &mut Client, place: &Place, thread: &str) -> Value {
    let choice = json!({"standpoint": standpoint(&place.world(ALICE))});
    client.ask("context/open", &json!({"choice": choice, "thread": thread})).unwrap()
}

fn escalate(context: &Value, path: &Path, scope: Value, for_ms: u64) -> Value {
    let grants = json!([{"kind": "path", "path": path, "access": "write"}]);
    json!({"id": context["id"], "grants": grants, "scope": scope, "for_ms": for_ms, "reason": "a test"})
}

fn turn() -> Value {
    json!({"kind": "turn", "thread": "t", "turn": "7"})
}

/// Actions with the lease's number and why.
fn told(records: &[Value]) -> Vec<(String, Value, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let each = records.iter().map(|of| (text(&of["action"]), of["lease"]["id"].clone(), text(&of["reason"])));
    each.collect()
}

#[test]
fn a_lease_its_use_and_its_end_are_on_record() {
    let place = Place::new();
    let out = place.world(ALICE).join("out");
    fs::create_dir_all(&out).unwrap();
    let server = place.serve(&[]);
    let mut client = server.client(ALICE);
    let context = open(&mut client, &place, "t");
    let words = ["true", "for this"];
    let command = json!({"kind": "command", "argv": words});
    let once =
        client.ask("context/lease", &escalate(&context, &out, command, LONG)).unwrap()["lease"].clone();
    let mut under = start(&place.world(ALICE), &words);
    under["under"] = json!({"context": context["id"], "lease": once});
    // A plan is made as under the lease, and leaves it: nothing of it is on record.
    let planned = client.ask("process/plan", &under).unwrap();
    assert_ne!(planned["enforcement"]["digest"], context["digest"], "{planned}");
    client.run(&under);
    let for_turn = client.ask("context/lease", &escalate(&context, &out, turn(), LONG)).unwrap();
    let whole = escalate(&context, &out, json!({"kind": "context"}), LONG);
    assert_eq!(client.ask("context/lease", &whole).unwrap_err().0, LEASE);
    let nowhere = escalate(&json!({"id": 77}), &out, turn(), LONG);
    assert_eq!(client.ask("context/lease", &nowhere).unwrap_err().0, NO_CONTEXT);
    client.ask("context/close", &json!({"id": context["id"]})).unwrap();
    let found = recorded(&log(&server));
    let words = |action: &str, id: &Value, why: &str| (action.to_owned(), id.clone(), why.to_owned());
    let expected = [
        words("lease", &once, "a test"),
        words("end-lease", &once, "it is used: it was given for one start"),
        words("start", &Value::Null, ""),
        words("lease", &for_turn["lease"], "a test"),
        words("refuse-lease", &Value::Null, "a lease for a whole context grants hosts alone"),
        words("refuse-lease", &Value::Null, "there is no context 77"),
        words("end-lease", &for_turn["lease"], "its context is closed"),
    ];
    assert_eq!(told(&found), expected);
    let leases: Vec<&Value> = found.iter().filter(|record| record["action"] != "start").collect();
    assert!(leases.iter().all(|record| record["by"] == "server-part"), "{found:?}");
    assert_eq!(found[0]["argv"], json!(["true", "for this"]));
    assert_eq!((&found[0]["digest"], &found[0]["profile"]), (&context["digest"], &context["profile"]));
    assert_ne!(found[2]["digest"], context["digest"]);
    let lease = &found[3]["lease"];
    assert_eq!(lease["grants"], json!([{"kind": "path", "path": out, "access": "write"}]));
    assert_eq!(
        (&lease["thread"], &lease["turn"], &lease["reach"]),
        (&json!("t"), &json!("7"), &json!("turn"))
    );
    shown(&log(&server), &out);
}

fn shown(log: &Path, out: &Path) {
    let output =
        Command::new(&programs().weir).args(["audit", "--action", "lease"]).arg(log).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}{}", String::from_utf8_lossy(&output.stderr));
    let grant = format!(": write {} (a test)", out.display());
    assert!(text.contains("for this command, until ") && text.contains(&grant), "{text}");
    assert!(text.contains("for turn 7 of t, until "), "{text}");
}

/// While a server part runs, and where the user had none when the time was over.
#[test]
fn the_end_of_its_time_is_on_record() {
    let place = Place::new();
    let out = place.at("out");
    let mut server = place.serve(&[]);
    let mut client = server.client(ALICE);
    let context = open(&mut client, &place, "t");
    let ends = |server: &Server| {
        let found = recorded(&log(server));
        told(&found).into_iter().filter(|(action, ..)| action == "end-lease").collect::<Vec<_>>()
    };
    client.ask("context/lease", &escalate(&context, &out, turn(), 1)).unwrap();
    while ends(&server).is_empty() {
        client.ask("context/list", &Value::Null).unwrap();
    }
    let late = client.ask("context/lease", &escalate(&context, &out, turn(), 200)).unwrap();
    server.child.kill().unwrap();
    server.ended();
    let again = place.serve(&[]);
    let mut client = again.client(ALICE);
    while ends(&again).len() < 2 {
        client.ask("context/list", &Value::Null).unwrap();
    }
    let last = ends(&again).pop().unwrap();
    assert_eq!((last.1, last.2.as_str()), (late["lease"].clone(), "its time is over"));
    // Once is enough, however many servers of the user there are.
    again.client(ALICE).ask("context/list", &Value::Null).unwrap();
    assert_eq!(ends(&again).len(), 2);
}

#[test]
fn a_lease_that_cannot_be_recorded_is_not_given() {
    let place = Place::new();
    let server = place.serve(&[]);
    let mut client = server.client(ALICE);
    let context = open(&mut client, &place, "t");
    let grants: Vec<Value> = (0..60)
        .map(|number| {
            let path = format!("/{number}{}", format!("/{}", "x".repeat(200)).repeat(15));
            json!({"kind": "path", "path": path, "access": "read"})
        })
        .collect();
    let asked =
        |grants: &[Value]| json!({"id": context["id"], "grants": grants, "scope": turn(), "for_ms": LONG});
    let (code, error) = client.ask("context/lease", &asked(&grants)).unwrap_err();
    assert_eq!(code, AUDIT, "{error}");
    assert_eq!(recorded(&log(&server)), [] as [Value; 0]);
    // It is not there either: the next one is, and ends alone.
    let given = client.ask("context/lease", &asked(&grants[..10])).unwrap();
    client.ask("context/close", &json!({"id": context["id"]})).unwrap();
    let expected = ["lease", "end-lease"].map(|action| (action.to_owned(), given["lease"].clone()));
    let found = told(&recorded(&log(&server))).into_iter().map(|(action, id, _)| (action, id));
    assert_eq!(found.collect::<Vec<_>>(), expected);
}
