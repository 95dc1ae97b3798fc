//! Why a session cannot go on.

use std::io;

use weir_protocol::frame::FrameError;
use weir_protocol::method::process::ProcessId;

use super::super::LinkError;
use super::super::given::GivenError;
use super::super::received::StreamError;
use super::hear::MAX_WAITING;

/// Why a session cannot go on, or a call of it failed.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The connection, or a refusal of the server's.
    #[error("{0}")]
    Link(#[from] LinkError),
    /// The connection cannot be waited for.
    #[error("cannot wait for the exec-server: {0}")]
    Wait(io::Error),
    /// A stream is not what it should be.
    #[error("output of command {id} is not what was written: {source}")]
    Stream {
        /// The command.
        id: ProcessId,
        /// What is wrong.
        source: StreamError,
    },
    /// Content of a file is not what was read.
    #[error("what came of a file is not what was read: {source}")]
    Content {
        /// What is wrong.
        source: StreamError,
    },
    /// Standard input is not where it should be.
    #[error("input of command {id}: {source}")]
    Input {
        /// The command.
        id: ProcessId,
        /// What is wrong.
        source: GivenError,
    },
    /// Something about a command that this session does not follow, or follows no more.
    #[error("the exec-server speaks of command {id}, which is not followed here")]
    Stray {
        /// The command.
        id: ProcessId,
    },
    /// An end that came twice, or the last word before it.
    #[error("the exec-server tells the end of command {id} out of order")]
    Order {
        /// The command.
        id: ProcessId,
    },
    /// More events than anybody could cause.
    #[error("the exec-server sends more than {MAX_WAITING} events that nobody takes")]
    Flood,
    /// This session does not follow the command.
    #[error("command {id} is not followed here")]
    NotFollowed {
        /// The command.
        id: ProcessId,
    },
    /// It was ended when the connection broke, for it was not to stay.
    #[error("command {id} was ended: the connection to the exec-server broke")]
    Gone {
        /// The command.
        id: ProcessId,
    },
    /// A start whose streams the server would not carry.
    #[error("a session starts commands with pipes or a carried terminal")]
    NotCarried,
    /// After a new connection: the command of this number is another one.
    #[error("command {id} is gone: the exec-server has begun anew")]
    Replaced {
        /// The command.
        id: ProcessId,
    },
    /// What a command wrote cannot be passed on.
    #[error("cannot write the output: {0}")]
    Write(io::Error),
}

impl SessionError {
    /// Whether the connection has gone, and [`Session::resume`](super::Session::resume) may help.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        matches!(
            self,
            Self::Link(LinkError::Stream(_) | LinkError::NoAnswer | LinkError::Frame(FrameError::Truncated))
        )
    }
}
