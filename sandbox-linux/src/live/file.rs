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
pub struct Files(HashMap<(u64, u64), Option<i64>>);

impl Files {
    /// Takes a file in.
    pub fn insert(&mut self, file: FileId) {
        self.0.insert((file.device, file.inode), file.birth_ns);
    }

    /// Whether the file is in the set. One of which it is not known when it was made counts.
    #[must_use]
    pub fn contains(&self, file: FileId) -> bool {
        match (self.0.get(&(file.device, file.inode)), file.birth_ns) {
            (None, _) => false,
            (Some(Some(known)), Some(asked)) => *known == asked,
            (Some(_), _) => true,
        }
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
}
