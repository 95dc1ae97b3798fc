//! `weir run`: one command under a profile.
//!
//! Decides nothing about the command: puts the request together, lets [`crate::run`] attend it, and says how it ended.

pub(super) mod duration;
mod footer;
mod plan;
mod report;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::SystemTime;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgGroup, Args};
use weir_protocol::audit::{since_1970_ms, time};
use weir_protocol::denial::Run;
use weir_protocol::method::network::Asking;
use weir_protocol::method::output::{Keep, Output, WhenLeft};
use weir_protocol::method::policy::Choice;
use weir_protocol::method::process::{End, Start, Stdio};
use weir_protocol::method::{Error, code};
use weir_protocol::{AbsPath, ByteString};

use super::denials::{self, KeptError};
use super::standpoint::StandpointError;
use super::{Exit, Overrides, Place, output};
use crate::link::{Link, LinkError, Session, SessionError, Which, find_or_embed, reach};
use crate::run::{self, Ended, RunError, Tty, Wiring};
use report::{Report, ReportError};

/// How long a person has, and how often a person is asked: more than anybody reads.
const ASKING: Asking = Asking { answer_ms: 120_000, most: 64 };

const EXAMPLES: &str = "\
Examples:
  weir run -- cargo test
  weir run --profile :isolated --timeout 5m make -j4
  weir run --write ../shared --deny secrets.txt -- python build.py
  weir run --env CI=1 --env TERM --report run.json -- npm test
  weir run --copy . -- ./unknown.sh; weir changes --diff; weir discard
  weir run --dry-run -- make
  id=$(weir run --detach -- make -j4); weir attach $id

A running exec-server is used where there is one: the socket that $WEIR_SERVER names, or $XDG_RUNTIME_DIR/weir/exec-server.sock, or
/run/weir/exec-server.sock. Where nothing listens, weir starts one for this command alone. One that is there and refuses is an
error. Root alone can become --user, and does it without a server that others share.

What follows CMD belongs to CMD; `--` is needed only where CMD starts with a dash.

Exit codes:
  the command's own
  128+N  signal N ended the command; where a key of the terminal sent it, weir ends by it as well
  124    its time was over (--timeout, or the profile's limit)
  125    Weir refused or failed; the command did not run, or not to its end
  126    the command was found and cannot be executed
  127    the command was not found
  2      these options cannot be used";

/// Options of `weir run`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("told"))]
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
    #[arg(long, conflicts_with = "report", group = "told")]
    dry_run: bool,
    /// Print JSON: the plan of --dry-run, or what --detach has started
    #[arg(long, requires = "told")]
    json: bool,
    /// Say nothing after a run: no degradations, denials, new repositories
    #[arg(long)]
    quiet: bool,
    /// Run as another user; only root may
    #[arg(long, value_name = "NAME|UID", value_hint = clap::ValueHint::Username)]
    user: Option<String>,
    /// Ask at the terminal about each host that no rule covers, and wait two minutes for a key; without a terminal it stays refused
    #[arg(long, conflicts_with = "detach")]
    ask: bool,
    /// Use the exec-server that listens at PATH, or none but one for this command alone
    #[arg(long, value_name = "PATH|none", value_hint = clap::ValueHint::FilePath)]
    server: Option<Which>,
    /// Leave the command to a running exec-server and print its number: for weir ps, logs, attach, wait, kill and rm. It has pipes, or
    /// with --tty always a terminal; all that it writes is kept, and where the server holds no more, it waits
    #[arg(long, conflicts_with_all = ["report", "user"], group = "told")]
    detach: bool,
    /// Keep standard input open for weir attach; otherwise it is empty
    #[arg(long, requires = "detach")]
    open_stdin: bool,
    /// The command and its arguments
    #[arg(
        required = true, trailing_var_arg = true, value_name = "CMD", value_hint = clap::ValueHint::CommandWithArguments
    )]
    command: Vec<OsString>,
}

/// Why nothing ran, or not to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Standpoint(#[from] StandpointError),
    #[error("{0}")]
    Run(#[from] RunError),
    #[error("{0}")]
    Report(#[from] ReportError),
    #[error("{0}; --detach leaves a command to a server that runs")]
    NoServer(LinkError),
    #[error("--user needs a server for this command alone: leave out --server, or say --server none")]
    UserElsewhere,
}

impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Self {
        RunError::from(error).into()
    }
}

impl Failure {
    pub(super) fn refusal(&self) -> Option<&Error> {
        match self {
            Self::Run(
                RunError::Link(LinkError::Refused(error))
                | RunError::Session(SessionError::Link(LinkError::Refused(error))),
            ) => Some(error),
            _ => None,
        }
    }

    pub(super) fn exit(&self) -> Exit {
        match (self, self.refusal()) {
            (_, Some(Error { code: code::COMMAND_NOT_FOUND, .. })) => Exit::NotFound,
            (_, Some(Error { code: code::COMMAND_NOT_EXECUTABLE, .. })) => Exit::NotExecutable,
            (Self::Run(RunError::GivenUp { signal }), _) => Exit::signalled(*signal),
            (Self::UserElsewhere, _) => Exit::BadInput,
            _ => Exit::Failed,
        }
    }
}

impl Exit {
    pub(super) fn signalled(signal: i32) -> Self {
        u8::try_from(signal)
            .ok()
            .and_then(|signal| signal.checked_add(128))
            .map_or(Self::Failed, Self::Command)
    }

    pub(super) fn of(end: End) -> Self {
        match end {
            End::Exited { code } => u8::try_from(code).map_or(Self::Failed, Self::Command),
            End::Signalled { signal } => Self::signalled(signal),
            // As whatever the kernel ends for want of memory.
            End::Memory { .. } | End::Output { .. } => Self::signalled(9),
            End::TimedOut { .. } => Self::TimedOut,
            End::ServerStopping | End::Cancelled => Self::Failed,
        }
    }
}

pub(super) fn run(options: RunOptions) -> Exit {
    let outcome = if options.detach {
        detach(&options)
    } else {
        // A server of this command's own starts up while this process looks around.
        let link = link(&options);
        carry_out(options, link)
    };
    match outcome {
        Ok(exit) => exit,
        Err(failure) => output::message(&format!("weir: {failure}"), failure.exit()),
    }
}

/// The server that runs, or one for this command alone.
fn link(options: &RunOptions) -> Result<Link, Failure> {
    let which = match (&options.user, &options.server) {
        (Some(_), Some(Which::At(_))) => return Err(Failure::UserElsewhere),
        (Some(_), _) => &Which::None,
        (None, which) => which.as_ref().unwrap_or(&Which::Found),
    };
    Ok(find_or_embed(which)?)
}

/// Starts a command that stays, and says which it is.
fn detach(options: &RunOptions) -> Result<Exit, Failure> {
    let link = reach(options.server.as_ref().unwrap_or(&Which::Found)).map_err(|error| match error {
        LinkError::NoServer { .. } => Failure::NoServer(error),
        error => error.into(),
    })?;
    let mut session = Session::new(link)?;
    let stdio = match options.tty {
        Tty::Always => Stdio::Carried { size: run::terminal_size() },
        Tty::Auto | Tty::Never => Stdio::Pipes { input: options.open_stdin },
    };
    let mut start = start(options, stdio)?;
    start.output = Output { when_left: WhenLeft::Stay, keep: Keep::All, ..Output::default() };
    let started = session.start(start).map_err(RunError::from)?;
    Ok(if options.json { output::json(&started) } else { output::text(&format!("{}\n", started.id)) })
}

fn carry_out(options: RunOptions, link: Result<Link, Failure>) -> Result<Exit, Failure> {
    let mut link = link?;
    let wiring = Wiring::choose(options.tty);
    let start = start(&options, wiring.stdio())?;
    if options.dry_run {
        return Ok(plan::print(&mut link, start, options.json)?);
    }
    let report = match &options.report {
        Some(file) => Some(Report::new(&start.choice.standpoint.cwd.as_path().join(file), &start.argv)?),
        None => None,
    };
    let (argv, home) = (start.argv.clone(), start.choice.standpoint.weir_home.clone());
    let outcome = run::run(&mut link, start, &wiring).map_err(Failure::from);
    // A server that stays keeps them itself.
    let keeps = link.place().is_none();
    drop(link);
    let exit = outcome.as_ref().map_or_else(Failure::exit, |ended| Exit::of(ended.exited.end));
    if let Some(report) = report {
        let error = outcome.as_ref().err().map(|failure| (failure.refusal(), failure.to_string()));
        report.write(exit, outcome.as_ref().ok(), error)?;
    }
    let ended = outcome?;
    if keeps && let Err(error) = keep(&ended, &argv, &home) {
        output::message(&format!("weir: denials are not kept: {error}"), exit);
    }
    if !options.quiet {
        footer::print(&ended);
    }
    say_end(ended.exited.end, exit);
    if let Some(key) = ended.key {
        key.follow();
    }
    Ok(exit)
}

/// Keeps what was refused, for `weir denials`.
fn keep(ended: &Ended, argv: &[ByteString], home: &AbsPath) -> Result<(), KeptError> {
    let enforcement = &ended.started.enforcement;
    let what = (argv, enforcement.profile.as_str(), enforcement.digest);
    match Run::of(&ended.exited, what, None, time(since_1970_ms(SystemTime::now()))) {
        Some(run) => denials::keep(home.as_path(), &run),
        None => Ok(()),
    }
}

/// How a command ended, in a word or two.
pub(super) fn end_word(end: End) -> String {
    match end {
        End::Exited { code } => format!("exit {code}"),
        End::Signalled { signal } => format!("signal {signal}"),
        End::TimedOut { .. } => "timed out".to_owned(),
        End::Memory { .. } => "memory".to_owned(),
        End::Output { .. } => "output".to_owned(),
        End::ServerStopping => "server stopped".to_owned(),
        End::Cancelled => "cancelled".to_owned(),
    }
}

/// Says what an exit code of Weir's own means; a command's own code speaks for itself.
pub(super) fn say_end(end: End, exit: Exit) {
    match end {
        End::TimedOut { limit_ms } => {
            let limit = duration::text(limit_ms);
            output::message(&format!("weir: the command was ended: its time of {limit} was over"), exit);
        }
        End::Memory { limit_bytes } => {
            let text = format!("weir: the command was ended: its memory of {limit_bytes} bytes was used up");
            output::message(&text, exit);
        }
        End::Output { limit_bytes } => {
            let text = format!("weir: the command was ended: its output was over {limit_bytes} bytes");
            output::message(&text, exit);
        }
        End::ServerStopping => {
            output::message("weir: the command was ended: its server stops", exit);
        }
        End::Cancelled => {
            output::message("weir: the sandbox was ended from outside", exit);
        }
        End::Exited { .. } | End::Signalled { .. } => {}
    }
}

fn bytes(text: &OsStr) -> ByteString {
    ByteString(text.as_bytes().to_vec())
}

/// A command with the caller's environment, and nothing else that could be chosen.
pub(super) fn base_start(choice: Choice, command: &[OsString], stdio: Stdio) -> Start {
    Start {
        choice,
        argv: command.iter().map(|argument| bytes(argument)).collect(),
        env: std::env::vars_os().map(|(name, value)| (bytes(&name), bytes(&value))).collect(),
        set: Vec::new(),
        stdio,
        timeout_ms: None,
        user: None,
        output: Output::default(),
        umask: run::umask(),
        under: None,
        asking: None,
        record: None,
    }
}

fn start(options: &RunOptions, stdio: Stdio) -> Result<Start, StandpointError> {
    let set = options.env.iter().filter_map(|Variable { name, value }| {
        // As the caller has it; what the caller does not have stays absent.
        let value = value.clone().or_else(|| std::env::var_os(name))?;
        Some((bytes(name), bytes(&value)))
    });
    let choice = options.place.choice(options.profile.as_deref(), &options.overrides)?;
    Ok(Start {
        set: set.collect(),
        timeout_ms: options.timeout,
        user: options.user.clone(),
        asking: (options.ask && run::can_ask()).then_some(ASKING),
        ..base_start(choice, &options.command, stdio)
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
            (End::Output { limit_bytes: 1 }, 137),
            (End::TimedOut { limit_ms: 1 }, 124),
            (End::ServerStopping, 125),
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
