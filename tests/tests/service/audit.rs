//! What was decided is recorded before it takes effect, by who has a privilege; and `weir audit` reads it.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use weir_tests::sandbox::programs;
use weir_tests::sandbox::way::is_root;

use super::client::{Came, start};
use super::place::{ALICE, Place, Server, below};

/// Bytes that no file of a server under a limit may grow beyond, more than its store needs and less than a log is set aside at.
const ROOM: u64 = 4 << 20;

fn records(server: &Server) -> Vec<Value> {
    let text = fs::read_to_string(server.state().join("audit.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn audit(options: &[&str], file: &Path) -> (i32, String) {
    let output = Command::new(&programs().weir).arg("audit").args(options).arg(file).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn every_decision_leaves_its_record() {
    let place = Place::new();
    let server = place.serve(&[]);
    let mut client = server.client(ALICE);
    client.run(&start(&place.world(ALICE), &["sh", "-c", "exit 3"]));
    let missing = client.ask("process/start", &start(&place.world(ALICE), &["no-such-program"]));
    assert_eq!(missing.unwrap_err().0, -32022);
    let mut unknown = start(&place.world(ALICE), &["true"]);
    unknown["choice"]["profile"] = json!("no-such-profile");
    assert_eq!(client.ask("process/start", &unknown).unwrap_err().0, -32012);
    // It was heard before the next answer of the supervisor.
    server.client(ALICE);
    let found = records(&server);
    let said: Vec<String> =
        found.iter().map(|record| format!("{} by {}", record["action"], record["by"])).collect();
    let words = |action: &str, by: &str| format!("{action:?} by {by:?}");
    let expected = [
        words("admit", "supervisor"),
        words("start", "launcher"),
        words("end", "launcher"),
        words("start", "launcher"),
        words("end", "launcher"),
        words("refuse", "server-part"),
        words("admit", "supervisor"),
    ];
    assert_eq!(said, expected);
    let uid = if is_root() { ALICE } else { found[0]["uid"].as_u64().unwrap().try_into().unwrap() };
    assert!(found.iter().all(|record| record["uid"] == uid), "{found:?}");
    assert_eq!(found[1]["argv"], json!(["sh", "-c", "exit 3"]));
    assert_eq!((&found[1]["profile"], &found[1]["digest"]), (&json!("test"), &found[2]["digest"]));
    assert_eq!(found[2]["end"], json!({"reason": "exited", "code": 3}));
    assert!(found[4]["reason"].as_str().unwrap().contains("command not found"));
    assert_eq!(found[5]["reason"], "code -32012");
    let mode = fs::metadata(server.state().join("audit.jsonl")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    read_back(&server.state().join("audit.jsonl"), uid);
}

fn read_back(file: &Path, uid: u32) {
    let (code, all) = audit(&[], file);
    assert_eq!((code, all.lines().count()), (0, 7), "{all}");
    assert!(all.contains("exited 3 -- \"sh\" \"-c\" \"exit 3\""), "{all}");
    let lines = |options: &[&str]| audit(options, file).1.lines().count();
    assert_eq!(lines(&["--action", "start"]), 2);
    assert_eq!(lines(&["--action", "start", "--user", &uid.to_string(), "--since", "1h"]), 2);
    assert_eq!(lines(&["--user", "4000000000"]), 0);
    assert_eq!(lines(&["--since", "2999-01-01"]), 0);
    let (_, json) = audit(&["--json", "--action", "refuse"], file);
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["by"], "server-part");
    assert_eq!(audit(&["--since", "yesterday"], file).0, 2);
    assert_eq!(audit(&[], &file.with_extension("none")).0, 2);
}

#[test]
fn denials_of_a_command_are_recorded_and_kept() {
    let place = Place::new();
    let server = place.serve(&[]);
    let mut client = server.client(ALICE);
    let found = client.run(&start(&place.world(ALICE), &["mkdir", "/usr/new"]));
    assert_eq!(found.exited["denials"][0]["target"], "/usr/new", "{found:?}");
    assert!(found.exited["sight"]["sources"].is_array(), "{found:?}");
    client.run(&start(&place.world(ALICE), &["mkdir", "fine"]));
    let kept = client.ask("denial/list", &json!({"since": "2020"})).unwrap();
    assert_eq!(kept["runs"].as_array().unwrap().len(), 1, "{kept}");
    assert_eq!(kept["runs"][0]["argv"], json!(["mkdir", "/usr/new"]));
    for none in ["2026-02-31", "2026-11-28T25:00"] {
        let refused = client.ask("denial/list", &json!({"since": none})).unwrap_err();
        assert!(refused.1.to_string().contains("`2026-11-28T09:30`"), "{none}: {refused:?}");
    }
    let later = client.ask("denial/list", &json!({"since": "2999"})).unwrap();
    assert_eq!(later["runs"], json!([]));
    let denied: Vec<Value> =
        records(&server).into_iter().filter(|record| record["action"] == "deny").collect();
    assert_eq!(denied.len(), 1, "{denied:?}");
    assert_eq!(
        (&denied[0]["by"], &denied[0]["denial"]["operation"]),
        (&json!("launcher"), &json!("make-directory"))
    );
    let (_, text) = audit(&["--action", "deny"], &server.state().join("audit.jsonl"));
    assert!(text.contains("make-directory /usr/new (broker; "), "{text}");
}

#[test]
fn no_effect_without_a_record() {
    let place = Place::new();
    let server = place.serve(&["--audit", "/dev/full"]);
    let mut client = super::client::Client::new(server.connect(ALICE));
    let Some(Came::Control(word)) = client.next() else { panic!("no word") };
    assert_eq!((&word["id"], &word["error"]["data"]["name"]), (&Value::Null, &json!("audit")), "{word}");
    assert_eq!(client.next(), None, "a client that cannot be recorded is not served");
    drop(server);
    // The control: with no log at all the same client is served.
    let server = place.serve(&["--audit", "none"]);
    server.client(ALICE).run(&start(&place.world(ALICE), &["true"]));
    assert!(!server.state().join("audit.jsonl").exists());
}

/// The client is recorded, and then there is no more room: the launcher starts nothing.
#[test]
fn a_start_that_cannot_be_recorded_does_not_happen() {
    let place = Place::new();
    // Room for the first record of this server, and for no other: the limit is the launcher's as well. What else a server keeps has
    // room below the limit, as the log begins with a hole.
    let (log, made) = (place.at("small.jsonl"), place.world(ALICE).join("work/made"));
    let mut first = place.serve(&["--audit", log.to_str().unwrap()]);
    first.client(ALICE);
    first.child.kill().unwrap();
    first.ended();
    let size = fs::metadata(&log).unwrap().len();
    let taken = File::options().write(true).open(&log).unwrap();
    taken.set_len(0).and_then(|()| taken.set_len(ROOM - size - 8)).unwrap();
    let server = place.serve_limited(ROOM, &["--audit", log.to_str().unwrap()]);
    let mut client = server.client(ALICE);
    let touch = start(&place.world(ALICE), &["touch", "made"]);
    let (code, error) = client.ask("process/start", &touch).unwrap_err();
    assert_eq!(code, -32032, "{error}");
    assert!(!made.exists());
    assert!(fs::metadata(&log).unwrap().len() > ROOM - 8 - 1, "the client was recorded");
    drop(server);
    let server = place.serve(&["--audit", log.to_str().unwrap()]);
    server.client(ALICE).run(&touch);
    assert!(made.exists());
}

#[test]
fn the_parts_that_read_clients_do_not_have_the_log() {
    if !is_root() {
        return weir_tests::skip("service::descriptors", "only root may look at the parts' descriptors");
    }
    let place = Place::new();
    let server = place.serve(&[]);
    let mut client = server.client(ALICE);
    client.run(&start(&place.world(ALICE), &["true"]));
    let mut params = start(&place.world(ALICE), &["cat"]);
    params["stdio"]["input"] = json!(true);
    client.ask("process/start", &params).unwrap();
    let has_log = |pid: i32| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let targets = open.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        targets.into_iter().any(|target| target.ends_with("audit.jsonl"))
    };
    let parts = below(server.pid());
    let [confined, free] = ["2", "0"].map(|mode| {
        let of = parts.iter().filter(|pid| super::place::status(**pid, "Seccomp") == mode);
        of.map(|pid| has_log(*pid)).collect::<Vec<_>>()
    });
    assert_eq!(confined, [false, false]);
    // The control: the launcher has it.
    assert_eq!((free.as_slice(), has_log(server.pid())), (&[true][..], true));
}

/// A log that has grown is set aside before the next record, stays readable by name, and its successor is nobody else's either.
#[test]
fn a_log_that_has_grown_is_set_aside() {
    let place = Place::new();
    let log = place.at("grown.jsonl");
    let server = place.serve(&["--audit", log.to_str().unwrap()]);
    server.client(ALICE);
    // A hole: the size is what counts.
    let file = fs::File::options().append(true).open(&log).unwrap();
    file.set_len(weir_protocol::audit::FILE_BYTES).unwrap();
    // This record is the last one there, and those of what follows are the first ones in the next.
    let mut client = server.client(ALICE);
    client.run(&start(&place.world(ALICE), &["true"]));
    let aside = place.at("grown.jsonl.1");
    assert!(fs::metadata(&aside).unwrap().len() > weir_protocol::audit::FILE_BYTES);
    let text = fs::read_to_string(&log).unwrap();
    let found: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(found.iter().map(|record| &record["action"]).collect::<Vec<_>>(), ["start", "end"]);
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    // What was set aside is read before it; the hole is one line that is no record.
    let (code, all) = audit(&[], &log);
    let actions: Vec<&str> = all.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    assert_eq!((code, actions), (0, vec!["admit", "admit", "start", "end"]), "{all}");
}

/// Connections of one user, far more than are recorded one by one.
const CONNECTS: u64 = 300;

/// Whoever connects over and over does not fill the log, and each time is accounted for.
#[test]
fn connections_beyond_a_few_are_counted() {
    let place = Place::new();
    let mut server = place.serve(&[]);
    let mut client = server.client(ALICE);
    for _ in 1..CONNECTS - 1 {
        drop(server.connect(ALICE));
    }
    // What nobody must do is refused as often as it is tried, and is no better a way.
    let mut unknown = start(&place.world(ALICE), &["true"]);
    unknown["choice"]["profile"] = json!("no-such-profile");
    for _ in 0..20 {
        assert_eq!(client.ask("process/start", &unknown).unwrap_err().0, -32012);
    }
    // All of those before it were heard.
    server.client(ALICE);
    server.signal(libc::SIGTERM);
    server.ended();
    let found = records(&server);
    let of = |action: &str| -> Vec<u64> {
        let of = found.iter().filter(|record| record["action"] == action);
        of.map(|record| record["times"].as_u64().unwrap_or(1)).collect()
    };
    let (admitted, refused) = (of("admit"), of("refuse"));
    assert_eq!((admitted.iter().sum::<u64>(), refused.iter().sum::<u64>()), (CONNECTS, 20), "{found:?}");
    assert!(admitted.len() < 40 && refused.len() < 20, "{found:?}");
    let (_, text) = audit(&["--action", "admit"], &server.state().join("audit.jsonl"));
    assert!(text.contains(" more (counted and told together)"), "{text}");
}

/// A client that stays has as many launchers as it has commands, and what they write does not pile up.
#[test]
fn a_log_that_launchers_let_grow_is_set_aside() {
    let place = Place::new();
    let log = place.at("long.jsonl");
    let server = place.serve(&["--audit", log.to_str().unwrap()]);
    let mut client = server.client(ALICE);
    client.run(&start(&place.world(ALICE), &["true"]));
    fs::File::options().append(true).open(&log).unwrap().set_len(weir_protocol::audit::FILE_BYTES).unwrap();
    client.run(&start(&place.world(ALICE), &["true"]));
    assert!(place.at("long.jsonl.1").exists());
    let (code, all) = audit(&[], &log);
    let actions: Vec<&str> = all.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    assert_eq!((code, actions), (0, vec!["admit", "start", "end", "start", "end"]), "{all}");
}
