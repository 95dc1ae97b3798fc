//! Which names are guarded where: comparison of names, also on file systems that fold case.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use weir_protocol::AbsPath;

/// Names that must not come into being directly inside one directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// The directory, as the sandbox sees it. It is guarded itself while it exists, whatever it is renamed to from
    /// outside, and so is whatever directory comes to stand at this path.
    pub parent: AbsPath,
    /// The names: single components, no slash.
    pub names: Vec<Vec<u8>>,
}

/// Whether a directory's file system takes two spellings for one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Folding {
    /// Names are bytes.
    Exact,
    /// Case, ignorable characters and trailing dots do not count (vfat, exfat, ntfs, cifs, ext4 and f2fs with casefold).
    Folded,
}

impl Guard {
    /// Whether `name` would be one of the guarded ones in a directory that folds names so.
    pub(crate) fn covers(&self, name: &[u8], folding: Folding) -> bool {
        match folding {
            Folding::Exact => self.names.iter().any(|guarded| guarded == name),
            Folding::Folded => {
                let name = fold(name);
                self.names.iter().any(|guarded| fold(guarded) == name)
            }
        }
    }
}

/// One spelling for all that a folding file system may take for the same name: more than any single one does, never less for
/// guarded names, which are ASCII.
///
/// Letters go to lower case, with the two characters outside ASCII whose simple folding is an ASCII letter (the long s, U+017F,
/// and the Kelvin sign, U+212A); all other bytes above ASCII are dropped, among them every ignorable
/// character; so are trailing dots and spaces (vfat).
fn fold(name: &[u8]) -> Vec<u8> {
    let mut folded = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte.is_ascii() {
            folded.push(byte.to_ascii_lowercase());
        } else if let Some(behind) = rest.strip_prefix(&[0xbf]).filter(|_| byte == 0xc5) {
            folded.push(b's');
            rest = behind;
        } else if let Some(behind) = rest.strip_prefix(&[0x84, 0xaa]).filter(|_| byte == 0xe2) {
            folded.push(b'k');
            rest = behind;
        }
    }
    while folded.last().is_some_and(|last| matches!(last, b'.' | b' ')) {
        folded.pop();
    }
    folded
}

/// Tells quickly that a name is of no interest anywhere, which is so for nearly every call.
#[derive(Debug)]
pub(crate) struct NameIndex {
    names: BTreeSet<Vec<u8>>,
    folded: BTreeSet<Vec<u8>>,
    folding: Folding,
}

impl NameIndex {
    /// An index of names; `folding` is [`Folding::Folded`] when any directory folds.
    pub(crate) fn new<'a>(names: impl Iterator<Item = &'a [u8]>, folding: Folding) -> Self {
        let names: BTreeSet<Vec<u8>> = names.map(<[u8]>::to_vec).collect();
        let folded = names.iter().map(|name| fold(name)).collect();
        Self { names, folded, folding }
    }

    /// Whether the name may be one of them.
    pub(crate) fn contains(&self, name: &[u8]) -> bool {
        match self.folding {
            Folding::Exact => self.names.contains(name),
            Folding::Folded => self.folded.contains(&fold(name)),
        }
    }

    /// From now on names are folded.
    pub(crate) fn fold(&mut self) {
        self.folding = Folding::Folded;
    }
}

/// What follows `at` in `target`, when `at` is `target` or a directory above it: the part of a guarded directory's path
/// that a directory coming to stand at `at` would bring along. Both are absolute paths as the kernel writes them.
pub(crate) fn on_the_way<'a>(target: &'a AbsPath, at: &[u8]) -> Option<&'a [u8]> {
    let rest = target.as_bytes().strip_prefix(at)?;
    match rest.split_first() {
        None => Some(b""),
        Some((b'/', below)) => Some(below),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> AbsPath {
        AbsPath::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn names_are_bytes_or_folded() {
        let names = [".git", ".vscode", ".mcp.json"].map(|name| name.as_bytes().to_vec());
        let guard = Guard { parent: path("/w"), names: names.to_vec() };
        let cases: [(&[u8], bool, bool); 13] = [
            (b".git", true, true),
            (b".gitx", false, false),
            (b"git", false, false),
            (b".GIT", false, true),
            (b".Git.", false, true),
            (b".git .", false, true),
            (".g\u{200c}it".as_bytes(), false, true),
            (".v\u{17f}code".as_bytes(), false, true),
            (".vscode\u{212a}".as_bytes(), false, false),
            (b".mcp.JSON", false, true),
            (b".g\xffit", false, true),
            (b".", false, false),
            (b"", false, false),
        ];
        for (name, exact, folded) in cases {
            assert_eq!(guard.covers(name, Folding::Exact), exact, "{name:?}");
            assert_eq!(guard.covers(name, Folding::Folded), folded, "{name:?}");
            let mut index = NameIndex::new(guard.names.iter().map(Vec::as_slice), Folding::Exact);
            assert_eq!(index.contains(name), exact, "{name:?}");
            index.fold();
            assert_eq!(index.contains(name), folded, "{name:?}");
        }
        assert_eq!(fold("\u{212a}".as_bytes()), b"k");
    }

    #[test]
    fn the_way_to_a_directory() {
        let target = path("/w/repo/.git");
        let cases: [(&str, Option<&str>); 7] = [
            ("/w/repo/.git", Some("")),
            ("/w/repo", Some(".git")),
            ("/w", Some("repo/.git")),
            ("/w/rep", None),
            ("/w/repo/.git/hooks", None),
            ("/w/repo/.gitx", None),
            ("/x", None),
        ];
        for (at, want) in cases {
            assert_eq!(on_the_way(&target, at.as_bytes()), want.map(str::as_bytes), "{at}");
        }
    }
}
