//! The report of a run as a file: JSON, whole or not there.
//!
//! It is written under another name in the same directory and renamed, so that a reader never sees half of it and a report of an
//! earlier run is replaced at once. The directory is opened before the command runs and never looked up again: a command
//! that puts a link in its place does not lead the report elsewhere.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;
use serde::Serialize;
use weir_protocol::ByteString;
use weir_protocol::method::Error;
use weir_protocol::method::process::{Enforcement, Exited};

use super::super::Exit;
use crate::run::Ended;

/// Permissions of the file before the caller's umask takes its share.
const MODE: Mode =
    Mode::RUSR.union(Mode::WUSR).union(Mode::RGRP).union(Mode::WGRP).union(Mode::ROTH).union(Mode::WOTH);

/// Most names tried for the file before it is renamed: a command may have left files of those names.
const MAX_NAMES: u32 = 64;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum ReportError {
    /// It cannot be written where it should be.
    #[error("cannot write the report {}: {source}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A report to be written.
pub(super) struct Report {
    path: PathBuf,
    /// The directory, opened before the command had a chance to change what its path leads to.
    directory: OwnedFd,
    name: OsString,
    argv: Vec<ByteString>,
}

/// What the file holds. Exactly one of `exited` and `error` is there.
#[derive(Serialize)]
struct Content<'a> {
    argv: &'a [ByteString],
    exit_code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    enforcement: Option<&'a Enforcement>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exited: Option<&'a Exited>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Told<'a>>,
}

/// Why there was no run, or no whole one; the code where the server gave one.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i64>,
    message: &'a str,
}

impl Report {
    /// Finds out before the run whether the file can be there at all.
    pub(super) fn new(path: &Path, argv: &[ByteString]) -> Result<Self, ReportError> {
        let failed = |source: io::Error| ReportError::Write { path: path.to_owned(), source };
        let is_directory = || failed(io::ErrorKind::IsADirectory.into());
        let name = path.file_name().ok_or_else(is_directory)?.to_owned();
        let above = path.parent().unwrap_or(Path::new("/"));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, above, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
        match std::fs::symlink_metadata(path) {
            Ok(found) if found.is_dir() => Err(is_directory()),
            _ => Ok(Self { path: path.to_owned(), directory, name, argv: argv.to_vec() }),
        }
    }

    /// Writes it. `error`: what the server said, and what the user is told.
    pub(super) fn write(
        &self,
        exit: Exit,
        ended: Option<&Ended>,
        error: Option<(Option<&Error>, String)>,
    ) -> Result<(), ReportError> {
        let content = Content {
            argv: &self.argv,
            exit_code: exit.code(),
            enforcement: ended.map(|ended| &ended.started.enforcement),
            exited: ended.map(|ended| &ended.exited),
            error: error
                .as_ref()
                .map(|(error, message)| Told { code: error.map(|error| error.code), message }),
        };
        self.replace(&content).map_err(|error| self.failed(error))
    }

    fn replace(&self, content: &Content<'_>) -> io::Result<()> {
        let mut bytes = serde_json::to_vec_pretty(content)?;
        bytes.push(b'\n');
        let (aside, mut file) = self.aside()?;
        let written = file
            .write_all(&bytes)
            .and_then(|()| Ok(renameat(&self.directory, &aside, &self.directory, &self.name)?));
        if written.is_err() {
            let _ = unlinkat(&self.directory, &aside, AtFlags::empty());
        }
        written
    }

    /// A new file beside the one that is to be.
    fn aside(&self) -> io::Result<(OsString, File)> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for number in 0..MAX_NAMES {
            let mut name = OsString::from(".");
            name.push(&self.name);
            name.push(format!(".{}-{number}", std::process::id()));
            match openat(&self.directory, &name, flags, MODE) {
                Ok(file) => return Ok((name, file.into())),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn failed(&self, source: io::Error) -> ReportError {
        ReportError::Write { path: self.path.clone(), source }
    }
}
