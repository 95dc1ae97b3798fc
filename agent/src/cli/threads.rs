//! `weir threads`: conversations that are kept. Reads and tends files below Weir's directory, and asks no server.

mod look;
mod tend;

use clap::{Args, Subcommand, ValueEnum};
use weir_protocol::ByteString;

use super::{Exit, output, standpoint};
use crate::thread::{CursorError, Store, ThreadError, ThreadId};

/// What to do with threads.
#[derive(Debug, Subcommand)]
pub(super) enum ThreadsCommand {
    /// List threads, the latest first
    #[command(
        after_help = "Examples:\n  weir threads list\n  weir threads list --here --limit 5\n  weir threads list --json | jq -r '.threads[].thread'\n\nWhere there are more, a last line says how to go on.\n\nExit codes: 0 done, 2 bad options, 125 Weir failed."
    )]
    List(look::ListOptions),
    /// Show what is known of a thread
    #[command(after_help = "Example:\n  weir threads show 01a2262a --json")]
    Show(One),
    /// Show turns of a thread, page by page
    #[command(
        after_help = "Examples:\n  weir threads turns 01a2262a\n  weir threads turns 01a2262a --order oldest-first --limit 50\n  weir threads turns 01a2262a --json | jq .next\n\nWhere there are more, a last line says how to go on; a page costs what it holds, however long the thread is.\n\nExit codes: 0 done, 2 no such thread or a bad cursor, 125 Weir failed."
    )]
    Turns(look::TurnsOptions),
    /// Give a thread a name, by which it is found from then on
    #[command(after_help = "Example:\n  weir threads name 01a2262a 'port to the new API'")]
    Name(tend::NameOptions),
    /// Put threads away: they are out of lists and cannot be continued until they are brought back
    #[command(after_help = "Example:\n  weir threads archive 01a2262a 01a22631")]
    Archive(Several),
    /// Bring threads back
    #[command(after_help = "Example:\n  weir threads unarchive 01a2262a")]
    Unarchive(Several),
    /// Delete threads for good
    #[command(
        after_help = "Example:\n  weir threads delete 01a2262a\n\nWhat a thread that was forked from a deleted one needs of it is kept, out of every list, until that one is deleted too."
    )]
    Delete(Several),
    /// Print the path of a thread's file
    #[command(after_help = "Example:\n  tail -f \"$(weir threads path 01a2262a)\"")]
    Path(One),
    /// Read whole files and say what is damaged, line by line
    #[command(
        after_help = "Examples:\n  weir threads check\n  weir threads check 01a2262a --json\n  weir threads check --rebuild\n\nNothing is changed but the index, and that only with --rebuild.\n\nExit codes: 0 all is sound, 1 something is damaged, 2 no such thread, 125 Weir failed."
    )]
    Check(tend::CheckOptions),
}

/// One thread.
#[derive(Debug, Args)]
pub(super) struct One {
    /// Its id, a beginning of it that no other has, or its name
    #[arg(value_name = "THREAD")]
    thread: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Some threads.
#[derive(Debug, Args)]
pub(super) struct Several {
    /// Ids, beginnings of them that no other has, or names
    #[arg(value_name = "THREAD", required = true)]
    threads: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Which end comes first.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum OrderWord {
    /// The latest first
    LatestFirst,
    /// The oldest first
    OldestFirst,
}

/// Why it did not work.
#[derive(Debug, thiserror::Error)]
enum ThreadsError {
    #[error(transparent)]
    Place(#[from] standpoint::StandpointError),
    #[error(transparent)]
    Thread(#[from] ThreadError),
    #[error(transparent)]
    Cursor(#[from] CursorError),
}

impl ThreadsError {
    const fn exit(&self) -> Exit {
        match self {
            Self::Thread(
                ThreadError::NotFound { .. }
                | ThreadError::Ambiguous { .. }
                | ThreadError::InUse { .. }
                | ThreadError::IsArchived { .. }
                | ThreadError::NotArchived { .. },
            )
            | Self::Place(_)
            | Self::Cursor(_) => Exit::BadInput,
            Self::Thread(_) => Exit::Failed,
        }
    }
}

/// Does what was asked for.
pub(super) fn run(command: &ThreadsCommand) -> Exit {
    let done = store().and_then(|store| match command {
        ThreadsCommand::List(options) => look::list(&store, options),
        ThreadsCommand::Show(one) => look::show(&store, one),
        ThreadsCommand::Turns(options) => look::turns(&store, options),
        ThreadsCommand::Path(one) => look::path(&store, one),
        ThreadsCommand::Name(options) => tend::name(&store, options),
        ThreadsCommand::Archive(several) => tend::archive(&store, several),
        ThreadsCommand::Unarchive(several) => tend::unarchive(&store, several),
        ThreadsCommand::Delete(several) => tend::delete(&store, several),
        ThreadsCommand::Check(options) => tend::check(&store, options),
    });
    done.unwrap_or_else(|error| output::message(&format!("error: {error}"), error.exit()))
}

fn store() -> Result<Store, ThreadsError> {
    Ok(Store::open(standpoint::weir_home()?.as_path()))
}

/// All threads that are meant, before anything is done to one of them.
fn all(store: &Store, several: &Several) -> Result<Vec<ThreadId>, ThreadsError> {
    several.threads.iter().map(|what| Ok(store.find(what)?)).collect()
}

/// Text of a model or a person on one line, harmless for a terminal.
fn line(text: &str) -> String {
    ByteString(text.as_bytes().to_vec()).to_string()
}
