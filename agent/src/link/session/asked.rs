//! Calls of a session: waited for, or begun and answered later, with the content that reading a file brings.
//!
//! Content is believed no more than output is: it comes without a gap, is bounded, and has the count and the digest of the answer.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;
use weir_protocol::frame::{Place, Stream};
use weir_protocol::method::file::{Content, MAX_READ_BYTES};
use weir_protocol::method::{Asks, Call, Response};

use super::super::received::StreamError;
use super::super::{LinkError, result};
use super::{Session, SessionError};

/// Names a call of one session.
pub type CallNumber = u64;

/// What a call came to that was begun with [`Session::begin`].
#[derive(Debug)]
pub struct Answered {
    /// The call.
    pub call: CallNumber,
    /// Its result, or why there is none.
    pub outcome: Result<Value, SessionError>,
    /// What `file/read` brought.
    pub content: Vec<u8>,
}

/// A call that is not answered yet.
#[derive(Debug)]
enum Pending {
    /// Its answer is all that comes.
    Plain,
    /// Content comes before its answer.
    Content(Vec<u8>),
}

/// The calls that are under way, and those that have been answered.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pending: BTreeMap<CallNumber, Pending>,
    answered: Vec<Answered>,
}

impl Calls {
    fn begin(&mut self, call: CallNumber, brings_content: bool) {
        let pending = if brings_content { Pending::Content(Vec::new()) } else { Pending::Plain };
        self.pending.insert(call, pending);
    }

    /// Takes in bytes of content.
    pub(super) fn content(&mut self, place: Place, bytes: &[u8]) -> Result<(), StreamError> {
        let stream = Stream::Content;
        let Some(Pending::Content(content)) = self.pending.get_mut(&place.id) else {
            return Err(StreamError::NotCarried { stream });
        };
        let (expected, found) = (content.len() as u64, place.offset);
        if found != expected {
            return Err(StreamError::Offset { stream, expected, found });
        }
        let end = found + bytes.len() as u64;
        if end > MAX_READ_BYTES {
            return Err(StreamError::Credit { stream, limit: MAX_READ_BYTES, end });
        }
        content.extend_from_slice(bytes);
        Ok(())
    }

    /// Takes in an answer, where it is one of these calls'.
    pub(super) fn answer(&mut self, response: Response) {
        let Some(call) = response.id else { return };
        let Some(pending) = self.pending.remove(&call) else { return };
        let told: Result<Value, _> = result(response).map_err(SessionError::from);
        let (outcome, content) = match pending {
            Pending::Plain => (told, Vec::new()),
            Pending::Content(content) => (told.and_then(|told| verify(told, &content)), content),
        };
        self.answered.push(Answered { call, outcome, content });
    }

    /// Nothing that is under way will be answered: the connection is another.
    pub(super) fn cut(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        let unanswered =
            |call| Answered { call, outcome: Err(LinkError::NoAnswer.into()), content: Vec::new() };
        self.answered.extend(pending.into_keys().map(unanswered));
    }

    fn take(&mut self, call: CallNumber) -> Option<Answered> {
        let at = self.answered.iter().position(|answered| answered.call == call)?;
        Some(self.answered.remove(at))
    }
}

/// The answer to a reading, if it is about the bytes that came.
fn verify(told: Value, content: &[u8]) -> Result<Value, SessionError> {
    let account: Content = serde_json::from_value(told.clone()).map_err(LinkError::Answer)?;
    let (stream, bytes) = (Stream::Content, content.len() as u64);
    let found = blake3::hash(content).to_hex().to_string();
    let wrong = if account.bytes != bytes {
        StreamError::Bytes { stream, told: account.bytes, found: bytes }
    } else if account.blake3 != found {
        StreamError::Digest { stream, bytes, told: account.blake3, found }
    } else {
        return Ok(told);
    };
    Err(SessionError::Content { source: wrong })
}

impl Session {
    /// Makes one call and waits for its answer; what happens meanwhile waits to be taken.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn ask<A: Asks>(&mut self, asks: A) -> Result<A::Answer, SessionError> {
        self.ask_with_content(asks).map(|(answer, _)| answer)
    }

    /// The same, with what `file/read` brings.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn ask_with_content<A: Asks>(&mut self, asks: A) -> Result<(A::Answer, Vec<u8>), SessionError> {
        let call = self.begin(asks.into_call())?;
        loop {
            if let Some(answered) = self.calls.take(call) {
                let answer = read(answered.outcome?)?;
                return Ok((answer, answered.content));
            }
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            self.advance()?;
        }
    }

    /// Makes one call without waiting: [`Self::turn`] goes on with it, [`Self::take_answer`] has its answer.
    ///
    /// # Errors
    /// [`SessionError`] when the call is too large for a frame.
    pub fn begin(&mut self, call: Call) -> Result<CallNumber, SessionError> {
        let brings_content = matches!(call, Call::FileRead(_));
        let call = self.link.ask(call)?;
        self.calls.begin(call, brings_content);
        self.push();
        Ok(call)
    }

    /// An answer that has come, of a call that was begun.
    pub fn take_answer(&mut self) -> Option<Answered> {
        self.calls.answered.pop()
    }
}

fn read<T: DeserializeOwned>(told: Value) -> Result<T, SessionError> {
    Ok(serde_json::from_value(told).map_err(LinkError::Answer)?)
}
