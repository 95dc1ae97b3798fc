//! What Responses answers. Pure: frames in, events out.
//!
//! What counts is what `response.output_item.done` says: deltas are for the eye, and some servers send none.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::http::{Frame, failure_of};
use super::super::reader::Reader;
use super::super::{Event, ModelError, Stop};
use super::request::NAMESPACE;
use crate::item::{CallId, Item, Opaque, Usage};

/// Reads one answer.
pub(super) struct ResponsesReader {
    provider: String,
    /// Arguments as they come, by the place of their call.
    arguments: BTreeMap<u64, String>,
    /// Items that were complete before the answer was.
    items: usize,
}

impl ResponsesReader {
    pub(super) fn new(provider: &str) -> Self {
        Self { provider: provider.to_owned(), arguments: BTreeMap::new(), items: 0 }
    }

    fn item(&mut self, item: &Value, place: u64) -> Option<Event> {
        let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default();
        let made = match text("type") {
            "message" => {
                Item::AgentMessage { text: parts(item.get("content"), &["text", "refusal"]).concat() }
            }
            "reasoning" => self.reasoning(item),
            "function_call" => {
                let streamed = self.arguments.remove(&place).unwrap_or_default();
                let arguments = Some(text("arguments")).filter(|text| !text.is_empty());
                call(item, arguments.unwrap_or(&streamed))
            }
            "custom_tool_call" => call(item, text("input")),
            _ => return None,
        };
        self.items += 1;
        Some(Event::Item(made))
    }

    fn reasoning(&self, item: &Value) -> Item {
        let mut paragraphs = parts(item.get("summary"), &["text"]);
        if paragraphs.is_empty() {
            paragraphs = parts(item.get("content"), &["text"]);
        }
        let mut value = item.clone();
        if let Value::Object(fields) = &mut value {
            // Not taken back.
            fields.remove("status");
        }
        // Without its encrypted content nothing of it is known to a provider that stores nothing.
        let known = item.get("encrypted_content").is_some_and(Value::is_string);
        let opaque = known.then(|| Opaque { provider: self.provider.clone(), value });
        Item::Reasoning { text: paragraphs.join("\n\n"), opaque }
    }

    /// An answer is complete. Some servers say only here what is in it.
    fn complete(&mut self, response: &Value, stop: Stop) -> Vec<Event> {
        let mut events = Vec::new();
        if self.items == 0 {
            let output = response.get("output").and_then(Value::as_array);
            for (place, item) in output.into_iter().flatten().enumerate() {
                events.extend(self.item(item, u64::try_from(place).unwrap_or(u64::MAX)));
            }
        }
        events.extend(
            response
                .get("usage")
                .filter(|usage| usage.is_object())
                .map(|usage| Event::Usage(usage_of(usage))),
        );
        events.push(Event::Done { stop });
        events
    }
}

impl Reader for ResponsesReader {
    fn hear(&mut self, frame: &Frame) -> Result<Vec<Event>, ModelError> {
        if frame.data.trim() == "[DONE]" {
            return Ok(Vec::new());
        }
        let piece: Value = serde_json::from_str(&frame.data)?;
        let text = |key: &str| piece.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let place = piece.get("output_index").and_then(Value::as_u64).unwrap_or_default();
        let response = piece.get("response").unwrap_or(&Value::Null);
        Ok(match text("type").as_str() {
            "response.output_text.delta" | "response.refusal.delta" => vec![Event::Text(text("delta"))],
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                vec![Event::Reasoning(text("delta"))]
            }
            "response.reasoning_summary_text.done" | "response.reasoning_text.done" => {
                vec![Event::Reasoning("\n\n".to_owned())]
            }
            "response.function_call_arguments.delta" => {
                self.arguments.entry(place).or_default().push_str(&text("delta"));
                Vec::new()
            }
            "response.output_item.done" => {
                self.item(piece.get("item").unwrap_or(&Value::Null), place).into_iter().collect()
            }
            "response.completed" => self.complete(response, Stop::End),
            "response.incomplete" => {
                let reason = response.pointer("/incomplete_details/reason").and_then(Value::as_str);
                let stop = if reason == Some("content_filter") { Stop::Refused } else { Stop::Length };
                self.complete(response, stop)
            }
            "response.failed" => return Err(failure_of(&json!({ "error": response.get("error") }))),
            "error" => return Err(failure_of(&failed(&piece))),
            _ => Vec::new(),
        })
    }
}

/// An `error` event, without the type that says that it is one.
fn failed(piece: &Value) -> Value {
    let mut piece = piece.clone();
    if let Value::Object(fields) = &mut piece {
        fields.remove("type");
    }
    piece
}

fn call(item: &Value, arguments: &str) -> Item {
    let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default();
    let tool = match text("namespace") {
        "" => text("name").to_owned(),
        namespace => format!("{namespace}{NAMESPACE}{}", text("name")),
    };
    Item::ToolCall { call: CallId(text("call_id").to_owned()), tool, arguments: arguments.to_owned() }
}

fn parts(list: Option<&Value>, keys: &[&str]) -> Vec<String> {
    let parts = list.and_then(Value::as_array).into_iter().flatten();
    parts.filter_map(|part| keys.iter().find_map(|key| part.get(key)?.as_str()).map(str::to_owned)).collect()
}

fn usage_of(usage: &Value) -> Usage {
    let number = |place: &str| usage.pointer(place).and_then(Value::as_u64).unwrap_or_default();
    Usage {
        input: number("/input_tokens"),
        cached_input: number("/input_tokens_details/cached_tokens"),
        cache_write_input: number("/input_tokens_details/cache_write_tokens"),
        output: number("/output_tokens"),
        reasoning_output: number("/output_tokens_details/reasoning_tokens"),
    }
}
