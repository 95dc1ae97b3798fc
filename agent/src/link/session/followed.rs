//! One command that a session follows: how far its streams are, in both directions.
//!
//! Performs no I/O. Only [`Session`](super::Session) uses it.

use weir_protocol::ByteString;
use weir_protocol::frame::Stream;
use weir_protocol::method::output::{Closed, Role, WhenLeft};

use super::super::given::Given;
use super::super::received::{Received, StreamError, Verified};

/// A command that is followed.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) pid: i32,
    pub(super) argv: Vec<ByteString>,
    pub(super) when_left: WhenLeft,
    pub(super) role: Role,
    pub(super) streams: [Option<Received>; 2],
    pub(super) input: Option<Given>,
    /// Whether this connection has told its end.
    pub(super) has_exited: bool,
    /// Whether the caller has heard of it.
    pub(super) end_is_known: bool,
}

impl Followed {
    pub(super) fn stream(&mut self, stream: Stream) -> Result<&mut Received, StreamError> {
        let [output, error] = &mut self.streams;
        let found = match stream {
            Stream::Input | Stream::Content => None,
            Stream::Output => output.as_mut(),
            Stream::Error => error.as_mut(),
        };
        found.ok_or(StreamError::NotCarried { stream })
    }

    pub(super) fn verify(&self, closed: &Closed) -> Result<Vec<Verified>, StreamError> {
        let mut verified = Vec::new();
        for (stream, received) in [Stream::Output, Stream::Error].into_iter().zip(&self.streams) {
            let account = closed.streams.iter().find(|account| account.stream == stream);
            match (received, account) {
                (Some(received), Some(account)) => verified.push(received.verify(account)?),
                (Some(received), None) if received.is_certain() => {
                    return Err(StreamError::NoAccount { stream });
                }
                (None, Some(_)) => return Err(StreamError::NotCarried { stream }),
                (_, None) => {}
            }
        }
        Ok(verified)
    }
}
