//! Files told from each other whatever they are called: for the further names of what is closed.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// One file. Numbers of inodes are used again when a file has gone; when it was made tells the next one from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileId {
    /// The file system (`st_dev`).
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
    /// Nanoseconds since the epoch, where the file system knows.
    pub birth_ns: Option<i64>,
}

/// A set of files.
#[derive(Debug, Default)]
pub struct Files(HashMap<u64, Vec<(u64, Option<i64>)>>);

impl Files {
    /// Takes a file in.
    pub fn insert(&mut self, file: FileId) {
        let same = self.0.entry(file.inode).or_default();
        match same.iter_mut().find(|(device, _)| *device == file.device) {
            Some((_, birth_ns)) => *birth_ns = file.birth_ns,
            None => same.push((file.device, file.birth_ns)),
        }
    }

    /// Whether the file is in the set. One of which it is not known when it was made counts.
    #[must_use]
    pub fn contains(&self, file: FileId) -> bool {
        self.has(file, |device| device == file.device)
    }

    /// Whether the file is in the set by its number and birth alone: an overlay tells those of the file that it shows, and a file system
    /// of its own.
    #[must_use]
    pub fn contains_shown(&self, file: FileId) -> bool {
        self.has(file, |_| true)
    }

    fn has(&self, file: FileId, is_meant: impl Fn(u64) -> bool) -> bool {
        let same = self.0.get(&file.inode).into_iter().flatten().filter(|(device, _)| is_meant(*device));
        same.map(|(_, birth_ns)| birth_ns.zip(file.birth_ns))
            .any(|both| both.is_none_or(|(known, asked)| known == asked))
    }
}

impl FromIterator<FileId> for Files {
    fn from_iter<T: IntoIterator<Item = FileId>>(files: T) -> Self {
        let mut set = Self::default();
        files.into_iter().for_each(|file| set.insert(file));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_used_again_is_another_file() {
        let file = |inode, birth_ns| FileId { device: 1, inode, birth_ns };
        let set: Files = [file(1, Some(10)), file(2, None)].into_iter().collect();
        let cases = [
            (file(1, Some(10)), true),
            (file(1, Some(11)), false),
            (file(1, None), true),
            (file(2, Some(7)), true),
            (file(3, Some(10)), false),
            (FileId { device: 2, ..file(1, Some(10)) }, false),
        ];
        for (asked, want) in cases {
            assert_eq!(set.contains(asked), want, "{asked:?}");
        }
    }

    /// As an overlay shows it, with a device of its own.
    #[test]
    fn a_file_is_known_on_an_overlay() {
        let file = |device, inode, birth_ns| FileId { device, inode, birth_ns };
        let set: Files = [file(1, 1, Some(10)), file(2, 1, Some(20)), file(1, 2, None)].into_iter().collect();
        let cases = [
            (file(9, 1, Some(10)), true),
            (file(9, 1, Some(20)), true),
            (file(9, 1, Some(30)), false),
            (file(9, 1, None), true),
            (file(9, 2, Some(30)), true),
            (file(9, 3, Some(10)), false),
        ];
        for (asked, want) in cases {
            assert_eq!(set.contains_shown(asked), want, "{asked:?}");
            assert!(!set.contains(asked));
        }
    }
}
