//! What is at a path, without following links. Called by `Survey::take`.

use std::collections::{BTreeMap, HashMap};
use std::fs::FileType;
use std::io;
use std::os::unix::fs::FileTypeExt as _;

use weir_protocol::AbsPath;

use super::Kind;

/// Paths looked at so far; directories above them are asked about once.
#[derive(Debug, Default)]
pub(super) struct Places {
    found: BTreeMap<AbsPath, Kind>,
    above: HashMap<AbsPath, Kind>,
}

impl Places {
    /// Finds out what is at `path`.
    pub(super) fn look(&mut self, path: &AbsPath) {
        if !self.found.contains_key(path) {
            let kind = self.kind(path);
            self.found.insert(path.clone(), kind);
        }
    }

    /// What was found so far.
    pub(super) fn found(&self) -> &BTreeMap<AbsPath, Kind> {
        &self.found
    }

    /// What was found.
    pub(super) fn into_found(self) -> BTreeMap<AbsPath, Kind> {
        self.found
    }

    fn kind(&mut self, path: &AbsPath) -> Kind {
        if let Some(known) = self.found.get(path).or_else(|| self.above.get(path)) {
            return *known;
        }
        let Some(parent) = path.parent() else { return Kind::Directory };
        let above = self.kind(&parent);
        self.above.insert(parent, above);
        match above {
            Kind::Directory => kind_at(path),
            // A link in the way: whatever lies behind it has another name.
            Kind::Symlink => Kind::Symlink,
            Kind::Unreadable(errno) => Kind::Unreadable(errno),
            Kind::File | Kind::Fifo | Kind::Socket | Kind::Device | Kind::Missing => Kind::Missing,
        }
    }
}

fn kind_at(path: &AbsPath) -> Kind {
    match path.as_path().symlink_metadata() {
        Ok(found) => kind_of(found.file_type()),
        Err(error) if is_missing(&error) => Kind::Missing,
        Err(error) => Kind::Unreadable(error.raw_os_error().unwrap_or(libc::EIO)),
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn kind_of(found: FileType) -> Kind {
    if found.is_dir() {
        Kind::Directory
    } else if found.is_file() {
        Kind::File
    } else if found.is_symlink() {
        Kind::Symlink
    } else if found.is_fifo() {
        Kind::Fifo
    } else if found.is_socket() {
        Kind::Socket
    } else {
        Kind::Device
    }
}
