//! What Messages answers. Pure: frames in, events out.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::http::{Frame, failure_of};
use super::super::reader::Reader;
use super::super::{Event, ModelError, Stop};
use crate::item::{CallId, Item, Opaque, Usage};

/// A block that is being written.
enum Block {
    Text(String),
    Thinking { text: String, signature: String },
    Redacted(Value),
    Call { id: String, name: String, arguments: String },
    Other,
}

/// Reads one answer.
pub(super) struct MessagesReader {
    provider: String,
    blocks: BTreeMap<u64, Block>,
    usage: Usage,
    stop: Stop,
}

impl MessagesReader {
    pub(super) fn new(provider: &str) -> Self {
        Self {
            provider: provider.to_owned(),
            blocks: BTreeMap::new(),
            usage: Usage::default(),
            stop: Stop::End,
        }
    }

    fn start(&mut self, piece: &Value, place: u64) -> Vec<Event> {
        let text = |key: &str| {
            piece
                .pointer(&format!("/content_block/{key}"))
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let block = match text("type").as_str() {
            "text" => Block::Text(text("text")),
            "thinking" => Block::Thinking { text: text("thinking"), signature: text("signature") },
            "redacted_thinking" => Block::Redacted(piece.get("content_block").cloned().unwrap_or_default()),
            "tool_use" => Block::Call { id: text("id"), name: text("name"), arguments: String::new() },
            _ => Block::Other,
        };
        let begun = match &block {
            Block::Text(text) if !text.is_empty() => vec![Event::Text(text.clone())],
            _ => Vec::new(),
        };
        self.blocks.insert(place, block);
        begun
    }

    fn delta(&mut self, piece: &Value, place: u64) -> Option<Event> {
        let piece = |key: &str| piece.pointer(&format!("/delta/{key}")).and_then(Value::as_str);
        match self.blocks.get_mut(&place)? {
            Block::Text(text) => {
                text.push_str(piece("text")?);
                Some(Event::Text(piece("text")?.to_owned()))
            }
            Block::Thinking { text, signature } => {
                signature.push_str(piece("signature").unwrap_or_default());
                text.push_str(piece("thinking")?);
                Some(Event::Reasoning(piece("thinking")?.to_owned()))
            }
            Block::Call { arguments, .. } => {
                arguments.push_str(piece("partial_json")?);
                None
            }
            Block::Redacted(_) | Block::Other => None,
        }
    }

    fn complete(&mut self, place: u64) -> Option<Event> {
        let reasoning = |text: String, value: Option<Value>| Item::Reasoning {
            text,
            opaque: value.map(|value| Opaque { provider: self.provider.clone(), value }),
        };
        Some(Event::Item(match self.blocks.remove(&place)? {
            Block::Text(text) => Item::AgentMessage { text },
            Block::Thinking { text, signature } => {
                // Without its signature it is not taken back.
                let signed = !signature.is_empty();
                let value =
                    signed.then(|| json!({ "type": "thinking", "thinking": text, "signature": signature }));
                reasoning(text, value)
            }
            Block::Redacted(value) => reasoning(String::new(), Some(value)),
            Block::Call { id, name, arguments } => {
                let arguments = if arguments.is_empty() { "{}".to_owned() } else { arguments };
                Item::ToolCall { call: CallId(id), tool: name, arguments }
            }
            Block::Other => return None,
        }))
    }

    /// Blocks that nobody declared complete: the last one of an answer that reached its limit.
    fn rest(&mut self) -> Vec<Event> {
        let places: Vec<_> = self.blocks.keys().copied().collect();
        places.into_iter().filter_map(|place| self.complete(place)).collect()
    }

    fn count(&mut self, usage: Option<&Value>) {
        let Some(usage) = usage.filter(|usage| usage.is_object()) else { return };
        let number = |place: &str| usage.pointer(place).and_then(Value::as_u64);
        let read = number("/cache_read_input_tokens");
        let written = number("/cache_creation_input_tokens");
        // What is said at the end stands for what was said at the beginning, where it is said again.
        let fresh = number("/input_tokens").unwrap_or_else(|| {
            self.usage
                .input
                .saturating_sub(self.usage.cached_input)
                .saturating_sub(self.usage.cache_write_input)
        });
        self.usage.cached_input = read.unwrap_or(self.usage.cached_input);
        self.usage.cache_write_input = written.unwrap_or(self.usage.cache_write_input);
        self.usage.input =
            fresh.saturating_add(self.usage.cached_input).saturating_add(self.usage.cache_write_input);
        self.usage.output = number("/output_tokens").unwrap_or(self.usage.output);
        self.usage.reasoning_output =
            number("/output_tokens_details/thinking_tokens").unwrap_or(self.usage.reasoning_output);
    }
}

impl Reader for MessagesReader {
    fn hear(&mut self, frame: &Frame) -> Result<Vec<Event>, ModelError> {
        let piece: Value = serde_json::from_str(&frame.data)?;
        let place = piece.get("index").and_then(Value::as_u64).unwrap_or_default();
        Ok(match piece.get("type").and_then(Value::as_str).unwrap_or_default() {
            "message_start" => {
                self.count(piece.pointer("/message/usage"));
                Vec::new()
            }
            "content_block_start" => self.start(&piece, place),
            "content_block_delta" => self.delta(&piece, place).into_iter().collect(),
            "content_block_stop" => self.complete(place).into_iter().collect(),
            "message_delta" => {
                self.count(piece.get("usage"));
                self.stop = match piece.pointer("/delta/stop_reason").and_then(Value::as_str) {
                    Some("max_tokens" | "model_context_window_exceeded") => Stop::Length,
                    Some("refusal") => Stop::Refused,
                    _ => Stop::End,
                };
                Vec::new()
            }
            "message_stop" => {
                let mut events = self.rest();
                events.extend([Event::Usage(self.usage), Event::Done { stop: self.stop }]);
                events
            }
            "error" => return Err(failure_of(&piece)),
            _ => Vec::new(),
        })
    }
}
