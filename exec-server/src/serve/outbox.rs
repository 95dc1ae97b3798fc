//! What a connection says, in order: answers and events of one client, through one bounded queue.
//!
//! Bytes of streams do not wait here; they take turns with the queue at the wire.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::rc::Rc;

use tokio::sync::mpsc;
use weir_protocol::method::process::{Event, Notification};
use weir_protocol::method::{JSON_RPC, Response};

use super::wire::Wire;
use crate::wire::WireError;

/// Messages that wait for one client.
const WAITING: usize = 256;

/// Why nothing more can be said.
#[derive(Debug, thiserror::Error)]
pub(super) enum OutboxError {
    /// The client has gone.
    #[error("the client has gone")]
    Gone,
    /// The wire failed.
    #[error("{0}")]
    Wire(#[from] WireError),
    /// What was kept cannot be read.
    #[error("output that was kept cannot be read: {0}")]
    Kept(#[from] std::io::Error),
}

#[derive(Debug)]
enum Message {
    Answer(Response, Option<OwnedFd>),
    Event(Notification),
}

/// The way into the queue.
#[derive(Debug, Clone)]
pub(super) struct Outbox(mpsc::Sender<Message>);

/// The queue itself.
#[derive(Debug)]
pub(super) struct Queue(mpsc::Receiver<Message>);

pub(super) fn outbox() -> (Outbox, Queue) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Outbox(sender), Queue(receiver))
}

impl Outbox {
    pub(super) async fn answer(
        &self,
        response: Response,
        descriptor: Option<OwnedFd>,
    ) -> Result<(), OutboxError> {
        self.0.send(Message::Answer(response, descriptor)).await.map_err(|_| OutboxError::Gone)
    }

    pub(super) async fn event(&self, event: Event) -> Result<(), OutboxError> {
        self.0.send(message(event)).await.map_err(|_| OutboxError::Gone)
    }

    /// Says something without waiting; a client that reads nothing misses it.
    pub(super) fn answer_now(&self, response: Response) {
        let _ = self.0.try_send(Message::Answer(response, None));
    }

    /// Says something without waiting; a client that reads nothing misses it.
    pub(super) fn event_now(&self, event: Event) {
        let _ = self.0.try_send(message(event));
    }
}

fn message(event: Event) -> Message {
    Message::Event(Notification { jsonrpc: JSON_RPC.to_owned(), event })
}

impl Queue {
    /// Says what comes, until the client or everyone who could say something is gone.
    pub(super) async fn deliver(mut self, wire: Rc<Wire>) -> Result<(), WireError> {
        while let Some(message) = self.0.recv().await {
            match message {
                Message::Answer(response, descriptor) => {
                    let with: Vec<BorrowedFd<'_>> = descriptor.iter().map(OwnedFd::as_fd).collect();
                    wire.say(&response, &with).await?;
                }
                Message::Event(event) => wire.say(&event, &[]).await?,
            }
        }
        Ok(())
    }
}
