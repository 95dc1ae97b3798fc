//! The broker at work: one notification in, one act performed, one answer out.
//!
//! Runs in the sandbox's init, single-threaded, which must not be under the strict filter (process_vm_readv and pidfd_getfd
//! are used) and must not be dumpable. See [`crate::broker`] for what it is for.

mod call;
mod change;
mod content;
mod delegate;
mod directory;
mod failed;
mod guarded;
mod handover;
mod links;
mod listener;
mod live;
mod naming;
mod nearby;
mod nodes;
mod open;
mod procfs;
mod record;
mod replay;
mod resolve;
mod socket;
mod symlink;
mod terminal;
mod tracee;
mod trail;
mod watch;

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use crate::broker::{Event, Events, Forms, Guard, Queue, Request, Roots, SocketRules};
use crate::host::Arch;
use crate::live::{self as rules, LiveRules};
use crate::survey::OWN_NAMES;
use call::Kernel;
use guarded::Guarded;
use listener::{Listener, Notification};
use live::Live;
use nodes::Nodes;
use record::Record;
use replay::Replay;
use resolve::World;
use socket::Sockets;
use tracee::Tracee;
use trail::Trails;

pub use handover::{Handover, HandoverFailure, HandoverStep, Wait, hand_over, receive};

#[cfg(target_arch = "x86_64")]
const HERE: Arch = Arch::X86_64;
#[cfg(target_arch = "aarch64")]
const HERE: Arch = Arch::Aarch64;

/// How a call ends for its caller.
#[derive(Debug)]
enum Answer {
    /// It returns 0.
    Done,
    /// It fails with this error number.
    Errno(i32),
    /// It returns a new descriptor.
    Descriptor(Opened),
    /// A process of its own will answer.
    Delegated,
}

/// A file opened for a caller.
#[derive(Debug)]
struct Opened {
    file: OwnedFd,
    /// `O_CLOEXEC` or 0.
    cloexec: u32,
    /// Whether others notice that it is open.
    open: Noticed,
}

/// Whether it matters to others that a file is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Noticed {
    /// It can be written through, or it is an end of a FIFO.
    Yes,
    No,
}

impl From<Kernel<()>> for Answer {
    fn from(result: Kernel<()>) -> Self {
        result.map_or_else(Self::Errno, |()| Self::Done)
    }
}

/// Serves the trapped calls of one sandbox. Dropping it makes every trapped call fail with ENOSYS.
#[derive(Debug)]
pub struct Broker {
    listener: Rc<Listener>,
    forms: Forms,
    world: Rc<World>,
    guarded: Guarded,
    sockets: Sockets,
    live: Option<Live>,
    /// Where device nodes are the host's own.
    nodes: Option<Nodes>,
    queue: Queue,
    replay: Replay,
    /// What was done, where that is recorded.
    record: Option<Record>,
    /// This process's umask, where it is known.
    umask: Option<u32>,
}

impl Broker {
    /// Starts over a listener, inside the sandbox's mounts. `/proc` must be mounted and show this process.
    ///
    /// The guarded directories are looked up now and kept open, so that each stays the same whatever it is called later; one
    /// that does not exist is guarded from the moment it does.
    ///
    /// # Errors
    /// `/` or `/proc` cannot be opened, or a guarded directory exists and cannot be looked at.
    pub fn new(
        handover: Handover,
        guards: Vec<Guard>,
        sockets: SocketRules,
        roots: Roots,
        live: Option<&LiveRules>,
    ) -> io::Result<Self> {
        let trails = if live.is_some() { Trails::Named } else { Trails::Counted };
        let world = World::new(roots, trails).map_err(io::Error::from_raw_os_error)?;
        let guarded = Guarded::new(guards, world.root()).map_err(io::Error::from_raw_os_error)?;
        let replay = Replay::new(handover.wait);
        Ok(Self {
            listener: Rc::new(Listener::new(handover.listener, handover.wait)),
            forms: Forms::new(HERE),
            world: Rc::new(world),
            guarded,
            sockets: Sockets::new(sockets),
            live: live.map(Live::new),
            nodes: live.filter(|live| live.nodes == rules::Nodes::Hosts).map(|_| Nodes::default()),
            queue: Queue::default(),
            replay,
            record: None,
            umask: None,
        })
    }

    /// Serves one call. To be called when poll(2) reports `POLLIN` for [`Broker::as_fd`]; without it this waits for a call.
    /// `POLLHUP` means that no process is under the filter any more.
    ///
    /// # Errors
    /// The listener itself fails; [`io::ErrorKind::BrokenPipe`] when no process is under the filter any more. What goes wrong
    /// with one call is that call's error.
    pub fn serve(&mut self) -> io::Result<()> {
        let received = self.listener.receive().map_err(io::Error::from_raw_os_error)?;
        let Some(call) = received else {
            let is_over = self.listener.is_over();
            return if is_over { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) };
        };
        if let Some(answer) = self.replay.take(&call) {
            self.conclude(&call, answer);
            return Ok(());
        }
        if let Some(watched) = self.watched(&call) {
            self.let_go_on(&call, &watched);
            return Ok(());
        }
        let told = self.queue.len();
        match self.answer(&call) {
            Ok(answer) => {
                self.keep_record(&call, &answer);
                self.conclude(&call, answer);
            }
            Err(errno) => {
                self.forget_record();
                // What the broker itself refuses is told already.
                if self.queue.len() == told {
                    self.tell_failure(&call, errno);
                }
                self.conclude(&call, Answer::Errno(errno));
            }
        }
        Ok(())
    }

    /// Takes what happened since the last time.
    pub fn events(&mut self) -> Events {
        self.queue.drain()
    }

    /// Answers; what the caller did not wait for is kept for its second try.
    fn conclude(&mut self, call: &Notification, answer: Answer) {
        if let Some(unheard) = self.listener.conclude(call, answer) {
            self.replay.keep(call, unheard);
        }
    }

    fn answer(&mut self, call: &Notification) -> Kernel<Answer> {
        let request = self.forms.decode(call.nr, &call.args).ok_or(libc::ENOSYS)?;
        let tracee = Tracee::new(call, &self.world, &self.listener);
        if let Some(nodes) = &mut self.nodes {
            nodes.begin(&tracee);
        }
        match request {
            Request::Open { at, flags, mode } => self.open(call, &tracee, at, flags, mode),
            Request::MakeDirectory { at, mode } => self.make_directory(call, &tracee, at, mode),
            Request::MakeNode { at, mode, device } => self.make_node(call, &tracee, at, (mode, device)),
            Request::Symlink { target, at } => self.symlink(call, &tracee, target, at),
            Request::Link { from, to, flags } => self.link(call, &tracee, (from, to), flags),
            Request::Rename { from, to, flags } => self.rename(call, &tracee, (from, to), flags),
            Request::Truncate { path, length } => self.truncate(call, &tracee, path, length),
            Request::Remove { at, flags } => self.remove(call, &tracee, at, flags),
            Request::Connect { socket, address, length } => {
                self.connect(call, &tracee, socket, (address, length))
            }
            Request::Bind { socket, address, length } => self.bind(call, &tracee, socket, (address, length)),
        }
    }

    /// What was read from the caller came from the caller, and not from a later process with its number.
    fn still(&self, call: &Notification) -> Kernel<()> {
        if self.listener.is_valid(call.id) { Ok(()) } else { Err(libc::ESRCH) }
    }

    /// Makes new files get the permissions that they would get from the caller.
    fn adopt_umask(&mut self, tracee: &Tracee) {
        let umask = tracee.umask();
        if self.umask != Some(umask) {
            call::set_umask(umask);
            self.umask = Some(umask);
        }
    }

    /// Records a refusal of a guarded name and answers with its error number.
    fn refuse(&mut self, call: &Notification, guard: usize, parent: BorrowedFd<'_>, name: &[u8]) -> i32 {
        let path = call::path_of(parent, Some(name));
        self.queue.push(Event::NameRefused { guard, name: name.to_vec(), path, pid: call.pid });
        libc::EACCES
    }

    /// Looks after a name that has come into being, or was moved to.
    fn made(&mut self, parent: BorrowedFd<'_>, name: &[u8]) {
        if name == b".git" {
            let path = call::path_of(parent, Some(name));
            self.queue.push(Event::Repository { path });
        }
        if self.guarded.is_on_a_way(name) {
            self.guarded.look_again(self.world.root());
        }
    }

    /// Tells of a directory that this name, which was not there before, has made a repository's own.
    fn completed(&mut self, parent: BorrowedFd<'_>, name: &[u8]) {
        if is_own_name(name) && is_git_directory(parent, b".") {
            self.bare(call::path_of(parent, None));
        }
    }

    /// Tells of a repository's own directory that was moved to this name.
    fn brought(&mut self, parent: BorrowedFd<'_>, name: &[u8]) {
        if is_git_directory(parent, name) {
            self.bare(call::path_of(parent, Some(name)));
        }
    }

    /// One in a repository is a submodule's, and one that was told already.
    fn bare(&mut self, path: Vec<u8>) {
        if !path.split(|byte| *byte == b'/').any(|name| name == b".git") {
            self.queue.push(Event::Repository { path });
        }
    }
}

/// Whether a repository's own directory has this name.
fn is_own_name(name: &[u8]) -> bool {
    OWN_NAMES.into_iter().any(|own| own.to_bytes() == name)
}

/// Whether a directory has become a repository's own, which git makes the names of in an order that changes. A link is none.
fn is_git_directory(parent: BorrowedFd<'_>, name: &[u8]) -> bool {
    let stat = |name: &[u8], flags| {
        CString::new(name).ok().and_then(|name| call::stat_at(parent, &name, flags).ok())
    };
    let is_directory = |found: libc::stat| found.st_mode & libc::S_IFMT == libc::S_IFDIR;
    stat(name, libc::AT_SYMLINK_NOFOLLOW).is_some_and(is_directory)
        && OWN_NAMES.into_iter().all(|own| stat(&[name, b"/", own.to_bytes()].concat(), 0).is_some())
}

impl AsFd for Broker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}
