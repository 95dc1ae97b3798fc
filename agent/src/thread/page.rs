//! Turns of a thread, page by page, by their number. A page costs what it holds, however long the thread is.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::history::History;
use super::index::Index;
use super::record::{Entry, Record, Settings, TurnStatus};
use super::{ItemId, ThreadError, TurnId};
use crate::item::{Item, Usage};

/// Most turns of one page.
pub const MAX_TURNS: u64 = 100;

/// In which order turns are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The oldest first.
    Ascending,
    /// The youngest first.
    Descending,
}

/// The turn at which a page begins, whichever way it goes. Turns that are added do not move it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(u64);

/// Text that is no cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no cursor; take it from an earlier page")]
pub struct CursorError {
    text: String,
}

impl CursorError {
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.to_owned() }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "turn-{}", self.0)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let number = text.strip_prefix("turn-").and_then(|number| number.parse().ok());
        number.map(Self).ok_or_else(|| CursorError::new(text))
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Some turns.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page {
    /// In the order that was asked for.
    pub turns: Vec<Turn>,
    /// Where the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Cursor>,
    /// Where the page before this one begins, in the other order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub back: Option<Cursor>,
}

/// A turn with all that it holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Turn {
    /// Its number in the thread, from 0.
    pub number: u64,
    /// Its id.
    pub turn: TurnId,
    /// How it stands.
    #[serde(flatten)]
    pub status: TurnStatus,
    /// When it began: RFC 3339, UTC.
    pub started: String,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// What held for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
    /// Tokens of all its requests.
    pub usage: Usage,
    /// What was said and done.
    pub items: Vec<TurnItem>,
}

/// An item of a turn.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TurnItem {
    /// Its id.
    pub id: ItemId,
    /// What.
    #[serde(flatten)]
    pub item: Item,
}

impl Turn {
    /// A turn from its records.
    fn new(number: u64, turn: TurnId, entries: &[Entry]) -> Self {
        let mut out = Self {
            number,
            turn,
            status: TurnStatus::Open,
            started: entries.first().map(|entry| entry.timestamp.clone()).unwrap_or_default(),
            ended: None,
            settings: None,
            usage: Usage::default(),
            items: Vec::new(),
        };
        for entry in entries {
            match &entry.record {
                Some(Record::TurnStarted(started)) => out.settings = Some(started.settings.clone()),
                Some(Record::Item(said)) => {
                    out.items.push(TurnItem { id: said.id, item: said.item.clone() });
                }
                Some(Record::Usage(counted)) => out.usage += counted.usage,
                Some(Record::TurnEnded(ended)) => {
                    out.status = ended.status.clone();
                    out.ended = Some(entry.timestamp.clone());
                }
                _ => {}
            }
        }
        out
    }
}

/// The numbers of a page, and the cursors around it.
struct Window {
    range: Range<u64>,
    next: Option<Cursor>,
    back: Option<Cursor>,
}

impl Window {
    fn new(cursor: Option<Cursor>, limit: u64, order: Order, total: u64) -> Self {
        let limit = limit.clamp(1, MAX_TURNS);
        let at = |number: u64, there: bool| there.then_some(Cursor(number));
        match order {
            Order::Ascending => {
                let start = cursor.map_or(0, |cursor| cursor.0).min(total);
                let end = start.saturating_add(limit).min(total);
                let (next, back) = (at(end, end < total), at(start.saturating_sub(1), start > 0));
                Self { range: start..end, next, back }
            }
            Order::Descending => {
                let end = cursor.map_or(total, |cursor| cursor.0.saturating_add(1)).min(total);
                let start = end.saturating_sub(limit);
                let (next, back) = (at(start.saturating_sub(1), start > 0), at(end, end < total));
                Self { range: start..end, next, back }
            }
        }
    }
}

/// Which page is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) cursor: Option<Cursor>,
    pub(super) limit: u64,
    pub(super) order: Order,
}

/// A page of the turns in files, and of those in `own`, which follow and are in memory alone.
pub(super) fn page(
    files: Option<(&Index, &History)>,
    own: &[Entry],
    Wanted { cursor, limit, order }: Wanted,
) -> Result<Page, ThreadError> {
    let before = files.map_or(0, |(_, history)| history.turns());
    let own = grouped(own);
    let Window { range, next, back } = Window::new(cursor, limit, order, before + own.len() as u64);
    let mut turns = Vec::new();
    if let Some((index, history)) = files {
        for (segment, row) in history.rows(index, &range)? {
            let mut entries = segment.entries(index, row.first..row.end)?;
            entries.retain(|entry| entry.record.as_ref().and_then(Record::turn) == Some(row.turn));
            turns.push(Turn::new(segment.known.turns_before() + row.n, row.turn, &entries));
        }
    }
    let numbered = (before..).zip(own).filter(|(number, _)| range.contains(number));
    turns.extend(numbered.map(|(number, (turn, entries))| Turn::new(number, turn, &entries)));
    if order == Order::Descending {
        turns.reverse();
    }
    Ok(Page { turns, next, back })
}

/// Records by turn, in the order in which the turns began.
fn grouped(entries: &[Entry]) -> Vec<(TurnId, Vec<Entry>)> {
    let mut out: Vec<(TurnId, Vec<Entry>)> = Vec::new();
    for entry in entries {
        let Some(turn) = entry.record.as_ref().and_then(Record::turn) else { continue };
        match out.iter_mut().find(|(id, _)| *id == turn) {
            Some((_, entries)) => entries.push(entry.clone()),
            None => out.push((turn, vec![entry.clone()])),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_meet_and_do_not_overlap() {
        for total in 0..12_u64 {
            for limit in 1..5 {
                for order in [Order::Ascending, Order::Descending] {
                    let (mut cursor, mut seen) = (None, Vec::new());
                    loop {
                        let window = Window::new(cursor, limit, order, total);
                        let page: Vec<u64> = window.range.clone().collect();
                        seen.extend(if order == Order::Ascending {
                            page
                        } else {
                            window.range.rev().collect()
                        });
                        match window.next {
                            Some(next) => cursor = Some(next),
                            None => break,
                        }
                    }
                    let all: Vec<u64> = match order {
                        Order::Ascending => (0..total).collect(),
                        Order::Descending => (0..total).rev().collect(),
                    };
                    assert_eq!(seen, all, "{total} turns, {limit} a page, {order:?}");
                }
            }
        }
    }

    #[test]
    fn the_way_back_leads_back() {
        let second = Window::new(Some(Cursor(5)), 5, Order::Ascending, 12);
        assert_eq!(second.range, 5..10);
        let back = Window::new(second.back, 5, Order::Descending, 12);
        assert_eq!((back.range, back.back), (0..5, Some(Cursor(5))));
        assert_eq!("turn-5".parse(), Ok(Cursor(5)));
        assert!("5".parse::<Cursor>().is_err());
    }
}
