//! All threads below Weir's directory: made, continued, forked, found, listed.

mod list;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use weir_protocol::AbsPath;

use super::history::{History, Segment};
use super::index::{Index, Known, TurnRow};
use super::live::{Kept, Memory, Parts, Thread};
use super::page::{self, Cursor, Order, Page, Wanted};
use super::place::{self, Shelf};
use super::record::{Base, Bound, Meta, Record, Source, TurnStatus};
use super::rollout::{self, Rollout};
use super::{ThreadError, ThreadId, TurnId};
use crate::item::{Item, Usage};

pub use list::{ListCursor, Listing, MAX_THREADS, Summary};

/// Threads that an ambiguous name is answered with.
const NAMED: u32 = 5;

/// The threads of one person.
#[derive(Debug, Clone)]
pub struct Store {
    home: Arc<Path>,
    /// Opened when it is first needed: a thread in memory needs none.
    index: Arc<Mutex<Option<Index>>>,
}

/// Where a new thread is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// In a file.
    Disk,
    /// In memory: nothing of it ever touches the disk.
    Memory,
}

/// What a new thread is.
#[derive(Debug, Clone)]
pub struct NewThread {
    /// The directory it works in.
    pub cwd: AbsPath,
    /// The model it begins with.
    pub model: String,
    /// Its provider.
    pub provider: String,
    /// Who makes it.
    pub source: Source,
    /// The policy that binds it.
    pub bound: Bound,
    /// Where it is kept.
    pub keeping: Keeping,
}

/// How much of a thread a fork continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForkPoint {
    /// Everything but a turn that has not ended.
    End,
    /// Everything up to this turn's end.
    After(TurnId),
    /// Everything before this turn.
    Before(TurnId),
}

impl Store {
    /// The threads below Weir's directory. Touches nothing yet.
    #[must_use]
    pub fn open(home: &Path) -> Self {
        Self { home: home.into(), index: Arc::default() }
    }

    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// Asks the index, which is opened where it is not yet.
    pub(super) fn with<T>(
        &self,
        ask: impl FnOnce(&Index) -> Result<T, ThreadError>,
    ) -> Result<T, ThreadError> {
        let mut opened = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let index = match opened.as_ref() {
            Some(index) => index,
            None => {
                let index = Index::open(&self.home)?;
                index.discover()?;
                opened.insert(index)
            }
        };
        ask(index)
    }

    /// Begins a thread.
    ///
    /// # Errors
    /// [`ThreadError`] when its file cannot be made.
    pub fn create(&self, new: NewThread) -> Result<Thread, ThreadError> {
        let NewThread { cwd, model, provider, source, bound, keeping } = new;
        let meta = Meta {
            thread: ThreadId::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cwd,
            model,
            provider,
            source,
            digest: bound.digest,
            forked_from: None,
            base: None,
        };
        match keeping {
            Keeping::Disk => self.with(|index| self.begin(index, meta, bound.clone(), Some(bound))),
            Keeping::Memory => Ok(self.begin_in_memory(meta, bound, Vec::new())),
        }
    }

    /// Makes the file of a thread, with what binds it where its history does not say so.
    fn begin(
        &self,
        index: &Index,
        meta: Meta,
        bound: Bound,
        written: Option<Bound>,
    ) -> Result<Thread, ThreadError> {
        let change = index.change()?;
        // It may have been deleted meanwhile, or cut.
        if let Some(base) = meta.base
            && index.current(base.thread)?.position.offset < base.offset
        {
            return Err(ThreadError::HistoryLost { thread: meta.thread, lost: base.thread });
        }
        let name = place::name(&rollout::now(), meta.thread);
        let relative = Shelf::Live.path(&name).ok_or(ThreadError::NotFound { what: name })?;
        let path = self.home.join(&relative);
        let directory = path.parent().unwrap_or(&self.home);
        let make = |source| ThreadError::Make { path: path.clone(), source };
        place::make_directory(directory).map_err(make)?;
        let first = meta.base.map_or(0, |base| base.ordinal);
        let mut rollout = Rollout::create(&path, first).map_err(make)?;
        let whole = self.fill(index, &mut rollout, &relative, &meta, written);
        whole.and_then(|()| Ok(change.commit()?)).inspect_err(|_| {
            // What is there is no thread, and nobody has seen it.
            let _ = std::fs::remove_file(&path);
        })?;
        let (kept, usage) = (Kept::File(rollout), Usage::default());
        let parts = Parts { meta, kept, bound, usage, unfinished: None, damage: Vec::new() };
        Ok(Thread::new(self.clone(), parts))
    }

    /// Writes the first records of a thread's file, and takes it into the index.
    fn fill(
        &self,
        index: &Index,
        rollout: &mut Rollout,
        relative: &str,
        meta: &Meta,
        written: Option<Bound>,
    ) -> Result<(), ThreadError> {
        let path = self.home.join(relative);
        rollout.append(&Record::Meta(meta.clone()))?;
        if let Some(bound) = written {
            rollout.append(&Record::Bound(Box::new(bound)))?;
        }
        rollout.sync()?;
        let make = |source| ThreadError::Make { path: path.clone(), source };
        place::sync_directory(path.parent().unwrap_or(&self.home)).map_err(make)?;
        index.adopt(relative)?.map(drop).map_err(|reason| make(io::Error::other(reason)))
    }

    fn begin_in_memory(&self, meta: Meta, bound: Bound, inherited: Vec<Item>) -> Thread {
        let first = meta.base.map_or(0, |base| base.ordinal);
        let kept = Kept::Memory(Memory { ordinals: first..first, inherited, entries: Vec::new() });
        let (usage, unfinished, damage) = (Usage::default(), None, Vec::new());
        Thread::new(self.clone(), Parts { meta, kept, bound, usage, unfinished, damage })
    }

    /// Continues a thread.
    ///
    /// # Errors
    /// [`ThreadError`] when it is not there, archived, continued by another process, or does not say what binds it.
    pub fn resume(&self, id: ThreadId) -> Result<Thread, ThreadError> {
        self.with(|index| {
            let known = located(index, id)?;
            if known.shelf() == Some(Shelf::Archived) {
                return Err(ThreadError::IsArchived { thread: id });
            }
            let mut file = self.lock(&known)?;
            rollout::mend(&mut file).map_err(ThreadError::Write)?;
            let history = History::of(index, id)?;
            let bound = history.bound(index)?.ok_or(ThreadError::Unbound { thread: id })?;
            let known = index.current(id)?;
            let unfinished = open_turn(index, &history, id)?;
            let parts = Parts {
                kept: Kept::File(Rollout::resume(file, known.position.next)),
                bound,
                usage: known.usage,
                unfinished: unfinished.map(|(_, row)| row.turn),
                damage: index.damage(id)?,
                meta: known.meta,
            };
            Ok(Thread::new(self.clone(), parts))
        })
    }

    /// Locks a thread's file.
    pub(super) fn lock(&self, known: &Known) -> Result<File, ThreadError> {
        let path = self.home.join(&known.path);
        rollout::lock(&path).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => ThreadError::InUse { thread: known.id },
            _ => ThreadError::Read { path, source },
        })
    }

    /// Begins a thread that continues another one, which stays as it is. It is bound by the policy that binds the other one now.
    ///
    /// # Errors
    /// [`ThreadError`] when there is no such thread or turn, the turn has not ended, or the file cannot be made.
    pub fn fork(&self, id: ThreadId, at: ForkPoint, keeping: Keeping) -> Result<Thread, ThreadError> {
        self.with(|index| {
            let known = located(index, id)?;
            let history = History::of(index, id)?;
            let bound = history.bound(index)?.ok_or(ThreadError::Unbound { thread: id })?;
            let base = base_of(index, &history, &known, at)?;
            let meta = Meta {
                thread: ThreadId::new(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                digest: bound.digest,
                forked_from: Some(id),
                base: Some(base),
                ..known.meta
            };
            let inherited = History::before(index, id, Some(base))?;
            let damage = index.damage(id)?;
            let thread = match keeping {
                Keeping::Disk => {
                    let before = inherited.bound(index)?;
                    let written = before.is_none_or(|before| before.digest != bound.digest);
                    self.begin(index, meta, bound.clone(), written.then_some(bound))?
                }
                Keeping::Memory => self.begin_in_memory(meta, bound, inherited.items(index)?),
            };
            Ok(thread.with_damage(damage))
        })
    }

    /// The thread that is meant by an id, the beginning of one, or a name.
    ///
    /// # Errors
    /// [`ThreadError::NotFound`] or [`ThreadError::Ambiguous`].
    pub fn find(&self, what: &str) -> Result<ThreadId, ThreadError> {
        // Every id begins with nothing.
        if what.is_empty() {
            return Err(ThreadError::NotFound { what: String::new() });
        }
        self.with(|index| {
            index.discover()?;
            let found = index.meant(&what.to_lowercase(), what, NAMED)?;
            match found[..] {
                [] => Err(ThreadError::NotFound { what: what.to_owned() }),
                [thread] => Ok(thread),
                _ => Err(ThreadError::Ambiguous { what: what.to_owned(), found }),
            }
        })
    }

    /// A page of a thread's turns.
    ///
    /// # Errors
    /// [`ThreadError`] when there is no such thread, or a file it was forked from is gone.
    pub fn turns(
        &self,
        id: ThreadId,
        cursor: Option<Cursor>,
        limit: u64,
        order: Order,
    ) -> Result<Page, ThreadError> {
        self.with(|index| {
            located(index, id)?;
            let history = History::of(index, id)?;
            page::page(Some((index, &history)), &[], Wanted { cursor, limit, order })
        })
    }

    /// A thread's file.
    ///
    /// # Errors
    /// [`ThreadError::NotFound`], or when the index fails.
    pub fn path(&self, id: ThreadId) -> Result<PathBuf, ThreadError> {
        self.with(|index| Ok(self.home.join(located(index, id)?.path)))
    }
}

/// A thread that was not deleted.
pub(super) fn located(index: &Index, id: ThreadId) -> Result<Known, ThreadError> {
    let found = index.sought(id)?;
    match found.shelf() {
        Some(Shelf::Live | Shelf::Archived) => Ok(found),
        Some(Shelf::Retained) | None => Err(ThreadError::NotFound { what: id.to_string() }),
    }
}

/// The last turn, where it has begun in the thread's own file and not ended. One of a file that it was forked from goes on no more.
fn open_turn<'h>(
    index: &Index,
    history: &'h History,
    id: ThreadId,
) -> Result<Option<(&'h Segment, TurnRow)>, ThreadError> {
    let last = last_turn(index, history)?;
    Ok(last.filter(|(segment, row)| row.status == TurnStatus::Open && segment.known.id == id))
}

fn last_turn<'h>(index: &Index, history: &'h History) -> Result<Option<(&'h Segment, TurnRow)>, ThreadError> {
    let turns = history.turns();
    Ok(history.rows(index, &(turns.saturating_sub(1)..turns))?.pop())
}

/// The place in a file up to which a fork goes.
fn base_of(index: &Index, history: &History, known: &Known, at: ForkPoint) -> Result<Base, ThreadError> {
    let of = |turn| -> Result<(&Segment, TurnRow), ThreadError> {
        for segment in history.segments.iter().rev() {
            let row = index.turn(segment.known.id, turn)?;
            if let Some(row) = row.filter(|row| segment.known.turns_before() + row.n < segment.turns.end) {
                return Ok((segment, row));
            }
        }
        Err(ThreadError::NoTurn { thread: known.id, turn })
    };
    let before = |(segment, row): (&Segment, TurnRow)| Base {
        thread: segment.known.id,
        ordinal: row.first_ordinal,
        offset: row.first,
        turns: segment.known.turns_before() + row.n,
    };
    match at {
        ForkPoint::Before(turn) => Ok(before(of(turn)?)),
        ForkPoint::After(turn) => {
            let (segment, row) = of(turn)?;
            if row.status == TurnStatus::Open {
                return Err(ThreadError::OpenTurn { turn });
            }
            let turns = segment.known.turns_before() + row.n + 1;
            Ok(Base { thread: segment.known.id, ordinal: row.end_ordinal, offset: row.end, turns })
        }
        ForkPoint::End => match open_turn(index, history, known.id)? {
            Some(open) => Ok(before(open)),
            None => {
                let position = known.position;
                let turns = history.turns();
                Ok(Base { thread: known.id, ordinal: position.next, offset: position.offset, turns })
            }
        },
    }
}
