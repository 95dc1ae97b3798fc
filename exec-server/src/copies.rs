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
//! | `descent` | a way down a directory, however deep |
//! | `look` | the changes of a copy: its upper layer beside what the host has now |
//! | `stage` | a changed place made anew beside the one that it is to become |
//! | `modes` | directories that cannot be changed, before or after |
//! | `rename` | one rename for one place |
//! | `known` | what the host has that is no change of the host's since |
//! | `journal` | what applying has begun, so that it is finished whatever ends it |
//! | `apply`, `discard` | what the person decides |
//! | `difference` | line by line, for people |

mod apply;
mod descent;
mod difference;
mod discard;
mod journal;
mod known;
mod look;
mod modes;
mod rename;
mod stage;
mod state;
mod tree;

use std::collections::BTreeMap;
use std::io;

use weir_protocol::method::changes::{Ask, Copied, ListChanges, ListedChanges, Outcome, Outcomes};
use weir_protocol::method::policy::Standpoint;
use weir_protocol::method::{Error, code};
use weir_protocol::{AbsPath, Policy};
use weir_sandbox_linux::survey::{Kind, Survey};

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
    /// A path at which there is nothing.
    #[error("there is nothing at {path}, in the copy or outside; nothing was done")]
    Nothing {
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
            Self::NoCopy { .. } | Self::Nothing { .. } => code::QUESTION,
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

/// The copies of one sandbox.
#[derive(Debug, Default)]
pub struct Copies {
    /// Where each is kept.
    places: BTreeMap<AbsPath, AbsPath>,
    /// Those that it holds, until it has ended.
    held: Vec<State>,
}

impl Copies {
    /// Those of a policy, for a plan: none is taken, and none begun.
    #[must_use]
    pub fn planned(policy: &Policy, standpoint: &Standpoint) -> Self {
        let mut roots = policy.filesystem().copies().map(|rule| &rule.path).peekable();
        if roots.peek().is_none() || policy.is_unrestricted() {
            return Self::default();
        }
        let store = Store::of(standpoint);
        Self { places: roots.map(|root| (root.clone(), store.place(root))).collect(), held: Vec::new() }
    }

    /// Takes those of a policy for one sandbox, and begins those that there are not.
    ///
    /// # Errors
    /// [`CopyError`], for instance where another command holds one.
    pub fn take(policy: &Policy, standpoint: &Standpoint) -> Result<Self, CopyError> {
        let mut taken = Self::planned(policy, standpoint);
        if taken.places.is_empty() {
            return Ok(taken);
        }
        let store = Store::of(standpoint);
        store.make()?;
        if policy.access(store.path()) > weir_protocol::policy::Access::None {
            return Err(CopyError::Open { place: store.path().clone() });
        }
        // What is no directory, or the whole tree, is refused by name when the plan is made.
        for root in taken.places.keys().filter(|root| !root.is_root() && root.as_path().is_dir()) {
            state::check_mounts(root)?;
            taken.held.push(store.begin(root)?);
        }
        Ok(taken)
    }

    /// Where each is kept.
    #[must_use]
    pub const fn places(&self) -> &BTreeMap<AbsPath, AbsPath> {
        &self.places
    }

    /// Corrects what a survey has found on the host to what a command will see through the copies.
    pub fn correct(&self, survey: &mut Survey) {
        for state in &self.held {
            let below = survey.places.iter_mut().filter(|(path, _)| path.starts_with(state.root()));
            below.for_each(|(path, kind)| *kind = state.kind(path).unwrap_or(*kind));
            let matches = survey.matches.iter_mut().filter(|found| found.path.starts_with(state.root()));
            matches.for_each(|found| found.kind = state.kind(&found.path).unwrap_or(found.kind));
            survey.matches.retain(|found| found.kind != Kind::Missing);
            let is = |path: &AbsPath, meant| {
                !path.starts_with(state.root()) || state.kind(path).is_none_or(|kind| kind == meant)
            };
            survey.further.retain(|path| is(path, Kind::File));
            survey.untold.retain(|path| is(path, Kind::Directory));
        }
    }

    /// Lets them go; one in which nothing is changed is forgotten.
    pub fn settle(self) {
        for state in self.held {
            // What cannot be removed now is begun anew by the next command.
            let _ = state.forget_empty();
        }
    }
}

/// The copies that are asked about, held by this process alone.
#[derive(Debug)]
pub struct Meant(Vec<state::Chosen>);

/// Takes the copies that are asked about.
///
/// # Errors
/// [`CopyError`] where a path lies in no copy, or a command runs in one.
pub fn meant(ask: &Ask) -> Result<Meant, CopyError> {
    let which = ask.which();
    Store::of(&which.standpoint).choose(&which.standpoint.cwd, &which.paths).map(Meant)
}

impl Meant {
    /// Their roots.
    pub fn roots(&self) -> impl Iterator<Item = &AbsPath> {
        self.0.iter().map(|(state, _)| state.root())
    }

    /// Carries out what is asked.
    ///
    /// # Errors
    /// [`CopyError`] where nothing was done.
    pub fn carry_out(self, ask: &Ask) -> Result<serde_json::Value, CopyError> {
        let answer = match ask {
            Ask::List(list) => {
                let shown = self.0.iter().filter_map(|(state, paths)| show(state, paths, list).transpose());
                serde_json::to_value(ListedChanges { copies: shown.collect::<Result<_, _>>()? })
            }
            Ask::Apply(ask) => {
                serde_json::to_value(self.settled(|state, paths| apply::apply(state, paths, ask.force))?)
            }
            Ask::Discard(_) => serde_json::to_value(self.settled(discard::discard)?),
        };
        answer.map_err(|source| CopyError::Damaged {
            root: Store::of(&ask.which().standpoint).path().clone(),
            source,
        })
    }

    fn settled(
        self,
        settle: impl Fn(State, &[AbsPath]) -> Result<Outcome, CopyError>,
    ) -> Result<Outcomes, CopyError> {
        // Before anything is done anywhere.
        let mut paths = self.0.iter().flat_map(|(_, paths)| paths);
        if let Some(path) = paths.find(|path| !self.0.iter().any(|(state, _)| state.has(path))) {
            return Err(CopyError::Nothing { path: path.clone() });
        }
        let copies = self.0.into_iter().map(|(state, paths)| settle(state, &paths));
        Ok(Outcomes { copies: copies.collect::<Result<_, _>>()? })
    }
}

/// Most bytes of all paths of one answer: of changes, and of parts of others. So it fits into a frame.
const MAX_WHOLE_BYTES: usize = 4 << 20;
const MAX_PART_BYTES: usize = 1 << 20;

fn show(state: &State, paths: &[AbsPath], list: &ListChanges) -> Result<Option<Copied>, CopyError> {
    let unfinished = journal::read(state)?.is_some_and(|journal| journal.is_committed());
    let found = look::look(state)?;
    let wanted = found.into_iter().filter(|found| look::is_chosen(state.root(), &found.path, paths));
    let mut changes = Vec::new();
    let (mut more, mut room) = (0, weir_protocol::method::changes::MAX_DIFF_BYTES);
    let mut paths = [MAX_WHOLE_BYTES, MAX_PART_BYTES];
    for found in wanted {
        let left = &mut paths[usize::from(found.part_of.is_some())];
        *left = left.saturating_sub(found.path.len());
        if changes.len() == weir_protocol::method::changes::MAX_LISTED || *left == 0 {
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
