//! What real providers were recorded to answer, through a real connection: items, tokens, what goes back to them.

use weir_agent::item::{Item, Opaque, Usage};
use weir_agent::model::{Event, Stop};

use super::script::{Answer, Script};
use super::{KEY, ask, at, call};

/// Items, tokens and end of a recorded answer, and the text that was streamed.
struct Heard {
    items: Vec<Item>,
    usage: Usage,
    stop: Stop,
    text: String,
    reasoning: String,
    script: Script,
}

fn hear(name: &str, rest: &str) -> Heard {
    let path = format!("{}/tests/recorded/{name}", env!("CARGO_MANIFEST_DIR"));
    let script = Script::new(vec![Answer::stream(std::fs::read(path).unwrap())]);
    let events = ask(at(&script.url, rest).as_ref()).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut heard = Heard {
        items: Vec::new(),
        usage: Usage::default(),
        stop: Stop::End,
        text: String::new(),
        reasoning: String::new(),
        script,
    };
    for event in events {
        match event {
            Event::Text(text) => heard.text.push_str(&text),
            Event::Reasoning(text) => heard.reasoning.push_str(&text),
            Event::Item(item) => heard.items.push(item),
            Event::Usage(usage) => heard.usage = usage,
            Event::Done { stop } => heard.stop = stop,
        }
    }
    heard
}

fn usage(input: u64, output: u64) -> Usage {
    Usage { input, output, ..Usage::default() }
}

fn opaque(item: &Item) -> &Opaque {
    match item {
        Item::Reasoning { opaque: Some(opaque), .. } => opaque,
        other => panic!("{other:?}"),
    }
}

#[test]
fn responses_keep_reasoning_whole_and_count_it() {
    let heard = hear("responses-reasoning-call.sse", "env_key = \"KEY\"");
    assert_eq!(heard.usage, Usage { reasoning_output: 17, ..usage(106, 45) });
    let value = &opaque(&heard.items[0]).value;
    assert!(value["encrypted_content"].as_str().unwrap().starts_with("gAAAAA"));
    assert!(value["id"].as_str().unwrap().starts_with("rs_"));
    assert!(
        matches!(&heard.items[1], Item::ToolCall { tool, .. } if tool == "get_weather"),
        "{:?}",
        heard.items
    );
    let asked = &heard.script.asked()[0];
    assert_eq!(asked.line, "POST /responses HTTP/1.1");
    assert_eq!(asked.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
    assert_eq!(asked.json()["prompt_cache_key"], "thread");
    assert_eq!(asked.json()["store"], false);
}

#[test]
fn responses_take_arguments_from_where_they_are_whole() {
    let heard = hear("responses-arguments-on-done.sse", "");
    assert_eq!(heard.items, [call("call_fixture", "get_weather", "{\"city\":\"Paris\"}")]);
    let heard = hear("responses-incomplete-call.sse", "");
    assert_eq!(heard.items, [call("call_fixture", "write_result", "{\"summary\":\"The American Rev")]);
    assert_eq!((heard.stop, heard.usage), (Stop::Length, usage(12, 8)));
}

#[test]
fn messages_keep_every_block_of_thinking() {
    let heard = hear("messages-redacted-thinking-call.sse", "wire_api = \"anthropic\"\nenv_key = \"KEY\"");
    let values: Vec<_> = heard.items[..3].iter().map(|item| opaque(item).value.clone()).collect();
    assert_eq!(values[0]["signature"], "sig-first");
    assert_eq!(values[1]["data"], "redacted-fixture-blob");
    assert_eq!(values[2]["thinking"], "Third block.");
    let arguments = "{\"city\":\"Cairo\",\"country\":\"Egypt\",\"unit\":\"C\"}";
    assert_eq!(heard.items[3], call("tool_fixture_redacted_001", "get_weather", arguments));
    assert_eq!(heard.reasoning, "First block.Third block.");
    assert_eq!(heard.usage, usage(13, 9));
    let asked = &heard.script.asked()[0];
    assert_eq!(asked.header("x-api-key"), Some(KEY));
    assert_eq!(asked.header("anthropic-version"), Some("2023-06-01"));
    assert_eq!(asked.header("authorization"), None);
}

#[test]
fn messages_count_the_cache_and_keep_a_call_that_was_cut() {
    let heard = hear("messages-cache-creation.sse", "wire_api = \"anthropic\"");
    assert_eq!(heard.usage, Usage { cache_write_input: 4202, ..usage(4211, 5) });
    let heard = hear("messages-max-tokens-call.sse", "wire_api = \"anthropic\"");
    assert_eq!(heard.items, [call("toolu_fixture", "write_result", "{\"summary\":\"The American Rev")]);
    assert_eq!(heard.stop, Stop::Length);
}

#[test]
fn chat_gives_back_the_reasoning_where_it_came() {
    let heard = hear("chat-reasoning.sse", "wire_api = \"chat\"");
    assert!(heard.reasoning.starts_with("1.  **Analyze the Request:**"), "{}", heard.reasoning);
    assert_eq!(opaque(&heard.items[0]).value["reasoning_content"], heard.reasoning.as_str());
    assert_eq!(heard.items[1], Item::AgentMessage { text: "Hello".to_owned() });
    assert_eq!((heard.text.as_str(), heard.usage), ("Hello", usage(10, 123)));
}

#[test]
fn chat_calls() {
    let heard = hear("chat-call.sse", "wire_api = \"chat\"");
    let arguments = "{\"city\": \"Paris\", \"country\": \"France\", \"unit\": \"C\"}";
    assert_eq!(heard.items, [call("call_yakbak_fixture_0", "get_weather", arguments)]);
    assert_eq!(heard.usage, usage(163, 11));
    assert_eq!(heard.script.asked()[0].line, "POST /chat/completions HTTP/1.1");
}

#[test]
fn ollama_calls_several_and_counts_the_cache() {
    let heard = hear("ollama-calls.ndjson", "wire_api = \"ollama\"");
    let calls: Vec<_> =
        heard.items.iter().filter(|item| matches!(item, Item::ToolCall { .. })).cloned().collect();
    let expect = [
        call("call_a", "get_weather", "{\"city\":\"Paris\"}"),
        call("call_b", "get_weather", "{\"city\":\"Berlin\"}"),
        call("call_c", "get_time", "{}"),
    ];
    assert_eq!(calls, expect);
    assert_eq!(heard.usage, usage(21, 40));
    let heard = hear("ollama-cached.ndjson", "wire_api = \"ollama\"");
    assert_eq!(heard.usage, Usage { cached_input: 27, ..usage(28, 3) });
    assert_eq!(heard.text, "Hello!");
}

#[test]
fn converse_is_signed_and_keeps_what_is_redacted() {
    let heard = hear(
        "converse-reasoning-call.eventstream",
        "wire_api = \"bedrock\"\naws = { region = \"eu-west-1\" }",
    );
    assert!(opaque(&heard.items[0]).value["redactedContent"].is_string());
    let Some(Item::ToolCall { arguments, tool, .. }) = heard.items.last() else {
        panic!("{:?}", heard.items)
    };
    assert_eq!(tool, "get_weather");
    let arguments: serde_json::Value = serde_json::from_str(arguments).unwrap();
    assert_eq!(arguments["city"], "Paris");
    assert_eq!(heard.usage, usage(85, 132));
    let asked = &heard.script.asked()[0];
    assert_eq!(asked.line, "POST /model/some-model%3A1/converse-stream HTTP/1.1");
    let signature = asked.header("authorization").unwrap();
    assert!(signature.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{signature}");
    assert!(signature.contains("/eu-west-1/bedrock/aws4_request"), "{signature}");
    assert_eq!(asked.header("x-amz-security-token"), Some("session"));
    assert!(!asked.headers.iter().any(|(_, value)| value.contains(KEY)));
}
