//! What the compiler of a plan must know of the file tree, asked once for each launch.
//!
//! The launcher takes a survey before it forks; the compiler stays pure and reads it as a value. A survey says what is at the
//! path of each rule, which existing things a denying pattern matches, and where repositories are. It never follows a
//! symbolic link, never enters `/proc`, `/sys` or `/dev`, and looks only where a pattern can match something granted or where
//! a command may write. It decides nothing: [`Policy::verdict`] is the specification, and a property test holds the matches to it.
//!
//! **Unreadable directories** never fail a launch; they are named in [`Survey::unreadable`]. Nothing in one was looked at, so
//! whoever enforces the patterns must deny as a whole those in which a pattern could match, [`Survey::closed`]. A launcher with the rights of the user who runs
//! the command could not list it, so neither can the command as long as its mode stays; but its owner can change the mode, and
//! search permission alone opens names that are known. A launcher that is root reads every directory of a local file system; what it
//! cannot read is refused by the file system itself (FUSE, NFS), and the user of the command may have rights there that root has not.
//!
//! **Hard links.** A file that a pattern denies may have further names. They are looked for in the area that is walked (below
//! the patterns' bases, and wherever a command may write) and reported as matches of the same rule; a further name outside that
//! area is not found.
//!
//! The tree may change while it is walked, and after: a survey is a snapshot.

mod beside;
mod closed;
mod copied;
mod dev;
mod grants;
pub mod index;
mod kernel;
mod links;
mod moment;
mod passage;
mod place;
mod repository;
mod shown;
mod sibling;
mod walk;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};
use weir_protocol::AbsPath;
use weir_protocol::policy::{Filesystem, Operation, Origin, Policy, PolicyParts, Request, RuleRef};

use crate::broker::Folding;
use crate::gate::files::{BUNDLES, KEY_STORES, NAME_FILES};
use crate::host::Way;
use crate::live::{self, Alias, FileId, Judge};
use crate::mounts::Mounts;

pub(crate) use beside::Beside;
pub(crate) use dev::LINKS;
use index::Index;
pub use kernel::KernelTree;
pub use moment::Moment;
pub(crate) use moment::Since;
use place::Places;
pub(crate) use repository::OWN_NAMES;
pub use sibling::MAX_SIBLINGS;

/// Most entries of directories that one survey looks at: several seconds' worth.
pub const MAX_ENTRIES: u64 = 8_000_000;

/// Most matches: each costs the sandbox a mount, of which a mount namespace holds 100,000 (`fs.mount-max`).
pub const MAX_MATCHES: usize = 65_536;

/// Most directories that wait to be walked at one time: what they take is bounded by it (about 100 MB).
pub const MAX_WAITING: usize = 1 << 20;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link, or a name that only a link on the way to it makes: the kernel knows the place under another name, for
    /// which the policy has a rule of its own where it follows the link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A unix socket.
    Socket,
    /// A device node.
    Device,
    /// Nothing.
    Missing,
    /// Whatever it is, it cannot be looked at: the error number.
    Unreadable(i32),
}

/// Something that a denying pattern matches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Match {
    /// Where.
    pub path: AbsPath,
    /// What it is.
    pub kind: Kind,
    /// The rule: its position in `policy.filesystem().globs()`.
    pub rule: usize,
}

/// What is known of the file tree. `Survey::default()` knows nothing; a test sets the fields it needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// What is at the path of each rule, each private directory, the `.git` of each repository that was found and each rule of
    /// [`Survey::protected`], without following links.
    pub places: BTreeMap<AbsPath, Kind>,
    /// What denying patterns match in places of which something is granted, sorted by path. Only the topmost: nothing below
    /// a directory that matches. Further names of a denied file are among them, though no pattern matches their names.
    pub matches: Vec<Match>,
    /// Directories that hold a repository (a `.git`) where commands may write, sorted, but for the tops of writable roots,
    /// which the policy protects itself.
    pub repositories: Vec<AbsPath>,
    /// Directories that are a repository's own and not another one's `.git`, where commands may write, sorted.
    pub bare: Vec<AbsPath>,
    /// Where the `.git` of a repository is a symbolic link or a file that names another directory: that directory.
    pub git_directories: BTreeMap<AbsPath, AbsPath>,
    /// The directories that writable repositories keep for their linked worktrees (`.git/worktrees/NAME`), sorted.
    pub worktrees: Vec<AbsPath>,
    /// Directories that could not be searched, with the error number, sorted. See the module's documentation.
    pub unreadable: Vec<(AbsPath, i32)>,
    /// Those among them in which a pattern could match, with the first such rule: to be denied as a whole.
    pub closed: Vec<Match>,
    /// Names, in places of which commands get a copy, of files that a rule or a pattern closes under another name.
    pub further: Vec<AbsPath>,
    /// Directories in such places, not all of whose names could be told, where one may be such a name: to be closed as a whole.
    pub untold: Vec<AbsPath>,
    /// The symbolic links that make places have another name, with what they hold: a tree of the sandbox's own shows them too.
    pub passages: BTreeMap<AbsPath, Vec<u8>>,
    /// Where files lie that a sandbox behind the network gate sees in place of the host's, as far as a link leads there.
    pub leads: BTreeMap<AbsPath, AbsPath>,
    /// What the host's hold.
    pub held: BTreeMap<AbsPath, Vec<u8>>,
    /// The names in directories between a grant to read and something closed inside it; see [`Survey::list_siblings`].
    pub siblings: BTreeMap<AbsPath, Vec<Vec<u8>>>,
    /// Where the kernel itself is seen or set through a mount, beside `/proc`, `/sys` and `/dev`.
    pub kernel_trees: BTreeMap<AbsPath, KernelTree>,
    /// Places that are mounted twice and closed under one of their paths.
    pub aliases: Vec<Alias>,
    /// Where something is mounted, and whether names there may have several spellings; empty where they nowhere have.
    pub folding: BTreeMap<AbsPath, Folding>,
    /// The files among what is closed, as far as they can be seen.
    pub closed_files: Vec<FileId>,
    /// Whether one of them has several names, or one that was not seen may have.
    pub further_names: bool,
    /// What lies beside closed places, where the profile asks for it and all of it can be told by name.
    pub(crate) beside: Option<Beside>,
    /// How many entries of directories were looked at.
    pub looked_at: u64,
    /// How many directories were listed: those that no index knew.
    pub listed: u64,
}

/// Why there is no survey, so that nothing can be started.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// The tree is too large.
    #[error(
        "looking below {below} for {rule} met more than {limit} files; name a directory further down, or close with `none` what \
         the command need not see"
    )]
    TooManyEntries {
        /// The directory that the rule begins at.
        below: AbsPath,
        /// The rule.
        rule: Box<Origin>,
        /// The limit that was reached.
        limit: u64,
    },
    /// A pattern matches too much.
    #[error(
        "{rule}: the patterns match more than {limit} files; deny the directories that hold them instead"
    )]
    TooManyMatches {
        /// The rule whose match was one too many.
        rule: Box<Origin>,
        /// The limit that was reached.
        limit: usize,
    },
    /// What is closed holds too much.
    #[error(
        "{rule}: what it closes holds more than {limit} files, which cannot all be known by their other names; close a directory \
         further down, or grant nothing around it"
    )]
    TooManyClosed {
        /// The rule whose place was being looked at.
        rule: Box<Origin>,
        /// The limit that was reached.
        limit: u64,
    },
    /// The patterns cannot be compiled, so the verdict denies everything.
    #[error("{rule}: the patterns of the profile are too large together; write fewer or simpler ones")]
    PatternsTooLarge {
        /// The first pattern.
        rule: Box<Origin>,
    },
    /// What is closed is mounted too often.
    #[error("{rule}: what it closes is mounted in more than {limit} further places")]
    TooManyMounts {
        /// The first rule that must hold in all of them.
        rule: Box<Origin>,
        /// The limit that was reached.
        limit: usize,
    },
    /// The launcher itself has run out of something (descriptors, memory).
    #[error("cannot look into {path}: {}", io::Error::from_raw_os_error(*errno))]
    Exhausted {
        /// Where.
        path: AbsPath,
        /// The error number.
        errno: i32,
    },
}

impl Survey {
    /// Looks at the file tree of this machine for the sake of `policy`.
    ///
    /// # Errors
    /// [`SurveyError`] when a limit is reached or the process runs out of descriptors or memory.
    pub fn take(policy: &Policy) -> Result<Self, SurveyError> {
        Self::take_with(policy, None)
    }

    /// The same, with an index of what earlier surveys of the same user have found, which takes in what this one finds.
    ///
    /// # Errors
    /// As [`Survey::take`].
    pub fn take_with(policy: &Policy, index: Option<&mut Index>) -> Result<Self, SurveyError> {
        if policy.is_unrestricted() {
            return Ok(Self::default());
        }
        denies_everything(policy)?;
        let filesystem = policy.filesystem();
        let rules = filesystem.rules().iter().map(|rule| &rule.path);
        let private = filesystem.private().iter().map(|private| &private.path);
        let mut places = Places::default();
        let sockets = policy.network().unix_sockets.iter().map(|rule| &rule.path);
        rules.chain(private).chain(sockets).for_each(|path| places.look(path));
        let mut survey = walked(policy, &places, index)?;
        repository::complete(&mut survey, policy);
        survey.repositories.iter().filter_map(|at| at.join(".git").ok()).for_each(|git| places.look(&git));
        survey.places = places.into_found();
        let protected = survey.protected(policy);
        let mut places = Places::from_found(std::mem::take(&mut survey.places));
        protected.iter().for_each(|rule| places.look(&rule.path));
        if policy.network().is_gated() {
            let names = NAME_FILES.into_iter().chain(BUNDLES).chain(KEY_STORES);
            let shown = shown::look(names, &mut places);
            (survey.leads, survey.held) = (shown.leads, shown.held);
        }
        let mounts = mounts()?;
        survey.kernel_trees = kernel::trees(policy.filesystem(), &mounts);
        survey.kernel_trees.keys().for_each(|at| places.look(at));
        survey.places = places.into_found();
        survey.passages = passage::passages(&survey.places);
        survey.aliases = mounted_twice(policy, &mounts)?;
        survey.folding = live::places(&mounts);
        Ok(survey)
    }
}

impl Survey {
    /// The policy as it holds in this tree: with the rules for what was found in it. Its digest is another one.
    #[must_use]
    pub fn effective(&self, policy: &Policy, way: Way) -> Policy {
        if policy.is_unrestricted() {
            return policy.clone();
        }
        let filesystem = self.filesystem(policy, way).into_owned();
        PolicyParts { filesystem, ..policy.clone().into() }.into()
    }

    /// The policy's rules, with those for what was found: repositories, and mounts of the kernel's own; without mounts, for `/dev`.
    pub(crate) fn filesystem<'p>(&self, policy: &'p Policy, way: Way) -> Cow<'p, Filesystem> {
        let own = policy.filesystem();
        let dev = if way == Way::Bare { dev::rules(own) } else { Vec::new() };
        let found = [self.protected(policy), self.kernel_rules(own, way), dev].concat();
        if found.is_empty() {
            return Cow::Borrowed(own);
        }
        let mut parts = own.to_parts();
        parts.rules.extend(found);
        Cow::Owned(Filesystem::new(parts))
    }
}

/// What the lists of directories tell, by the index as far as that counts. `places` know what is at the path of each rule.
fn walked(policy: &Policy, places: &Places, index: Option<&mut Index>) -> Result<Survey, SurveyError> {
    let Some(index) = index else { return listed(policy, places, None) };
    let survey = listed(policy, places, Some(index));
    if !index.is_void() {
        return survey;
    }
    // The clock was set, before or meanwhile: no stamp means anything.
    index.forget();
    listed(policy, places, None)
}

fn listed(policy: &Policy, places: &Places, mut index: Option<&mut Index>) -> Result<Survey, SurveyError> {
    let (mut survey, mut linked) = walk::walk(policy, index.as_deref_mut())?;
    closed::add(&mut survey, policy.filesystem(), places, &mut linked, index.as_deref_mut())?;
    copied::add(&mut survey, policy.filesystem(), &linked, index.as_deref_mut())?;
    let (beside, listed) = beside::list(policy, index);
    survey.beside = beside;
    survey.listed += listed;
    Ok(survey)
}

/// The mounts of this process's namespace.
fn mounts() -> Result<Mounts, SurveyError> {
    let path = AbsPath::parse("/proc/self/mountinfo").unwrap_or_else(|_| AbsPath::root());
    match std::fs::read(path.as_path()) {
        Ok(table) => Ok(Mounts::of(&table)),
        Err(error) => Err(SurveyError::Exhausted { path, errno: error.raw_os_error().unwrap_or(libc::EIO) }),
    }
}

/// The places that are mounted twice and closed under one of their paths.
fn mounted_twice(policy: &Policy, mounts: &Mounts) -> Result<Vec<Alias>, SurveyError> {
    let filesystem = policy.filesystem();
    let Some(rule) = live::first_rule(filesystem, live::WITHOUT_MOUNTS) else { return Ok(Vec::new()) };
    let mut judge = None;
    live::aliases(mounts, |path| judge.get_or_insert_with(|| Judge::of(filesystem)).bears_on(path.as_bytes()))
        .ok_or(SurveyError::TooManyMounts { rule: Box::new(rule), limit: live::MAX_ALIASES })
}

/// Patterns with fewer bytes than this together always compile, whatever they are made of; a test tries the most expensive.
/// Compiling them would cost each launch more than the walk does.
const SMALL_PATTERNS_BYTES: usize = 8 * 1024;

/// A set of patterns that is too large to compile denies every path, `/` included, which no pattern can match.
fn denies_everything(policy: &Policy) -> Result<(), SurveyError> {
    let globs = policy.filesystem().globs();
    if globs.iter().map(|rule| rule.pattern.to_bytes().len()).sum::<usize>() < SMALL_PATTERNS_BYTES {
        return Ok(());
    }
    let request = Request::Path { path: &AbsPath::root(), operation: Operation::Read };
    match policy.verdict(&request).rule {
        RuleRef::Glob(rule) => Err(SurveyError::PatternsTooLarge { rule: Box::new(rule.origin.clone()) }),
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests;
