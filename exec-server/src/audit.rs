//! The audit log: what was decided, on disk before it takes effect.
//!
//! The supervisor opens it and hands it to each launcher; the parts that read clients never have it. Each record is one write(2)
//! of one bounded line to a file that was opened with `O_APPEND`: the kernel puts it at the end, whole, whoever else writes
//! (open(2); not so on NFS). A record that cannot be written refuses what it is about. A launcher goes on with the file it was
//! given, so the last words about a command may stand in a file that was set aside.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use weir_protocol::audit::{Action, By, FILE_BYTES, KEPT_FILES, Record, aside, since_1970_ms, time};

/// Where records go; or nowhere, where the administrator wants none.
#[derive(Debug, Default)]
pub struct Audit(Option<Open>);

#[derive(Debug)]
struct Open {
    file: File,
    path: PathBuf,
}

impl Audit {
    /// Records to this file, which is made where it is not there, for its owner alone.
    ///
    /// # Errors
    /// open(2)'s; a file that is another user's or open to others is none to trust.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        Ok(Self(Some(Open { file, path: path.to_owned() })))
    }

    /// Writes a record.
    ///
    /// # Errors
    /// write(2)'s, also where only a part could be written; what the record is about must not happen then.
    pub fn write(&self, record: &Record) -> io::Result<()> {
        let Some(Open { file, .. }) = &self.0 else { return Ok(()) };
        let line = record.line().ok_or(io::ErrorKind::InvalidData)?;
        match (&*file).write(&line)? {
            written if written == line.len() => Ok(()),
            _ => {
                // The next record begins on a line of its own, if there is room for so much.
                let _ = (&*file).write(b"\n");
                Err(io::ErrorKind::StorageFull.into())
            }
        }
    }

    /// Sets a file aside that has grown, and begins another. The supervisor's to do.
    ///
    /// # Errors
    /// rename(2)'s and open(2)'s; the file stays as it is.
    pub fn turn(&mut self) -> io::Result<()> {
        let Some(Open { file, path }) = &mut self.0 else { return Ok(()) };
        if file.metadata()?.size() < FILE_BYTES {
            return Ok(());
        }
        for number in (1..KEPT_FILES).rev() {
            match fs::rename(aside(path, number), aside(path, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&*path, aside(path, 1))?;
        *file = open(path)?;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let file = OpenOptions::new().create(true).append(true).mode(0o600).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    // A device or a pipe loses nothing of others, and may be wanted.
    if found.is_file() && (found.uid() != nix::unistd::geteuid().as_raw() || found.mode() & 0o077 != 0) {
        let why = format!("{} is another user's, or open to others", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    Ok(file)
}

/// A record of now.
#[must_use]
pub fn now(who: (u32, u32), action: Action, by: By) -> Record {
    Record::new(time(since_1970_ms(SystemTime::now())), who, action, by)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn records_are_appended_and_files_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let mut audit = Audit::open(&path).unwrap();
        for round in 0..KEPT_FILES + 2 {
            audit.write(&now((round, 0), Action::Admit, By::Supervisor)).unwrap();
            audit.turn().unwrap();
            // A hole: the size is what counts.
            File::options().write(true).open(&path).unwrap().set_len(FILE_BYTES).unwrap();
            audit.turn().unwrap();
            assert_eq!(fs::metadata(&path).unwrap().len(), 0);
        }
        let mut names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(
            names,
            ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2", "audit.jsonl.3", "audit.jsonl.4"]
        );
        let first = fs::read(aside(&path, KEPT_FILES)).unwrap();
        let line = first.split(|byte| *byte == b'\n').next().unwrap();
        let oldest = Record::read(std::str::from_utf8(line).unwrap()).unwrap();
        assert_eq!(oldest.uid, 2, "the first two are gone");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_record_that_cannot_be_written_is_an_error() {
        let full = Audit::open(Path::new("/dev/full")).unwrap();
        let record = now((0, 0), Action::Start, By::Launcher);
        assert_eq!(full.write(&record).unwrap_err().raw_os_error(), Some(libc::ENOSPC));
        Audit::default().write(&record).unwrap();
    }

    #[test]
    fn a_file_that_others_may_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
        assert_eq!(Audit::open(&path).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        std::os::unix::fs::symlink(&path, dir.path().join("link")).unwrap();
        assert!(Audit::open(&dir.path().join("link")).is_err());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        Audit::open(&path).unwrap();
    }
}
