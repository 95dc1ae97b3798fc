//! A way down a directory and up again, however deep it is: the last directories are open, and one further up is opened again through the
//! one below it, where it is still the same.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::fstat;

use super::tree;

/// Most directories of one way that are open besides the one that it has come to.
const MAX_OPEN: usize = 32;

/// The directory that a way has come to, and those above it.
#[derive(Debug)]
pub(super) struct Descent {
    here: OwnedFd,
    above: Vec<Above>,
}

#[derive(Debug)]
struct Above {
    /// None while too many others are.
    open: Option<OwnedFd>,
    /// Its device, and its number there.
    number: (u64, u64),
}

fn number(directory: &OwnedFd) -> io::Result<(u64, u64)> {
    let found = fstat(directory)?;
    Ok((found.st_dev, found.st_ino))
}

impl Descent {
    pub(super) const fn new(top: OwnedFd) -> Self {
        Self { here: top, above: Vec::new() }
    }

    pub(super) fn here(&self) -> BorrowedFd<'_> {
        self.here.as_fd()
    }

    /// Goes on to a directory below this one, which is open.
    pub(super) fn enter(&mut self, below: OwnedFd) -> io::Result<()> {
        let number = number(&self.here)?;
        let open = Some(std::mem::replace(&mut self.here, below));
        self.above.push(Above { open, number });
        if let Some(at) = self.above.len().checked_sub(MAX_OPEN + 1) {
            self.above[at].open = None;
        }
        Ok(())
    }

    /// Sees that the directory above is open; nothing at the top. An error where this one lies elsewhere by now.
    pub(super) fn open_above(&mut self) -> io::Result<()> {
        let Some(above) = self.above.last_mut().filter(|above| above.open.is_none()) else { return Ok(()) };
        let open = tree::directory(&self.here, OsStr::new(".."))?;
        if number(&open)? != above.number {
            return Err(io::Error::other("it was moved elsewhere meanwhile"));
        }
        above.open = Some(open);
        Ok(())
    }

    /// Goes back to the directory above; at the top it stays.
    pub(super) fn leave(&mut self) -> io::Result<()> {
        self.open_above()?;
        if let Some(open) = self.above.pop().and_then(|above| above.open) {
            self.here = open;
        }
        Ok(())
    }
}
