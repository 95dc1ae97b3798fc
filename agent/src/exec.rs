//! `weir exec`: one turn of a thread without a person at the screen, shown as it happens.
//!
//! Opens a thread with the policy that binds it, runs a [`Turn`], and projects what is seen of it on events ([`events`]) or on
//! text for people ([`human`]). Decides nothing about what is allowed. Caller: the command line.

mod answering;
mod begin;
pub mod events;
pub mod human;
mod instructions;
mod interrupts;
mod left;
mod outlet;

use std::future::poll_fn;
use std::pin::Pin;
use std::task::ready;
use std::time::Instant;

use tokio::sync::mpsc;

use crate::approval::Approvals;
use crate::confine::ConfineError;
use crate::delegate::{Counts, Delegating, Family};
use crate::executor::ExecutorError;
use crate::item::Item;
use crate::link::{LinkError, Which};
use crate::model::{Effort, Provider};
use crate::thread::{Settings, ThreadError, ThreadId, TurnStatus};
use crate::turn::{Asked, Ended, Seen, Turn, WORDS, Watch, Word};
use serde_json::Value;
use weir_protocol::method::context::Wider;
use weir_protocol::method::output::WhenLeft;
use weir_protocol::method::policy::Choice;

use interrupts::Interrupts;

pub use answering::Answering;
pub use begin::{Begun, Continued, Kept};
pub(crate) use outlet::write_now;
pub use outlet::{Outlet, Quiet};

/// Why there was no turn.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// No exec-server.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// It refused.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// The thread.
    #[error(transparent)]
    Thread(#[from] ThreadError),
    /// The turn, which is told to have failed: what was said or done in it could not be kept.
    #[error("{0}")]
    Turn(ThreadError),
    /// The profile allows more than what binds the thread.
    #[error(transparent)]
    Wider(Box<Wider>),
    /// The same, and the profile means another directory than the thread's.
    #[error(
        "{wider}\nthe thread works in {home}, and this is {here}; go on there: `weir exec --cd {home} …`"
    )]
    Elsewhere {
        /// The difference.
        wider: Box<Wider>,
        /// The thread's directory.
        home: String,
        /// This one.
        here: String,
    },
    /// The profile was changed while the thread was being opened.
    #[error("the profile was changed while the thread was being opened; say it again")]
    Changed,
    /// Nobody names a model: not the caller, nor the configuration, nor a thread with the same provider.
    #[error(
        "no model is chosen: --model NAME, or `model = \"NAME\"` in config.toml; `weir models` lists them"
    )]
    NoModel,
    /// There is no thread to go on with.
    #[error("there is no thread of this directory to go on with")]
    NoThread,
    /// Where output is kept cannot be made.
    #[error("cannot make {}: {source}", .path.display())]
    Outputs {
        /// The directory.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The person did not wait for the end.
    #[error("given up: what was running is being ended")]
    GivenUp {
        /// The signal, the second one.
        signal: i32,
    },
    /// The person did not wait for the beginning.
    #[error("given up before the turn began")]
    NotBegun {
        /// The signal.
        signal: i32,
    },
    /// The agent cannot give up what it does not need.
    #[error("the agent cannot confine itself: {0}")]
    Confine(#[from] ConfineError),
    /// Signals cannot be heard.
    #[error("cannot hear signals: {0}")]
    Signals(std::io::Error),
}

/// One run of `weir exec`.
pub struct Exec<'a> {
    /// The server that is used.
    pub which: Which,
    /// The profile and where it stands; for a thread that is continued, no profile means its own.
    pub choice: Choice,
    /// Where threads are kept.
    pub home: &'a std::path::Path,
    /// What is begun or continued.
    pub continued: Continued,
    /// Whether it is kept.
    pub kept: Kept,
    /// Who is asked.
    pub provider: &'a dyn Provider,
    /// The model that is asked for.
    pub model: Option<String>,
    /// The model where none is asked for, and the thread has none of this provider's.
    pub usual_model: Option<String>,
    /// How much it is to reason.
    pub effort: Option<Effort>,
    /// What the last message must be an instance of.
    pub output_schema: Option<Value>,
    /// Tokens above which the conversation is summarized.
    pub compact_above: Option<u64>,
    /// When the person is asked.
    pub approvals: Approvals,
    /// Who answers.
    pub answering: Answering,
    /// What becomes of a command when this process goes without a word.
    pub when_left: WhenLeft,
    /// Files beyond the agent's own that the caller writes at the end. They are there.
    pub writes: Vec<std::path::PathBuf>,
    /// Variables that no command is to see.
    pub secret_variables: Vec<String>,
    /// What is asked.
    pub prompt: String,
}

/// What came of it.
#[derive(Debug)]
pub struct Done {
    /// The thread.
    pub thread: ThreadId,
    /// The turn.
    pub ended: Ended,
    /// The signal that interrupted it.
    pub signal: Option<i32>,
}

/// Who sees a run: a turn, and what is before it.
pub trait Show: Watch {
    /// Where it is shown. The run waits for room there, and questions for quiet.
    fn outlet(&self) -> &Outlet;

    /// The thread is open.
    fn thread(&self, begun: &Begun, provider: &str);
}

impl Exec<'_> {
    /// Runs the turn.
    ///
    /// # Errors
    /// Where it could not begin, or the thread could not be kept. A turn that failed is in [`Done`].
    pub async fn run(self, show: &dyn Show) -> Result<Done, ExecError> {
        let mut interrupts = Interrupts::new().map_err(ExecError::Signals)?;
        let (say, mut words) = mpsc::channel(WORDS);
        let approver = self.answering.approver(say.clone(), show.outlet());
        let begun = tokio::select! {
            biased;
            signal = interrupts.next() => {
                return Err(ExecError::NotBegun { signal: signal.map_err(ExecError::Signals)? });
            }
            begun = begin::begin(&self, approver) => begun?,
        };
        show.thread(&begun, self.provider.id());
        let Begun { mut conversation, tools, model, store, choice, .. } = begun;
        let instructions = instructions::text(&choice.standpoint.cwd, tools.workplace().opened());
        let family = Family {
            provider: self.provider,
            watch: show,
            store,
            keeping: self.kept.keeping(),
            model: model.clone(),
            effort: self.effort,
            compact_above: self.compact_above,
            approval: self.approvals.policy,
            instructions: instructions::of_helper,
            counts: Counts::default(),
        };
        let tools = Delegating::new(family, tools, conversation.thread(), choice);
        let settings = Settings {
            cwd: self.choice.standpoint.cwd.clone(),
            model: model.clone(),
            provider: self.provider.id().to_owned(),
            effort: self.effort.map(|effort| effort.word().to_owned()),
            approval: self.approvals.policy,
            digest: tools.own().workplace().opened().digest,
        };
        let asked = Asked {
            model: &model,
            instructions: &instructions,
            effort: self.effort,
            output_schema: self.output_schema.as_ref(),
            compact_above: self.compact_above,
        };
        let turn = Turn { provider: self.provider, tools: &tools, watch: show, asked };
        let thread = conversation.thread().id();
        let running = async {
            let ended = turn.run(&mut conversation, settings, self.prompt, &mut words).await;
            let ended = ended.map_err(ExecError::Turn)?;
            tools.end().await;
            Ok::<_, ExecError>(ended)
        };
        tokio::pin!(running);
        let mut signal = None;
        let ended = loop {
            tokio::select! {
                ended = paced(running.as_mut(), show.outlet(), signal) => break ended?,
                number = interrupts.next() => {
                    let number = number.map_err(ExecError::Signals)?;
                    // The first ends the turn; whoever says it again does not wait.
                    if signal.replace(number).is_some() || say.try_send(Word::Interrupt).is_err() {
                        return Err(ExecError::GivenUp { signal: number });
                    }
                }
            }
        };
        // What is left is to write what waits, and nobody who gives up waits for that.
        if let Some(signal) = interrupts.end() {
            return Err(ExecError::GivenUp { signal });
        }
        let signal = signal.filter(|_| ended.status == TurnStatus::Interrupted);
        Ok(Done { thread, ended, signal })
    }
}

/// Carries a run on while there is room for what it says; one that a signal ends, however much waits to be read.
async fn paced<T>(mut run: Pin<&mut impl Future<Output = T>>, outlet: &Outlet, signal: Option<i32>) -> T {
    poll_fn(|context| {
        if signal.is_none() {
            ready!(outlet.poll_room(context));
        }
        run.as_mut().poll(context)
    })
    .await
}

/// Remembers the last message of what is shown.
pub struct Last<S> {
    show: S,
    message: std::cell::RefCell<Option<String>>,
}

impl<S> Last<S> {
    /// Of a run that is shown by `show`.
    pub fn new(show: S) -> Self {
        Self { show, message: std::cell::RefCell::default() }
    }

    /// What shows it.
    pub fn shown(&self) -> &S {
        &self.show
    }

    /// The last message.
    pub fn message(&self) -> Option<String> {
        self.message.borrow().clone()
    }
}

impl<S: Show> Show for Last<S> {
    fn outlet(&self) -> &Outlet {
        self.show.outlet()
    }

    fn thread(&self, begun: &Begun, provider: &str) {
        self.show.thread(begun, provider);
    }
}

impl<S: Watch> Watch for Last<S> {
    fn see(&self, seen: Seen<'_>) {
        if let Seen::Said { item: Item::AgentMessage { text }, .. } = &seen {
            *self.message.borrow_mut() = Some(text.clone());
        }
        self.show.see(seen);
    }

    fn see_in(&self, thread: ThreadId, seen: Seen<'_>) {
        self.show.see_in(thread, seen);
    }
}

/// When something began, for a line that says how long it took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Seconds since, to a tenth.
    pub(crate) fn seconds(self) -> String {
        format!("{:.1} s", self.0.elapsed().as_secs_f64())
    }
}
