//! What is at a path, without following links. Called by `Survey::take`.
//!
//! Most rules name many things in few directories: one of which two are asked for is kept open for the next.

use std::collections::{BTreeMap, HashMap};
use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};

use weir_protocol::AbsPath;

use super::Kind;
use crate::sys::walk::{self, FileType, Opening};

/// Paths looked at so far; directories above them are asked about once.
#[derive(Debug, Default)]
pub(super) struct Places {
    found: BTreeMap<AbsPath, Kind>,
    above: HashMap<AbsPath, Kind>,
    last: Option<Last>,
}

/// The directory of the path that was looked at last.
#[derive(Debug)]
struct Last {
    path: AbsPath,
    open: Option<OwnedFd>,
}

impl Places {
    /// Goes on from what was found before.
    pub(super) fn from_found(found: BTreeMap<AbsPath, Kind>) -> Self {
        Self { found, ..Self::default() }
    }

    /// Finds out what is at `path`.
    pub(super) fn look(&mut self, path: &AbsPath) {
        if !self.found.contains_key(path) {
            let kind = self.kind_beside(path).unwrap_or_else(|| self.kind(path));
            self.found.insert(path.clone(), kind);
        }
    }

    /// What is at `path`, where it lies in the directory of the last one: nothing is asked of what is known, and nothing above it.
    fn kind_beside(&mut self, path: &AbsPath) -> Option<Kind> {
        let last = self.last.as_mut()?;
        let name = path.as_bytes().strip_prefix(last.path.as_bytes())?.strip_prefix(b"/")?;
        if name.contains(&b'/') {
            return None;
        }
        if last.open.is_none() {
            last.open = directory(&last.path);
        }
        Some(kind_of(walk::status(last.open.as_ref()?.as_fd(), &CString::new(name).ok()?)))
    }

    /// What is at a path that was looked at.
    pub(super) fn known(&self, path: &AbsPath) -> Option<Kind> {
        self.found.get(path).copied()
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
        let kind = match above {
            Kind::Directory => self.kind_at(path, &parent),
            // A link in the way: whatever lies behind it has another name.
            Kind::Symlink => Kind::Symlink,
            Kind::Unreadable(errno) => Kind::Unreadable(errno),
            Kind::File | Kind::Fifo | Kind::Socket | Kind::Device | Kind::Missing => Kind::Missing,
        };
        self.above.insert(parent, above);
        kind
    }

    fn kind_at(&mut self, path: &AbsPath, parent: &AbsPath) -> Kind {
        let Some(place) = self.last.as_mut().filter(|last| last.path == *parent) else {
            self.last = Some(Last { path: parent.clone(), open: None });
            return whole(path);
        };
        if place.open.is_none() {
            place.open = directory(parent);
        }
        match (&place.open, path.file_name().map(CString::new)) {
            (Some(open), Some(Ok(name))) => kind_of(walk::status(open.as_fd(), &name)),
            _ => whole(path),
        }
    }
}

fn directory(path: &AbsPath) -> Option<OwnedFd> {
    walk::open_whole(&CString::new(path.as_bytes()).ok()?, Opening::Lookup).ok()
}

/// By the whole path.
fn whole(path: &AbsPath) -> Kind {
    let name = CString::new(path.as_bytes()).map_err(|_| libc::EINVAL);
    kind_of(name.and_then(|name| walk::status_of(&name)))
}

fn kind_of(found: Result<walk::Status, i32>) -> Kind {
    match found.map(|status| status.file_type) {
        Err(libc::ENOENT | libc::ENOTDIR) => Kind::Missing,
        Err(errno) => Kind::Unreadable(errno),
        Ok(FileType::Directory) => Kind::Directory,
        Ok(FileType::File) => Kind::File,
        Ok(FileType::Symlink) => Kind::Symlink,
        Ok(FileType::Fifo) => Kind::Fifo,
        Ok(FileType::Socket) => Kind::Socket,
        Ok(FileType::Device | FileType::Untold) => Kind::Device,
    }
}
