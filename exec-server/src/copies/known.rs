//! What the host has that a copy knows of: it is from before the copy was begun, or applying made it so.
//!
//! Whoever takes one name from a file with several, or gives another file that name, changes the time of change of all of them. Where
//! applying did that, the other names are as they were: what they are now is noted, so that no change of the host's is seen there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::journal::{self, Applied};
use super::state::{Begun, State};
use super::tree::Identity;
use super::{CopyError, Of as _};

const OTHERS: &str = "others";

/// Most files whose other names are known: of some 200 bytes each in a file that each look reads. Of further ones a change is seen where
/// there was none, which `--force` passes over.
const MAX_OTHERS: usize = 10_000;

/// A file that applying took a name from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Other {
    file: Identity,
    /// Another name of it goes, which changes its time of change once more.
    goes: bool,
}

/// What is known of the host.
#[derive(Debug)]
pub(super) struct Known {
    begun: Begun,
    applied: Applied,
    /// By device and number.
    others: BTreeMap<(u64, u64), Other>,
}

impl Known {
    pub(super) fn of(state: &State) -> Result<Self, CopyError> {
        let others: Vec<Other> = journal::get(state, OTHERS)?.unwrap_or_default();
        Ok(Self {
            begun: state.begun().of(state.root())?,
            applied: journal::applied(state)?,
            others: others.into_iter().map(|other| (other.file.number(), other)).collect(),
        })
    }

    /// Keeps what is known of other names, whole or not at all.
    pub(super) fn note(&self, state: &State) -> Result<(), CopyError> {
        if self.others.is_empty() {
            return Ok(());
        }
        journal::put(state, OTHERS, &self.others.values().collect::<Vec<_>>())
    }

    /// Whether the host has changed what it has at a path since the copy was begun.
    pub(super) fn is_newer_at(&self, path: &[u8], found: &Identity) -> bool {
        self.applied.get(path) != Some(found) && self.is_newer(found)
    }

    /// The same, wherever it is.
    pub(super) fn is_newer(&self, found: &Identity) -> bool {
        self.begun.is_before(found.changed) && !self.is_other(found)
    }

    fn is_other(&self, found: &Identity) -> bool {
        self.others.get(&found.number()).is_some_and(|other| match other.goes {
            true => found.is_moved(&other.file),
            false => *found == other.file,
        })
    }

    /// A file that was known is under a temporary name, which goes next.
    pub(super) fn goes(&mut self, path: &[u8], before: &Identity, file: Identity) {
        if !self.is_newer_at(path, before) {
            self.insert(Other { file, goes: true });
        }
    }

    /// A temporary name of a file with several has gone.
    pub(super) fn is_gone(&mut self, before: &Identity, file: Identity) {
        if !self.is_newer(before) {
            self.insert(Other { file, goes: false });
        }
    }

    fn insert(&mut self, other: Other) {
        let number = other.file.number();
        if self.others.len() < MAX_OTHERS || self.others.contains_key(&number) {
            self.others.insert(number, other);
        }
    }
}

pub(super) fn forget(state: &State) -> std::io::Result<()> {
    journal::forget(state, OTHERS)
}
