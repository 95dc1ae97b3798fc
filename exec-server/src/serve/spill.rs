//! Where output goes that memory does not hold: files without a name, gone with the process that has them open.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;

use rustix::fs::{FallocateFlags, Mode, OFlags, fallocate};

/// A directory for files without a name.
#[derive(Debug)]
pub(super) struct Spill(OwnedFd);

impl Spill {
    pub(super) const fn new(directory: OwnedFd) -> Self {
        Self(directory)
    }

    /// A new file (open(2), `O_TMPFILE`).
    pub(super) fn file(&self) -> io::Result<File> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::EXCL;
        Ok(rustix::fs::openat(&self.0, ".", flags, Mode::RUSR | Mode::WUSR)?.into())
    }
}

/// Gives these bytes of a file back to the disk: whoever reads them gets zeros (fallocate(2), `FALLOC_FL_PUNCH_HOLE`).
pub(super) fn punch(file: &File, bytes: Range<u64>) -> io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(fallocate(file, flags, bytes.start, bytes.end.saturating_sub(bytes.start))?)
}
