//! The report of a run as a file: JSON, whole or not there.
//!
//! It is written under another name in the same directory and renamed, so that a reader never sees half of it and a report of an
//! earlier run is replaced at once.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use weir_protocol::ByteString;
use weir_protocol::method::Error;
use weir_protocol::method::process::{Enforcement, Exited};

use super::super::Exit;
use crate::run::Ended;

/// Permissions of the file before the caller's umask takes its share.
const MODE: u32 = 0o666;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReportError {
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
        let report = Self { path: path.to_owned(), argv: argv.to_vec() };
        let wrong = |kind: io::ErrorKind| report.failed(kind.into());
        if !std::fs::metadata(report.directory()).map_err(|error| report.failed(error))?.is_dir() {
            return Err(wrong(io::ErrorKind::NotADirectory));
        }
        match std::fs::symlink_metadata(path) {
            Ok(found) if found.is_dir() => Err(wrong(io::ErrorKind::IsADirectory)),
            _ if path.file_name().is_none() => Err(wrong(io::ErrorKind::IsADirectory)),
            _ => Ok(report),
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
        let permissions = Permissions::from_mode(MODE);
        let mut file = tempfile::Builder::new().permissions(permissions).tempfile_in(self.directory())?;
        file.write_all(&bytes)?;
        file.persist(&self.path)?;
        Ok(())
    }

    fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    fn failed(&self, source: io::Error) -> ReportError {
        ReportError::Write { path: self.path.clone(), source }
    }
}
