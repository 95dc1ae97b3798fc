//! The end of a sandbox: what its programs said last still goes out, within bounds, and what does not is told.
//!
//! A program may say something, close its connection and end before the gate has connected to the server, or while the server reads slowly;
//! without the gate the kernel would go on by itself. Every connection has a `Word` until all that the program says on it has gone out. At
//! the end those that are left have as long as something moves. A command that was ended has no such time, nor has one of which somebody
//! says by a signal meanwhile that they wait no more.

use std::cell::Cell;
#[cfg(target_os = "linux")]
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};
use weir_protocol::method::process::End;

use super::Core;
use super::decision::Grant;
use super::failure::Failure;
use super::relay::Broken;

/// How long words that are under way have at most, after the sandbox has ended.
const LAST: Duration = Duration::from_secs(10);

/// How long is waited beyond that, so that every connection whose time is over can say so.
const BEHIND: Duration = Duration::from_secs(1);

/// How long nothing of a connection's may move meanwhile.
const STILL: Duration = Duration::from_secs(2);

/// How often it is looked at whether something moves. A socket is writable again only when a third of what it holds has gone out.
const LOOK: Duration = Duration::from_millis(250);

/// Signals that ask for the end (signal(7)).
const ENDING: [Signal; 5] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::KILL];

/// Whether a signal asks for the end. Where its command has ended, it means what is still under way.
#[must_use]
pub fn asks_for_end(signal: i32) -> bool {
    ENDING.iter().any(|ending| ending.as_raw() == signal)
}

/// How the programs of a sandbox have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parting {
    /// By themselves: their words go out.
    Willing,
    /// Somebody ended them, and waits for no more.
    Forced,
}

impl Parting {
    /// From how the command ended.
    #[must_use]
    pub const fn of(end: End) -> Self {
        match end {
            End::Exited { .. } => Self::Willing,
            _ => Self::Forced,
        }
    }
}

/// What is still to go out, and until when.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    words: Cell<usize>,
    /// When the sandbox ended, and how.
    begun: Cell<Option<(Instant, Parting)>>,
    /// Nobody waits for it any more.
    is_given_up: Cell<bool>,
    /// Rung when the sandbox has ended, when a word has gone out, and when nobody waits for more.
    rung: Notify,
}

impl Ending {
    /// The sandbox has ended; returns when no word is left, or the time is over: whether none is.
    pub(super) async fn finish(&self, parting: Parting) -> bool {
        let parting = if self.is_given_up.get() { Parting::Forced } else { parting };
        self.begun.set(Some((Instant::now(), parting)));
        self.rung.notify_waiters();
        timeout(LAST + BEHIND, self.until(|| self.words.get() == 0)).await.is_ok()
    }

    /// Nobody waits any more for what is still under way, which is told as lost.
    pub(super) fn give_up(&self) {
        self.is_given_up.set(true);
        if let Some((begun, _)) = self.begun.get() {
            self.begun.set(Some((begun, Parting::Forced)));
        }
        self.rung.notify_waiters();
    }

    /// Comes when [`Ending::give_up`] has been called.
    #[cfg(target_os = "linux")]
    pub(super) async fn given_up(&self) {
        self.until(|| self.is_given_up.get()).await;
    }

    /// Carries on with a connection to `server`, of which something moved at `last`; nothing where its time is over before.
    pub(crate) async fn within<T>(
        &self,
        server: &TcpStream,
        last: &Cell<Instant>,
        carrying: Pin<&mut impl Future<Output = T>>,
    ) -> Option<T> {
        before(self.over(last, || unacknowledged(server)), carrying).await
    }

    /// The same, where `last` alone tells that something moves.
    pub(crate) async fn moving<T>(
        &self,
        last: &Cell<Instant>,
        work: Pin<&mut impl Future<Output = T>>,
    ) -> Option<T> {
        before(self.over(last, || None), work).await
    }

    /// The same, where nothing is seen to move.
    pub(crate) async fn bounded<T>(&self, work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        let begun = Cell::new(Instant::now());
        self.moving(&begun, work).await
    }

    async fn over(&self, last: &Cell<Instant>, waiting: impl Fn() -> Option<usize>) {
        self.until(|| self.begun.get().is_some()).await;
        let mut seen = waiting();
        loop {
            let rung = self.rung.notified();
            let Some((begun, Parting::Willing)) = self.begun.get() else { return };
            let now = Instant::now();
            let waits = waiting();
            if waits != seen {
                seen = waits;
                last.set(now);
            }
            let end = (last.get().max(begun) + STILL).min(begun + LAST);
            if end <= now {
                return;
            }
            let look = if seen.is_some() { end.min(now + LOOK) } else { end };
            let _ = timeout_at(look, rung).await;
        }
    }

    async fn until(&self, holds: impl Fn() -> bool) {
        loop {
            let rung = self.rung.notified();
            if holds() {
                return;
            }
            rung.await;
        }
    }
}

/// What comes of some work, where that is done before its time is over.
async fn before<T>(over: impl Future<Output = ()>, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = over => None,
    }
}

/// Bytes that a socket has still to send, as far as the system tells.
#[cfg(target_os = "linux")]
fn unacknowledged(socket: &TcpStream) -> Option<usize> {
    super::sys::unacknowledged(socket.as_fd()).ok().and_then(|bytes| usize::try_from(bytes).ok())
}

#[cfg(not(target_os = "linux"))]
const fn unacknowledged(_: &TcpStream) -> Option<usize> {
    None
}

/// What a program says on one connection, until it has gone out.
#[derive(Debug)]
pub(crate) struct Word {
    core: Rc<Core>,
    is_said: Cell<bool>,
}

impl Word {
    pub(crate) fn of(core: &Rc<Core>) -> Self {
        core.ending.words.set(core.ending.words.get() + 1);
        Self { core: Rc::clone(core), is_said: Cell::new(false) }
    }

    /// It has gone out, or nobody is owed it.
    pub(crate) fn is_said(&self) {
        if !self.is_said.replace(true) {
            let ending = &self.core.ending;
            ending.words.set(ending.words.get().saturating_sub(1));
            ending.rung.notify_waiters();
        }
    }
}

/// A connection to a server that is carried. A server must not take a part for the whole: where carrying fails, or is given up before the
/// program's word has gone out, the server's side is reset, and what is lost at the end is told.
pub(crate) struct Carried<'a> {
    core: &'a Core,
    grant: &'a Grant,
    server: &'a TcpStream,
    word: &'a Word,
}

impl<'a> Carried<'a> {
    pub(crate) const fn new(core: &'a Core, grant: &'a Grant, server: &'a TcpStream, word: &'a Word) -> Self {
        Self { core, grant, server, word }
    }

    /// It has been carried to its end, which its caller tells.
    pub(crate) fn end(self, outcome: Result<(), Broken>) -> Result<(), Broken> {
        if outcome.is_err() {
            let _ = self.server.set_zero_linger();
        }
        self.word.is_said();
        outcome
    }
}

impl Drop for Carried<'_> {
    fn drop(&mut self) {
        if self.word.is_said.get() {
            return;
        }
        let _ = self.server.set_zero_linger();
        if self.core.ending.begun.get().is_some() {
            self.core.record(self.grant, Failure::Cut.into());
        }
    }
}

impl Drop for Word {
    fn drop(&mut self) {
        self.is_said();
    }
}
