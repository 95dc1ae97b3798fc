//! Attends one command from its start to its end: passes signals on, relays a terminal, follows job control. A command whose
//! streams a server carries is attended as long as its caller likes.
//!
//! One loop in one thread waits for the server, for signals and for the terminals. Nothing here decides what the command may do, and
//! nothing here ends it: where the link breaks the server ends the tree. The command line calls this.

mod attached;
mod detach;
mod job;
mod mode;
mod prompt;
mod relay;
pub(crate) mod signals;
mod terminal;
mod wiring;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU, SIGWINCH};
use weir_protocol::method::Call;
use weir_protocol::method::network::{Answer, Decision, HostQuestion};
use weir_protocol::method::process::{Event, Exited, Receivers, Signal, Start, Started};

use crate::link::{Link, LinkError, Message, SessionError, result};
use job::{KEYS, Scope};
use prompt::Prompt;
use relay::{Ready, Relay};
use signals::Signals;

pub use attached::{Keyboard, Parting, Screen, attend};
pub use detach::{DetachError, DetachKeys};
pub use job::Key;
pub(crate) use mode::umask;
pub use prompt::can_ask;
pub use wiring::{Tty, Wiring};

/// Signals that ask a command to end.
const ENDING: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// Why a command was not attended to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The server refused, or the link failed.
    #[error("{0}")]
    Link(#[from] LinkError),
    /// A command that the server carries is not carried any further.
    #[error("{0}")]
    Session(#[from] SessionError),
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(io::Error),
    /// Waiting failed.
    #[error("cannot wait for the command: {0}")]
    Wait(io::Error),
    /// The server made no terminal, or one that cannot be used.
    #[error("the exec-server gave no terminal that can be used: {0}")]
    Terminal(io::Error),
    /// A signal came twice before the command had started.
    #[error("given up: the command had not started yet")]
    GivenUp {
        /// The signal.
        signal: i32,
    },
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ended {
    /// How it started.
    pub started: Started,
    /// How it ended.
    pub exited: Exited,
    /// What a key of the terminal ended, where one did.
    pub key: Option<Key>,
}

/// Rows and columns of the caller's terminal, or what terminals have where nobody tells.
#[must_use]
pub fn terminal_size() -> [u16; 2] {
    let size = terminal::size();
    [size.ws_row, size.ws_col]
}

/// Which of these have what they are watched for, once one has or the time is over. What is not there never has.
fn ready<const N: usize>(
    sources: [Option<(BorrowedFd<'_>, PollFlags)>; N],
    longest: Option<Duration>,
) -> io::Result<[bool; N]> {
    // Without flags the kernel still tells of a hang-up, again and again: what is of no interest is left out.
    let sources = sources.map(|source| source.filter(|(_, flags)| !flags.is_empty()));
    let watched = sources.iter().flatten();
    let mut watched: Vec<_> = watched.map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
    let longest = longest.and_then(|longest| Timespec::try_from(longest).ok());
    while let Err(error) = poll(&mut watched, longest.as_ref()) {
        if error != Errno::INTR {
            return Err(error.into());
        }
    }
    let mut found = watched.iter().map(|fd| !fd.revents().is_empty());
    Ok(sources.map(|source| source.is_some() && found.next() == Some(true)))
}

/// Starts a command and attends it to its end. `start.stdio` is set to what `wiring` says.
///
/// # Errors
/// [`RunError`]; the caller's terminal is restored in any case.
pub fn run(link: &mut Link, start: Start, wiring: &Wiring) -> Result<Ended, RunError> {
    Ok(attend_to(link, start, wiring, None)?.0)
}

/// The same, where every question about a host is answered with yes. They come back with the command's end.
///
/// # Errors
/// As [`run`].
pub fn run_granting(
    link: &mut Link,
    start: Start,
    wiring: &Wiring,
) -> Result<(Ended, Vec<HostQuestion>), RunError> {
    attend_to(link, start, wiring, Some(Vec::new()))
}

fn attend_to(
    link: &mut Link,
    mut start: Start,
    wiring: &Wiring,
    granted: Option<Vec<HostQuestion>>,
) -> Result<(Ended, Vec<HostQuestion>), RunError> {
    let signals = Signals::heed().map_err(RunError::Signals)?;
    start.stdio = wiring.stdio();
    let start_call = link.send(Call::ProcessStart(Box::new(start)), wiring.travelling())?;
    let mut attendance = Attendance {
        link,
        signals,
        start_call,
        has_terminal: wiring.has_terminal(),
        started: None,
        exited: None,
        relay: None,
        held: Vec::new(),
        keys: Vec::new(),
        continue_call: None,
        stop: StopCause::Inside,
        prompt: Prompt::default(),
        granted,
    };
    let outcome = attendance.attend();
    if let Some(relay) = &mut attendance.relay {
        relay.catch_up();
    }
    let granted = attendance.granted.unwrap_or_default();
    outcome.map(|ended| (ended, granted))
}

/// Who made the command stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StopCause {
    /// Something in the sandbox: a key on its terminal, or the command itself.
    Inside,
    /// A signal to this process, which was passed on.
    PassedOn,
}

/// What has something to read or room to write.
struct Found {
    link: bool,
    signals: bool,
    prompt: bool,
    relay: Ready,
}

struct Attendance<'link> {
    link: &'link mut Link,
    signals: Signals,
    start_call: u64,
    has_terminal: bool,
    started: Option<Started>,
    exited: Option<Exited>,
    relay: Option<Relay>,
    /// Signals that wait until the command has started.
    held: Vec<i32>,
    /// Signals of the terminal's keys that this process got.
    keys: Vec<i32>,
    /// The last `SIGCONT` passed on, while it has no answer: what stopped before it has been continued by it.
    continue_call: Option<u64>,
    stop: StopCause,
    /// Questions about hosts.
    prompt: Prompt,
    /// Those that were answered with yes, where all are.
    granted: Option<Vec<HostQuestion>>,
}

impl Attendance<'_> {
    fn attend(&mut self) -> Result<Ended, RunError> {
        loop {
            while let Some(message) = self.link.arrived()? {
                self.heed(message)?;
            }
            if self.relay.as_ref().is_none_or(Relay::is_drained)
                && let (Some(started), Some(exited)) = (&self.started, self.exited.take())
            {
                let relayed = |signal| self.relay.as_ref().is_some_and(|relay| relay.has_passed(signal));
                let key = Key::of(exited.end, relayed, &self.keys);
                return Ok(Ended { started: started.clone(), exited, key });
            }
            self.ask()?;
            let found = self.wait().map_err(RunError::Wait)?;
            if found.signals {
                for signal in self.signals.take() {
                    self.pass_on(signal)?;
                }
            }
            if found.link {
                self.link.read_ready()?;
            }
            if found.prompt
                && let Some(answer) = self.prompt.read()
            {
                self.answer(answer)?;
            }
            if let Some(relay) = self.relay.as_mut().filter(|_| !self.prompt.has_terminal()) {
                relay.turn(found.relay);
            }
        }
    }

    /// Puts the next question onto the terminal, which the command's screen leaves meanwhile.
    fn ask(&mut self) -> Result<(), RunError> {
        self.prompt.expire();
        while self.prompt.is_wanted() && !self.prompt.has_terminal() {
            if let Some(relay) = &mut self.relay {
                relay.catch_up();
                relay.give_terminal_back();
            }
            if let Some(answer) = self.prompt.show() {
                self.answer(answer)?;
            }
        }
        Ok(())
    }

    fn answer(&mut self, answer: Answer) -> Result<(), RunError> {
        if let Some(relay) = &mut self.relay {
            relay.take_terminal();
        }
        match self.link.send(Call::NetworkAnswer(answer), &[]) {
            Ok(_) => Ok(()),
            // As for a signal.
            Err(LinkError::Stream(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until the server, a signal or a terminal has something.
    fn wait(&self) -> io::Result<Found> {
        let flags_of = |condition: bool| if condition { PollFlags::IN } else { PollFlags::empty() };
        // After the end the server has nothing to say, and its going is no failure.
        let link = (self.link.as_fd(), flags_of(self.exited.is_none()));
        let signals = (self.signals.as_fd(), PollFlags::IN);
        let prompt = self.prompt.terminal().map(|terminal| (terminal, PollFlags::IN));
        let relay = self.relay.as_ref().filter(|_| prompt.is_none());
        let [input, master, output] = relay.map(Relay::interests).unwrap_or_default();
        let sources = [Some(link), Some(signals), prompt, input, master, output];
        let longest = relay.and_then(Relay::look_again).or_else(|| self.prompt.left());
        let [link, signals, prompt, relay @ ..] = ready(sources, longest)?;
        Ok(Found { link, signals, prompt, relay })
    }

    fn heed(&mut self, message: Message) -> Result<(), RunError> {
        match message {
            Message::Answer(response) if response.id == Some(self.start_call) => {
                self.started = Some(result(response)?);
                if self.has_terminal {
                    let master = self.link.take_descriptor().ok_or(io::ErrorKind::NotFound.into());
                    self.relay = Some(master.and_then(Relay::new).map_err(RunError::Terminal)?);
                }
                for signal in std::mem::take(&mut self.held) {
                    self.pass_on(signal)?;
                }
            }
            Message::Answer(response) => match (response.id, response.error) {
                (None, Some(error)) => return Err(LinkError::from(error).into()),
                (id, _) if id == self.continue_call => self.continue_call = None,
                // A signal that came too late for the command is none of the caller's business.
                _ => {}
            },
            Message::Data(..) | Message::Credit(_) => return Err(LinkError::Unasked.into()),
            Message::Event(notification) => match notification.event {
                Event::Exited(exited) => self.end(*exited),
                Event::Question(question) => self.question(*question)?,
                Event::Stopped { signal, .. } if self.continue_call.is_none() => self.stopped(signal)?,
                // This client's own streams carry the output.
                Event::Stopped { .. } | Event::Background { .. } | Event::Gap(_) | Event::Closed(_) => {}
            },
        }
        drop(self.link.take_descriptor());
        Ok(())
    }

    fn question(&mut self, question: HostQuestion) -> Result<(), RunError> {
        let Some(granted) = &mut self.granted else {
            self.prompt.put(question);
            return Ok(());
        };
        let answer = Answer { id: question.id, question: question.question, answer: Decision::Context };
        granted.push(question);
        self.answer(answer)
    }

    fn end(&mut self, exited: Exited) {
        self.exited = Some(exited);
        self.prompt.cancel();
        if let Some(relay) = &mut self.relay {
            relay.finish();
        }
    }

    fn pass_on(&mut self, signal: i32) -> Result<(), RunError> {
        if KEYS.contains(&signal) && !self.keys.contains(&signal) {
            self.keys.push(signal);
        }
        let Some(started) = &self.started else {
            if ENDING.contains(&signal) && self.held.contains(&signal) {
                return Err(RunError::GivenUp { signal });
            }
            self.held.push(signal);
            return Ok(());
        };
        if self.exited.is_some() {
            // Nobody is left to get it: it can only mean that the caller does not want to wait for the last output.
            if let Some(relay) = self.relay.as_mut().filter(|_| ENDING.contains(&signal)) {
                relay.hang_up();
            }
            return Ok(());
        }
        match (signal, &mut self.relay) {
            (SIGWINCH, Some(relay)) => return relay.resize().map_err(RunError::Terminal),
            (SIGCONT, Some(relay)) => relay.take_terminal(),
            (SIGTSTP, _) => self.stop = StopCause::PassedOn,
            _ => {}
        }
        let id = started.id;
        let call = Call::ProcessSignal(Signal { id, signal, to: Receivers::Group });
        match self.link.send(call, &[]) {
            Ok(call) if signal == SIGCONT => self.continue_call = Some(call),
            Ok(_) => {}
            // The server goes when the command has ended, and may have said so already.
            Err(LinkError::Stream(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// The command has stopped: stops this process as well, the way the terminal would have stopped both.
    fn stopped(&mut self, signal: i32) -> Result<(), RunError> {
        let cause = std::mem::replace(&mut self.stop, StopCause::Inside);
        let from_terminal = [SIGTSTP, SIGTTIN, SIGTTOU].contains(&signal);
        if !job::can_be_continued() {
            // Without a shell that could continue it, the kernel would not have stopped the command either.
            return if from_terminal { self.pass_on(SIGCONT) } else { Ok(()) };
        }
        self.prompt.hide();
        if let Some(relay) = &mut self.relay {
            relay.catch_up();
            relay.give_terminal_back();
        }
        // With a terminal of its own the key reached the command alone; who shares this process's group is owed the same.
        let alone = self.relay.is_none() || cause == StopCause::PassedOn || !from_terminal;
        let scope = if alone { Scope::Alone } else { Scope::Group };
        let missed = job::stop(scope, &mut self.signals);
        for signal in missed {
            self.pass_on(signal)?;
        }
        Ok(())
    }
}
