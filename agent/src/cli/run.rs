//! `weir run`: one command under a profile.
//!
//! Decides nothing about the command: puts the request together, lets [`crate::run`] attend it, and says how it ended.

mod duration;
mod footer;
mod plan;
mod report;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use weir_protocol::ByteString;
use weir_protocol::method::output::Output;
use weir_protocol::method::process::{End, Start};
use weir_protocol::method::{Error, code};

use super::standpoint::StandpointError;
use super::{Exit, Overrides, Place, output};
use crate::link::{Link, LinkError};
use crate::run::{self, Ended, RunError, Tty, Wiring};
use report::{Report, ReportError};

const EXAMPLES: &str = "\
Examples:
  weir run -- cargo test
  weir run --profile :isolated --timeout 5m make -j4
  weir run --write ../shared --deny secrets.txt -- python build.py
  weir run --env CI=1 --env TERM --report run.json -- npm test
  weir run --dry-run -- make

What follows CMD belongs to CMD; `--` is needed only where CMD starts with a dash.

Exit codes:
  the command's own
  128+N  signal N ended the command
  124    its time was over (--timeout, or the profile's limit)
  125    Weir refused or failed; the command did not run, or not to its end
  126    the command was found and cannot be executed
  127    the command was not found
  2      these options cannot be used";

/// Options of `weir run`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RunOptions {
    /// The profile [default: the one in force]
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    overrides: Overrides,
    /// Set a variable whatever the profile says; K alone passes the caller's value; may be repeated
    #[arg(long, value_name = "K[=V]", value_parser = OsStringValueParser::new().try_map(variable))]
    env: Vec<Variable>,
    /// Give the command a terminal of its own
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    tty: Tty,
    /// End the command after DURATION: 30s, 5m, 1h30m, 250ms
    #[arg(long, value_name = "DURATION", value_parser = duration::milliseconds)]
    timeout: Option<u64>,
    /// Write a report in JSON to FILE, in any case once the options are accepted; seen from the directory of -C
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    report: Option<PathBuf>,
    /// Print how the profile would be enforced, and run nothing
    #[arg(long, conflicts_with = "report")]
    dry_run: bool,
    /// Print JSON
    #[arg(long, requires = "dry_run")]
    json: bool,
    /// Say nothing after a run: no degradations, denials, new repositories
    #[arg(long)]
    quiet: bool,
    /// Run as another user; only root may
    #[arg(long, value_name = "NAME|UID", value_hint = clap::ValueHint::Username)]
    user: Option<String>,
    /// The command and its arguments
    #[arg(
        required = true, trailing_var_arg = true, value_name = "CMD", value_hint = clap::ValueHint::CommandWithArguments
    )]
    command: Vec<OsString>,
}

/// Why nothing ran, or not to its end.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Standpoint(#[from] StandpointError),
    #[error("{0}")]
    Run(#[from] RunError),
    #[error("{0}")]
    Report(#[from] ReportError),
}

impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Self {
        RunError::from(error).into()
    }
}

impl Failure {
    fn refusal(&self) -> Option<&Error> {
        match self {
            Self::Run(RunError::Link(LinkError::Refused(error))) => Some(error),
            _ => None,
        }
    }

    fn exit(&self) -> Exit {
        match (self, self.refusal()) {
            (_, Some(Error { code: code::COMMAND_NOT_FOUND, .. })) => Exit::NotFound,
            (_, Some(Error { code: code::COMMAND_NOT_EXECUTABLE, .. })) => Exit::NotExecutable,
            (Self::Run(RunError::GivenUp { signal }), _) => Exit::signalled(*signal),
            _ => Exit::Failed,
        }
    }
}

impl Exit {
    fn signalled(signal: i32) -> Self {
        u8::try_from(signal)
            .ok()
            .and_then(|signal| signal.checked_add(128))
            .map_or(Self::Failed, Self::Command)
    }

    fn of(end: End) -> Self {
        match end {
            End::Exited { code } => u8::try_from(code).map_or(Self::Failed, Self::Command),
            End::Signalled { signal } => Self::signalled(signal),
            // As whatever the kernel ends for want of memory.
            End::Memory { .. } => Self::signalled(9),
            End::TimedOut { .. } => Self::TimedOut,
            End::Cancelled => Self::Failed,
        }
    }
}

pub(super) fn run(options: RunOptions) -> Exit {
    // The server starts up while this process looks around.
    let link = Link::embedded();
    match carry_out(options, link) {
        Ok(exit) => exit,
        Err(failure) => output::message(&format!("weir: {failure}"), failure.exit()),
    }
}

fn carry_out(options: RunOptions, link: Result<Link, LinkError>) -> Result<Exit, Failure> {
    let mut link = link?;
    let wiring = Wiring::choose(options.tty);
    let start = start(&options, &wiring)?;
    if options.dry_run {
        return Ok(plan::print(&mut link, start, options.json)?);
    }
    let report = match &options.report {
        Some(file) => Some(Report::new(&start.choice.standpoint.cwd.as_path().join(file), &start.argv)?),
        None => None,
    };
    let outcome = run::run(&mut link, start, &wiring).map_err(Failure::from);
    drop(link);
    let exit = outcome.as_ref().map_or_else(Failure::exit, |ended| Exit::of(ended.exited.end));
    if let Some(report) = report {
        let error = outcome.as_ref().err().map(|failure| (failure.refusal(), failure.to_string()));
        report.write(exit, outcome.as_ref().ok(), error)?;
    }
    let ended = outcome?;
    if !options.quiet {
        footer::print(&ended);
    }
    say_end(&ended, exit);
    Ok(exit)
}

/// Says what an exit code of Weir's own means; a command's own code speaks for itself.
fn say_end(ended: &Ended, exit: Exit) {
    match ended.exited.end {
        End::TimedOut { limit_ms } => {
            let limit = duration::text(limit_ms);
            output::message(&format!("weir: the command was ended: its time of {limit} was over"), exit);
        }
        End::Memory { limit_bytes } => {
            let text = format!("weir: the command was ended: its memory of {limit_bytes} bytes was used up");
            output::message(&text, exit);
        }
        End::Cancelled => {
            output::message("weir: the sandbox was ended from outside", exit);
        }
        End::Exited { .. } | End::Signalled { .. } => {}
    }
}

fn start(options: &RunOptions, wiring: &Wiring) -> Result<Start, StandpointError> {
    let bytes = |text: &OsStr| ByteString(text.as_bytes().to_vec());
    let set = options.env.iter().filter_map(|Variable { name, value }| {
        // As the caller has it; what the caller does not have stays absent.
        let value = value.clone().or_else(|| std::env::var_os(name))?;
        Some((bytes(name), bytes(&value)))
    });
    Ok(Start {
        choice: options.place.choice(options.profile.as_deref(), &options.overrides)?,
        argv: options.command.iter().map(|argument| bytes(argument)).collect(),
        env: std::env::vars_os().map(|(name, value)| (bytes(&name), bytes(&value))).collect(),
        set: set.collect(),
        stdio: wiring.stdio(),
        timeout_ms: options.timeout,
        user: options.user.clone(),
        output: Output::default(),
        under: None,
    })
}

/// A variable of `--env`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Variable {
    name: OsString,
    value: Option<OsString>,
}

/// A name is missing.
#[derive(Debug, thiserror::Error)]
#[error("a variable needs a name: K=V, or K alone")]
struct NoName;

fn variable(text: OsString) -> Result<Variable, NoName> {
    let bytes = text.as_bytes();
    let (name, value) = match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) => (bytes.get(..at), bytes.get(at + 1..)),
        None => (Some(bytes), None),
    };
    let name = name.filter(|name| !name.is_empty()).ok_or(NoName)?;
    let owned = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    Ok(Variable { name: owned(name), value: value.map(owned) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_its_exit_code() {
        let cases = [
            (End::Exited { code: 0 }, 0),
            (End::Exited { code: 255 }, 255),
            (End::Exited { code: 256 }, 125),
            (End::Signalled { signal: 9 }, 137),
            (End::Signalled { signal: 64 }, 192),
            (End::Signalled { signal: 200 }, 125),
            (End::Memory { limit_bytes: 1 }, 137),
            (End::TimedOut { limit_ms: 1 }, 124),
            (End::Cancelled, 125),
        ];
        for (end, expect) in cases {
            assert_eq!(Exit::of(end).code(), expect, "{end:?}");
        }
    }

    #[test]
    fn variables_are_told_apart() {
        let read = |text: &str| variable(text.into()).map(|found| (found.name, found.value)).ok();
        let cases = [
            ("K=V", Some(("K", Some("V")))),
            ("K=a=b", Some(("K", Some("a=b")))),
            ("K=", Some(("K", Some("")))),
            ("K", Some(("K", None))),
            ("=V", None),
            ("", None),
        ];
        for (text, expect) in cases {
            let expect = expect.map(|(name, value)| (OsString::from(name), value.map(OsString::from)));
            assert_eq!(read(text), expect, "{text}");
        }
    }
}
