//! From a rollout to the index: one pass over what has been added since the last one.

use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;

use rusqlite::params;

use super::super::lines::{Found, Position, Walk};
use super::super::place as naming;
use super::super::place::{Shelf, file_name};
use super::super::record::{Entry, Record, TurnStatus};
use super::super::{ThreadError, ThreadId, TurnId};
use super::{Index, Known, MAX_DAMAGE, Mark, is_missing, signed};
use crate::item::{Item, Usage};

/// Characters of a thread's first message that lists show.
const PREVIEW_CHARACTERS: usize = 200;

impl Index {
    /// Reads what has been added to a thread's file; none where the file is gone. Within a change.
    pub(super) fn catch_up(&self, id: ThreadId) -> Result<Option<Known>, ThreadError> {
        let Some(mut known) = self.known(id)? else { return Ok(None) };
        let Some(file) = self.find(&mut known)? else {
            self.forget(id)?;
            return Ok(None);
        };
        let read = |source| ThreadError::Read { path: self.home.join(&known.path), source };
        let found = file.metadata().map_err(read)?;
        if found.ino() != known.inode || found.len() < known.position.offset {
            self.forget_content(id)?;
            known = blank(known, found.ino());
        }
        if found.len() > known.position.offset {
            self.project(&mut known, file, found.len())?;
        }
        self.store(&known)?;
        Ok(Some(known))
    }

    /// A thread's file, wherever it lies now.
    fn find(&self, known: &mut Known) -> Result<Option<File>, ThreadError> {
        let name = file_name(&known.path).to_owned();
        let elsewhere = Shelf::ALL.into_iter().filter_map(|shelf| shelf.path(&name));
        for path in std::iter::once(known.path.clone()).chain(elsewhere) {
            match File::open(self.home.join(&path)) {
                Ok(file) => {
                    known.path = path;
                    return Ok(Some(file));
                }
                Err(error) if is_missing(&error) => {}
                Err(source) => return Err(ThreadError::Read { path: self.home.join(path), source }),
            }
        }
        Ok(None)
    }

    fn project(&self, known: &mut Known, file: File, end: u64) -> Result<(), ThreadError> {
        let path = self.home.join(&known.path);
        let read = |source| ThreadError::Read { path: path.clone(), source };
        let mut walk = Walk::new(file, known.position, end).map_err(read)?;
        let mut turn: Option<Turn> = None;
        while let Some(found) = walk.next().map_err(read)? {
            match found {
                // It may still be written.
                Found::Damage(damage) if damage.offset == walk.position().offset => {}
                Found::Damage(damage) => {
                    known.damaged += 1;
                    if known.damaged <= MAX_DAMAGE {
                        let wrong = serde_json::to_string(&damage)?;
                        let query = "INSERT INTO damage (thread, line, wrong) VALUES (?1, ?2, ?3)";
                        let row = params![known.id.to_string(), signed(damage.line), wrong];
                        self.db.prepare_cached(query)?.execute(row)?;
                    }
                }
                Found::Entry(entry, place) => self.note(known, &mut turn, &entry, &place)?,
            }
        }
        known.position = walk.position();
        self.settle(known, turn)
    }

    fn note(
        &self,
        known: &mut Known,
        turn: &mut Option<Turn>,
        entry: &Entry,
        place: &Range<u64>,
    ) -> Result<(), ThreadError> {
        known.updated.clone_from(&entry.timestamp);
        let Some(record) = &entry.record else {
            known.foreign_records += 1;
            return Ok(());
        };
        if let Some(id) = record.turn() {
            if turn.as_ref().is_none_or(|turn| turn.id != id) {
                self.settle(known, turn.take())?;
            }
            let turn = turn.get_or_insert_with(|| Turn::new(id, entry.ordinal, place));
            turn.extend(entry.ordinal, record, place);
        }
        match record {
            Record::Bound(bound) => {
                known.profile = Some(bound.profile.clone());
                self.mark(known.id, Mark::Bound, place)?;
            }
            Record::Item(said) => match &said.item {
                Item::UserMessage { text } if known.preview.is_none() => known.preview = Some(preview(text)),
                Item::Compaction { .. } => self.mark(known.id, Mark::Compaction, place)?,
                _ => {}
            },
            Record::Usage(counted) => known.usage = counted.total,
            Record::Named(named) => known.name = Some(named.name.clone()),
            Record::Meta(meta) if place.start == 0 && meta.thread == known.id => known.meta = meta.clone(),
            Record::Meta(_) | Record::TurnStarted(_) | Record::TurnEnded(_) => {}
        }
        Ok(())
    }

    fn mark(&self, id: ThreadId, kind: Mark, place: &Range<u64>) -> Result<(), ThreadError> {
        let query = "INSERT OR REPLACE INTO marks (thread, kind, offset, end) VALUES (?1, ?2, ?3, ?4)";
        let row = params![id.to_string(), kind.word(), signed(place.start), signed(place.end)];
        self.db.prepare_cached(query)?.execute(row)?;
        Ok(())
    }

    /// Writes down what was seen of a turn. One whose lines are not together keeps its number and grows.
    fn settle(&self, known: &mut Known, turn: Option<Turn>) -> Result<(), ThreadError> {
        let Some(turn) = turn else { return Ok(()) };
        let (thread, id) = (known.id.to_string(), turn.id.to_string());
        let status = turn.status.as_ref().map(serde_json::to_string).transpose()?;
        let numbers = [turn.place.start, turn.place.end, turn.ordinals.start, turn.ordinals.end].map(signed);
        let [first, end, first_ordinal, end_ordinal] = numbers;
        let grow = "UPDATE turns SET first = min(first, ?3), end = max(end, ?4), \
                    first_ordinal = min(first_ordinal, ?5), end_ordinal = max(end_ordinal, ?6), \
                    status = coalesce(?7, status) WHERE thread = ?1 AND turn = ?2";
        let row = params![thread, id, first, end, first_ordinal, end_ordinal, status];
        if self.db.prepare_cached(grow)?.execute(row)? > 0 {
            return Ok(());
        }
        let status = status.map_or_else(|| serde_json::to_string(&TurnStatus::Open), Ok)?;
        let insert = "INSERT INTO turns (thread, n, turn, first, end, first_ordinal, end_ordinal, status) \
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let n = signed(known.turns);
        let row = params![thread, n, id, first, end, first_ordinal, end_ordinal, status];
        self.db.prepare_cached(insert)?.execute(row)?;
        known.turns += 1;
        Ok(())
    }

    /// Writes down what is known of a thread.
    pub(super) fn store(&self, known: &Known) -> Result<(), ThreadError> {
        let query = "INSERT OR REPLACE INTO threads (id, path, shelf, inode, offset, lines, next, turns, foreign_records, \
                     damaged, created, updated, cwd, base, meta, usage, profile, name, preview) VALUES \
                     (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)";
        self.db.prepare_cached(query)?.execute(params![
            known.id.to_string(),
            known.path,
            known.shelf().map_or("", Shelf::directory),
            signed(known.inode),
            signed(known.position.offset),
            signed(known.position.lines),
            signed(known.position.next),
            signed(known.turns),
            signed(known.foreign_records),
            signed(known.damaged),
            known.created,
            known.updated,
            known.meta.cwd.display(),
            known.meta.base.map(|base| base.thread.to_string()),
            serde_json::to_string(&known.meta)?,
            serde_json::to_string(&known.usage)?,
            known.profile,
            known.name,
            known.preview,
        ])?;
        Ok(())
    }

    /// Takes a file into the index, which must be within a change. The reason, where it is no rollout that can be read.
    pub(in super::super) fn adopt(&self, path: &str) -> Result<Result<Known, String>, ThreadError> {
        let Some((_, id)) = naming::parse(file_name(path)) else {
            return Ok(Err("its name is not that of a rollout".to_owned()));
        };
        if let Some(known) = self.known(id)?
            && known.path != path
            && fs::exists(self.home.join(&known.path)).unwrap_or(false)
        {
            return Ok(Err(format!("another file of thread {id} is {}", known.path)));
        }
        let read = |source| ThreadError::Read { path: self.home.join(path), source };
        let file = File::open(self.home.join(path)).map_err(read)?;
        let found = file.metadata().map_err(read)?;
        let first = Walk::new(file, Position::default(), found.len()).map_err(read)?;
        let (entry, next) = match first_record(first).map_err(read)? {
            Ok(first) => first,
            Err(reason) => return Ok(Err(reason)),
        };
        let Some(Record::Meta(meta)) = entry.record else {
            return Ok(Err("its first record does not say what thread it is".to_owned()));
        };
        if meta.thread != id {
            return Ok(Err(format!("it says that it is thread {}", meta.thread)));
        }
        self.forget(id)?;
        let known = Known {
            id,
            path: path.to_owned(),
            inode: found.ino(),
            position: Position { next, ..Position::default() },
            turns: 0,
            foreign_records: 0,
            damaged: 0,
            created: entry.timestamp.clone(),
            updated: entry.timestamp,
            meta,
            usage: Usage::default(),
            profile: None,
            name: None,
            preview: None,
        };
        self.store(&known)?;
        self.db.execute("DELETE FROM strays WHERE path = ?1", [path])?;
        self.catch_up(id)?.map(Ok).ok_or(ThreadError::NotFound { what: id.to_string() })
    }
}

/// The first line, where it is a record, and the ordinal that it should have.
fn first_record(mut walk: Walk) -> std::io::Result<Result<(Entry, u64), String>> {
    loop {
        return Ok(match walk.next()? {
            None => Err("it is empty".to_owned()),
            // A fork's first record has another number than 0.
            Some(Found::Damage(damage)) if walk.position().next > 0 && damage.line == 1 => continue,
            Some(Found::Damage(damage)) => Err(damage.to_string()),
            Some(Found::Entry(entry, _)) => {
                let base = match &entry.record {
                    Some(Record::Meta(meta)) => meta.base.map_or(0, |base| base.ordinal),
                    _ => 0,
                };
                Ok((*entry, base))
            }
        });
    }
}

/// What is known of a thread before its file is read.
fn blank(known: Known, inode: u64) -> Known {
    let next = known.meta.base.map_or(0, |base| base.ordinal);
    Known {
        inode,
        position: Position { next, ..Position::default() },
        turns: 0,
        foreign_records: 0,
        damaged: 0,
        usage: Usage::default(),
        profile: None,
        name: None,
        preview: None,
        ..known
    }
}

fn preview(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(PREVIEW_CHARACTERS).collect()
}

/// What has been seen of a turn.
struct Turn {
    id: TurnId,
    place: Range<u64>,
    ordinals: Range<u64>,
    status: Option<TurnStatus>,
}

impl Turn {
    fn new(id: TurnId, ordinal: u64, place: &Range<u64>) -> Self {
        Self { id, place: place.clone(), ordinals: ordinal..ordinal + 1, status: None }
    }

    fn extend(&mut self, ordinal: u64, record: &Record, place: &Range<u64>) {
        self.place = self.place.start.min(place.start)..self.place.end.max(place.end);
        self.ordinals = self.ordinals.start.min(ordinal)..self.ordinals.end.max(ordinal + 1);
        if let Record::TurnEnded(ended) = record {
            self.status = Some(ended.status.clone());
        }
    }
}
