//! What applying has begun: written before anything is visible, so that whatever ends it, the next one finishes it or takes it back.
//!
//! A journal is first *preparing*: its temporary names may exist, and nothing else has happened. Once everything is staged and on the
//! disk it is *committed*: from then on each of its acts is done, once, whoever does it. What stands under a name and under its temporary one
//! tells whether its act is done. Before anything of that goes the journal is *carried out*: it says itself which acts were not done, so
//! that nobody asks the names again, and what the copy has there stays.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use weir_protocol::ByteString;
use weir_protocol::method::changes::Left;

use super::state::State;
use super::tree::{self, Identity, Owner, Tree};
use super::{CopyError, Of as _, modes, stage};

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
    /// Mode, owner and attributes are set.
    Mode,
    /// The directory has this mode again when all is done; meanwhile its owner can change what is in it.
    Open,
}

/// Why an act was not done, so that the copy keeps what it has there.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Why {
    /// The host has something else there by now, which stays.
    Changed,
    /// The same, and what the host had there before stays beside it, under this name.
    Beside(ByteString),
    /// The system refused it.
    Failed(String),
}

/// An act that was not done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Undone {
    pub(super) path: ByteString,
    pub(super) why: Why,
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
    /// The owner of a directory that both sides have, where it becomes another.
    #[serde(default)]
    pub(super) owner: Option<Owner>,
}

impl Step {
    /// Whether it is about a directory that stays where it is.
    pub(super) const fn is_mode(&self) -> bool {
        matches!(self.act, Act::Mode | Act::Open)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Phase {
    Preparing,
    Committed,
    CarriedOut,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Journal {
    phase: Phase,
    pub(super) steps: Vec<Step>,
    /// What was not done, once it is carried out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) undone: Vec<Undone>,
}

impl Journal {
    pub(super) const fn new(steps: Vec<Step>) -> Self {
        Self { phase: Phase::Preparing, steps, undone: Vec::new() }
    }

    /// From here on it is done.
    pub(super) const fn commit(&mut self) {
        self.phase = Phase::Committed;
    }

    /// From here on nothing but this says what was done.
    pub(super) fn carried_out(&mut self, undone: Vec<Undone>) {
        self.phase = Phase::CarriedOut;
        self.undone = undone;
    }

    pub(super) fn is_committed(&self) -> bool {
        self.phase != Phase::Preparing
    }

    pub(super) fn is_carried_out(&self) -> bool {
        self.phase == Phase::CarriedOut
    }

    /// The steps that give, change or take a name.
    pub(super) fn renames(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| !step.is_mode())
    }

    /// Those of them that are done, once it is carried out.
    pub(super) fn done(&self) -> Vec<&Step> {
        let undone: BTreeSet<&ByteString> = self.undone.iter().map(|undone| &undone.path).collect();
        self.renames().filter(|step| !undone.contains(&step.path)).collect()
    }

    /// Those whose temporary names go then: all but those under which something of the host's stays.
    pub(super) fn temporary(&self) -> impl Iterator<Item = &Step> {
        let beside = |undone: &Undone| matches!(undone.why, Why::Beside(_)).then(|| undone.path.clone());
        let beside: BTreeSet<ByteString> = self.undone.iter().filter_map(beside).collect();
        self.renames().filter(move |step| !beside.contains(&step.path))
    }

    /// Puts it on the disk, whole or not at all.
    pub(super) fn write(&self, state: &State) -> Result<(), CopyError> {
        put(state, JOURNAL, self)
    }
}

/// Puts something on the disk, whole or not at all.
pub(super) fn put(state: &State, name: &str, what: &impl Serialize) -> Result<(), CopyError> {
    let text = serde_json::to_vec(what).map_err(|source| state.damaged(source))?;
    replace(state, name, &text).of(state.root())
}

/// What was put there; nothing where nothing was.
pub(super) fn get<T: DeserializeOwned>(state: &State, name: &str) -> Result<Option<T>, CopyError> {
    match fs::read(state.inside(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        text => {
            serde_json::from_slice(&text.of(state.root())?).map(Some).map_err(|source| state.damaged(source))
        }
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
    get(state, JOURNAL)
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
    let host = state.host().of(state.root())?;
    clear(&host, &journal.steps);
    modes::close(&host, &journal.steps);
    close(state)?;
    Ok(false)
}

/// Removes what stands under the temporary names; answers what stays, and why.
pub(super) fn clear<'s>(host: &Tree, steps: impl IntoIterator<Item = &'s Step>) -> Vec<Left> {
    clear_telling(host, steps, &mut |_, _| ())
}

/// The same, and tells which files go on under other names.
pub(super) fn clear_telling<'s>(
    host: &Tree,
    steps: impl IntoIterator<Item = &'s Step>,
    told: &mut tree::Told<'_>,
) -> Vec<Left> {
    let mut left = Vec::new();
    for step in steps.into_iter().filter(|step| step.act != Act::Open) {
        // Where the directory is gone nothing stands in it.
        let Ok((parent, _)) = host.parent(&step.path.0) else { continue };
        let name = stage::name(&step.temporary.0);
        if let Err(error) = modes::changing(&parent, || tree::remove_telling(parent.as_fd(), &name, told)) {
            let because = format!("{} beside it could not be removed: {error}", name.to_string_lossy());
            left.push(Left { path: step.path.clone(), conflict: false, because });
        }
    }
    left
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
    let list: Vec<(ByteString, Identity)> = get(state, APPLIED)?.unwrap_or_default();
    Ok(Applied(list.into_iter().map(|(path, found)| (path.0, found)).collect()))
}

pub(super) fn note_applied(state: &State, more: Vec<(Vec<u8>, Identity)>) -> Result<(), CopyError> {
    let mut all = applied(state)?.0;
    all.extend(more);
    let list: Vec<(ByteString, Identity)> =
        all.into_iter().map(|(path, found)| (ByteString(path), found)).collect();
    put(state, APPLIED, &list)
}

pub(super) fn forget_applied(state: &State) -> io::Result<()> {
    forget(state, APPLIED)
}

/// Removes what was put there.
pub(super) fn forget(state: &State, name: &str) -> io::Result<()> {
    match fs::remove_file(state.inside(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
