//! Answers of a provider with which nothing can be done: a clear word to the person or the model, as fits, and a thread that goes on.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[allow(dead_code, reason = "shared with the tests of the command line")]
#[path = "support/place.rs"]
mod place;
#[allow(dead_code, reason = "shared with benchmarks")]
#[path = "support/script.rs"]
mod script;

use place::{Place, text};
use script::{Answer, Script};
use serde_json::{Value, json};

/// What the person asks in each turn; the second time the provider answers as it should.
const ASKED: [&str; 2] = ["mend the roof", "and the door"];

fn event(value: &Value) -> String {
    format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap())
}

/// One answer with these items.
fn says(items: &[Value]) -> Answer {
    let usage = json!({ "input_tokens": 10, "output_tokens": 5 });
    let done = |item: &Value| {
        event(&json!({ "type": "response.output_item.done", "output_index": 0, "item": item }))
    };
    let items: String = items.iter().map(done).collect();
    let completed = json!({ "type": "response.completed", "response": { "id": "r", "usage": usage } });
    Answer::stream(items + &event(&completed))
}

fn message(text: &str) -> Value {
    json!({ "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": text }] })
}

fn call(tool: &str, arguments: &str) -> Value {
    json!({ "type": "function_call", "call_id": "c1", "name": tool, "arguments": arguments })
}

fn refuses(status: u16, code: &str, message: &str) -> Answer {
    Answer::json(
        status,
        &json!({ "error": { "message": message, "type": "invalid_request_error", "code": code } }),
    )
}

/// A place whose provider gives these answers, and then one as it should be.
struct Session {
    place: Place,
    script: Script,
}

impl Session {
    fn new(answers: Vec<Answer>) -> Option<Self> {
        let place = Place::confining("exec_answers")?;
        let script =
            Script::new(answers.into_iter().chain([says(&[message("The door is mended.")])]).collect());
        let table = format!(
            "model = \"m\"\nmodel_provider = \"x\"\n[model_providers.x]\nbase_url = \"{}/v1\"\nrequest_max_retries = 0\n\
             stream_max_retries = 0\n",
            script.url
        );
        place.write("home/.weir/config.toml", &table);
        Some(Self { place, script })
    }

    /// The thread goes on: what was asked at first is told again, and nothing of its file is wrong.
    fn goes_on(&self) {
        let (events, code) = self.place.events(&["resume", "--last", ASKED[1]]);
        assert_eq!(
            (&events.last().unwrap()["type"], code),
            (&json!("turn.completed"), Some(0)),
            "{events:#?}"
        );
        let asked = text(&self.script.asked().last().unwrap().body);
        assert!(ASKED.iter().all(|part| asked.contains(part)), "{asked}");
        let checked = self.place.run(&["threads", "check", "--json"]);
        let checked: Value = serde_json::from_slice(&checked.stdout).unwrap();
        assert_eq!(checked["sound"], true, "{checked:#}");
    }
}

#[test]
fn the_person_is_told_what_is_wrong_and_the_thread_goes_on() {
    let page = Answer::Whole {
        status: 200,
        headers: vec![("content-type", "text/html".to_owned())],
        body: b"<!doctype html><title>Sign in</title>".to_vec(),
    };
    let too_long = || refuses(400, "context_length_exceeded", "That is too long for m.");
    let cases = [
        (vec![page], "is `base_url` right?"),
        (
            vec![refuses(404, "model_not_found", "The model `m` does not exist.")],
            "The model `m` does not exist.",
        ),
        (vec![Answer::stream("data: {oops\n\n")], "the answer is malformed"),
        // The conversation, and then what is to summarize it.
        (vec![too_long(), too_long()], "longer than the model can read: That is too long for m."),
    ];
    for (answers, expect) in cases {
        let Some(session) = Session::new(answers) else { return };
        let (events, code) = session.place.events(&[ASKED[0]]);
        let last = events.last().unwrap();
        assert_eq!((&last["type"], code), (&json!("turn.failed"), Some(1)), "{expect}: {events:#?}");
        assert!(last["error"]["message"].as_str().unwrap().contains(expect), "{expect}: {last}");
        session.goes_on();
    }
}

#[test]
fn the_model_is_told_what_it_wrote_wrongly_and_the_thread_goes_on() {
    let cases = [
        (call("exec_command", "{\"cmd\": "), "no JSON object"),
        (call("exec_command", "{\"command\":\"true\"}"), "cmd"),
        (call("fly_away", "{}"), "There is no tool"),
    ];
    for (wrong, expect) in cases {
        let Some(session) = Session::new(vec![says(&[wrong]), says(&[message("I cannot.")])]) else { return };
        let (events, code) = session.place.events(&[ASKED[0]]);
        assert_eq!(
            (&events.last().unwrap()["type"], code),
            (&json!("turn.completed"), Some(0)),
            "{events:#?}"
        );
        let told = session.script.asked()[1].json();
        let items = told["input"].as_array().unwrap();
        let result = items.iter().find(|item| item["type"] == "function_call_output").unwrap();
        assert!(result["output"].to_string().contains(expect), "{expect}: {result}");
        session.goes_on();
    }
}

#[test]
fn a_file_that_is_one_line_is_told_in_part_and_the_thread_goes_on() {
    let reads = says(&[call("read_file", &json!({ "path": "long" }).to_string())]);
    let Some(session) = Session::new(vec![reads, says(&[message("I see.")])]) else { return };
    session.place.write("project/long", &"y".repeat(4_000_000));
    let (events, code) = session.place.events(&[ASKED[0]]);
    assert_eq!((&events.last().unwrap()["type"], code), (&json!("turn.completed"), Some(0)), "{events:#?}");
    let told = session.script.asked()[1].json();
    let items = told["input"].as_array().unwrap();
    let result = items.iter().find(|item| item["type"] == "function_call_output").unwrap();
    let output = result["output"].as_str().unwrap();
    assert!(output.contains("yyy\n[… 3967232 bytes left out …]\nyyy"), "{} bytes", output.len());
    session.goes_on();
}

/// A key of a provider's, and a password of a proxy's.
const KEY: &str = "sk-KEY-0123456789";

#[test]
fn a_key_that_the_provider_repeats_is_told_to_nobody() {
    let said = format!("Invalid key: Bearer {KEY}");
    let failed = event(&json!({
        "type": "response.failed",
        "response": { "error": { "code": "server_error", "message": said } },
    }));
    for answer in [refuses(401, "invalid_api_key", &said), Answer::stream(failed)] {
        let Some(session) = Session::new(vec![answer.clone(), answer]) else { return };
        session.place.write("home/key", KEY);
        let variable = format!("model_providers.x.http_headers={{ authorization = \"Bearer {KEY}\" }}");
        for more in [&["--json"][..], &[]] {
            let output = session.place.run(&[&["exec", "-c", &variable, ASKED[0]], more].concat());
            let told = text(&output.stdout) + &text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{told}");
            assert!(told.contains("Invalid key: Bearer [concealed]") && !told.contains(KEY), "{told}");
        }
        std::fs::remove_file(session.place.path("home/key")).unwrap();
        let kept = std::process::Command::new("grep").args(["-r", KEY, &session.place.path("home")]).output();
        assert_eq!(text(&kept.unwrap().stdout), "", "nothing of it is kept");
    }
}

#[test]
fn a_key_in_a_file_with_a_fault_is_not_shown() {
    let place = Place::with_config(&format!(
        "[model_providers.x]\nbase_url = \"http://h\"\nexperimental_bearer_token = \"{KEY}\n"
    ));
    let file = place.path("home/.weir/config.toml");
    for arguments in
        [&["exec", "--model", "m", "hi"][..], &["run", "--", "true"], &["policy", "check", &file]]
    {
        let output = place.run(arguments);
        let told = text(&output.stdout) + &text(&output.stderr);
        assert!(told.contains("config.toml:3:") && !told.contains(KEY), "{arguments:?}: {told}");
    }
}

#[test]
fn calls_that_a_provider_numbers_anew_in_each_answer_are_all_told() {
    let run = |id: &str, script: &str| {
        let arguments = json!({ "cmd": script }).to_string();
        json!({ "type": "function_call", "call_id": id, "name": "exec_command", "arguments": arguments })
    };
    let answers = vec![
        says(&[run("call_0", "echo one"), run("call_0", "echo two")]),
        says(&[run("call_0", "echo three"), run("", "echo four"), run("", "echo five")]),
        says(&[message("Done.")]),
    ];
    let Some(session) = Session::new(answers) else { return };
    let (events, code) = session.place.events(&[ASKED[0]]);
    assert_eq!(code, Some(0), "{events:#?}");
    let told = session.script.asked()[2].json();
    let items = told["input"].as_array().unwrap();
    let of = |kind: &str| items.iter().filter(|item| item["type"] == kind).collect::<Vec<_>>();
    let (calls, outputs) = (of("function_call"), of("function_call_output"));
    let ids: std::collections::BTreeSet<_> =
        calls.iter().map(|call| call["call_id"].as_str().unwrap()).collect();
    assert!(ids.len() == 5 && ids.contains("call_0") && !ids.contains(""), "{ids:?}");
    for (call, word) in calls.iter().zip(["one", "two", "three", "four", "five"]) {
        let output = outputs.iter().find(|output| output["call_id"] == call["call_id"]).unwrap();
        let both = (call["arguments"].to_string(), output["output"].to_string());
        assert!(both.0.contains(word) && both.1.contains(word), "{both:?}");
    }
    session.goes_on();
}

#[test]
fn a_prompt_that_no_record_can_keep_is_refused_before_there_is_a_thread() {
    let Some(session) = Session::new(Vec::new()) else { return };
    for prompt in ["a".repeat(16 << 20), "\"".repeat(9_000_000)] {
        session.place.write("prompt", &prompt);
        let file = std::fs::File::open(session.place.path("prompt")).unwrap();
        let mut command = session.place.command(place::weir().to_str().unwrap());
        let output = command.args(["exec", "-"]).stdin(file).output().unwrap();
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("longer than a record of a thread may be"), "{told}");
    }
    assert!(!std::path::Path::new(&session.place.path("home/.weir/sessions")).exists());
}

#[test]
fn a_turn_that_cannot_be_kept_is_told_to_have_failed() {
    let piece =
        |delta: &Value| format!("data: {}\n\n", json!({ "choices": [{ "index": 0, "delta": delta }] }));
    let part = piece(&json!({ "content": "x".repeat(3_000_000) }));
    let ends = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] });
    let answer = Answer::stream(part.repeat(6) + &format!("data: {ends}\n\ndata: [DONE]\n\n"));
    let Some(session) = Session::new(vec![answer]) else { return };
    let (events, code) = session.place.events(&["-c", "model_providers.x.wire_api=chat", ASKED[0]]);
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds.last(), Some(&"turn.failed"), "{events:?}");
    assert!(!kinds.contains(&"error") && code == Some(125), "{code:?}: {}", events.last().unwrap());
    session.goes_on();
}

#[test]
fn the_last_message_is_written_where_a_stream_leads() {
    let words = "The roof is mended.";
    for (place, stdout, stderr) in [("/dev/stdout", 2, 1), ("/dev/stderr", 1, 2), ("last", 1, 1)] {
        let Some(session) = Session::new(vec![says(&[message(words)])]) else { return };
        session.place.write("project/last", &"old ".repeat(100));
        let output = session.place.run(&["exec", "-o", place, ASKED[0]]);
        let told = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{place}: {told:?}");
        assert_eq!(told.0.matches(words).count(), stdout, "{place}: {told:?}");
        assert_eq!(told.1.matches(words).count(), stderr, "{place}: {told:?}");
        if place == "last" {
            assert_eq!(std::fs::read_to_string(session.place.path("project/last")).unwrap(), words);
        }
    }
}
