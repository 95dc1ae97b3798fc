//! The way down to the directory being looked at: the directories above it, open as far as descriptors are bounded, and what
//! waits in each. Called by `walk` and `directory`.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, OwnedFd};
use std::rc::Rc;

use weir_protocol::AbsPath;
use weir_protocol::path::{MAX_COMPONENT_BYTES, MAX_PATH_BYTES};

use super::Waiting;
use crate::sys::walk::{self, Opening};

/// Most directories held open at one time; those above are opened again when the walk returns to them.
const MAX_HELD: usize = 64;

/// What an error number means for a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It is gone, or no directory any more.
    Gone,
    /// It cannot be read.
    Closed(i32),
    /// The launcher itself has run out of something.
    Exhausted(i32),
}

impl Trouble {
    pub(super) const fn of(errno: i32) -> Self {
        match errno {
            libc::ENOENT | libc::ENOTDIR | libc::ELOOP => Self::Gone,
            libc::EMFILE | libc::ENFILE | libc::ENOMEM => Self::Exhausted(errno),
            _ => Self::Closed(errno),
        }
    }
}

/// A directory being walked.
#[derive(Debug)]
struct Frame {
    /// Absent while too many others are open.
    directory: Option<Rc<OwnedFd>>,
    /// Length of its path in [`Way::path`].
    path_bytes: usize,
    waiting: Vec<Waiting>,
}

/// The way to the directory being looked at, which is not part of it until it is held.
#[derive(Debug, Default)]
pub(super) struct Way {
    frames: Vec<Frame>,
    held: usize,
    waiting: usize,
    /// The path of the directory being looked at; empty for `/`.
    path: Vec<u8>,
}

impl Way {
    /// Goes to the next directory that waits, upwards where nothing does; none at the end.
    pub(super) fn go_on(&mut self) -> Option<Waiting> {
        loop {
            let frame = self.frames.last_mut()?;
            let Some(next) = frame.waiting.pop() else {
                self.leave();
                continue;
            };
            self.waiting -= 1;
            self.path.truncate(frame.path_bytes);
            self.path.push(b'/');
            self.path.extend_from_slice(next.name.to_bytes());
            return Some(next);
        }
    }

    /// How many directories wait.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// The directory being looked at.
    pub(super) fn here(&self) -> AbsPath {
        AbsPath::parse(&self.path).unwrap_or_else(|_| AbsPath::root())
    }

    /// Whether it is `/`.
    pub(super) const fn is_at_root(&self) -> bool {
        self.path.is_empty()
    }

    /// The path of a name in the directory being looked at, unless it is longer than a path can be.
    pub(super) fn path_of(&self, name: &[u8]) -> Option<AbsPath> {
        if !self.fits(name) {
            return None;
        }
        AbsPath::parse([self.path.as_slice(), b"/", name].concat()).ok()
    }

    pub(super) fn fits(&self, name: &[u8]) -> bool {
        self.path.len() + 1 + name.len() <= MAX_PATH_BYTES && name.len() <= MAX_COMPONENT_BYTES
    }

    /// Opens the directory being looked at, of which this is the name.
    pub(super) fn open(&mut self, name: &CStr, opening: Opening) -> Result<OwnedFd, Trouble> {
        match self.parent()? {
            None => walk::open_root(opening),
            Some(parent) => walk::open_directory(parent.as_fd(), name, opening),
        }
        .map_err(Trouble::of)
    }

    /// The directory in which the one being looked at lies; none for `/`.
    pub(super) fn parent(&mut self) -> Result<Option<Rc<OwnedFd>>, Trouble> {
        let Some(parent) = self.frames.len().checked_sub(1) else { return Ok(None) };
        if self.frames[parent].directory.is_none() {
            self.reopen()?;
        }
        self.frames[parent].directory.as_ref().map(Rc::clone).ok_or(Trouble::Gone).map(Some)
    }

    /// Opens the last frame's directory again, and on the way some above it, to which the walk returns next.
    fn reopen(&mut self) -> Result<(), Trouble> {
        let Some(frame) = self.frames.last() else { return Ok(()) };
        let path = self.path[..frame.path_bytes].to_vec();
        let first = self.frames.len().saturating_sub(MAX_HELD / 2);
        let mut directory = walk::open_root(Opening::Lookup).map_err(Trouble::of)?;
        let mut end = 0;
        for name in path.split(|byte| *byte == b'/').skip(1) {
            end += name.len() + 1;
            let name = CString::new(name).map_err(|_| Trouble::Gone)?;
            let below =
                walk::open_directory(directory.as_fd(), &name, Opening::Lookup).map_err(Trouble::of)?;
            let above = std::mem::replace(&mut directory, below);
            self.keep(first, end - name.as_bytes().len() - 1, above);
        }
        self.keep(first, end, directory);
        Ok(())
    }

    /// Gives an open directory to the frame with a path of this length, if that is among those from `first` on.
    fn keep(&mut self, first: usize, path_bytes: usize, directory: OwnedFd) {
        let frame = self.frames.binary_search_by_key(&path_bytes, |frame| frame.path_bytes);
        let Ok(index) = frame else { return };
        if index >= first && self.frames[index].directory.replace(Rc::new(directory)).is_none() {
            self.held += 1;
        }
    }

    /// Makes the directory being looked at part of the way, for the sake of what waits in it.
    pub(super) fn hold(&mut self, directory: OwnedFd, waiting: Vec<Waiting>) {
        if waiting.is_empty() {
            return;
        }
        // Frames that nothing waits in are not returned to.
        while self.frames.last().is_some_and(|frame| frame.waiting.is_empty()) {
            self.leave();
        }
        if self.held >= MAX_HELD
            && let Some(frame) = self.frames.iter_mut().find(|frame| frame.directory.is_some())
        {
            frame.directory = None;
            self.held -= 1;
        }
        self.waiting += waiting.len();
        self.held += 1;
        let directory = Some(Rc::new(directory));
        self.frames.push(Frame { directory, path_bytes: self.path.len(), waiting });
    }

    fn leave(&mut self) {
        if self.frames.pop().is_some_and(|frame| frame.directory.is_some()) {
            self.held -= 1;
        }
    }
}
