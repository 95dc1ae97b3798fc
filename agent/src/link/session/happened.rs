//! What a session tells its caller about commands.

use weir_protocol::frame::Place;
use weir_protocol::method::output::Gap;
use weir_protocol::method::process::{End, Exited, ProcessId};

use super::super::received::Verified;

/// What has happened to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// It wrote these bytes, which follow the ones before. [`consumed`](super::Session::consumed) says that they have been dealt with.
    Output(Place, Vec<u8>),
    /// Bytes were dropped here, as the start had allowed, or were taken by another owner.
    Gap(Gap),
    /// There is room for more input.
    Room(ProcessId),
    /// Its first process was stopped by this signal.
    Stopped(ProcessId, i32),
    /// The command itself has ended so, and what it has started goes on.
    Background(ProcessId, End),
    /// It has ended, and everything it started; output may follow.
    Exited(Box<Exited>),
    /// The last: everything it wrote has come, and is what was written.
    Closed(ProcessId, Vec<Verified>),
    /// It was ended when the connection broke, for it was not to stay.
    Gone(ProcessId),
}

impl Happened {
    /// The command.
    #[must_use]
    pub fn id(&self) -> ProcessId {
        match self {
            Self::Output(place, _) => place.id,
            Self::Gap(gap) => gap.id,
            Self::Exited(exited) => exited.id,
            Self::Room(id)
            | Self::Stopped(id, _)
            | Self::Background(id, _)
            | Self::Closed(id, _)
            | Self::Gone(id) => *id,
        }
    }
}

/// A command that has been followed to its last byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// How it ended.
    pub exited: Exited,
    /// What is proved of its streams.
    pub streams: Vec<Verified>,
    /// Bytes that did not come.
    pub gaps: Vec<Gap>,
}
