//! What Responses is asked. Pure.

use serde_json::{Value, json};

use super::super::telling::{Told, pieces};
use super::super::{Effort, Prompt};
use crate::tool::ToolSchema;

/// Separates a namespace from a tool's name; a name has none.
pub(super) const NAMESPACE: char = '/';

/// The body of a request.
pub(super) fn body(prompt: &Prompt<'_>, provider: &str) -> Value {
    let mut body = json!({
        "model": prompt.model,
        "instructions": prompt.instructions,
        "tool_choice": "auto",
        "parallel_tool_calls": true,
        "store": false,
        "stream": true,
        "prompt_cache_key": prompt.cache_key,
    });
    // Moved, not told inside `json!`, which copies what it is given.
    body["input"] = pieces(prompt.items, provider).iter().map(input).collect();
    body["tools"] = prompt.tools.iter().map(tool).collect();
    // A model that does not reason refuses these; `none` leaves them out.
    if prompt.effort != Some(Effort::None) {
        body["include"] = json!(["reasoning.encrypted_content"]);
        body["reasoning"] = match prompt.effort {
            Some(effort) => json!({ "effort": effort.word(), "summary": "auto" }),
            None => json!({ "summary": "auto" }),
        };
    }
    if let Some(schema) = prompt.output_schema {
        body["text"] = json!({ "format": { "type": "json_schema", "name": "answer", "strict": true, "schema": schema } });
    }
    body
}

fn tool(tool: &ToolSchema) -> Value {
    json!({
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": false,
    })
}

fn input(piece: &Told<'_>) -> Value {
    match piece {
        Told::Prompt(text) => message("user", "input_text", text),
        Told::Said(text) => message("assistant", "output_text", text),
        Told::Opaque(value) => (*value).clone(),
        Told::Call { call, tool, arguments } => {
            let mut value =
                json!({ "type": "function_call", "call_id": call, "name": tool, "arguments": arguments });
            if let Some((namespace, name)) = tool.split_once(NAMESPACE) {
                value["namespace"] = json!(namespace);
                value["name"] = json!(name);
            }
            value
        }
        Told::Result { call, text, .. } => {
            json!({ "type": "function_call_output", "call_id": call, "output": text })
        }
    }
}

fn message(role: &str, kind: &str, text: &str) -> Value {
    json!({ "type": "message", "role": role, "content": [{ "type": kind, "text": text }] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::{Item, Opaque, ToolOutcome};

    #[test]
    fn a_conversation_is_told_item_for_item() {
        let reasoning = json!({ "type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x" });
        let items = [
            Item::UserMessage { text: "hi".to_owned() },
            Item::Reasoning {
                text: String::new(),
                opaque: Some(Opaque { provider: "openai".to_owned(), value: reasoning.clone() }),
            },
            Item::ToolCall {
                call: "c1".into(),
                tool: "mcp/look".to_owned(),
                arguments: "{\"a\": 1.0".to_owned(),
            },
            Item::ToolResult { call: "c1".into(), outcome: ToolOutcome::failed("no JSON") },
            Item::AgentMessage { text: "bye".to_owned() },
        ];
        let prompt = Prompt { effort: Some(Effort::High), ..Prompt::plain(&items) };
        let body = body(&prompt, "openai");
        assert_eq!(body["reasoning"], json!({ "effort": "high", "summary": "auto" }));
        assert_eq!(
            body["input"],
            json!([
                { "type": "message", "role": "user", "content": [{ "type": "input_text", "text": "hi" }] },
                reasoning,
                { "type": "function_call", "call_id": "c1", "name": "look", "namespace": "mcp", "arguments": "{\"a\": 1.0" },
                { "type": "function_call_output", "call_id": "c1", "output": "no JSON" },
                { "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": "bye" }] },
            ])
        );
        let plain = super::body(&Prompt { effort: Some(Effort::None), ..prompt }, "openai");
        assert!(plain.get("reasoning").is_none() && plain.get("include").is_none());
    }
}
