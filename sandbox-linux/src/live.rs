//! Live rules: what a policy closes inside places that it opens, held for files that appear, move or get further names while
//! the command runs.
//!
//! A mount covers what was there when it was made and is taken off when the host replaces or removes it; a pattern speaks of
//! files that do not exist yet. So where a policy has a pattern, or a `none` inside something granted, each call that opens a
//! file or changes a name is performed by the sandbox's init (`broker`), which asks a [`Judge`] about the final path that
//! the kernel tells of what it has opened, and about each symbolic link on the way. Masks and Landlock stay beneath it. Where there
//! are no mounts, what may only be read inside what may be written is held so as well.
//!
//! This module is pure: it decides about paths that others have found. It agrees with `Policy::verdict`, which a property test
//! holds it to; it only ever refuses, so that what lets something in stays with mounts and Landlock.

mod alias;
mod file;
mod judge;
mod spelled;
mod spelling;

use std::collections::{BTreeMap, BTreeSet};

use weir_protocol::AbsPath;
use weir_protocol::policy::{Access, Filesystem, Origin, PathRule};

pub use alias::{Alias, MAX_ALIASES, aliases};
pub use file::{FileId, Files};
pub use judge::{Judge, Refused};
pub use spelled::{Spelled, spelled};
pub(crate) use spelling::of_component;
pub use spelling::places;

use crate::broker::Folding;
use crate::survey::Moment;

/// What a [`Judge`] is made of: data of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveRules {
    /// The policy's rules for files, and those for repositories that were found.
    pub filesystem: Filesystem,
    /// Places that can be reached under a second path.
    pub aliases: Vec<Alias>,
    /// Where something is mounted, and whether names there may have several spellings; empty where they nowhere have.
    pub folding: BTreeMap<AbsPath, Folding>,
    /// Files that were closed at start, whatever their further names.
    pub closed_files: Vec<FileId>,
    /// Whose device nodes there are.
    pub nodes: Nodes,
    /// When the survey that found those began: a file that has the names that it had then is looked for no more.
    pub surveyed: Option<Moment>,
}

/// Whose device nodes the command finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nodes {
    /// Those that mounts show; on all others nodes are inert, and terminals are the sandbox's own.
    Mounted,
    /// The host's, so that each opening of one has to be judged.
    Hosts,
}

impl LiveRules {
    /// The rules of a tree of which nothing else is known, between mounts.
    #[must_use]
    pub const fn of(filesystem: Filesystem) -> Self {
        Self {
            filesystem,
            aliases: Vec::new(),
            folding: BTreeMap::new(),
            closed_files: Vec::new(),
            nodes: Nodes::Mounted,
            surveyed: None,
        }
    }

    /// What they are, in words.
    #[must_use]
    pub fn words(&self) -> String {
        let places = carved_out(&self.filesystem, Access::None).count();
        format!("{} patterns, {places} places", self.filesystem.globs().len())
    }

    /// The directories and files at or below which something closed can lie.
    pub(crate) fn places(&self) -> Vec<Vec<u8>> {
        let bases = self.filesystem.globs().iter().map(|rule| rule.pattern.base());
        let closed = carved_out(&self.filesystem, Access::None).map(|rule| rule.path.clone());
        let all: BTreeSet<AbsPath> = bases.chain(closed).collect();
        let topmost = |path: &&AbsPath| !path.ancestors().skip(1).any(|above| all.contains(above));
        all.iter().filter(topmost).map(|path| path.as_bytes().to_vec()).collect()
    }
}

/// What lies inside a place that a rule around it opens further, and mounts do not hold while files change: with them, what is closed.
pub const BESIDE_MOUNTS: &[Access] = &[Access::None];
/// The same where there are no mounts: also what may only be read.
pub const WITHOUT_MOUNTS: &[Access] = &[Access::None, Access::Read];

/// The first rule that must be held live, if there is one: a pattern, or a rule with one of these accesses inside a granted place.
#[must_use]
pub fn first_rule(filesystem: &Filesystem, inside: &[Access]) -> Option<Origin> {
    let pattern = filesystem.globs().first().map(|rule| &rule.origin);
    let carved = || inside.iter().find_map(|access| carved_out(filesystem, *access).next());
    pattern.or_else(|| carved().map(|rule| &rule.origin)).cloned()
}

/// The rules of one access that close, wholly or for writing, something inside a place that a rule around it opens further. What lies in a
/// private directory is the sandbox's own.
pub(crate) fn carved_out(filesystem: &Filesystem, access: Access) -> impl Iterator<Item = &PathRule> {
    let mut last = None;
    filesystem
        .rules()
        .iter()
        .filter(move |rule| rule.access == access && is_inside(filesystem, rule, &mut last))
}

/// Whether a rule around this one opens more. Rules come sorted, so that most lie in the directory of the `last` one that was asked about.
fn is_inside(filesystem: &Filesystem, rule: &PathRule, last: &mut Option<(AbsPath, Option<Access>)>) -> bool {
    let Some(directory) = rule.path.parent() else { return false };
    let most = match last {
        Some((known, most)) if *known == directory => *most,
        _ => {
            let most = most_around(filesystem, rule, &directory);
            *last = Some((directory, most));
            most
        }
    };
    most > Some(rule.access) && !filesystem.private().iter().any(|private| private.path == rule.path)
}

/// The most that rules around this one grant, up to the private directory that its own directory lies in.
fn most_around(filesystem: &Filesystem, rule: &PathRule, directory: &AbsPath) -> Option<Access> {
    let private = filesystem.private().iter().filter(|private| directory.starts_with(&private.path));
    let private_depth = private.map(|private| private.path.depth()).max().unwrap_or(0);
    let reaches_here = |around: &&PathRule| around.path.depth() >= private_depth;
    filesystem.around(&rule.path).take_while(reaches_here).map(|around| around.access).max()
}
