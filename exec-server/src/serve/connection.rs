//! One client's connection: phase, requests, streams. What a client does wrong ends its connection and nobody else's.

mod attachment;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::task::JoinSet;
use weir_protocol::Policy;
use weir_protocol::frame::{Frame, MAX_CONTROL_BYTES, MAX_DATA_BYTES, Place, Stream};
use weir_protocol::method::context;
use weir_protocol::method::file::{Ask, Within};
use weir_protocol::method::network::Answer;
use weir_protocol::method::output::{Attach, List, Of, Overflow, Role};
use weir_protocol::method::policy::Explain;
use weir_protocol::method::process::{Signal, Start, Started, Stdio};
use weir_protocol::method::server::{Hello, Limits, VERSION, Welcome};
use weir_protocol::method::{Call, Error, Request, code};

use super::Server;
use super::command::{self, Circumstances};
use super::contexts::{self, Purpose};
use super::files::{self, Lost, Question, Reply};
use super::journal::{DISK_BYTES, MEMORY_BYTES};
use super::launcher;
use super::leases::{self, Closing};
use super::outbox::{Outbox, outbox};
use super::questions;
use super::wire::{Incoming, Wire};
use crate::answer::process::Startable;
use crate::answer::{read, response};
use crate::files::{Told, refusal};
use crate::wire::WireError;
use attachment::Attachment;

/// Requests of one connection that are being carried out at once.
const UNDER_WAY: u32 = 64;

/// Workers tried for a call that changes nothing, when one after another ends.
const WORKERS_TRIED: usize = 3;

/// Signals that there are (signal(7)).
const SIGNALS: RangeInclusive<i32> = 1..=64;

/// How a request is answered.
type Outcome = Result<Value, Error>;

/// One client.
struct Connection {
    server: Rc<Server>,
    number: u64,
    wire: Rc<Wire>,
    outbox: Outbox,
    is_ready: Cell<bool>,
    under_way: Arc<Semaphore>,
    /// How many commands the client still hears of.
    attached: watch::Sender<usize>,
    attachments: RefCell<HashMap<u64, Attachment>>,
    tasks: RefCell<JoinSet<()>>,
    /// Held while a call on files is carried out.
    files: Mutex<()>,
}

/// Serves one client to its end.
pub(super) async fn serve(server: Rc<Server>, number: u64, socket: UnixStream) {
    let Ok(wire) = Wire::new(socket).map(Rc::new) else { return };
    let (outbox, queue) = outbox();
    let connection = Rc::new(Connection {
        server,
        number,
        wire: Rc::clone(&wire),
        outbox,
        is_ready: Cell::new(false),
        under_way: Arc::new(Semaphore::new(UNDER_WAY as usize)),
        attached: watch::Sender::new(0),
        attachments: RefCell::new(HashMap::new()),
        tasks: RefCell::new(JoinSet::new()),
        files: Mutex::new(()),
    });
    let mut delivering = tokio::task::spawn_local(queue.deliver(wire));
    let outcome = tokio::select! {
        outcome = Rc::clone(&connection).listen() => outcome,
        () = connection.settled() => Ok(()),
        // Nothing more can be said, and nobody must wait for it.
        _ = &mut delivering => Err(WireError::Gone),
    };
    if let Err(error) = outcome {
        // The last word, where the client still reads.
        let code = if matches!(error, WireError::Input { .. }) { code::INPUT } else { code::BAD_REQUEST };
        let error = Error { code, message: format!("the connection ends: {error}") };
        connection.outbox.answer_now(response(None, Err(error)));
    }
    let patience = if connection.server.draining.get() { DELIVERY } else { LAST_WORDS };
    connection.leave();
    drop(connection);
    // What was said before is still delivered, as far as the client takes it.
    if !delivering.is_finished() {
        let _ = tokio::time::timeout(patience, delivering).await;
    }
}

/// How long a client may take for the last words of a connection that is over.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long a client may take for the rest of its output, and then for the last words, when the server stops. One that takes nothing
/// learns from a missing `process/closed` that it does not have all.
const DELIVERY: Duration = Duration::from_secs(30);

impl Connection {
    async fn listen(self: Rc<Self>) -> Result<(), WireError> {
        let mut incoming = Incoming::default();
        loop {
            loop {
                // The descriptors belong to the frame before the next one.
                let request = match incoming.take()? {
                    None => break,
                    Some(Frame::Control(payload)) => read(payload),
                    Some(Frame::Data(place, bytes)) => {
                        self.input(place, bytes)?;
                        continue;
                    }
                    Some(Frame::Credit(credit)) => {
                        self.credit(credit);
                        continue;
                    }
                };
                match request {
                    Ok(request) => self.request(request, &mut incoming).await?,
                    Err(refusal) => self.outbox.answer(refusal, None).await.map_err(|_| WireError::Gone)?,
                }
            }
            if !self.wire.read(&mut incoming).await? {
                return Ok(());
            }
        }
    }

    /// Waits until the server stops and this client has what it waits for: its answers, and the end of each command with its output.
    async fn settled(&self) {
        self.server.stopped().await;
        let settled = async {
            let _ = self.under_way.acquire_many(UNDER_WAY).await;
            let _ = self.attached.subscribe().wait_for(|attached| *attached == 0).await;
        };
        let _ = tokio::time::timeout(DELIVERY, settled).await;
    }

    async fn request(self: &Rc<Self>, request: Request, incoming: &mut Incoming) -> Result<(), WireError> {
        let Request { id, call, .. } = request;
        let at_once = match call {
            Call::Hello(hello) => Some(self.hello(&hello)),
            _ if !self.is_ready.get() => Some(Err(state("the first call is `server/hello`"))),
            Call::ProcessCloseInput(of) => Some(self.close_input(of)),
            Call::ProcessResize(resize) => {
                Some(self.server.command(resize.id).and_then(|command| command.resize(resize.size)).map(done))
            }
            Call::ProcessList => Some(self.list()),
            Call::ContextFork(fork) => Some(self.server.contexts.fork(fork.id, fork.thread).and_then(value)),
            Call::ContextClose(close) => {
                leases::settle(&self.server, Some(close.id), Closing::Yes).await;
                self.server.workers.keep(close.id, None);
                Some(self.server.contexts.close(close.id).map(done))
            }
            Call::ContextList => {
                Some(self.server.contexts.list().and_then(|contexts| value(context::Contexts { contexts })))
            }
            Call::NetworkAnswer(answer) => Some(self.answer_question(&answer).map(done)),
            Call::DenialList(asked) => Some(self.server.contexts.refused(&asked).and_then(value)),
            Call::ProcessForget(of) => Some(self.server.forget(of.id).map(done)),
            Call::ProcessAttach(attach) => return self.attach(id, &attach).await,
            call => {
                let passed = match &call {
                    Call::ProcessStart(start) => self.passed(start, incoming),
                    _ => Vec::new(),
                };
                let permit = Arc::clone(&self.under_way);
                // Where many are under way, the client waits.
                let Ok(permit) = permit.acquire_owned().await else { return Ok(()) };
                let this = Rc::clone(self);
                self.tasks.borrow_mut().spawn_local(async move {
                    this.carry_out(id, call, passed).await;
                    drop(permit);
                });
                // What is done with is not kept.
                while self.tasks.borrow_mut().try_join_next().is_some() {}
                None
            }
        };
        match at_once {
            Some(outcome) => self.answer(id, outcome).await,
            None => Ok(()),
        }
    }

    async fn answer(&self, id: u64, outcome: Outcome) -> Result<(), WireError> {
        self.outbox.answer(response(Some(id), outcome), None).await.map_err(|_| WireError::Gone)
    }

    async fn carry_out(self: Rc<Self>, id: u64, call: Call, passed: Vec<OwnedFd>) {
        let call = match call.on_files() {
            Ok(within) => {
                let outcome = self.on_files(id, within).await;
                return drop(self.answer(id, outcome).await);
            }
            Err(call) => *call,
        };
        let call = match call.on_copies() {
            Ok(ask) => {
                let outcome = match self.server.launcher().await {
                    Ok(launcher) => launcher::copies(launcher, ask).await,
                    Err(error) => Err(error),
                };
                return drop(self.answer(id, outcome).await);
            }
            Err(call) => *call,
        };
        let outcome = match call {
            Call::ProcessStart(start) => match self.start(id, *start, passed).await {
                Ok(()) => return,
                Err(error) => Err(error),
            },
            Call::ProcessPlan(start) => self.plan(*start).await,
            Call::PolicyExplain(explain) => self.explain(*explain).await,
            Call::ContextOpen(open) => self.open(*open).await,
            Call::ContextNarrow(narrow) => self.narrow(*narrow).await,
            Call::ContextLease(lease) => leases::escalate(&self.server, *lease).await.and_then(value),
            Call::ProcessSignal(Signal { signal, .. }) if !SIGNALS.contains(&signal) => {
                let message = format!("there is no signal {signal}");
                Err(Error { code: code::BAD_CALL, message })
            }
            Call::ProcessSignal(signal) => match self.server.command(signal.id) {
                Ok(command) => {
                    command.signal(signal.signal, signal.to).await;
                    Ok(done(()))
                }
                Err(error) => Err(error),
            },
            Call::ProcessKill(kill) => match self.server.command(kill.id) {
                Ok(command) => {
                    command.kill(Duration::from_millis(kill.grace_ms)).await;
                    Ok(done(()))
                }
                Err(error) => Err(error),
            },
            Call::ProcessWait(of) => match self.server.command(of.id) {
                Ok(command) => value(command.ended().await),
                Err(error) => Err(error),
            },
            // The resolver can try nothing, and the launcher has what sandboxes are made with.
            Call::HostDoctor => match self.server.launcher().await {
                Ok(launcher) => launcher::examine(launcher).await,
                Err(error) => Err(error),
            },
            call => self.server.resolver.call(&self.server.post, call).await,
        };
        let _ = self.answer(id, outcome).await;
    }

    fn hello(&self, hello: &Hello) -> Outcome {
        if self.is_ready.replace(true) {
            return Err(state("`server/hello` was said already"));
        }
        if !hello.versions.contains(&VERSION) {
            self.is_ready.set(false);
            let message = format!("this server speaks version {VERSION}; the client {:?}", hello.versions);
            return Err(Error { code: code::VERSION, message });
        }
        value(Welcome {
            version: VERSION,
            server: concat!("weir-exec-server ", env!("CARGO_PKG_VERSION")).to_owned(),
            uid: self.server.uid,
            limits: Limits {
                control_bytes: MAX_CONTROL_BYTES as u64,
                data_bytes: MAX_DATA_BYTES as u64,
                memory_bytes: MEMORY_BYTES,
                disk_bytes: DISK_BYTES,
                commands: self.server.limits.0,
                connections: self.server.limits.1,
            },
        })
    }

    /// The descriptors that a start announces, as far as they came.
    fn passed(&self, start: &Start, incoming: &mut Incoming) -> Vec<OwnedFd> {
        let announced = match &start.stdio {
            Stdio::Descriptors { open } => *open,
            Stdio::Terminal { own, .. } => *own,
            Stdio::Pipes { .. } | Stdio::Carried { .. } => [false; 3],
        };
        let count = announced.into_iter().filter(|announced| *announced);
        count.map_while(|_| incoming.take_descriptor()).collect()
    }

    async fn startable(&self, start: &Start, purpose: Purpose) -> Result<Startable, Error> {
        check_user(start)?;
        check_output(start.output.overflow)?;
        let decided = self.decided(start, purpose)?;
        self.server.resolver.startable(&self.server.post, start.clone(), decided).await
    }

    async fn start(self: &Rc<Self>, id: u64, start: Start, passed: Vec<OwnedFd>) -> Result<(), Error> {
        let server = &self.server;
        server.check_open()?;
        let startable = self.startable(&start, Purpose::Use).await;
        if let Err(error) = &startable {
            server.post.refused(error.code).await;
        }
        let startable = startable?;
        let around = Circumstances {
            id: server.next_command(),
            launcher: self.launcher_for(&start).await?,
            spill: Rc::clone(&server.spill),
            nothing: Rc::clone(&server.nothing),
            contexts: Rc::clone(&server.contexts),
        };
        let (command, terminal) = command::start(around, startable, &start, passed).await?;
        server.add(&command);
        let started =
            Started { id: command.id, pid: command.pid(), enforcement: command.enforcement.clone() };
        let attach = Attach { id: command.id, from: [0, 0], credit: start.output.credit, role: Role::Owner };
        // Before anything is waited for: when this connection goes now, it leaves the command.
        self.take(&attach, [0, 0], &command);
        if let Ok(said) = self.outbox.answer_first(response(Some(id), value(started)), terminal).await {
            self.begin([0, 0], &command, said);
        }
        // Not before: the client hears of the command first.
        if let Some((asked, bounds)) = command.take_asked() {
            tokio::task::spawn_local(questions::attend(Rc::clone(server), command, asked, bounds));
        }
        Ok(())
    }

    async fn plan(&self, start: Start) -> Outcome {
        let startable = self.startable(&start, Purpose::Look).await?;
        launcher::plan(self.server.launcher().await?, startable.launch).await
    }

    /// The resolver can try nothing out, so a launcher says what holds the answer. Where none can be had, no command runs.
    async fn explain(&self, explain: Explain) -> Outcome {
        let explaining = self.server.resolver.explaining(&self.server.post, explain).await?;
        let answers = match self.server.launcher().await {
            Ok(launcher) => launcher::hold(launcher, explaining.inquiry.clone()).await,
            Err(error) => Err(error),
        };
        let answers = answers.unwrap_or_else(|error| explaining.inquiry.unenforceable(&error.message));
        value(explaining.completed(answers))
    }

    /// A launcher; where a lease is used up by this start, that is on record.
    async fn launcher_for(&self, start: &Start) -> Result<Wire, Error> {
        let launcher = self.server.launcher().await?;
        if let Some(under) = start.under.as_ref().filter(|under| under.lease.is_some()) {
            leases::settle_by(&self.server, &launcher, under.context).await;
        }
        Ok(launcher)
    }

    /// The policy of the context under which a command starts, or would.
    fn decided(&self, start: &Start, purpose: Purpose) -> Result<Option<Policy>, Error> {
        let policy_for = |under| self.server.contexts.policy_for(under, &start.argv, purpose);
        start.under.as_ref().map(policy_for).transpose()
    }

    async fn open(&self, open: context::Open) -> Outcome {
        let (mut policy, mut remarks) = self.server.resolver.policy(&self.server.post, open.choice).await?;
        if let Some(bound) = &open.within {
            policy = contexts::within(policy, bound, &mut remarks)?;
        }
        let opened = self.server.contexts.open(open.thread, open.forked_from.as_deref(), policy, remarks)?;
        self.server.workers.keep(opened.id, Some(opened.digest));
        leases::settle(&self.server, Some(opened.id), Closing::No).await;
        value(opened)
    }

    async fn narrow(&self, narrow: context::Narrow) -> Outcome {
        let (policy, remarks) = self.server.resolver.policy(&self.server.post, narrow.choice).await?;
        let opened = self.server.contexts.narrow(narrow.id, policy, remarks)?;
        self.server.workers.keep(opened.id, Some(opened.digest));
        leases::settle(&self.server, Some(opened.id), Closing::No).await;
        value(opened)
    }

    /// Calls of one connection are carried out one after another, in the order in which they came; content goes before its answer.
    async fn on_files(&self, id: u64, within: Within<Ask>) -> Outcome {
        let Within { under, standpoint, file: ask } = within;
        let _turn = self.files.lock().await;
        let context = under.context;
        for _ in 0..WORKERS_TRIED {
            // Decided anew each time: the context may be another one meanwhile.
            let held = self.server.contexts.held_for(&under)?;
            let question = Question { context, held: &held, standpoint: &standpoint, ask: &ask };
            let Reply { content, told } = match files::ask(&self.server, &question).await {
                Ok(reply) => reply,
                Err(Lost::Refused(error)) => return Err(error),
                Err(Lost::Asked) if !ask.only_looks() => break,
                Err(Lost::Asked | Lost::Unasked) => continue,
            };
            let mut place = Place { id, stream: Stream::Content, offset: 0 };
            for piece in content.chunks(MAX_DATA_BYTES) {
                self.wire.data(place, piece).await.map_err(|error| state(&error.to_string()))?;
                place.offset += piece.len() as u64;
            }
            return match told {
                Told::Done(result) => Ok(result),
                Told::Failed(failure) => Err(refusal::error(&failure, &held.policy)),
            };
        }
        let message = "the worker ended before it answered; look whether it was done".to_owned();
        Err(Error { code: code::FILE_WORKER, message })
    }

    fn list(&self) -> Outcome {
        value(List {
            commands: self.server.commands().iter().map(|command| command.listed_briefly()).collect(),
        })
    }

    fn close_input(&self, of: Of) -> Outcome {
        let command = self.server.command(of.id)?;
        let input =
            command.input().ok_or_else(|| state("the command has no input that this server carries"))?;
        input.end();
        Ok(done(()))
    }

    /// Only who owns a command was asked.
    fn answer_question(&self, answer: &Answer) -> Result<(), Error> {
        let command = self.server.command(answer.id)?;
        if command.owner() != Some(self.number) {
            return Err(questions::no_question(answer.question));
        }
        command.questions.answer(answer.question, answer.answer)
    }
}

/// A server that several users share runs everything as who asks.
fn check_user(start: &Start) -> Result<(), Error> {
    match &start.user {
        None => Ok(()),
        Some(_) => {
            let message = "this server runs a command as nobody but its caller".to_owned();
            Err(Error { code: code::QUESTION, message })
        }
    }
}

/// What is asked to be held can be.
fn check_output(overflow: Overflow) -> Result<(), Error> {
    match overflow {
        Overflow::HeadAndTail { head, tail } if head.saturating_add(tail) > DISK_BYTES => {
            let message = format!("head and tail are {DISK_BYTES} bytes together at most");
            Err(Error { code: code::BAD_CALL, message })
        }
        Overflow::HeadAndTail { .. } | Overflow::Wait => Ok(()),
    }
}

fn state(message: &str) -> Error {
    Error { code: code::STATE, message: message.to_owned() }
}

fn value(value: impl serde::Serialize) -> Outcome {
    serde_json::to_value(value).map_err(|error| Error { code: code::BAD_CALL, message: error.to_string() })
}

fn done((): ()) -> Value {
    json!({})
}
