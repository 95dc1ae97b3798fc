//! The link to the exec-server: typed calls over frames, to a server started for this one process or to one that runs.
//! Descriptors travel along where a command is run; one that nobody asked for is closed.
//!
//! [`Link`] carries messages and looks into none. [`Session`] follows commands whose streams a running server carries, and
//! proves that nothing of them is missing. Nothing here decides anything; the command line calls it.
//!
//! What the server keeps of a command that was left to it, to the last byte and with its proof:
//!
//! ```no_run
//! use weir_agent::link::{Proof, Session, SessionError, Which, reach};
//! use weir_protocol::method::output::Role;
//!
//! # fn main() -> Result<(), SessionError> {
//! let mut session = Session::new(reach(&Which::Found)?)?;
//! session.attach(3, [0, 0], Role::Reader)?;
//! let finished = session.copy(3, &mut std::io::stdout(), &mut std::io::stderr())?;
//! assert!(finished.streams.iter().all(|stream| stream.proof == Proof::Digest));
//! # Ok(())
//! # }
//! ```
//!
//! `examples/carried.rs` starts one.

mod given;
mod reach;
mod received;
mod session;
mod start;
mod wire;

use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use weir_protocol::frame::{self, Credit, Deframer, Frame, FrameError, Place};
use weir_protocol::method::process::Notification;
use weir_protocol::method::{Call, Error, JSON_RPC, Request, Response};

use wire::Patience;

pub use given::GivenError;
pub use reach::{Which, find, find_or_embed, find_while, reach};
pub use received::{Proof, StreamError, Verified};
pub use session::{Answered, CallNumber, Finished, Happened, Session, SessionError};

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
    /// Nothing listens where a server should be.
    #[error("no exec-server is running (looked at {}); `weir-exec-server --listen` starts one", list(.looked))]
    NoServer {
        /// The sockets that were tried.
        looked: Vec<PathBuf>,
    },
    /// A server is there and cannot be connected to.
    #[error("cannot connect to the exec-server at {}: {source}; `--server none` does without it", .path.display())]
    Connect {
        /// Its socket.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Who listens is neither root nor this user, and might answer anything.
    #[error(
        "whoever listens at {} is user {uid}, neither root nor yourself: not trusted; `--server none` does without it",
        .path.display()
    )]
    Foreign {
        /// The socket.
        path: PathBuf,
        /// The user.
        uid: u32,
    },
    /// The server is there and does not speak with this client.
    #[error(
        "the exec-server at {} does not serve this client: {source}; `--server none` does without it", .path.display()
    )]
    Unwelcome {
        /// Its socket.
        path: PathBuf,
        /// Why.
        source: Box<LinkError>,
    },
    /// The server is there and says nothing.
    #[error("it has said nothing for {} s", .after.as_secs())]
    Silent {
        /// How long was waited.
        after: Duration,
    },
    /// The server sent bytes of a stream that it was not asked to carry.
    #[error("the exec-server sent bytes of a stream that it was not asked for")]
    Unasked,
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

fn list(paths: &[PathBuf]) -> String {
    let shown: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    if shown.is_empty() { "no place: `--server none`".to_owned() } else { shown.join(", ") }
}

/// What the server sends.
#[derive(Debug)]
pub enum Message {
    /// Something happened.
    Event(Notification),
    /// The answer to a call.
    Answer(Response),
    /// Bytes of a stream.
    Data(Place, Vec<u8>),
    /// Leave to send.
    Credit(Credit),
}

/// A control frame of the server's.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Said {
    Event(Notification),
    Answer(Response),
}

/// Who is at the other end.
#[derive(Debug)]
enum Server {
    /// A server of this process's own that carries no stream.
    Answering,
    /// A server of this process's own that carries streams, as a running one does.
    Alone,
    /// A running server, at this socket.
    Running(PathBuf),
}

/// A connection to an exec-server.
#[derive(Debug)]
pub struct Link {
    /// A server that serves this process alone, and ends with it.
    child: Option<Child>,
    server: Server,
    socket: UnixStream,
    arrived: Deframer,
    descriptors: Vec<OwnedFd>,
    /// What the socket has not taken yet, of [`Self::queue`]'s.
    outgoing: Vec<u8>,
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

    /// Starts the exec-server that lies beside this program, to serve this process as a running one would: contexts, files, and commands
    /// whose streams it carries. It ends, with all that it runs, when this link does.
    ///
    /// # Errors
    /// [`LinkError::Start`] when it is not there or does not start; [`LinkError::Refused`] when it speaks no common version.
    pub fn alone() -> Result<Self, LinkError> {
        let mut link = Self::to(start::Manner::Alone)?;
        link.greet()?;
        link.server = Server::Alone;
        Ok(link)
    }

    /// The same for whoever waits for other things as well. Within a runtime.
    ///
    /// # Errors
    /// As [`Self::alone`].
    pub async fn alone_while() -> Result<Self, LinkError> {
        let mut link = Self::to(start::Manner::Alone)?;
        link.greet_while().await?;
        link.server = Server::Alone;
        Ok(link)
    }

    fn to(manner: start::Manner) -> Result<Self, LinkError> {
        let (child, socket) = start::server(manner)?;
        let mut link = Self::over(socket);
        link.child = Some(child);
        Ok(link)
    }

    fn over(socket: UnixStream) -> Self {
        Self {
            child: None,
            server: Server::Answering,
            socket,
            arrived: Deframer::default(),
            descriptors: Vec::new(),
            outgoing: Vec::new(),
            next_id: 1,
        }
    }

    /// Where the server listens, if it is not this process's own.
    #[must_use]
    pub fn place(&self) -> Option<&Path> {
        match &self.server {
            Server::Running(place) => Some(place),
            Server::Answering | Server::Alone => None,
        }
    }

    fn carries_streams(&self) -> bool {
        !matches!(self.server, Server::Answering)
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
                Message::Data(..) | Message::Credit(_) => return Err(LinkError::Unasked),
                Message::Answer(_) | Message::Event(_) => {}
            }
        }
    }

    /// Makes one call, with descriptors, and returns the number that its answer will bear.
    ///
    /// # Errors
    /// [`LinkError`] when the link fails.
    pub fn send(&mut self, call: Call, descriptors: &[BorrowedFd<'_>]) -> Result<u64, LinkError> {
        let (id, bytes) = self.request(call)?;
        wire::send(&self.socket, &bytes, descriptors)?;
        Ok(id)
    }

    fn request(&mut self, call: Call) -> Result<(u64, Vec<u8>), LinkError> {
        let id = self.next_id;
        self.next_id += 1;
        let request = Request { jsonrpc: JSON_RPC.to_owned(), id, call };
        Ok((id, frame::control(&serde_json::to_vec(&request)?)?))
    }

    /// Makes one call without waiting for the socket; [`Self::flush`] goes on with it.
    fn ask(&mut self, call: Call) -> Result<u64, LinkError> {
        let (id, bytes) = self.request(call)?;
        self.queue(&bytes);
        Ok(id)
    }

    /// Adds to what is to be sent.
    fn queue(&mut self, bytes: &[u8]) {
        self.outgoing.extend_from_slice(bytes);
    }

    /// Sends what the socket takes without waiting.
    fn flush(&mut self) -> Result<(), LinkError> {
        let sent = wire::send_ready(&self.socket, &self.outgoing)?;
        self.outgoing.drain(..sent);
        Ok(())
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
        let message = match self.arrived.take()? {
            None => return Ok(None),
            Some(Frame::Control(payload)) => match serde_json::from_slice(payload)? {
                Said::Event(notification) => Message::Event(notification),
                Said::Answer(response) => Message::Answer(response),
            },
            Some(_) if matches!(self.server, Server::Answering) => return Err(LinkError::Unasked),
            Some(Frame::Data(place, bytes)) => Message::Data(place, bytes.to_vec()),
            Some(Frame::Credit(credit)) => Message::Credit(credit),
        };
        Ok(Some(message))
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
            0 if self.arrived.is_empty() => Err(LinkError::NoAnswer),
            0 => Err(FrameError::Truncated.into()),
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

/// Ends a server of this process's own by closing its input, and reaps it: where nobody else would, it must not stay behind.
impl Drop for Link {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Both);
        if let Some(child) = &mut self.child {
            let _ = child.wait();
        }
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
