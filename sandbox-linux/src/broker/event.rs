//! What the broker has to tell: refusals, and repositories that came into being. Bounded; drained by init.

use weir_protocol::denial::Act;

/// Most events kept between two drains. A refusal costs the caller a call each, so a loop could fill any queue: what is
/// beyond this is only counted.
pub const MAX_EVENTS: usize = 1_024;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A guarded name was asked for and refused.
    NameRefused {
        /// Index of the guard, as given to [`super::Broker::new`].
        guard: usize,
        /// The name, as the caller wrote it.
        name: Vec<u8>,
        /// The whole path inside the sandbox, where it can be told.
        path: Vec<u8>,
        /// The calling thread, as init sees it.
        pid: u32,
    },
    /// A file that live rules close was asked for and refused.
    FileRefused {
        /// What was tried.
        act: Act,
        /// The whole path inside the sandbox.
        path: Vec<u8>,
        /// The calling thread, as init sees it.
        pid: u32,
    },
    /// A unix socket was refused.
    SocketRefused {
        /// Its path inside the sandbox; for an abstract one the name with its leading NUL.
        path: Vec<u8>,
        /// The calling thread, as init sees it.
        pid: u32,
    },
    /// The kernel refused a call that was performed for a caller.
    Failed {
        /// What was tried.
        act: Act,
        /// In which way.
        how: Failure,
        /// The path inside the sandbox, as far as it can be told.
        path: Vec<u8>,
        /// The calling thread, as init sees it.
        pid: u32,
    },
    /// A program that uses something, for the first time.
    Program {
        /// Its path inside the sandbox.
        path: Vec<u8>,
    },
    /// Something was used, for the first time.
    Used {
        /// What was done.
        act: Act,
        /// Its path inside the sandbox.
        path: Vec<u8>,
        /// Who did it: how many programs were told of before it.
        program: Option<u32>,
    },
    /// No more uses are recorded.
    RecordFull,
    /// Something named `.git` came into being.
    Repository {
        /// Its path inside the sandbox.
        path: Vec<u8>,
    },
}

/// How a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It is not permitted, or the place is read-only.
    Refused,
    /// Something on the way is not there.
    Absent,
    /// A rule that holds for files that appear later closes it: init refused it itself.
    Closed,
}

impl Failure {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Refused, Self::Absent, Self::Closed];
}

/// What was drained.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Events {
    /// The events in order.
    pub list: Vec<Event>,
    /// How many more there were since the last drain.
    pub dropped: u64,
}

/// The events since the last drain.
#[derive(Debug, Default)]
pub(crate) struct Queue(Events);

impl Queue {
    pub(crate) fn push(&mut self, event: Event) {
        if self.0.list.len() < MAX_EVENTS {
            self.0.list.push(event);
        } else {
            self.0.dropped = self.0.dropped.saturating_add(1);
        }
    }

    /// How many events wait, those that were dropped included.
    pub(crate) fn len(&self) -> u64 {
        self.0.dropped.saturating_add(self.0.list.len() as u64)
    }

    pub(crate) fn drain(&mut self) -> Events {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_bounded_and_counts_the_rest() {
        let mut queue = Queue::default();
        for _ in 0..MAX_EVENTS + 3 {
            queue.push(Event::Repository { path: b"/a/.git".to_vec() });
        }
        let events = queue.drain();
        assert_eq!((events.list.len(), events.dropped), (MAX_EVENTS, 3));
        assert_eq!(queue.drain(), Events::default());
    }
}
