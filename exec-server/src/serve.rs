//! The server part of a server that several users share: one for each user, without any privilege.
//!
//! It reads what the user's clients send, decides nothing about rights and opens nothing by name: profiles are read by the
//! `resolver`, sandboxes are made by a launcher, and the supervisor has bound both to the user whom the kernel named. Everything runs
//! on one thread.

mod carried;
mod command;
mod connection;
pub(crate) mod contexts;
mod files;
pub mod journal;
mod launcher;
mod leases;
mod outbox;
mod post;
mod questions;
pub(crate) mod resolver;
mod spill;
mod store;
mod sys;
mod wire;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::LocalSet;
use weir_protocol::frame;
use weir_protocol::method::{Error, code};
use weir_sandbox_linux::confine::{self, Landlock, Part};
use weir_sandbox_linux::host::Host;

use crate::answer::response;
use command::Command;
use contexts::Contexts;
use files::Workers;
use post::{News, Post};
use resolver::Resolver;
use spill::Spill;
use store::Store;
use wire::Wire;

/// Time without clients and commands after which a server part goes, at most.
const IDLE: Duration = Duration::from_secs(10);

/// Commands that have ended and are kept for whoever attaches; the oldest goes first.
const KEPT_COMMANDS: usize = 1000;

/// What a server part is made of.
#[derive(Debug)]
pub(crate) struct Setup {
    /// Whose it is.
    pub(crate) uid: u32,
    /// The way to the supervisor.
    pub(crate) post: OwnedFd,
    /// A directory for output that memory does not hold.
    pub(crate) place: OwnedFd,
    /// The file of contexts.
    pub(crate) store: PathBuf,
    /// Time without anything to do after which the server itself goes.
    pub(crate) idle: Option<Duration>,
    /// Commands at once.
    pub(crate) commands: u64,
    /// Connections at once.
    pub(crate) connections: u64,
}

/// Everything that the connections of one user share.
struct Server {
    uid: u32,
    post: Post,
    resolver: Resolver,
    spill: Rc<Spill>,
    nothing: Rc<OwnedFd>,
    contexts: Rc<Contexts>,
    workers: Workers,
    limits: (u64, u64),
    commands: RefCell<BTreeMap<u64, Rc<Command>>>,
    next: Cell<u64>,
    draining: Cell<bool>,
    /// Whether what runs, and what begins all the same, is ended.
    stopping: Cell<bool>,
    /// Says whenever a connection or a command has gone, and when the server begins to end.
    changed: watch::Sender<()>,
    connections: Cell<u64>,
    /// Says when a lease has been given.
    leased: Notify,
}

/// Serves until nothing is left to do or the supervisor is gone.
pub(crate) fn run(setup: Setup) -> io::Result<ExitCode> {
    let nothing = OwnedFd::from(std::fs::File::open("/dev/null")?);
    let contexts = Contexts::new(Store::open(&setup.store).map_err(io::Error::other)?);
    crate::egress::raise_descriptors();
    // Before: where another crate of the build has tokio heed signals, its runtime makes a pair of sockets, which this part may not.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    confine(Part::Server, Some(setup.place.as_fd()))?;
    runtime.block_on(LocalSet::new().run_until(serve(setup, nothing, contexts)))?;
    Ok(ExitCode::SUCCESS)
}

/// From here on this process can do nothing but what its part takes. Without the filter it must not go on; without Landlock it may.
fn confine(part: Part, place: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let held = confine::enter(part, &Host::presumed(), place).map_err(io::Error::other)?;
    if let Landlock::Absent(error) = held {
        let why = error.map_or_else(|| "this kernel has none".to_owned(), |error| error.to_string());
        crate::daemon::complain(&format!(
            "Landlock does not hold the {part:?} part ({why}); the filter alone does"
        ));
    }
    Ok(())
}

async fn serve(setup: Setup, nothing: OwnedFd, contexts: Contexts) -> io::Result<()> {
    let server = Rc::new(Server {
        uid: setup.uid,
        post: Post::new(setup.post)?,
        resolver: Resolver::default(),
        spill: Rc::new(Spill::new(setup.place)),
        nothing: Rc::new(nothing),
        contexts: Rc::new(contexts),
        workers: Workers::default(),
        limits: (setup.commands, setup.connections),
        commands: RefCell::new(BTreeMap::new()),
        next: Cell::new(1),
        draining: Cell::new(false),
        stopping: Cell::new(false),
        changed: watch::Sender::new(()),
        connections: Cell::new(0),
        leased: Notify::new(),
    });
    tokio::task::spawn_local(leases::watch(Rc::clone(&server)));
    let longest = setup.idle.map_or(IDLE, |idle| idle.min(IDLE));
    let mut number = 0;
    let mut changed = server.changed.subscribe();
    // Once is enough: the supervisor lets go then, or has sent a client.
    let mut said_idle = false;
    loop {
        changed.borrow_and_update();
        let idle = server.is_idle();
        if idle && server.draining.get() {
            return Ok(());
        }
        tokio::select! {
            news = server.post.news() => {
                said_idle = false;
                match news? {
                    None => return Ok(()),
                    Some(News::Drain(after)) => server.drain(after),
                    Some(News::Reload) => server.workers.end_all(),
                    Some(News::Client(socket)) => {
                        number += 1;
                        server.admit(number, socket);
                    }
                }
            }
            _ = changed.changed() => said_idle = false,
            () = passed(longest), if idle && !said_idle => {
                said_idle = true;
                server.post.idle().await?;
            }
        }
    }
}

/// The one word for a client that is not served: why. Nobody waits until it is read.
pub(crate) fn turn_away(mut client: &UnixStream, error: Error) {
    let said = serde_json::to_vec(&response(None, Err(error))).ok();
    if let Some(said) = said.and_then(|said| frame::control(&said).ok())
        && client.set_nonblocking(true).is_ok()
    {
        let _ = client.write_all(&said);
    }
}

/// A deadline without anything to wait for.
async fn passed(time: Duration) {
    let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
}

impl Server {
    fn is_idle(&self) -> bool {
        let keeps = !self.commands.borrow().is_empty();
        self.connections.get() == 0 && !self.runs() && (self.draining.get() || !keeps)
    }

    fn runs(&self) -> bool {
        self.commands.borrow().values().any(|command| !command.has_ended())
    }

    /// Takes nothing new. What has not ended after so long is ended, and each client still hears the end of what it is attached to.
    fn drain(self: &Rc<Self>, after: Duration) {
        self.draining.set(true);
        self.changed.send_replace(());
        let this = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let _ = tokio::time::timeout(after, this.stopped()).await;
            this.stopping.set(true);
            for command in this.commands() {
                tokio::task::spawn_local(command.stop());
            }
        });
    }

    /// Waits until the server is ending and nothing runs any more.
    async fn stopped(&self) {
        let mut changed = self.changed.subscribe();
        while !self.draining.get() || self.runs() {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    fn admit(self: &Rc<Self>, number: u64, socket: UnixStream) {
        if let Err(error) = self.check_open().and_then(|()| self.check_connections()) {
            return turn_away(&socket, error);
        }
        self.connections.set(self.connections.get() + 1);
        let this = Rc::clone(self);
        tokio::task::spawn_local(async move {
            connection::serve(Rc::clone(&this), number, socket).await;
            this.connections.set(this.connections.get() - 1);
            this.changed.send_replace(());
        });
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.draining.get() {
            let message = "the server is ending and starts nothing more".to_owned();
            return Err(Error { code: code::STATE, message });
        }
        Ok(())
    }

    fn check_connections(&self) -> Result<(), Error> {
        if self.connections.get() >= self.limits.1 {
            let message = format!("{} connections of this user are open already", self.limits.1);
            return Err(Error { code: code::QUOTA, message });
        }
        Ok(())
    }

    async fn launcher(&self) -> Result<Wire, Error> {
        let socket = self.post.launcher().await?;
        Wire::new(socket).map_err(|error| Error { code: code::LAUNCH, message: error.to_string() })
    }

    fn next_command(&self) -> u64 {
        self.next.replace(self.next.get() + 1)
    }

    fn add(self: &Rc<Self>, command: &Rc<Command>) {
        self.commands.borrow_mut().insert(command.id, Rc::clone(command));
        if self.stopping.get() {
            tokio::task::spawn_local(Rc::clone(command).stop());
        }
        let (this, command) = (Rc::clone(self), Rc::clone(command));
        tokio::task::spawn_local(async move {
            command.ended().await;
            this.trim();
            this.changed.send_replace(());
        });
    }

    /// Forgets the oldest of too many.
    fn trim(&self) {
        let mut commands = self.commands.borrow_mut();
        let kept = commands.values().filter(|command| command.has_ended() && command.owner().is_none());
        let kept: Vec<u64> = kept.map(|command| command.id).collect();
        for id in kept.iter().take(kept.len().saturating_sub(KEPT_COMMANDS)) {
            commands.remove(id);
        }
    }

    fn command(&self, id: u64) -> Result<Rc<Command>, Error> {
        let found = self.commands.borrow().get(&id).cloned();
        found.ok_or_else(|| Error { code: code::NO_COMMAND, message: format!("there is no command {id}") })
    }

    fn commands(&self) -> Vec<Rc<Command>> {
        self.commands.borrow().values().cloned().collect()
    }

    fn forget(&self, id: u64) -> Result<(), Error> {
        if !self.command(id)?.has_ended() {
            let message = format!("command {id} still runs; `process/kill` ends it");
            return Err(Error { code: code::STATE, message });
        }
        self.drop_command(id);
        Ok(())
    }

    fn drop_command(&self, id: u64) {
        self.commands.borrow_mut().remove(&id);
        self.changed.send_replace(());
    }

    /// Ends a command whose client has gone, and forgets it.
    fn end(self: &Rc<Self>, command: &Rc<Command>) {
        let (this, command) = (Rc::clone(self), Rc::clone(command));
        tokio::task::spawn_local(async move {
            command.kill(Duration::ZERO).await;
            this.drop_command(command.id);
        });
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;
    use crate::daemon::post::{Word, hear};

    /// A server part that has nothing to do, and the supervisor's end of its post.
    fn idle_part(place: &std::path::Path) -> (Setup, OwnedFd) {
        let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        let (ours, theirs) = pair.unwrap();
        let setup = Setup {
            uid: 0,
            post: theirs,
            place: std::fs::File::open(place).unwrap().into(),
            store: place.join("contexts"),
            idle: Some(Duration::ZERO),
            commands: 1,
            connections: 1,
        };
        (setup, ours)
    }

    fn served(setup: Setup) -> io::Result<()> {
        let nothing = OwnedFd::from(std::fs::File::open("/dev/null")?);
        let contexts = Contexts::new(Store::open(&setup.store).map_err(io::Error::other)?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(LocalSet::new().run_until(serve(setup, nothing, contexts)))
    }

    #[test]
    fn a_part_that_is_let_go_goes_without_a_complaint() {
        let place = tempfile::tempdir().unwrap();
        let (setup, supervisor) = idle_part(place.path());
        let part = std::thread::spawn(move || served(setup));
        assert_eq!(hear(&supervisor).unwrap().unwrap().0, Word::Idle(0));
        // It has said all there is to say, and says it once: what would come now is heard before the end.
        rustix::net::shutdown(&supervisor, rustix::net::Shutdown::Write).unwrap();
        assert!(hear(&supervisor).unwrap().is_none(), "it goes on saying that it is idle");
        part.join().unwrap().unwrap();
    }

    #[test]
    fn a_part_whose_supervisor_went_first_goes_without_a_complaint() {
        let place = tempfile::tempdir().unwrap();
        let (setup, supervisor) = idle_part(place.path());
        drop(supervisor);
        served(setup).unwrap();
    }
}
