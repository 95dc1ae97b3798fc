//! The parts that read clients are confined, and the server serves all the same.

use serde_json::json;

use super::client::{Came, standpoint, start};
use super::place::{ALICE, Place, below, status};

#[test]
fn the_parts_that_read_clients_are_confined_and_serve() {
    let place = Place::new();
    let server = place.serve(&[]);
    let mut client = server.client(ALICE);
    let outcome = client.run(&start(&place.world(ALICE), &["sh", "-c", "echo out; echo err >&2; exit 3"]));
    assert_eq!((outcome.output.as_slice(), outcome.error.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    assert_eq!(outcome.exited["end"], json!({"reason": "exited", "code": 3}));
    // The command's launcher has gone, or is about to: what stays are server part and resolver.
    let parts: Vec<i32> = below(server.pid());
    let confined: Vec<_> = parts.iter().filter(|pid| status(**pid, "Seccomp") == "2").collect();
    assert_eq!(confined.len(), 2, "{parts:?} {}", place.log());
    for part in confined {
        assert_eq!(status(*part, "NoNewPrivs"), "1");
        assert_eq!(status(*part, "CapPrm"), "0000000000000000");
    }
    // The control: the supervisor itself is not.
    assert_eq!(
        (status(server.pid(), "Seccomp"), status(server.pid(), "NoNewPrivs")),
        ("0".to_owned(), "0".to_owned())
    );
    let doctor = client.ask("host/doctor", &json!(null)).unwrap();
    assert_eq!(doctor["confines"], true);
    let shown = client.ask("policy/show", &json!({"standpoint": standpoint(&place.world(ALICE))})).unwrap();
    assert_eq!(shown["digest"].as_str().unwrap().len(), 64);
}

/// The resolver reads and looks, a launcher has the plan, and neither starts anything.
#[test]
fn what_holds_an_answer_is_told_for_who_asks() {
    let place = Place::new();
    let server = place.serve(&[]);
    let mut client = server.client(ALICE);
    let choice = json!({"standpoint": standpoint(&place.world(ALICE))});
    let mut ask =
        |question| client.ask("policy/explain", &json!({"choice": choice, "question": question})).unwrap();
    let denied = ask(json!({"kind": "path", "path": "/etc/shadow", "access": "read"}));
    assert_eq!(denied["explanation"]["allowed"], false);
    let held = &denied["held"];
    assert_eq!((&held["state"], &held["way"]), (&json!("by"), &json!("direct")), "{held}");
    assert_eq!(
        (&held["mechanisms"][0]["mechanism"], &held["mechanisms"][0]["does"]),
        (&json!("live"), &json!("refuses"))
    );
    let command = json!({"kind": "command", "argv": ["sh", "-c", "exit"], "path": "/usr/bin:/bin"});
    let started = ask(command);
    assert_eq!(started["explanation"]["allowed"], true, "{started}");
    let needs: Vec<_> = started["needed"].as_array().unwrap().iter().map(|one| &one["need"]).collect();
    assert_eq!(needs[..2], [&json!("working-directory"), &json!("program")], "{started}");
    assert!(
        started["needed"].as_array().unwrap().iter().all(|one| one["held"]["state"] != "unenforceable"),
        "{started}"
    );
}

/// More than memory holds, for a reader that takes nothing yet: it goes into a file without a name.
#[test]
fn output_still_goes_to_disk() {
    let place = Place::new();
    let server = place.serve(&[]);
    let mut client = server.client(ALICE);
    let mut params = start(&place.world(ALICE), &["head", "-c", "20000000", "/dev/zero"]);
    params["output"] = json!({"credit": 0, "when_left": "stay"});
    let started = client.ask("process/start", &params).unwrap();
    let id = &started["id"];
    // It has ended, so all of it was taken.
    let exited = client.ask("process/wait", &json!({"id": id})).unwrap();
    assert_eq!(exited["end"], json!({"reason": "exited", "code": 0}), "{}", place.log());
    let mut reader = server.client(ALICE);
    reader.ask("process/attach", &json!({"id": id, "credit": 30_000_000})).unwrap();
    assert_eq!(reader.outcome(id.as_u64().unwrap()).output.len(), 20_000_000);
    let nothing = client.meanwhile.iter().all(|came| !matches!(came, Came::Data(..)));
    assert!(nothing, "nothing may come without credit");
}
