//! The worker's life inside its sandbox: one call after another until nobody asks any more.
//!
//! It begins on a copy of the launcher's memory with nothing open but its pipes. It must never hold more than one call's bounded
//! memory, and never anything of a call when that is answered.

use std::io;

use serde::Serialize;
use weir_protocol::method::file::Ask;

use super::link::Link;
use super::{Fault, Outcome, Told, change, copy, find, list, patch, read, search};

/// Serves the calls on standard input; the exit code.
pub(crate) fn run() -> i32 {
    match serve(&mut Link::standard()) {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

fn serve(link: &mut Link) -> io::Result<()> {
    while let Some(payload) = link.next()? {
        if payload.is_empty() {
            // Meant to call off what was answered in the meantime.
            continue;
        }
        let told = carry_out(serde_json::from_slice(&payload)?, link)?;
        link.say(&told)?;
    }
    Ok(())
}

fn carry_out(ask: Ask, link: &Link) -> io::Result<Told> {
    match ask {
        Ask::Read(ask) => match read::read(&ask) {
            Ok((content, bytes)) => {
                link.content(0, &bytes)?;
                told(Ok(content))
            }
            Err(failure) => Ok(Told::Failed(failure)),
        },
        Ask::Write(ask) => told(change::write(&ask)),
        Ask::Patch(ask) => told(patch::patch(&ask)),
        Ask::List(ask) => told(list::list(&ask, link)),
        Ask::Stat(ask) => told(list::stat(&ask)),
        Ask::Copy(ask) => told(copy::copy(&ask, link)),
        Ask::Move(ask) => told(copy::rename(&ask, link)),
        Ask::Remove(ask) => told(change::remove(&ask)),
        Ask::Glob(ask) => told(find::glob(&ask, link)),
        Ask::Search(ask) => told(search::search(&ask, link)),
    }
}

fn told<T: Serialize>(outcome: Outcome<T>) -> io::Result<Told> {
    Ok(match outcome {
        Ok(result) => Told::Done(serde_json::to_value(result)?),
        Err(failure) => Told::Failed(failure),
    })
}

/// The most that is told: what was asked for, within a bound.
pub(super) fn limit(asked: Option<u32>, most: u32) -> usize {
    usize::try_from(asked.unwrap_or(most).min(most)).unwrap_or(usize::MAX)
}

/// So much is more than is taken.
pub(super) fn too_large(found: u64, what: &str, most: u64) -> Fault {
    Fault::TooLarge(format!("{found} {what}; one call takes at most {most}"))
}
