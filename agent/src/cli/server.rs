//! Commands that a running server keeps: listed, read, attached to, ended, forgotten.
//!
//! Each command of the command line is one conversation with the server; none starts anything.

mod attach;
mod end;
mod logs;
mod ps;

use clap::Args;
use serde::Serialize;
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
struct Server {
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

/// Which server, and how its answer is told.
#[derive(Debug, Clone, Args)]
pub(super) struct Asking {
    #[command(flatten)]
    server: Server,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Asking {
    fn session(&self) -> Result<Session, SessionError> {
        self.server.session()
    }

    /// The exit code, after a word about what went wrong: for programs as well, where they asked for it and the server said it.
    fn end(&self, outcome: Result<Exit, SessionError>) -> Exit {
        match outcome {
            Ok(exit) => exit,
            Err(SessionError::Link(LinkError::Refused(error))) if self.json => {
                output::json(&serde_json::json!({ "error": error }));
                Exit::Failed
            }
            Err(error) => failure(&error),
        }
    }

    /// The result, where it is asked for as JSON.
    fn tell(&self, result: impl Serialize) -> Exit {
        if self.json { output::json(&result) } else { Exit::Success }
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
