//! What lies beside closed places: which names the directories above them had when the command started, and which file each was.
//!
//! Where a policy closes single places inside readable ones and has no pattern, a second Landlock ruleset, of the command alone, grants
//! reading to everything beside them, name by name (`compile::reading`). It holds by itself, whatever is renamed or raced: what it
//! grants was there at the start and open. Init, which is not under it, does for the command what it cannot: it opens what has
//! appeared since in such a directory, and lists the directory. To tell the one from the other is what this is for. It decides nothing
//! that opens a place: taken for granted by the ruleset is what the kernel then refuses.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_protocol::AbsPath;

/// The directories from the top of what may be read down to each closed place, whether that is there or not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beside(BTreeMap<AbsPath, Names>);

/// Names in one directory, and the number of the inode behind each.
pub(crate) type Names = BTreeMap<Vec<u8>, u64>;

/// Where a path lies, seen from those directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing<'p> {
    /// In none of them: granted as a whole, or not at all.
    Elsewhere,
    /// It is one of them, or lies at or below a name that was not there.
    Apart,
    /// At or below a name that was there.
    Known {
        /// The path of that name.
        entry: &'p [u8],
        /// The directory that it stands in.
        way: &'p [u8],
        /// The inode that it stood for.
        inode: u64,
    },
}

impl Beside {
    /// Of directories with their names.
    pub(crate) fn new(ways: BTreeMap<AbsPath, Names>) -> Self {
        Self(ways)
    }

    /// The names in a directory, where it is one of these.
    pub(crate) fn names(&self, directory: &AbsPath) -> Option<impl Iterator<Item = &[u8]>> {
        self.0.get(directory).map(|names| names.keys().map(Vec::as_slice))
    }

    /// Where a path lies.
    pub(crate) fn standing<'p>(&self, path: &'p [u8]) -> Standing<'p> {
        let mut entry = path;
        for way in super::ancestors(path) {
            let Some(names) = self.0.get(way) else {
                entry = way;
                continue;
            };
            let name = entry.strip_prefix(way).map(|rest| rest.strip_prefix(b"/").unwrap_or(rest));
            return match name.and_then(|name| names.get(name)) {
                Some(inode) => Standing::Known { entry, way, inode: *inode },
                None => Standing::Apart,
            };
        }
        Standing::Elsewhere
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_lies_below_a_name_or_elsewhere() {
        let path = |text: &str| AbsPath::parse(text).unwrap();
        let names = |list: &[(&str, u64)]| {
            list.iter().map(|(name, inode)| (name.as_bytes().to_vec(), *inode)).collect()
        };
        let beside = Beside::new(
            [
                (path("/"), names(&[("etc", 2), ("usr", 3)])),
                (path("/etc"), names(&[("passwd", 4)])),
                (path("/srv/a"), names(&[])),
            ]
            .into(),
        );
        let known = |entry: &'static str, way: &'static str, inode| Standing::Known {
            entry: entry.as_bytes(),
            way: way.as_bytes(),
            inode,
        };
        let cases = [
            ("/", Standing::Apart),
            ("/etc", Standing::Apart),
            ("/usr", known("/usr", "/", 3)),
            ("/usr/lib/x", known("/usr", "/", 3)),
            ("/usrx", Standing::Apart),
            ("/etc/passwd", known("/etc/passwd", "/etc", 4)),
            ("/etc/passwd/x", known("/etc/passwd", "/etc", 4)),
            ("/etc/passwd (deleted)", Standing::Apart),
            ("/etc/shadow", Standing::Apart),
            ("/srv/b", Standing::Apart),
            ("/srv/a/b/c", Standing::Apart),
            ("pipe:[17]", Standing::Elsewhere),
        ];
        for (asked, want) in cases {
            assert_eq!(beside.standing(asked.as_bytes()), want, "{asked}");
        }
        assert_eq!(Beside::default().standing(b"/etc/passwd"), Standing::Elsewhere);
    }
}
