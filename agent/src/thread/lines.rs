//! Lines of a rollout, read one after the other from any place on, and judged: what is readable is read, the rest is told.
//!
//! Reads only, and never holds more than one line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Take};
use std::ops::Range;

use super::record::{self, Damage, Entry, MAX_LINE_BYTES, Ordinal, Wrong};

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 64 << 10;

/// A place between two lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// In bytes from the start.
    pub(super) offset: u64,
    /// Lines before it.
    pub(super) lines: u64,
    /// The ordinal that comes next.
    pub(super) next: Ordinal,
}

/// What was found.
#[derive(Debug)]
pub(super) enum Found {
    /// A record, and where it lies.
    Entry(Box<Entry>, Range<u64>),
    /// Something else. A record that is out of order is told first and found then.
    Damage(Damage),
}

/// Walks a file line by line.
pub(super) struct Walk {
    reader: BufReader<Take<File>>,
    line: Vec<u8>,
    at: Position,
    /// A record whose order was told and which itself comes next.
    held: Option<(Box<Entry>, Range<u64>)>,
}

/// One line.
struct Piece {
    bytes: u64,
    ends: bool,
    fits: bool,
}

impl Walk {
    /// Begins at a place, and goes no further than `end`.
    pub(super) fn new(mut file: File, from: Position, end: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(from.offset))?;
        let reader = BufReader::with_capacity(BUFFER_BYTES, file.take(end.saturating_sub(from.offset)));
        Ok(Self { reader, line: Vec::new(), at: from, held: None })
    }

    /// Where the next line begins.
    pub(super) fn position(&self) -> Position {
        self.at
    }

    /// What there is of the line that was read last; nothing of one that is longer than any record.
    pub(super) fn line(&self) -> &[u8] {
        &self.line
    }

    /// The next thing. A line without an end is told and stays ahead of [`Self::position`]: it may still be written.
    pub(super) fn next(&mut self) -> io::Result<Option<Found>> {
        if let Some((entry, place)) = self.held.take() {
            return Ok(Some(Found::Entry(entry, place)));
        }
        let Some(piece) = self.piece()? else { return Ok(None) };
        let damage = |at: Position, wrong| {
            Ok(Some(Found::Damage(Damage { line: at.lines + 1, offset: at.offset, wrong })))
        };
        let at = self.at;
        if !piece.ends {
            return damage(at, Wrong::Torn { bytes: piece.bytes });
        }
        self.at = Position { offset: at.offset + piece.bytes, lines: at.lines + 1, next: at.next };
        if !piece.fits {
            return damage(at, Wrong::TooLong { bytes: piece.bytes });
        }
        let entry = match record::read(&self.line) {
            Ok(entry) => Box::new(entry),
            Err(error) => return damage(at, Wrong::NotARecord { reason: error.to_string() }),
        };
        let (expected, found) = (at.next, entry.ordinal);
        self.at.next = expected.max(found.saturating_add(1));
        let place = at.offset..self.at.offset;
        if found == expected {
            return Ok(Some(Found::Entry(entry, place)));
        }
        self.held = Some((entry, place));
        let wrong = if found > expected {
            Wrong::Gap { expected, found }
        } else {
            Wrong::Backwards { expected, found }
        };
        damage(at, wrong)
    }

    /// Reads up to the next end of line into `self.line`, which stays empty where the line does not fit.
    fn piece(&mut self) -> io::Result<Option<Piece>> {
        self.line.clear();
        let mut piece = Piece { bytes: 0, ends: false, fits: true };
        loop {
            let there = self.reader.fill_buf()?;
            if there.is_empty() {
                return Ok((piece.bytes > 0).then_some(piece));
            }
            let end = there.iter().position(|&byte| byte == b'\n');
            let text = &there[..end.unwrap_or(there.len())];
            piece.fits &= self.line.len() + text.len() < MAX_LINE_BYTES;
            if piece.fits {
                self.line.extend_from_slice(text);
            } else {
                self.line.clear();
            }
            let taken = text.len() + usize::from(end.is_some());
            self.reader.consume(taken);
            piece.bytes += taken as u64;
            if end.is_some() {
                piece.ends = true;
                return Ok(Some(piece));
            }
        }
    }
}

/// The records within a range of a file, in their order, each once; what is damaged has been told when the file was walked.
pub(super) fn entries(file: File, range: Range<u64>) -> io::Result<Vec<Entry>> {
    let from = Position { offset: range.start, ..Position::default() };
    let mut walk = Walk::new(file, from, range.end)?;
    let mut entries = Vec::new();
    while let Some(found) = walk.next()? {
        if let Found::Entry(entry, _) = found {
            entries.push(*entry);
        }
    }
    if !entries.is_sorted_by_key(|entry| entry.ordinal) {
        entries.sort_by_key(|entry| entry.ordinal);
    }
    entries.dedup();
    Ok(entries)
}
