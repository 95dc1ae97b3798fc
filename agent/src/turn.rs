//! One turn: a prompt, and what the model says and does until it has nothing more to do.
//!
//! `machine` decides what is next and performs nothing; this file performs it: asks the provider, lets [`Tools`] carry out calls,
//! keeps every item in the thread before the next thing happens, and tells [`Watch`]. A turn ends in one of three ways, each of
//! which is kept, with every item complete. Nothing here knows what a tool does or how a provider speaks.

mod calls;
mod compact;
mod machine;
mod sample;
mod seen;

use std::collections::{BTreeSet, VecDeque};

use futures_util::future::LocalBoxFuture;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::item::{CallId, Item, ToolOutcome, Usage};
use crate::model::{Effort, Prompt, Provider};
use crate::thread::{
    Counted, ItemId, Record, Said, Settings, Thread, ThreadError, TurnEnded, TurnId, TurnStarted, TurnStatus,
};
use crate::tool::{self, Observer, ToolSchema};
use machine::{Act, Happened, Machine};

pub use seen::{Awaited, Seen, Watch};

/// Words that wait for a turn; a person does not type faster than a turn hears.
pub const WORDS: usize = 16;

/// What a turn acts with.
pub trait Tools {
    /// What a model is told of them.
    fn schemas(&self) -> Vec<ToolSchema>;

    /// A turn begins.
    fn begin(&self, turn: TurnId);

    /// Carries out one call; several at once. Dropping the future ends what it has started.
    fn call<'a>(&'a self, call: &'a Call, observer: Observer<'a>) -> LocalBoxFuture<'a, ToolOutcome>;

    /// The turn is being interrupted: each call under way must come to an end of its own, with all that it has to tell. The turn waits
    /// for that.
    fn interrupt(&self);
}

impl Tools for tool::Tools {
    fn schemas(&self) -> Vec<ToolSchema> {
        self.schemas()
    }

    fn begin(&self, turn: TurnId) {
        self.begin_turn(turn);
    }

    fn call<'a>(&'a self, call: &'a Call, observer: Observer<'a>) -> LocalBoxFuture<'a, ToolOutcome> {
        Box::pin(self.call(&call.id, &call.tool, &call.arguments, observer))
    }

    fn interrupt(&self) {
        self.interrupt();
    }
}

/// A call, as the model wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its id.
    pub id: CallId,
    /// The tool.
    pub tool: String,
    /// Its arguments, which may be no JSON.
    pub arguments: String,
}

/// What a person says to a turn that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// To end it.
    Interrupt,
    /// To go on in another way: heard before the model is asked again.
    Steer(String),
}

/// What a model is asked with, in every request of a turn.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The model.
    pub model: &'a str,
    /// What it is to be and to keep to.
    pub instructions: &'a str,
    /// How much it is to reason.
    pub effort: Option<Effort>,
    /// What its last message must be an instance of.
    pub output_schema: Option<&'a Value>,
    /// Tokens of a conversation above which it is summarized; none where it is not known before the provider says so.
    pub compact_above: Option<u64>,
}

/// A thread with what its model is told, so that it is read once.
#[derive(Debug)]
pub struct Conversation {
    thread: Thread,
    items: Vec<Item>,
    /// Ids of calls, those of which a model is told no more since a summary included.
    called: BTreeSet<CallId>,
}

impl Conversation {
    /// Of an open thread.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn new(thread: Thread) -> Result<Self, ThreadError> {
        let items = thread.items()?;
        let called = items.iter().filter_map(Item::calls).cloned().collect();
        Ok(Self { thread, items, called })
    }

    /// The thread.
    #[must_use]
    pub const fn thread(&self) -> &Thread {
        &self.thread
    }

    /// The thread, to bind or to name it.
    pub const fn thread_mut(&mut self) -> &mut Thread {
        &mut self.thread
    }

    /// What a model is told.
    #[must_use]
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    fn keep(&mut self, turn: TurnId, id: ItemId, item: Item) -> Result<(), ThreadError> {
        self.thread.append(Record::Item(Said { turn, id, item: item.clone() }))?;
        if matches!(item, Item::Compaction { .. }) {
            self.items.clear();
        }
        self.called.extend(item.calls().cloned());
        self.items.push(item);
        Ok(())
    }
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The turn.
    pub turn: TurnId,
    /// How.
    pub status: TurnStatus,
    /// Tokens of this turn.
    pub usage: Usage,
    /// Tokens of its thread.
    pub total: Usage,
}

/// One turn, with all that it needs.
pub struct Turn<'a> {
    /// Who is asked.
    pub provider: &'a dyn Provider,
    /// What acts.
    pub tools: &'a dyn Tools,
    /// Who sees it.
    pub watch: &'a dyn Watch,
    /// What is asked.
    pub asked: Asked<'a>,
}

/// A turn that runs.
struct Running<'a> {
    turn: &'a Turn<'a>,
    id: TurnId,
    conversation: &'a mut Conversation,
    words: &'a mut mpsc::Receiver<Word>,
    schemas: Vec<ToolSchema>,
    usage: Usage,
}

impl Turn<'_> {
    /// Runs a turn to its end. Errors of the model end it and are in [`Ended`].
    ///
    /// # Errors
    /// Where the thread takes no more: nothing is done that is not kept.
    pub async fn run(
        &self,
        conversation: &mut Conversation,
        settings: Settings,
        prompt: String,
        words: &mut mpsc::Receiver<Word>,
    ) -> Result<Ended, ThreadError> {
        let id = TurnId::new();
        conversation.thread.append(Record::TurnStarted(TurnStarted { turn: id, settings }))?;
        self.tools.begin(id);
        self.watch.see(Seen::TurnStarted { turn: id });
        let schemas = self.tools.schemas();
        let usage = Usage::default();
        let mut running = Running { turn: self, id, conversation, words, schemas, usage };
        let mut machine = Machine::new(self.asked.compact_above);
        let ended = match running.follow(&mut machine, prompt).await {
            Ok(status) => running.end(status),
            Err(error) => Err(error),
        };
        ended.inspect_err(|error| drop(running.tell_end(TurnStatus::Failed { message: error.to_string() })))
    }
}

impl Running<'_> {
    async fn follow(&mut self, machine: &mut Machine, prompt: String) -> Result<TurnStatus, ThreadError> {
        let mut acts = VecDeque::from(machine.begin(prompt));
        while let Some(act) = acts.pop_front() {
            let happened = match act {
                Act::Keep(item) => {
                    self.keep(item)?;
                    continue;
                }
                Act::Ask => self.ask(machine).await?,
                Act::Call(calls) => self.call(calls, machine).await?,
                Act::Compact => self.compact(machine).await?,
                Act::End(status) => return Ok(status),
            };
            acts.extend(machine.on(happened));
        }
        Ok(TurnStatus::Completed)
    }

    fn keep(&mut self, item: Item) -> Result<(), ThreadError> {
        let id = ItemId::new();
        self.turn.watch.see(Seen::Said { id, item: &item });
        self.conversation.keep(self.id, id, item)
    }

    /// Asks the model once, however often that takes.
    async fn ask(&mut self, machine: &mut Machine) -> Result<Happened, ThreadError> {
        let thread = self.conversation.thread.id().to_string();
        let prompt = self.turn.asked.prompt(&self.conversation.items, &self.schemas, &thread);
        let partial = sample::Partial::default();
        let asked = tokio::select! {
            biased;
            () = interrupted(self.words, machine) => None,
            answered = sample::sample(self.turn.provider, &prompt, self.turn.watch, &partial) => Some(answered),
        };
        match asked {
            None => Ok(Happened::Interrupted { said: partial.take() }),
            Some(Err(error)) => Ok(Happened::Failed(error)),
            Some(Ok(mut answer)) => {
                calls::tell_apart(&mut answer.items, &self.conversation.called);
                self.count(answer.usage)?;
                Ok(Happened::Answered(answer))
            }
        }
    }

    async fn compact(&mut self, machine: &mut Machine) -> Result<Happened, ThreadError> {
        let thread = self.conversation.thread.id().to_string();
        let prompt = self.turn.asked.prompt(&self.conversation.items, &self.schemas, &thread);
        self.turn.watch.see(Seen::Compacting);
        let asked = tokio::select! {
            biased;
            () = interrupted(self.words, machine) => None,
            summary = compact::summary(self.turn.provider, &prompt, self.turn.watch) => Some(summary),
        };
        match asked {
            None => Ok(Happened::Interrupted { said: Vec::new() }),
            Some(Err(error)) => Ok(Happened::Failed(error)),
            Some(Ok(compact::Summary { text, usage })) => {
                self.count(usage)?;
                Ok(Happened::Compacted(text))
            }
        }
    }

    fn count(&mut self, usage: Usage) -> Result<(), ThreadError> {
        self.usage += usage;
        let total = self.conversation.thread.usage() + usage;
        self.conversation.thread.append(Record::Usage(Counted { turn: self.id, usage, total }))?;
        self.turn.watch.see(Seen::Counted { turn: self.usage, total });
        Ok(())
    }

    fn end(&mut self, status: TurnStatus) -> Result<Ended, ThreadError> {
        let ended = TurnEnded { turn: self.id, status: status.clone() };
        self.conversation.thread.append(Record::TurnEnded(ended))?;
        Ok(self.tell_end(status))
    }

    /// Tells how the turn ends; where that cannot be kept, it is all that can be done.
    fn tell_end(&self, status: TurnStatus) -> Ended {
        let total = self.conversation.thread.usage();
        let ended = Ended { turn: self.id, status, usage: self.usage, total };
        self.turn.watch.see(Seen::TurnEnded { ended: &ended });
        ended
    }
}

impl Asked<'_> {
    fn prompt<'a>(&'a self, items: &'a [Item], tools: &'a [ToolSchema], thread: &'a str) -> Prompt<'a> {
        Prompt {
            model: self.model,
            instructions: self.instructions,
            items,
            tools,
            output_schema: self.output_schema,
            effort: self.effort,
            cache_key: thread,
        }
    }
}

/// Waits for the word that ends the turn; others are left for later. Where nobody can say a word any more, forever.
async fn interrupted(words: &mut mpsc::Receiver<Word>, machine: &mut Machine) {
    loop {
        match words.recv().await {
            Some(Word::Interrupt) => return,
            Some(Word::Steer(text)) => machine.steer(text),
            None => std::future::pending().await,
        }
    }
}
