//! Streams that the server carries: from a command into its [`Journal`], from there to whoever reads; and the way back, into standard
//! input.
//!
//! Reading ends with end-of-file and nothing else. A reader goes as far as its credit; what nobody has read yet waits in
//! the journal, and when that has no room the command waits in its write.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::{Rc, Weak};
use std::time::Duration;

use bytes::Bytes;
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::time::timeout;
use weir_protocol::frame::{Credit, MAX_DATA_BYTES, Place, Stream};
use weir_protocol::method::JSON_RPC;
use weir_protocol::method::output::{Account, Gap, Output};
use weir_protocol::method::process::{Event, Notification};

use super::journal::{Found, Journal};
use super::outbox::OutboxError;
use super::spill::Spill;
use super::wire::Wire;
use crate::wire::Violation;

/// Bytes read from a command at once: what a pipe holds (pipe(7)). Larger buffers would be taken from the kernel, and given back, one by one.
const READ_BYTES: usize = 64 << 10;

/// What is read in pieces below this is copied, so that it does not hold a whole buffer.
const COPIED_BYTES: usize = READ_BYTES / 4;

/// Bytes of standard input that may be under way from the client.
const INPUT_BYTES: u64 = 256 << 10;

/// Bytes of standard input after which its sender hears how far it may go.
const INPUT_STEP_BYTES: u64 = INPUT_BYTES / 4;

/// How often it is tried whether a disk that was full takes something again.
const FULL_DISK: Duration = Duration::from_secs(1);

/// Whether a stream takes more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    Some,
    /// Until somebody reads.
    None,
    /// Until somebody reads, or the disk has room again.
    OfDisk,
}

/// One stream of output.
#[derive(Debug)]
pub(super) struct Carried {
    stream: Stream,
    journal: RefCell<Journal>,
    changed: watch::Sender<()>,
    /// Whether whoever still holds it open will write no more.
    is_left: watch::Sender<bool>,
}

impl Carried {
    pub(super) fn new(stream: Stream, output: &Output) -> Rc<Self> {
        let journal = RefCell::new(Journal::new(output.keep, output.overflow));
        let (changed, is_left) = (watch::Sender::new(()), watch::Sender::new(false));
        Rc::new(Self { stream, journal, changed, is_left })
    }

    pub(super) fn written(&self) -> u64 {
        self.journal.borrow().written()
    }

    /// The first offset at or behind `from` that is still there.
    pub(super) fn start(&self, from: u64) -> u64 {
        self.journal.borrow().start(from)
    }

    fn account(&self, dropped: u64) -> Account {
        let journal = self.journal.borrow();
        Account { stream: self.stream, bytes: journal.written(), blake3: journal.digest(), dropped }
    }

    /// The owner has what lies before `offset`.
    pub(super) fn release(&self, offset: u64) {
        self.journal.borrow_mut().release(offset);
        self.changed.send_replace(());
    }

    /// Waits until more than `known` bytes were written; false when there will be no more.
    pub(super) async fn grows(&self, known: u64) -> bool {
        let mut changed = self.changed.subscribe();
        while self.written() <= known {
            if self.journal.borrow().has_ended() || changed.changed().await.is_err() {
                return false;
            }
        }
        true
    }

    /// It ends with what can be read of it now.
    pub(super) fn leave(&self) {
        self.is_left.send_replace(true);
    }

    /// Reads to the end, unless nobody can ask for the stream any more. A terminal whose other side is closed everywhere answers EIO (pty(7)).
    pub(super) async fn pump(this: Weak<Self>, source: AsyncFd<OwnedFd>, spill: Rc<Spill>) {
        let told = this.upgrade().map(|this| (this.changed.subscribe(), this.is_left.subscribe()));
        let Some((mut changed, mut is_left)) = told else { return };
        let mut buffer = Vec::new();
        loop {
            changed.borrow_and_update();
            // Held for no longer than it takes: what waits here must not keep what nobody else has.
            let Some(has_room) = this.upgrade().map(|this| this.has_room()) else { return };
            match has_room {
                Room::Some => {}
                Room::None if changed.changed().await.is_err() => return,
                Room::None => continue,
                Room::OfDisk => match timeout(FULL_DISK, changed.changed()).await {
                    Ok(Err(_)) => return,
                    Ok(Ok(())) => continue,
                    Err(_) => {
                        let tried = this.upgrade().map(|this| this.try_disk(&spill));
                        if tried.is_none() {
                            return;
                        }
                        continue;
                    }
                },
            }
            buffer.clear();
            buffer.reserve(READ_BYTES);
            let found = tokio::select! {
                biased;
                found = source.async_io(Interest::READABLE, |fd| read(fd, &mut buffer)) => found,
                _ = is_left.wait_for(|is_left| *is_left) => Ok(0),
                () = gone(&mut changed) => return,
            };
            let Some(this) = this.upgrade() else { return };
            match found {
                Ok(0) | Err(_) => return this.end(),
                Ok(count) if count < COPIED_BYTES => this.add(Bytes::copy_from_slice(&buffer), &spill),
                Ok(_) => {
                    this.add(std::mem::take(&mut buffer).into(), &spill);
                    drop(this);
                    // Whoever sends it comes first: what is sent at once does not wait in memory, or on disk.
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    fn has_room(&self) -> Room {
        let journal = self.journal.borrow();
        match journal.has_room() {
            true => Room::Some,
            false if journal.waits_for_disk() => Room::OfDisk,
            false => Room::None,
        }
    }

    fn try_disk(&self, spill: &Spill) {
        self.journal.borrow_mut().try_disk(|| spill.file());
    }

    fn end(&self) {
        self.journal.borrow_mut().end();
        self.changed.send_replace(());
    }

    fn add(&self, bytes: Bytes, spill: &Spill) {
        self.journal.borrow_mut().append(bytes, || spill.file());
        self.changed.send_replace(());
    }

    /// Sends from an offset to the end of the stream, as far as `limit` says at each time, and accounts for it.
    pub(super) async fn send(
        self: Rc<Self>,
        to: Rc<Wire>,
        (id, mut at): (u64, u64),
        mut limit: watch::Receiver<u64>,
    ) -> Result<Account, OutboxError> {
        let mut changed = self.changed.subscribe();
        let mut dropped = 0;
        loop {
            changed.borrow_and_update();
            let room = limit.borrow_and_update().saturating_sub(at);
            let most = usize::try_from(room).unwrap_or(MAX_DATA_BYTES).min(MAX_DATA_BYTES);
            let found = self.journal.borrow().read(at, most)?;
            match found {
                Found::Bytes(bytes) if bytes.is_empty() => tokio::select! {
                    given = limit.changed() => given.map_err(|_| OutboxError::Gone)?,
                    changed = changed.changed() => changed.map_err(|_| OutboxError::Gone)?,
                },
                Found::Bytes(bytes) => {
                    to.data(Place { id, stream: self.stream, offset: at }, &bytes).await?;
                    at += bytes.len() as u64;
                }
                Found::Gap(end) => {
                    // Not through the outbox, where the bytes behind it would overtake it.
                    let event = Event::Gap(Gap { id, stream: self.stream, from: at, to: end });
                    to.say(&Notification { jsonrpc: JSON_RPC.to_owned(), event }, &[]).await?;
                    dropped += end - at;
                    at = end;
                }
                Found::Later => changed.changed().await.map_err(|_| OutboxError::Gone)?,
                Found::End => return Ok(self.account(dropped)),
            }
        }
    }
}

/// Waits until nobody is left who could tell of a change.
async fn gone(changed: &mut watch::Receiver<()>) {
    while changed.changed().await.is_ok() {}
}

fn read(from: &OwnedFd, buffer: &mut Vec<u8>) -> io::Result<usize> {
    Ok(rustix::io::read(from, rustix::buffer::spare_capacity(buffer))?)
}

/// Standard input.
#[derive(Debug)]
pub(super) struct Input {
    waiting: RefCell<VecDeque<Bytes>>,
    received: Cell<u64>,
    written: Cell<u64>,
    has_ended: Cell<bool>,
    /// Whether nobody is left to read it.
    is_over: Cell<bool>,
    changed: watch::Sender<()>,
}

impl Input {
    pub(super) fn new() -> Rc<Self> {
        let (waiting, has_ended) = (RefCell::new(VecDeque::new()), Cell::new(false));
        let (received, written, is_over) = (Cell::new(0), Cell::new(0), Cell::new(false));
        Rc::new(Self { waiting, received, written, has_ended, is_over, changed: watch::Sender::new(()) })
    }

    pub(super) fn accept(&self, offset: u64, bytes: &[u8]) -> Result<(), Violation> {
        let end = offset.saturating_add(bytes.len() as u64);
        if self.has_ended.get() {
            return Err(Violation::Ended);
        }
        let (next, limit) = (self.received.get(), self.written.get() + INPUT_BYTES);
        if offset != next {
            return Err(Violation::Offset { offset, next });
        }
        if end > limit {
            return Err(Violation::Credit { end, limit });
        }
        self.received.set(end);
        if self.is_over.get() {
            self.written.set(end);
        } else {
            self.waiting.borrow_mut().push_back(Bytes::copy_from_slice(bytes));
        }
        self.changed.send_replace(());
        Ok(())
    }

    /// Where it goes on, unless it has ended.
    pub(super) fn next(&self) -> Option<u64> {
        (!self.has_ended.get()).then(|| self.received.get())
    }

    pub(super) fn end(&self) {
        self.has_ended.set(true);
        self.changed.send_replace(());
    }

    /// The command has ended: what waits, and what still comes, is taken unread.
    pub(super) fn over(&self) {
        self.is_over.set(true);
        self.waiting.borrow_mut().clear();
        self.written.set(self.received.get());
        self.changed.send_replace(());
    }

    /// Writes what comes until the command has ended.
    pub(super) async fn pump(self: Rc<Self>, sink: AsyncFd<OwnedFd>, at_end: &'static [u8]) {
        let mut changed = self.changed.subscribe();
        let over = async { while !self.is_over.get() && changed.changed().await.is_ok() {} };
        tokio::select! {
            biased;
            () = over => {}
            () = self.write_all(&sink, at_end) => {}
        }
    }

    /// `at_end` is written last: what ends the input of a terminal. A command that reads no more takes the rest unread.
    async fn write_all(&self, sink: &AsyncFd<OwnedFd>, at_end: &'static [u8]) {
        let mut changed = self.changed.subscribe();
        let mut takes = true;
        loop {
            changed.borrow_and_update();
            let next = self.waiting.borrow_mut().pop_front();
            match next {
                Some(bytes) => {
                    takes = takes && write(sink, &bytes).await.is_ok();
                    self.written.set(self.written.get() + bytes.len() as u64);
                    self.changed.send_replace(());
                }
                None if self.has_ended.get() => {
                    let _ = write(sink, at_end).await;
                    return;
                }
                None => {
                    if changed.changed().await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Tells the owner how far it may go, again and again.
    pub(super) async fn grant(self: Rc<Self>, to: Rc<Wire>, id: u64) -> Result<(), OutboxError> {
        let mut changed = self.changed.subscribe();
        let mut told = None;
        loop {
            changed.borrow_and_update();
            let written = self.written.get();
            if told.is_none_or(|told| written >= told + INPUT_STEP_BYTES || written > told && self.is_idle())
            {
                let received = Place { id, stream: Stream::Input, offset: written };
                to.credit(Credit { received, limit: written + INPUT_BYTES }).await?;
                told = Some(written);
            } else if changed.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.waiting.borrow().is_empty()
    }
}

async fn write(sink: &AsyncFd<OwnedFd>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = sink.async_io(Interest::WRITABLE, |fd| match rustix::io::write(fd, bytes) {
            // A terminal that takes nothing just now says so in two ways.
            Ok(0) => Err(Errno::AGAIN.into()),
            written => Ok(written?),
        });
        let written = written.await?;
        bytes = bytes.get(written..).unwrap_or_default();
    }
    Ok(())
}
