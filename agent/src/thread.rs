//! Threads: conversations that are kept, continued, forked and looked at.
//!
//! A thread is a rollout, a file of JSON lines that only ever grows ([`Record`]), and an index that is made from the rollouts and can
//! be thrown away. A fork refers to the part of the other file that it continues. `docs/THREADS.md` has the format and the guarantees.
//!
//! Nothing here decides what a thread may do: it keeps what binds it, and hands it to whoever asks the exec-server.

mod binding;
mod check;
mod history;
mod id;
mod index;
mod lines;
mod live;
mod page;
mod place;
mod record;
mod rollout;
mod store;
mod tend;

use std::io;
use std::path::PathBuf;

pub use check::Checked;
pub use id::{IdError, ItemId, ThreadId, TurnId};
pub use index::{Archived, Filter, Makers, Sort};
pub use live::Thread;
pub use page::{Cursor, CursorError, MAX_TURNS, Order, Page, Turn, TurnItem};
pub use record::{
    Base, Bound, Counted, Damage, MAX_LINE_BYTES, Meta, Named, Ordinal, Record, Said, Settings, Source,
    TurnEnded, TurnStarted, TurnStatus, Wrong,
};
pub use store::{ForkPoint, Keeping, ListCursor, Listing, MAX_THREADS, NewThread, Store, Summary};
pub use tend::Deleted;

/// Why something cannot be done with threads.
#[derive(Debug, thiserror::Error)]
pub enum ThreadError {
    /// There is no such thread.
    #[error("there is no thread `{what}`; `weir threads list` names them")]
    NotFound {
        /// What was looked for.
        what: String,
    },
    /// Several threads are meant.
    #[error("`{what}` may be any of several threads: {}", list(.found))]
    Ambiguous {
        /// What was looked for.
        what: String,
        /// The first of them.
        found: Vec<ThreadId>,
    },
    /// Another process continues it.
    #[error("thread {thread} is in use by another process")]
    InUse {
        /// The thread.
        thread: ThreadId,
    },
    /// It was put away.
    #[error("thread {thread} is archived; `weir threads unarchive {thread}` brings it back")]
    IsArchived {
        /// The thread.
        thread: ThreadId,
    },
    /// It was not put away.
    #[error("thread {thread} is not archived")]
    NotArchived {
        /// The thread.
        thread: ThreadId,
    },
    /// There is no such turn in it.
    #[error("thread {thread} has no turn {turn}")]
    NoTurn {
        /// The thread.
        thread: ThreadId,
        /// The turn.
        turn: TurnId,
    },
    /// A turn that has not ended cannot be forked behind.
    #[error("turn {turn} has not ended; fork before it")]
    OpenTurn {
        /// The turn.
        turn: TurnId,
    },
    /// A file that it was forked from is gone, or shorter than it was.
    #[error(
        "thread {thread} continues thread {lost}, whose file is gone or cut short; its own turns can still be read"
    )]
    HistoryLost {
        /// The thread.
        thread: ThreadId,
        /// Whose file.
        lost: ThreadId,
    },
    /// It was forked from a fork of a fork …
    #[error("thread {thread} goes back over too many forks")]
    TooManyForks {
        /// The thread.
        thread: ThreadId,
    },
    /// Its file does not say what policy binds it, says it wrongly, or may have lost the record that says it last.
    #[error(
        "thread {thread} does not say, or not rightly, what policy binds it, or may have lost where it says so last \
         (`weir threads check {thread}`); it can be read, and neither continued nor forked"
    )]
    Unbound {
        /// The thread.
        thread: ThreadId,
    },
    /// A record beyond all bounds.
    #[error("a record of {bytes} bytes is more than the {MAX_LINE_BYTES} that a line may have")]
    TooLong {
        /// Its size.
        bytes: usize,
    },
    /// A record that has no form as a line.
    #[error("cannot put a record into a line: {0}")]
    Unwritable(serde_json::Error),
    /// The file takes no more.
    #[error("cannot write the thread: {0}")]
    Write(io::Error),
    /// A file or directory cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// It.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or directory cannot be made.
    #[error("cannot make {}: {source}", .path.display())]
    Make {
        /// It.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be moved or removed.
    #[error("cannot move or remove {}: {source}", .path.display())]
    Move {
        /// It.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// SQLite's own.
    #[error("the index of threads fails: {0}")]
    Database(#[from] rusqlite::Error),
    /// What the index holds is not what was put there.
    #[error("the index of threads holds what cannot be read ({0}); remove it and it is made anew")]
    Content(#[from] serde_json::Error),
    /// The same, of an id.
    #[error("the index of threads holds what cannot be read ({0}); remove it and it is made anew")]
    Id(#[from] IdError),
}

fn list(threads: &[ThreadId]) -> String {
    threads.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
