//! Every fault of a server, on every wire: what passes is outlived, what stays is a clear word to the person, and the thread is whole.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[allow(dead_code, reason = "shared with the tests of the command line")]
#[path = "support/place.rs"]
mod place;
#[allow(dead_code, reason = "shared with benchmarks")]
#[path = "support/script.rs"]
mod script;
#[path = "support/wires.rs"]
mod wires;

use place::{Place, text};
use script::{Answer, Script};
use serde_json::{Value, json};
use wires::Wire;

/// What the person asks in each turn; the second time the provider answers as it should.
const ASKED: [&str; 2] = ["mend the roof", "and the door"];

/// What is written of an answer that breaks off, and must be nowhere.
const BROKEN: &str = "the roof is half";

/// What a server does wrong.
struct Fault {
    does: &'static str,
    answer: fn(Wire) -> Answer,
    /// What the person is told, where it stays.
    told: &'static str,
    /// Whether asking again helps.
    passes: bool,
}

/// A call that leaves a mark.
fn marks() -> Value {
    json!({ "cmd": "echo x > mark" })
}

fn page(status: u16) -> Answer {
    let headers = vec![("content-type", "text/html; charset=utf-8".to_owned())];
    Answer::Whole { status, headers, body: b"<!doctype html><title>Sign in</title>".to_vec() }
}

fn refuses(status: u16, message: &str) -> Answer {
    Answer::json(status, &json!({ "error": { "message": message } }))
}

const fn fault(does: &'static str, answer: fn(Wire) -> Answer, told: &'static str, passes: bool) -> Fault {
    Fault { does, answer, told, passes }
}

const FAULTS: [Fault; 15] = [
    fault("a page", |_| page(200), "is `base_url` right?", false),
    fault("a page of a gateway", |_| page(502), "the provider failed (502)", true),
    fault("nothing in the body", |wire| wire.answer(""), "ended before it was complete", true),
    fault(
        "JSON of something else",
        |_| Answer::json(200, &json!({ "ok": true })),
        "ended before it was complete",
        true,
    ),
    fault("a piece that is cut", |wire| wire.answer(wire.cuts(BROKEN)), "", true),
    fault("a piece that is no JSON", |wire| wire.answer(wire.garbles()), "the answer is malformed", true),
    fault(
        "no JSON in the middle",
        |wire| wire.answer(wire.begins(BROKEN) + &wire.garbles()),
        "the answer is malformed",
        true,
    ),
    fault("no UTF-8", |wire| wire.answer(b"data: \xff\xfe\n\n".to_vec()), "malformed", true),
    fault(
        "an end in the middle",
        |wire| wire.answer(wire.begins(BROKEN)),
        "ended before it was complete",
        true,
    ),
    fault(
        "an end behind a call",
        |wire| wire.answer(wire.begins_call("exec_command", &marks())),
        "ended before it was complete",
        true,
    ),
    fault(
        "a break in the middle",
        |wire| Answer::Short(wire.begins(BROKEN).into_bytes()),
        "the connection to",
        true,
    ),
    fault("a break at once", |_| Answer::Nothing, "the connection to", true),
    fault(
        "a failure in the middle",
        |wire| wire.answer(wire.begins(BROKEN) + &wire.fails("the model fell over")),
        "the model fell over",
        true,
    ),
    fault(
        "a wait",
        |_| refuses(429, "slow down").with("retry-after-ms", "700"),
        "the provider asks to wait (429): slow down",
        true,
    ),
    fault(
        "a key that is none",
        |_| refuses(401, "no such key"),
        "did not take the key (401): no such key",
        false,
    ),
];

struct Session {
    place: Place,
}

impl Session {
    fn configure(&self, wire: Wire, script: &Script, retries: u32) {
        let table = format!(
            "model = \"m\"\nmodel_provider = \"x\"\n[model_providers.x]\nbase_url = \"{}{}\"\nwire_api = \"{}\"\n\
             request_max_retries = {retries}\nstream_max_retries = {retries}\n",
            script.url,
            wire.path(),
            wire.word()
        );
        self.place.write("home/.weir/config.toml", &table);
    }

    fn has_mark(&self) -> bool {
        self.place.dir.path().join("project/mark").exists()
    }
}

fn messages(events: &[Value]) -> Vec<&str> {
    let found = events.iter().filter(|event| event["item"]["type"] == "agent_message");
    found.map(|event| event["item"]["text"].as_str().unwrap()).collect()
}

fn is_complete(events: &[Value], code: Option<i32>, what: &str) {
    let last = &events.last().unwrap_or_else(|| panic!("{what}: no event"))["type"];
    assert_eq!((last, code), (&json!("turn.completed"), Some(0)), "{what}: {events:#?}");
}

/// Where it stays: an error that says what it is, and a thread that goes on with all that was asked and nothing that was broken.
fn stays(session: &Session, wire: Wire, fault: &Fault) {
    let what = format!("{}: {}", wire.word(), fault.does);
    let script = Script::new(vec![(fault.answer)(wire), wire.says("The door is mended.")]);
    session.configure(wire, &script, 0);
    let (events, code) = session.place.events(&[ASKED[0]]);
    let last = events.last().unwrap();
    assert_eq!((&last["type"], code), (&json!("turn.failed"), Some(1)), "{what}: {events:#?}");
    let told = last["error"]["message"].as_str().unwrap();
    assert!(told.contains(fault.told) && !told.is_empty(), "{what}: {told}");
    let (events, code) = session.place.events(&["resume", "--last", ASKED[1]]);
    is_complete(&events, code, &what);
    let asked = text(&script.asked().last().unwrap().body);
    assert!(ASKED.iter().all(|part| asked.contains(part)) && !asked.contains(BROKEN), "{what}: {asked}");
}

/// Where it passes: the person sees that there was something, and nothing of it is kept.
fn passes(session: &Session, wire: Wire, fault: &Fault) {
    let what = format!("{} once: {}", wire.word(), fault.does);
    let script = Script::new(vec![(fault.answer)(wire), wire.says("The roof is mended.")]);
    session.configure(wire, &script, 1);
    let (events, code) = session.place.events(&[ASKED[0]]);
    is_complete(&events, code, &what);
    assert_eq!(messages(&events), ["The roof is mended."], "{what}");
    let again = events.iter().find(|event| event["item"]["type"] == "error");
    let again =
        again.unwrap_or_else(|| panic!("{what}: there was no fault"))["item"]["message"].as_str().unwrap();
    assert!(again.contains("asked again in") && again.contains(fault.told), "{what}: {again}");
    if fault.does == "a wait" {
        assert!(again.contains("asked again in 0.7 s"), "as the provider said: {again}");
    }
}

fn outlives(wire: Wire) {
    let Some(place) = Place::confining("exec_faults") else { return };
    let session = Session { place };
    for fault in &FAULTS {
        stays(&session, wire, fault);
        if fault.passes {
            passes(&session, wire, fault);
        }
        let what = format!("{}: {}", wire.word(), fault.does);
        assert!(!session.has_mark(), "{what}: a call of an answer that was not complete was carried out");
    }
    let called = wire.answer(wire.begins_call("exec_command", &marks()) + &wire.ends(""));
    let script = Script::new(vec![called, wire.says("It is marked.")]);
    session.configure(wire, &script, 0);
    let (events, code) = session.place.events(&[ASKED[0]]);
    is_complete(&events, code, wire.word());
    let checked = session.place.run(&["threads", "check", "--json"]);
    let checked: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(checked["sound"], true, "{}: {checked:#}", wire.word());
    assert!(session.has_mark(), "the control: {}: {events:#?}", wire.word());
}

#[test]
fn responses() {
    outlives(Wire::Responses);
}

#[test]
fn chat() {
    outlives(Wire::Chat);
}

#[test]
fn anthropic() {
    outlives(Wire::Anthropic);
}

#[test]
fn ollama() {
    outlives(Wire::Ollama);
}
