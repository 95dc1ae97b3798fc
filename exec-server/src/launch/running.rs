//! A sandbox that runs: its first process, what it tells, and its end.

use std::io::{IoSliceMut, Result};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, Shutdown};
use rustix::process::{Signal, WaitId, WaitIdOptions, waitid};
use weir_protocol::ByteString;
use weir_protocol::denial::Act;
use weir_protocol::method::process::{End, Receivers};
use weir_protocol::policy::Resource;
use weir_protocol::recorded::{Recorded, Use};
use weir_sandbox_linux::control::{MAX_WORD_BYTES, Order, Word};
use weir_sandbox_linux::ending;
use weir_sandbox_linux::gate::{INNER_SOCKETS, Socket};
use weir_sandbox_linux::group::{Events, Group};
use weir_sandbox_linux::plan::Recording;
use weir_sandbox_linux::start::First;

use super::begin::Compiled;
use super::passed::{Descriptors, Passed};
use super::published::{self, Piece};
use super::records::{Records, Watch};
use super::refused::Refusals;
use super::{Ended, Launch, sys};
use crate::copies::Copies;
use crate::egress::ending::asks_for_end;

/// Most repositories kept for the report.
const MAX_REPOSITORIES: usize = 1000;

/// Time in which a sandbox ends by itself, once its first process ends or is told to; then everything in it is ended one by one.
const ENDS: Duration = Duration::from_millis(50);

/// Longest wait for the end of what was ended: a process with much memory takes a while, and one that waits for a file system that does
/// not answer takes for ever.
const UNENDED: Duration = Duration::from_secs(3);

/// Time in which the first process passes on a signal that asks for the end. It takes longer where a file system does not answer it, and then
/// nobody knows whether it ever will.
const HEARS: Duration = Duration::from_secs(3);

/// Most processes told of that have not ended.
const MAX_STUCK: usize = 64;

/// A running sandbox.
#[derive(Debug)]
pub(super) struct Running {
    parts: Parts,
    started: Instant,
    end: Option<End>,
    unheard: Unheard,
    refusals: Refusals,
    repositories: Vec<ByteString>,
    /// What was used, where that is recorded.
    recorded: Option<Recorded>,
    terminal: Option<OwnedFd>,
    sockets: Vec<(Socket, OwnedFd)>,
    /// Held until the sandbox has ended: [`Word::Listener`].
    listener: Option<OwnedFd>,
    /// Sockets that were not made inside.
    lent: Vec<(Passed, OwnedFd)>,
    /// Sockets of published ports, of both sides.
    published: Vec<(Piece, OwnedFd)>,
    /// What is held, to name the rule behind a refusal.
    launch: Rc<Launch>,
    /// The copies that it changes.
    copies: Copies,
}

/// Orders that the first process has not carried out yet.
#[derive(Debug, Default)]
struct Unheard {
    /// How many orders were given, and how many of these were carried out: in their order.
    given: u64,
    carried_out: u64,
    /// The first that asks for the end.
    asked: Option<Asked>,
    /// The last one behind it.
    next: Option<Asked>,
}

/// An order that asks for the end.
#[derive(Debug, Clone, Copy)]
struct Asked {
    number: u64,
    since: Instant,
    signal: i32,
}

impl Unheard {
    fn add(&mut self, signal: i32) {
        self.given = self.given.saturating_add(1);
        if asks_for_end(signal) {
            let asked = Asked { number: self.given, since: Instant::now(), signal };
            let place = if self.asked.is_none() { &mut self.asked } else { &mut self.next };
            *place = Some(asked);
        }
    }

    /// However many come behind it, one that was carried out is not waited for.
    fn done(&mut self) {
        self.carried_out = self.carried_out.saturating_add(1).min(self.given);
        let is_waited_for = |asked: &Asked| asked.number > self.carried_out;
        if !self.asked.as_ref().is_some_and(is_waited_for) {
            self.asked = self.next.filter(is_waited_for);
            self.next = None;
        }
    }
}

/// What a sandbox is held by.
#[derive(Debug)]
pub(super) struct Parts {
    /// Its first process.
    pub(super) first: First,
    /// The launcher's end of what connects the two.
    pub(super) control: OwnedFd,
    /// Its control group, which goes when this does.
    pub(super) group: Option<Group>,
    /// What belongs to it.
    pub(super) extent: Extent,
    /// Whether its first process hands out the gate's sockets.
    pub(super) gated: bool,
    /// Whether it hands out sockets for published ports.
    pub(super) publishes: bool,
    /// What it tells of what is used.
    pub(super) recorded: Option<Recording>,
}

/// What belongs to a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// A PID namespace, which ends with its first process.
    Namespace,
    /// Everything that descends from the launcher, but for the server part, which is a child of the launcher too.
    AllBut(Option<i32>),
}

/// Something that was heard from the first process.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// An order was carried out.
    Done,
    /// The command was stopped by this signal.
    Stopped(i32),
    /// The command has ended so, and what it has started goes on.
    Background(End),
    /// Something that the report will tell.
    Noted,
    /// Nothing more will come.
    End,
}

impl Running {
    pub(super) fn new(parts: Parts, started: Instant, launch: Rc<Launch>, refusals: Refusals) -> Self {
        let (repositories, sockets, lent, published) = Default::default();
        let (end, terminal, listener) = (None, None, None);
        let unheard = Unheard::default();
        let copies = Copies::default();
        let recorded = parts.recorded.map(|recording| match recording {
            Recording::Performed => Recorded::default(),
            Recording::Whole => Recorded::default().with_looks(),
        });
        Self {
            parts,
            started,
            end,
            unheard,
            refusals,
            repositories,
            recorded,
            terminal,
            sockets,
            listener,
            lent,
            published,
            launch,
            copies,
        }
    }

    /// Adds sockets to what came out of the sandbox.
    pub(super) fn lend(&mut self, sockets: impl IntoIterator<Item = (Passed, OwnedFd)>) {
        self.lent = sockets.into_iter().collect();
    }

    /// Adds listening sockets of published ports.
    pub(super) fn publish(&mut self, listeners: Vec<(Piece, OwnedFd)>) {
        self.published.extend(listeners);
    }

    /// Holds copies until the sandbox has ended.
    pub(super) fn hold(&mut self, copies: Copies) {
        self.copies = copies;
    }

    pub(super) fn pid(&self) -> i32 {
        self.parts.first.pid
    }

    /// Readable when the first process has ended.
    pub(super) fn handle(&self) -> BorrowedFd<'_> {
        self.parts.first.handle.as_fd()
    }

    /// Readable when the first process has something to tell.
    pub(super) fn control(&self) -> BorrowedFd<'_> {
        self.parts.control.as_fd()
    }

    /// From here on the kernel's records are read as well: the command has been executed.
    pub(super) fn watch(&mut self, records: Records, compiled: &Compiled) {
        self.refusals.watch = Watch::new(records, self.pid(), compiled);
    }

    /// Readable when the kernel has told of a refusal, of whatever sandbox.
    pub(super) fn records(&self) -> Option<BorrowedFd<'_>> {
        self.refusals.watch.descriptor()
    }

    /// Takes what the kernel has told.
    pub(super) fn read_records(&mut self) {
        self.refusals.read(&self.launch.policy);
    }

    /// What came out of the sandbox before its command was executed: its terminal's controlling side, the gate's sockets.
    pub(super) fn take_descriptors(&mut self) -> Descriptors {
        while self.lacks_descriptors() && self.hear(RecvFlags::empty()) != Heard::End {}
        let mut descriptors = Descriptors::default();
        if let Some(terminal) = self.terminal.take() {
            descriptors.add(Passed::Terminal, terminal);
        }
        for (socket, descriptor) in self.sockets.drain(..) {
            let name = match socket {
                Socket::TcpV4 => Passed::TcpV4,
                Socket::TcpV6 => Passed::TcpV6,
                Socket::Resolver => Passed::Resolver,
                Socket::Log => Passed::Refused,
                Socket::InnerV4 | Socket::InnerV6 => continue,
            };
            descriptors.add(name, descriptor);
        }
        self.lent.drain(..).for_each(|(name, socket)| descriptors.add(name, socket));
        if self.parts.publishes {
            // Where this fails nothing is published, and the server part, which misses it, ends the sandbox.
            let bundle = published::pack(&self.published);
            bundle.into_iter().for_each(|bundle| descriptors.add(Passed::Published, bundle));
            self.published.clear();
        }
        descriptors
    }

    /// Of the gate's sockets the resolver's comes last.
    fn lacks_descriptors(&self) -> bool {
        let terminal = self.launch.size.is_some() && self.terminal.is_none();
        let has_resolver = self.sockets.iter().any(|(socket, _)| *socket == Socket::Resolver);
        let inner = self.published.iter().filter(|(piece, _)| *piece == Piece::InnerV4).count();
        terminal || self.parts.gated && !has_resolver || self.parts.publishes && inner < INNER_SOCKETS
    }

    /// Hears one packet.
    pub(super) fn hear(&mut self, flags: RecvFlags) -> Heard {
        let (word, descriptor) = self.receive(flags);
        match word {
            Some(Word::Done) => {
                self.unheard.done();
                return Heard::Done;
            }
            Some(Word::Stopped(signal)) => return Heard::Stopped(signal),
            Some(Word::Exited(code)) => self.end = Some(End::Exited { code }),
            Some(Word::Signalled(signal)) => self.end = Some(End::Signalled { signal }),
            Some(Word::Background) => return self.end.map_or(Heard::Noted, Heard::Background),
            Some(Word::RefusedName { pid, path }) => {
                self.refusals.refused(&self.launch.policy, Act::Create, pid, path);
            }
            Some(Word::RefusedSocket { pid, path }) => {
                self.refusals.refused(&self.launch.policy, Act::Connect, pid, path);
            }
            Some(Word::Failed { act, how, pid, path }) => {
                self.refusals.failed(&self.launch.policy, (act, how), pid, path);
            }
            Some(Word::Dropped(count)) => self.refusals.dropped(count.unsigned_abs().into()),
            Some(Word::Repository(path)) if self.repositories.len() < MAX_REPOSITORIES => {
                self.repositories.push(ByteString(path));
            }
            Some(word @ (Word::Program(_) | Word::Used { .. } | Word::RecordFull)) => self.record(word),
            Some(Word::Terminal) => self.terminal = descriptor,
            Some(Word::Listener) => self.listener = descriptor,
            Some(Word::Socket(Socket::InnerV4)) => self.inner(Piece::InnerV4, descriptor),
            Some(Word::Socket(Socket::InnerV6)) => self.inner(Piece::InnerV6, descriptor),
            Some(Word::Socket(socket)) => self.sockets.extend(descriptor.map(|one| (socket, one))),
            Some(Word::Repository(_)) => {}
            None => return Heard::End,
        }
        Heard::Noted
    }

    /// Something that was used.
    fn record(&mut self, word: Word) {
        let Some(recorded) = &mut self.recorded else { return };
        match word {
            Word::Program(path) => recorded.add_program(path),
            Word::Used { act, program, path } => {
                recorded.add(Use { operation: act, path: ByteString(path), program });
            }
            _ => recorded.is_cut = true,
        }
    }

    fn inner(&mut self, piece: Piece, socket: Option<OwnedFd>) {
        self.published.extend(socket.map(|socket| (piece, socket)));
    }

    fn receive(&self, flags: RecvFlags) -> (Option<Word>, Option<OwnedFd>) {
        let mut bytes = [0; MAX_WORD_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::net::recvmsg(
            &self.parts.control,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut ancillary,
            flags | RecvFlags::CMSG_CLOEXEC,
        );
        let mut passed = None;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
                passed = descriptors.next();
            }
        }
        let count = received.ok().map(|received| received.bytes).filter(|count| *count > 0);
        (count.and_then(|count| Word::from_bytes(&bytes[..count])), passed)
    }

    /// What the limits of the whole tree did to it.
    fn account_for_limits(&mut self) {
        let Some(events) = self.parts.group.as_ref().map(Group::events) else { return };
        let Events { memory_kills, refused_processes } = events;
        let limit = |resource| self.launch.policy.resources().limit(resource);
        if let (1.., Some(memory), None | Some(End::Signalled { .. })) =
            (memory_kills, limit(Resource::Memory), self.end)
        {
            // The kernel ends the group whole, the first process with it, which then tells nothing.
            self.end = Some(End::Memory { limit_bytes: memory.value });
        }
        if refused_processes > 0 {
            self.refusals.forks(&self.launch.policy, refused_processes);
        }
    }

    /// Sends a signal to the command.
    pub(super) fn signal(&mut self, signal: i32, to: Receivers) -> Result<()> {
        let order = Order { signal, to }.to_bytes();
        rustix::net::send(&self.parts.control, &order, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?;
        self.unheard.add(signal);
        Ok(())
    }

    /// How long the first process may still take to pass on a signal that asks for the end.
    pub(super) fn patience(&self) -> Option<Duration> {
        let Asked { since, .. } = self.unheard.asked?;
        Some((since + HEARS).saturating_duration_since(Instant::now()))
    }

    /// The first process does not pass such a signal on: then it is the end of everything.
    pub(super) fn give_up(&mut self) {
        if let Some(Asked { signal, .. }) = self.unheard.asked {
            self.end = self.end.or(Some(End::Signalled { signal }));
        }
        self.end();
    }

    /// Ends everything at once: the first process takes its PID namespace with it, or ends what it has started; and the kernel what
    /// is in the control group.
    pub(super) fn end(&self) {
        if self.parts.extent == Extent::Namespace {
            let _ = rustix::process::pidfd_send_signal(&self.parts.first.handle, Signal::KILL);
        } else {
            let _ = rustix::net::shutdown(&self.parts.control, Shutdown::Both);
            // Where signals are not scoped either, whoever is inside may stop it again and again. What it leaves is ended when it is reaped.
            let signal = if self.is_stopped() { Signal::KILL } else { Signal::CONT };
            let _ = rustix::process::pidfd_send_signal(&self.parts.first.handle, signal);
        }
        if let Some(group) = &self.parts.group {
            group.end();
        }
    }

    /// Whether the first process is stopped; whoever waits for that still hears of it.
    fn is_stopped(&self) -> bool {
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        waitid(WaitId::PidFd(self.handle()), options).is_ok_and(|found| found.is_some())
    }

    /// Waits until it has ended, which it is about to, and ends what does not. Who the kernel does not end, for it waits for a file system or
    /// a device, is left behind: nobody ends that.
    fn outlast(&self) -> Vec<i32> {
        let (first, begun) = (&self.parts.first, Instant::now());
        let until = begun + UNENDED;
        let mut left = Vec::new();
        if !ending::has_ended(first, begun + ENDS) {
            let _ = rustix::process::pidfd_send_signal(&first.handle, Signal::KILL);
            self.parts.group.iter().for_each(Group::end);
            left = ending::end_below(first.pid, &[], until);
        }
        if !ending::has_ended(first, until) {
            left.insert(0, first.pid);
            return left;
        }
        // Without a PID namespace whoever is left has come here; with one nobody is.
        let Extent::AllBut(server) = self.parts.extent else { return Vec::new() };
        // None of these is part of the sandbox.
        let sweeper = self.parts.group.as_ref().map(Group::sweeper);
        let spared: Vec<i32> = [server, sweeper].into_iter().flatten().collect();
        // The first process is to be reaped with an account of what it used.
        let spared = [spared, vec![first.pid]].concat();
        let own = rustix::process::getpid().as_raw_nonzero().get();
        ending::end_below(own, &spared, until)
    }

    /// Waits for the end of the first process and of all that it leaves behind, as far as they end.
    pub(super) fn reap(mut self) -> Ended {
        let mut stuck = self.outlast();
        let has_first = stuck.first() == Some(&self.parts.first.pid);
        let account = if has_first { None } else { sys::reap(self.parts.first.pid) };
        while self.hear(RecvFlags::DONTWAIT) != Heard::End {}
        self.account_for_limits();
        // Nothing of the sandbox is left where the end is told.
        match self.parts.group.take() {
            Some(group) if !stuck.is_empty() => group.leave(),
            group => drop(group),
        }
        self.copies.settle();
        let (denials, sight) = self.refusals.settle(&self.launch.policy);
        stuck.truncate(MAX_STUCK);
        Ended {
            end: self.end.unwrap_or(End::Cancelled),
            usage: account.unwrap_or_default().usage(self.started.elapsed()),
            denials,
            sight,
            new_repositories: self.repositories,
            recorded: self.recorded,
            stuck,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waited_for(unheard: &Unheard) -> Option<i32> {
        unheard.asked.map(|asked| asked.signal)
    }

    /// A first process that carries out what it is told is not given up because it is told more and more.
    #[test]
    fn an_order_that_was_carried_out_is_not_waited_for_however_many_follow() {
        let (term, int, winch) = (Signal::TERM.as_raw(), Signal::INT.as_raw(), Signal::WINCH.as_raw());
        let mut unheard = Unheard::default();
        unheard.add(winch);
        unheard.add(term);
        unheard.add(winch);
        assert_eq!(waited_for(&unheard), Some(term));
        unheard.done();
        assert_eq!(waited_for(&unheard), Some(term));
        unheard.add(winch);
        unheard.done();
        assert_eq!(waited_for(&unheard), None);
        unheard.add(int);
        unheard.add(term);
        unheard.add(term);
        let first = unheard.asked.unwrap();
        assert_eq!((first.signal, first.number), (int, 5));
        (0..2).for_each(|_| unheard.done());
        assert_eq!(waited_for(&unheard), Some(int));
        unheard.done();
        assert_eq!(unheard.asked.map(|asked| asked.number), Some(7));
        (0..9).for_each(|_| unheard.done());
        assert_eq!((waited_for(&unheard), unheard.carried_out), (None, 7));
    }
}
