//! How content gets into its place: beside it and renamed over it where that changes nothing else, into the file itself otherwise.
//!
//! A file that is there is first opened for writing as a command would open it, and a new name is made as a command would make
//! it, so that the kernel says about it what it says to a command. Owner, permission bits and other names of a file stay; extended
//! attributes do not where it is renamed over.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{self, Seek as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use weir_protocol::AbsPath;
use weir_protocol::method::file::Manner;

use super::Fault;
use super::worker::Worker;

/// Bytes of a file's own name that its draft's name begins with: the rest of the 255 that a name may have is for what is added.
const NAME_BYTES: usize = 200;

/// Names tried for a draft; each but the last was taken.
const MAX_NAMES: u32 = 100;

/// Permission bits that a call may set.
const PERMISSIONS: u32 = 0o777;

/// Who writes: as a file's owner it is compared with, and as a draft's name it is told apart.
fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Makes a file that must not be there. What could not be filled is removed.
pub(super) fn create(
    worker: &Worker,
    path: &AbsPath,
    permissions: Option<u32>,
    fill: impl FnOnce(&File) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let file = worker.make(path, OFlags::WRONLY | OFlags::EXCL)?;
    let filled = fill(&file).and_then(|()| permit(&file, permissions));
    if filled.is_err() {
        // The name is ours: it was made just now, and exclusively.
        let _ = fs::remove_file(path.as_path());
    }
    filled
}

/// Makes a file or replaces its content.
pub(super) fn replace(
    worker: &Worker,
    path: &AbsPath,
    permissions: Option<u32>,
    fill: impl FnOnce(&File) -> Result<(), Fault>,
) -> Result<Manner, Fault> {
    let there = match worker.open(path, OFlags::WRONLY) {
        Err(Fault::System(libc::ENOENT)) => None,
        opened => Some(opened?),
    };
    let Some(there) = there else {
        // A symbolic link that leads nowhere is followed, as a command follows it.
        let file = worker.make(path, OFlags::WRONLY)?;
        fill(&file)?;
        permit(&file, permissions)?;
        return Ok(Manner::InPlace);
    };
    let found = there.metadata()?;
    let alone = found.nlink() == 1 && found.uid() == own_uid();
    let draft = if alone { Draft::beside(path).ok() } else { None };
    let Some(draft) = draft else {
        there.set_len(0)?;
        fill(&there)?;
        permit(&there, permissions)?;
        return Ok(Manner::InPlace);
    };
    fill(&draft.file)?;
    permit(&draft.file, permissions.or(Some(found.mode())))?;
    match draft.rename() {
        Ok(()) => Ok(Manner::Renamed),
        // A file that is a mount of its own, or whose name must not be made anew: its content may be written all the same.
        Err((_, draft)) => {
            (&draft.file).rewind()?;
            there.set_len(0)?;
            io::copy(&mut &draft.file, &mut &there)?;
            permit(&there, permissions)?;
            Ok(Manner::InPlace)
        }
    }
}

pub(super) fn permit(file: &File, permissions: Option<u32>) -> Result<(), Fault> {
    let Some(permissions) = permissions else { return Ok(()) };
    Ok(file.set_permissions(Permissions::from_mode(permissions & PERMISSIONS))?)
}

/// New content in a file beside the one that it is for. It goes with the value unless it is renamed.
#[derive(Debug)]
struct Draft {
    file: File,
    place: PathBuf,
    target: PathBuf,
}

impl Draft {
    fn beside(path: &AbsPath) -> io::Result<Self> {
        let target = match fs::symlink_metadata(path.as_path()) {
            Ok(found) if found.is_symlink() => fs::canonicalize(path.as_path())?,
            _ => path.as_path().to_owned(),
        };
        let (Some(directory), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        for number in 0..MAX_NAMES {
            let place = directory.join(draft_name(name.as_encoded_bytes(), number));
            match fs::OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&place) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(file) => return Ok(Self { file, place, target }),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn rename(self) -> Result<(), (io::Error, Self)> {
        match fs::rename(&self.place, &self.target) {
            Ok(()) => {
                // The name is gone, and what would remove it finds nothing.
                drop(self);
                Ok(())
            }
            Err(error) => Err((error, self)),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let is_ours = |place: &Path| match (fs::symlink_metadata(place), self.file.metadata()) {
            (Ok(there), Ok(own)) => (there.dev(), there.ino()) == (own.dev(), own.ino()),
            _ => false,
        };
        if is_ours(&self.place) {
            let _ = fs::remove_file(&self.place);
        }
    }
}

fn draft_name(name: &[u8], number: u32) -> OsString {
    use std::os::unix::ffi::OsStringExt as _;
    let mut draft = b".".to_vec();
    draft.extend(name.iter().take(NAME_BYTES));
    draft.extend(format!(".weir-{}-{number}", std::process::id()).into_bytes());
    OsString::from_vec(draft)
}
