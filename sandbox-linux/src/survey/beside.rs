//! What lies beside closed places: the names in the directories above them. Called by `Survey::take`, where the profile leaves what is only read to
//! the kernel (`compile::reading`).
//!
//! Directories are listed from the top down: a directory that comes into being meanwhile is among the names of the one above it only
//! when it is listed itself.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::AsFd as _;

use weir_protocol::AbsPath;
use weir_protocol::policy::{Access, Degradation, Filesystem, Policy};

use super::index::{self, Index};
use crate::live;
use crate::sys::walk::{self, Entry, Opening};

/// Most names: each costs a launch one Landlock rule, a thousand of them some milliseconds.
const MAX_NAMES: usize = 2_048;

/// Bytes read from a directory at once.
const BUFFER_BYTES: usize = 32 << 10;

/// The directories from the top of what may be read down to each closed place, whether that is there or not, with their names.
pub(crate) type Beside = BTreeMap<AbsPath, BTreeSet<Vec<u8>>>;

/// Lists them, with how many directories no index knew. Nothing where the profile does not ask for it; where the policy closes by patterns, closes
/// something inside what may be written, or closes nothing; where a directory cannot be listed; and where there are too many names.
pub(super) fn list(policy: &Policy, mut index: Option<&mut Index>) -> (Option<Beside>, u64) {
    let is_asked = policy.degradations().contains_key(&Degradation::UntoldReadings);
    let Some(ways) = is_asked.then(|| ways(policy.filesystem())).flatten() else { return (None, 0) };
    let (mut found, mut count, mut listed) = (Beside::new(), 0, 0);
    let mut buffer = vec![0; BUFFER_BYTES];
    for way in ways {
        let names = match names(&way, index.as_deref_mut(), (&mut buffer, &mut listed)) {
            Ok(names) => names,
            // Whatever comes to be there was not there.
            Err(libc::ENOENT | libc::ENOTDIR | libc::ELOOP) => BTreeSet::new(),
            Err(_) => return (None, listed),
        };
        count += names.len();
        if count > MAX_NAMES {
            return (None, listed);
        }
        found.insert(way, names);
    }
    (Some(found), listed)
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
) -> Result<BTreeSet<Vec<u8>>, i32> {
    let path = CString::new(way.as_bytes()).map_err(|_| libc::EINVAL)?;
    let directory = walk::open_whole(&path, Opening::Listing)?;
    let mut names = BTreeSet::new();
    let each = |entry: Entry<'_>| -> Result<(), Infallible> {
        names.insert(entry.name.to_bytes().to_vec());
        Ok(())
    };
    let Ok(done) = index::look(directory.as_fd(), buffer, index, listed, each);
    done.map(|()| names)
}
