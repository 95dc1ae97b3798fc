//! A command that runs on macOS: its tree, what it is measured by, what the log tells, and its end.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use weir_protocol::denial::{Denial, Mechanism, Missing, Sight, Source};
use weir_protocol::method::process::{End, Receivers};
use weir_sandbox_macos::launch::MeasuredLimit;
use weir_sandbox_macos::launch::tree::{Process, Tree};

use super::denials::Denials;
use super::reaper;
use super::sys::{self, Change, Patience, Queue};
use crate::ended::forks;
use crate::launch::passed::Descriptors;
use crate::launch::sys::Account;
use crate::launch::{Ended, Launch};

/// Least time between two looks at the table of processes: a build starts hundreds in a second, and each is told of.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How often memory and processes are measured, where they are limited.
const MEASURE_EVERY: Duration = Duration::from_millis(200);

/// A running command.
#[derive(Debug)]
pub(super) struct Running {
    parts: Parts,
    started: Instant,
    launch: Rc<Launch>,
    /// When the table of processes was looked at.
    looked: Instant,
    /// Whether there is something new in it.
    is_changed: bool,
    stops: Vec<i32>,
    end: Option<End>,
    account: Option<Account>,
    denials: Vec<Denial>,
}

/// What a command is held by.
#[derive(Debug)]
pub(super) struct Parts {
    /// Its first process.
    pub(super) first: Process,
    /// All of its processes.
    pub(super) tree: Tree,
    /// Limits that are measured.
    pub(super) measured: Vec<MeasuredLimit>,
    /// What follows the log.
    pub(super) denials: Option<Denials>,
    /// The terminal's controlling side and what the gate needs, until they are handed on.
    pub(super) descriptors: Descriptors,
    /// The terminal's other side, so that it stays until the tree has ended.
    pub(super) terminal: Option<OwnedFd>,
    /// The directory that stands in for others.
    pub(super) scratch: Option<TempDir>,
}

/// Whether a command goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    /// It does.
    On,
    /// It has ended, or has to.
    End,
}

impl Running {
    pub(super) fn new(parts: Parts, started: Instant, launch: Rc<Launch>) -> Self {
        let (looked, is_changed, stops) = (Instant::now(), true, Vec::new());
        let (end, account, denials) = (None, None, Vec::new());
        Self { parts, started, launch, looked, is_changed, stops, end, account, denials }
    }

    pub(super) fn pid(&self) -> i32 {
        self.parts.first.pid
    }

    /// The controlling side of the command's terminal and what the gate needs, once.
    pub(super) fn take_descriptors(&mut self) -> Descriptors {
        std::mem::take(&mut self.parts.descriptors)
    }

    /// Some process has started another, was stopped or has ended.
    pub(super) fn note_change(&mut self) {
        self.is_changed = true;
    }

    /// How long nothing need be looked at, where nothing happens.
    pub(super) fn look_again(&self) -> Option<Duration> {
        let every = match (self.is_changed, self.parts.measured.is_empty()) {
            (true, _) => LOOK_EVERY,
            (false, false) => MEASURE_EVERY,
            (false, true) => return None,
        };
        Some(every.saturating_sub(self.looked.elapsed()))
    }

    pub(super) fn read_log(&mut self) {
        if let Some(denials) = &mut self.parts.denials {
            denials.read(&self.launch.policy);
        }
    }

    /// Follows what has happened: to the first process, to the tree, to what is measured.
    pub(super) fn follow(&mut self, queue: &Queue) -> io::Result<Course> {
        if self.end.is_none() {
            self.hear(Patience::Look)?;
        }
        if self.end.is_none() && self.look_again() == Some(Duration::ZERO) {
            self.look(queue)?;
        }
        Ok(if self.end.is_some() { Course::End } else { Course::On })
    }

    fn hear(&mut self, patience: Patience) -> io::Result<()> {
        loop {
            match sys::changed(self.pid(), patience)? {
                None if patience == Patience::Look => return Ok(()),
                None => {}
                // A process that is stopped to be ended says so as well, with no signal.
                Some(Change::Stopped(signal)) => self.stops.extend((signal > 0).then_some(signal)),
                Some(Change::Exited(code, account)) => {
                    self.account = Some(account);
                    self.end = self.end.or(Some(End::Exited { code }));
                    return Ok(());
                }
                Some(Change::Signalled(signal, account)) => {
                    self.account = Some(account);
                    self.end = self.end.or(Some(End::Signalled { signal }));
                    return Ok(());
                }
            }
        }
    }

    fn look(&mut self, queue: &Queue) -> io::Result<()> {
        (self.looked, self.is_changed) = (Instant::now(), false);
        let table = sys::table()?;
        for process in self.parts.tree.look(&table) {
            // What has ended meanwhile needs no watching; what it has started is in the session, or in the next look.
            if queue.watch_process(process.pid).is_err() {
                self.is_changed = true;
            }
        }
        let living: Vec<i32> = self.parts.tree.living(&table).map(|process| process.pid).collect();
        for limit in self.parts.measured.clone() {
            self.measure(limit, &living);
        }
        Ok(())
    }

    fn measure(&mut self, limit: MeasuredLimit, living: &[i32]) {
        match limit {
            MeasuredLimit::Memory(limit_bytes) => {
                let used = living.iter().map(|pid| sys::footprint(*pid)).fold(0, u64::saturating_add);
                if used > limit_bytes {
                    self.end = Some(End::Memory { limit_bytes });
                }
            }
            MeasuredLimit::Processes(most) => {
                if u64::try_from(living.len()).unwrap_or(u64::MAX) > most {
                    self.end = Some(End::Cancelled);
                    let reason = Some("the tree was ended".to_owned());
                    self.denials.push(Denial { reason, ..forks(self.launch.policy.resources(), 1) });
                }
            }
        }
    }

    /// Signals that have stopped the first process since this was last asked.
    pub(super) fn take_stops(&mut self) -> Vec<i32> {
        std::mem::take(&mut self.stops)
    }

    /// Sends a signal. A command that has ended needs none.
    pub(super) fn signal(&mut self, signal: i32, to: Receivers) {
        if self.end.is_some() {
            return;
        }
        let _ = match to {
            Receivers::Group => sys::signal(-self.pid(), signal),
            Receivers::Leader => sys::signal(self.pid(), signal),
            Receivers::All => sys::table().map(|table| {
                self.parts.tree.look(&table);
                for process in self.parts.tree.living(&table) {
                    let _ = sys::signal(process.pid, signal);
                }
            }),
        };
    }

    /// The tree is ended as soon as the launcher comes to it.
    pub(super) fn end_soon(&mut self) {
        self.end = self.end.or(Some(End::Cancelled));
    }

    /// Ends the tree, and waits until nobody of it is left.
    pub(super) fn end(mut self, queue: &Queue) -> Ended {
        self.end = self.end.or(Some(End::Cancelled));
        reaper::end(&mut self.parts.tree, queue);
        if self.account.is_none() {
            // Why it was ended is known; what it used is not yet. Its number is its own until it is reaped.
            let _ = sys::signal(-self.pid(), libc::SIGKILL);
            let _ = self.hear(Patience::Wait);
        }
        let Parts { terminal, scratch, denials, .. } = self.parts;
        // The end of the controlling side says that every byte was read.
        drop((terminal, scratch));
        let of = "what Seatbelt refuses, as far as the log tells it in time";
        let source = match &denials {
            Some(_) => Source::present(Mechanism::Seatbelt, of),
            None => Source::missing(Mechanism::Seatbelt, of, Missing::NotPermitted),
        };
        let found = denials.map(|denials| denials.end(&self.launch.policy)).unwrap_or_default();
        let (found, left_out) = found.into_parts();
        self.denials.extend(found);
        Ended {
            end: self.end.unwrap_or(End::Cancelled),
            usage: self.account.unwrap_or_default().usage(self.started.elapsed()),
            denials: self.denials,
            sight: Sight { sources: vec![source], left_out, lost: 0 },
            new_repositories: Vec::new(),
            recorded: None,
            stuck: Vec::new(),
        }
    }
}
