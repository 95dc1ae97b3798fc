//! The privileged part of a server that several users share: accepts, asks the kernel who connected, and makes processes for that
//! user alone.
//!
//! It reads no byte of a client. Each user gets a server part of their own, without privilege, which gets the connections; it
//! may ask here for a launcher or a resolver, and what it gets is bound to the user whom the kernel named. One thread, no
//! runtime: every process is made by fork(2) from this small one.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, WaitOptions};
use weir_protocol::audit::{Action, By, Record};
use weir_protocol::method::{Error, code};
use weir_sandbox_linux::ending;

use super::Options;
use super::indexes::Indexes;
use super::listen::Listening;
use super::notify::{Manager, State};
use super::peer;
use super::post::{self, Word};
use super::tally::{Noted, Tally};
use crate::audit::{Audit, now};
use crate::launch::records::Records;
use crate::launch::sys::{Half, divide, forget_environment};
use crate::launch::{Bound, launcher};
use crate::peer::{Peer, process_of};
use crate::profile::standing::Standing;
use crate::serve;
use crate::wire::{self, Wire};

/// Connections accepted from one socket before the others are looked at again.
const ACCEPTED_AT_ONCE: usize = 16;

/// One user's server part.
#[derive(Debug)]
struct Part {
    pid: i32,
    post: OwnedFd,
    /// Connections that were handed to it.
    clients: u32,
    /// Launchers that run for it.
    launchers: u64,
}

/// Whose child this is.
#[derive(Debug, Clone)]
enum Child {
    Part(Peer),
    Launcher(Peer),
    Resolver,
}

pub(crate) struct Supervisor {
    listening: Vec<Listening>,
    signals: SignalFd,
    parts: HashMap<Peer, Part>,
    children: HashMap<i32, Child>,
    /// Children that whoever became this process had already.
    inherited: Vec<i32>,
    indexes: Indexes,
    options: Options,
    standing: Standing,
    audit: Audit,
    /// What clients can bring about without end.
    tally: Tally,
    manager: Manager,
    draining: bool,
    /// The parent, where this serves one client of its alone.
    relay: Option<Pid>,
    idle_since: Instant,
}

/// What there is to do.
#[derive(Debug)]
enum Ready {
    Accept(usize),
    Hear(Peer),
    Index(Peer),
    Signals,
}

impl Supervisor {
    pub(crate) fn new(listening: Vec<Listening>, options: Options, audit: Audit) -> io::Result<Self> {
        let mut heeded = SigSet::empty();
        for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCONT] {
            heeded.add(signal);
        }
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&heeded), None)?;
        let signals = SignalFd::with_flags(&heeded, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        // What a launcher that was killed leaves comes here.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        let manager = Manager::of_this_process();
        // Everything that it makes begins on a copy of its memory, and some of that is another user's process.
        forget_environment();
        Ok(Self {
            listening,
            signals,
            parts: HashMap::new(),
            children: HashMap::new(),
            inherited: children(),
            indexes: Indexes::default(),
            options,
            standing: Standing::read(),
            audit,
            tally: Tally::default(),
            manager,
            draining: false,
            relay: None,
            idle_since: Instant::now(),
        })
    }

    /// Serves one client, and ends when nothing of it is left, or `relay`, the parent, is gone.
    pub(crate) fn serve_one(mut self, client: UnixStream, relay: Pid) -> io::Result<ExitCode> {
        self.relay = Some(relay);
        self.admit(client)?;
        self.serve()
    }

    /// Serves until it is told to end and all is over, or nothing was left to do for long enough.
    pub(crate) fn serve(mut self) -> io::Result<ExitCode> {
        for listening in &self.listening {
            complain(&format!("listening on {listening}"));
        }
        if let Some(error) = self.standing.unusable() {
            complain(&format!("nothing starts until the requirements can be used: {error}"));
        }
        self.tell(State::Ready);
        loop {
            if self.children.is_empty() && (self.draining || self.has_idled()) {
                let Self { tally, audit, .. } = &mut self;
                tally.settle_all(Instant::now(), |of, times| summed_up(audit, of, times));
                return Ok(ExitCode::SUCCESS);
            }
            self.settle();
            for ready in self.wait()? {
                match ready {
                    Ready::Accept(at) => self.accept(at),
                    Ready::Hear(peer) => self.hear(&peer),
                    Ready::Index(peer) => self.indexes.hear(&peer),
                    Ready::Signals => self.heed(),
                }
            }
        }
    }

    /// Records what was counted, when it is time.
    fn settle(&mut self) {
        let (now, Self { tally, audit, .. }) = (Instant::now(), &mut *self);
        if tally.due().is_some_and(|due| due <= now) {
            tally.settle(now, |of, times| summed_up(audit, of, times));
            self.turn();
        }
    }

    fn tell(&self, state: State) {
        if let Err(error) = self.manager.hears(state) {
            complain(&format!("the service manager could not be told: {error}"));
        }
    }

    fn has_idled(&self) -> bool {
        self.options
            .idle_exit
            .is_some_and(|limit| self.parts.is_empty() && self.idle_since.elapsed() >= limit)
    }

    fn wait(&self) -> io::Result<Vec<Ready>> {
        let watch = |descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN);
        let listening = if self.draining { &[] } else { self.listening.as_slice() };
        let sockets = listening.iter().enumerate();
        // A new index before the word of who wants the next launcher.
        let indexes = self.indexes.posts().map(|(peer, post)| (Ready::Index(peer.clone()), post));
        let posts = self.parts.iter().map(|(peer, part)| (Ready::Hear(peer.clone()), part.post.as_fd()));
        let sockets = sockets.map(|(at, listening)| (Ready::Accept(at), listening.socket.as_fd()));
        let signals = std::iter::once((Ready::Signals, self.signals.as_fd()));
        let (kinds, descriptors): (Vec<_>, Vec<_>) =
            signals.chain(indexes).chain(posts).chain(sockets).unzip();
        let mut watched: Vec<_> = descriptors.into_iter().map(watch).collect();
        let idle = self.options.idle_exit.filter(|_| self.parts.is_empty());
        let idle = idle.map(|limit| limit.saturating_sub(self.idle_since.elapsed()));
        let due = self.tally.due().map(|due| due.saturating_duration_since(Instant::now()));
        let left = idle.into_iter().chain(due).min().map(|left| left.max(Duration::from_millis(1)));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        wire::wait(&mut watched, left.as_ref()).map_err(io::Error::other)?;
        let ready = kinds.into_iter().zip(&watched).filter(|(_, entry)| !entry.revents().is_empty());
        Ok(ready.map(|(kind, _)| kind).collect())
    }

    fn accept(&mut self, at: usize) {
        for _ in 0..ACCEPTED_AT_ONCE {
            let Some(listening) = self.listening.get(at) else { return };
            match listening.socket.accept() {
                Ok((connection, _)) => {
                    let who = Peer::of(connection.as_fd()).map(|peer| (peer.uid, peer.gid));
                    // A client that is not served sees its connection end.
                    if let Err(error) = self.admit(connection) {
                        self.turned_away(who.unwrap_or((u32::MAX, u32::MAX)), &error);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    fn turned_away(&mut self, who: (u32, u32), why: &io::Error) {
        let record = now(who, Action::TurnAway, By::Supervisor).because(&why.to_string());
        if self.note_or_complain(record) == Noted::Written {
            complain(&format!("a client was turned away: {why}"));
        }
    }

    /// As [`Self::record_or_complain`], of what a client can bring about without end.
    fn note_or_complain(&mut self, record: Record) -> Noted {
        let Self { tally, audit, .. } = self;
        let noted = tally.note(record, Instant::now(), |record| audit.write(record));
        self.turn();
        noted.unwrap_or_else(|error| {
            complain(&format!("a decision could not be recorded: {error}"));
            Noted::Written
        })
    }

    /// Records what has no effect that could be withheld.
    fn record_or_complain(&mut self, record: &Record) {
        if let Err(error) = self.audit.write(record) {
            complain(&format!("a decision could not be recorded: {error}"));
        }
        self.turn();
    }

    fn turn(&mut self) {
        if let Err(error) = self.audit.turn() {
            complain(&format!("the audit log could not be set aside: {error}"));
        }
    }

    fn admit(&mut self, mut connection: UnixStream) -> io::Result<()> {
        let peer = Peer::of(connection.as_fd()).map_err(io::Error::other)?;
        let mut record = now((peer.uid, peer.gid), Action::Admit, By::Supervisor);
        record.pid = process_of(connection.as_fd());
        let Self { tally, audit, .. } = self;
        if let Err(error) = tally.note(record, Instant::now(), |record| audit.write(record)) {
            let message = format!("nobody is served: the audit record could not be written: {error}");
            serve::turn_away(&connection, Error { code: code::AUDIT, message });
            return Err(error);
        }
        self.turn();
        if !self.parts.contains_key(&peer) {
            connection = self.begin(&peer, connection)?;
        }
        let Some(part) = self.parts.get_mut(&peer) else { return Ok(()) };
        post::say(&part.post, Word::Client, Some(connection.as_fd()))?;
        part.clients = part.clients.wrapping_add(1);
        Ok(())
    }

    /// Makes a user's server part, which keeps nothing of the connection that asked for it, and gives the connection back.
    fn begin(&mut self, peer: &Peer, connection: UnixStream) -> io::Result<UnixStream> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let place = self.options.spill_place(peer.uid)?;
        let store = self.options.store(peer)?;
        match self.child()? {
            Some(pid) => {
                self.children.insert(pid, Child::Part(peer.clone()));
                self.parts.insert(peer.clone(), Part { pid, post: ours, clients: 0, launchers: 0 });
                Ok(connection)
            }
            None => {
                drop((ours, connection, std::mem::take(&mut self.audit)));
                let setup = serve::Setup {
                    uid: peer.uid,
                    post: theirs,
                    place,
                    store,
                    idle: self.options.idle_exit,
                    commands: self.options.limits.commands,
                    connections: self.options.limits.connections,
                };
                end(self.options.become_server_part().and_then(|()| serve::run(setup)))
            }
        }
    }

    fn hear(&mut self, peer: &Peer) {
        let Some(part) = self.parts.get(peer) else { return };
        match post::hear(&part.post) {
            Ok(Some((Word::Launcher, _))) => self.launcher(peer),
            Ok(Some((Word::Resolver, _))) => self.resolver(peer),
            Ok(Some((Word::Refused(code), _))) => {
                let record = now((peer.uid, peer.gid), Action::Refuse, By::ServerPart);
                self.note_or_complain(record.because(&format!("code -{code}")));
            }
            Ok(Some((Word::Idle(clients), _))) if clients == part.clients => self.let_go(peer),
            Ok(Some((Word::Idle(_), _))) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // It is gone, or says what it must not.
            Ok(Some((Word::Client | Word::Drain(_) | Word::Reload | Word::Index, _)) | None) | Err(_) => {
                self.let_go(peer)
            }
        }
    }

    /// Its end of the post closes, and then it ends.
    fn let_go(&mut self, peer: &Peer) {
        self.parts.remove(peer);
        self.idle_since = Instant::now();
    }

    fn launcher(&mut self, peer: &Peer) {
        let limit = self.options.limits.commands;
        let made = match self.parts.get(peer) {
            Some(part) if part.launchers < limit && !self.draining => self.make_launcher(peer),
            _ => Err(io::ErrorKind::QuotaExceeded.into()),
        };
        self.answer(peer, Word::Launcher, made);
    }

    fn resolver(&mut self, peer: &Peer) {
        let made = self.make_resolver(peer);
        self.answer(peer, Word::Resolver, made);
    }

    fn answer(&mut self, peer: &Peer, word: Word, made: io::Result<UnixStream>) {
        let Some(part) = self.parts.get(peer) else { return };
        if let Err(error) = &made
            && error.kind() != io::ErrorKind::QuotaExceeded
        {
            complain(&format!("a process could not be made: {error}"));
        }
        let socket = made.as_ref().ok().map(std::os::fd::AsFd::as_fd);
        if post::say(&part.post, word, socket).is_err() {
            self.let_go(peer);
        }
    }

    /// A process that makes one sandbox for this user, whatever it is asked.
    fn make_launcher(&mut self, peer: &Peer) -> io::Result<UnixStream> {
        // It writes to the file that it is given, for as long as a client of hours keeps asking for others.
        self.turn();
        let (theirs, own) = UnixStream::pair()?;
        let index = self.indexes.lend(peer);
        let Some(pid) = self.child()? else {
            drop(theirs);
            let (ceiling, audit) = (self.standing.take(), std::mem::take(&mut self.audit));
            let bound = Bound { ceiling, audit, records: Records::open(), index };
            end(peer.become_launcher().map(|()| launcher::run_bound(Wire::new(own), bound)))
        };
        self.children.insert(pid, Child::Launcher(peer.clone()));
        if let Some(part) = self.parts.get_mut(peer) {
            part.launchers += 1;
        }
        Ok(theirs)
    }

    /// A process that reads profiles with this user's rights and no others.
    fn make_resolver(&mut self, peer: &Peer) -> io::Result<UnixStream> {
        let (theirs, own) = UnixStream::pair()?;
        let Some(pid) = self.child()? else {
            drop((theirs, std::mem::take(&mut self.audit)));
            end(peer.become_it().and_then(|()| serve::resolver::run(own)))
        };
        self.children.insert(pid, Child::Resolver);
        Ok(theirs)
    }

    /// fork(2). In the child, where there is no number, everything that is open is closed but what the caller holds.
    fn child(&mut self) -> io::Result<Option<i32>> {
        match divide()? {
            Half::Parent(pid) => Ok(Some(pid)),
            Half::Child => {
                // A socket's file is not the child's to remove.
                self.listening.drain(..).for_each(Listening::close);
                self.parts.clear();
                self.children.clear();
                self.indexes.clear();
                pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
                Ok(None)
            }
        }
    }

    fn heed(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            match i32::try_from(signal.ssi_signo).map(Signal::try_from) {
                Ok(Ok(Signal::SIGCHLD)) => self.reap(),
                Ok(Ok(Signal::SIGHUP)) => self.reload(),
                Ok(Ok(Signal::SIGTERM | Signal::SIGINT)) => self.drain(),
                Ok(Ok(Signal::SIGCONT)) => self.go_on(),
                _ => {}
            }
        }
    }

    /// Reads the requirements again. Where they cannot be used, nothing starts until they can.
    fn reload(&mut self) {
        self.tell(State::Reloading);
        self.standing = Standing::read();
        let record = now(own(), Action::Reload, By::Supervisor);
        let record = match self.standing.unusable() {
            None => record,
            Some(error) => {
                complain(&format!("nothing starts until the requirements can be used: {error}"));
                record.because(&error.to_string())
            }
        };
        self.record_or_complain(&record);
        self.say_to_all(Word::Reload);
        self.tell(State::Ready);
    }

    fn reap(&mut self) {
        let mut has_orphans = false;
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            match self.children.remove(&pid.as_raw_nonzero().get()) {
                Some(Child::Part(peer)) => {
                    if self.parts.get(&peer).is_some_and(|part| part.pid == pid.as_raw_nonzero().get()) {
                        self.let_go(&peer);
                    }
                }
                Some(Child::Launcher(peer)) => {
                    if let Some(signal) = status.terminating_signal() {
                        // Its end ends its first process, but for one that waits for a file system.
                        has_orphans = true;
                        // It could not record the end of what it had started, which has gone with it.
                        let record = now((peer.uid, peer.gid), Action::End, By::Supervisor);
                        self.record_or_complain(
                            &record.because(&format!("the launcher was ended by signal {signal}")),
                        );
                    }
                    if let Some(part) = self.parts.get_mut(&peer) {
                        part.launchers = part.launchers.saturating_sub(1);
                    }
                }
                Some(Child::Resolver) | None => {}
            }
        }
        if has_orphans {
            let known: Vec<i32> = self.children.keys().chain(&self.inherited).copied().collect();
            ending::strike_below_orphans(&known);
        }
        self.idle_since = Instant::now();
    }

    /// Takes no more clients, and ends when what runs has ended or was ended; told once more, at once.
    fn drain(&mut self) {
        if std::mem::replace(&mut self.draining, true) {
            return self.signal_children(rustix::process::Signal::KILL);
        }
        self.signal_children(rustix::process::Signal::CONT);
        self.tell(State::Stopping);
        self.record_or_complain(&now(own(), Action::Stop, By::Supervisor));
        self.listening.clear();
        let after_ms = u32::try_from(self.options.stop_after.as_millis()).unwrap_or(u32::MAX);
        self.say_to_all(Word::Drain(after_ms));
    }

    /// A part that has no room for it hears nothing, and must not go on by what held before.
    fn say_to_all(&mut self, word: Word) {
        let deaf = |(peer, part): (&Peer, &Part)| {
            let said = post::say(&part.post, word, None);
            said.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
                .then(|| (peer.clone(), part.pid))
        };
        let deaf: Vec<_> = self.parts.iter().filter_map(deaf).collect();
        for (peer, pid) in deaf {
            complain(&format!("the server part of user {} does not hear, and is ended", peer.uid));
            // Not reaped yet, for then it would be no part any more.
            if let Some(pid) = Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            self.let_go(&peer);
        }
    }

    /// Whoever was stopped looks what there is to do: the client may have gone meanwhile, and so may the relay.
    fn go_on(&mut self) {
        self.signal_children(rustix::process::Signal::CONT);
        if !self.draining && self.relay.is_some_and(|relay| rustix::process::getppid() != Some(relay)) {
            self.drain();
        }
    }

    fn signal_children(&self, signal: rustix::process::Signal) {
        for pid in self.children.keys().filter_map(|pid| Pid::from_raw(*pid)) {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

/// This thread's children (proc_pid_tid_children(5)); none where the kernel does not tell.
fn children() -> Vec<i32> {
    let told = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    told.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Records how often something was brought about that was not recorded one by one.
fn summed_up(audit: &Audit, (who, action): ((u32, u32), Action), times: u64) -> io::Result<()> {
    let by = if action == Action::Refuse { By::ServerPart } else { By::Supervisor };
    let mut record = now(who, action, by).because("counted and told together");
    record.times = Some(times);
    let written = audit.write(&record);
    if let Err(error) = &written {
        complain(&format!("how often something was done could not be recorded yet: {error}"));
    }
    written
}

/// Whom a record is about that is about the server itself.
fn own() -> (u32, u32) {
    (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw())
}

/// The end of a child. Nothing of the parent's is unwound.
fn end(outcome: io::Result<ExitCode>) -> ! {
    let code = match outcome {
        Ok(code) if code == ExitCode::SUCCESS => 0,
        Ok(_) => 1,
        Err(error) => {
            complain(&error.to_string());
            1
        }
    };
    std::process::exit(code)
}

#[expect(clippy::print_stderr, reason = "a service's log is its standard error")]
pub(crate) fn complain(text: &str) {
    eprintln!("weir-exec-server: {text}");
}

impl Options {
    fn become_server_part(&self) -> io::Result<()> {
        match self.server_user {
            Some((uid, gid)) => peer::become_nobody(uid, gid),
            None => Peer {
                uid: nix::unistd::geteuid().as_raw(),
                gid: nix::unistd::getegid().as_raw(),
                groups: Vec::new(),
            }
            .become_it(),
        }
    }
}
