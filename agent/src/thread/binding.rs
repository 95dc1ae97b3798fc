//! What binds a thread: the last policy on record, where nothing that was lost may have said another one.
//!
//! A policy that is taken for the last one and is not would be wider than what binds. So everything behind it is asked: what a fork and
//! a turn began with must be its digest, and from the last turn's beginning on no record may be missing that may have been a policy.
//! What was cut off a file's end leaves no trace there; of that the exec-server's memory of the thread is the judge.

use std::collections::BTreeSet;

use weir_protocol::policy::Digest;

use super::ThreadError;
use super::history::{History, Segment};
use super::index::{Index, Mark};
use super::lines::{Found, Position, Walk};
use super::record::{self, Bound, Ordinal, Record, Wrong};

/// Missing records that are looked for one by one. More are no accident of order.
const MAX_MISSING: u64 = 10_000;

/// A record of a thread.
#[derive(Debug, Clone, Copy)]
struct At {
    /// The number of its segment.
    segment: usize,
    offset: u64,
    ordinal: Ordinal,
}

impl History {
    /// The policy that binds the thread; none where no record says it, says it wrongly, or may have been followed by one that is lost.
    pub(super) fn bound(&self, index: &Index) -> Result<Option<Bound>, ThreadError> {
        let Some((number, place)) = self.last_mark(index, Mark::Bound)? else {
            return self.needs_all().map(|()| None);
        };
        let Some(segment) = self.segments.get(number) else { return Ok(None) };
        let offset = place.start;
        for entry in segment.entries(index, place)? {
            if let Some(Record::Bound(bound)) = entry.record {
                let at = At { segment: number, offset, ordinal: entry.ordinal };
                let holds = bound.policy.digest() == bound.digest && self.is_last(index, at, bound.digest)?;
                return Ok(holds.then_some(*bound));
            }
        }
        Ok(None)
    }

    /// Whether everything behind a policy's record agrees that it is the last one.
    fn is_last(&self, index: &Index, bound: At, digest: Digest) -> Result<bool, ThreadError> {
        let forks = self.segments.get(bound.segment + 1..).unwrap_or_default();
        if forks.iter().any(|fork| fork.known.meta.digest != digest) {
            return Ok(false);
        }
        let from = match self.last_beginning(index, bound)? {
            Some((_, told)) if told != digest => return Ok(false),
            Some((at, _)) => at,
            None => bound,
        };
        self.is_whole(index, from)
    }

    /// Where the last turn behind a record begins, and the digest that it began with.
    fn last_beginning(&self, index: &Index, behind: At) -> Result<Option<(At, Digest)>, ThreadError> {
        for (number, segment) in self.segments.iter().enumerate().skip(behind.segment).rev() {
            let first = segment.known.turns_before();
            let Some(last) = segment.turns.end.checked_sub(first + 1) else { continue };
            if let Some(row) = index.turns(segment.known.id, last, last + 1)?.into_iter().next() {
                if number == behind.segment && row.first < behind.offset {
                    return Ok(None);
                }
                let begins = segment.first(index, row.first)?;
                return Ok(begins
                    .map(|(ordinal, digest)| (At { segment: number, offset: row.first, ordinal }, digest)));
            }
        }
        Ok(None)
    }

    /// Whether no record from `from` on is missing that may have been a policy.
    fn is_whole(&self, index: &Index, from: At) -> Result<bool, ThreadError> {
        let mut position = Position { offset: from.offset, lines: 0, next: from.ordinal };
        for (number, segment) in self.segments.iter().enumerate().skip(from.segment) {
            let next = self.segments.get(number + 1).and_then(|next| next.known.meta.base);
            if !segment.is_whole(index, position, next.map(|base| base.ordinal))? {
                return Ok(false);
            }
            position = Position { next: next.map_or(0, |base| base.ordinal), ..Position::default() };
        }
        Ok(true)
    }
}

impl Segment {
    /// The record at an offset, where it begins a turn: its ordinal, and the digest that the turn began with.
    fn first(&self, index: &Index, offset: u64) -> Result<Option<(Ordinal, Digest)>, ThreadError> {
        let position = Position { offset, ..Position::default() };
        let mut walk = self.walk(index, position, self.end)?;
        while let Some(found) = walk.next().map_err(|source| self.unread(source))? {
            if let Found::Entry(entry, _) = found {
                return Ok(match entry.record {
                    Some(Record::TurnStarted(started)) => Some((entry.ordinal, started.settings.digest)),
                    _ => None,
                });
            }
        }
        Ok(None)
    }

    /// Whether no record is missing from a place on that may have been a policy. `next` is the ordinal that follows the segment; none
    /// where it ends with its file.
    fn is_whole(&self, index: &Index, from: Position, next: Option<Ordinal>) -> Result<bool, ThreadError> {
        // What is torn at the end of a file is not indexed, and may have been a policy.
        let end = if next.is_some() { self.end } else { u64::MAX };
        let mut walk = self.walk(index, from, end)?;
        // Records that should have come, and those of which a damaged line says that they were of another type.
        let (mut missing, mut others) = (BTreeSet::new(), BTreeSet::new());
        while let Some(found) = walk.next().map_err(|source| self.unread(source))? {
            match found {
                Found::Entry(entry, _) => {
                    missing.remove(&entry.ordinal);
                }
                Found::Damage(damage) => match damage.wrong {
                    Wrong::Gap { expected, found } if found - expected > MAX_MISSING => return Ok(false),
                    Wrong::Gap { expected, found } => missing.extend(expected..found),
                    Wrong::Backwards { .. } => {}
                    Wrong::NotARecord { .. } | Wrong::TooLong { .. } | Wrong::Torn { .. } => {
                        match record::announced(walk.line()) {
                            Some((ordinal, kind)) if kind != record::BOUND => others.insert(ordinal),
                            _ => return Ok(false),
                        };
                    }
                },
            }
        }
        let rest = walk.position().next..next.unwrap_or(0);
        if rest.end.saturating_sub(rest.start) > MAX_MISSING {
            return Ok(false);
        }
        missing.extend(rest);
        Ok(missing.is_subset(&others))
    }

    fn walk(&self, index: &Index, from: Position, end: u64) -> Result<Walk, ThreadError> {
        Walk::new(index.file(&self.known)?, from, end).map_err(|source| self.unread(source))
    }

    fn unread(&self, source: std::io::Error) -> ThreadError {
        ThreadError::Read { path: self.known.path.clone().into(), source }
    }
}
