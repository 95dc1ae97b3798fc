//! The names beside closed places, and which files they stand for ([`Beside`]). Called by `Survey::take`.
//!
//! Directories are listed from the top down: a directory that comes into being meanwhile is among the names of the one above it only
//! when it is listed itself.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd as _, BorrowedFd};

use weir_protocol::AbsPath;
use weir_protocol::policy::{Access, Filesystem};

use super::index::{self, Index};
use super::links::{Trust, trust};
use crate::live::{self, Beside, Names};
use crate::sys::walk::{self, Entry, Opening};

/// Most names: each costs a launch one Landlock rule, a thousand of them some milliseconds.
const MAX_NAMES: usize = 2_048;

/// Bytes read from a directory at once.
const BUFFER_BYTES: usize = 32 << 10;

/// Lists them, with how many directories no index knew. Nothing where the policy closes by patterns, closes something inside what may be written,
/// or closes nothing; where a directory cannot be listed; and where there are too many names.
pub(super) fn list(filesystem: &Filesystem, mut index: Option<&mut Index>) -> (Option<Beside>, u64) {
    let Some(ways) = ways(filesystem) else { return (None, 0) };
    let (mut found, mut count, mut listed) = (BTreeMap::new(), 0, 0);
    let mut buffer = vec![0; BUFFER_BYTES];
    for way in ways {
        let names = match names(&way, index.as_deref_mut(), (&mut buffer, &mut listed)) {
            Ok(names) => names,
            // Whatever comes to be there was not there.
            Err(libc::ENOENT | libc::ENOTDIR | libc::ELOOP) => Names::new(),
            Err(_) => return (None, listed),
        };
        count += names.len();
        if count > MAX_NAMES {
            return (None, listed);
        }
        found.insert(way, names);
    }
    (Some(Beside::new(found)), listed)
}

/// The directories above what is closed, as far as they may be read, those further up first.
fn ways(filesystem: &Filesystem) -> Option<BTreeSet<AbsPath>> {
    let mut ways = BTreeSet::new();
    for closed in live::carved_out(filesystem, Access::None) {
        let mut next = closed.path.parent();
        while let Some(path) = next {
            match filesystem.access(&path) {
                Access::None => break,
                Access::Read => {}
                Access::Copy | Access::Write => return None,
            }
            next = path.parent();
            ways.insert(path);
        }
    }
    (filesystem.globs().is_empty() && !ways.is_empty()).then_some(ways)
}

fn names(
    way: &AbsPath,
    index: Option<&mut Index>,
    (buffer, listed): (&mut [u8], &mut u64),
) -> Result<Names, i32> {
    let path = CString::new(way.as_bytes()).map_err(|_| libc::EINVAL)?;
    let directory = walk::open_whole(&path, Opening::Listing)?;
    let (directory, trust) = (directory.as_fd(), trust(directory.as_fd()));
    let mut names = Names::new();
    let each = |entry: Entry<'_>| -> Result<(), Infallible> {
        names.extend(inode(directory, &entry, trust).map(|inode| (entry.name.to_bytes().to_vec(), inode)));
        Ok(())
    };
    let Ok(done) = index::look(directory, buffer, index, listed, each);
    done.map(|()| names)
}

/// The inode that a name stands for; nothing where it has gone again.
fn inode(directory: BorrowedFd<'_>, entry: &Entry<'_>, trust: Trust) -> Option<u64> {
    match trust {
        Trust::Inodes => Some(entry.inode),
        Trust::Nothing => walk::status(directory, entry.name).ok().map(|status| status.file.inode),
    }
}
