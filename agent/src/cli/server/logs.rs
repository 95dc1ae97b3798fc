//! `weir logs`: what a command has written so far, or writes.

use std::io::{self, Write};

use clap::Args;
use serde::Serialize;
use weir_protocol::ByteString;
use weir_protocol::frame::{Place, Stream};
use weir_protocol::method::output::{Gap, Role};
use weir_protocol::method::process::{Exited, ProcessId};

use super::super::{Exit, output};
use super::Asking;
use crate::link::{Happened, Session, SessionError, Verified};

const EXAMPLES: &str = r#"Examples:
  weir logs 3
  weir logs 3 --follow --stderr
  weir logs 3 --json | jq -r 'select(.stream == "error") | .bytes'

Standard output and standard error go to their own. All that is kept is printed; what its owner has read may be gone, and then
that is said. When the command has ended and all of it was read, its digest is compared with the server's, and a difference is an
error. With --json it is one object a line: `kind` is output, gap, exited or, last, closed; bytes that are no UTF-8 are {"hex": …}.

Exit codes: 0 done, 2 bad options, 125 Weir failed, no server runs, or there is no such command."#;

/// Options of `weir logs`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in super::super) struct LogsOptions {
    #[command(flatten)]
    asking: Asking,
    /// The command's number, as `weir ps` shows it
    #[arg(value_name = "ID")]
    id: ProcessId,
    /// Go on until the command has ended
    #[arg(short, long)]
    follow: bool,
    /// Standard output alone
    #[arg(long, conflicts_with = "stderr")]
    stdout: bool,
    /// Standard error alone
    #[arg(long)]
    stderr: bool,
}

pub(in super::super) fn logs(options: &LogsOptions) -> Exit {
    options.asking.end(print(options))
}

/// Reads on behind what was written: an offset that no stream reaches.
const NOTHING: u64 = u64::MAX;

fn print(options: &LogsOptions) -> Result<Exit, SessionError> {
    let mut session = options.asking.session()?;
    let (from, only) = match (options.stdout, options.stderr) {
        (true, _) => ([0, NOTHING], Some(Stream::Output)),
        (_, true) => ([NOTHING, 0], Some(Stream::Error)),
        _ => ([0, 0], None),
    };
    let attached = session.attach(options.id, from, Role::Reader)?;
    if !attached.listed.carried {
        let text = format!("weir: command {} writes to its caller; nothing of it is kept", options.id);
        return Ok(output::message(&text, Exit::Failed));
    }
    // Without --follow: up to here, unless it has ended, and then to the end and its proof.
    let until = (!options.follow && attached.listed.exited.is_none()).then_some(attached.listed.written);
    let form = if options.asking.json { Form::Json } else { Form::Bytes };
    let mut reading = Reading { at: attached.from, only, form };
    loop {
        if until.is_some_and(|until| reading.at.iter().zip(until).all(|(at, until)| *at >= until)) {
            return Ok(Exit::Success);
        }
        let happened = session.next()?;
        match reading.happened(&mut session, happened)? {
            Step::Going => {}
            Step::Done => return Ok(Exit::Success),
        }
    }
}

/// How it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As it was written.
    Bytes,
    /// One object a line.
    Json,
}

/// One line of `--json`.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Line {
    Output { stream: Stream, offset: u64, bytes: ByteString },
    Gap(Gap),
    Exited(Box<Exited>),
    Closed { streams: Vec<Verified> },
}

/// Where a reader stands.
struct Reading {
    at: [u64; 2],
    /// The stream that is wanted, if not both.
    only: Option<Stream>,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Going,
    /// All was read, or nobody reads this any more.
    Done,
}

impl Reading {
    fn happened(&mut self, session: &mut Session, happened: Happened) -> Result<Step, SessionError> {
        match happened {
            Happened::Output(place, bytes) => {
                let count = bytes.len();
                let step = if self.wants(place.stream) { self.output(place, bytes)? } else { Step::Going };
                session.consumed(place.id, place.stream, count);
                self.reach(place.stream, place.offset + count as u64);
                Ok(step)
            }
            Happened::Gap(gap) => {
                self.reach(gap.stream, gap.to);
                if self.wants(gap.stream) { self.gap(gap) } else { Ok(Step::Going) }
            }
            Happened::Closed(_, streams) => self.closed(streams),
            Happened::Exited(exited) if self.form == Form::Json => line(&Line::Exited(exited)),
            Happened::Room(_)
            | Happened::Stopped(..)
            | Happened::Background(..)
            | Happened::Exited(_)
            | Happened::Gone(_) => Ok(Step::Going),
        }
    }

    fn wants(&self, stream: Stream) -> bool {
        self.only.is_none_or(|only| only == stream)
    }

    fn reach(&mut self, stream: Stream, offset: u64) {
        let [output, error] = &mut self.at;
        *(if stream == Stream::Error { error } else { output }) = offset;
    }

    fn output(&self, Place { stream, offset, .. }: Place, bytes: Vec<u8>) -> Result<Step, SessionError> {
        match self.form {
            Form::Bytes => written(write(stream, &bytes)),
            Form::Json => line(&Line::Output { stream, offset, bytes: ByteString(bytes) }),
        }
    }

    fn gap(&self, gap: Gap) -> Result<Step, SessionError> {
        if self.form == Form::Json {
            return line(&Line::Gap(gap));
        }
        let text = format!("weir: {} bytes of {} are not kept", gap.to - gap.from, name(gap.stream));
        output::message(&text, Exit::Success);
        Ok(Step::Going)
    }

    /// What came is proved already; says what did not.
    fn closed(&self, mut streams: Vec<Verified>) -> Result<Step, SessionError> {
        streams.retain(|verified| self.wants(verified.stream));
        if self.form == Form::Json {
            line(&Line::Closed { streams })?;
            return Ok(Step::Done);
        }
        for Verified { stream, bytes, missing, .. } in streams.iter().filter(|verified| verified.missing > 0)
        {
            let text = format!("weir: {missing} of {bytes} bytes of {} are no longer kept", name(*stream));
            output::message(&text, Exit::Success);
        }
        Ok(Step::Done)
    }
}

fn line(line: &Line) -> Result<Step, SessionError> {
    let mut bytes = serde_json::to_vec(line).map_err(|error| SessionError::Write(error.into()))?;
    bytes.push(b'\n');
    written(write(Stream::Output, &bytes))
}

fn write(stream: Stream, bytes: &[u8]) -> io::Result<()> {
    if stream == Stream::Error {
        return io::stderr().lock().write_all(bytes);
    }
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush())
}

fn written(outcome: io::Result<()>) -> Result<Step, SessionError> {
    match outcome {
        Ok(()) => Ok(Step::Going),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Step::Done),
        Err(error) => Err(SessionError::Write(error)),
    }
}

fn name(stream: Stream) -> &'static str {
    match stream {
        Stream::Input => "standard input",
        Stream::Output => "standard output",
        Stream::Error => "standard error",
        Stream::Content => "content of a file",
    }
}
