//! Further names of files that are denied: which inodes to look for, and whether a name leads to one. Called by `walk`, `closed` and `copied`.

use std::collections::{HashMap, HashSet};
use std::os::fd::BorrowedFd;

use crate::sys::walk::{self, Entry, FileType, Status};

/// File systems whose directories tell the same inode numbers as their files have (`linux/magic.h`): ext2 to ext4, XFS, Btrfs,
/// tmpfs, F2FS. On others (overlays of several file systems, FUSE) every file is asked.
const SAME_INODES: [libc::c_long; 5] = [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0xF2F5_2010];

/// A denied file with names that have not been seen.
#[derive(Debug, Clone, Copy)]
struct Target {
    rule: usize,
    unseen: u64,
}

/// Denied files by device and inode.
#[derive(Debug, Default)]
pub(super) struct Targets {
    files: HashMap<(u64, u64), Target>,
    inodes: HashSet<u64>,
}

impl Targets {
    /// Takes note of one name of a denied file.
    pub(super) fn denied(&mut self, status: Status, rule: usize) {
        if status.file_type != FileType::File || status.links < 2 {
            return;
        }
        let fresh = Target { rule, unseen: status.links };
        let target = self.files.entry(key(status)).or_insert(fresh);
        target.unseen = target.unseen.saturating_sub(1);
        target.rule = target.rule.min(rule);
    }

    /// Forgets the files of which every name is denied; whether there is anything left to look for.
    pub(super) fn settle(&mut self) -> bool {
        self.files.retain(|_, target| target.unseen > 0);
        self.inodes = self.files.keys().map(|(_, inode)| *inode).collect();
        !self.files.is_empty()
    }

    /// Whether every name has been found.
    pub(super) fn is_complete(&self) -> bool {
        self.files.is_empty()
    }

    /// Whether the file of this entry may be one that is looked for.
    pub(super) fn may_be(&self, entry: &Entry<'_>, trust: Trust) -> bool {
        trust == Trust::Nothing || self.inodes.contains(&entry.inode)
    }

    /// The rule that denies this file, found under a name that no pattern matches.
    pub(super) fn found(&mut self, status: Status) -> Option<usize> {
        let key = key(status);
        let target = self.files.get_mut(&key)?;
        target.unseen = target.unseen.saturating_sub(1);
        let (rule, done) = (target.rule, target.unseen == 0);
        if done {
            self.files.remove(&key);
        }
        Some(rule)
    }
}

/// Closed files with several names, whichever of these are seen: for places of which every name is looked at.
#[derive(Debug, Default)]
pub(super) struct Linked {
    files: HashSet<(u64, u64)>,
    inodes: HashSet<u64>,
}

impl Linked {
    /// Takes note of a file that is closed under one of its names.
    pub(super) fn closed(&mut self, status: Status) {
        if status.file_type == FileType::File && status.links > 1 {
            self.files.insert(key(status));
            self.inodes.insert(status.file.inode);
        }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Whether the file of this entry may be one of them.
    pub(super) fn may_be(&self, entry: &Entry<'_>, trust: Trust) -> bool {
        trust == Trust::Nothing || self.inodes.contains(&entry.inode)
    }

    /// Whether this file is one of them.
    pub(super) fn has(&self, status: Status) -> bool {
        self.files.contains(&key(status))
    }
}

const fn key(status: Status) -> (u64, u64) {
    (status.file.device, status.file.inode)
}

/// What the inode numbers in a directory's entries are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// They are those of the files.
    Inodes,
    /// They may differ.
    Nothing,
}

/// Whether the entries of this directory tell inode numbers that can be compared.
pub(super) fn trust(directory: BorrowedFd<'_>) -> Trust {
    match walk::file_system(directory) {
        Ok(kind) if SAME_INODES.contains(&kind) => Trust::Inodes,
        _ => Trust::Nothing,
    }
}
