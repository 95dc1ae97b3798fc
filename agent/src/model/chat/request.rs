//! What chat completions are asked. Pure.

use serde_json::{Map, Value, json};

use super::super::Prompt;
use super::super::telling::{Told, dialogue, function};

/// The body of a request. Nothing that strict servers do not know stands in it unless it was asked for.
pub(super) fn body(prompt: &Prompt<'_>, provider: &str) -> Value {
    let mut body = json!({
        "model": prompt.model,
        "stream": true,
        "stream_options": { "include_usage": true },
    });
    body["messages"] = dialogue(prompt, provider, user, assistant).into();
    if !prompt.tools.is_empty() {
        body["tools"] = prompt.tools.iter().map(function).collect();
    }
    if let Some(effort) = prompt.effort {
        body["reasoning_effort"] = json!(effort.word());
    }
    if let Some(schema) = prompt.output_schema {
        body["response_format"] = json!({ "type": "json_schema", "json_schema": { "name": "answer", "strict": true, "schema": schema } });
    }
    body
}

fn user(piece: &Told<'_>) -> Option<Value> {
    match piece {
        Told::Prompt(text) => Some(json!({ "role": "user", "content": text })),
        Told::Result { call, text, .. } => {
            Some(json!({ "role": "tool", "tool_call_id": call, "content": text }))
        }
        Told::Said(_) | Told::Opaque(_) | Told::Call { .. } => None,
    }
}

fn assistant(pieces: &[Told<'_>]) -> Value {
    let mut message = Map::from_iter([("role".to_owned(), json!("assistant"))]);
    let mut text = String::new();
    let mut calls = Vec::new();
    for piece in pieces {
        match piece {
            Told::Said(said) => text.push_str(said),
            // The fields in which this server put its reasoning.
            Told::Opaque(Value::Object(fields)) => message.extend(fields.clone()),
            Told::Call { call, tool, arguments } => {
                let function = json!({ "name": tool, "arguments": arguments });
                calls.push(json!({ "id": call, "type": "function", "function": function }));
            }
            Told::Opaque(_) | Told::Prompt(_) | Told::Result { .. } => {}
        }
    }
    let content = if text.is_empty() && !calls.is_empty() { Value::Null } else { json!(text) };
    message.insert("content".to_owned(), content);
    if !calls.is_empty() {
        message.insert("tool_calls".to_owned(), Value::Array(calls));
    }
    Value::Object(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::{Item, Opaque, ToolOutcome};

    #[test]
    fn a_conversation_is_told_message_for_message() {
        let call =
            |id: &str| Item::ToolCall { call: id.into(), tool: "run".to_owned(), arguments: "{".to_owned() };
        let result = |id: &str| Item::ToolResult { call: id.into(), outcome: ToolOutcome::failed(id) };
        let opaque = Opaque { provider: "p".to_owned(), value: json!({ "reasoning_content": "hm" }) };
        let items = [
            Item::UserMessage { text: "hi".to_owned() },
            Item::Reasoning { text: "hm".to_owned(), opaque: Some(opaque) },
            Item::AgentMessage { text: "so".to_owned() },
            call("a"),
            call("b"),
            result("b"),
            result("a"),
            Item::UserMessage { text: "more".to_owned() },
        ];
        let prompt = Prompt::plain(&items);
        let told = |id: &str| json!({ "id": id, "type": "function", "function": { "name": "run", "arguments": "{" } });
        assert_eq!(
            body(&prompt, "p")["messages"],
            json!([
                { "role": "system", "content": "be" },
                { "role": "user", "content": "hi" },
                { "role": "assistant", "reasoning_content": "hm", "content": "so", "tool_calls": [told("a"), told("b")] },
                { "role": "tool", "tool_call_id": "b", "content": "b" },
                { "role": "tool", "tool_call_id": "a", "content": "a" },
                { "role": "user", "content": "more" },
            ])
        );
    }
}
