//! A Unix stream socket for the server part: frames and descriptors, many at once, one thread.
//!
//! The blocking counterpart for processes with one peer is [`crate::wire`].

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Mutex;
use weir_protocol::frame::{self, Credit, Deframer, Frame, Place};

use super::sys::watch;
use crate::wire::{MAX_WAITING, READ_BYTES, WireError, receive_part, send_part};

/// The reading side: one task's.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    deframer: Deframer,
    descriptors: VecDeque<OwnedFd>,
}

/// One end of a socket.
#[derive(Debug)]
pub(super) struct Wire {
    socket: AsyncFd<OwnedFd>,
    /// Held while a frame is written, first come, first served.
    turn: Mutex<()>,
}

impl Wire {
    pub(super) fn new(socket: UnixStream) -> io::Result<Self> {
        Ok(Self { socket: watch(socket.into())?, turn: Mutex::new(()) })
    }

    /// Sends a control frame, descriptors with its first byte.
    pub(super) async fn say(
        &self,
        message: &impl serde::Serialize,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), WireError> {
        let bytes = frame::control(&serde_json::to_vec(message)?)?;
        self.send(&bytes, &[], descriptors).await
    }

    pub(super) async fn data(&self, place: Place, bytes: &[u8]) -> Result<(), WireError> {
        self.send(&frame::data_header(place, bytes.len())?, bytes, &[]).await
    }

    pub(super) async fn credit(&self, credit: Credit) -> Result<(), WireError> {
        self.send(&frame::credit(credit), &[], &[]).await
    }

    async fn send(&self, head: &[u8], rest: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), WireError> {
        let _turn = self.turn.lock().await;
        let (length, mut sent) = (head.len() + rest.len(), 0);
        while sent < length {
            let parts = [
                IoSlice::new(head.get(sent..).unwrap_or_default()),
                IoSlice::new(rest.get(sent.saturating_sub(head.len())..).unwrap_or_default()),
            ];
            let with = if sent == 0 { descriptors } else { &[] };
            sent += self
                .socket
                .async_io(Interest::WRITABLE, |socket| Ok(send_part(socket, &parts, with)?))
                .await?;
        }
        Ok(())
    }

    /// Reads once; `false` at the end of the stream.
    pub(super) async fn read(&self, incoming: &mut Incoming) -> Result<bool, WireError> {
        let Incoming { deframer, descriptors } = incoming;
        let count = self
            .socket
            .async_io(Interest::READABLE, |socket| {
                Ok(deframer.fill(READ_BYTES, |room| receive_part(socket, room, descriptors))?)
            })
            .await?;
        if descriptors.len() > MAX_WAITING {
            return Err(WireError::Descriptors);
        }
        if count == 0 && !deframer.is_empty() {
            return Err(frame::FrameError::Truncated.into());
        }
        Ok(count > 0)
    }
}

impl Incoming {
    /// The next whole frame of what was read.
    pub(super) fn take(&mut self) -> Result<Option<Frame<'_>>, WireError> {
        Ok(self.deframer.take()?)
    }

    /// The oldest descriptor that has arrived.
    pub(super) fn take_descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptors.pop_front()
    }
}
