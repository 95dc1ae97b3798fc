//! What all threads of one run have in common, and how many there may be.

use std::cell::Cell;

use weir_protocol::AbsPath;
use weir_protocol::method::context::Opened;

use super::{MAX_AT_ONCE, MAX_IN_TURN};
use crate::approval::Approval;
use crate::model::{Effort, Provider};
use crate::thread::{Keeping, Store, ThreadId};
use crate::turn::{Seen, Watch};

/// What all threads of one run have in common.
pub struct Family<'a> {
    /// Who is asked.
    pub provider: &'a dyn Provider,
    /// Who sees what helpers do.
    pub watch: &'a dyn Watch,
    /// Where threads are kept.
    pub store: Store,
    /// Whether those of helpers are.
    pub keeping: Keeping,
    /// The model.
    pub model: String,
    /// How much it is to reason.
    pub effort: Option<Effort>,
    /// Tokens above which a conversation is summarized.
    pub compact_above: Option<u64>,
    /// When the person is asked.
    pub approval: Approval,
    /// What a helper is told that it is, from where it works and under what.
    pub instructions: fn(&AbsPath, &Opened) -> String,
    /// How many there are.
    pub counts: Counts,
}

/// How many helpers there are.
#[derive(Debug, Default)]
pub struct Counts {
    /// That work now.
    working: Cell<u32>,
    /// That the person's turn has had.
    begun: Cell<u32>,
}

/// One of those that may work at once, until it is dropped.
pub(super) struct Taken<'a>(&'a Counts);

impl Counts {
    /// A turn of the person's begins.
    pub(super) fn begin_turn(&self) {
        self.begun.set(0);
    }

    /// Room for one more.
    ///
    /// # Errors
    /// Where there is none, for the model.
    pub(super) fn take(&self) -> Result<Taken<'_>, String> {
        if self.working.get() >= MAX_AT_ONCE {
            return Err(format!(
                "{MAX_AT_ONCE} helpers work already; wait for one, or do it without a helper"
            ));
        }
        if self.begun.get() >= MAX_IN_TURN {
            return Err(format!("this turn has had {MAX_IN_TURN} helpers; go on without"));
        }
        self.working.set(self.working.get() + 1);
        self.begun.set(self.begun.get() + 1);
        Ok(Taken(self))
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.working.set(self.0.working.get().saturating_sub(1));
    }
}

/// Passes on what is seen of one helper, and of its own helpers.
pub(super) struct Within<'a> {
    pub(super) watch: &'a dyn Watch,
    pub(super) thread: ThreadId,
}

impl Watch for Within<'_> {
    fn see(&self, seen: Seen<'_>) {
        self.watch.see_in(self.thread, seen);
    }

    fn see_in(&self, thread: ThreadId, seen: Seen<'_>) {
        self.watch.see_in(thread, seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helpers_are_bounded_at_once_and_in_a_turn() {
        let counts = Counts::default();
        let mut taken: Vec<_> = (0..MAX_AT_ONCE).map(|_| counts.take().unwrap()).collect();
        assert!(counts.take().is_err_and(|why| why.contains("wait for one")));
        drop(taken.pop());
        drop(counts.take().unwrap());
        drop(taken);
        let mut had = MAX_AT_ONCE + 1;
        while counts.take().is_ok() {
            had += 1;
        }
        assert_eq!(had, MAX_IN_TURN);
        counts.begin_turn();
        assert!(counts.take().is_ok());
    }
}
