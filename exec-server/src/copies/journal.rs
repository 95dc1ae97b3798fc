//! What applying has begun: written before anything is visible, so that whatever ends it, the next one finishes it or takes it back.
//!
//! A journal is first *preparing*: its temporary names may exist, and nothing else has happened. Once everything is staged and on the
//! disk it is *committed*: from then on each of its acts is done, once, whoever does it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;

use serde::{Deserialize, Serialize};
use weir_protocol::ByteString;

use super::state::State;
use super::tree::{self, Identity};
use super::{CopyError, Of as _, stage};

const JOURNAL: &str = "journal";
const NEXT: &str = "journal.next";
const APPLIED: &str = "applied";

/// What is done with one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Act {
    /// What is staged takes a name that nothing has.
    Place,
    /// What is staged and what is there change names.
    Exchange,
    /// What is there goes.
    Remove,
    /// The mode is set.
    Mode,
}

/// One act.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Step {
    pub(super) path: ByteString,
    pub(super) act: Act,
    /// The temporary name, in the same directory: of what is staged, and of what was there.
    pub(super) temporary: ByteString,
    /// What is staged.
    pub(super) staged: Option<Identity>,
    /// What the host had there; anything else by then is not touched.
    pub(super) before: Option<Identity>,
    pub(super) mode: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Phase {
    Preparing,
    Committed,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Journal {
    phase: Phase,
    pub(super) steps: Vec<Step>,
}

impl Journal {
    pub(super) const fn new(steps: Vec<Step>) -> Self {
        Self { phase: Phase::Preparing, steps }
    }

    /// From here on it is done.
    pub(super) const fn commit(&mut self) {
        self.phase = Phase::Committed;
    }

    pub(super) fn is_committed(&self) -> bool {
        self.phase == Phase::Committed
    }

    /// Puts it on the disk, whole or not at all.
    pub(super) fn write(&self, state: &State) -> Result<(), CopyError> {
        let damaged = |source| CopyError::Damaged { root: state.root().clone(), source };
        let text = serde_json::to_vec(self).map_err(damaged)?;
        replace(state, JOURNAL, &text).of(state.root())
    }
}

fn replace(state: &State, name: &str, text: &[u8]) -> io::Result<()> {
    let next = state.inside(NEXT);
    let mut file = File::create(&next)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(next, state.inside(name))?;
    Ok(rustix::fs::fsync(state.own()?)?)
}

/// The journal of what was begun and is not over.
pub(super) fn read(state: &State) -> Result<Option<Journal>, CopyError> {
    match fs::read(state.inside(JOURNAL)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        text => serde_json::from_slice(&text.of(state.root())?)
            .map(Some)
            .map_err(|source| CopyError::Damaged { root: state.root().clone(), source }),
    }
}

/// It is over.
pub(super) fn close(state: &State) -> Result<(), CopyError> {
    fs::remove_file(state.inside(JOURNAL)).of(state.root())?;
    rustix::fs::fsync(state.own().of(state.root())?).of(state.root())
}

/// Takes back what was only being prepared; whether something else is still to be finished.
pub(super) fn recover(state: &State) -> Result<bool, CopyError> {
    let Some(journal) = read(state)? else { return Ok(false) };
    if journal.is_committed() {
        return Ok(true);
    }
    clear(state, &journal.steps)?;
    close(state)?;
    Ok(false)
}

/// Removes what stands under the temporary names.
pub(super) fn clear(state: &State, steps: &[Step]) -> Result<(), CopyError> {
    let host = state.host().of(state.root())?;
    for step in steps {
        // Where the directory is gone nothing stands in it.
        if let Ok((parent, _)) = host.parent(&step.path.0) {
            tree::remove(parent.as_fd(), &stage::name(&step.temporary.0)).of(state.root())?;
        }
    }
    Ok(())
}

/// What was applied while the copy went on, and what it was then: changed since by the host only where it is another.
#[derive(Debug, Default)]
pub(super) struct Applied(BTreeMap<Vec<u8>, Identity>);

impl Applied {
    pub(super) fn get(&self, path: &[u8]) -> Option<&Identity> {
        self.0.get(path)
    }
}

pub(super) fn applied(state: &State) -> Result<Applied, CopyError> {
    match fs::read(state.inside(APPLIED)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Applied::default()),
        text => {
            let list: Vec<(ByteString, Identity)> = serde_json::from_slice(&text.of(state.root())?)
                .map_err(|source| CopyError::Damaged { root: state.root().clone(), source })?;
            Ok(Applied(list.into_iter().map(|(path, found)| (path.0, found)).collect()))
        }
    }
}

pub(super) fn note_applied(state: &State, more: Vec<(Vec<u8>, Identity)>) -> Result<(), CopyError> {
    let mut all = applied(state)?.0;
    all.extend(more);
    let list: Vec<(ByteString, Identity)> =
        all.into_iter().map(|(path, found)| (ByteString(path), found)).collect();
    let text = serde_json::to_vec(&list)
        .map_err(|source| CopyError::Damaged { root: state.root().clone(), source })?;
    replace(state, APPLIED, &text).of(state.root())
}

pub(super) fn forget_applied(state: &State) -> io::Result<()> {
    match fs::remove_file(state.inside(APPLIED)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
