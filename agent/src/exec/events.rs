//! The events of `weir exec --json`: one JSON object a line, of the form that clients of Codex read (docs/AGENT.md).
//!
//! A projection of what is seen of a turn; nothing is decided here, and nothing is lost that a client needs: a call of any tool
//! has its item, and every item that begins is completed before the turn is. What helpers do has its items too, with the helper's
//! thread beside them; what they say is theirs, but for the last message, which is in the item of the work that was given.

mod item;

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::{Begun, Outlet, Show};
use crate::item::{Did, Item, Usage};
use crate::shown;
use crate::thread::{ItemId, ThreadId, TurnStatus};
use crate::tool::Progress;
use crate::turn::{Call, Ended, Seen, Watch};
use item::of_call;

pub(super) use item::command_line;

/// How much of a command's output an event carries, in bytes; the end of it, and all of it is kept in a file.
const AGGREGATED_BYTES_MAX: usize = 1 << 20;

/// Writes events as they happen.
pub struct Events {
    out: Outlet,
    state: RefCell<State>,
}

struct State {
    out: Outlet,
    /// The thread's id.
    thread: String,
    /// The helper that is spoken of; none: the thread itself.
    helper: Option<ThreadId>,
    /// Items that were begun, by their own ids.
    begun: BTreeMap<ItemId, Open>,
    next: u64,
    /// The item of each thread's plan: one for a turn, updated.
    plans: BTreeMap<Option<ThreadId>, (String, Value)>,
    /// The last message of each helper that works.
    words: BTreeMap<ThreadId, String>,
}

/// An item that has begun.
struct Open {
    id: String,
    helper: Option<ThreadId>,
    /// As it was told when it began.
    item: Value,
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
    Started {
        #[serde(skip_serializing_if = "Option::is_none")]
        thread_id: Option<ThreadId>,
        item: &'a Value,
    },
    #[serde(rename = "item.updated")]
    Updated {
        #[serde(skip_serializing_if = "Option::is_none")]
        thread_id: Option<ThreadId>,
        item: &'a Value,
    },
    #[serde(rename = "item.completed")]
    Completed {
        #[serde(skip_serializing_if = "Option::is_none")]
        thread_id: Option<ThreadId>,
        item: &'a Value,
    },
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

impl Events {
    /// Events on `out`, a line each.
    pub fn new(out: Outlet) -> Self {
        Self {
            state: RefCell::new(State {
                out: out.clone(),
                thread: String::new(),
                helper: None,
                begun: BTreeMap::new(),
                next: 0,
                plans: BTreeMap::new(),
                words: BTreeMap::new(),
            }),
            out,
        }
    }

    /// Something went wrong outside of a turn.
    pub fn error(&self, message: &str) {
        self.state.borrow_mut().write(&Event::Error { message });
    }

    /// The same, where whoever reads has room for it; nobody waits for that.
    pub fn error_now(&self, message: &str) {
        self.out.put_now(line(&Event::Error { message }).as_bytes());
    }
}

impl Show for Events {
    fn outlet(&self) -> &Outlet {
        &self.out
    }

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

impl Watch for Events {
    fn see(&self, seen: Seen<'_>) {
        let mut state = self.state.borrow_mut();
        match seen {
            Seen::TurnStarted { .. } => state.write(&Event::Turn {}),
            Seen::TurnEnded { ended } => state.over(ended),
            seen => state.happened(&seen),
        }
    }

    fn see_in(&self, thread: ThreadId, seen: Seen<'_>) {
        let mut state = self.state.borrow_mut();
        state.helper = Some(thread);
        match seen {
            Seen::Said { item: Item::AgentMessage { text }, .. } => {
                state.words.insert(thread, text.clone());
            }
            Seen::Said { item: Item::Reasoning { .. }, .. } => {}
            Seen::TurnEnded { .. } => state.planned(),
            seen => state.happened(&seen),
        }
        state.helper = None;
    }
}

impl State {
    /// Whoever read may have gone; the turn goes on, for its thread is kept.
    fn write(&mut self, event: &Event<'_>) {
        self.out.put(line(event).as_bytes());
    }

    /// What is an item in a thread and in its helpers.
    fn happened(&mut self, seen: &Seen<'_>) {
        match seen {
            Seen::Said { item, .. } => self.said(item),
            Seen::Again { attempt, pause, error } => {
                let seconds = pause.as_secs_f32();
                let message =
                    format!("the model is asked again in {seconds:.1} s (attempt {attempt}): {error}");
                self.complete(json!({ "type": "error", "message": message }));
            }
            Seen::CallProgress { id, progress } => self.progress(*id, progress),
            Seen::CallEnded { id, call, outcome } => self.ended(*id, call, &outcome.did, &outcome.told),
            Seen::TurnStarted { .. }
            | Seen::TurnEnded { .. }
            | Seen::Text(_)
            | Seen::Reasoning(_)
            | Seen::Compacting
            | Seen::Interrupting { .. }
            | Seen::CallStarted { .. }
            | Seen::Counted { .. } => {}
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
        self.write(&Event::Completed { thread_id: self.helper, item: &item });
    }

    /// An item that is told of when it begins, and again when it is complete.
    fn begin(&mut self, id: ItemId, name: String, item: Value) {
        self.write(&Event::Started { thread_id: self.helper, item: &item });
        self.begun.insert(id, Open { id: name, helper: self.helper, item, output: Vec::new() });
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
                let name = self.id();
                let item = item::running(&name, &command_line(argv));
                self.begin(id, name, item);
            }
            Progress::Output(bytes) => {
                if let Some(open) = self.begun.get_mut(&id) {
                    open.output.extend_from_slice(bytes);
                    let surplus = open.output.len().saturating_sub(AGGREGATED_BYTES_MAX);
                    open.output.drain(..surplus);
                }
            }
            Progress::Delegated { thread, task } => {
                let name = self.id();
                let helper = (*thread, &TurnStatus::Open);
                let item = item::delegated(&name, &self.speaker(), task, helper, None);
                self.begin(id, name, item);
            }
        }
    }

    /// Who does what is seen now.
    fn speaker(&self) -> String {
        self.helper.map_or_else(|| self.thread.clone(), |helper| helper.to_string())
    }

    fn ended(&mut self, id: ItemId, call: &Call, did: &Did, told: &str) {
        if let Did::Plan { steps } = did {
            return self.plan(item::plan(steps));
        }
        let open = self.begun.remove(&id);
        let item = match (did, open) {
            (Did::Delegated { thread, status, .. }, Some(open)) => {
                let words = self.words.remove(thread);
                let words = match status {
                    TurnStatus::Failed { message } => Some(message.clone()),
                    _ => words,
                };
                let prompt = open.item["prompt"].as_str().unwrap_or_default();
                item::delegated(&open.id, &self.speaker(), prompt, (*thread, status), words.as_deref())
            }
            (_, Some(open)) => {
                let output = String::from_utf8_lossy(&open.output).into_owned();
                with_id(&open.id, of_call(call, did, told, Some(output)))
            }
            (_, None) => with_id(&self.id(), of_call(call, did, told, None)),
        };
        self.write(&Event::Completed { thread_id: self.helper, item: &item });
    }

    fn plan(&mut self, fields: Value) {
        let thread_id = self.helper;
        let known = self.plans.remove(&thread_id).map(|(id, _)| id);
        let is_new = known.is_none();
        let id = known.unwrap_or_else(|| self.id());
        let item = with_id(&id, fields);
        self.write(&if is_new {
            Event::Started { thread_id, item: &item }
        } else {
            Event::Updated { thread_id, item: &item }
        });
        self.plans.insert(thread_id, (id, item));
    }

    /// The turn of the thread that is spoken of is over, and with it its plan.
    fn planned(&mut self) {
        if let Some((_, item)) = self.plans.remove(&self.helper) {
            self.write(&Event::Completed { thread_id: self.helper, item: &item });
        }
    }

    /// Completes what helpers had begun that nobody waited for.
    fn left(&mut self) {
        for (_, mut open) in std::mem::take(&mut self.begun) {
            open.item["status"] = json!("failed");
            self.write(&Event::Completed { thread_id: open.helper, item: &open.item });
        }
        for (thread_id, (_, item)) in std::mem::take(&mut self.plans) {
            self.write(&Event::Completed { thread_id, item: &item });
        }
    }

    fn over(&mut self, ended: &Ended) {
        self.left();
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

/// An event in its line.
fn line(event: &Event<'_>) -> String {
    serde_json::to_string(event).map(|line| shown::json(line) + "\n").unwrap_or_default()
}

/// An item with its id in front.
fn with_id(id: &str, fields: Value) -> Value {
    let mut item = json!({ "id": id });
    if let (Value::Object(item), Value::Object(fields)) = (&mut item, fields) {
        item.extend(fields);
    }
    item
}
