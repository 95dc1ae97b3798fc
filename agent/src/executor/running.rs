//! One command that an agent has started: its events, its input, its end.

use tokio::sync::{mpsc, oneshot};
use weir_protocol::method::Call;
use weir_protocol::method::output::{Kill, Resize};
use weir_protocol::method::process::{Enforcement, ProcessId, Receivers, Signal};

use super::driver::Order;
use super::{Executor, ExecutorError};
use crate::link::Happened;

/// Events of one command that wait for its reader; behind them the session holds what the credit allows.
pub(super) const EVENTS: usize = 32;

/// A command, followed to its last byte. Dropping it ends the command.
#[derive(Debug)]
pub struct Running {
    executor: Executor,
    id: ProcessId,
    enforcement: Enforcement,
    events: mpsc::Receiver<Result<Happened, ExecutorError>>,
    /// What the last event brought, which the caller has dealt with when it asks for the next.
    owed: Option<(weir_protocol::frame::Stream, usize)>,
    is_over: bool,
}

impl Running {
    pub(super) fn new(
        executor: Executor,
        id: ProcessId,
        enforcement: Enforcement,
        events: mpsc::Receiver<Result<Happened, ExecutorError>>,
    ) -> Self {
        Self { executor, id, enforcement, events, owed: None, is_over: false }
    }

    /// Its number at the exec-server.
    #[must_use]
    pub const fn id(&self) -> ProcessId {
        self.id
    }

    /// How the profile is enforced.
    #[must_use]
    pub const fn enforcement(&self) -> &Enforcement {
        &self.enforcement
    }

    /// Whether its last event has been taken.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.is_over
    }

    /// What happens next; none behind the last. What the call before brought counts as dealt with. May be dropped and called again:
    /// nothing is lost.
    ///
    /// # Errors
    /// [`ExecutorError`], once.
    pub async fn next(&mut self) -> Result<Option<Happened>, ExecutorError> {
        self.settle().await?;
        let Some(event) = self.events.recv().await else {
            return if std::mem::replace(&mut self.is_over, true) {
                Ok(None)
            } else {
                Err(ExecutorError::Gone)
            };
        };
        // There is room again.
        self.executor.shared.wake();
        let happened = event.inspect_err(|_| self.is_over = true)?;
        match &happened {
            Happened::Output(place, bytes) => self.owed = Some((place.stream, bytes.len())),
            Happened::Closed(..) | Happened::Gone(_) => self.is_over = true,
            _ => {}
        }
        Ok(Some(happened))
    }

    async fn settle(&mut self) -> Result<(), ExecutorError> {
        let Some((stream, count)) = self.owed else { return Ok(()) };
        self.executor.order(Order::Consumed { id: self.id, stream, count }).await?;
        self.owed = None;
        Ok(())
    }

    /// Sends as much to standard input as there is room for, and says how much that was; [`Happened::Room`] says when to go on.
    ///
    /// # Errors
    /// [`ExecutorError`].
    pub async fn write(&self, bytes: &[u8]) -> Result<usize, ExecutorError> {
        let (reply, answer) = oneshot::channel();
        self.executor.order(Order::Write { id: self.id, bytes: bytes.to_vec(), reply }).await?;
        answer.await.map_err(|_| ExecutorError::Gone)?
    }

    /// Ends standard input behind all that was written.
    ///
    /// # Errors
    /// [`ExecutorError`].
    pub async fn close_input(&self) -> Result<(), ExecutorError> {
        let (reply, answer) = oneshot::channel();
        self.executor.order(Order::CloseInput { id: self.id, reply }).await?;
        answer.await.map_err(|_| ExecutorError::Gone)?
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// [`ExecutorError`].
    pub async fn signal(&self, signal: i32, to: Receivers) -> Result<(), ExecutorError> {
        self.executor.answer(Call::ProcessSignal(Signal { id: self.id, signal, to })).await.map(drop)
    }

    /// Changes the size of a carried terminal, in rows and columns.
    ///
    /// # Errors
    /// [`ExecutorError`].
    pub async fn resize(&self, size: [u16; 2]) -> Result<(), ExecutorError> {
        self.executor.answer(Call::ProcessResize(Resize { id: self.id, size })).await.map(drop)
    }

    /// Asks everything in its sandbox to end, ends it after `grace_ms`, and waits for the end. Its last events follow.
    ///
    /// # Errors
    /// [`ExecutorError`].
    pub async fn kill(&self, grace_ms: u64) -> Result<(), ExecutorError> {
        self.executor.answer(Call::ProcessKill(Kill { id: self.id, grace_ms })).await.map(drop)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_over {
            self.executor.shared.abandon(self.id);
        }
    }
}
