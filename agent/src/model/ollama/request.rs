//! What Ollama is asked. Pure.

use serde_json::{Value, json};

use super::super::telling::{Told, dialogue, function, object};
use super::super::{Effort, Prompt};

/// The body of a request.
pub(super) fn body(prompt: &Prompt<'_>, provider: &str) -> Value {
    let mut body = json!({ "model": prompt.model, "stream": true });
    body["messages"] = dialogue(prompt, provider, user, assistant).into();
    if !prompt.tools.is_empty() {
        body["tools"] = prompt.tools.iter().map(function).collect();
    }
    match prompt.effort {
        None => {}
        Some(Effort::None) => body["think"] = json!(false),
        Some(Effort::Minimal | Effort::Low) => body["think"] = json!("low"),
        Some(Effort::Medium) => body["think"] = json!("medium"),
        Some(Effort::High | Effort::XHigh) => body["think"] = json!("high"),
    }
    if let Some(schema) = prompt.output_schema {
        body["format"] = schema.clone();
    }
    body
}

fn user(piece: &Told<'_>) -> Option<Value> {
    match piece {
        Told::Prompt(text) => Some(json!({ "role": "user", "content": text })),
        Told::Result { tool, text, .. } => {
            Some(json!({ "role": "tool", "tool_name": tool, "content": text }))
        }
        Told::Said(_) | Told::Opaque(_) | Told::Call { .. } => None,
    }
}

fn assistant(pieces: &[Told<'_>]) -> Value {
    let mut text = String::new();
    let mut calls = Vec::new();
    for piece in pieces {
        match piece {
            Told::Said(said) => text.push_str(said),
            Told::Call { tool, arguments, .. } => {
                calls.push(json!({ "function": { "name": tool, "arguments": object(arguments) } }));
            }
            Told::Opaque(_) | Told::Prompt(_) | Told::Result { .. } => {}
        }
    }
    let mut message = json!({ "role": "assistant", "content": text });
    if !calls.is_empty() {
        message["tool_calls"] = Value::Array(calls);
    }
    message
}
