//! A run for people: what happens goes to standard error as it happens, the last message to standard output.
//!
//! Where both are one terminal the message is not written twice. What a model or a command wrote is shown without control
//! characters: neither may move the cursor of the person's terminal.

use std::cell::RefCell;

use super::events::command_line;
use super::{Begun, Clock, Outlet, Show};
use crate::denial;
use crate::item::{ChangeKind, CommandStatus, Did, FileChange, Item, Step, StepStatus, ToolOutcome, Usage};
use crate::model::{Price, Prices};
use crate::shown::harmless;
use crate::thread::{ThreadId, TurnStatus};
use crate::tool::{self, Progress};
use crate::turn::{Awaited, Call, Ended, Seen, Watch};

/// Lines of a command's output that are shown; the end of it.
const OUTPUT_LINES_MAX: usize = 12;

/// How far everything of one line but its beginning is moved to the right: what begins a row is Weir's own.
const INDENT: &str = "    ";

/// Letters of a plan's step that are shown. It is a line, whatever a model makes of it.
const STEP_LETTERS_MAX: usize = 300;

/// Letters of a helper's name.
const TAG_LETTERS: usize = 6;

/// Shows a run.
pub struct Human {
    out: Outlet,
    state: RefCell<State>,
}

struct State {
    out: Outlet,
    clock: Clock,
    /// Whether the last thing written is text without an end of line.
    is_open: bool,
    /// What was written of messages before they were complete.
    streamed: String,
    /// The helper that is spoken of.
    helper: Option<ThreadId>,
    prices: Prices,
    /// Of the model that is asked.
    price: Option<Price>,
}

impl Human {
    /// Shows a run on `out`, with what it cost where that is known.
    pub fn new(out: Outlet, prices: Prices) -> Self {
        let state = State {
            out: out.clone(),
            clock: Clock::start(),
            is_open: false,
            streamed: String::new(),
            helper: None,
            prices,
            price: None,
        };
        Self { out, state: RefCell::new(state) }
    }
}

impl Show for Human {
    fn outlet(&self) -> &Outlet {
        &self.out
    }

    fn thread(&self, begun: &Begun, provider: &str) {
        let mut state = self.state.borrow_mut();
        state.price = state.prices.get(&begun.model).cloned();
        let thread = begun.conversation.thread().id();
        let opened = begun.tools.workplace().opened();
        state.line(&format!(
            "thread {thread}  model {} ({provider})  profile {}",
            begun.model, opened.profile
        ));
        for remark in &begun.remarks {
            state.line(&format!("note: {remark}"));
        }
    }
}

impl Watch for Human {
    fn see(&self, seen: Seen<'_>) {
        let mut state = self.state.borrow_mut();
        match seen {
            Seen::Text(text) => {
                state.streamed.push_str(text);
                state.text(text);
            }
            Seen::Said { item, .. } => state.said(item),
            Seen::Again { .. } => {
                state.streamed.clear();
                state.happened(&seen);
            }
            Seen::Interrupting { awaited, since } => {
                state.line(&match since.as_secs() {
                    0 => {
                        "interrupted: what runs is being ended; Ctrl-C again does not wait for it".to_owned()
                    }
                    seconds => {
                        format!("still being ended after {seconds} s; Ctrl-C again does not wait for it")
                    }
                });
                state.awaited(awaited);
            }
            Seen::TurnEnded { ended } => state.over(ended),
            _ => state.happened(&seen),
        }
    }

    /// Text of helpers comes whole: several may write at once.
    fn see_in(&self, thread: ThreadId, seen: Seen<'_>) {
        let mut state = self.state.borrow_mut();
        state.helper = Some(thread);
        match seen {
            Seen::Said { item: Item::AgentMessage { text }, .. } => state.line(text),
            Seen::Said { item: Item::Error { message }, .. } => state.line(&format!("error: {message}")),
            Seen::Interrupting { awaited, .. } => state.awaited(awaited),
            _ => state.happened(&seen),
        }
        state.helper = None;
    }
}

impl State {
    fn write(&mut self, text: &str) {
        self.out.put(text.as_bytes());
    }

    /// What looks the same in a thread and in its helpers.
    fn happened(&mut self, seen: &Seen<'_>) {
        match seen {
            Seen::Again { attempt, pause, error } => {
                let seconds = pause.as_secs_f32();
                self.line(&format!(
                    "the model is asked again in {seconds:.1} s (attempt {attempt}): {error}"
                ));
            }
            Seen::Compacting => {
                self.line("the conversation is too long for the model; it is being summarized")
            }
            Seen::CallProgress { progress: Progress::Started { argv, .. }, .. } => {
                self.line(&format!("$ {}", command_line(argv)));
            }
            Seen::CallProgress { progress: Progress::Delegated { thread, task }, .. } => {
                self.line(&format!("helper {}: {task}", tag(*thread)));
            }
            Seen::CallEnded { call, outcome, .. } => self.call(call, outcome),
            _ => {}
        }
    }

    /// A line of its own. What follows in it is moved to the right; lines of a helper begin with its name.
    fn line(&mut self, text: &str) {
        let start = if std::mem::replace(&mut self.is_open, false) { "\n" } else { "" };
        let text = harmless(text);
        let text = match self.helper.map(tag) {
            None => format!("{}\n", text.replace('\n', &format!("\n{INDENT}"))),
            Some(tag) => text.lines().map(|line| format!("[{tag}] {line}\n")).collect(),
        };
        self.write(&format!("{start}{text}"));
    }

    /// What an interrupted turn waits for the end of.
    fn awaited(&mut self, awaited: &[&Awaited]) {
        for one in awaited {
            self.line(&match one {
                Awaited::Command { argv, .. } => format!("  waiting for $ {}", command_line(argv)),
                Awaited::Helper { thread } => format!("  waiting for helper {}", tag(*thread)),
            });
        }
    }

    /// Text as it comes.
    fn text(&mut self, text: &str) {
        self.is_open = !text.ends_with('\n');
        self.write(&harmless(text));
    }

    fn said(&mut self, item: &Item) {
        match item {
            Item::AgentMessage { text } => {
                match self.streamed.strip_prefix(text.as_str()) {
                    Some(rest) => self.streamed = rest.to_owned(),
                    None => {
                        self.streamed.clear();
                        self.text(text);
                    }
                }
                if std::mem::replace(&mut self.is_open, false) {
                    self.write("\n");
                }
            }
            Item::Error { message } => self.line(&format!("error: {message}")),
            _ => {}
        }
    }

    fn call(&mut self, call: &Call, outcome: &ToolOutcome) {
        match &outcome.did {
            Did::Command { status, output_tail, denials, .. } => {
                let lines: Vec<_> = output_tail.lines().collect();
                let from = lines.len().saturating_sub(OUTPUT_LINES_MAX);
                if from > 0 {
                    self.line("  …");
                }
                lines.get(from..).unwrap_or_default().iter().for_each(|line| self.line(&format!("  {line}")));
                self.line(&format!("  {}", ended(status)));
                for denial in denials {
                    self.line(&format!("  refused: {}", denial::what(denial)));
                }
            }
            Did::Files { changes } => {
                changes.iter().for_each(|change| self.line(&format!("  {}", changed(change))))
            }
            Did::Plan { steps } => steps.iter().for_each(|step| self.line(&format!("  {}", planned(step)))),
            Did::Failed { reason } => self.line(&format!("{}: {reason}", call.tool)),
            Did::Permission { granted, .. } => {
                self.line(&format!("{}: {}", call.tool, if *granted { "granted" } else { "not granted" }));
            }
            Did::Delegated { thread, status, usage } => {
                self.line(&format!("helper {} {}; {}", tag(*thread), stands(status), tokens(*usage)));
            }
            Did::Read | Did::Other => self.line(&format!("{} {}", call.tool, call.arguments)),
        }
    }

    fn over(&mut self, ended: &Ended) {
        match &ended.status {
            TurnStatus::Failed { message } => self.line(&format!("error: {message}")),
            TurnStatus::Interrupted => self.line("interrupted"),
            TurnStatus::Completed | TurnStatus::Open => {}
        }
        let cost = self.price.as_ref().map(|price| format!("; {}", price.of(ended.usage)));
        let line = format!("{} in {}{}", tokens(ended.usage), self.clock.seconds(), cost.unwrap_or_default());
        self.line(&line);
    }
}

/// What a helper is called: the end of its thread's id, for the beginnings of ids are alike.
fn tag(thread: ThreadId) -> String {
    let id = thread.to_string();
    id.get(id.len().saturating_sub(TAG_LETTERS)..).unwrap_or_default().to_owned()
}

/// How a helper's turn ended, in words.
fn stands(status: &TurnStatus) -> String {
    match status {
        TurnStatus::Completed | TurnStatus::Open => "is done".to_owned(),
        TurnStatus::Interrupted => "was interrupted".to_owned(),
        TurnStatus::Failed { message } => format!("could not go on: {message}"),
    }
}

/// Tokens, in a line.
fn tokens(usage: Usage) -> String {
    format!(
        "tokens: {} read ({} from the cache), {} written ({} of them reasoning)",
        usage.input, usage.cached_input, usage.output, usage.reasoning_output
    )
}

/// How a command stands, in words.
fn ended(status: &CommandStatus) -> String {
    match status {
        CommandStatus::Running => "still running".to_owned(),
        CommandStatus::Ended { end } => tool::ended(*end),
        CommandStatus::Declined { reason } => format!("declined: {reason}"),
        CommandStatus::NotStarted { reason } => format!("not started: {reason}"),
    }
}

fn changed(change: &FileChange) -> String {
    let word = match change.kind {
        ChangeKind::Add => "added",
        ChangeKind::Delete => "deleted",
        ChangeKind::Update => "changed",
    };
    format!("{word} {}", change.path)
}

fn planned(step: &Step) -> String {
    let mark = match step.status {
        StepStatus::Pending => ' ',
        StepStatus::InProgress => '>',
        StepStatus::Completed => 'x',
    };
    let words: String = step.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let more = if words.chars().nth(STEP_LETTERS_MAX).is_some() { " …" } else { "" };
    format!("[{mark}] {}{more}", words.chars().take(STEP_LETTERS_MAX).collect::<String>())
}
