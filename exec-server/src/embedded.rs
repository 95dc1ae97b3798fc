//! The exec-server for one caller: no socket of its own, one connection, gone with it.
//!
//! It is the same server part and the same launcher as the daemon's, over a socket that the caller inherited to it. The
//! server part reads what the client sends and decides; only the launcher makes anything. Either's end is the end of the
//! sandbox: the launcher ends it when the server part is gone, the server part goes when its client does.

mod parting;
mod questions;
mod ties;

use std::collections::VecDeque;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::Signal;
use serde_json::Value;
use weir_protocol::Policy;
use weir_protocol::method::changes::Ask;
use weir_protocol::method::network::Answer;
use weir_protocol::method::policy::Standpoint;
use weir_protocol::method::process::{
    Event, Notification, Planned, ProcessId, Receivers, Start, Started, Stdio,
};
use weir_protocol::method::{Call, Error, JSON_RPC, Request, code};
use weir_protocol::policy::Resources;

use crate::answer::process::startable;
use crate::answer::{self, read, response};
use crate::egress::begin::{Apart, Intent};
use crate::launch::passed::{Descriptors, Passed};
use crate::launch::sys::{Half, begin_elsewhere, close_inherited, divide, reserve_memory};
use crate::launch::{Order, Source, Told, launcher};
use crate::wire::{self, Read, Wire, WireError};
use parting::Parted;
use questions::{Questions, no_question};
use ties::Watch;

/// The number of the one command of a connection.
const ONLY: ProcessId = 1;

/// Lowest descriptor that is none of the standard ones.
const FIRST_OWN: i32 = 3;

/// Milliseconds between the request to end and the end itself, when a command's time is over.
const GRACE_MS: u64 = 2_000;

/// Why the embedded server could not begin.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// A system call that it cannot do without.
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
    /// Serving failed.
    #[error("{0}")]
    Wire(#[from] WireError),
}

/// Divides the process into launcher and server part, and serves the client on the socket that is standard input. Called first
/// of all: whatever else the caller left open is closed.
///
/// # Errors
/// [`EmbeddedError`] when the process cannot be divided or the client misbehaves.
pub fn run() -> Result<ExitCode, EmbeddedError> {
    close_inherited()?;
    let socket =
        rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), FIRST_OWN).map_err(std::io::Error::from)?;
    let nothing = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing).map_err(std::io::Error::from)?;
    leave_session()?;
    if !ties::to_client(&socket)? {
        // It has said why, or was killed.
        return Ok(ExitCode::FAILURE);
    }
    let (ours, launchers) = UnixStream::pair()?;
    match divide()? {
        Half::Parent(server) => {
            begin_elsewhere(server);
            drop((socket, ours));
            reserve_memory();
            Ok(launcher::run(Wire::new(launchers), server))
        }
        Half::Child => {
            drop(launchers);
            reserve_memory();
            ties::to_launcher()?;
            let mut session = Session::new(Wire::new(socket.into()), Wire::new(ours));
            let served = session.serve();
            session.outlast();
            served?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Signals that the terminal sends to the caller's group are the caller's to forward.
#[cfg(target_os = "linux")]
fn leave_session() -> std::io::Result<()> {
    let _ = rustix::process::setsid();
    Ok(())
}

/// As on Linux; and whoever else is in the launcher's session is taken for the sandbox's, so that it must be a new one.
#[cfg(target_os = "macos")]
fn leave_session() -> std::io::Result<()> {
    rustix::process::setsid()?;
    Ok(())
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error { code: code::LAUNCH, message: error.to_string() }
}

/// One connection.
struct Session {
    client: Wire,
    launcher: Wire,
    /// The request that waits for the launcher's word.
    asked: Option<u64>,
    /// Signals under way, each with the client's request, and none for the server's own.
    signals: VecDeque<(i32, Option<u64>)>,
    deadline: Option<Deadline>,
    /// The network gate of the command that is asked for or runs.
    gate: Option<Apart>,
    /// By what its advice is held against the ceiling.
    advised: Option<(Arc<Policy>, Standpoint)>,
    /// Its questions, where the client answers them.
    questions: Option<Questions>,
    /// What runs.
    watch: Option<Watch>,
    /// What its profile limits.
    limits: Resources,
    /// It has ended, and its gate has not.
    parted: Option<Parted>,
    stage: Stage,
}

/// How far the one command of a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It can be asked for, or runs.
    Open,
    /// It has ended, and the client has been told.
    Over,
    /// The launcher is gone, and has not told of an end.
    Abandoned,
}

/// When a command's time is over.
#[derive(Debug, Clone, Copy)]
struct Deadline {
    limit_ms: u64,
    at: Instant,
    /// It has been asked to end.
    told: bool,
}

enum Ready {
    Client,
    Launcher,
    Time,
    Question,
    /// The gate of a command that has ended.
    Gate,
}

impl Session {
    fn new(client: Wire, launcher: Wire) -> Self {
        Self {
            client,
            launcher,
            asked: None,
            signals: VecDeque::new(),
            deadline: None,
            gate: None,
            advised: None,
            questions: None,
            watch: Watch::at_first(),
            limits: Resources::default(),
            parted: None,
            stage: Stage::Open,
        }
    }

    /// Serves until the command has ended, or the client or the launcher is gone.
    fn serve(&mut self) -> Result<(), WireError> {
        loop {
            while let Some(payload) = self.client.take()? {
                self.request(&payload)?;
            }
            while let Some(payload) = self.launcher.take()? {
                self.told(serde_json::from_slice(&payload)?)?;
            }
            if self.stage == Stage::Over {
                return Ok(());
            }
            let read = match self.wait()? {
                Ready::Client => self.client.read()?,
                Ready::Launcher => {
                    let read = self.launcher.read();
                    if !matches!(read, Ok(Read::Bytes)) {
                        self.stage = Stage::Abandoned;
                    }
                    read?
                }
                Ready::Time => {
                    self.time_over()?;
                    Read::Bytes
                }
                Ready::Question => {
                    self.asked()?;
                    Read::Bytes
                }
                Ready::Gate => {
                    self.over()?;
                    Read::Bytes
                }
            };
            if read == Read::End {
                return Ok(());
            }
        }
    }

    fn wait(&self) -> Result<Ready, WireError> {
        if let Some(parted) = &self.parted {
            return parted.wait(&self.client);
        }
        let watch = |descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN);
        let mut watched = vec![watch(self.launcher.as_fd()), watch(self.client.as_fd())];
        watched.extend(self.questions.as_ref().map(|questions| watch(questions.as_fd())));
        loop {
            let left = self.deadline.map(|deadline| deadline.at.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(Ready::Time);
            }
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            wire::wait(&mut watched, left.as_ref())?;
            let ready = watched.iter().position(|entry| !entry.revents().is_empty());
            match ready {
                Some(0) => return Ok(Ready::Launcher),
                Some(1) => return Ok(Ready::Client),
                Some(_) => return Ok(Ready::Question),
                None => {}
            }
        }
    }

    fn request(&mut self, payload: &[u8]) -> Result<(), WireError> {
        let Request { id, call, .. } = match read(payload) {
            Ok(request) => request,
            Err(refusal) => return self.client.say(&refusal, &[]),
        };
        let call = match call.on_copies() {
            Ok(ask) => return self.about_copies(id, ask),
            Err(call) => *call,
        };
        let outcome = match call {
            Call::ProcessStart(start) => self.start(id, &start),
            Call::ProcessPlan(start) => self.plan(id, &start),
            Call::ProcessSignal(signal) if self.parted.is_some() => {
                self.parted.iter().for_each(|parted| parted.hear(signal.signal));
                Ok(Some(Value::Object(serde_json::Map::new())))
            }
            Call::ProcessSignal(signal) => {
                let order = Order::Signal { signal: signal.signal, to: signal.to };
                self.tell(&order)?;
                self.signals.push_back((signal.signal, Some(id)));
                Ok(None)
            }
            Call::NetworkAnswer(answer) => self.answer_question(&answer).map(Some),
            call => answer::call(call).map(Some),
        };
        match outcome.transpose() {
            None => Ok(()),
            Some(outcome) => self.client.say(&response(Some(id), outcome), &[]),
        }
    }

    fn start(&mut self, id: u64, start: &Start) -> Result<Option<Value>, Error> {
        self.check_idle()?;
        if matches!(start.stdio, Stdio::Pipes { .. } | Stdio::Carried { .. }) {
            let message = "this server carries no streams; one that listens does".to_owned();
            return Err(Error { code: code::STATE, message });
        }
        let mut startable = startable(start, None)?;
        let count = startable.launch.stdio.iter().filter(|source| **source == Source::Passed);
        let passed: Vec<OwnedFd> = count.map_while(|_| self.client.take_descriptor()).collect();
        let passed: Vec<BorrowedFd<'_>> = passed.iter().map(std::os::fd::AsFd::as_fd).collect();
        self.deadline = startable.limit_ms.map(|limit_ms| Deadline {
            limit_ms,
            at: Instant::now() + Duration::from_millis(limit_ms),
            told: false,
        });
        self.limits = startable.launch.policy.resources().clone();
        let mut intent = Intent::of(&mut startable.launch, &start.env).map_err(failed)?;
        if let (Some(intent), Some(bounds)) = (&mut intent, start.asking) {
            self.questions = Some(Questions::of(intent, bounds).map_err(failed)?);
        }
        self.advised = intent.as_ref().map(|intent| (intent.policy(), startable.launch.standpoint.clone()));
        let ordered = self.order(id, &Order::Launch(Box::new(startable.launch)), &passed)?;
        // While the launcher makes the sandbox.
        self.gate = intent.map(Intent::apart);
        Ok(ordered)
    }

    /// The launcher answers about copies: it does so as well where the user has one part alone.
    fn about_copies(&mut self, id: u64, ask: Ask) -> Result<(), WireError> {
        let ordered = self.check_idle().and_then(|()| self.order(id, &Order::Copies(Box::new(ask)), &[]));
        match ordered {
            Ok(_) => Ok(()),
            Err(error) => self.client.say(&response(Some(id), Err(error)), &[]),
        }
    }

    /// The gate asks, or is gone.
    fn asked(&mut self) -> Result<(), WireError> {
        match self.questions.as_mut().and_then(Questions::next) {
            Some(order) => self.tell(&order),
            None => {
                self.questions = None;
                Ok(())
            }
        }
    }

    fn answer_question(&mut self, answer: &Answer) -> Result<Value, Error> {
        let none = || no_question(answer.question);
        let questions = self.questions.as_mut().filter(|_| answer.id == ONLY).ok_or_else(none)?;
        let order = questions.answer(answer.question, answer.answer).ok_or_else(none)?;
        self.tell(&order).map_err(failed)?;
        Ok(Value::Object(serde_json::Map::new()))
    }

    fn plan(&mut self, id: u64, start: &Start) -> Result<Option<Value>, Error> {
        self.check_idle()?;
        let launch = startable(start, None)?.launch;
        self.order(id, &Order::Plan(Box::new(launch)), &[])
    }

    fn check_idle(&self) -> Result<(), Error> {
        match self.asked.map(drop).or(self.parted.as_ref().map(|_| ())) {
            None => Ok(()),
            Some(()) => Err(Error { code: code::STATE, message: "a request is under way".to_owned() }),
        }
    }

    fn order(&mut self, id: u64, order: &Order, passed: &[BorrowedFd<'_>]) -> Result<Option<Value>, Error> {
        self.asked = Some(id);
        self.launcher
            .say(order, passed)
            .map(|()| None)
            .map_err(|error| Error { code: code::LAUNCH, message: format!("the launcher is gone: {error}") })
    }

    fn told(&mut self, told: Told) -> Result<(), WireError> {
        match told {
            Told::Launched { pid, enforcement, passed } => {
                let passed = Descriptors::take(&passed, || self.launcher.take_descriptor());
                let mut passed = passed.ok_or(WireError::Gone)?;
                let terminal = passed.remove(Passed::Terminal);
                if let Some(gate) = &self.gate {
                    gate.open(passed).map_err(WireError::Stream)?;
                }
                let passed: Vec<BorrowedFd<'_>> = terminal.iter().map(std::os::fd::AsFd::as_fd).collect();
                let started = Started { id: ONLY, pid, enforcement };
                let answer = response(self.asked.take(), Ok(serde_json::to_value(started)?));
                self.watch = Some(Watch::over(pid).map_err(WireError::Stream)?);
                self.client.say(&answer, &passed)
            }
            Told::Planned { enforcement, listing } => {
                let planned = serde_json::to_value(Planned { enforcement, listing })?;
                self.client.say(&response(self.asked.take(), Ok(planned)), &[])
            }
            Told::Refused { code, message } => {
                self.deadline = None;
                self.gate = None;
                self.client.say(&response(self.asked.take(), Err(Error { code, message })), &[])
            }
            Told::Copies(answer) => self.client.say(&response(self.asked.take(), Ok(answer)), &[]),
            Told::Examined(examined) => {
                let examined = serde_json::to_value(examined)?;
                self.client.say(&response(self.asked.take(), Ok(examined)), &[])
            }
            Told::Weighed { above } => {
                let question = self.questions.as_mut().and_then(|questions| questions.weighed(above));
                question.map_or(Ok(()), |question| self.event(Event::Question(Box::new(question))))
            }
            Told::Signalled => {
                let asked = self.signals.pop_front().and_then(|(_, asked)| asked);
                self.signalled(asked)
            }
            // Nothing is recorded where one user has both parts, which answers such questions itself.
            Told::Recorded | Told::Refusals(_) | Told::Held(_) => Ok(()),
            Told::Stopped { signal } => self.event(Event::Stopped { id: ONLY, signal }),
            Told::Background { end } => self.event(Event::Background { id: ONLY, end }),
            Told::Ended(ended) => {
                // What the gate still sends is nobody's once the client is gone, and the launcher with it.
                self.watch.take().map_or(Ok(()), Watch::over_nothing).map_err(WireError::Stream)?;
                // A first process that was ending took no more orders.
                let unheard = std::mem::take(&mut self.signals);
                for (_, asked) in &unheard {
                    self.signalled(*asked)?;
                }
                self.part(*ended, unheard.iter().map(|(signal, _)| *signal))
            }
        }
    }

    fn signalled(&self, asked: Option<u64>) -> Result<(), WireError> {
        let Some(id) = asked else { return Ok(()) };
        self.client.say(&response(Some(id), Ok(Value::Object(serde_json::Map::new()))), &[])
    }

    fn event(&self, event: Event) -> Result<(), WireError> {
        self.client.say(&Notification { jsonrpc: JSON_RPC.to_owned(), event }, &[])
    }

    /// Asks the command to end, and ends it when it does not.
    fn time_over(&mut self) -> Result<(), WireError> {
        let Some(deadline) = &mut self.deadline else { return Ok(()) };
        let order = if deadline.told {
            // Whatever happens now, it is the end; the launcher's word is all that is waited for.
            deadline.at += Duration::from_secs(u64::from(u32::MAX));
            Order::End
        } else {
            deadline.told = true;
            self.signals.push_back((Signal::TERM.as_raw(), None));
            deadline.at = Instant::now() + Duration::from_millis(GRACE_MS);
            Order::Signal { signal: Signal::TERM.as_raw(), to: Receivers::All }
        };
        self.tell(&order)
    }

    /// Nobody is served any more. Where nothing was told of an end, what runs is ended: by the launcher, as long as that is there.
    fn outlast(&mut self) {
        let watch = self.watch.take().filter(|_| self.stage != Stage::Over);
        watch.iter().for_each(|watch| watch.finish(&mut self.launcher, self.stage == Stage::Abandoned));
    }

    /// Tells the launcher something about a running command. A launcher that is gone has said why, and that is still to be read.
    fn tell(&self, order: &Order) -> Result<(), WireError> {
        match self.launcher.say(order, &[]) {
            Err(WireError::Stream(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            said => said,
        }
    }
}
