//! One thread, open for whoever continues it.

use std::ops::Range;
use std::path::PathBuf;

use super::history::History;
use super::page::{self, Cursor, Order, Page, Wanted};
use super::place;
use super::record::{Bound, Entry, Meta, Named, Ordinal, Record};
use super::rollout::{self, Rollout};
use super::{Damage, Store, ThreadError, ThreadId, TurnId};
use crate::item::{Item, Usage};

/// A thread that nobody else continues. It ends with the value; what was added stays.
#[derive(Debug)]
pub struct Thread {
    store: Store,
    meta: Meta,
    kept: Kept,
    bound: Bound,
    usage: Usage,
    unfinished: Option<TurnId>,
    damage: Vec<Damage>,
}

/// Where its records are kept.
#[derive(Debug)]
pub(super) enum Kept {
    /// In a file that is locked.
    File(Rollout),
    /// In memory, and nowhere else.
    Memory(Memory),
}

/// The records of a thread that never touches the disk.
#[derive(Debug)]
pub(super) struct Memory {
    /// Ordinals of what it inherited and what it added.
    pub(super) ordinals: Range<Ordinal>,
    /// What a model is told of the time before it was forked; read when it was, for that thread may be deleted.
    pub(super) inherited: Vec<Item>,
    pub(super) entries: Vec<Entry>,
}

impl Memory {
    fn append(&mut self, record: Record) -> Ordinal {
        let ordinal = self.ordinals.end;
        self.ordinals.end += 1;
        self.entries.push(Entry { timestamp: rollout::now(), ordinal, record: Some(record) });
        ordinal
    }

    fn items(&self) -> Vec<Item> {
        let own = self.entries.iter().filter_map(|entry| match &entry.record {
            Some(Record::Item(said)) => Some(&said.item),
            _ => None,
        });
        let all: Vec<&Item> = self.inherited.iter().chain(own).collect();
        let from = all.iter().rposition(|item| matches!(item, Item::Compaction { .. })).unwrap_or(0);
        all[from..].iter().map(|item| (*item).clone()).collect()
    }
}

/// What a thread is made of.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) meta: Meta,
    pub(super) kept: Kept,
    pub(super) bound: Bound,
    pub(super) usage: Usage,
    pub(super) unfinished: Option<TurnId>,
    pub(super) damage: Vec<Damage>,
}

impl Thread {
    pub(super) fn new(store: Store, parts: Parts) -> Self {
        let Parts { meta, kept, bound, usage, unfinished, damage } = parts;
        Self { store, meta, kept, bound, usage, unfinished, damage }
    }

    /// The same, of which this is to be told.
    pub(super) fn with_damage(self, damage: Vec<Damage>) -> Self {
        Self { damage, ..self }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> ThreadId {
        self.meta.thread
    }

    /// What it is.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The policy that binds it.
    #[must_use]
    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// Tokens that it has used so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// A turn that has begun and not ended: after [`Store::resume`], one whose process went away.
    #[must_use]
    pub fn unfinished(&self) -> Option<TurnId> {
        self.unfinished
    }

    /// Lines that were damaged when it was resumed, of its file; or when it was forked, of the file of the thread that it continues.
    #[must_use]
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// Its file; none where it is in memory alone.
    ///
    /// # Errors
    /// [`ThreadError`] when the index fails.
    pub fn path(&self) -> Result<Option<PathBuf>, ThreadError> {
        match &self.kept {
            Kept::File(_) => self.store.path(self.id()).map(Some),
            Kept::Memory(_) => Ok(None),
        }
    }

    /// A directory for all that its commands write, which is made where it is missing; none where the thread is in memory alone.
    ///
    /// # Errors
    /// [`ThreadError::Make`].
    pub fn outputs(&self) -> Result<Option<PathBuf>, ThreadError> {
        let Kept::File(_) = &self.kept else { return Ok(None) };
        let path = place::outputs(self.store.home(), self.id());
        match place::make_directory(&path) {
            Ok(()) => Ok(Some(path)),
            Err(source) => Err(ThreadError::Make { path, source }),
        }
    }

    /// Adds a record. One that ends a turn or changes what binds is on the disk when this returns.
    ///
    /// # Errors
    /// [`ThreadError::Write`] or [`ThreadError::TooLong`]; the thread can go on.
    pub fn append(&mut self, record: Record) -> Result<Ordinal, ThreadError> {
        let settles = matches!(record, Record::TurnEnded(_) | Record::Bound(_) | Record::Named(_));
        let seen = record.clone();
        let ordinal = match &mut self.kept {
            Kept::File(rollout) => rollout.append(&record)?,
            Kept::Memory(memory) => memory.append(record),
        };
        self.note(seen);
        if settles {
            self.sync()?;
        }
        Ok(ordinal)
    }

    fn note(&mut self, record: Record) {
        match record {
            Record::TurnStarted(started) => self.unfinished = Some(started.turn),
            Record::TurnEnded(ended) if self.unfinished == Some(ended.turn) => self.unfinished = None,
            Record::Usage(counted) => self.usage = counted.total,
            Record::Bound(bound) => self.bound = *bound,
            Record::TurnEnded(_) | Record::Item(_) | Record::Meta(_) | Record::Named(_) => {}
        }
    }

    /// Puts on the disk what was added, and into the index.
    ///
    /// # Errors
    /// [`ThreadError::Write`], or the index's.
    pub fn sync(&mut self) -> Result<(), ThreadError> {
        let Kept::File(rollout) = &self.kept else { return Ok(()) };
        rollout.sync()?;
        self.store.with(|index| index.current(self.meta.thread).map(drop))
    }

    /// Gives it a name.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn name(&mut self, name: &str) -> Result<(), ThreadError> {
        self.append(Record::Named(Named { name: name.to_owned() })).map(drop)
    }

    /// What a model is told: every item from the last compaction on.
    ///
    /// # Errors
    /// [`ThreadError::HistoryLost`] where a file it was forked from is gone, or when reading fails.
    pub fn items(&self) -> Result<Vec<Item>, ThreadError> {
        match &self.kept {
            Kept::File(_) => self.store.with(|index| History::of(index, self.meta.thread)?.items(index)),
            Kept::Memory(memory) => Ok(memory.items()),
        }
    }

    /// A page of its turns.
    ///
    /// # Errors
    /// As [`Self::items`].
    pub fn turns(&self, cursor: Option<Cursor>, limit: u64, order: Order) -> Result<Page, ThreadError> {
        let wanted = Wanted { cursor, limit, order };
        match (&self.kept, self.meta.base) {
            (Kept::File(_), _) => self.store.turns(self.meta.thread, cursor, limit, order),
            (Kept::Memory(memory), None) => page::page(None, &memory.entries, wanted),
            (Kept::Memory(memory), base) => self.store.with(|index| {
                let history = History::before(index, self.meta.thread, base)?;
                page::page(Some((index, &history)), &memory.entries, wanted)
            }),
        }
    }
}
