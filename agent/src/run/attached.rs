//! Attends a command whose streams a server carries: its output to this process's, what is typed to its input, until it ends or the
//! caller leaves it to itself.
//!
//! One loop in one thread. What is on its way is bounded in both directions, so a slow reader slows the command. The terminal is
//! raw only for a command with a terminal, and is given back on every way out.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::PollFlags;
use rustix::stdio::{stderr, stdin, stdout};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGTSTP, SIGWINCH};
use weir_protocol::frame::{Place, Stream};
use weir_protocol::method::process::{Exited, ProcessId, Receivers};

use super::detach::{DetachKeys, Typed};
use super::job::{self, Scope};
use super::relay::{Step, step, writer};
use super::signals::Signals;
use super::terminal::CallerTerminal;
use super::{ENDING, RunError, ready};
use crate::link::{Happened, LinkError, Session, SessionError};

/// Most bytes that are read of standard input at once.
const KEYS_BYTES: usize = 64 << 10;

/// Whether what is typed goes to the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyboard {
    /// It does; where standard input ends, so does the command's.
    Connected,
    /// Standard input is not touched.
    Free,
}

/// What the command writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    /// Pipes.
    Pipes,
    /// A terminal of the server's.
    Terminal,
}

/// How it ended.
#[derive(Debug)]
pub enum Parting {
    /// The command has ended, and everything it wrote was passed on.
    Ended(Box<Exited>),
    /// The caller has left it to itself, or nobody reads any more.
    Left,
}

/// Standard output or error.
struct Outlet {
    file: File,
    /// Where these bytes belong, and how many of them have been written.
    pending: Option<(Place, Vec<u8>, usize)>,
}

impl Outlet {
    fn new(stream: BorrowedFd<'static>) -> Result<Self, RunError> {
        Ok(Self { file: writer(stream).map_err(RunError::Wait)?, pending: None })
    }
}

struct Attendance<'session> {
    session: &'session mut Session,
    id: ProcessId,
    signals: Signals,
    /// The caller's, where the command has one.
    terminal: Option<CallerTerminal>,
    keys: DetachKeys,
    has_input: bool,
    /// Whether standard input has ended, and the command's is to end with it.
    ends_input: bool,
    /// What was typed and not sent.
    typed: Vec<u8>,
    outlets: [Outlet; 2],
    exited: Option<Exited>,
}

/// What has something to read or room to write.
struct Found {
    session: bool,
    signals: bool,
    input: bool,
}

/// Attends a command that `session` follows as its owner.
///
/// # Errors
/// [`RunError`]; the caller's terminal is restored in any case.
pub fn attend(
    session: &mut Session,
    id: ProcessId,
    screen: Screen,
    keyboard: Keyboard,
    keys: DetachKeys,
) -> Result<Parting, RunError> {
    let is_screen = screen == Screen::Terminal;
    let terminal = (is_screen && keyboard == Keyboard::Connected).then(CallerTerminal::new);
    // Where the command takes no input, keys may still say that the caller leaves.
    let has_input = keyboard == Keyboard::Connected && (session.takes_input(id) || io::stdin().is_terminal());
    let mut attendance = Attendance {
        signals: Signals::heed().map_err(RunError::Signals)?,
        session,
        id,
        terminal,
        keys,
        has_input,
        ends_input: false,
        typed: Vec::new(),
        outlets: [Outlet::new(stdout())?, Outlet::new(stderr())?],
        exited: None,
    };
    attendance.take_terminal()?;
    attendance.attend()
}

impl Attendance<'_> {
    fn attend(&mut self) -> Result<Parting, RunError> {
        loop {
            self.write_input()?;
            if let Some(parting) = self.pass_on()? {
                return Ok(parting);
            }
            let found = self.wait().map_err(RunError::Wait)?;
            if found.signals {
                for signal in self.signals.take() {
                    if let Some(parting) = self.heed(signal)? {
                        return Ok(parting);
                    }
                }
            }
            if found.input && self.read_input() == Typed::Detach {
                self.write_input()?;
                return Ok(Parting::Left);
            }
            if found.session {
                self.session.turn();
            }
        }
    }

    fn wait(&self) -> io::Result<Found> {
        let reads = self.has_input
            && self.typed.is_empty()
            && self.terminal.as_ref().is_none_or(CallerTerminal::is_readable);
        let when = |condition: bool, flags| if condition { flags } else { PollFlags::empty() };
        let [output, error] = &self.outlets;
        let outlet = |outlet: &Outlet| when(outlet.pending.is_some(), PollFlags::OUT);
        let sources = [
            (self.session.as_fd(), self.session.interest()),
            (self.signals.as_fd(), PollFlags::IN),
            (stdin(), when(reads, PollFlags::IN)),
            (output.file.as_fd(), outlet(output)),
            (error.file.as_fd(), outlet(error)),
        ];
        let [session, signals, input, ..] = ready(sources.map(Some), None)?;
        Ok(Found { session, signals, input })
    }

    /// Writes what the command wrote, as far as it goes without waiting.
    fn pass_on(&mut self) -> Result<Option<Parting>, RunError> {
        loop {
            for outlet in &mut self.outlets {
                let Some((place, bytes, start)) = &mut outlet.pending else { continue };
                let outcome = outlet.file.write(bytes.get(*start..).unwrap_or_default());
                match step(&outcome) {
                    Step::Later => return Ok(None),
                    Step::Ended => return Ok(Some(Parting::Left)),
                    Step::Moved => *start += outcome.unwrap_or(0),
                }
                if *start >= bytes.len() {
                    let (stream, count) = (place.stream, bytes.len());
                    outlet.pending = None;
                    self.session.consumed(self.id, stream, count);
                    break;
                }
            }
            if self.outlets.iter().any(|outlet| outlet.pending.is_some()) {
                continue;
            }
            let Some(happened) = self.session.take()? else { return Ok(None) };
            if let Some(parting) = self.happened(happened)? {
                return Ok(Some(parting));
            }
        }
    }

    fn happened(&mut self, happened: Happened) -> Result<Option<Parting>, RunError> {
        let [output, error] = &mut self.outlets;
        match happened {
            Happened::Output(place, bytes) => {
                let outlet = if place.stream == Stream::Error { error } else { output };
                outlet.pending = Some((place, bytes, 0));
            }
            Happened::Exited(exited) => self.exited = Some(*exited),
            Happened::Closed(..) => {
                let exited = self.exited.take().ok_or(SessionError::Order { id: self.id })?;
                return Ok(Some(Parting::Ended(Box::new(exited))));
            }
            Happened::Gone(id) => return Err(SessionError::Gone { id }.into()),
            Happened::Gap(_) | Happened::Room(_) | Happened::Stopped(..) | Happened::Background(..) => {}
        }
        Ok(None)
    }

    fn read_input(&mut self) -> Typed {
        let mut bytes = vec![0; KEYS_BYTES];
        let outcome = rustix::io::read(stdin(), bytes.as_mut_slice()).map_err(io::Error::from);
        match step(&outcome) {
            Step::Later => Typed::All,
            Step::Moved => {
                let read = bytes.get(..outcome.unwrap_or(0)).unwrap_or_default();
                self.keys.pass(read, &mut self.typed)
            }
            // The end of a terminal that is raw is its going.
            Step::Ended if self.terminal.is_some() && io::stdin().is_terminal() => Typed::Detach,
            Step::Ended => {
                (self.has_input, self.ends_input) = (false, true);
                Typed::All
            }
        }
    }

    fn write_input(&mut self) -> Result<(), RunError> {
        if !self.session.takes_input(self.id) {
            self.typed.clear();
            return Ok(());
        }
        let sent = self.session.write(self.id, &self.typed)?;
        self.typed.drain(..sent);
        if self.ends_input && self.typed.is_empty() {
            self.session.close_input(self.id)?;
        }
        Ok(())
    }

    fn heed(&mut self, signal: i32) -> Result<Option<Parting>, RunError> {
        match signal {
            SIGHUP => return Ok(Some(Parting::Left)),
            SIGWINCH => self.resize()?,
            SIGCONT => self.take_terminal()?,
            SIGTSTP => {
                if let Some(terminal) = &mut self.terminal {
                    terminal.give_back();
                }
                let missed = job::stop(Scope::Alone, &mut self.signals);
                self.take_terminal()?;
                if missed.contains(&SIGHUP) {
                    return Ok(Some(Parting::Left));
                }
            }
            // The command has ended; the caller does not want to wait for the last output.
            _ if self.exited.is_some() => {
                return Ok(ENDING.contains(&signal).then_some(Parting::Left));
            }
            _ => match self.session.signal(self.id, signal, Receivers::Group) {
                // Too late for the command.
                Err(SessionError::Link(LinkError::Refused(_))) => {}
                outcome => outcome?,
            },
        }
        Ok(None)
    }

    fn take_terminal(&mut self) -> Result<(), RunError> {
        let Some(terminal) = &mut self.terminal else { return Ok(()) };
        terminal.take();
        self.resize()
    }

    fn resize(&mut self) -> Result<(), RunError> {
        let is_shown = io::stdout().is_terminal() || io::stdin().is_terminal();
        if self.terminal.is_none() || !is_shown || self.exited.is_some() {
            return Ok(());
        }
        match self.session.resize(self.id, super::terminal_size()) {
            Err(SessionError::Link(LinkError::Refused(_))) => Ok(()),
            outcome => Ok(outcome?),
        }
    }
}
