//! `weir kill`, `weir wait` and `weir rm`: a command's end.

use clap::Args;
use signal_hook::low_level::signal_name;
use weir_protocol::method::process::{ProcessId, Receivers};

use super::super::Exit;
use super::{Server, ended_as, ending};
use crate::link::SessionError;

/// Seconds between the request to end and the end itself.
const GRACE_S: &str = "5";

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
    server: Server,
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
    server: Server,
    /// The command's number, as `weir ps` shows it
    #[arg(value_name = "ID")]
    id: ProcessId,
}

/// Options of `weir rm`.
#[derive(Debug, Args)]
#[command(after_help = RM_EXAMPLES)]
pub(in super::super) struct RmOptions {
    #[command(flatten)]
    server: Server,
    /// The commands' numbers, as `weir ps` shows them
    #[arg(value_name = "ID", required = true)]
    ids: Vec<ProcessId>,
}

pub(in super::super) fn kill(options: &KillOptions) -> Exit {
    let ended = || -> Result<Exit, SessionError> {
        let mut session = options.server.session()?;
        match options.signal {
            Some(signal) => session.signal(options.id, signal, Receivers::All)?,
            None => session.kill(options.id, u64::from(options.grace) * 1000)?,
        }
        Ok(Exit::Success)
    };
    ending(ended())
}

pub(in super::super) fn wait(options: &OneOptions) -> Exit {
    let ended = options.server.session().and_then(|mut session| session.wait(options.id));
    ending(ended.map(|exited| ended_as(exited.end)))
}

pub(in super::super) fn rm(options: &RmOptions) -> Exit {
    let mut session = match options.server.session() {
        Ok(session) => session,
        Err(error) => return ending(Err(error)),
    };
    let outcomes = options.ids.iter().map(|id| ending(session.forget(*id).map(|()| Exit::Success)));
    outcomes.fold(Exit::Success, |worst, exit| if exit == Exit::Success { worst } else { exit })
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
