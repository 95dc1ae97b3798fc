//! The report of a run as a file: JSON, whole or not there.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use weir_protocol::ByteString;
use weir_protocol::method::Error;
use weir_protocol::method::process::{Enforcement, Exited};

use super::super::Exit;
use super::super::target::Target;
use crate::run::Ended;

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
    target: Target,
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
        let target = Target::find(path);
        let target = target.map_err(|source| ReportError::Write { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), target, argv: argv.to_vec() })
    }

    /// Writes it. `error`: what the server said, and what the user is told.
    pub(super) fn write(
        mut self,
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
        let bytes = serde_json::to_vec_pretty(&content).map_err(io::Error::from);
        let written = bytes.and_then(|bytes| self.target.write(&[bytes.as_slice(), b"\n"].concat()));
        written.map_err(|source| ReportError::Write { path: self.path, source })
    }
}
