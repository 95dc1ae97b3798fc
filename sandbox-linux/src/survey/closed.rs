//! Which files are closed, so that they are known by any other name. Called by `survey` and `walk`.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, BorrowedFd};

use weir_protocol::policy::{Access, Filesystem};

use crate::live::{self, FileId};
use crate::sys::walk::{self, FileType, Opening};

/// Most files that are told: a few megabytes of a launch. Of more, masks alone hold those that were there.
pub(super) const MAX_CLOSED_FILES: usize = 1 << 17;

/// Most entries of closed places that are looked at for one launch, some tens of milliseconds' worth.
const MAX_ENTRIES: u32 = 50_000;

/// Bytes read from a directory at once.
const BUFFER_BYTES: usize = 32 << 10;

/// Takes in the file of this name.
pub(super) fn take_in(files: &mut Vec<FileId>, directory: BorrowedFd<'_>, name: &CStr) {
    if files.len() < MAX_CLOSED_FILES {
        files.extend(walk::identity(directory, name));
    }
}

/// Takes in the files in places that rules close inside granted ones.
pub(super) fn add(files: &mut Vec<FileId>, filesystem: &Filesystem) {
    let mut left = MAX_ENTRIES;
    let mut buffer = vec![0; BUFFER_BYTES];
    for rule in live::carved_out(filesystem, Access::None) {
        let Ok(top) = CString::new(rule.path.as_bytes()) else { continue };
        let mut waiting = vec![top];
        while let Some(path) = waiting.pop() {
            match walk::open_whole(&path, Opening::Listing) {
                Ok(directory) => {
                    list(files, directory.as_fd(), &path, &mut buffer, (&mut left, &mut waiting))
                }
                // A file, by its path.
                Err(libc::ENOTDIR) => {
                    if let Ok(root) = walk::open_root(Opening::Lookup) {
                        take_in(files, root.as_fd(), &path);
                    }
                }
                Err(_) => {}
            }
        }
    }
}

fn list(
    files: &mut Vec<FileId>,
    directory: BorrowedFd<'_>,
    path: &CStr,
    buffer: &mut [u8],
    (left, waiting): (&mut u32, &mut Vec<CString>),
) {
    while let Ok(filled @ 1..) = walk::read_entries(directory, buffer) {
        for entry in walk::entries(buffer.get(..filled).unwrap_or_default()) {
            *left = left.saturating_sub(1);
            if *left == 0 {
                return;
            }
            match entry.file_type {
                FileType::File => take_in(files, directory, entry.name),
                FileType::Directory => {
                    waiting.extend(CString::new([path.to_bytes(), b"/", entry.name.to_bytes()].concat()));
                }
                _ => {}
            }
        }
    }
}
