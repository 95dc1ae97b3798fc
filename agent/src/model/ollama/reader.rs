//! What Ollama answers. Pure: frames in, events out.

use serde_json::Value;

use super::super::http::{Frame, failure_of};
use super::super::reader::Reader;
use super::super::{Event, ModelError, Stop};
use crate::item::{CallId, Item, Usage};

/// Reads one answer.
pub(super) struct OllamaReader {
    /// What makes ids of calls unique in their thread; Ollama gives none.
    told: usize,
    text: String,
    reasoning: String,
    calls: Vec<Item>,
}

impl OllamaReader {
    /// For the answer to a prompt of `told` items.
    pub(super) fn new(told: usize) -> Self {
        Self { told, text: String::new(), reasoning: String::new(), calls: Vec::new() }
    }

    fn call(&mut self, call: &Value) {
        let text = |place: &str| call.pointer(place).and_then(Value::as_str).unwrap_or_default();
        let id = match text("/id") {
            "" => format!("call_{}_{}", self.told, self.calls.len()),
            id => id.to_owned(),
        };
        let arguments = match call.pointer("/function/arguments") {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => "{}".to_owned(),
        };
        let tool = text("/function/name").to_owned();
        self.calls.push(Item::ToolCall { call: CallId(id), tool, arguments });
    }

    fn complete(&mut self, piece: &Value) -> Vec<Event> {
        let mut items = Vec::new();
        if !self.reasoning.is_empty() {
            items.push(Item::Reasoning { text: std::mem::take(&mut self.reasoning), opaque: None });
        }
        if !self.text.is_empty() || self.calls.is_empty() {
            items.push(Item::AgentMessage { text: std::mem::take(&mut self.text) });
        }
        items.append(&mut self.calls);
        let number = |key: &str| piece.get(key).and_then(Value::as_u64).unwrap_or_default();
        let usage = Usage {
            input: number("prompt_eval_count"),
            cached_input: number("prompt_eval_cached_count"),
            output: number("eval_count"),
            ..Usage::default()
        };
        let length = piece.get("done_reason").and_then(Value::as_str) == Some("length");
        let stop = if length { Stop::Length } else { Stop::End };
        items.into_iter().map(Event::Item).chain([Event::Usage(usage), Event::Done { stop }]).collect()
    }
}

impl Reader for OllamaReader {
    fn hear(&mut self, frame: &Frame) -> Result<Vec<Event>, ModelError> {
        let piece: Value = serde_json::from_str(&frame.data)?;
        if piece.get("error").is_some() {
            return Err(failure_of(&piece));
        }
        let text = |key: &str| {
            let text = piece.pointer(&format!("/message/{key}")).and_then(Value::as_str).unwrap_or_default();
            text.to_owned()
        };
        let mut events = Vec::new();
        let (reasoning, said) = (text("thinking"), text("content"));
        if !reasoning.is_empty() {
            self.reasoning.push_str(&reasoning);
            events.push(Event::Reasoning(reasoning));
        }
        if !said.is_empty() {
            self.text.push_str(&said);
            events.push(Event::Text(said));
        }
        for call in piece.pointer("/message/tool_calls").and_then(Value::as_array).into_iter().flatten() {
            self.call(call);
        }
        if piece.get("done").and_then(Value::as_bool) == Some(true) {
            events.extend(self.complete(&piece));
        }
        Ok(events)
    }
}
