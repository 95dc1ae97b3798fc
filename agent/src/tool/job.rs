//! A command that a tool has started: what it wrote since the last look, and how it ended.

use std::time::Duration;

use blake3::Hasher;
use tokio::time::{Instant, timeout_at};
use weir_protocol::frame::{Place, Stream};
use weir_protocol::method::output::{Account, Listed};
use weir_protocol::method::process::{End, Exited};

use super::capture::{Capture, Kept};
use super::{Interruption, Observer, Progress};
use crate::executor::{ExecutorError, Running};
use crate::item::{CommandStatus, Did};
use crate::link::{Happened, Verified};

/// Bytes of the end of what a command wrote that an item keeps.
pub(super) const TAIL_BYTES: usize = 16 << 10;

/// Milliseconds that a command has to end by itself when its turn is interrupted or over; the exec-server's SIGKILL follows, so that no command
/// can hold either up.
const END_GRACE_MS: u64 = 1_000;

/// A command and what is known of it.
#[derive(Debug)]
pub(super) struct Job {
    running: Running,
    argv: Vec<String>,
    since_look: Capture,
    all: Capture,
    kept: Result<Option<Kept>, String>,
    hashers: [Hasher; 2],
    /// How the command itself ended, where what it started goes on.
    background: Option<End>,
    exited: Option<Exited>,
    accounts: Vec<Account>,
    is_interrupted: bool,
    /// Why nothing more is heard of it, though it was not followed to its end.
    lost: Option<String>,
    /// What could not be done to it since the last look.
    failing: Option<String>,
}

impl Job {
    pub(super) fn new(running: Running, argv: Vec<String>, kept: Result<Option<Kept>, String>) -> Self {
        Self {
            running,
            argv,
            since_look: Capture::new(0),
            all: Capture::new(TAIL_BYTES),
            kept,
            hashers: [Hasher::new(), Hasher::new()],
            background: None,
            exited: None,
            accounts: Vec::new(),
            is_interrupted: false,
            lost: None,
            failing: None,
        }
    }

    pub(super) const fn running(&self) -> &Running {
        &self.running
    }

    /// Begins another look, which tells `budget` bytes at most.
    pub(super) fn look(&mut self, budget: usize) {
        self.since_look = Capture::new(budget);
        self.failing = None;
    }

    /// Takes note of what was to be done to it and could not be. What it wrote until then is told all the same.
    pub(super) fn fails(&mut self, error: &ExecutorError) {
        match error {
            ExecutorError::Refused(_) => self.lacks(error.to_string()),
            ExecutorError::Session(_) | ExecutorError::Thread(_) | ExecutorError::Gone => {
                self.lost = Some(error.to_string());
            }
        }
    }

    /// The same, in words.
    pub(super) fn lacks(&mut self, what: String) {
        self.failing = Some(what);
    }

    /// What could not be done to it since the last look.
    pub(super) fn failing(&self) -> Option<&str> {
        self.failing.as_deref()
    }

    /// Why nothing more is heard of it, though it was not followed to its end.
    pub(super) fn lost(&self) -> Option<&str> {
        self.lost.as_deref()
    }

    /// Whether nothing more comes of it.
    pub(super) const fn is_over(&self) -> bool {
        self.running.is_over() || self.lost.is_some()
    }

    /// What happens next.
    pub(super) async fn next(&mut self) -> Result<Option<Happened>, ExecutorError> {
        if self.running.is_over() { Ok(None) } else { self.running.next().await }
    }

    /// Follows the command until it is over, or for so long. On an interruption it is ended, and followed to its last byte.
    ///
    /// # Errors
    /// [`ExecutorError`] when the exec-server is gone.
    pub(super) async fn follow(
        &mut self,
        patience: Duration,
        observer: Observer<'_>,
        mut interruption: Interruption<'_, '_>,
    ) -> Result<(), ExecutorError> {
        let until = Instant::now() + patience;
        while !self.running.is_over() {
            let happened = tokio::select! {
                biased;
                () = interruption.as_mut() => {
                    self.is_interrupted = true;
                    return self.end(observer).await;
                }
                happened = timeout_at(until, self.running.next()) => happened,
            };
            let Ok(happened) = happened else { break };
            if let Some(happened) = happened? {
                self.take(happened, observer);
            }
        }
        Ok(())
    }

    /// Ends the command, and follows it to its last byte: how long that takes depends on nothing but how much it wrote.
    ///
    /// # Errors
    /// [`ExecutorError`] when the exec-server is gone.
    pub(super) async fn end(&mut self, observer: Observer<'_>) -> Result<(), ExecutorError> {
        if self.running.is_over() {
            return Ok(());
        }
        match self.running.kill(END_GRACE_MS).await {
            // It has ended by itself meanwhile.
            Ok(()) | Err(ExecutorError::Refused(_)) => {}
            Err(error) => return Err(error),
        }
        while let Some(happened) = self.next().await? {
            self.take(happened, observer);
        }
        Ok(())
    }

    /// Follows the command until as much has come as it had written when it was `listed`, or it is over.
    ///
    /// # Errors
    /// [`ExecutorError`] when the exec-server is gone.
    pub(super) async fn catch_up(&mut self, listed: &Listed) -> Result<(), ExecutorError> {
        let bytes: u64 = listed.written.iter().sum();
        while (self.all.bytes() < bytes || listed.exited.is_some())
            && let Some(happened) = self.next().await?
        {
            self.take(happened, &|_| {});
        }
        Ok(())
    }

    pub(super) fn take(&mut self, happened: Happened, observer: Observer<'_>) {
        match happened {
            Happened::Output(place, bytes) => self.output(place, &bytes, observer),
            Happened::Background(_, end) => self.background = Some(end),
            Happened::Exited(exited) => self.exited = Some(*exited),
            Happened::Closed(_, streams) => {
                self.accounts = streams.iter().map(|verified| self.account(verified)).collect();
            }
            Happened::Gone(_) => {
                let end = End::Cancelled;
                self.background = Some(end);
            }
            Happened::Gap(_) | Happened::Room(_) | Happened::Stopped(..) => {}
        }
    }

    fn output(&mut self, place: Place, bytes: &[u8], observer: Observer<'_>) {
        observer(Progress::Output(bytes));
        self.since_look.add(bytes);
        self.all.add(bytes);
        self.hashers[at(place.stream)].update(bytes);
        if let Ok(Some(kept)) = &mut self.kept
            && let Err(error) = kept.add(bytes)
        {
            self.kept = Err(format!("what it wrote from here on is not kept: {error}"));
        }
    }

    /// Of a stream whose bytes were proved to be those that were written.
    fn account(&self, verified: &Verified) -> Account {
        let Verified { stream, bytes, missing, .. } = *verified;
        let blake3 = self.hashers[at(stream)].finalize().to_hex().to_string();
        Account { stream, bytes, blake3, dropped: missing }
    }

    /// Whether the person did not wait for its end.
    pub(super) const fn is_interrupted(&self) -> bool {
        self.is_interrupted
    }

    /// How the command ended, if it has.
    pub(super) fn ended(&self) -> Option<End> {
        self.exited.as_ref().map(|exited| exited.end)
    }

    /// How the command itself ended, if something that it started goes on.
    pub(super) fn background(&self) -> Option<End> {
        self.background
    }

    pub(super) fn exited(&self) -> Option<&Exited> {
        self.exited.as_ref()
    }

    pub(super) const fn since_look(&self) -> &Capture {
        &self.since_look
    }

    /// Where all of its output is kept, or why it is not.
    pub(super) fn kept(&self) -> Result<Option<String>, &str> {
        match &self.kept {
            Ok(kept) => Ok(kept.as_ref().map(|kept| kept.path.display().to_string())),
            Err(why) => Err(why),
        }
    }

    /// The same as data.
    pub(super) fn did(&self) -> Did {
        let ended = self.ended().or(self.background.filter(|_| self.is_over()));
        // With the server goes all that it runs.
        let ended = ended.or(self.lost.as_ref().map(|_| End::ServerStopping));
        Did::Command {
            process: Some(self.running.id()),
            argv: self.argv.clone(),
            status: ended.map_or(CommandStatus::Running, |end| CommandStatus::Ended { end }),
            output_tail: self.all.text(),
            streams: self.accounts.clone(),
            denials: self.exited.as_ref().map(|exited| exited.denials.clone()).unwrap_or_default(),
        }
    }
}

const fn at(stream: Stream) -> usize {
    match stream {
        Stream::Error => 1,
        Stream::Output | Stream::Input | Stream::Content => 0,
    }
}
