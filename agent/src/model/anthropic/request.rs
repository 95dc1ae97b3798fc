//! What Messages is asked. Pure.

use serde_json::{Value, json};

use super::super::telling::{Told, blocks, object};
use super::super::{Effort, Prompt};
use crate::tool::ToolSchema;

/// The most that a model may write where nothing says otherwise, in tokens: what all models of the last generations allow.
pub(super) const OUTPUT_TOKENS: u32 = 32_000;

/// The body of a request. What does not change from request to request is marked for the cache, and the last message.
pub(super) fn body(prompt: &Prompt<'_>, provider: &str, max_tokens: u32) -> Value {
    let mut told = blocks(prompt, provider, block);
    if let Some(last) = told.last_mut().and_then(|message| message.pointer_mut("/content")).and_then(last_of)
    {
        last["cache_control"] = json!({ "type": "ephemeral" });
    }
    let mut body = json!({
        "model": prompt.model,
        "max_tokens": max_tokens,
        "system": [{ "type": "text", "text": prompt.instructions, "cache_control": { "type": "ephemeral" } }],
        "stream": true,
    });
    body["messages"] = told.into();
    if !prompt.tools.is_empty() {
        body["tools"] = prompt.tools.iter().map(tool).collect();
    }
    if let Some(effort) = prompt.effort.and_then(word) {
        body["thinking"] = json!({ "type": "adaptive" });
        body["output_config"] = json!({ "effort": effort });
    }
    if let Some(schema) = prompt.output_schema {
        body["output_config"]["format"] = json!({ "type": "json_schema", "schema": schema });
    }
    body
}

fn last_of(content: &mut Value) -> Option<&mut Value> {
    content.as_array_mut()?.last_mut()
}

/// Their word for an effort; none where a model is not to think.
fn word(effort: Effort) -> Option<&'static str> {
    match effort {
        Effort::None => None,
        Effort::Minimal | Effort::Low => Some("low"),
        Effort::Medium => Some("medium"),
        Effort::High => Some("high"),
        Effort::XHigh => Some("max"),
    }
}

fn tool(tool: &ToolSchema) -> Value {
    json!({ "name": tool.name, "description": tool.description, "input_schema": tool.parameters })
}

fn block(piece: &Told<'_>) -> Option<Value> {
    Some(match piece {
        Told::Prompt(text) => json!({ "type": "text", "text": text }),
        // Text without a letter is refused.
        Told::Said(text) if text.trim().is_empty() => return None,
        Told::Said(text) => json!({ "type": "text", "text": text.trim_end() }),
        Told::Opaque(value) => (*value).clone(),
        Told::Call { call, tool, arguments } => {
            json!({ "type": "tool_use", "id": call, "name": tool, "input": object(arguments) })
        }
        Told::Result { call, text, .. } => {
            json!({ "type": "tool_result", "tool_use_id": call, "content": text })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::{Item, Opaque, ToolOutcome};

    #[test]
    fn a_conversation_is_told_block_for_block() {
        let thinking = json!({ "type": "thinking", "thinking": "hm", "signature": "s" });
        let items = [
            Item::UserMessage { text: "hi".to_owned() },
            Item::Reasoning {
                text: "hm".to_owned(),
                opaque: Some(Opaque { provider: "anthropic".to_owned(), value: thinking.clone() }),
            },
            Item::AgentMessage { text: String::new() },
            Item::ToolCall { call: "a".into(), tool: "run".to_owned(), arguments: "oops".to_owned() },
            Item::ToolResult { call: "a".into(), outcome: ToolOutcome::failed("no JSON") },
            Item::UserMessage { text: "more".to_owned() },
        ];
        let prompt = Prompt { effort: Some(Effort::Low), ..Prompt::plain(&items) };
        let body = body(&prompt, "anthropic", 100);
        assert_eq!(body["output_config"], json!({ "effort": "low" }));
        assert_eq!(
            body["messages"],
            json!([
                { "role": "user", "content": [{ "type": "text", "text": "hi" }] },
                { "role": "assistant", "content": [
                    thinking,
                    { "type": "tool_use", "id": "a", "name": "run", "input": { "malformed": "oops" } },
                ] },
                { "role": "user", "content": [
                    { "type": "tool_result", "tool_use_id": "a", "content": "no JSON" },
                    { "type": "text", "text": "more", "cache_control": { "type": "ephemeral" } },
                ] },
            ])
        );
    }

    /// An answer of nothing, or of thinking that was cut off, is no message: it would not be taken, and nothing behind it.
    #[test]
    fn a_message_without_blocks_is_left_out() {
        let items = [
            Item::UserMessage { text: "hi".to_owned() },
            Item::AgentMessage { text: String::new() },
            Item::Reasoning { text: "h".to_owned(), opaque: None },
            Item::UserMessage { text: "more".to_owned() },
        ];
        let prompt = Prompt::plain(&items);
        let body = body(&prompt, "anthropic", 100);
        let text = |place: &str| body.pointer(&format!("/messages/{place}")).cloned();
        assert_eq!(body["messages"].as_array().map(Vec::len), Some(1), "{body}");
        assert_eq!(
            (text("0/content/0/text"), text("0/content/1/text")),
            (Some("hi".into()), Some("more".into()))
        );
    }
}
