//! The link to the exec-server: typed calls over frames, to a server started for this one process.
//!
//! This module never decides anything and never interprets what it carries. The command line calls it.

mod start;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout};

use serde::de::DeserializeOwned;
use weir_protocol::frame::{self, FrameError};
use weir_protocol::method::{Call, Error, JSON_RPC, Request, Response};

/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;

/// Why a call brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// This program cannot tell where it is.
    #[error("cannot tell where this program is: {0}")]
    Here(std::io::Error),
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

/// A running exec-server that serves this process alone.
#[derive(Debug)]
pub struct Link {
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
    buffer: Vec<u8>,
    next_id: u64,
}

impl Link {
    /// Starts the exec-server that lies beside this program.
    ///
    /// # Errors
    /// [`LinkError::Start`] when it is not there or does not start.
    pub fn start() -> Result<Self, LinkError> {
        let mut child = start::server()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let output = output.ok_or(LinkError::NoAnswer)?;
        Ok(Self { child, input, output, buffer: Vec::new(), next_id: 1 })
    }

    /// Makes one call and waits for its answer.
    ///
    /// # Errors
    /// [`LinkError::Refused`] with the server's message, or another variant when the link fails.
    pub fn call<T: DeserializeOwned>(&mut self, call: Call) -> Result<T, LinkError> {
        let id = self.next_id;
        self.next_id += 1;
        let request = Request { jsonrpc: JSON_RPC.to_owned(), id, call };
        let bytes = frame::control(&serde_json::to_vec(&request)?)?;
        let input = self.input.as_mut().ok_or(LinkError::NoAnswer)?;
        input.write_all(&bytes)?;
        input.flush()?;
        let response = self.response()?;
        match (response.result, response.error) {
            (Some(result), None) => Ok(serde_json::from_value(result)?),
            (_, Some(error)) => Err(error.into()),
            (None, None) => Err(LinkError::NoAnswer),
        }
    }

    fn response(&mut self) -> Result<Response, LinkError> {
        let mut chunk = vec![0; READ_BYTES];
        loop {
            if let Some((_, payload)) = frame::take(&mut self.buffer)? {
                return Ok(serde_json::from_slice(&payload)?);
            }
            match self.output.read(&mut chunk)? {
                0 => return Err(LinkError::NoAnswer),
                count => self.buffer.extend_from_slice(&chunk[..count]),
            }
        }
    }
}

/// Ends the server by closing its input, and reaps it.
impl Drop for Link {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}
