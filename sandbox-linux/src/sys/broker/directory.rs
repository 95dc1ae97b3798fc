//! A place in the tree that is either held for one call or belongs to the broker, and the place that a path ends in.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::call::{self, Kernel};
use crate::broker::Split;

/// Something that was found: a place, and what it is.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) fd: OwnedFd,
    pub(super) stat: libc::stat,
}

impl Found {
    pub(super) fn new(fd: OwnedFd) -> Kernel<Self> {
        let stat = call::stat(fd.as_fd())?;
        Ok(Self { fd, stat })
    }

    pub(super) fn kind(&self) -> libc::mode_t {
        kind(&self.stat)
    }
}

impl AsFd for Found {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A directory, as a place.
#[derive(Debug)]
pub(super) enum Directory<'a> {
    /// Opened for this call.
    Held(OwnedFd),
    /// One of the broker's own.
    Lasting(BorrowedFd<'a>),
}

impl AsFd for Directory<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Held(fd) => fd.as_fd(),
            Self::Lasting(fd) => *fd,
        }
    }
}

/// Where a path ends: a directory, and the last name, not followed, with the slashes behind it.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) parent: Directory<'a>,
    pub(super) last: CString,
}

impl<'a> Place<'a> {
    pub(super) fn new(parent: Directory<'a>, last: &[u8]) -> Kernel<Self> {
        let last = CString::new(last).map_err(|_| libc::EINVAL)?;
        Ok(Self { parent, last })
    }

    pub(super) fn parent(&self) -> BorrowedFd<'_> {
        self.parent.as_fd()
    }

    /// The last name without slashes; nothing for `.` and `..`.
    pub(super) fn name(&self) -> Option<&[u8]> {
        Split::of(self.last.to_bytes()).and_then(|split| split.name())
    }

    /// What is there now; a last link is not followed, whatever slashes stand behind it.
    pub(super) fn stat(&self) -> Kernel<libc::stat> {
        let name = CString::new(self.name().unwrap_or(self.last.to_bytes())).map_err(|_| libc::EINVAL)?;
        call::stat_at(self.parent(), &name, libc::AT_SYMLINK_NOFOLLOW)
    }
}

/// What identifies a directory for as long as it is held.
pub(super) type Identity = (libc::dev_t, libc::ino_t);

pub(super) fn identity(stat: &libc::stat) -> Identity {
    (stat.st_dev, stat.st_ino)
}

pub(super) fn kind(stat: &libc::stat) -> libc::mode_t {
    stat.st_mode & libc::S_IFMT
}
