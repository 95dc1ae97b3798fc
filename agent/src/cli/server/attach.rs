//! `weir attach`: takes over a command that a server keeps.

use clap::Args;
use weir_protocol::method::output::{Listed, Role, WhenLeft};
use weir_protocol::method::process::ProcessId;

use super::super::{Exit, output};
use super::{Server, ended_as, failure, run_failure};
use crate::link::{Session, SessionError};
use crate::run::{self, DetachKeys, Keyboard, Parting, Screen};

const EXAMPLES: &str = "\
Examples:
  weir attach 3
  weir attach 3 --detach-keys ctrl-p,ctrl-q
  weir attach 3 --no-stdin --from-now

What the command has written and is kept is printed first. What is typed goes to its standard input, where it has one; the keys
of --detach-keys leave it to itself, and it goes on. Without a terminal of its own they count at the end of a line. SIGINT,
SIGQUIT, SIGTERM, SIGUSR1 and SIGUSR2 are passed on; a hang-up leaves it.

Exit codes:
  the command's own, 128+N and 124 as for `weir run`
  0      it was left to itself
  125    Weir failed, no server runs, or there is no such command
  2      these options cannot be used";

/// Options of `weir attach`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in super::super) struct AttachOptions {
    #[command(flatten)]
    server: Server,
    /// The command's number, as `weir ps` shows it
    #[arg(value_name = "ID")]
    id: ProcessId,
    /// The keys that leave the command to itself, or `none`
    #[arg(long, value_name = "KEYS", default_value = "ctrl-]")]
    detach_keys: DetachKeys,
    /// Leave standard input alone
    #[arg(long)]
    no_stdin: bool,
    /// Leave out what was written before
    #[arg(long)]
    from_now: bool,
}

pub(in super::super) fn attach(options: &AttachOptions) -> Exit {
    let (mut session, screen) = match begin(options) {
        Ok(Ok(begun)) => begun,
        Ok(Err(exit)) => return exit,
        Err(error) => return failure(&error),
    };
    let keyboard = if options.no_stdin { Keyboard::Free } else { Keyboard::Connected };
    match run::attend(&mut session, options.id, screen, keyboard, options.detach_keys.clone()) {
        Ok(Parting::Ended(exited)) => ended_as(exited.end),
        Ok(Parting::Left) => {
            let text = format!("weir: left; `weir attach {}` comes back", options.id);
            output::message(&text, Exit::Success)
        }
        Err(error) => run_failure(&error),
    }
}

/// Looks before it takes anything from anybody.
fn begin(options: &AttachOptions) -> Result<Result<(Session, Screen), Exit>, SessionError> {
    let mut session = options.server.session()?;
    let listed = session.list()?.into_iter().find(|listed| listed.id == options.id);
    if let Some(obstacle) = listed.as_ref().and_then(obstacle) {
        return Ok(Err(output::message(&format!("weir: {obstacle}"), Exit::Failed)));
    }
    let from = if options.from_now { [u64::MAX; 2] } else { [0, 0] };
    let attached = session.attach(options.id, from, Role::Owner)?;
    let screen = if attached.listed.terminal { Screen::Terminal } else { Screen::Pipes };
    Ok(Ok((session, screen)))
}

/// Why a command is not to be taken over.
fn obstacle(listed: &Listed) -> Option<String> {
    let id = listed.id;
    if !listed.carried {
        return Some(format!("command {id} uses the streams of the `weir run` that started it; it is there"));
    }
    if listed.exited.is_none() && listed.when_left == WhenLeft::End {
        return Some(format!(
            "command {id} belongs to the client that started it; `weir logs {id} --follow` reads along"
        ));
    }
    None
}
