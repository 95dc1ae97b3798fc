//! Where tools work: an exec-server, a context that binds the thread, a directory.

use std::path::PathBuf;
use std::rc::Rc;

use weir_protocol::method::context::{Close, Fork, Narrow, Open, Opened, Under};
use weir_protocol::method::file::{Links, Stat, Within};
use weir_protocol::method::output::{Keep, Output, WhenLeft};
use weir_protocol::method::policy::{Choice, Shown, Standpoint};
use weir_protocol::method::process::ProcessId;
use weir_protocol::{AbsPath, ByteString, Policy};

use crate::approval::{Approvals, Approver, Gate};
use crate::executor::{Executor, ExecutorError};
use crate::link::{self, Link, LinkError, Session, Which};
use crate::thread::ThreadId;

/// Shells that commands are given to, best first, with their option for a script.
const SHELLS: [[&str; 2]; 2] = [["/bin/bash", "-c"], ["/bin/sh", "-c"]];

/// What a workplace is made of.
pub struct Place {
    /// The profile, from which files, and where the thread stands.
    pub choice: Choice,
    /// The thread that is bound to it.
    pub thread: ThreadId,
    /// The thread that it continues: what the server knows to bind that one binds it where nothing does yet.
    pub forked_from: Option<ThreadId>,
    /// What binds the thread by its own file, where something does.
    pub bound: Option<Policy>,
    /// The environment that the profile filters; the keys of providers must not be in it.
    pub environment: Vec<(ByteString, ByteString)>,
    /// A directory for all that commands write; none where nothing may be kept.
    pub outputs: Option<PathBuf>,
    /// What becomes of a command that runs when this process goes without a word.
    pub when_left: WhenLeft,
    /// When the person is asked.
    pub approvals: Approvals,
    /// Who answers.
    pub approver: Rc<dyn Approver>,
}

/// An open context at an exec-server.
#[derive(Debug)]
pub struct Workplace {
    pub(super) executor: Executor,
    pub(super) opened: Opened,
    pub(super) standpoint: Standpoint,
    pub(super) environment: Vec<(ByteString, ByteString)>,
    pub(super) umask: Option<u32>,
    pub(super) shell: [&'static str; 2],
    pub(super) outputs: Option<PathBuf>,
    pub(super) when_left: WhenLeft,
    pub(super) thread: ThreadId,
    pub(super) gate: Gate,
}

/// A session with the server that is meant, or with one of this process's own where none runs.
///
/// # Errors
/// [`LinkError`].
pub fn session(which: &Which) -> Result<Session, LinkError> {
    let running = link::find(which)?;
    Session::new(running.map_or_else(Link::alone, Ok)?)
}

/// The same for whoever waits for other things as well. Within a runtime.
///
/// # Errors
/// [`LinkError`].
pub async fn session_while(which: &Which) -> Result<Session, LinkError> {
    match link::find_while(which).await? {
        Some(running) => Session::new(running),
        None => Session::new(Link::alone_while().await?),
    }
}

impl Workplace {
    /// Opens the thread's context: a new one, or the one that binds it, if that is no narrower.
    ///
    /// # Errors
    /// [`ExecutorError::Refused`] with both digests and the differing rules where the profile allows more than what binds the thread.
    pub async fn open(executor: Executor, place: Place) -> Result<Self, ExecutorError> {
        let Place {
            choice,
            thread,
            forked_from,
            bound,
            environment,
            outputs,
            when_left,
            approvals,
            approver,
        } = place;
        let standpoint = choice.standpoint.clone();
        let forked_from = forked_from.map(|other| other.to_string());
        let (thread_name, within) = (Some(thread.to_string()), bound.map(Box::new));
        let opened = executor.ask(Open { choice, thread: thread_name, forked_from, within }).await?;
        let gate = Gate::new(approvals, approver, &opened.profile);
        let shell = SHELLS[1];
        let umask = crate::run::umask();
        let mut workplace = Self {
            executor,
            opened,
            standpoint,
            environment,
            umask,
            shell,
            outputs,
            when_left,
            thread,
            gate,
        };
        for shell in SHELLS {
            if workplace.has(shell[0]).await {
                workplace.shell = shell;
                break;
            }
        }
        Ok(workplace)
    }

    /// The same place for another thread, which is bound to the same policy, or to what `narrower` says; the server refuses it where
    /// that allows more.
    ///
    /// # Errors
    /// [`ExecutorError::Refused`] with both digests and the differing rules.
    pub async fn fork(
        &self,
        thread: ThreadId,
        narrower: Option<Choice>,
        outputs: Option<PathBuf>,
    ) -> Result<Self, ExecutorError> {
        let executor = self.executor.clone();
        let fork = Fork { id: self.opened.id, thread: Some(thread.to_string()) };
        let mut opened = executor.ask(fork).await?;
        if let Some(choice) = narrower {
            let id = opened.id;
            opened =
                executor.ask(Narrow { id, choice }).await.inspect_err(|_| executor.tell(Close { id }))?;
        }
        Ok(Self {
            gate: self.gate.for_profile(&opened.profile),
            executor,
            opened,
            standpoint: self.standpoint.clone(),
            environment: self.environment.clone(),
            umask: self.umask,
            shell: self.shell,
            outputs,
            when_left: self.when_left,
            thread,
        })
    }

    /// The policy of a profile as it is now, for whoever would open a context under it.
    ///
    /// # Errors
    /// [`ExecutorError`].
    pub async fn show(&self, choice: Choice) -> Result<Shown, ExecutorError> {
        self.executor.ask(choice).await
    }

    /// How the server is to carry output. Of a command that is to stay all is held until it is forgotten: whoever goes on with the thread
    /// reads it from its first byte and can prove that it has all.
    pub(super) fn output(&self) -> Output {
        let keep = match self.when_left {
            WhenLeft::End => Keep::Unread,
            WhenLeft::Stay => Keep::All,
        };
        Output { when_left: self.when_left, keep, ..Output::default() }
    }

    /// Has a command forgotten that was to stay, once all that it wrote is on record.
    pub(super) fn forget(&self, id: ProcessId) {
        if self.when_left == WhenLeft::Stay {
            self.executor.forget(id);
        }
    }

    /// Closes the context; its thread stays bound. Nobody waits for that, and nothing depends on it: an open context is one of those that a
    /// user may have.
    pub fn close(&self) {
        self.executor.tell(Close { id: self.opened.id });
    }

    /// The same, and waits until it is done.
    pub async fn closed(&self) {
        // A server that is gone has nothing open.
        let _ = self.executor.ask(Close { id: self.opened.id }).await;
    }

    /// The context: its profile and the digest of its policy.
    #[must_use]
    pub const fn opened(&self) -> &Opened {
        &self.opened
    }

    /// Whether a file is there inside.
    async fn has(&self, path: &str) -> bool {
        let Ok(path) = AbsPath::parse(path) else { return false };
        let under = Under { context: self.opened.id, lease: None, turn: None };
        let file = Stat { path, links: Links::Follow };
        let stat = Within { under, standpoint: self.standpoint.clone(), file };
        self.executor.ask(stat).await.is_ok()
    }
}
