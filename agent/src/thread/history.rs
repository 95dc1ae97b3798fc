//! The whole history of a thread: its own file, and before it the part of each other file that it was forked from.

use std::ops::Range;

use super::index::{Index, Known, Mark, TurnRow};
use super::record::{Base, Entry, Record};
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

/// Where files and turns of a thread lie.
#[derive(Debug)]
pub(super) struct History {
    thread: ThreadId,
    /// The oldest first.
    pub(super) segments: Vec<Segment>,
    /// Whose file should come before them, and is gone or too short.
    pub(super) lost: Option<ThreadId>,
}

impl History {
    /// Looks through the chain of forks, as far as it goes.
    pub(super) fn of(index: &Index, id: ThreadId) -> Result<Self, ThreadError> {
        let known = index.sought(id)?;
        let mut history = Self::before(index, id, known.meta.base)?;
        let turns = known.turns_before()..known.turns_before() + known.turns;
        history.segments.push(Segment { end: known.position.offset, turns, known });
        Ok(history)
    }

    /// What lies before a thread's own records.
    pub(super) fn before(index: &Index, thread: ThreadId, base: Option<Base>) -> Result<Self, ThreadError> {
        let mut history = Self { thread, segments: Vec::new(), lost: None };
        let mut next = base;
        while let Some(base) = next {
            let below = match index.sought(base.thread) {
                Err(ThreadError::NotFound { .. }) => None,
                below => Some(below?),
            };
            let whole =
                |below: &Known| below.position.offset >= base.offset && base.turns >= below.turns_before();
            let Some(below) = below.filter(whole) else {
                history.lost = Some(base.thread);
                break;
            };
            next = below.meta.base;
            let turns = below.turns_before()..base.turns;
            history.segments.push(Segment { end: base.offset, turns, known: below });
            if history.segments.len() > MAX_FORKS {
                return Err(ThreadError::TooManyForks { thread });
            }
        }
        history.segments.reverse();
        Ok(history)
    }

    /// # Errors
    /// [`ThreadError::HistoryLost`] where something that is needed lies before what is there.
    pub(super) fn needs_all(&self) -> Result<(), ThreadError> {
        self.lost.map_or(Ok(()), |lost| Err(ThreadError::HistoryLost { thread: self.thread, lost }))
    }

    /// How many turns there are.
    pub(super) fn turns(&self) -> u64 {
        self.segments.last().map_or(0, |segment| segment.turns.end)
    }

    /// The turns of a range of numbers, with the file that each lies in.
    pub(super) fn rows<'h>(
        &'h self,
        index: &Index,
        wanted: &Range<u64>,
    ) -> Result<Vec<(&'h Segment, TurnRow)>, ThreadError> {
        let mut rows = Vec::new();
        if self.segments.first().is_none_or(|first| wanted.start < first.turns.start) {
            self.needs_all()?;
        }
        for segment in &self.segments {
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
        if begin.is_none() {
            self.needs_all()?;
        }
        let (first, mut from) = begin.map_or((0, 0), |(segment, place)| (segment, place.start));
        for segment in self.segments.get(first..).unwrap_or_default() {
            let entries = segment.entries(index, from..segment.end)?;
            items.extend(entries.into_iter().filter_map(|entry| match entry.record {
                Some(Record::Item(said)) => Some(said.item),
                _ => None,
            }));
            from = 0;
        }
        Ok(items)
    }

    /// The last record of a kind, with its segment.
    pub(super) fn last_mark(
        &self,
        index: &Index,
        kind: Mark,
    ) -> Result<Option<(usize, Range<u64>)>, ThreadError> {
        for (number, segment) in self.segments.iter().enumerate().rev() {
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
