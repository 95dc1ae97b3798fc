//! The names beside what is closed inside a readable place: where nothing can be mounted, each of them is granted by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStringExt as _;

use weir_protocol::AbsPath;
use weir_protocol::policy::{Access, Filesystem, Policy};

use super::place::Places;
use super::{Kind, Survey, dev};
use crate::host::Way;

/// Most names that are listed: each costs a launch one Landlock rule.
pub const MAX_SIBLINGS: usize = 65_536;

impl Survey {
    /// Lists every directory between a grant to read and something closed inside it. For hosts without mount namespaces; called
    /// by the launcher after [`Survey::take`]. A directory that cannot be listed has no names: what lies there stays closed.
    pub fn list_siblings(&mut self, policy: &Policy) {
        let mut places = Places::from_found(std::mem::take(&mut self.places));
        dev::places().for_each(|path| places.look(&path));
        self.places = places.into_found();
        let filesystem = self.filesystem(policy, Way::Bare);
        let mut listed = BTreeMap::new();
        let mut count = 0;
        for directory in self.on_the_way(&filesystem) {
            let names: Vec<Vec<u8>> = fs::read_dir(directory.as_path())
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.file_name().into_vec())
                .take(MAX_SIBLINGS - count)
                .collect();
            count += names.len();
            listed.insert(directory, names);
        }
        self.siblings = listed;
    }

    /// What is closed inside something readable, and is there.
    pub(crate) fn closed_inside<'s>(
        &'s self,
        filesystem: &'s Filesystem,
    ) -> impl Iterator<Item = &'s AbsPath> {
        let rules =
            filesystem.rules().iter().filter(|rule| rule.access == Access::None).map(|rule| &rule.path);
        let there =
            |path: &&AbsPath| !matches!(self.places.get(*path), None | Some(Kind::Missing | Kind::Symlink));
        let matches = self.matches.iter().chain(&self.closed).map(|found| &found.path);
        rules.filter(there).chain(matches)
    }

    /// The directories above what is closed, as far as they may be read.
    fn on_the_way(&self, filesystem: &Filesystem) -> BTreeSet<AbsPath> {
        let mut out = BTreeSet::new();
        for closed in self.closed_inside(filesystem) {
            let mut next = closed.parent();
            while let Some(path) = next.filter(|path| filesystem.access(path) > Access::None) {
                next = path.parent();
                out.insert(path);
            }
        }
        out
    }
}
