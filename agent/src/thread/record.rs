//! What a line of a rollout says, and its form. Pure: nothing here opens a file.
//!
//! A line is `{"timestamp":…,"ordinal":N,"type":T,"payload":{…}}`. A type that this version does not know is kept where it is and
//! skipped; a line that is no record at all is [`Damage`].

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use weir_protocol::policy::Digest;
use weir_protocol::{AbsPath, Policy};

use super::{ItemId, ThreadId, TurnId};
use crate::approval::Approval;
use crate::item::{Item, Usage};

/// Counts the records of a thread from 0, those before a fork included.
pub type Ordinal = u64;

/// Most bytes of one line. A record beyond it is not written, and one that is read is damage: nobody's memory is filled by a line.
pub const MAX_LINE_BYTES: usize = 16 << 20;

/// What a rollout records.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", content = "payload", rename_all = "snake_case")]
pub enum Record {
    /// The first record of every file.
    Meta(Meta),
    /// The policy that holds from here on.
    Bound(Box<Bound>),
    /// A turn begins.
    TurnStarted(TurnStarted),
    /// Something was said or done.
    Item(Said),
    /// The model was asked, and has counted.
    Usage(Counted),
    /// A turn is over.
    TurnEnded(TurnEnded),
    /// The thread has this name from here on.
    Named(Named),
}

/// What a thread is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Its id.
    pub thread: ThreadId,
    /// The version of Weir that made it.
    pub version: String,
    /// The directory it works in.
    pub cwd: AbsPath,
    /// The model that it began with.
    pub model: String,
    /// Its provider.
    pub provider: String,
    /// Who made it.
    pub source: Source,
    /// The digest of the policy that it began with.
    pub digest: Digest,
    /// The thread that it continues, which was left as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<ThreadId>,
    /// Where the history before its own lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
}

/// Who made a thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Source {
    /// `weir exec`.
    Exec,
    /// The terminal.
    Terminal,
    /// A client of `weir app-server`.
    AppServer,
    /// A client of `weir mcp-server`.
    McpServer,
    /// Another thread, which gave it work.
    Delegated {
        /// The thread.
        by: ThreadId,
    },
    /// Someone whom only a newer version knows.
    #[serde(other)]
    Other,
}

impl Source {
    /// Its word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::Terminal => "terminal",
            Self::AppServer => "app-server",
            Self::McpServer => "mcp-server",
            Self::Delegated { .. } => "delegated",
            Self::Other => "other",
        }
    }
}

/// A place in the file of another thread: what lies before it belongs to this thread as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Whose file.
    pub thread: ThreadId,
    /// The ordinal of the first record that does not belong.
    pub ordinal: Ordinal,
    /// Where that record begins, or would begin.
    pub offset: u64,
    /// Turns before it, those of still earlier files included.
    pub turns: u64,
}

/// A policy in normal form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    /// The profile's name.
    pub profile: String,
    /// The policy's digest, as the exec-server told it.
    pub digest: Digest,
    /// The policy.
    pub policy: Policy,
}

/// A turn begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnStarted {
    /// The turn.
    pub turn: TurnId,
    /// What holds for it.
    pub settings: Settings,
}

/// What holds for one turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Where it works.
    pub cwd: AbsPath,
    /// The model.
    pub model: String,
    /// Its provider.
    pub provider: String,
    /// How much it shall reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// When the person is asked.
    pub approval: Approval,
    /// The digest of the policy, as the exec-server told it when the turn began.
    pub digest: Digest,
}

/// Something was said or done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// The turn.
    pub turn: TurnId,
    /// The item's id.
    pub id: ItemId,
    /// What.
    pub item: Item,
}

/// What one request has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// The turn.
    pub turn: TurnId,
    /// This request's.
    pub usage: Usage,
    /// All of this thread so far; what was used before it was forked is not its own.
    pub total: Usage,
}

/// A turn is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnEnded {
    /// The turn.
    pub turn: TurnId,
    /// How it ended.
    #[serde(flatten)]
    pub status: TurnStatus,
}

/// How a turn stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum TurnStatus {
    /// It has begun, and nothing says that it has ended: it runs, or its process went away.
    Open,
    /// It ended by itself.
    Completed,
    /// The person ended it.
    Interrupted,
    /// It could not go on.
    Failed {
        /// Why.
        message: String,
    },
}

/// A name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The name.
    pub name: String,
}

impl Record {
    /// The turn that it is part of.
    #[must_use]
    pub fn turn(&self) -> Option<TurnId> {
        match self {
            Self::TurnStarted(started) => Some(started.turn),
            Self::Item(said) => Some(said.turn),
            Self::Usage(counted) => Some(counted.turn),
            Self::TurnEnded(ended) => Some(ended.turn),
            Self::Meta(_) | Self::Bound(_) | Self::Named(_) => None,
        }
    }
}

/// A line as it is written.
#[derive(Serialize)]
struct Written<'a> {
    timestamp: &'a str,
    ordinal: Ordinal,
    #[serde(flatten)]
    record: &'a Record,
}

/// A line as it is read.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    ordinal: Ordinal,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

/// The type of a record that says what binds.
pub(super) const BOUND: &str = "bound";

/// The types that this version writes.
const TYPES: [&str; 7] = ["meta", BOUND, "turn_started", "item", "usage", "turn_ended", "named"];

/// Bytes of a line in which its type stands, as this version writes it.
const HEAD_BYTES: usize = 128;

/// Ordinal and type of a line that is no record, where it begins as a record is written.
pub(super) fn announced(line: &[u8]) -> Option<(Ordinal, &'static str)> {
    let head = line.get(..line.len().min(HEAD_BYTES))?.utf8_chunks().next()?.valid();
    let (_, rest) = head.strip_prefix("{\"timestamp\":\"")?.split_once("\",\"ordinal\":")?;
    let (ordinal, rest) = rest.split_once(",\"type\":\"")?;
    let (kind, _) = rest.split_once('"')?;
    Some((ordinal.parse().ok()?, TYPES.into_iter().find(|known| *known == kind)?))
}

/// A record where it was found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// When it was written: RFC 3339, UTC.
    pub(super) timestamp: String,
    /// Its number.
    pub(super) ordinal: Ordinal,
    /// What it says; none where only another version knows its type.
    pub(super) record: Option<Record>,
}

/// The bytes of one line, its end included.
///
/// # Errors
/// `serde_json`'s, which for these types does not happen.
pub(super) fn line(timestamp: &str, ordinal: Ordinal, record: &Record) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(&Written { timestamp, ordinal, record })?;
    line.push(b'\n');
    Ok(line)
}

/// Reads one line, without its end.
///
/// # Errors
/// Where it is no record, or a record of a known type with another content.
pub(super) fn read(line: &[u8]) -> serde_json::Result<Entry> {
    let Line { timestamp, ordinal, kind, payload } = serde_json::from_slice(line)?;
    let text = payload.get();
    let record = match &*kind {
        "meta" => Some(Record::Meta(serde_json::from_str(text)?)),
        BOUND => Some(Record::Bound(serde_json::from_str(text)?)),
        "turn_started" => Some(Record::TurnStarted(serde_json::from_str(text)?)),
        "item" => Some(Record::Item(serde_json::from_str(text)?)),
        "usage" => Some(Record::Usage(serde_json::from_str(text)?)),
        "turn_ended" => Some(Record::TurnEnded(serde_json::from_str(text)?)),
        "named" => Some(Record::Named(serde_json::from_str(text)?)),
        _ => None,
    };
    Ok(Entry { timestamp: timestamp.into_owned(), ordinal, record })
}

/// A line that is not what it should be. Everything else of the file is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// Its number, from 1.
    pub line: u64,
    /// Where it begins.
    pub offset: u64,
    /// What is wrong.
    #[serde(flatten)]
    pub wrong: Wrong,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "wrong", rename_all = "snake_case")]
pub enum Wrong {
    /// It is no record, and was skipped.
    NotARecord {
        /// Why.
        reason: String,
    },
    /// It is longer than any record, and was skipped.
    TooLong {
        /// How long.
        bytes: u64,
    },
    /// The file ends within it: it was being written when its writer went away, or is being written now.
    Torn {
        /// How much of it is there.
        bytes: u64,
    },
    /// It was read, and records before it are missing.
    Gap {
        /// What should have come.
        expected: Ordinal,
        /// What came.
        found: Ordinal,
    },
    /// It was read, and its number has come before or should have: lines were moved or repeated.
    Backwards {
        /// What should have come.
        expected: Ordinal,
        /// What came.
        found: Ordinal,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}: ", self.line)?;
        match &self.wrong {
            Wrong::NotARecord { reason } => write!(out, "no record, skipped: {reason}"),
            Wrong::TooLong { bytes } => write!(out, "{bytes} bytes, longer than any record, skipped"),
            Wrong::Torn { bytes } => write!(out, "the file ends within it, after {bytes} bytes"),
            Wrong::Gap { expected, found } if found - expected == 1 => {
                write!(out, "record {expected} before it is missing")
            }
            Wrong::Gap { expected, found } => {
                write!(out, "records {expected} to {} before it are missing", found - 1)
            }
            Wrong::Backwards { expected, found } => {
                write!(out, "record {found} where record {expected} comes next: moved or repeated")
            }
        }
    }
}
