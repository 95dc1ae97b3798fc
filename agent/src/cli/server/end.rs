//! `weir kill`, `weir wait` and `weir rm`: a command's end.

use clap::Args;
use serde::Serialize;
use signal_hook::low_level::signal_name;
use weir_protocol::method::process::{Exited, ProcessId, Receivers};
use weir_protocol::method::{Error, code};

use super::super::Exit;
use super::{Asking, ended_as};
use crate::link::{LinkError, SessionError};

/// Seconds between the request to end and the end itself.
const GRACE_S: &str = "5";

/// Milliseconds of a second.
const MS_PER_S: u64 = 1000;

/// Largest number of a signal (signal(7)).
const MAX_SIGNAL: i32 = 64;

const KILL_EXAMPLES: &str = "\
Examples:
  weir kill 3
  weir kill 3 --grace 0
  weir kill 3 --signal HUP

Everything in the sandbox gets SIGTERM, and after the grace SIGKILL; weir waits for the end. With --signal it gets that signal and
nothing else happens. What the command wrote stays until `weir rm`.

Exit codes: 0 done, 2 bad options, 125 Weir failed, no server runs, or there is no such command.";

const WAIT_EXAMPLES: &str = "\
Example:
  id=$(weir run --detach -- make); weir wait $id && weir logs $id

Exit codes:
  the command's own, 128+N and 124 as for `weir run`
  125    Weir failed, no server runs, or there is no such command
  2      these options cannot be used";

const RM_EXAMPLES: &str = "\
Example:
  weir rm 3 4

Only a command that has ended is forgotten; `weir kill` ends one.

Exit codes: 0 done, 2 bad options, 125 Weir failed, no server runs, or one of them was not forgotten.";

/// Options of `weir kill`.
#[derive(Debug, Args)]
#[command(after_help = KILL_EXAMPLES)]
pub(in super::super) struct KillOptions {
    #[command(flatten)]
    asking: Asking,
    /// The command's number, as `weir ps` shows it
    #[arg(value_name = "ID")]
    id: ProcessId,
    /// Seconds that it may take to end by itself
    #[arg(long, value_name = "SECONDS", default_value = GRACE_S)]
    grace: u32,
    /// Send this signal and nothing else: TERM, SIGTERM or 15
    #[arg(long, value_name = "NAME", value_parser = signal, conflicts_with = "grace")]
    signal: Option<i32>,
}

/// Options of `weir wait`.
#[derive(Debug, Args)]
#[command(after_help = WAIT_EXAMPLES)]
pub(in super::super) struct OneOptions {
    #[command(flatten)]
    asking: Asking,
    /// The command's number, as `weir ps` shows it
    #[arg(value_name = "ID")]
    id: ProcessId,
}

/// Options of `weir rm`.
#[derive(Debug, Args)]
#[command(after_help = RM_EXAMPLES)]
pub(in super::super) struct RmOptions {
    #[command(flatten)]
    asking: Asking,
    /// The commands' numbers, as `weir ps` shows them
    #[arg(value_name = "ID", required = true)]
    ids: Vec<ProcessId>,
}

/// What `weir kill` and `weir rm` have done, for programs.
#[derive(Serialize)]
struct Done {
    id: ProcessId,
    /// How it ended, unless it was a signal alone, or the one who started it has heard of the end and nobody else can.
    #[serde(skip_serializing_if = "Option::is_none")]
    exited: Option<Exited>,
}

pub(in super::super) fn kill(options: &KillOptions) -> Exit {
    options.asking.end(kill_one(options))
}

fn kill_one(options: &KillOptions) -> Result<Exit, SessionError> {
    let (asking, id) = (&options.asking, options.id);
    let mut session = asking.session()?;
    if let Some(signal) = options.signal {
        session.signal(id, signal, Receivers::All)?;
        return Ok(asking.tell(Done { id, exited: None }));
    }
    session.kill(id, u64::from(options.grace) * MS_PER_S)?;
    let exited = match session.wait(id) {
        Err(SessionError::Link(LinkError::Refused(Error { code: code::NO_COMMAND, .. }))) => None,
        exited => Some(exited?),
    };
    Ok(asking.tell(Done { id, exited }))
}

pub(in super::super) fn wait(options: &OneOptions) -> Exit {
    let asking = &options.asking;
    asking.end(asking.session().and_then(|mut session| session.wait(options.id)).map(|exited| {
        asking.tell(&exited);
        ended_as(exited.end)
    }))
}

pub(in super::super) fn rm(options: &RmOptions) -> Exit {
    let asking = &options.asking;
    let mut session = match asking.session() {
        Ok(session) => session,
        Err(error) => return asking.end(Err(error)),
    };
    let forgotten = |id: &ProcessId| {
        asking.end(session.forget(*id).map(|()| asking.tell(Done { id: *id, exited: None })))
    };
    // Every one is tried, whatever became of the one before.
    options
        .ids
        .iter()
        .map(forgotten)
        .fold(Exit::Success, |worst, exit| if exit == Exit::Success { worst } else { exit })
}

/// Not the name of a signal.
#[derive(Debug, thiserror::Error)]
#[error("no signal of this name; write TERM, SIGTERM or 15")]
struct NoSignal;

fn signal(text: &str) -> Result<i32, NoSignal> {
    if let Ok(number) = text.parse() {
        return if (1..=MAX_SIGNAL).contains(&number) { Ok(number) } else { Err(NoSignal) };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let named = |number: &i32| signal_name(*number).and_then(|found| found.strip_prefix("SIG")) == Some(name);
    (1..=MAX_SIGNAL).find(named).ok_or(NoSignal)
}

#[cfg(test)]
mod tests {
    use super::signal;

    #[test]
    fn signals_have_names_and_numbers() {
        let cases = [
            ("TERM", Some(15)),
            ("sigterm", Some(15)),
            ("9", Some(9)),
            ("SIGUSR1", Some(10)),
            ("64", Some(64)),
            ("0", None),
            ("65", None),
            ("SIGSIGTERM", None),
            ("", None),
        ];
        for (text, expect) in cases {
            assert_eq!(signal(text).ok(), expect, "{text}");
        }
    }
}
