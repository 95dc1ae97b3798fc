//! The link to the exec-server: typed calls over frames, to a server started for this one process. Descriptors travel along
//! where a command is run; one that nobody asked for is closed.
//!
//! This module never decides anything and never interprets what it carries. The command line calls it.

mod start;
mod wire;

use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Child;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use weir_protocol::frame::{self, FrameError};
use weir_protocol::method::process::Notification;
use weir_protocol::method::{Call, Error, JSON_RPC, Request, Response};

use wire::Patience;

/// Why a call brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// This program cannot tell where it is.
    #[error("cannot tell where this program is: {0}")]
    Here(std::io::Error),
    /// There is no socket to be had.
    #[error("cannot make a socket: {0}")]
    Socket(std::io::Error),
    /// The server does not start.
    #[error("cannot start {}: {source}; it belongs beside `weir`", .path.display())]
    Start {
        /// The program.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The stream to the server failed.
    #[error("the exec-server went away: {0}")]
    Stream(#[from] std::io::Error),
    /// The server sent what is no frame.
    #[error("the exec-server sent what is no frame: {0}")]
    Frame(#[from] FrameError),
    /// The server sent what is no answer, or another version's.
    #[error("the exec-server sent an answer of another version: {0}")]
    Answer(#[from] serde_json::Error),
    /// The server ended without an answer.
    #[error("the exec-server ended without an answer")]
    NoAnswer,
    /// The server refused, with a message for the user.
    #[error("{0}")]
    Refused(#[from] Error),
}

/// What the server sends.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Message {
    /// Something happened.
    Event(Notification),
    /// The answer to a call.
    Answer(Response),
}

/// A running exec-server that serves this process alone.
#[derive(Debug)]
pub struct Link {
    child: Child,
    socket: UnixStream,
    arrived: Vec<u8>,
    descriptors: Vec<OwnedFd>,
    next_id: u64,
}

impl Link {
    /// Starts the exec-server that lies beside this program, to answer questions.
    ///
    /// # Errors
    /// [`LinkError::Start`] when it is not there or does not start.
    pub fn start() -> Result<Self, LinkError> {
        Self::to(start::Manner::Stdio)
    }

    /// Starts the exec-server that lies beside this program, to run one command: descriptors travel in both directions.
    ///
    /// # Errors
    /// [`LinkError::Start`] when it is not there or does not start.
    pub fn embedded() -> Result<Self, LinkError> {
        Self::to(start::Manner::Embedded)
    }

    fn to(manner: start::Manner) -> Result<Self, LinkError> {
        let (child, socket) = start::server(manner)?;
        Ok(Self { child, socket, arrived: Vec::new(), descriptors: Vec::new(), next_id: 1 })
    }

    /// Makes one call and waits for its answer.
    ///
    /// # Errors
    /// [`LinkError::Refused`] with the server's message, or another variant when the link fails.
    pub fn call<T: DeserializeOwned>(&mut self, call: Call) -> Result<T, LinkError> {
        let id = self.send(call, &[])?;
        loop {
            match self.wait()? {
                Message::Answer(response) if response.id == Some(id) => return result(response),
                Message::Answer(Response { id: None, error: Some(error), .. }) => return Err(error.into()),
                Message::Answer(_) | Message::Event(_) => {}
            }
        }
    }

    /// Makes one call, with descriptors, and returns the number that its answer will bear.
    ///
    /// # Errors
    /// [`LinkError`] when the link fails.
    pub fn send(&mut self, call: Call, descriptors: &[BorrowedFd<'_>]) -> Result<u64, LinkError> {
        let id = self.next_id;
        self.next_id += 1;
        let request = Request { jsonrpc: JSON_RPC.to_owned(), id, call };
        let bytes = frame::control(&serde_json::to_vec(&request)?)?;
        wire::send(&self.socket, &bytes, descriptors)?;
        Ok(id)
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// [`LinkError`] when the link fails or ends.
    pub fn wait(&mut self) -> Result<Message, LinkError> {
        loop {
            if let Some(message) = self.arrived()? {
                return Ok(message);
            }
            self.read(Patience::Wait)?;
        }
    }

    /// The next message, if all of it has been read already.
    ///
    /// # Errors
    /// [`LinkError`] when the server sent what is no message.
    pub fn arrived(&mut self) -> Result<Option<Message>, LinkError> {
        match frame::take(&mut self.arrived)? {
            Some(payload) => Ok(Some(serde_json::from_slice(&payload)?)),
            None => Ok(None),
        }
    }

    /// Reads what is there without waiting. Poll [`Self::as_fd`] to learn when.
    ///
    /// # Errors
    /// [`LinkError`] when the link fails or ends.
    pub fn read_ready(&mut self) -> Result<(), LinkError> {
        match self.read(Patience::Now) {
            Err(LinkError::Stream(error)) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
            other => other,
        }
    }

    /// The first descriptor that has arrived. Any other, which nobody asked for, is closed.
    pub fn take_descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptors.drain(..).next()
    }

    fn read(&mut self, patience: Patience) -> Result<(), LinkError> {
        match wire::receive(&self.socket, patience, &mut self.arrived, &mut self.descriptors)? {
            0 => Err(LinkError::NoAnswer),
            _ => Ok(()),
        }
    }
}

/// The socket, for polling.
impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Ends the server by closing its input, and reaps it: where nobody else would, it must not stay behind.
impl Drop for Link {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Both);
        let _ = self.child.wait();
    }
}

/// What a call's answer holds.
///
/// # Errors
/// [`LinkError::Refused`] with the server's message; [`LinkError::Answer`] when it is not what was expected.
pub fn result<T: DeserializeOwned>(response: Response) -> Result<T, LinkError> {
    match (response.result, response.error) {
        (Some(result), None) => Ok(serde_json::from_value(result)?),
        (_, Some(error)) => Err(error.into()),
        (None, None) => Err(LinkError::NoAnswer),
    }
}
