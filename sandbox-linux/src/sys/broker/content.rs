//! What lies in a directory that is about to be moved: something closed would get away with it. Called by `live`.

use std::ffi::CString;
use std::os::fd::{AsFd as _, BorrowedFd};

use weir_protocol::policy::Operation;

use super::super::walk::{self, Entry, FileType};
use super::call;
use super::resolve::NO_LINKS;
use crate::live::Judge;

/// Most entries that are looked at before a directory is moved; one that holds more stays where it is.
const MAX_ENTRIES: u32 = 200_000;
/// Bytes of entries read at once.
const ROOM: usize = 32 << 10;
/// How a directory is opened for it.
pub(super) const LISTING: u32 =
    (libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC).cast_unsigned();

/// One look through a directory.
struct Content<'a> {
    judge: &'a mut Judge,
    /// Its path.
    path: &'a [u8],
    /// Directories below it that are still to be looked at, by the way to them.
    waiting: Vec<Vec<u8>>,
    left: u32,
}

/// Something closed below a directory with this path. What cannot be looked at where something could be closed counts.
pub(super) fn closed_below(judge: &mut Judge, top: BorrowedFd<'_>, path: &[u8]) -> Option<Vec<u8>> {
    let mut content = Content { judge, path, waiting: vec![b".".to_vec()], left: MAX_ENTRIES };
    let mut buffer = vec![0; ROOM];
    while let Some(way) = content.waiting.pop() {
        let name = CString::new(way.as_slice()).unwrap_or_default();
        let found = match call::openat2(top, &name, LISTING, 0, NO_LINKS) {
            Ok(directory) => content.list(directory.as_fd(), &way, &mut buffer),
            Err(libc::ENOENT | libc::ENOTDIR | libc::ELOOP) => None,
            Err(_) => Some(content.whole(&way)),
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

impl Content<'_> {
    fn list(&mut self, directory: BorrowedFd<'_>, way: &[u8], buffer: &mut [u8]) -> Option<Vec<u8>> {
        loop {
            let filled = match walk::read_entries(directory, buffer) {
                Ok(0) => return None,
                Ok(filled) => filled,
                Err(_) => return Some(self.whole(way)),
            };
            let mut entries = walk::entries(buffer.get(..filled).unwrap_or_default());
            let found = entries.find_map(|entry| self.look_at(way, &entry));
            if found.is_some() {
                return found;
            }
        }
    }

    fn look_at(&mut self, way: &[u8], entry: &Entry<'_>) -> Option<Vec<u8>> {
        let further = [way, b"/", entry.name.to_bytes()].concat();
        let whole = self.whole(&further);
        self.left = self.left.saturating_sub(1);
        if self.left == 0 || self.judge.judge(&whole, Operation::Read).is_some() {
            return Some(whole);
        }
        let may_hold = matches!(entry.file_type, FileType::Directory | FileType::Untold);
        if may_hold && self.judge.reaches(&whole) {
            self.waiting.push(further);
        }
        None
    }

    /// The path of what is found on a way that begins with `.`.
    fn whole(&self, way: &[u8]) -> Vec<u8> {
        [self.path, way.strip_prefix(b".").unwrap_or(way)].concat()
    }
}
