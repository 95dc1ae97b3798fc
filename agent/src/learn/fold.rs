//! Many paths of a directory become the directory, where that may be.

use std::collections::BTreeMap;

use weir_protocol::AbsPath;
use weir_protocol::policy::Access;

use super::{Entry, Needed};

/// So many paths of one directory become the directory: fewer are read one by one, and tell more.
pub(super) const FOLDED_PATHS: usize = 4;

type Wanted = BTreeMap<AbsPath, (Access, Needed)>;

/// The rules, by path.
pub(super) fn fold(wanted: &Wanted, may_be_whole: &dyn Fn(&AbsPath) -> bool) -> Vec<Entry> {
    let mut wanted = wanted.clone();
    while let Some((parent, access)) = crowded(&wanted, may_be_whole) {
        let of_it = |path: &AbsPath, granted| path.parent().as_ref() == Some(&parent) && granted == access;
        let (folded, rest): (Wanted, Wanted) =
            wanted.into_iter().partition(|(path, (granted, _))| of_it(path, *granted));
        wanted = rest;
        let (granted, needed) = wanted.entry(parent).or_insert((Access::None, Needed::default()));
        *granted = access.max(*granted);
        folded.into_values().for_each(|(_, other)| needed.merge(other));
    }
    let mut entries: Vec<Entry> = Vec::new();
    for (path, (access, needed)) in wanted {
        // What is above comes first.
        let covers = |entry: &&mut Entry| entry.access >= access && path.starts_with(&entry.path);
        match entries.iter_mut().find(covers) {
            Some(entry) => entry.needed.merge(needed),
            None => entries.push(Entry { path, access, needed }),
        }
    }
    entries
}

/// The deepest directory with so many paths of one access that it is granted whole.
fn crowded(wanted: &Wanted, may_be_whole: &dyn Fn(&AbsPath) -> bool) -> Option<(AbsPath, Access)> {
    let mut counts: BTreeMap<(AbsPath, Access), usize> = BTreeMap::new();
    for (path, (access, _)) in wanted {
        if let Some(parent) = path.parent() {
            *counts.entry((parent, *access)).or_default() += 1;
        }
    }
    let crowded = counts.into_iter().filter(|((dir, _), count)| *count >= FOLDED_PATHS && may_be_whole(dir));
    crowded.map(|(key, _)| key).max_by_key(|(dir, _)| dir.depth())
}
