//! The events of `weir exec --json`: one JSON object a line, of the form that clients of Codex read (docs/AGENT.md).
//!
//! A projection of what is seen of a turn; nothing is decided here, and nothing is lost that a client needs: a call of any tool
//! has its item, and every item that begins is completed before the turn is.

mod item;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;
use serde_json::{Value, json};

use super::{Begun, Show};
use crate::item::{Did, Item, Usage};
use crate::thread::{ItemId, TurnStatus};
use crate::tool::Progress;
use crate::turn::{Call, Ended, Seen, Watch};
use item::of_call;

pub(super) use item::command_line;

/// How much of a command's output an event carries, in bytes; the end of it, and all of it is kept in a file.
const AGGREGATED_BYTES_MAX: usize = 1 << 20;

/// Writes events as they happen.
pub struct Events<W> {
    state: RefCell<State<W>>,
}

struct State<W> {
    out: W,
    /// The thread's id.
    thread: String,
    /// Items that were begun, by their own ids.
    begun: BTreeMap<ItemId, Open>,
    next: u64,
    /// The item of the plan: one for a turn, updated.
    plan: Option<(String, Value)>,
}

/// An item that has begun.
struct Open {
    id: String,
    /// Its command, or the task that was given to another thread.
    command: String,
    output: Vec<u8>,
}

/// An event.
#[derive(Serialize)]
#[serde(tag = "type")]
enum Event<'a> {
    #[serde(rename = "thread.started")]
    Thread { thread_id: String },
    #[serde(rename = "turn.started")]
    Turn {},
    #[serde(rename = "item.started")]
    Started { item: &'a Value },
    #[serde(rename = "item.updated")]
    Updated { item: &'a Value },
    #[serde(rename = "item.completed")]
    Completed { item: &'a Value },
    #[serde(rename = "turn.completed")]
    Done { usage: Tokens, turn_usage: Tokens },
    #[serde(rename = "turn.failed")]
    Failed { error: Value, usage: Tokens },
    #[serde(rename = "error")]
    Error { message: &'a str },
}

/// Tokens, by the names that clients know.
#[derive(Serialize)]
struct Tokens {
    input_tokens: u64,
    cached_input_tokens: u64,
    cache_write_input_tokens: u64,
    output_tokens: u64,
    reasoning_output_tokens: u64,
}

impl From<Usage> for Tokens {
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: usage.input,
            cached_input_tokens: usage.cached_input,
            cache_write_input_tokens: usage.cache_write_input,
            output_tokens: usage.output,
            reasoning_output_tokens: usage.reasoning_output,
        }
    }
}

impl<W: Write> Events<W> {
    /// Events on `out`, a line each.
    pub fn new(out: W) -> Self {
        Self {
            state: RefCell::new(State {
                out,
                thread: String::new(),
                begun: BTreeMap::new(),
                next: 0,
                plan: None,
            }),
        }
    }

    /// Something went wrong outside of a turn.
    pub fn error(&self, message: &str) {
        self.state.borrow_mut().write(&Event::Error { message });
    }

    /// What was written to.
    pub fn into_inner(self) -> W {
        self.state.into_inner().out
    }
}

impl<W: Write> Show for Events<W> {
    fn thread(&self, begun: &Begun, _provider: &str) {
        let mut state = self.state.borrow_mut();
        let thread_id = begun.conversation.thread().id().to_string();
        state.thread.clone_from(&thread_id);
        state.write(&Event::Thread { thread_id });
        for remark in &begun.remarks {
            state.complete(json!({ "type": "error", "message": remark }));
        }
    }
}

impl<W: Write> Watch for Events<W> {
    fn see(&self, seen: Seen<'_>) {
        let mut state = self.state.borrow_mut();
        match seen {
            Seen::TurnStarted { .. } => state.write(&Event::Turn {}),
            Seen::Said { item, .. } => state.said(item),
            Seen::Again { attempt, pause, error } => {
                let seconds = pause.as_secs_f32();
                let message =
                    format!("the model is asked again in {seconds:.1} s (attempt {attempt}): {error}");
                state.complete(json!({ "type": "error", "message": message }));
            }
            Seen::CallProgress { id, progress } => state.progress(id, &progress),
            Seen::CallEnded { id, call, outcome } => state.ended(id, call, &outcome.did, &outcome.told),
            Seen::TurnEnded { ended } => state.over(ended),
            Seen::Text(_)
            | Seen::Reasoning(_)
            | Seen::Compacting
            | Seen::Interrupting
            | Seen::CallStarted { .. }
            | Seen::Counted { .. } => {}
        }
    }
}

impl<W: Write> State<W> {
    /// Whoever read may have gone; the turn goes on, for its thread is kept.
    fn write(&mut self, event: &Event<'_>) {
        if let Ok(mut line) = serde_json::to_vec(event) {
            line.push(b'\n');
            let _ = self.out.write_all(&line).and_then(|()| self.out.flush());
        }
    }

    fn id(&mut self) -> String {
        let id = format!("item_{}", self.next);
        self.next += 1;
        id
    }

    /// An item that is complete when it is first told of.
    fn complete(&mut self, fields: Value) {
        let item = with_id(&self.id(), fields);
        self.write(&Event::Completed { item: &item });
    }

    fn said(&mut self, item: &Item) {
        match item {
            Item::AgentMessage { text } => self.complete(json!({ "type": "agent_message", "text": text })),
            Item::Reasoning { text, .. } if !text.trim().is_empty() => {
                self.complete(json!({ "type": "reasoning", "text": text.trim() }));
            }
            Item::Error { message } => self.complete(json!({ "type": "error", "message": message })),
            Item::Compaction { .. } => {
                let message = "the conversation had grown too long for the model and was summarized";
                self.complete(json!({ "type": "error", "message": message }));
            }
            Item::Reasoning { .. }
            | Item::UserMessage { .. }
            | Item::ToolCall { .. }
            | Item::ToolResult { .. } => {}
        }
    }

    fn progress(&mut self, id: ItemId, progress: &Progress<'_>) {
        match progress {
            Progress::Started { argv, .. } => {
                let open = Open { id: self.id(), command: command_line(argv), output: Vec::new() };
                let item = item::running(&open.id, &open.command);
                self.begun.insert(id, open);
                self.write(&Event::Started { item: &item });
            }
            Progress::Output(bytes) => {
                if let Some(open) = self.begun.get_mut(&id) {
                    open.output.extend_from_slice(bytes);
                    let surplus = open.output.len().saturating_sub(AGGREGATED_BYTES_MAX);
                    open.output.drain(..surplus);
                }
            }
            Progress::Delegated { thread, task } => {
                let open = Open { id: self.id(), command: (*task).to_owned(), output: Vec::new() };
                let item = item::delegated(&open.id, &self.thread, task, (*thread, &TurnStatus::Open), None);
                self.begun.insert(id, open);
                self.write(&Event::Started { item: &item });
            }
        }
    }

    fn ended(&mut self, id: ItemId, call: &Call, did: &Did, told: &str) {
        if let Did::Plan { steps } = did {
            return self.plan(item::plan(steps));
        }
        let open = self.begun.remove(&id);
        if let (Did::Delegated { thread, status, .. }, Some(open)) = (did, &open) {
            let item = item::delegated(&open.id, &self.thread, &open.command, (*thread, status), Some(told));
            return self.write(&Event::Completed { item: &item });
        }
        let output = open.as_ref().map(|open| String::from_utf8_lossy(&open.output).into_owned());
        let fields = of_call(call, did, told, output);
        let name = match open {
            Some(open) => open.id,
            None => self.id(),
        };
        let item = with_id(&name, fields);
        self.write(&Event::Completed { item: &item });
    }

    fn plan(&mut self, fields: Value) {
        let known = self.plan.take().map(|(id, _)| id);
        let is_new = known.is_none();
        let id = known.unwrap_or_else(|| self.id());
        let item = with_id(&id, fields);
        self.write(&if is_new { Event::Started { item: &item } } else { Event::Updated { item: &item } });
        self.plan = Some((id, item));
    }

    fn over(&mut self, ended: &Ended) {
        if let Some((_, item)) = self.plan.take() {
            self.write(&Event::Completed { item: &item });
        }
        let usage = ended.total.into();
        match &ended.status {
            TurnStatus::Completed | TurnStatus::Open => {
                self.write(&Event::Done { usage, turn_usage: ended.usage.into() });
            }
            TurnStatus::Interrupted => {
                self.write(&Event::Failed { error: json!({ "message": "interrupted" }), usage });
            }
            TurnStatus::Failed { message } => {
                self.write(&Event::Failed { error: json!({ "message": message }), usage });
            }
        }
    }
}

/// An item with its id in front.
fn with_id(id: &str, fields: Value) -> Value {
    let mut item = json!({ "id": id });
    if let (Value::Object(item), Value::Object(fields)) = (&mut item, fields) {
        item.extend(fields);
    }
    item
}
