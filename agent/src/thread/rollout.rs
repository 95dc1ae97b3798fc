//! One rollout, open for its only writer. What is in the file stays: it is only ever added to.
//!
//! The lock is on the file itself (flock(2)): it goes with the writer, however that ends, and leaves nothing behind.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

use weir_protocol::audit::{since_1970_ms, time};

use super::ThreadError;
use super::record::{self, MAX_LINE_BYTES, Ordinal, Record};

/// Permission bits of rollouts.
pub(super) const FILE_MODE: u32 = 0o600;

/// Whether the last line has its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    Whole,
    Torn,
}

/// A rollout that nobody else can write.
#[derive(Debug)]
pub(super) struct Rollout {
    file: File,
    next: Ordinal,
    tail: Tail,
}

/// Now, as records have it.
pub(super) fn now() -> String {
    time(since_1970_ms(SystemTime::now()))
}

/// Locks a file, which must still be the one of this name.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] where another has it, [`io::ErrorKind::NotFound`] where the name is gone.
pub(super) fn lock(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).append(true).open(path)?;
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
        TryLockError::Error(error) => error,
    })?;
    let (held, named) = (file.metadata()?, path.symlink_metadata()?);
    if (held.dev(), held.ino()) != (named.dev(), named.ino()) {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(file)
}

/// Gives the last line its end, where its writer could not: it is a line by itself then, and what it says is judged as any other.
pub(super) fn mend(file: &mut File) -> io::Result<()> {
    let mut last = [b'\n'];
    if file.metadata()?.len() > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    if last == [b'\n'] { Ok(()) } else { file.write_all(b"\n") }
}

impl Rollout {
    /// Makes the file, whose first record will have the ordinal `next`.
    pub(super) fn create(path: &Path, next: Ordinal) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create_new(true).mode(FILE_MODE).open(path)?;
        file.try_lock()?;
        Ok(Self { file, next, tail: Tail::Whole })
    }

    /// Goes on with a file that [`lock`] has given and [`mend`] has seen.
    pub(super) fn resume(file: File, next: Ordinal) -> Self {
        Self { file, next, tail: Tail::Whole }
    }

    /// Adds a record, in one write. Where an earlier one failed midway, its line gets its end first, so that it can be told from this one.
    pub(super) fn append(&mut self, record: &Record) -> Result<Ordinal, ThreadError> {
        let line = record::line(&now(), self.next, record).map_err(ThreadError::Unwritable)?;
        if line.len() > MAX_LINE_BYTES {
            return Err(ThreadError::TooLong { bytes: line.len() });
        }
        let bytes = if self.tail == Tail::Torn { [b"\n".as_slice(), &line].concat() } else { line };
        self.tail = Tail::Torn;
        self.file.write_all(&bytes).map_err(ThreadError::Write)?;
        self.tail = Tail::Whole;
        self.next += 1;
        Ok(self.next - 1)
    }

    /// Puts on the disk what was added.
    pub(super) fn sync(&self) -> Result<(), ThreadError> {
        self.file.sync_data().map_err(ThreadError::Write)
    }
}
