//! Workers of one user: a sandbox for each context in which calls on files are carried out, started by the first call.
//!
//! A worker belongs to one policy of one context, so that a narrowed context, a closed one and a lease that is over never
//! reach it. It ends when it has had nothing to do for a while, when its context goes, when the requirements are read again, and when
//! somebody else needs its place. Where it is for the requirements, a call under way goes on to its end first, as a command does.
//! What it says is not believed: it is bounded here, and goes to the client that asked for it alone.

mod link;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use weir_protocol::frame;
use weir_protocol::method::context::ContextId;
use weir_protocol::method::file::Ask;
use weir_protocol::method::policy::Standpoint;
use weir_protocol::method::{Error, code};
use weir_protocol::policy::Digest;
use weir_protocol::{AbsPath, ByteString, Policy};

use super::Server;
use super::contexts::Held;
use super::launcher::{hear, order};
use super::wire::{Incoming, Wire};
use crate::files::NAME;
use crate::launch::{Image, Launch, Order, Source, Told};
use link::Link;
pub(super) use link::Reply;

/// Workers of one user at once. Each counts as a command as well.
const WORKERS: usize = 16;

/// Calls that wait for one worker; more wait at their connections.
const WAITING_CALLS: usize = 64;

/// Time without calls after which a worker ends.
const WORKER_IDLE: Duration = Duration::from_secs(60);

/// Longest time of one call. A worker that is stuck on a file that does not answer is ended then.
const LONGEST_CALL: Duration = Duration::from_secs(120);

/// A context, and the policy that holds in the worker: the context's own, or with a lease.
type Key = (ContextId, Digest);

/// Why there is no answer.
#[derive(Debug, Clone)]
pub(super) enum Lost {
    /// The worker was not asked; another can be.
    Unasked,
    /// It was asked, and ended before it answered.
    Asked,
    /// There is no worker.
    Refused(Error),
}

/// A call for a worker.
struct Job {
    /// As a frame.
    ask: Vec<u8>,
    reply: oneshot::Sender<Result<Reply, Lost>>,
}

/// What a worker is wanted for, as long as anybody holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Calls.
    Calls,
    /// The call that is under way, and then no more, also when nobody holds it.
    LastCall,
}

/// The way to a worker, which ends with this.
#[derive(Debug)]
struct Worker {
    number: u64,
    jobs: mpsc::Sender<Job>,
    /// Gone when this is.
    wanted: watch::Sender<Wanted>,
    /// Shared with every call under way.
    in_use: Rc<()>,
    used: Cell<u64>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Workers {
    all: RefCell<HashMap<Key, Worker>>,
    /// Counts starts and uses.
    clock: Cell<u64>,
}

/// Who is asked, and what for.
pub(super) struct Question<'a> {
    pub(super) context: ContextId,
    pub(super) held: &'a Held,
    pub(super) standpoint: &'a Standpoint,
    pub(super) ask: &'a Ask,
}

impl Workers {
    /// Ends those of a context that hold another policy than this one.
    pub(super) fn keep(&self, context: ContextId, policy: Option<Digest>) {
        self.all.borrow_mut().retain(|(of, digest), _| *of != context || Some(*digest) == policy);
    }

    /// Ends every one: the ceiling that it was made under may be another by now. A call under way has its time ([`LONGEST_CALL`]): a file
    /// is not left half written.
    pub(super) fn end_all(&self) {
        let all = std::mem::take(&mut *self.all.borrow_mut());
        for worker in all.into_values() {
            worker.wanted.send_replace(Wanted::LastCall);
        }
    }

    fn tick(&self) -> u64 {
        self.clock.replace(self.clock.get() + 1)
    }

    fn remove(&self, key: &Key, number: u64) {
        let mut all = self.all.borrow_mut();
        if all.get(key).is_some_and(|worker| worker.number == number) {
            all.remove(key);
        }
    }

    /// The way to the worker, where there is one.
    fn find(&self, key: &Key) -> Option<(mpsc::Sender<Job>, Rc<()>)> {
        let all = self.all.borrow();
        let worker = all.get(key)?;
        worker.used.set(self.tick());
        Some((worker.jobs.clone(), Rc::clone(&worker.in_use)))
    }

    /// Ends the one that was not used for longest, where there are too many.
    fn make_room(&self) -> Result<(), Error> {
        let mut all = self.all.borrow_mut();
        if all.len() < WORKERS {
            return Ok(());
        }
        let idle = all.iter().filter(|(_, worker)| Rc::strong_count(&worker.in_use) == 1);
        let oldest = idle.min_by_key(|(_, worker)| worker.used.get()).map(|(key, _)| *key);
        match oldest.and_then(|key| all.remove(&key)) {
            Some(_) => Ok(()),
            None => {
                let message = format!("{WORKERS} contexts are busy with files; try again");
                Err(Error { code: code::QUOTA, message })
            }
        }
    }
}

/// Asks the worker of this context and policy, and starts it where there is none.
pub(super) async fn ask(server: &Rc<Server>, question: &Question<'_>) -> Result<Reply, Lost> {
    let wrong = |error: &dyn std::fmt::Display| {
        Lost::Refused(Error { code: code::QUESTION, message: error.to_string() })
    };
    let ask = serde_json::to_vec(question.ask).map_err(|error| wrong(&error))?;
    let ask = frame::control(&ask).map_err(|error| wrong(&error))?;
    let (jobs, in_use) = worker(server, question).map_err(Lost::Refused)?;
    let (reply, answer) = oneshot::channel();
    if jobs.send(Job { ask, reply }).await.is_err() {
        return Err(Lost::Unasked);
    }
    drop(jobs);
    let answer = answer.await;
    drop(in_use);
    answer.unwrap_or(Err(Lost::Asked))
}

fn worker(server: &Rc<Server>, question: &Question<'_>) -> Result<(mpsc::Sender<Job>, Rc<()>), Error> {
    let key = (question.context, question.held.digest);
    if let Some(found) = server.workers.find(&key) {
        return Ok(found);
    }
    server.check_open()?;
    server.workers.make_room()?;
    let (jobs, waiting) = mpsc::channel(WAITING_CALLS);
    let (wanted, holding) = watch::channel(Wanted::Calls);
    let (number, in_use) = (server.workers.tick(), Rc::new(()));
    let used = Cell::new(number);
    let found = (jobs.clone(), Rc::clone(&in_use));
    server.workers.all.borrow_mut().insert(key, Worker { number, jobs, wanted, in_use, used });
    let (policy, standpoint) = (question.held.policy.clone(), question.standpoint.clone());
    let server = Rc::clone(server);
    tokio::task::spawn_local(async move {
        let calls = if policy.filesystem().copies().next().is_some() { Calls::One } else { Calls::Many };
        let mut queue = Queue { waiting, holding, calls };
        let left = match Sandbox::start(&server, policy, standpoint).await {
            Err(error) => Lost::Refused(error),
            Ok(sandbox) => {
                queue.serve(sandbox).await;
                Lost::Unasked
            }
        };
        server.workers.remove(&key, number);
        queue.waiting.close();
        while let Ok(job) = queue.waiting.try_recv() {
            let _ = job.reply.send(Err(left.clone()));
        }
    });
    Ok(found)
}

/// A worker's sandbox, which ends with this: its launcher sees its socket close.
struct Sandbox {
    launcher: Wire,
    incoming: Incoming,
    link: Link,
}

impl Sandbox {
    async fn start(server: &Rc<Server>, policy: Policy, standpoint: Standpoint) -> Result<Self, Error> {
        let failed = |error: std::io::Error| Error {
            code: code::LAUNCH,
            message: format!("the worker for files could not be started: {error}"),
        };
        let (requests, to) = std::io::pipe().map_err(failed)?;
        let (from, answers) = std::io::pipe().map_err(failed)?;
        let held = serde_json::to_vec(&policy).map_err(|error| failed(error.into()))?;
        let held = frame::control(&held).map_err(|error| failed(std::io::Error::other(error)))?;
        let launch = Launch {
            umask: None,
            policy,
            argv: vec![ByteString::from(NAME)],
            env: Vec::new(),
            cwd: AbsPath::root(),
            stdio: [Source::Passed; 3],
            size: None,
            user: None,
            standpoint,
            image: Image::Files,
            recorded: false,
            certificate: None,
        };
        let launcher = server.launcher().await?;
        let mut incoming = Incoming::default();
        let with: [BorrowedFd<'_>; 3] = [requests.as_fd(), answers.as_fd(), server.nothing.as_fd()];
        match order(&launcher, &mut incoming, &Order::Launch(Box::new(launch)), &with).await? {
            Told::Launched { .. } => {}
            _ => return Err(failed(std::io::ErrorKind::InvalidData.into())),
        }
        // While this process holds the worker's ends, no end of the answers would come.
        drop((requests, answers));
        let link = Link::new(OwnedFd::from(to), OwnedFd::from(from)).map_err(failed)?;
        link.introduce(&held).await.map_err(failed)?;
        Ok(Self { launcher, incoming, link })
    }

    /// Ends it, and waits until nothing of it is left.
    async fn end(mut self) {
        if self.launcher.say(&Order::End, &[]).await.is_ok() {
            let _ = hear(&self.launcher, &mut self.incoming).await;
        }
    }
}

/// What a worker is asked, in order.
struct Queue {
    waiting: mpsc::Receiver<Job>,
    holding: watch::Receiver<Wanted>,
    calls: Calls,
}

/// How many calls a worker serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Calls {
    Many,
    /// One sandbox at a time holds a copy: a worker that waits would keep every command from it.
    One,
}

impl Queue {
    /// Serves until nothing has come for long, the sandbox has ended, or nobody holds the worker any more.
    async fn serve(&mut self, mut sandbox: Sandbox) {
        loop {
            let job = tokio::select! {
                // Calls that wait are another's where this one ends.
                biased;
                () = ends(&mut self.holding) => None,
                job = tokio::time::timeout(WORKER_IDLE, self.waiting.recv()) => job.ok().flatten(),
                _ = hear(&sandbox.launcher, &mut sandbox.incoming) => None,
            };
            let Some(Job { ask, mut reply }) = job else { return };
            if reply.is_closed() {
                continue;
            }
            let answer = tokio::select! {
                answer = tokio::time::timeout(LONGEST_CALL, sandbox.link.exchange(&ask, &mut reply)) => answer,
                _ = hear(&sandbox.launcher, &mut sandbox.incoming) => return lost(reply),
                () = is_let_go(&mut self.holding) => return lost(reply),
            };
            match answer {
                Ok(Ok(answer)) if self.calls == Calls::One => {
                    // Whoever hears the answer may start a command at once.
                    sandbox.end().await;
                    return drop(reply.send(Ok(answer)));
                }
                Ok(Ok(answer)) => drop(reply.send(Ok(answer))),
                // Too late, or what it says makes no sense.
                Ok(Err(_)) | Err(_) => return lost(reply),
            }
        }
    }
}

/// Comes when a worker takes no more calls.
async fn ends(holding: &mut watch::Receiver<Wanted>) {
    if *holding.borrow() == Wanted::Calls {
        let _ = holding.changed().await;
    }
}

/// Comes when nobody waits for the call that is under way.
async fn is_let_go(holding: &mut watch::Receiver<Wanted>) {
    ends(holding).await;
    if *holding.borrow() == Wanted::LastCall {
        std::future::pending::<()>().await;
    }
}

fn lost(reply: oneshot::Sender<Result<Reply, Lost>>) {
    let _ = reply.send(Err(Lost::Asked));
}
