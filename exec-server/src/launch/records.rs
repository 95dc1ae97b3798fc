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
pub struct Records {
    reader: Option<Reader>,
    /// How auditing stands was asked for.
    has_asked: bool,
}

impl Records {
    /// Opens it where this process may, in the network namespace of the machine. From here on records wait.
    pub(crate) fn open() -> Self {
        let reader = Reader::open().ok();
        // The answer waits with the records.
        let has_asked = reader.as_ref().is_some_and(|reader| reader.ask().is_ok());
        Self { reader, has_asked }
    }
}

/// Records of one sandbox.
#[derive(Debug)]
pub(super) struct Watch {
    reader: Option<Reader>,
    missing: Option<Missing>,
    follower: Follower,
    status: Option<Status>,
    awaits_status: bool,
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
            Some(_) if records.reader.is_none() => Some(Missing::NotPermitted),
            Some(_) if !host.identity.initial_pid_namespace => Some(Missing::OtherNumbers),
            Some(_) => None,
        };
        Self {
            reader: records.reader.filter(|_| missing.is_none()),
            missing,
            awaits_status: records.has_asked,
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
                Received::Status(status) => (self.status, self.awaits_status) = (Some(status), false),
                Received::NoStatus => self.awaits_status = false,
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
        let mut found = self.take_until(until, |watch| !watch.awaits_status);
        // Where auditing is off there would be no mark.
        let is_on = self.status.map_or(self.has_refused, |status| status.enabled);
        if self.reader.is_none() || !is_on {
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
        let off = match self.status {
            Some(Status { enabled: false, .. }) => Some(Missing::AuditOff),
            None if !self.has_refused => Some(Missing::AuditUnknown),
            _ => None,
        };
        let source = |mechanism, of: &str, missing| Source { mechanism, of: of.to_owned(), missing };
        let files = "what Landlock refuses: files, ports, sockets without a path";
        // These records are made whether auditing is on or off.
        let calls = "system calls that the filter refuses, of processes that still run when that is heard";
        sight.sources.push(source(Mechanism::Landlock, files, self.missing.or(off)));
        sight.sources.push(source(Mechanism::Seccomp, calls, self.missing));
        sight.lost = sight.lost.saturating_add(self.lost);
    }
}
