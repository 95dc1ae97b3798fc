//! The thread that owns the session: carries out orders, hands out what happens.

use std::collections::BTreeMap;
use std::io::{self, PipeReader, PipeWriter, Read as _};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use serde_json::Value;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};
use weir_protocol::frame::Stream;
use weir_protocol::method::Call;
use weir_protocol::method::output::{Kill, Of, Role};
use weir_protocol::method::process::{Enforcement, ProcessId, Start};

use super::ExecutorError;
use crate::link::{CallNumber, Happened, Session, SessionError};

/// How long a command may take to end whose reader has gone, in milliseconds.
const ABANDONED_MS: u64 = 1000;

/// Name of the thread.
const NAME: &str = "exec-server";

/// Where one answer goes.
type Reply<T> = oneshot::Sender<Result<T, ExecutorError>>;

/// Where one command's events go.
pub(super) type Events = mpsc::Sender<Result<Happened, ExecutorError>>;

/// What the thread is to do.
#[derive(Debug)]
pub(super) enum Order {
    /// Make a call; its result, and the content that came with it.
    Call { call: Box<Call>, reply: Reply<(Value, Vec<u8>)> },
    /// Start a command and follow it.
    Start { start: Box<Start>, events: Events, reply: Reply<(ProcessId, Enforcement)> },
    /// Take a command over, from its first byte on.
    Attach { id: ProcessId, events: Events, reply: Reply<(ProcessId, Enforcement)> },
    /// Say when no command is left that nobody follows.
    Settle { reply: oneshot::Sender<()> },
    /// Send to a command's standard input.
    Write { id: ProcessId, bytes: Vec<u8>, reply: Reply<usize> },
    /// End a command's standard input.
    CloseInput { id: ProcessId, reply: Reply<()> },
    /// Bytes have been dealt with.
    Consumed { id: ProcessId, stream: Stream, count: usize },
}

/// Starts the thread; writing to the pipe wakes it, and closing it lets it go.
pub(super) fn begin(
    session: Session,
    orders: mpsc::Receiver<Order>,
    abandoned: Arc<Mutex<Vec<ProcessId>>>,
) -> io::Result<PipeWriter> {
    let (woken, wake) = io::pipe()?;
    rustix::io::ioctl_fionbio(&woken, true)?;
    rustix::io::ioctl_fionbio(&wake, true)?;
    let driver = Driver {
        session,
        orders,
        abandoned,
        woken,
        replies: BTreeMap::new(),
        ending: BTreeMap::new(),
        settled: Vec::new(),
        readers: BTreeMap::new(),
    };
    std::thread::Builder::new().name(NAME.to_owned()).spawn(|| driver.run())?;
    Ok(wake)
}

struct Driver {
    session: Session,
    orders: mpsc::Receiver<Order>,
    abandoned: Arc<Mutex<Vec<ProcessId>>>,
    woken: PipeReader,
    replies: BTreeMap<CallNumber, Reply<(Value, Vec<u8>)>>,
    /// Commands that are being ended because nobody follows them any more.
    ending: BTreeMap<CallNumber, ProcessId>,
    /// Who waits for the end of them.
    settled: Vec<oneshot::Sender<()>>,
    readers: BTreeMap<ProcessId, Events>,
}

impl Driver {
    /// Until nobody can order any more, or the session fails: everyone who waits hears why, or that it is gone.
    fn run(mut self) {
        if let Err(error) = self.serve() {
            for (_, reply) in std::mem::take(&mut self.replies) {
                let _ = reply.send(Err(error.clone()));
            }
            for (_, events) in std::mem::take(&mut self.readers) {
                let _ = events.try_send(Err(error.clone()));
            }
        }
    }

    fn serve(&mut self) -> Result<(), ExecutorError> {
        loop {
            if !self.carry_out() {
                return Ok(());
            }
            self.end_abandoned()?;
            self.hand_out()?;
            // Where nobody waits for an event nobody would be told.
            self.session.goes_on()?;
            self.wait()?;
            self.session.turn();
        }
    }

    /// Carries out the orders that are there; false when there will be none.
    fn carry_out(&mut self) -> bool {
        loop {
            match self.orders.try_recv() {
                Ok(order) => self.order(order),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Call { call, reply } => match self.session.begin(*call) {
                Ok(number) => drop(self.replies.insert(number, reply)),
                Err(error) => drop(reply.send(Err(error.into()))),
            },
            Order::Start { start, events, reply } => {
                let started = self.session.start(*start);
                self.follow(started.map(|started| (started.id, started.enforcement)), events, reply);
            }
            Order::Attach { id, events, reply } => {
                let attached = self.session.attach(id, [0, 0], Role::Owner);
                self.follow(attached.map(|attached| (id, attached.enforcement)), events, reply);
            }
            Order::Settle { reply } => self.settled.push(reply),
            Order::Write { id, bytes, reply } => {
                let _ = reply.send(self.session.write(id, &bytes).map_err(ExecutorError::from));
            }
            Order::CloseInput { id, reply } => {
                let _ = reply.send(self.session.close_input(id).map_err(ExecutorError::from));
            }
            Order::Consumed { id, stream, count } => self.session.consumed(id, stream, count),
        }
    }

    fn follow(
        &mut self,
        followed: Result<(ProcessId, Enforcement), SessionError>,
        events: Events,
        reply: Reply<(ProcessId, Enforcement)>,
    ) {
        if let Ok((id, _)) = followed {
            self.readers.insert(id, events);
        }
        // Whoever wanted it may have gone meanwhile.
        if let Err(Ok((id, _))) = reply.send(followed.map_err(ExecutorError::from)) {
            self.abandoned.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        }
    }

    /// Ends the commands that nobody follows any more; what still comes of them is thrown away.
    fn end_abandoned(&mut self) -> Result<(), ExecutorError> {
        let abandoned = std::mem::take(&mut *self.abandoned.lock().unwrap_or_else(PoisonError::into_inner));
        for id in abandoned {
            let call = self.session.begin(Call::ProcessKill(Kill { id, grace_ms: ABANDONED_MS }))?;
            self.ending.insert(call, id);
        }
        if self.ending.is_empty() {
            for reply in self.settled.drain(..) {
                let _ = reply.send(());
            }
        }
        Ok(())
    }

    /// Gives answers and events to those who wait for them, as far as they have room.
    fn hand_out(&mut self) -> Result<(), ExecutorError> {
        while let Some(answered) = self.session.take_answer() {
            if let Some(reply) = self.replies.remove(&answered.call) {
                let outcome = answered.outcome.map(|told| (told, answered.content));
                let _ = reply.send(outcome.map_err(ExecutorError::from));
            } else if let Some(id) = self.ending.remove(&answered.call) {
                // One that was to stay would be kept for whoever attaches; of another there is nothing to forget.
                self.session.begin(Call::ProcessForget(Of { id }))?;
                self.end_abandoned()?;
            }
        }
        let ids: Vec<_> = self.readers.keys().copied().collect();
        for id in ids {
            self.hand_to(id)?;
        }
        Ok(())
    }

    fn hand_to(&mut self, id: ProcessId) -> Result<(), ExecutorError> {
        let Some(events) = self.readers.get(&id) else { return Ok(()) };
        loop {
            let permit = match events.try_reserve() {
                Ok(permit) => Some(permit),
                Err(mpsc::error::TrySendError::Full(())) => return Ok(()),
                Err(mpsc::error::TrySendError::Closed(())) => None,
            };
            let Some(happened) = self.session.take_of(id)? else { return Ok(()) };
            let is_last = matches!(happened, Happened::Closed(..) | Happened::Gone(_));
            match (permit, &happened) {
                (Some(permit), _) => permit.send(Ok(happened)),
                (None, Happened::Output(place, bytes)) => {
                    self.session.consumed(id, place.stream, bytes.len());
                }
                (None, _) => {}
            }
            if is_last {
                self.readers.remove(&id);
                return Ok(());
            }
        }
    }

    /// Waits until there is something to do.
    fn wait(&mut self) -> Result<(), ExecutorError> {
        let mut watched =
            [PollFd::new(&self.session, self.session.interest()), PollFd::new(&self.woken, PollFlags::IN)];
        while let Err(errno) = poll(&mut watched, None) {
            if errno != Errno::INTR {
                return Err(ExecutorError::Thread(Arc::new(errno.into())));
            }
        }
        let _ = self.woken.read(&mut [0; 64]);
        Ok(())
    }
}
