//! The methods over a pair of byte streams: standard input and output of this process, or any other.

use std::io::{Read, Write};

use weir_protocol::frame::{self, FrameError};

use crate::answer::answer;

/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;

/// Why serving ended early.
#[derive(Debug, thiserror::Error)]
pub enum StdioError {
    /// The stream failed.
    #[error("the stream failed: {0}")]
    Stream(#[from] std::io::Error),
    /// The peer sent something that is no frame.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// An answer could not be written as JSON.
    #[error("an answer cannot be written: {0}")]
    Answer(#[from] serde_json::Error),
}

/// Answers every frame of `input` on `output`, in order, until `input` ends.
///
/// # Errors
/// [`StdioError`] when a stream fails, or the peer sends what is no frame or half of one.
pub fn serve(mut input: impl Read, mut output: impl Write) -> Result<(), StdioError> {
    let mut buffer = Vec::new();
    let mut chunk = vec![0; READ_BYTES];
    loop {
        while let Some(payload) = frame::take(&mut buffer)? {
            let response = serde_json::to_vec(&answer(&payload))?;
            output.write_all(&frame::control(&response)?)?;
            output.flush()?;
        }
        match input.read(&mut chunk)? {
            0 if buffer.is_empty() => return Ok(()),
            0 => return Err(FrameError::Truncated.into()),
            count => buffer.extend_from_slice(&chunk[..count]),
        }
    }
}
