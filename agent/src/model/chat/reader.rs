//! What chat completions answer. Pure: frames in, events out.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::http::{Frame, failure_of};
use super::super::reader::Reader;
use super::super::{Event, ModelError, Stop};
use crate::item::{CallId, Item, Opaque, Usage};

/// Fields in which servers put reasoning that may be shown.
const REASONING: [&str; 2] = ["reasoning_content", "reasoning"];

/// A field in which routers put reasoning that they want back.
const DETAILS: &str = "reasoning_details";

#[derive(Default)]
struct Call {
    id: String,
    name: String,
    arguments: String,
}

/// Reads one answer.
pub(super) struct ChatReader {
    provider: String,
    /// What makes ids of calls that a server gave none unique in their thread.
    told: usize,
    text: String,
    reasoning: String,
    /// The field in which the reasoning came.
    field: &'static str,
    details: Vec<Value>,
    calls: BTreeMap<u64, Call>,
    usage: Option<Usage>,
    stop: Option<Stop>,
}

impl ChatReader {
    /// For the answer to a prompt of `told` items.
    pub(super) fn new(provider: &str, told: usize) -> Self {
        Self {
            provider: provider.to_owned(),
            told,
            text: String::new(),
            reasoning: String::new(),
            field: REASONING[0],
            details: Vec::new(),
            calls: BTreeMap::new(),
            usage: None,
            stop: None,
        }
    }

    fn delta(&mut self, delta: &Value, events: &mut Vec<Event>) {
        let text = |key: &str| delta.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        if let Some((field, text)) = REASONING.into_iter().find_map(|field| Some((field, text(field)?))) {
            self.field = field;
            self.reasoning.push_str(text);
            events.push(Event::Reasoning(text.to_owned()));
        }
        self.details.extend(delta.get(DETAILS).and_then(Value::as_array).into_iter().flatten().cloned());
        if let Some(text) = text("content").or_else(|| text("refusal")) {
            self.text.push_str(text);
            events.push(Event::Text(text.to_owned()));
        }
        let calls = delta.get("tool_calls").and_then(Value::as_array);
        for (place, call) in calls.into_iter().flatten().enumerate() {
            self.call(call, u64::try_from(place).unwrap_or(u64::MAX));
        }
    }

    fn call(&mut self, piece: &Value, place: u64) {
        let place = piece.get("index").and_then(Value::as_u64).unwrap_or(place);
        let call = self.calls.entry(place).or_default();
        let text = |place: &str| piece.pointer(place).and_then(Value::as_str).unwrap_or_default();
        if call.id.is_empty() {
            call.id = text("/id").to_owned();
        }
        if call.name.is_empty() {
            call.name = text("/function/name").to_owned();
        }
        match piece.pointer("/function/arguments") {
            Some(Value::String(text)) => call.arguments.push_str(text),
            // Some local servers send an object, whole.
            Some(object @ Value::Object(_)) => call.arguments = object.to_string(),
            _ => {}
        }
    }

    fn complete(&mut self, stop: Stop) -> Vec<Event> {
        let mut events = Vec::new();
        if !self.reasoning.is_empty() || !self.details.is_empty() {
            events.push(Event::Item(self.reasoned()));
        }
        if !self.text.is_empty() || self.calls.is_empty() {
            events.push(Event::Item(Item::AgentMessage { text: std::mem::take(&mut self.text) }));
        }
        for (place, call) in std::mem::take(&mut self.calls) {
            let id = if call.id.is_empty() { format!("call_{}_{place}", self.told) } else { call.id };
            let (tool, arguments) = (call.name, call.arguments);
            events.push(Event::Item(Item::ToolCall { call: CallId(id), tool, arguments }));
        }
        events.extend(self.usage.map(Event::Usage));
        events.push(Event::Done { stop });
        events
    }

    fn reasoned(&mut self) -> Item {
        let mut fields = Map::new();
        if self.details.is_empty() {
            fields.insert(self.field.to_owned(), json!(self.reasoning));
        } else {
            fields.insert(DETAILS.to_owned(), Value::Array(std::mem::take(&mut self.details)));
        }
        let opaque = Opaque { provider: self.provider.clone(), value: Value::Object(fields) };
        Item::Reasoning { text: std::mem::take(&mut self.reasoning), opaque: Some(opaque) }
    }
}

impl Reader for ChatReader {
    fn hear(&mut self, frame: &Frame) -> Result<Vec<Event>, ModelError> {
        if frame.data.trim() == "[DONE]" {
            return self.end();
        }
        let piece: Value = serde_json::from_str(&frame.data)?;
        if piece.get("error").is_some_and(|error| !error.is_null()) {
            return Err(failure_of(&piece));
        }
        if let Some(usage) = piece.get("usage").filter(|usage| usage.is_object()) {
            self.usage = Some(usage_of(usage));
        }
        let mut events = Vec::new();
        let Some(choice) = piece.pointer("/choices/0") else { return Ok(events) };
        self.delta(choice.get("delta").unwrap_or(&Value::Null), &mut events);
        match choice.get("finish_reason").and_then(Value::as_str) {
            None | Some("") => {}
            Some("length") => self.stop = Some(Stop::Length),
            Some("content_filter") => self.stop = Some(Stop::Refused),
            Some(_) => self.stop = Some(Stop::End),
        }
        Ok(events)
    }

    /// An answer for which no reason to end was given has broken off.
    fn end(&mut self) -> Result<Vec<Event>, ModelError> {
        let stop = self.stop.ok_or(ModelError::CutShort)?;
        Ok(self.complete(stop))
    }
}

fn usage_of(usage: &Value) -> Usage {
    let number = |places: &[&str]| {
        places.iter().find_map(|place| usage.pointer(place).and_then(Value::as_u64)).unwrap_or_default()
    };
    Usage {
        input: number(&["/prompt_tokens"]),
        cached_input: number(&["/prompt_tokens_details/cached_tokens", "/prompt_cache_hit_tokens"]),
        cache_write_input: number(&["/prompt_tokens_details/cache_write_tokens"]),
        output: number(&["/completion_tokens"]),
        reasoning_output: number(&["/completion_tokens_details/reasoning_tokens"]),
    }
}
