//! Judging a thread's file from its first line to its last, whatever the index says.

use std::path::PathBuf;

use serde::Serialize;

use super::history::History;
use super::lines::{Found, Position, Walk};
use super::record::Damage;
use super::store::located;
use super::{Store, ThreadError, ThreadId};

/// What a thread's file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The thread.
    pub thread: ThreadId,
    /// Its file.
    pub path: PathBuf,
    /// Records that can be read.
    pub records: u64,
    /// Of these, those that only another version knows.
    pub foreign: u64,
    /// Lines that are not what they should be.
    pub damage: Vec<Damage>,
    /// Whether the history before its own file is all there.
    pub history: bool,
    /// Whether it says what policy binds it.
    pub bound: bool,
}

impl Checked {
    /// Whether there is nothing to object to.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty() && self.history && self.bound
    }
}

impl Store {
    /// Reads a thread's file to its end.
    ///
    /// # Errors
    /// [`ThreadError::NotFound`], or when the file cannot be read at all.
    pub fn check(&self, id: ThreadId) -> Result<Checked, ThreadError> {
        self.with(|index| {
            let known = located(index, id)?;
            let path = self.home().join(&known.path);
            let read = |source| ThreadError::Read { path: path.clone(), source };
            let file = index.file(&known)?;
            let end = file.metadata().map_err(read)?.len();
            let next = known.meta.base.map_or(0, |base| base.ordinal);
            let mut walk = Walk::new(file, Position { next, ..Position::default() }, end).map_err(read)?;
            let (mut records, mut foreign, mut damage) = (0, 0, Vec::new());
            while let Some(found) = walk.next().map_err(read)? {
                match found {
                    Found::Damage(found) => damage.push(found),
                    Found::Entry(entry, _) => {
                        records += 1;
                        foreign += u64::from(entry.record.is_none());
                    }
                }
            }
            let whole = History::of(index, id)?;
            let bound = match whole.bound(index) {
                Err(ThreadError::HistoryLost { .. }) => false,
                bound => bound?.is_some(),
            };
            let history = whole.lost.is_none();
            Ok(Checked { thread: id, path, records, foreign, damage, history, bound })
        })
    }

    /// Files among the rollouts that are none, from Weir's directory on, each with the reason.
    ///
    /// # Errors
    /// [`ThreadError`] when the index fails.
    pub fn strays(&self) -> Result<Vec<(String, String)>, ThreadError> {
        self.with(|index| {
            index.discover()?;
            index.strays()
        })
    }

    /// Makes the index anew.
    ///
    /// # Errors
    /// [`ThreadError`] when it fails, or a file cannot be read.
    pub fn rebuild(&self) -> Result<(), ThreadError> {
        self.with(|index| {
            index.forget_all()?;
            index.discover()
        })
    }
}
