//! Rows of the index as values.

use rusqlite::Row;

use super::super::lines::Position;
use super::super::place::Shelf;
use super::super::record::{Meta, TurnStatus};
use super::super::{ThreadError, ThreadId, TurnId};
use crate::item::Usage;

/// Columns of a thread, as [`raw`] reads them.
pub(super) const COLUMNS: &str = "id, path, inode, offset, lines, next, turns, foreign_records, damaged, created, updated, meta, usage, \
                       profile, name, preview";

/// Columns of a turn, as [`raw_turn`] reads them.
pub(super) const TURN_COLUMNS: &str = "n, turn, first, end, first_ordinal, end_ordinal, status";

/// What is known of a thread.
#[derive(Debug, Clone)]
pub(in super::super) struct Known {
    pub(in super::super) id: ThreadId,
    /// From Weir's directory on.
    pub(in super::super) path: String,
    pub(in super::super) inode: u64,
    /// How far its file has been read.
    pub(in super::super) position: Position,
    /// Turns of its own file.
    pub(in super::super) turns: u64,
    pub(in super::super) foreign_records: u64,
    pub(in super::super) damaged: u64,
    pub(in super::super) created: String,
    pub(in super::super) updated: String,
    pub(in super::super) meta: Meta,
    pub(in super::super) usage: Usage,
    pub(in super::super) profile: Option<String>,
    pub(in super::super) name: Option<String>,
    pub(in super::super) preview: Option<String>,
}

impl Known {
    pub(in super::super) fn shelf(&self) -> Option<Shelf> {
        Shelf::of(&self.path)
    }

    /// Turns before its own.
    pub(in super::super) fn turns_before(&self) -> u64 {
        self.meta.base.map_or(0, |base| base.turns)
    }
}

/// Where a turn lies in its file.
#[derive(Debug, Clone)]
pub(in super::super) struct TurnRow {
    pub(in super::super) n: u64,
    pub(in super::super) turn: TurnId,
    pub(in super::super) first: u64,
    pub(in super::super) end: u64,
    pub(in super::super) first_ordinal: u64,
    pub(in super::super) end_ordinal: u64,
    pub(in super::super) status: TurnStatus,
}

/// SQLite's numbers have a sign; ours are never so large.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// A row of [`COLUMNS`], its JSON unread.
pub(super) type Raw = (String, String, [i64; 7], String, String, String, String, [Option<String>; 3]);

pub(super) fn raw(row: &Row<'_>) -> rusqlite::Result<Raw> {
    let mut numbers = [0; 7];
    for (at, number) in numbers.iter_mut().enumerate() {
        *number = row.get(at + 2)?;
    }
    let texts = [row.get(13)?, row.get(14)?, row.get(15)?];
    Ok((row.get(0)?, row.get(1)?, numbers, row.get(9)?, row.get(10)?, row.get(11)?, row.get(12)?, texts))
}

pub(super) fn known(
    (id, path, numbers, created, updated, meta, usage, texts): Raw,
) -> Result<Known, ThreadError> {
    let [inode, offset, lines, next, turns, foreign_records, damaged] = numbers.map(unsigned);
    let [profile, name, preview] = texts;
    let position = Position { offset, lines, next };
    let (meta, usage) = (serde_json::from_str(&meta)?, serde_json::from_str(&usage)?);
    let id = id.parse()?;
    Ok(Known {
        id,
        path,
        inode,
        position,
        turns,
        foreign_records,
        damaged,
        created,
        updated,
        meta,
        usage,
        profile,
        name,
        preview,
    })
}

pub(super) type RawTurn = (i64, String, [i64; 4], String);

pub(super) fn raw_turn(row: &Row<'_>) -> rusqlite::Result<RawTurn> {
    let numbers = [row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?];
    Ok((row.get(0)?, row.get(1)?, numbers, row.get(6)?))
}

pub(super) fn turn_row((n, turn, numbers, status): RawTurn) -> Result<TurnRow, ThreadError> {
    let [first, end, first_ordinal, end_ordinal] = numbers.map(unsigned);
    let status = serde_json::from_str(&status)?;
    Ok(TurnRow { n: unsigned(n), turn: turn.parse()?, first, end, first_ordinal, end_ordinal, status })
}
