//! Work that a thread gives to another: a thread of its own, bound to a policy that allows no more, whose last words come back.
//!
//! [`Delegating`] is what a turn acts with: the tools of its thread, and one more, whose call is a turn of another thread. What that
//! thread may do is decided by the exec-server, which makes its context of the parent's and narrows it; leases are not passed on.
//! An interruption of the parent is one of its children, and each ends its turn with every item complete. Caller: [`exec`](crate::exec).

mod family;

use std::cell::RefCell;
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::mpsc;
use weir_protocol::method::context::Wider;
use weir_protocol::method::policy::Choice;

use crate::item::{Did, Item, ToolOutcome, Usage};
use crate::thread::{Bound, NewThread, Settings, Source, Thread, ThreadId, TurnId, TurnStatus};
use crate::tool::capture::Capture;
use crate::tool::{self, Observer, Progress, ToolSchema, arguments};
use crate::turn::{Asked, Call, Conversation, Ended, Tools, Turn, Word};
use family::Within;

pub use family::{Counts, Family};

/// Name of the tool.
pub const DELEGATE: &str = "delegate";

/// How deep work is given on: a helper may have helpers, and these have none.
pub const MAX_DEPTH: u32 = 2;

/// Helpers of one run that work at the same time, at any depth. Each asks the provider on its own and may run a command at once.
pub const MAX_AT_ONCE: u32 = 8;

/// Helpers that one turn of a person's may have in all: a model that goes in circles would never end.
pub const MAX_IN_TURN: u32 = 64;

/// Bytes of a helper's last words that are told, about as many as of a command's output.
const ANSWER_BYTES: usize = 40_000;

/// Give work to a helper.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Delegate {
    /// The whole task: the helper knows nothing of this conversation. Say what it is to find out or do, and what it is to answer.
    task: String,
    /// A permission profile that allows no more than this thread's; absent: this thread's.
    #[serde(default)]
    profile: Option<String>,
    /// Paths that are closed to the helper.
    #[serde(default)]
    deny: Vec<String>,
}

/// What a thread acts with that can give work to others.
pub struct Delegating<'a> {
    family: Rc<Family<'a>>,
    tools: tool::Tools,
    thread: ThreadId,
    bound: Bound,
    choice: Choice,
    depth: u32,
    /// Where each helper that works now can be told to end.
    helpers: RefCell<Vec<mpsc::Sender<Word>>>,
}

impl Tools for Delegating<'_> {
    fn schemas(&self) -> Vec<ToolSchema> {
        let mut all = self.tools.schemas();
        if self.depth < MAX_DEPTH {
            all.push(schema());
        }
        all
    }

    fn begin(&self, turn: TurnId) {
        if self.depth == 0 {
            self.family.counts.begin_turn();
        }
        self.tools.begin_turn(turn);
    }

    fn call<'a>(&'a self, call: &'a Call, observer: Observer<'a>) -> LocalBoxFuture<'a, ToolOutcome> {
        Box::pin(async move {
            if call.tool != DELEGATE || self.depth >= MAX_DEPTH {
                return self.tools.call(&call.id, &call.tool, &call.arguments, observer).await;
            }
            self.delegate(&call.arguments, observer).await.unwrap_or_else(ToolOutcome::failed)
        })
    }

    fn interrupt(&self) {
        for helper in self.helpers.borrow().iter() {
            // Where the channel is full it has been told already.
            let _ = helper.try_send(Word::Interrupt);
        }
        self.tools.interrupt();
    }
}

fn schema() -> ToolSchema {
    ToolSchema {
        name: DELEGATE,
        description: "Gives a task to a helper: another model in a thread of its own, in the same directory, with the same tools, under this \
                      thread's permission profile or a narrower one. Its last message comes back. Several at once work side by side; what \
                      they leave running ends with them.",
        parameters: arguments::schema::<Delegate>(),
    }
}

impl<'a> Delegating<'a> {
    /// What the thread of a person's acts with.
    #[must_use]
    pub fn new(family: Family<'a>, tools: tool::Tools, thread: &Thread, choice: Choice) -> Self {
        Self::of(Rc::new(family), tools, thread, choice, 0)
    }

    fn of(family: Rc<Family<'a>>, tools: tool::Tools, thread: &Thread, choice: Choice, depth: u32) -> Self {
        let (thread, bound) = (thread.id(), thread.bound().clone());
        Self { family, tools, thread, bound, choice, depth, helpers: RefCell::default() }
    }

    /// Ends every command that was left running, and closes the thread's context.
    pub async fn end(&self) {
        self.tools.end().await;
    }

    /// Its own tools.
    #[must_use]
    pub const fn own(&self) -> &tool::Tools {
        &self.tools
    }

    async fn delegate(&self, text: &str, observer: Observer<'_>) -> Result<ToolOutcome, String> {
        let Delegate { task, profile, deny } = arguments::read(DELEGATE, text)?;
        if task.trim().is_empty() {
            return Err("there is no task".to_owned());
        }
        let _place = self.family.counts.take()?;
        let (say, mut words) = mpsc::channel(1);
        let _listed = Listed::new(&self.helpers, say);
        let (helper, thread) = self.helper(profile, deny).await?;
        observer(Progress::Delegated { thread: thread.id(), task: &task });
        let id = thread.id();
        let ended = helper.work(thread, task, &mut words).await;
        helper.tools.end_all().await;
        helper.tools.workplace().close();
        Ok(outcome(id, ended))
    }

    /// A helper and its thread, bound to no more than this one.
    async fn helper(&self, profile: Option<String>, deny: Vec<String>) -> Result<(Self, Thread), String> {
        let mut choice = self.choice.clone();
        let narrower = profile.is_some() || !deny.is_empty();
        choice.profile = Some(profile.unwrap_or_else(|| self.bound.profile.clone()));
        choice.deny.extend(deny);
        let bound = if narrower { self.narrower(&choice).await? } else { self.bound.clone() };
        let digest = bound.digest;
        let new = NewThread {
            cwd: choice.standpoint.cwd.clone(),
            model: self.family.model.clone(),
            provider: self.family.provider.id().to_owned(),
            source: Source::Delegated { by: self.thread },
            bound,
            keeping: self.family.keeping,
        };
        let failed = |error: &dyn std::fmt::Display| format!("there is no helper: {error}");
        let thread = self.family.store.create(new).map_err(|error| failed(&error))?;
        let outputs = thread.outputs().map_err(|error| failed(&error))?;
        let place = self.tools.workplace();
        let forked = place.fork(thread.id(), narrower.then(|| choice.clone()), outputs).await;
        let place = forked.map_err(|error| failed(&error))?;
        if place.opened().digest != digest {
            place.close();
            return Err(failed(&"the profile was changed meanwhile; call again"));
        }
        let tools = tool::Tools::new(place);
        Ok((Self::of(Rc::clone(&self.family), tools, &thread, choice, self.depth + 1), thread))
    }

    /// What a profile means now; an error where it allows more than what binds this thread. The server judges it again.
    async fn narrower(&self, choice: &Choice) -> Result<Bound, String> {
        let shown = self.tools.workplace().show(choice.clone()).await;
        let shown = shown.map_err(|error| format!("there is no helper: {error}"))?;
        match shown.policy.within(&self.bound.policy) {
            Ok(within) => {
                let policy = within.policy;
                Ok(Bound { profile: policy.profile().to_owned(), digest: policy.digest(), policy })
            }
            Err(excess) => {
                let wider = Wider { bound: self.bound.digest, asked: shown.digest, excess };
                Err(format!("a helper is allowed no more than this thread: {wider}"))
            }
        }
    }

    /// Its turn. The last message, and how the turn ended; why, where it could not be kept.
    async fn work(
        &self,
        thread: Thread,
        task: String,
        words: &mut mpsc::Receiver<Word>,
    ) -> Result<(Ended, Option<String>), String> {
        let family = &self.family;
        let settings = Settings {
            cwd: self.choice.standpoint.cwd.clone(),
            model: family.model.clone(),
            provider: family.provider.id().to_owned(),
            effort: family.effort.map(|effort| effort.word().to_owned()),
            approval: family.approval,
            digest: self.bound.digest,
        };
        let opened = self.tools.workplace().opened();
        let instructions = (family.instructions)(&self.choice.standpoint.cwd, opened);
        let asked = Asked {
            model: &family.model,
            instructions: &instructions,
            effort: family.effort,
            output_schema: None,
            compact_above: family.compact_above,
        };
        let watch = Within { watch: family.watch, thread: self.thread };
        let turn = Turn { provider: family.provider, tools: self, watch: &watch, asked };
        let mut conversation = Conversation::new(thread).map_err(|error| error.to_string())?;
        let ended = turn.run(&mut conversation, settings, task, words).await;
        Ok((ended.map_err(|error| error.to_string())?, last_words(conversation.items())))
    }
}

fn last_words(items: &[Item]) -> Option<String> {
    items.iter().rev().find_map(|item| match item {
        Item::AgentMessage { text } => Some(text.clone()),
        _ => None,
    })
}

/// What the parent's model is told, and what is kept.
fn outcome(thread: ThreadId, ended: Result<(Ended, Option<String>), String>) -> ToolOutcome {
    let (status, usage, words) = match ended {
        Ok((Ended { status, usage, .. }, words)) => (status, usage, words),
        Err(message) => (TurnStatus::Failed { message }, Usage::default(), None),
    };
    let how = match &status {
        TurnStatus::Completed | TurnStatus::Open => "The helper is done".to_owned(),
        TurnStatus::Interrupted => "The helper was interrupted by the person".to_owned(),
        TurnStatus::Failed { message } => format!("The helper could not go on: {message}"),
    };
    let said = words.map_or_else(
        || "It said nothing.".to_owned(),
        |words| {
            let mut capture = Capture::new(ANSWER_BYTES);
            capture.add(words.as_bytes());
            format!("Its last words:\n\n{}", capture.text())
        },
    );
    ToolOutcome {
        told: format!("{how} (thread {thread}). {said}"),
        did: Did::Delegated { thread, status, usage },
    }
}

/// A helper among those that work, until it is dropped.
struct Listed<'a> {
    helpers: &'a RefCell<Vec<mpsc::Sender<Word>>>,
    say: mpsc::Sender<Word>,
}

impl<'a> Listed<'a> {
    fn new(helpers: &'a RefCell<Vec<mpsc::Sender<Word>>>, say: mpsc::Sender<Word>) -> Self {
        helpers.borrow_mut().push(say.clone());
        Self { helpers, say }
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.helpers.borrow_mut().retain(|say| !say.same_channel(&self.say));
    }
}
