//! `weir logs`: what a command has written so far, or writes.

use std::io::{self, Write};

use clap::Args;
use weir_protocol::frame::Stream;
use weir_protocol::method::output::Role;
use weir_protocol::method::process::ProcessId;

use super::super::{Exit, output};
use super::{Server, ending};
use crate::link::{Happened, Proof, Session, SessionError, Verified};

const EXAMPLES: &str = "\
Examples:
  weir logs 3
  weir logs 3 --follow --stderr

Standard output and standard error go to their own. All that is kept is printed; what its owner has read may be gone. When the
command has ended and all of it was read, its digest is compared with the server's, and a difference is an error.

Exit codes: 0 done, 2 bad options, 125 Weir failed, no server runs, or there is no such command.";

/// Options of `weir logs`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in super::super) struct LogsOptions {
    #[command(flatten)]
    server: Server,
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
    ending(print(options))
}

/// Reads on behind what was written: an offset that no stream reaches.
const NOTHING: u64 = u64::MAX;

fn print(options: &LogsOptions) -> Result<Exit, SessionError> {
    let mut session = options.server.session()?;
    let from = match (options.stdout, options.stderr) {
        (true, _) => [0, NOTHING],
        (_, true) => [NOTHING, 0],
        _ => [0, 0],
    };
    let attached = session.attach(options.id, from, Role::Reader)?;
    if !attached.listed.carried {
        let text = format!("weir: command {} writes to its caller; nothing of it is kept", options.id);
        return Ok(output::message(&text, Exit::Failed));
    }
    // Without --follow: up to here, unless it has ended, and then to the end and its proof.
    let until = (!options.follow && attached.listed.exited.is_none()).then_some(attached.listed.written);
    let mut reading = Reading { at: attached.from, was_cut: false };
    loop {
        if until.is_some_and(|until| reading.at.iter().zip(until).all(|(at, until)| *at >= until)) {
            return Ok(Exit::Success);
        }
        match reading.next(&mut session)? {
            Step::Going => {}
            Step::Unread => return Ok(Exit::Success),
            Step::Closed(streams) => return Ok(proof(&streams, from)),
        }
    }
}

/// Where a reader stands.
struct Reading {
    at: [u64; 2],
    /// Whether the connection broke, and nothing has come since.
    was_cut: bool,
}

enum Step {
    Going,
    /// Nobody reads this any more.
    Unread,
    Closed(Vec<Verified>),
}

impl Reading {
    fn next(&mut self, session: &mut Session) -> Result<Step, SessionError> {
        let happened = match session.next() {
            Err(error) if error.is_cut() && !self.was_cut => {
                self.was_cut = true;
                session.resume().map_err(|_| error)?;
                return Ok(Step::Going);
            }
            happened => happened?,
        };
        match happened {
            Happened::Output(place, bytes) => {
                self.was_cut = false;
                if !written(write(place.stream, &bytes))? {
                    return Ok(Step::Unread);
                }
                session.consumed(place.id, place.stream, bytes.len());
                self.reach(place.stream, place.offset + bytes.len() as u64);
            }
            Happened::Gap(gap) => {
                let text = format!("weir: {} bytes of {} are not kept", gap.to - gap.from, name(gap.stream));
                output::message(&text, Exit::Success);
                self.reach(gap.stream, gap.to);
            }
            Happened::Closed(_, streams) => return Ok(Step::Closed(streams)),
            Happened::Room(_) | Happened::Stopped(..) | Happened::Exited(_) | Happened::Gone(_) => {}
        }
        Ok(Step::Going)
    }

    fn reach(&mut self, stream: Stream, offset: u64) {
        let [output, error] = &mut self.at;
        *(if stream == Stream::Error { error } else { output }) = offset;
    }
}

fn write(stream: Stream, bytes: &[u8]) -> io::Result<()> {
    if stream == Stream::Error {
        return io::stderr().lock().write_all(bytes);
    }
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush())
}

/// Whether somebody still reads.
fn written(outcome: io::Result<()>) -> Result<bool, SessionError> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(SessionError::Write(error)),
    }
}

/// Says what did not come; what came is proved already.
fn proof(streams: &[Verified], from: [u64; 2]) -> Exit {
    for (verified, from) in streams.iter().zip(from) {
        if verified.proof == Proof::Count && from == 0 && verified.missing > 0 {
            let Verified { stream, bytes, missing, .. } = verified;
            let text = format!("weir: {missing} of {bytes} bytes of {} are no longer kept", name(*stream));
            output::message(&text, Exit::Success);
        }
    }
    Exit::Success
}

fn name(stream: Stream) -> &'static str {
    match stream {
        Stream::Input => "standard input",
        Stream::Output => "standard output",
        Stream::Error => "standard error",
    }
}
