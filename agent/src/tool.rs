//! What a model can ask to be done: each tool is a schema and a request to the exec-server, and nothing else.
//!
//! The context's policy decides, at the exec-server; nothing here widens it, and what a model writes is read strictly: a mistake goes
//! back to it as text. Calls may run at the same time. A call whose future is dropped ends what it started; what was left running
//! ends with [`Tools::end_all`], or with the tools. [`turn`](crate) drives this.

pub(crate) mod arguments;
pub(crate) mod capture;
mod command;
mod files;
mod job;
mod left;
mod numbered;
mod permission;
mod plan;
mod told;
mod workplace;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::rc::Rc;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::sync::futures::Notified;
use tokio::sync::{Mutex, Notify};
use weir_protocol::method::context::{LeaseId, Under};
use weir_protocol::method::file::Within;
use weir_protocol::method::process::ProcessId;

use crate::item::{CallId, ToolOutcome};
use crate::thread::{ThreadId, TurnId};
use job::Job;

pub(crate) use told::ended;
pub use workplace::{Place, Workplace, session, session_while};

/// What a call is told to have come to that the person did not wait for.
pub(crate) const GIVEN_UP: &str = "Interrupted by the person before it was over.";

/// Comes when the turn is interrupted, and then again and again.
type Interruption<'a, 'b> = Pin<&'a mut Notified<'b>>;

/// What a model is told about a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSchema {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub description: &'static str,
    /// Its arguments, as JSON Schema.
    pub parameters: Value,
}

/// What happens while a call is carried out.
#[derive(Debug)]
pub enum Progress<'a> {
    /// A command has started.
    Started {
        /// Its number at the exec-server.
        process: ProcessId,
        /// Its words.
        argv: &'a [String],
    },
    /// It wrote this.
    Output(&'a [u8]),
    /// Another thread has the work.
    Delegated {
        /// The thread.
        thread: ThreadId,
        /// The work, in the model's words.
        task: &'a str,
    },
}

/// Who hears of progress.
pub type Observer<'a> = &'a dyn Fn(Progress<'_>);

/// The tools of one thread.
#[derive(Debug)]
pub struct Tools {
    place: Workplace,
    turn: RefCell<Option<TurnId>>,
    leases: permission::Held,
    jobs: RefCell<BTreeMap<ProcessId, Rc<Mutex<Job>>>>,
    /// Commands that have ended and whose end is told; the server may still hold what they wrote.
    over: RefCell<Vec<ProcessId>>,
    /// Tells the calls under way that their turn is interrupted.
    interrupted: Notify,
}

impl Tools {
    /// Tools that work in `place`.
    #[must_use]
    pub fn new(place: Workplace) -> Self {
        let (turn, leases, jobs, over, interrupted) = Default::default();
        Self { place, turn, leases, jobs, over, interrupted }
    }

    /// Where they work.
    #[must_use]
    pub const fn workplace(&self) -> &Workplace {
        &self.place
    }

    /// What a model is offered.
    #[must_use]
    pub fn schemas(&self) -> Vec<ToolSchema> {
        let mut all = command::schemas();
        all.extend(files::schemas());
        all.push(plan::schema());
        all.push(permission::schema());
        all
    }

    /// A turn begins: what was granted for the one before is over.
    pub fn begin_turn(&self, turn: TurnId) {
        *self.turn.borrow_mut() = Some(turn);
        self.forget_leases();
        self.place.gate.begin_turn();
    }

    /// Carries out one call. Never fails: what cannot be done is told.
    pub async fn call(
        &self,
        call: &CallId,
        tool: &str,
        arguments: &str,
        observer: Observer<'_>,
    ) -> ToolOutcome {
        let mut interruption = pin!(self.interrupted.notified());
        let outcome = match tool {
            command::RUN => self.run(call, arguments, observer, interruption).await,
            command::WRITE => self.write_stdin(arguments, observer, interruption).await,
            other => tokio::select! {
                biased;
                outcome = self.at_once(other, arguments) => outcome,
                () = interruption.as_mut() => Err(GIVEN_UP.to_owned()),
            },
        };
        outcome.unwrap_or_else(ToolOutcome::failed)
    }

    /// Carries out a call that starts nothing: it can be given up at any time.
    async fn at_once(&self, tool: &str, arguments: &str) -> Result<ToolOutcome, String> {
        match tool {
            plan::UPDATE => plan::update(arguments),
            permission::REQUEST => self.request_permissions(arguments).await,
            files::READ => self.read_file(arguments).await,
            files::LIST => self.list_directory(arguments).await,
            files::FIND => self.find_files(arguments).await,
            files::SEARCH => self.search_files(arguments).await,
            files::PATCH => self.patch_files(arguments).await,
            files::WRITE => self.write_file(arguments).await,
            unknown => Err(self.unknown(unknown)),
        }
    }

    /// Interrupts the calls under way: a command is ended and followed to its last byte, everything else is given up.
    pub fn interrupt(&self) {
        self.interrupted.notify_waiters();
    }

    fn unknown(&self, tool: &str) -> String {
        let names: Vec<_> = self.schemas().iter().map(|schema| schema.name).collect();
        format!("there is no tool `{tool}`; there are {}", names.join(", "))
    }

    /// Ends every command that was left running, and keeps all that it wrote.
    pub async fn end_all(&self) {
        let jobs = self.jobs.take();
        join_all(jobs.values().map(|job| async {
            // One whose end cannot be heard has a server that is gone, and with it the command.
            let _ = job.lock().await.end(&|_| {}).await;
        }))
        .await;
        for id in jobs.into_keys().chain(self.over.take()) {
            self.place.forget(id);
        }
    }

    /// Ends every command that was left running, and closes the context.
    pub async fn end(&self) {
        self.end_all().await;
        self.place.executor.settle().await;
        self.place.closed().await;
    }

    /// Numbers of the commands that were left running.
    #[must_use]
    pub fn running(&self) -> Vec<ProcessId> {
        self.jobs.borrow().keys().copied().collect()
    }

    fn under(&self) -> Under {
        self.under_lease(self.leases.borrow().of_turn())
    }

    fn under_lease(&self, lease: Option<LeaseId>) -> Under {
        let turn = self.turn.borrow().as_ref().map(ToString::to_string);
        Under { context: self.place.opened.id, lease, turn }
    }

    fn within<T>(&self, file: T) -> Within<T> {
        Within { under: self.under(), standpoint: self.place.standpoint.clone(), file }
    }
}
