//! One client's connection: phase, requests, streams. What a client does wrong ends its connection and nobody else's.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use weir_protocol::Policy;
use weir_protocol::frame::{Credit, Frame, MAX_CONTROL_BYTES, MAX_DATA_BYTES, Place, Stream};
use weir_protocol::method::context;
use weir_protocol::method::output::{Attach, Attached, List, Of, Role, WhenLeft};
use weir_protocol::method::process::{Event, Start, Started, Stdio};
use weir_protocol::method::server::{Hello, Limits, VERSION, Welcome};
use weir_protocol::method::{Call, Error, Request, code};

use super::Server;
use super::carried::Violation;
use super::command::{self, Circumstances, Command};
use super::journal::{DISK_BYTES, MEMORY_BYTES};
use super::outbox::{Outbox, OutboxError, outbox};
use super::wire::{Incoming, Wire};
use crate::answer::process::Startable;
use crate::answer::{read, response};
use crate::wire::WireError;

/// Requests of one connection that are being carried out at once.
const UNDER_WAY: usize = 64;

/// How a request is answered.
type Outcome = Result<Value, Error>;

/// What a client reads of one command.
#[derive(Debug)]
struct Attachment {
    command: Rc<Command>,
    limits: [watch::Sender<u64>; 2],
    role: Role,
}

/// One client.
struct Connection {
    server: Rc<Server>,
    number: u64,
    wire: Rc<Wire>,
    outbox: Outbox,
    is_ready: Cell<bool>,
    attachments: RefCell<HashMap<u64, Attachment>>,
    tasks: RefCell<JoinSet<()>>,
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
        attachments: RefCell::new(HashMap::new()),
        tasks: RefCell::new(JoinSet::new()),
    });
    let delivering = tokio::task::spawn_local(queue.deliver(wire));
    let outcome = Rc::clone(&connection).listen().await;
    if let Err(error) = outcome {
        // The last word, where the client still reads.
        let error = Error { code: code::BAD_REQUEST, message: format!("the connection ends: {error}") };
        connection.outbox.answer_now(response(None, Err(error)));
    }
    connection.leave();
    drop(connection);
    // What was said before is still delivered, as far as the client takes it.
    let _ = tokio::time::timeout(LAST_WORDS, delivering).await;
}

/// How long a client may take for the last words of a connection that is over.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl Connection {
    async fn listen(self: Rc<Self>) -> Result<(), WireError> {
        let mut incoming = Incoming::default();
        let under_way = Arc::new(Semaphore::new(UNDER_WAY));
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
                    Ok(request) => self.request(request, &mut incoming, &under_way).await?,
                    Err(refusal) => self.outbox.answer(refusal, None).await.map_err(|_| WireError::Gone)?,
                }
            }
            if !self.wire.read(&mut incoming).await? {
                return Ok(());
            }
        }
    }

    async fn request(
        self: &Rc<Self>,
        request: Request,
        incoming: &mut Incoming,
        under_way: &Arc<Semaphore>,
    ) -> Result<(), WireError> {
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
            Call::ContextLease(lease) => Some(self.server.contexts.lease(*lease).and_then(value)),
            Call::ContextClose(close) => Some(self.server.contexts.close(close.id).map(done)),
            Call::ContextList => {
                Some(self.server.contexts.list().and_then(|contexts| value(context::Contexts { contexts })))
            }
            Call::ProcessForget(of) => Some(self.server.forget(of.id).map(done)),
            Call::ProcessAttach(attach) => return self.attach(id, &attach).await,
            call => {
                let passed = match &call {
                    Call::ProcessStart(start) => self.passed(start, incoming),
                    _ => Vec::new(),
                };
                let permit = Arc::clone(under_way);
                // Where many are under way, the client waits.
                let Ok(permit) = permit.acquire_owned().await else { return Ok(()) };
                let this = Rc::clone(self);
                self.tasks.borrow_mut().spawn_local(async move {
                    this.carry_out(id, call, passed).await;
                    drop(permit);
                });
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
        let outcome = match call {
            Call::ProcessStart(start) => match self.start(id, *start, passed).await {
                Ok(()) => return,
                Err(error) => Err(error),
            },
            Call::ProcessPlan(start) => self.plan(*start).await,
            Call::ContextOpen(open) => self.open(*open).await,
            Call::ContextNarrow(narrow) => self.narrow(*narrow).await,
            Call::ProcessSignal(signal) => match self.server.command(signal.id) {
                Ok(command) => {
                    let asker = Some((self.outbox.clone(), id));
                    return command.signal(signal.signal, signal.to, asker).await;
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
                Ok(launcher) => command::examine(launcher).await,
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

    async fn startable(&self, start: &Start) -> Result<Startable, Error> {
        check_user(start)?;
        let decided = self.decided(start)?;
        self.server.resolver.startable(&self.server.post, start.clone(), decided).await
    }

    async fn start(self: &Rc<Self>, id: u64, start: Start, passed: Vec<OwnedFd>) -> Result<(), Error> {
        let server = &self.server;
        server.check_open()?;
        let startable = self.startable(&start).await;
        if let Err(error) = &startable {
            server.post.refused(error.code).await;
        }
        let startable = startable?;
        let around = Circumstances {
            id: server.next_command(),
            launcher: server.launcher().await?,
            spill: Rc::clone(&server.spill),
            nothing: Rc::clone(&server.nothing),
        };
        let (command, terminal) = command::start(around, startable, &start, passed).await?;
        server.add(&command);
        let started =
            Started { id: command.id, pid: command.pid(), enforcement: command.enforcement.clone() };
        let answered = self.outbox.answer(response(Some(id), value(started)), terminal).await;
        let attach = Attach { id: command.id, from: [0, 0], credit: start.output.credit, role: Role::Owner };
        self.begin(&attach, &command);
        if answered.is_err() {
            self.leave_command(&command);
        }
        Ok(())
    }

    async fn plan(&self, start: Start) -> Outcome {
        check_user(&start)?;
        let decided = self.decided(&start)?;
        let startable = self.server.resolver.startable(&self.server.post, start, decided).await?;
        command::plan(self.server.launcher().await?, startable.launch).await
    }

    /// The policy of the context under which a command starts.
    fn decided(&self, start: &Start) -> Result<Option<Policy>, Error> {
        start.under.as_ref().map(|under| self.server.contexts.policy_for(under, start)).transpose()
    }

    async fn open(&self, open: context::Open) -> Outcome {
        let (policy, remarks) = self.server.resolver.policy(&self.server.post, open.choice).await?;
        value(self.server.contexts.open(open.thread, policy, remarks)?)
    }

    async fn narrow(&self, narrow: context::Narrow) -> Outcome {
        let (policy, remarks) = self.server.resolver.policy(&self.server.post, narrow.choice).await?;
        value(self.server.contexts.narrow(narrow.id, policy, remarks)?)
    }

    fn list(&self) -> Outcome {
        value(List { commands: self.server.commands().iter().map(|command| command.listed()).collect() })
    }

    fn close_input(&self, of: Of) -> Outcome {
        let command = self.server.command(of.id)?;
        let input =
            command.input().ok_or_else(|| state("the command has no input that this server carries"))?;
        input.end();
        Ok(done(()))
    }

    async fn attach(self: &Rc<Self>, id: u64, attach: &Attach) -> Result<(), WireError> {
        let command = match self.server.command(attach.id) {
            Ok(command) => command,
            Err(error) => return self.answer(id, Err(error)).await,
        };
        if self.attachments.borrow().contains_key(&attach.id) {
            return self.answer(id, Err(state("this connection is attached already"))).await;
        }
        let attached = Attached {
            listed: command.listed(),
            enforcement: command.enforcement.clone(),
            from: starts(&command, attach),
        };
        self.answer(id, value(attached)).await?;
        self.begin(attach, &command);
        Ok(())
    }

    /// From here on the client hears of the command and reads its streams.
    fn begin(self: &Rc<Self>, attach: &Attach, command: &Rc<Command>) {
        let from = starts(command, attach);
        let limits = from.map(|from| watch::Sender::new(from.saturating_add(attach.credit)));
        if attach.role == Role::Owner {
            command.set_owner(Some(self.number));
        }
        command.add_hearer(self.number, self.outbox.clone());
        let mut tasks = self.tasks.borrow_mut();
        let mut sending = Vec::new();
        for ((stream, from), limit) in command.streams().iter().zip(from).zip(&limits) {
            if let Some(stream) = stream {
                let wire = Rc::clone(&self.wire);
                let receiver = limit.subscribe();
                sending.push(Rc::clone(stream).send(wire, (command.id, from), receiver));
            }
        }
        if let (Some(input), Role::Owner) = (command.input(), attach.role) {
            let grant = Rc::clone(input).grant(Rc::clone(&self.wire), command.id);
            tasks.spawn_local(async move { drop(grant.await) });
        }
        let attachment = Attachment { command: Rc::clone(command), limits, role: attach.role };
        self.attachments.borrow_mut().insert(command.id, attachment);
        let (this, command) = (Rc::clone(self), Rc::clone(command));
        tasks.spawn_local(async move {
            if this.follow(&command, sending).await.is_ok() {
                this.finished(&command);
            }
        });
    }

    /// The command's end, all of its output, and the last word.
    async fn follow(
        &self,
        command: &Command,
        sending: Vec<impl Future<Output = Result<(), OutboxError>> + 'static>,
    ) -> Result<(), OutboxError> {
        let mut streams = JoinSet::new();
        let carried = !sending.is_empty();
        for sending in sending {
            streams.spawn_local(sending);
        }
        if let Some(exited) = command.ended().await {
            self.outbox.event(Event::Exited(Box::new(exited))).await?;
        }
        while let Some(sent) = streams.join_next().await {
            sent.unwrap_or(Err(OutboxError::Gone))?;
        }
        if carried {
            self.outbox.event(Event::Closed(command.closed().await)).await?;
        }
        Ok(())
    }

    /// The client has heard all of it.
    fn finished(&self, command: &Rc<Command>) {
        command.remove_hearer(self.number);
        let attachment = self.attachments.borrow_mut().remove(&command.id);
        if attachment.is_some_and(|attachment| attachment.role == Role::Owner) {
            if command.owner() == Some(self.number) {
                command.set_owner(None);
            }
            if command.output.when_left == WhenLeft::End {
                self.server.drop_command(command.id);
            }
        }
    }

    fn input(&self, place: Place, bytes: &[u8]) -> Result<(), WireError> {
        let command = self.server.command(place.id).ok();
        let owned = command.filter(|command| command.owner() == Some(self.number));
        // A command that has ended in the meantime reads nothing more.
        let Some(command) = owned else { return Ok(()) };
        let accepted = match command.input() {
            Some(input) if place.stream == Stream::Input => input.accept(place.offset, bytes),
            _ => Err(Violation::Ended),
        };
        accepted.map_err(|_| WireError::Input { command: place.id })
    }

    fn credit(&self, credit: Credit) {
        let attachments = self.attachments.borrow();
        let Some(attachment) = attachments.get(&credit.received.id) else { return };
        let at = match credit.received.stream {
            Stream::Input => return,
            Stream::Output => 0,
            Stream::Error => 1,
        };
        if let Some(limit) = attachment.limits.get(at) {
            limit.send_if_modified(|limit| {
                let more = credit.limit > *limit;
                *limit = credit.limit.max(*limit);
                more
            });
        }
        if attachment.role == Role::Owner
            && let Some(stream) = attachment.command.stream(credit.received.stream)
        {
            stream.release(credit.received.offset);
        }
    }

    /// The client is gone.
    fn leave(&self) {
        let attachments = std::mem::take(&mut *self.attachments.borrow_mut());
        for attachment in attachments.into_values() {
            attachment.command.remove_hearer(self.number);
            if attachment.role == Role::Owner {
                self.leave_command(&attachment.command);
            }
        }
        self.tasks.borrow_mut().abort_all();
    }

    fn leave_command(&self, command: &Rc<Command>) {
        if command.owner() != Some(self.number) {
            return;
        }
        command.set_owner(None);
        if command.output.when_left == WhenLeft::End {
            self.server.end(command);
        }
    }
}

fn starts(command: &Command, attach: &Attach) -> [u64; 2] {
    let mut from = attach.from;
    for (from, stream) in from.iter_mut().zip(command.streams()) {
        *from = stream.as_ref().map_or(0, |stream| stream.start(*from));
    }
    from
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

fn state(message: &str) -> Error {
    Error { code: code::STATE, message: message.to_owned() }
}

fn value(value: impl serde::Serialize) -> Outcome {
    serde_json::to_value(value).map_err(|error| Error { code: code::BAD_CALL, message: error.to_string() })
}

fn done((): ()) -> Value {
    json!({})
}
