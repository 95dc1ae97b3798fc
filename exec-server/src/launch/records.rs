//! The kernel's audit records, for one sandbox: opened before a privilege is given up, read while the sandbox runs, and settled at its end.
//!
//! Records are read as they come and never waited for while the command runs; nothing of the command waits for the reader. At the end a
//! record of the launcher's own says that all before it have come (`sandbox-linux::audit::mark`). What the kernel had no room for
//! is counted, and the report says so.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use weir_protocol::denial::{Mechanism, Missing, Sight, Source};
use weir_sandbox_linux::audit::{self, Follower, MESSAGE_BYTES, Reader, Received, Refused, Status};

use super::begin::Compiled;
use crate::wire;

/// Records taken before the launcher looks at its other descriptors again.
const AT_ONCE: usize = 256;

/// Longest wait for the last record: the kernel delivers from a thread of its own, which is late on a busy machine.
const PATIENCE: Duration = Duration::from_millis(500);

/// The way to the kernel's records.
#[derive(Debug, Default)]
pub struct Records(Option<Reader>);

impl Records {
    /// Opens it where this process may, in the network namespace of the machine. From here on records wait.
    pub(crate) fn open() -> Self {
        let reader = Reader::open().ok();
        // The answer waits with the records.
        let _ = reader.as_ref().map(Reader::ask);
        Self(reader)
    }
}

/// Records of one sandbox.
#[derive(Debug)]
pub(super) struct Watch {
    reader: Option<Reader>,
    missing: Option<Missing>,
    follower: Follower,
    status: Option<Status>,
    has_refused: bool,
    lost: u64,
}

impl Watch {
    /// Over the sandbox with this first process.
    pub(super) fn new(records: Records, first: i32, Compiled { plan, host, .. }: &Compiled) -> Self {
        let landlock = plan.confinement.as_ref().and_then(|held| held.landlock.as_ref());
        let missing = match landlock {
            None => Some(Missing::NoLandlock),
            Some(landlock) if landlock.records == 0 => Some(Missing::OldLandlock),
            Some(_) if records.0.is_none() => Some(Missing::NotPermitted),
            Some(_) if !host.identity.initial_pid_namespace => Some(Missing::OtherNumbers),
            Some(_) => None,
        };
        Self {
            reader: records.0.filter(|_| missing.is_none()),
            missing,
            follower: Follower::new(first.unsigned_abs()),
            status: None,
            has_refused: false,
            lost: 0,
        }
    }

    /// Readable when there are records.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.reader.as_ref().map(|reader| reader.as_fd())
    }

    /// Takes what is there, up to a bound; each answer is one event.
    pub(super) fn take_in(&mut self) -> Vec<Vec<Refused>> {
        let mut found = Vec::new();
        let mut room = [0; MESSAGE_BYTES];
        for _ in 0..AT_ONCE {
            let Some(reader) = &self.reader else { break };
            match reader.receive(&mut room) {
                Received::Record { kind, text } => found.extend(self.follower.take(kind, text)),
                Received::Status(status) => self.status = Some(status),
                Received::Lost => self.lost = self.lost.saturating_add(1),
                Received::Other => {}
                Received::Empty => break,
            }
        }
        self.has_refused |= !found.is_empty();
        found
    }

    /// Everything that was recorded before this was called, after the last process of the sandbox has ended.
    pub(super) fn settle(&mut self) -> Vec<Vec<Refused>> {
        let until = Instant::now() + PATIENCE;
        let mut found = self.take_until(until, |watch| watch.status.is_some());
        if self.reader.is_none() || self.status.is_some_and(|status| !status.enabled) {
            return found;
        }
        match audit::mark() {
            Ok(pid) => self.follower.await_mark(pid),
            Err(_) => self.lost = self.lost.saturating_add(1),
        }
        found.extend(self.take_until(until, |watch| watch.follower.has_all()));
        if !self.follower.has_all() {
            self.lost = self.lost.saturating_add(1);
        }
        found.extend(self.follower.finish());
        found
    }

    fn take_until(&mut self, until: Instant, is_done: impl Fn(&Self) -> bool) -> Vec<Vec<Refused>> {
        let mut found = self.take_in();
        while !is_done(self) {
            let left = until.saturating_duration_since(Instant::now());
            let Some(reader) = self.reader.as_ref().filter(|_| !left.is_zero()) else { break };
            let mut watched = [PollFd::new(reader, PollFlags::IN)];
            if wire::wait(&mut watched, Timespec::try_from(left).ok().as_ref()).is_err() {
                break;
            }
            found.extend(self.take_in());
        }
        found
    }

    /// Says what these records tell, and what not.
    pub(super) fn say(&self, sight: &mut Sight) {
        let missing = self.missing.or(match self.status {
            Some(Status { enabled: false, .. }) => Some(Missing::AuditOff),
            None if !self.has_refused => Some(Missing::AuditUnknown),
            _ => None,
        });
        let sources = [
            (Mechanism::Landlock, "what Landlock refuses: files, ports, signals"),
            (
                Mechanism::Seccomp,
                "system calls that the filter refuses, of processes that still run when that is heard",
            ),
        ];
        let source = |(mechanism, of): (Mechanism, &str)| Source { mechanism, of: of.to_owned(), missing };
        sight.sources.extend(sources.map(source));
        sight.lost = sight.lost.saturating_add(self.lost);
    }
}
