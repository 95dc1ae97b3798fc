//! What Converse is asked. Pure.

use serde_json::{Value, json};

use super::super::Prompt;
use super::super::telling::{Told, blocks, object};
use crate::tool::ToolSchema;

/// The name of the tool that stands for an answer by a schema.
const ANSWER: &str =
    "What the last message must be: JSON that is an instance of this schema, and nothing besides:";

/// The body of a request.
pub(super) fn body(prompt: &Prompt<'_>, provider: &str, max_tokens: Option<u32>) -> Value {
    let mut system = vec![json!({ "text": prompt.instructions })];
    if let Some(schema) = prompt.output_schema {
        // Converse has no place for a schema that all its models know.
        system.push(json!({ "text": format!("{ANSWER}\n{schema}") }));
    }
    let mut body = json!({ "system": system });
    body["messages"] = blocks(prompt, provider, block).into();
    if !prompt.tools.is_empty() {
        body["toolConfig"] = json!({ "tools": prompt.tools.iter().map(tool).collect::<Vec<_>>() });
    }
    if let Some(max_tokens) = max_tokens {
        body["inferenceConfig"] = json!({ "maxTokens": max_tokens });
    }
    body
}

fn tool(tool: &ToolSchema) -> Value {
    json!({ "toolSpec": {
        "name": tool.name,
        "description": tool.description,
        "inputSchema": { "json": tool.parameters },
    } })
}

fn block(piece: &Told<'_>) -> Option<Value> {
    Some(match piece {
        Told::Prompt(text) => json!({ "text": text }),
        // Text without a letter is refused.
        Told::Said(text) if text.trim().is_empty() => return None,
        Told::Said(text) => json!({ "text": text }),
        Told::Opaque(value) => json!({ "reasoningContent": value }),
        Told::Call { call, tool, arguments } => {
            json!({ "toolUse": { "toolUseId": call, "name": tool, "input": object(arguments) } })
        }
        Told::Result { call, text, .. } => {
            json!({ "toolResult": { "toolUseId": call, "content": [{ "text": text }] } })
        }
    })
}
