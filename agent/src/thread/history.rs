//! The whole history of a thread: its own file, and before it the part of each other file that it was forked from.

use std::ops::Range;

use super::index::{Index, Known, Mark, TurnRow};
use super::record::{Base, Bound, Entry, Record};
use super::{ThreadError, ThreadId, lines};
use crate::item::Item;

/// Longest chain of forks. Each is one more file to look into.
pub(super) const MAX_FORKS: usize = 1000;

/// The part of one file that belongs to a thread.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) known: Known,
    /// Where it ends in the file.
    pub(super) end: u64,
    /// Its turns, in the whole thread's numbers.
    pub(super) turns: Range<u64>,
}

/// Where files and turns of a thread lie, the oldest first.
#[derive(Debug)]
pub(super) struct History(pub(super) Vec<Segment>);

impl History {
    /// Looks through the chain of forks.
    ///
    /// # Errors
    /// [`ThreadError::HistoryLost`] where a file that belongs to it is gone or too short.
    pub(super) fn of(index: &Index, id: ThreadId) -> Result<Self, ThreadError> {
        let known = index.current(id)?;
        let mut segments = Self::before(index, id, known.meta.base)?.0;
        let turns = known.turns_before()..known.turns_before() + known.turns;
        segments.push(Segment { end: known.position.offset, turns, known });
        Ok(Self(segments))
    }

    /// What lies before a thread's own records.
    pub(super) fn before(index: &Index, thread: ThreadId, base: Option<Base>) -> Result<Self, ThreadError> {
        let mut segments = Vec::new();
        let mut next = base;
        while let Some(base) = next {
            let lost = || ThreadError::HistoryLost { thread, lost: base.thread };
            let below = match index.current(base.thread) {
                Err(ThreadError::NotFound { .. }) => return Err(lost()),
                below => below?,
            };
            if below.position.offset < base.offset || base.turns < below.turns_before() {
                return Err(lost());
            }
            next = below.meta.base;
            let turns = below.turns_before()..base.turns;
            segments.push(Segment { end: base.offset, turns, known: below });
            if segments.len() > MAX_FORKS {
                return Err(ThreadError::TooManyForks { thread });
            }
        }
        segments.reverse();
        Ok(Self(segments))
    }

    /// How many turns there are.
    pub(super) fn turns(&self) -> u64 {
        self.0.last().map_or(0, |segment| segment.turns.end)
    }

    /// The turns of a range of numbers, with the file that each lies in.
    pub(super) fn rows<'h>(
        &'h self,
        index: &Index,
        wanted: &Range<u64>,
    ) -> Result<Vec<(&'h Segment, TurnRow)>, ThreadError> {
        let mut rows = Vec::new();
        for segment in &self.0 {
            let first = segment.known.turns_before();
            let (from, to) = (wanted.start.max(segment.turns.start), wanted.end.min(segment.turns.end));
            if from < to {
                let found = index.turns(segment.known.id, from - first, to - first)?;
                rows.extend(found.into_iter().map(|row| (segment, row)));
            }
        }
        Ok(rows)
    }

    /// What a model is told: everything from the last compaction on.
    pub(super) fn items(&self, index: &Index) -> Result<Vec<Item>, ThreadError> {
        let mut items = Vec::new();
        let begin = self.last_mark(index, Mark::Compaction)?;
        let (first, mut from) = begin.map_or((0, 0), |(segment, place)| (segment, place.start));
        for segment in self.0.get(first..).unwrap_or_default() {
            let entries = segment.entries(index, from..segment.end)?;
            items.extend(entries.into_iter().filter_map(|entry| match entry.record {
                Some(Record::Item(said)) => Some(said.item),
                _ => None,
            }));
            from = 0;
        }
        Ok(items)
    }

    /// The policy that binds the thread.
    pub(super) fn bound(&self, index: &Index) -> Result<Option<Bound>, ThreadError> {
        let Some((segment, place)) = self.last_mark(index, Mark::Bound)? else { return Ok(None) };
        let Some(segment) = self.0.get(segment) else { return Ok(None) };
        let found = segment.entries(index, place)?.into_iter().find_map(|entry| match entry.record {
            Some(Record::Bound(bound)) => Some(*bound),
            _ => None,
        });
        Ok(found.filter(|bound| bound.policy.digest() == bound.digest))
    }

    /// The last record of a kind, with its segment.
    fn last_mark(&self, index: &Index, kind: Mark) -> Result<Option<(usize, Range<u64>)>, ThreadError> {
        for (number, segment) in self.0.iter().enumerate().rev() {
            if let Some(place) = index.last_mark(segment.known.id, kind, segment.end)? {
                return Ok(Some((number, place)));
            }
        }
        Ok(None)
    }
}

impl Segment {
    /// Records of a part of its file.
    pub(super) fn entries(&self, index: &Index, range: Range<u64>) -> Result<Vec<Entry>, ThreadError> {
        let end = range.end.min(self.end);
        let file = index.file(&self.known)?;
        let path = self.known.path.clone().into();
        lines::entries(file, range.start..end).map_err(|source| ThreadError::Read { path, source })
    }
}
