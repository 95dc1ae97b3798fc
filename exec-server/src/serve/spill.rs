//! Where output goes that memory does not hold: files without a name, gone with the process that has them open.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

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

/// A file as a journal has need of it.
pub trait Disk {
    /// pwrite(2), all of it.
    ///
    /// # Errors
    /// The system's; a part may have been written.
    fn write_all_at(&self, bytes: &[u8], place: u64) -> io::Result<()>;

    /// pread(2), all of it.
    ///
    /// # Errors
    /// The system's.
    fn read_exact_at(&self, bytes: &mut [u8], place: u64) -> io::Result<()>;

    /// ftruncate(2).
    ///
    /// # Errors
    /// The system's.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// Gives these bytes back: whoever reads them gets zeros (fallocate(2), `FALLOC_FL_PUNCH_HOLE`).
    ///
    /// # Errors
    /// The system's; not every file system can do so.
    fn punch(&self, bytes: Range<u64>) -> io::Result<()>;
}

impl Disk for File {
    fn write_all_at(&self, bytes: &[u8], place: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, place)
    }

    fn read_exact_at(&self, bytes: &mut [u8], place: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, bytes, place)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        Self::set_len(self, bytes)
    }

    fn punch(&self, bytes: Range<u64>) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(fallocate(self, flags, bytes.start, bytes.end.saturating_sub(bytes.start))?)
    }
}
