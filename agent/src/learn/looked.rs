//! What was only looked at, and found: it takes a rule where the proposal would not show it.
//!
//! A directory on the way to something that is granted is there anyway, and so are the home and the project. A file that was looked at is
//! read; a directory is opened whole where that may be, but not in the home: whether something is there is no reason to open
//! all of it.

use std::collections::BTreeMap;

use weir_protocol::AbsPath;
use weir_protocol::denial::Act;
use weir_protocol::policy::{Access, Filesystem};
use weir_protocol::profile::read::key_of;

use super::{Gathering, Needed, Why};

/// What was looked at and is covered by nothing.
pub(super) type Looked = BTreeMap<AbsPath, Needed>;

impl Gathering<'_> {
    /// Wants rules for what `granted` would not show.
    pub(super) fn want_looked(&mut self, granted: &Filesystem) {
        let mut looked: Vec<(AbsPath, Needed)> = std::mem::take(&mut self.looked).into_iter().collect();
        // What lies deeper shows what is above it.
        looked.sort_by_key(|(path, _)| std::cmp::Reverse(path.depth()));
        let is_directory = |path: &AbsPath| self.tree.is_directory(path);
        let (directories, files): (Vec<_>, Vec<_>) =
            looked.into_iter().partition(|(path, _)| is_directory(path));
        for (path, needed) in files.into_iter().chain(directories) {
            if granted.access(&path) == Access::None && !self.is_on_a_way(granted, &path) {
                self.want_look(path, needed);
            }
        }
    }

    /// Whether a directory is there because something in it is.
    fn is_on_a_way(&self, granted: &Filesystem, path: &AbsPath) -> bool {
        let ground = self.covering.ground;
        let rules = granted.rules().iter().filter(|rule| rule.access > Access::None).map(|rule| &rule.path);
        let private = ground.wide.filesystem().private().iter().map(|private| &private.path);
        let kept = std::iter::once(ground.home).chain(ground.roots);
        let mut all = rules.chain(private).chain(kept).chain(self.wanted.keys());
        all.any(|other| other.starts_with(path))
    }

    fn want_look(&mut self, path: AbsPath, needed: Needed) {
        let Some(real) = self.tree.real(&path) else {
            return self.withhold_look(path, &needed, Why::Nowhere);
        };
        let is_directory = self.tree.is_directory(&real);
        if is_directory && path.starts_with(self.covering.ground.home) {
            return self.withhold_look(path, &needed, Why::Looked);
        }
        if is_directory && ![&path, &real].into_iter().all(|dir| self.covering.may_be_whole(dir)) {
            let dir = path.clone();
            return self.withhold_look(path, &needed, Why::Wide(dir));
        }
        if key_of(&path).is_none() {
            return self.withhold_look(path, &needed, Why::Name);
        }
        let (granted, so_far) = self.wanted.entry(path).or_insert((Access::None, Needed::default()));
        *granted = Access::Read.max(*granted);
        so_far.merge(needed);
    }

    fn withhold_look(&mut self, path: AbsPath, needed: &Needed, why: Why) {
        let program = needed.programs.first().map(String::as_str);
        self.withhold(Act::Look, path, program, why);
    }
}
