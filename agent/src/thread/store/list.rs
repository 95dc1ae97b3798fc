//! Lists of threads, and what they show of each.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use weir_protocol::AbsPath;

use super::super::index::{Filter, Index, Known, Makers, Sort};
use super::super::page::CursorError;
use super::super::place::Shelf;
use super::super::{Source, ThreadError, ThreadId};
use super::{Store, located};
use crate::item::Usage;

/// Most threads of one page of a list.
pub const MAX_THREADS: u32 = 1000;

/// A thread in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Its id.
    pub thread: ThreadId,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The beginning of its first message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview: Option<String>,
    /// The directory it works in.
    pub cwd: AbsPath,
    /// The model it began with.
    pub model: String,
    /// Its provider.
    pub provider: String,
    /// The profile that binds it, where its own file names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Who made it.
    pub source: &'static str,
    /// When it was made: RFC 3339, UTC.
    pub created: String,
    /// When something last happened in it.
    pub updated: String,
    /// How many turns it has.
    pub turns: u64,
    /// Tokens that it has used.
    pub usage: Usage,
    /// Whether it was put away.
    pub archived: bool,
    /// The thread that it continues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<ThreadId>,
    /// The thread that gave it its work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegated_by: Option<ThreadId>,
    /// Lines of its file that are not what they should be.
    pub damaged: u64,
    /// Records that only another version knows.
    pub foreign: u64,
    /// Its file.
    pub path: PathBuf,
}

/// Some threads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// The latest first.
    pub threads: Vec<Summary>,
    /// Where the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<ListCursor>,
}

/// A place in a list of threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListCursor {
    at: String,
    thread: ThreadId,
}

impl fmt::Display for ListCursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.at, self.thread)
    }
}

impl FromStr for ListCursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let parts = text.split_once('/').and_then(|(at, thread)| Some((at, thread.parse().ok()?)));
        let (at, thread) = parts.ok_or_else(|| CursorError::new(text))?;
        Ok(Self { at: at.to_owned(), thread })
    }
}

impl Serialize for ListCursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Store {
    /// The thread in which something last happened, of those that work in this directory and were not given their work by another.
    ///
    /// # Errors
    /// [`ThreadError`] when the index fails.
    pub fn last(&self, cwd: Option<&AbsPath>) -> Result<Option<ThreadId>, ThreadError> {
        let cwd = cwd.map(|cwd| cwd.display().into_owned());
        let filter = Filter { cwd, makers: Makers::People, ..Filter::default() };
        Ok(self.list(&filter, None, 1)?.threads.first().map(|thread| thread.thread))
    }

    /// A page of the threads that `filter` names, the latest first.
    ///
    /// # Errors
    /// [`ThreadError`] when the index fails.
    pub fn list(
        &self,
        filter: &Filter,
        cursor: Option<&ListCursor>,
        limit: u32,
    ) -> Result<Listing, ThreadError> {
        let limit = limit.clamp(1, MAX_THREADS);
        self.with(|index| {
            index.discover()?;
            let place = cursor.map(|cursor| (cursor.at.clone(), cursor.thread.to_string()));
            let behind = place.as_ref().map(|(at, thread)| (at.as_str(), thread.as_str()));
            let mut found = index.list(filter, behind, limit + 1)?;
            let more = found.len() > limit as usize;
            found.truncate(limit as usize);
            let next = found.last().filter(|_| more).map(|known| ListCursor {
                at: match filter.sort {
                    Sort::Updated => known.updated.clone(),
                    Sort::Created => known.created.clone(),
                },
                thread: known.id,
            });
            let threads = found.into_iter().filter_map(|known| self.listed(index, &known).transpose());
            Ok(Listing { threads: threads.collect::<Result<_, _>>()?, next })
        })
    }

    /// A thread of a list, as it is now; none where it has gone meanwhile.
    fn listed(&self, index: &Index, known: &Known) -> Result<Option<Summary>, ThreadError> {
        match index.current(known.id) {
            Err(ThreadError::NotFound { .. }) => Ok(None),
            current => self.summary(index, current?).map(Some),
        }
    }

    /// A thread.
    ///
    /// # Errors
    /// [`ThreadError::NotFound`], or when the index fails.
    pub fn show(&self, id: ThreadId) -> Result<Summary, ThreadError> {
        self.with(|index| self.summary(index, located(index, id)?))
    }

    fn summary(&self, index: &Index, known: Known) -> Result<Summary, ThreadError> {
        let base = known.meta.base.map(|base| index.known(base.thread)).transpose()?.flatten();
        let inherited = base.map(|base| (base.preview, base.profile)).unwrap_or_default();
        Ok(Summary {
            thread: known.id,
            turns: known.turns_before() + known.turns,
            archived: known.shelf() == Some(Shelf::Archived),
            path: self.home.join(&known.path),
            source: known.meta.source.word(),
            name: known.name,
            preview: known.preview.or(inherited.0),
            profile: known.profile.or(inherited.1),
            cwd: known.meta.cwd,
            model: known.meta.model,
            provider: known.meta.provider,
            created: known.created,
            updated: known.updated,
            usage: known.usage,
            forked_from: known.meta.forked_from,
            delegated_by: match known.meta.source {
                Source::Delegated { by } => Some(by),
                _ => None,
            },
            damaged: known.damaged,
            foreign: known.foreign_records,
        })
    }
}
