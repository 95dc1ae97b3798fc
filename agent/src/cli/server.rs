//! Commands that a running server keeps: listed, read, attached to, ended, forgotten.
//!
//! Each command of the command line is one conversation with the server; none starts anything.

mod attach;
mod end;
mod logs;
mod ps;

use clap::Args;
use weir_protocol::method::code;
use weir_protocol::method::process::End;

use super::{Exit, output};
use crate::link::{LinkError, Session, SessionError, Which, reach};
use crate::run::RunError;

pub(super) use attach::{AttachOptions, attach};
pub(super) use end::{KillOptions, OneOptions, RmOptions, kill, rm, wait};
pub(super) use logs::{LogsOptions, logs};
pub(super) use ps::{PsOptions, ps};

/// Which server.
#[derive(Debug, Clone, Args)]
pub(super) struct Server {
    /// Use the exec-server that listens at PATH [default: $WEIR_SERVER, else yours, else the system's]
    #[arg(long = "server", value_name = "PATH", value_hint = clap::ValueHint::FilePath)]
    which: Option<Which>,
}

impl Server {
    fn session(&self) -> Result<Session, SessionError> {
        let link = reach(self.which.as_ref().unwrap_or(&Which::Found))?;
        Ok(Session::new(link)?)
    }
}

/// Says why it did not work, and what to do.
fn failure(error: &SessionError) -> Exit {
    let advice = match error {
        SessionError::Link(LinkError::Refused(error)) if error.code == code::NO_COMMAND => {
            "; `weir ps` lists them"
        }
        _ => "",
    };
    output::message(&format!("weir: {error}{advice}"), Exit::Failed)
}

fn ending(outcome: Result<Exit, SessionError>) -> Exit {
    outcome.unwrap_or_else(|error| failure(&error))
}

/// The command's own exit code; says what one of Weir's own means.
fn ended_as(end: End) -> Exit {
    let exit = Exit::of(end);
    super::run::say_end(end, exit);
    exit
}

fn run_failure(error: &RunError) -> Exit {
    match error {
        RunError::Session(error) => failure(error),
        error => output::message(&format!("weir: {error}"), Exit::Failed),
    }
}
