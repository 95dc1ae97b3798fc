//! Copies: what commands changed under `copy`, kept from one command to the next, shown, applied, discarded.
//!
//! A copy belongs to one directory, its root. It is the upper layer of an overlay and is kept in Weir's own directory, which every
//! policy closes, so that no command reaches it but through its overlay. One sandbox at a time holds a copy (a lock of the
//! kernel's, which goes with the launcher), for overlayfs promises nothing where layers change under it; so nothing is listed, applied or
//! discarded while a command runs there.
//!
//! The launcher does all of it, as the user who asks and with that one's rights: a copy that belongs to somebody else is refused, whoever
//! names it. What a command has put into a copy is not believed: no link in it is followed, and no name of it is looked up twice.
//!
//! | module | is |
//! |---|---|
//! | `state` | where a copy is kept, and who may hold it |
//! | `tree` | names below a directory, reached through no link |
//! | `look` | the changes of a copy: its upper layer beside what the host has now |
//! | `stage` | a changed place made anew beside the one that it is to become |
//! | `journal` | what applying has begun, so that it is finished whatever ends it |
//! | `apply`, `discard` | what the person decides |
//! | `difference` | line by line, for people |

mod apply;
mod difference;
mod discard;
mod journal;
mod look;
mod stage;
mod state;
mod tree;

use std::collections::BTreeMap;
use std::io;

use weir_protocol::method::changes::{Ask, Copied, List, Listed, Outcomes};
use weir_protocol::method::policy::Standpoint;
use weir_protocol::method::{Error, code};
use weir_protocol::{AbsPath, Policy};
use weir_sandbox_linux::survey::Survey;

use state::{State, Store};

/// Why a copy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The directory in which copies are kept is somebody else's, or open to others.
    #[error(
        "{place} must be a directory of the user who runs the command, writable by nobody else, to keep copies in"
    )]
    NotOwn {
        /// The directory.
        place: AbsPath,
    },
    /// A command could reach it.
    #[error("{place}, where copies are kept, is not closed by the profile")]
    Open {
        /// The directory.
        place: AbsPath,
    },
    /// Something is mounted below.
    #[error(
        "`copy` on {root}: {below} is mounted inside, which a copy cannot show; name the directories beside it"
    )]
    Mounted {
        /// The root.
        root: AbsPath,
        /// Where.
        below: AbsPath,
    },
    /// Somebody else holds it.
    #[error("the copy of {root} is in use: a command runs in it; wait until it has ended")]
    InUse {
        /// The root.
        root: AbsPath,
    },
    /// Applying was interrupted.
    #[error("applying the changes to {root} was interrupted; `weir apply` finishes it")]
    Unfinished {
        /// The root.
        root: AbsPath,
    },
    /// A path in no copy.
    #[error("{path} lies in no directory of which there is a copy")]
    NoCopy {
        /// The path.
        path: AbsPath,
    },
    /// The system refused something.
    #[error("the copy of {root}: {source}")]
    System {
        /// The root, or where copies are kept.
        root: AbsPath,
        /// Why.
        source: io::Error,
    },
    /// What the copy says of itself makes no sense.
    #[error("the copy of {root} is damaged: {source}; `weir discard` removes it")]
    Damaged {
        /// The root.
        root: AbsPath,
        /// Why.
        source: serde_json::Error,
    },
}

impl CopyError {
    /// The code of the answer.
    #[must_use]
    pub const fn code(&self) -> i64 {
        match self {
            Self::InUse { .. } | Self::Unfinished { .. } => code::STATE,
            Self::NoCopy { .. } => code::QUESTION,
            Self::Mounted { .. } => code::UNENFORCEABLE,
            _ => code::FILE,
        }
    }
}

impl From<CopyError> for Error {
    fn from(error: CopyError) -> Self {
        Self { code: error.code(), message: error.to_string() }
    }
}

/// Names what failed.
trait Of<T> {
    fn of(self, root: &AbsPath) -> Result<T, CopyError>;
}

impl<T, E: Into<io::Error>> Of<T> for Result<T, E> {
    fn of(self, root: &AbsPath) -> Result<T, CopyError> {
        self.map_err(|error| CopyError::System { root: root.clone(), source: error.into() })
    }
}

/// The copies that one sandbox holds, until it has ended.
#[derive(Debug, Default)]
pub struct Copies(Vec<State>);

impl Copies {
    /// Where the copies of a policy would be kept, and nothing else.
    ///
    /// # Errors
    /// [`CopyError`] where nothing can be kept.
    pub fn places(policy: &Policy, standpoint: &Standpoint) -> Result<BTreeMap<AbsPath, AbsPath>, CopyError> {
        let mut copies = policy.filesystem().copies().map(|rule| &rule.path).peekable();
        if copies.peek().is_none() || policy.is_unrestricted() {
            return Ok(BTreeMap::new());
        }
        let store = Store::of(standpoint);
        Ok(copies.map(|root| (root.clone(), store.place(root))).collect())
    }

    /// Takes those of a policy for one sandbox, and begins those that there are not.
    ///
    /// # Errors
    /// [`CopyError`], for instance where another command holds one.
    pub fn take(policy: &Policy, standpoint: &Standpoint) -> Result<Self, CopyError> {
        let mut taken = Self::default();
        let places = Self::places(policy, standpoint)?;
        if places.is_empty() {
            return Ok(taken);
        }
        let store = Store::of(standpoint);
        store.make()?;
        if policy.access(store.path()) > weir_protocol::policy::Access::None {
            return Err(CopyError::Open { place: store.path().clone() });
        }
        // What is no directory, or the whole tree, is refused by name when the plan is made.
        for root in places.keys().filter(|root| !root.is_root() && root.as_path().is_dir()) {
            state::check_mounts(root)?;
            taken.0.push(store.begin(root)?);
        }
        Ok(taken)
    }

    /// Where each is kept.
    #[must_use]
    pub fn kept(&self) -> BTreeMap<AbsPath, AbsPath> {
        self.0.iter().map(|state| (state.root().clone(), state.path().clone())).collect()
    }

    /// Corrects what a survey has found on the host to what a command will see through the copies.
    pub fn correct(&self, survey: &mut Survey) {
        for state in &self.0 {
            let below = survey.places.iter_mut().filter(|(path, _)| path.starts_with(state.root()));
            below.for_each(|(path, kind)| *kind = state.kind(path).unwrap_or(*kind));
        }
    }

    /// Lets them go; one in which nothing is changed is forgotten.
    pub fn settle(self) {
        for state in self.0 {
            // What cannot be removed now is begun anew by the next command.
            let _ = state.forget_empty();
        }
    }
}

/// Carries out what is asked about copies.
///
/// # Errors
/// [`CopyError`] where nothing was done.
pub fn answer(ask: &Ask) -> Result<serde_json::Value, CopyError> {
    let which = ask.which();
    let store = Store::of(&which.standpoint);
    let chosen = store.choose(&which.standpoint.cwd, &which.paths)?;
    let damaged = |source| CopyError::Damaged { root: store.path().clone(), source };
    match ask {
        Ask::List(list) => {
            let mut listed = Listed::default();
            for (state, paths) in &chosen {
                listed.copies.extend(show(state, paths, list)?);
            }
            serde_json::to_value(listed).map_err(damaged)
        }
        Ask::Apply(ask) => {
            let mut outcomes = Outcomes::default();
            for (state, paths) in chosen {
                outcomes.copies.push(apply::apply(state, &paths, ask.force)?);
            }
            serde_json::to_value(outcomes).map_err(damaged)
        }
        Ask::Discard(_) => {
            let mut outcomes = Outcomes::default();
            for (state, paths) in chosen {
                outcomes.copies.push(discard::discard(state, &paths)?);
            }
            serde_json::to_value(outcomes).map_err(damaged)
        }
    }
}

/// The roots of the copies that are asked about.
///
/// # Errors
/// [`CopyError`] where a path lies in no copy.
pub fn roots(ask: &Ask) -> Result<Vec<AbsPath>, CopyError> {
    let which = ask.which();
    let meant = Store::of(&which.standpoint).meant(&which.standpoint.cwd, &which.paths)?;
    Ok(meant.into_iter().map(|(root, _)| root).collect())
}

fn show(state: &State, paths: &[AbsPath], list: &List) -> Result<Option<Copied>, CopyError> {
    let unfinished = journal::read(state)?.is_some_and(|journal| journal.is_committed());
    let found = look::look(state)?;
    let wanted = found.into_iter().filter(|found| look::is_chosen(state.root(), &found.path, paths));
    let mut changes = Vec::new();
    let (mut more, mut room) = (0, weir_protocol::method::changes::MAX_DIFF_BYTES);
    for found in wanted {
        if changes.len() == weir_protocol::method::changes::MAX_LISTED {
            more += 1;
            continue;
        }
        let diff = if list.diff { difference::of(state, &found, &mut room) } else { None };
        changes.push(found.told(diff));
    }
    if changes.is_empty() && !unfinished {
        return Ok(None);
    }
    Ok(Some(Copied { root: state.root().clone(), changes, more, unfinished }))
}
