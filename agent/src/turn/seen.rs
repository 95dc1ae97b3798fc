//! What can be seen of a turn while it runs: for a terminal, a stream of events, a client.

use std::time::Duration;

use weir_protocol::method::process::ProcessId;

use super::{Call, Ended};
use crate::item::{Item, ToolOutcome, Usage};
use crate::model::ModelError;
use crate::thread::{ItemId, ThreadId, TurnId};
use crate::tool::Progress;

/// Who sees a turn. Hears things in the order in which they happen, after they are certain: only deltas can turn out to be
/// void ([`Seen::Again`]).
pub trait Watch {
    /// Something happened.
    fn see(&self, seen: Seen<'_>);

    /// Something happened in a thread to which the turn gave work, or in one to which that thread did.
    fn see_in(&self, _thread: ThreadId, _seen: Seen<'_>) {}
}

/// Something that happened.
#[derive(Debug)]
pub enum Seen<'a> {
    /// A turn begins.
    TurnStarted {
        /// The turn.
        turn: TurnId,
    },
    /// The model writes.
    Text(&'a str),
    /// The model tells of its reasoning.
    Reasoning(&'a str),
    /// The provider is asked again; what was written since the last item is void.
    Again {
        /// How often it has been asked again, from 1.
        attempt: u32,
        /// After this pause.
        pause: Duration,
        /// Why.
        error: &'a ModelError,
    },
    /// The conversation is being summarized.
    Compacting,
    /// An item is complete: said by the model or the person. Calls and their results have their own events.
    Said {
        /// Its id.
        id: ItemId,
        /// The item.
        item: &'a Item,
    },
    /// A call begins.
    CallStarted {
        /// The id of its item.
        id: ItemId,
        /// The call.
        call: &'a Call,
    },
    /// A call goes on.
    CallProgress {
        /// The id of its item.
        id: ItemId,
        /// What it has done.
        progress: Progress<'a>,
    },
    /// The person has interrupted the turn, and what it has begun comes to its end. Told again while that goes on.
    Interrupting {
        /// What is waited for.
        awaited: &'a [&'a Awaited],
        /// For how long already.
        since: Duration,
    },
    /// A call is over.
    CallEnded {
        /// The id of its item.
        id: ItemId,
        /// The call.
        call: &'a Call,
        /// What it came to.
        outcome: &'a ToolOutcome,
    },
    /// The model has counted.
    Counted {
        /// Tokens of this turn so far.
        turn: Usage,
        /// Tokens of the thread so far.
        total: Usage,
    },
    /// The turn is over.
    TurnEnded {
        /// How.
        ended: &'a Ended,
    },
}

/// Something that a call has started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Awaited {
    /// A command.
    Command {
        /// Its number at the exec-server.
        process: ProcessId,
        /// Its words.
        argv: Vec<String>,
    },
    /// Work of another thread.
    Helper {
        /// The thread.
        thread: ThreadId,
    },
}
