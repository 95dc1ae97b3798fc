//! What a connection says, in order: answers and events of one client, through one bounded queue.
//!
//! Bytes of streams do not wait here; they take turns with the queue at the wire.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::rc::Rc;

use tokio::sync::{mpsc, oneshot};
use weir_protocol::frame::FrameError;
use weir_protocol::method::process::{Event, Notification};
use weir_protocol::method::{Error, JSON_RPC, Response, code};

use super::wire::Wire;
use crate::answer::response;
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
    Answer(Response, Option<OwnedFd>, Option<oneshot::Sender<()>>),
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
        self.0.send(Message::Answer(response, descriptor, None)).await.map_err(|_| OutboxError::Gone)
    }

    /// Says something that bytes of streams must not overtake; the receiver hears when it has been said.
    pub(super) async fn answer_first(
        &self,
        response: Response,
        descriptor: Option<OwnedFd>,
    ) -> Result<oneshot::Receiver<()>, OutboxError> {
        let (told, said) = oneshot::channel();
        let message = Message::Answer(response, descriptor, Some(told));
        self.0.send(message).await.map_err(|_| OutboxError::Gone)?;
        Ok(said)
    }

    pub(super) async fn event(&self, event: Event) -> Result<(), OutboxError> {
        self.0.send(message(event)).await.map_err(|_| OutboxError::Gone)
    }

    /// Says something without waiting; a client that reads nothing misses it.
    pub(super) fn answer_now(&self, response: Response) {
        let _ = self.0.try_send(Message::Answer(response, None, None));
    }

    /// Says something without waiting; a client that reads nothing misses it.
    pub(super) fn event_now(&self, event: Event) {
        let _ = self.0.try_send(message(event));
    }
}

/// What is said where the answer has no room in a frame.
fn too_long(id: Option<u64>, length: usize, bound: usize) -> Response {
    let message = format!("the answer would be {length} bytes long; a frame holds {bound}");
    response(id, Err(Error { code: code::TOO_LONG, message }))
}

fn message(event: Event) -> Message {
    Message::Event(Notification { jsonrpc: JSON_RPC.to_owned(), event })
}

impl Queue {
    /// Says what comes, until the client or everyone who could say something is gone.
    pub(super) async fn deliver(mut self, wire: Rc<Wire>) -> Result<(), WireError> {
        while let Some(message) = self.0.recv().await {
            match message {
                Message::Answer(response, descriptor, told) => {
                    let with: Vec<BorrowedFd<'_>> = descriptor.iter().map(OwnedFd::as_fd).collect();
                    match wire.say(&response, &with).await {
                        Err(WireError::Frame(FrameError::TooLong { length, bound })) => {
                            wire.say(&too_long(response.id, length, bound), &[]).await?;
                        }
                        said => {
                            said?;
                            // Nobody need wait for it.
                            let _ = told.map(|told| told.send(()));
                        }
                    }
                }
                Message::Event(event) => wire.say(&event, &[]).await?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use serde_json::{Value, json};
    use tokio::task::LocalSet;
    use weir_protocol::frame::{Frame, MAX_CONTROL_BYTES};

    use super::super::wire::Incoming;
    use super::*;

    async fn heard(wire: &Wire, incoming: &mut Incoming) -> Value {
        loop {
            if let Some(frame) = incoming.take().unwrap() {
                let Frame::Control(payload) = frame else { panic!("no message") };
                return serde_json::from_slice(payload).unwrap();
            }
            assert!(wire.read(incoming).await.unwrap(), "the connection has ended");
        }
    }

    #[test]
    fn an_answer_that_no_frame_holds_is_an_error_and_the_next_one_comes() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(LocalSet::new().run_until(async {
            let (one, other) = UnixStream::pair().unwrap();
            let (wire, client) = (Rc::new(Wire::new(one).unwrap()), Wire::new(other).unwrap());
            let (outbox, queue) = outbox();
            tokio::task::spawn_local(queue.deliver(wire));
            let long = response(Some(1), Ok(Value::from("x".repeat(MAX_CONTROL_BYTES))));
            let said = outbox.answer_first(long, None).await.unwrap();
            outbox.answer(response(Some(2), Ok(json!("short"))), None).await.unwrap();
            let mut incoming = Incoming::default();
            let refused = heard(&client, &mut incoming).await;
            assert_eq!((&refused["id"], &refused["error"]["data"]["name"]), (&json!(1), &json!("too-long")));
            assert!(said.await.is_err(), "what was not said counts as said");
            assert_eq!(heard(&client, &mut incoming).await["result"], "short");
        }));
    }
}
