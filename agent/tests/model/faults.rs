//! What a provider should not answer: each becomes an error that says what it is, and no key is in any of them.

use std::time::Duration;

use serde_json::json;
use weir_agent::model::{Again, Event, ModelError};

use super::script::{Answer, Script};
use super::{KEY, ask, at, configured};

fn fails(answer: Answer, rest: &str) -> ModelError {
    let script = Script::new(vec![answer]);
    let error = ask(at(&script.url, rest).as_ref()).expect_err("an error");
    let told = format!("{error} {error:?}");
    assert!(!told.contains(KEY), "{told}");
    error
}

#[test]
fn a_page_is_no_answer() {
    let page = Answer::Whole {
        status: 200,
        headers: vec![("content-type", "text/html; charset=utf-8".to_owned())],
        body: b"<!doctype html><title>Sign in</title>".to_vec(),
    };
    let error = fails(page, "env_key = \"KEY\"");
    assert!(matches!(&error, ModelError::NotAnApi { begins, .. } if begins.contains("Sign in")), "{error}");
    assert_eq!(error.again(), Again::No);
}

#[test]
fn a_key_goes_nowhere_else() {
    let elsewhere = Script::new(vec![Answer::stream("data: {}\n\n")]);
    let answer = Answer::json(307, &json!({})).with("location", &format!("{}/responses", elsewhere.url));
    let error = fails(answer, "env_key = \"KEY\"");
    assert!(matches!(error, ModelError::Elsewhere { status: 307, .. }), "{error}");
    assert!(elsewhere.asked().is_empty());
}

#[test]
fn who_asks_to_wait_is_heard() {
    let answer = Answer::json(429, &json!({ "error": { "message": "slow down" } })).with("retry-after", "7");
    assert_eq!(fails(answer, "").again(), Again::After(Some(Duration::from_secs(7))));
    let answer = Answer::json(503, &json!({ "error": { "message": "overloaded" } }));
    assert_eq!(fails(answer, "").again(), Again::After(None));
    let answer = Answer::json(401, &json!({ "error": { "message": "no such key" } }));
    assert!(matches!(fails(answer, "env_key = \"KEY\""), ModelError::Key { status: 401, .. }));
}

#[test]
fn an_answer_that_breaks_off_is_none() {
    let begin = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{}}\n\n";
    assert!(matches!(fails(Answer::Short(begin.into()), ""), ModelError::Disconnected { .. }));
    assert!(matches!(fails(Answer::stream(begin), ""), ModelError::CutShort));
    let in_query = format!("query_params = {{ api-key = \"{KEY}\" }}");
    assert!(matches!(fails(Answer::Nothing, &in_query), ModelError::Disconnected { .. }));
    assert!(matches!(fails(Answer::Short(begin.into()), &in_query), ModelError::Disconnected { .. }));
    assert!(matches!(fails(Answer::stream("data: {oops\n\n"), ""), ModelError::Malformed { .. }));
    for (wire, piece) in
        [("chat", "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"), ("ollama", "{}\n")]
    {
        let error = fails(Answer::stream(piece), &format!("wire_api = \"{wire}\""));
        assert!(matches!(error, ModelError::CutShort), "{wire}: {error}");
    }
}

#[test]
fn silence_ends() {
    let begin = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{}}\n\n";
    let error = fails(Answer::Silent(begin.into()), "stream_idle_timeout_ms = 200");
    assert!(matches!(error, ModelError::Idle { .. }), "{error}");
    assert_eq!(error.again(), Again::After(None));
}

#[test]
fn nobody_there_is_said() {
    let url = Script::new(Vec::new()).url.clone();
    let error = ask(at(&url, "").as_ref()).expect_err("nobody");
    assert!(matches!(error, ModelError::Unreachable { .. }), "{error}");
}

#[test]
fn failures_in_a_stream_are_told_apart() {
    let failed = |code: &str| {
        let event =
            json!({ "type": "response.failed", "response": { "error": { "code": code, "message": "m" } } });
        fails(Answer::stream(format!("data: {event}\n\n")), "")
    };
    assert!(matches!(failed("context_length_exceeded"), ModelError::ContextOverflow { .. }));
    assert!(matches!(failed("rate_limit_exceeded"), ModelError::Throttled { .. }));
    assert!(matches!(failed("server_error"), ModelError::Server { .. }));
    let recorded = format!("{}/tests/recorded/responses-error-after-delta.sse", env!("CARGO_MANIFEST_DIR"));
    let error = fails(Answer::stream(std::fs::read(recorded).unwrap()), "");
    assert!(error.to_string().contains("Something went wrong"), "{error}");
}

#[test]
fn the_least_that_servers_send_is_enough() {
    let answer = concat!(
        "event: response.output_item.done\n",
        r#"data: {"type":"response.output_item.done","item":{"type":"message","role":"assistant","content":[{"type":"output_text","text":"hi"}]}}"#,
        "\n\nevent: response.completed\n",
        r#"data: {"type":"response.completed","response":{"id":"r"}}"#,
        "\n\n"
    );
    let script = Script::new(vec![Answer::stream(answer)]);
    let rest = "query_params = { api-version = \"1\" }\nhttp_headers = { X-A = \"b\" }\nenv_http_headers = { X-K = \"KEY\" }";
    let events = ask(at(&format!("{}/v1", script.url), rest).as_ref()).unwrap();
    assert!(matches!(&events[0], Event::Item(_)), "{events:?}");
    let asked = &script.asked()[0];
    assert_eq!(asked.line, "POST /v1/responses?api-version=1 HTTP/1.1");
    assert_eq!((asked.header("x-a"), asked.header("x-k")), (Some("b"), Some(KEY)));
    assert_eq!(asked.header("authorization"), None);
}

#[test]
fn no_key_is_in_an_error_of_the_configuration() {
    let tables = [
        format!("[model_providers.x]\nbase_url = \"http://h\"\nexperimental_bearer_token = \"{KEY}\\u0001\""),
        format!("[model_providers.x]\nbase_url = \"http://h\"\nhttp_headers = {{ A = \"{KEY}\\n\" }}"),
        format!(
            "[model_providers.x]\nbase_url = \"http://h\"\nenv_key = \"K\"\nexperimental_bearer_token = \"{KEY}\""
        ),
    ];
    for table in tables {
        let Err(error) = configured(&table) else { panic!("{table}") };
        assert!(!format!("{error} {error:?}").contains(KEY), "{error}");
    }
}
