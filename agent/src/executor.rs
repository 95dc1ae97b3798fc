//! The exec-server as asynchronous code sees it: calls that are awaited, commands whose events are a stream.
//!
//! One thread owns the [`Session`] and waits for it and for orders; every handle is a sender of orders. Nothing is unbounded: orders
//! and events wait in channels of fixed size, output under the session's credit. Whoever drops a [`Running`] ends its command; when the
//! last handle goes, so does the connection, and with it what was not to stay. [`tool`](crate::tool) calls this.

mod driver;
mod running;

use std::io::PipeWriter;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};
use weir_protocol::method::output::{List, Listed, Of};
use weir_protocol::method::process::{ProcessId, Start};
use weir_protocol::method::{Asks, Call, Error};

use crate::link::{LinkError, Session, SessionError};
use driver::Order;

pub use running::Running;

/// Orders that wait for the thread.
const ORDERS: usize = 256;

/// Why the exec-server did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ExecutorError {
    /// It refused, with a message for the user.
    #[error("{0}")]
    Refused(Error),
    /// The session failed.
    #[error("{0}")]
    Session(Arc<SessionError>),
    /// The thread that speaks to it cannot be made.
    #[error("cannot wait for the exec-server: {0}")]
    Thread(Arc<std::io::Error>),
    /// It, or the connection to it, is gone.
    #[error("the exec-server is gone")]
    Gone,
}

impl From<SessionError> for ExecutorError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Link(LinkError::Refused(error)) => Self::Refused(error),
            other => Self::Session(Arc::new(other)),
        }
    }
}

/// A handle on the exec-server.
#[derive(Debug, Clone)]
pub struct Executor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    orders: mpsc::Sender<Order>,
    /// Commands whose [`Running`] was dropped before they ended.
    abandoned: Arc<Mutex<Vec<ProcessId>>>,
    wake: PipeWriter,
}

impl Shared {
    /// A full pipe wakes as well.
    fn wake(&self) {
        let _ = rustix::io::write(&self.wake, &[0]);
    }

    fn abandon(&self, id: ProcessId) {
        self.abandoned.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        self.wake();
    }
}

impl Executor {
    /// Speaks over a session, in a thread of its own.
    ///
    /// # Errors
    /// [`ExecutorError::Thread`].
    pub fn begin(session: Session) -> Result<Self, ExecutorError> {
        let (orders, received) = mpsc::channel(ORDERS);
        let abandoned = Arc::new(Mutex::new(Vec::new()));
        let wake = driver::begin(session, received, Arc::clone(&abandoned))
            .map_err(|error| ExecutorError::Thread(Arc::new(error)))?;
        Ok(Self { shared: Arc::new(Shared { orders, abandoned, wake }) })
    }

    /// Makes one call.
    ///
    /// # Errors
    /// [`ExecutorError`].
    pub async fn ask<A: Asks>(&self, asks: A) -> Result<A::Answer, ExecutorError> {
        self.ask_with_content(asks).await.map(|(answer, _)| answer)
    }

    /// The same, with what `file/read` brings.
    ///
    /// # Errors
    /// [`ExecutorError`].
    pub async fn ask_with_content<A: Asks>(&self, asks: A) -> Result<(A::Answer, Vec<u8>), ExecutorError> {
        let (told, content) = self.answer(asks.into_call()).await?;
        Ok((serde_json::from_value(told).map_err(|error| SessionError::Link(error.into()))?, content))
    }

    /// Makes a call whose answer nobody waits for. Where too many orders wait it is not made.
    pub fn tell<A: Asks>(&self, asks: A) {
        self.tell_call(asks.into_call());
    }

    fn tell_call(&self, call: Call) {
        let (reply, _) = oneshot::channel();
        let _ = self.shared.orders.try_send(Order::Call { call: Box::new(call), reply });
        self.shared.wake();
    }

    /// Has a command forgotten that has ended. Nobody waits for that.
    pub fn forget(&self, id: ProcessId) {
        self.tell_call(Call::ProcessForget(Of { id }));
    }

    async fn answer(&self, call: Call) -> Result<(serde_json::Value, Vec<u8>), ExecutorError> {
        let (reply, answer) = oneshot::channel();
        self.order(Order::Call { call: Box::new(call), reply }).await?;
        answer.await.map_err(|_| ExecutorError::Gone)?
    }

    /// Starts a command with pipes or a carried terminal.
    ///
    /// # Errors
    /// [`ExecutorError`].
    pub async fn start(&self, start: Start) -> Result<Running, ExecutorError> {
        let (reply, answer) = oneshot::channel();
        let (events, received) = mpsc::channel(running::EVENTS);
        self.order(Order::Start { start: Box::new(start), events, reply }).await?;
        let (id, enforcement) = answer.await.map_err(|_| ExecutorError::Gone)??;
        Ok(Running::new(self.clone(), id, enforcement, received))
    }

    /// The caller's commands at the server.
    ///
    /// # Errors
    /// [`ExecutorError`].
    pub async fn list(&self) -> Result<Vec<Listed>, ExecutorError> {
        let (told, _) = self.answer(Call::ProcessList).await?;
        let list: List = serde_json::from_value(told).map_err(|error| SessionError::Link(error.into()))?;
        Ok(list.commands)
    }

    /// Takes a command over that runs, or that has ended and is kept, from its first byte on.
    ///
    /// # Errors
    /// [`ExecutorError`].
    pub async fn attach(&self, id: ProcessId) -> Result<Running, ExecutorError> {
        let (reply, answer) = oneshot::channel();
        let (events, received) = mpsc::channel(running::EVENTS);
        self.order(Order::Attach { id, events, reply }).await?;
        let (id, enforcement) = answer.await.map_err(|_| ExecutorError::Gone)??;
        Ok(Running::new(self.clone(), id, enforcement, received))
    }

    /// Waits until every command that nobody follows any more has been ended and forgotten.
    pub async fn settle(&self) {
        let (reply, answer) = oneshot::channel();
        if self.order(Order::Settle { reply }).await.is_ok() {
            // Where the server is gone, so are they.
            let _ = answer.await;
        }
    }

    async fn order(&self, order: Order) -> Result<(), ExecutorError> {
        let sent = self.shared.orders.send(order).await;
        self.shared.wake();
        sent.map_err(|_| ExecutorError::Gone)
    }
}
