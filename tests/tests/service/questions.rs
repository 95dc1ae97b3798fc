//! Questions about hosts that no rule covers, as the protocol carries them: who is asked, what an answer does, what is recorded.

use std::fs;

use serde_json::{Value, json};
use weir_tests::sandbox::way::is_root;
use weir_tests::skip;

use super::client::{Came, Client, standpoint, start};
use super::place::{ALICE, Place, Server};

/// No question with this number is open.
const NO_QUESTION: i64 = -32033;

/// A name that nobody has (RFC 2606).
const NOBODY: &str = "nobody.invalid";

/// Longer than the test takes.
const PATIENT: u64 = 60_000;

fn place() -> Place {
    let place = Place::new();
    let network =
        "enabled = true\ndomains = { \"named.example\" = \"allow\", \"denied.example\" = \"deny\" }";
    place.profile(ALICE, &format!("[permissions.test.network]\n{network}"));
    place
}

/// A command that connects to that port and is done when the connection is; the client answers questions.
fn asking(place: &Place, port: u16, answer_ms: u64) -> Value {
    let script = format!("exec 3<>/dev/tcp/{NOBODY}/{port}; read -t 40 -u 3 line; true");
    let mut start = start(&place.world(ALICE), &["bash", "-c", &script]);
    start["asking"] = json!({"answer_ms": answer_ms, "most": 8});
    start
}

/// Starts it and waits for its question.
fn asked(client: &mut Client, start: &Value) -> (u64, Value) {
    let id = client.ask("process/start", start).unwrap()["id"].as_u64().unwrap();
    let is_question =
        |came: &Came| matches!(came, Came::Control(value) if value["method"] == "network/question");
    loop {
        if let Some(at) = client.meanwhile.iter().position(is_question)
            && let Came::Control(value) = client.meanwhile.remove(at)
        {
            return (id, value["params"].clone());
        }
        let came = client.next().unwrap();
        client.meanwhile.push(came);
    }
}

fn answer(client: &mut Client, id: u64, question: &Value, answer: &str) -> Result<Value, i64> {
    let params = json!({"id": id, "question": question, "answer": answer});
    client.ask("network/answer", &params).map_err(|(code, _)| code)
}

/// Why the host was refused, after the end.
fn reasons(client: &mut Client, id: u64) -> Vec<String> {
    let exited = client.outcome(id).exited;
    let denials = exited["denials"].as_array().unwrap().iter();
    denials.map(|denial| denial["reason"].as_str().unwrap_or_default().to_owned()).collect()
}

/// What the audit log says of questions.
fn recorded(server: &Server) -> Vec<String> {
    let text = fs::read_to_string(server.state().join("audit.jsonl")).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let answers = records.filter(|record| record["action"] == "answer" && record["by"] == "launcher");
    answers.map(|record| record["reason"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_denial_is_the_owners_word_and_recorded() {
    let place = place();
    let server = place.serve(&[]);
    let mut client = server.client(ALICE);
    let (id, question) = asked(&mut client, &asking(&place, 443, PATIENT));
    assert_eq!((&question["host"], &question["port"]), (&json!(NOBODY), &json!(443)));
    assert_eq!(question["id"], id);
    // Nobody else was asked, and nothing else was asked about.
    let number = &question["question"];
    assert_eq!(answer(&mut server.client(ALICE), id, number, "once"), Err(NO_QUESTION));
    assert_eq!(answer(&mut client, id, &json!(77), "once"), Err(NO_QUESTION));
    assert!(answer(&mut client, id, number, "deny").is_ok());
    assert_eq!(answer(&mut client, id, number, "once"), Err(NO_QUESTION));
    assert_eq!(reasons(&mut client, id), ["no rule allows it, and it was denied when asked about"]);
    assert_eq!(recorded(&server), [format!("{NOBODY}:443 is denied")]);
}

#[test]
fn without_an_answer_or_a_client_it_stays_refused() {
    let place = place();
    let server = place.serve(&[]);
    let mut client = server.client(ALICE);
    let (id, question) = asked(&mut client, &asking(&place, 443, 100));
    let in_time = "no rule allows it, and nobody answered the question in time";
    assert_eq!(reasons(&mut client, id), [in_time]);
    assert_eq!(answer(&mut client, id, &question["question"], "once"), Err(-32025), "it is forgotten");
    assert_eq!(recorded(&server), [format!("{NOBODY}:443 is not granted: nobody answered in time")]);
    // A client that goes takes its questions along, and leaves the command to another.
    let mut start = asking(&place, 80, PATIENT);
    start["output"]["when_left"] = json!("stay");
    let (id, question) = asked(&mut client, &start);
    drop(client);
    let mut other = server.client(ALICE);
    let ended = other.ask("process/wait", &json!({"id": id})).unwrap();
    assert_eq!(ended["denials"][0]["reason"], "no rule allows it");
    assert_eq!(answer(&mut other, id, &question["question"], "once"), Err(NO_QUESTION));
}

#[test]
fn who_did_not_offer_to_answer_is_not_asked() {
    let place = place();
    let server = place.serve(&[]);
    let mut client = server.client(ALICE);
    let mut start = asking(&place, 443, PATIENT);
    start.as_object_mut().unwrap().remove("asking");
    let id = client.ask("process/start", &start).unwrap()["id"].as_u64().unwrap();
    assert_eq!(reasons(&mut client, id), ["no rule allows it"]);
    for (answer_ms, most) in [(0, 1), (600_001, 1), (1, 0), (1, 257)] {
        start["asking"] = json!({"answer_ms": answer_ms, "most": most});
        assert_eq!(client.ask("process/start", &start).unwrap_err().0, -32015, "{answer_ms} {most}");
    }
}

/// For the context: what starts under it, and what runs under it already, needs no answer of its own; the context keeps its digest.
#[test]
fn a_grant_for_the_context_is_a_lease_of_it() {
    if !is_root() {
        return skip(
            "service::question_context",
            "only root's server has name servers of its own, which are none",
        );
    }
    let place = place();
    fs::remove_file(place.at("etc/resolv.conf")).unwrap_or_default();
    fs::write(place.at("etc/resolv.conf"), "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n").unwrap();
    let server = place.serve(&[]);
    let mut client = server.client(ALICE);
    let choice = json!({"standpoint": standpoint(&place.world(ALICE))});
    let context = client.ask("context/open", &json!({"choice": choice, "thread": "t"})).unwrap();
    let mut start = asking(&place, 443, PATIENT);
    start["under"] = json!({"context": context["id"]});
    let (id, question) = asked(&mut client, &start);
    assert_eq!(question["context"], context["id"]);
    assert!(answer(&mut client, id, &question["question"], "context").is_ok());
    client.ask("process/kill", &json!({"id": id, "grace_ms": 0})).unwrap();
    let second = client.ask("process/start", &start).unwrap();
    assert_ne!(second["enforcement"]["digest"], context["digest"]);
    client.ask("process/kill", &json!({"id": second["id"], "grace_ms": 0})).unwrap();
    let mut elsewhere = asking(&place, 443, PATIENT);
    elsewhere["argv"][2] = json!("exec 3<>/dev/tcp/other.invalid/443; read -t 40 -u 3 line; true");
    elsewhere["under"] = start["under"].clone();
    let (third, question) = asked(&mut client, &elsewhere);
    assert_eq!(question["host"], "other.invalid");
    assert!(answer(&mut client, third, &question["question"], "deny").is_ok());
    assert_eq!(client.ask("context/list", &Value::Null).unwrap()["contexts"][0]["digest"], context["digest"]);
    let expected =
        [format!("{NOBODY}:443 is granted for the context"), "other.invalid:443 is denied".to_owned()];
    reasons(&mut client, third);
    assert_eq!(recorded(&server), expected);
}

#[test]
fn a_host_above_the_ceiling_is_not_asked_about() {
    if !is_root() {
        return skip("service::question_ceiling", "only root's server has requirements");
    }
    let place = place();
    place.requirements("[ceiling.network]\nenabled = true\ndomains = { \"named.example\" = \"allow\" }\n");
    let server = place.serve(&[]);
    let mut client = server.client(ALICE);
    let id = client.ask("process/start", &asking(&place, 443, PATIENT)).unwrap()["id"].as_u64().unwrap();
    let outcome = client.outcome(id);
    let why = outcome.exited["denials"][0]["reason"].as_str().unwrap();
    assert!(why.contains("the ceiling lets nobody grant it"), "{outcome:?}");
    assert!(recorded(&server)[0].starts_with(&format!("{NOBODY}:443 is not granted")));
}
