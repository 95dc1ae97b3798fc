//! The person's decisions about projects, kept in their own `config.toml`, where the exec-server reads them.
//!
//! A decision is about a directory and the content of its configuration as it is then. It is made by the person, never by a model or
//! a file of the project, and one that says no is not turned into a yes unless the person says so in as many words.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use toml_edit::{DocumentMut, Item, Table, value};
use weir_protocol::AbsPath;
use weir_protocol::policy::Layer;
use weir_protocol::profile::trust::{CONFIG_SHA256, ContentDigest, PROJECT_CONFIG, PROJECTS, TRUST_LEVEL};
use weir_protocol::profile::{
    Document, Format, MAX_DOCUMENT_BYTES, Report, Source, Standing, read as read_document,
};

/// The file, in Weir's directory.
const FILE: &str = "config.toml";

/// Permission bits of a new one.
const FILE_MODE: u32 = 0o600;

/// What the person decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The project's configuration is read as long as it is what it is now.
    Trust,
    /// It is never read.
    Distrust,
    /// Nothing is decided any more.
    Forget,
}

/// What is known of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its directory.
    pub root: AbsPath,
    /// How it stands.
    pub standing: Standing,
    /// Its configuration; none where it has none.
    pub content: Option<Vec<u8>>,
}

/// Why nothing can be decided.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// It.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", .path.display())]
    Write {
        /// It.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is longer than any configuration.
    #[error("{} has more than {MAX_DOCUMENT_BYTES} bytes", .path.display())]
    TooLong {
        /// It.
        path: PathBuf,
    },
    /// The person's configuration has errors, and is left as it is.
    #[error("{0}")]
    Document(Report),
    /// The same, where it is not even TOML to the editor.
    #[error("{}: {source}", .path.display())]
    Edit {
        /// The file.
        path: PathBuf,
        /// Why.
        source: toml_edit::TomlError,
    },
    /// The person said no before.
    #[error("{} is explicitly untrusted; `--change` makes it trusted all the same", .root.display())]
    Untrusted {
        /// The project.
        root: AbsPath,
    },
}

/// The person's decisions.
#[derive(Debug)]
pub struct Decisions {
    path: PathBuf,
    text: String,
    document: Document,
}

impl Decisions {
    /// Reads them.
    ///
    /// # Errors
    /// [`TrustError`] where the configuration cannot be read or has errors.
    pub fn read(weir_home: &Path) -> Result<Self, TrustError> {
        let named = weir_home.join(FILE);
        // Where it is a link, as dotfiles are, the file is changed and the link stays.
        let path = named.canonicalize().unwrap_or(named);
        let bytes = read(&path)?.unwrap_or_default();
        let name = path.display().to_string();
        let source = Source::new(&name, bytes.clone(), Format::Toml, Layer::User);
        let reading = source.map(|source| read_document::read(&source));
        let reading = reading
            .map_err(|problem| TrustError::Document(Report { diagnostics: vec![*problem], omitted: 0 }))?;
        match reading.document {
            Some(document) if !reading.report.has_errors() => {
                Ok(Self { path, text: String::from_utf8_lossy(&bytes).into_owned(), document })
            }
            _ => Err(TrustError::Document(reading.report)),
        }
    }

    /// How a project stands.
    ///
    /// # Errors
    /// [`TrustError`] where its configuration cannot be read.
    pub fn project(&self, root: AbsPath) -> Result<Project, TrustError> {
        let content = read(&root.as_path().join(PROJECT_CONFIG))?;
        let standing = self.document.standing(&root, content.as_deref());
        Ok(Project { root, standing, content })
    }

    /// Keeps a decision about a project as it was seen, and leaves everything else of the file as it is.
    ///
    /// # Errors
    /// [`TrustError`] where the file cannot be changed.
    pub fn decide(self, project: &Project, decision: Decision) -> Result<(), TrustError> {
        let edit = |source| TrustError::Edit { path: self.path.clone(), source };
        let mut document: DocumentMut = self.text.parse().map_err(edit)?;
        let root = project.root.display().into_owned();
        let projects = document.entry(PROJECTS).or_insert_with(|| {
            let mut table = Table::new();
            table.set_implicit(true);
            Item::Table(table)
        });
        let Some(projects) = projects.as_table_like_mut() else { return Ok(()) };
        match decision {
            Decision::Forget => drop(projects.remove(&root)),
            Decision::Trust | Decision::Distrust => {
                let entry = projects.entry(&root).or_insert_with(|| Item::Table(Table::new()));
                let Some(entry) = entry.as_table_like_mut() else { return Ok(()) };
                if decision == Decision::Trust {
                    let content = ContentDigest::of(project.content.as_deref().unwrap_or_default());
                    entry.insert(TRUST_LEVEL, value("trusted"));
                    entry.insert(CONFIG_SHA256, value(content.to_string()));
                } else {
                    entry.insert(TRUST_LEVEL, value("untrusted"));
                    entry.remove(CONFIG_SHA256);
                }
            }
        }
        replace(&self.path, document.to_string().as_bytes())
            .map_err(|source| TrustError::Write { path: self.path, source })
    }
}

/// A file's bytes; none where it is not there.
fn read(path: &Path) -> Result<Option<Vec<u8>>, TrustError> {
    let fail = |source| TrustError::Read { path: path.to_owned(), source };
    // A FIFO must not hang this.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        file => file.map_err(fail)?,
    };
    if !file.metadata().map_err(fail)?.is_file() {
        return Err(fail(io::Error::other("not a regular file")));
    }
    let mut bytes = Vec::new();
    file.take(MAX_DOCUMENT_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() > MAX_DOCUMENT_BYTES {
        return Err(TrustError::TooLong { path: path.to_owned() });
    }
    Ok(Some(bytes))
}

/// Puts a file in another's place, whole or not at all, with the same permission bits.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory)?;
    let mode = fs::metadata(path).map_or(FILE_MODE, |found| found.permissions().mode() & 0o7777);
    let new = path.with_extension(format!("toml.{}", std::process::id()));
    let written =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(&new).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
    written.and_then(|()| fs::rename(&new, path)).inspect_err(|_| drop(fs::remove_file(&new)))
}
