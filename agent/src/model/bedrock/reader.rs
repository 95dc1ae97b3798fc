//! What Converse answers. Pure: frames in, events out.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::http::{Frame, failure_of};
use super::super::reader::Reader;
use super::super::{Event, ModelError, Stop};
use crate::item::{CallId, Item, Opaque, Usage};

/// A block that is being written. What it is, its first delta tells; a call is announced.
#[derive(Default)]
struct Block {
    text: Option<String>,
    reasoning: Option<String>,
    signature: String,
    redacted: String,
    call: Option<(String, String)>,
    arguments: String,
}

/// Reads one answer.
pub(super) struct ConverseReader {
    provider: String,
    blocks: BTreeMap<u64, Block>,
    /// Why the model stopped, once it has.
    stop: Option<Stop>,
}

impl ConverseReader {
    pub(super) fn new(provider: &str) -> Self {
        Self { provider: provider.to_owned(), blocks: BTreeMap::new(), stop: None }
    }

    fn delta(&mut self, piece: &Value, place: u64) -> Option<Event> {
        let block = self.blocks.entry(place).or_default();
        let piece = |key: &str| piece.pointer(&format!("/delta/{key}")).and_then(Value::as_str);
        if let Some(text) = piece("text") {
            block.text.get_or_insert_default().push_str(text);
            return Some(Event::Text(text.to_owned()));
        }
        block.arguments.push_str(piece("toolUse/input").unwrap_or_default());
        block.signature.push_str(piece("reasoningContent/signature").unwrap_or_default());
        block.redacted.push_str(piece("reasoningContent/redactedContent").unwrap_or_default());
        let text = piece("reasoningContent/text")?;
        block.reasoning.get_or_insert_default().push_str(text);
        Some(Event::Reasoning(text.to_owned()))
    }

    fn complete(&mut self, place: u64) -> Option<Event> {
        let block = self.blocks.remove(&place)?;
        if let Some((id, tool)) = block.call {
            let arguments = if block.arguments.is_empty() { "{}".to_owned() } else { block.arguments };
            return Some(Event::Item(Item::ToolCall { call: CallId(id), tool, arguments }));
        }
        if !block.redacted.is_empty() {
            let value = json!({ "redactedContent": block.redacted });
            return Some(self.reasoned(String::new(), Some(value)));
        }
        if let Some(text) = block.reasoning {
            // Without its signature it is not taken back.
            let signed = !block.signature.is_empty();
            let value =
                signed.then(|| json!({ "reasoningText": { "text": text, "signature": block.signature } }));
            return Some(self.reasoned(text, value));
        }
        Some(Event::Item(Item::AgentMessage { text: block.text? }))
    }

    fn reasoned(&self, text: String, value: Option<Value>) -> Event {
        let opaque = value.map(|value| Opaque { provider: self.provider.clone(), value });
        Event::Item(Item::Reasoning { text, opaque })
    }

    /// Blocks that nobody declared complete, in their order.
    fn rest(&mut self) -> Vec<Event> {
        let places: Vec<_> = self.blocks.keys().copied().collect();
        places.into_iter().filter_map(|place| self.complete(place)).collect()
    }
}

impl Reader for ConverseReader {
    fn hear(&mut self, frame: &Frame) -> Result<Vec<Event>, ModelError> {
        let piece: Value =
            if frame.data.is_empty() { Value::Null } else { serde_json::from_str(&frame.data)? };
        let place = piece.get("contentBlockIndex").and_then(Value::as_u64).unwrap_or_default();
        if frame.is_error {
            return Err(failed(&frame.kind, &piece));
        }
        Ok(match frame.kind.as_str() {
            "contentBlockStart" => {
                let text = |key: &str| {
                    let text = piece.pointer(&format!("/start/toolUse/{key}")).and_then(Value::as_str);
                    text.unwrap_or_default().to_owned()
                };
                let call = piece.pointer("/start/toolUse").map(|_| (text("toolUseId"), text("name")));
                self.blocks.insert(place, Block { call, ..Block::default() });
                Vec::new()
            }
            "contentBlockDelta" => self.delta(&piece, place).into_iter().collect(),
            "contentBlockStop" => self.complete(place).into_iter().collect(),
            "messageStop" => {
                self.stop = Some(match piece.get("stopReason").and_then(Value::as_str) {
                    Some("max_tokens" | "model_context_window_exceeded") => Stop::Length,
                    Some("guardrail_intervened" | "content_filtered") => Stop::Refused,
                    _ => Stop::End,
                });
                self.rest()
            }
            // The last frame; what it costs comes after the model has stopped.
            "metadata" => {
                let usage = usage_of(piece.get("usage").unwrap_or(&Value::Null));
                let done = self.stop.map(|stop| Event::Done { stop });
                [Event::Usage(usage)].into_iter().chain(done).collect()
            }
            _ => Vec::new(),
        })
    }

    fn end(&mut self) -> Result<Vec<Event>, ModelError> {
        self.stop.map(|stop| vec![Event::Done { stop }]).ok_or(ModelError::CutShort)
    }
}

/// An exception in the stream: its name is outside of its data.
fn failed(kind: &str, piece: &Value) -> ModelError {
    let message = piece.get("message").and_then(Value::as_str).unwrap_or(kind);
    failure_of(&json!({ "code": kind, "message": message }))
}

/// What is read from the cache and written to it is not in `inputTokens`.
fn usage_of(usage: &Value) -> Usage {
    let number = |key: &str| usage.get(key).and_then(Value::as_u64).unwrap_or_default();
    let (read, written) = (number("cacheReadInputTokens"), number("cacheWriteInputTokens"));
    Usage {
        input: number("inputTokens").saturating_add(read).saturating_add(written),
        cached_input: read,
        cache_write_input: written,
        output: number("outputTokens"),
        reasoning_output: 0,
    }
}
