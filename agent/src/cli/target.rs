//! A file that a result goes to once a command is over: found before it runs, so that what cannot be written is known while nothing has
//! happened.
//!
//! A regular file is replaced whole: written under another name in the same directory and renamed, so that a reader never sees half
//! of it. The directory is opened before the command runs and never looked up again: a command that puts a link in its place does not
//! lead the result elsewhere. Symbolic links are followed, once, then too. What is no regular file (a device, a pipe) is opened then and
//! written to in place; a FIFO waits for its reader as with a shell's `>`, while signals still end this program.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, accessat, openat, renameat, unlinkat};
use rustix::io::Errno;

/// Permissions of the file before the caller's umask takes its share.
const MODE: Mode =
    Mode::RUSR.union(Mode::WUSR).union(Mode::RGRP).union(Mode::WGRP).union(Mode::ROTH).union(Mode::WOTH);

/// Most names tried for the file before it is renamed: a command may have left files of those names.
const MAX_NAMES: u32 = 64;

/// Most symbolic links followed, as the kernel does (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// Where descriptors have names: what is behind these links has no other.
const PROCESSES: &str = "/proc";

/// Where a result goes.
pub(super) enum Target {
    /// A regular file, there or not, in a directory.
    File { directory: OwnedFd, name: OsString },
    /// Anything else, open.
    Open(File),
}

impl Target {
    /// Finds out whether something can be written there, and what it is.
    pub(super) fn find(path: &Path) -> io::Result<Self> {
        let path = &followed(path)?;
        match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(found) if !found.is_file() || is_descriptor(path) => {
                let flags = OFlags::NOCTTY.bits().cast_signed();
                return Ok(Self::Open(OpenOptions::new().append(true).custom_flags(flags).open(path)?));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?.to_owned();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, above(path), flags, Mode::empty())?;
        accessat(&directory, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::empty())?;
        Ok(Self::File { directory, name })
    }

    /// Writes all of it.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::File { directory, name } => replace(directory, name, bytes),
            Self::Open(file) => file.write_all(bytes),
        }
    }
}

fn above(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// The path behind symbolic links, also where nothing is there yet.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match std::fs::read_link(&path) {
            Ok(target) if !is_descriptor(&path) => path = above(&path).join(target),
            _ => return Ok(path),
        }
    }
    Err(Errno::LOOP.into())
}

/// Whether the name is one that the kernel gives a descriptor.
fn is_descriptor(path: &Path) -> bool {
    above(path).canonicalize().is_ok_and(|directory| directory.starts_with(PROCESSES))
}

fn replace(directory: &OwnedFd, name: &OsStr, bytes: &[u8]) -> io::Result<()> {
    let (aside, mut file) = aside(directory, name)?;
    let written = file.write_all(bytes).and_then(|()| Ok(renameat(directory, &aside, directory, name)?));
    if written.is_err() {
        let _ = unlinkat(directory, &aside, AtFlags::empty());
    }
    written
}

/// A new file beside the one that is to be.
fn aside(directory: &OwnedFd, name: &OsStr) -> io::Result<(OsString, File)> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for number in 0..MAX_NAMES {
        let mut aside = OsString::from(".");
        aside.push(name);
        aside.push(format!(".{}-{number}", std::process::id()));
        match openat(directory, &aside, flags, MODE) {
            Ok(file) => return Ok((aside, file.into())),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}
