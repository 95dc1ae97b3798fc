//! Places that are mounted more than once: one file has a path through each mount.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use weir_protocol::AbsPath;

use crate::mounts::{Mount, Mounts};

/// Most aliases that are kept: each judgement looks at all of them.
pub const MAX_ALIASES: usize = 1_024;

/// What lies below `from` lies below `to` as well.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Alias {
    /// A path inside the sandbox.
    pub from: AbsPath,
    /// Another path of the same place.
    pub to: AbsPath,
}

impl Alias {
    /// The other path of `path`, if it lies at or below this place.
    #[must_use]
    pub fn apply(&self, path: &[u8]) -> Option<Vec<u8>> {
        let rest = below(path, self.from.as_bytes())?;
        Some(joined(self.to.as_bytes(), rest))
    }
}

/// The aliases that a table of mounts tells of, of which `is_of_interest` tells for a path whether
/// rules could close something at or below it. Nothing when there are more than [`MAX_ALIASES`].
#[must_use]
pub fn aliases(table: &Mounts, mut is_of_interest: impl FnMut(&AbsPath) -> bool) -> Option<Vec<Alias>> {
    let mounts = table.all();
    let mut found = BTreeSet::new();
    for (index, one) in mounts.iter().enumerate() {
        let others =
            mounts.iter().enumerate().filter(|(at, other)| *at != index && other.device == one.device);
        for (_, other) in others {
            let Some(alias) = between(one, other).filter(|alias| alias.from != alias.to) else { continue };
            if is_of_interest(&alias.to) {
                found.insert(alias);
            }
        }
        if found.len() > MAX_ALIASES {
            return None;
        }
    }
    Some(found.into_iter().collect())
}

/// How what is seen through one mount is seen through another one.
fn between(one: &Mount, other: &Mount) -> Option<Alias> {
    let (from, to) = if let Some(deeper) = below(&one.root, &other.root) {
        (one.point.clone(), joined(&other.point, deeper))
    } else {
        let deeper = below(&other.root, &one.root)?;
        (joined(&one.point, deeper), other.point.clone())
    };
    Some(Alias { from: AbsPath::parse(from).ok()?, to: AbsPath::parse(to).ok()? })
}

/// What is left of a path behind a directory, with its leading slash; empty for the directory itself.
fn below<'p>(path: &'p [u8], directory: &[u8]) -> Option<&'p [u8]> {
    let directory = directory.strip_suffix(b"/").unwrap_or(directory);
    let rest = path.strip_prefix(directory)?;
    match rest {
        b"/" => Some(&[]),
        _ if rest.is_empty() || rest.first() == Some(&b'/') => Some(rest),
        _ => None,
    }
}

fn joined(directory: &[u8], rest: &[u8]) -> Vec<u8> {
    let directory = directory.strip_suffix(b"/").unwrap_or(directory);
    let whole = [directory, rest].concat();
    if whole.is_empty() { b"/".to_vec() } else { whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alias(from: &str, to: &str) -> Alias {
        let path = |text: &str| AbsPath::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        Alias { from: path(from), to: path(to) }
    }

    #[test]
    fn a_table_of_mounts_tells_second_paths() {
        let table = b"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            30 22 8:1 /home/a/secret /srv/sh\\040are rw - ext4 /dev/sda1 rw\n\
            31 22 8:1 /home/a/.env /home/a/plain rw - ext4 /dev/sda1 rw\n\
            32 22 0:5 / /proc rw - proc proc rw\n\
            33 22 0:44 /sub /data rw - btrfs /dev/sdb rw\n\
            34 22 0:44 / /all rw - btrfs /dev/sdb rw\n\
            broken\n";
        let table = Mounts::of(table);
        let all = aliases(&table, |_| true).unwrap_or_default();
        let want = [
            alias("/all/sub", "/data"),
            alias("/data", "/all/sub"),
            alias("/home/a/.env", "/home/a/plain"),
            alias("/home/a/plain", "/home/a/.env"),
            alias("/home/a/secret", "/srv/sh are"),
            alias("/srv/sh are", "/home/a/secret"),
        ];
        assert_eq!(all, want);
        let some = aliases(&table, |to| to.as_bytes() == b"/home/a/secret").unwrap_or_default();
        assert_eq!(some, [want[5].clone()]);
    }

    #[test]
    fn an_alias_leads_from_one_path_to_the_other() {
        let cases = [
            (alias("/srv", "/home/a"), "/srv/x/y", Some("/home/a/x/y")),
            (alias("/srv", "/home/a"), "/srv", Some("/home/a")),
            (alias("/srv", "/home/a"), "/srvx", None),
            (alias("/", "/all"), "/x", Some("/all/x")),
            (alias("/all", "/"), "/all", Some("/")),
            (alias("/all", "/"), "/all/x", Some("/x")),
        ];
        for (alias, path, want) in cases {
            assert_eq!(alias.apply(path.as_bytes()).as_deref(), want.map(str::as_bytes), "{path}");
        }
    }

    #[test]
    fn more_than_can_be_looked_at_is_none() {
        let line = |at: usize| format!("{at} 1 8:1 / /m/{at} rw - ext4 x rw\n");
        let table: String = (0..80).map(line).collect();
        assert_eq!(aliases(&Mounts::of(table.as_bytes()), |_| true), None);
    }
}
