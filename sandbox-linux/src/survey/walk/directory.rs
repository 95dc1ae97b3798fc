//! One directory of a walk: its entries, from the index where that knows them, else from the kernel; or only those whose names
//! are known. Called by `walk`.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::rc::Rc;

use weir_protocol::policy::Access;

use super::super::SurveyError;
use super::super::index::{self, Listing};
use super::super::links::{Trust, trust};
use super::way::Trouble;
use super::{Pass, Waiting, Walk};
use crate::sys::walk::{self, Entry, Opening, Stamp};

/// A directory while its entries are looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) directory: Directory<'a>,
    pub(super) of: &'a Waiting,
    pub(super) trust: Trust,
}

/// What its entries are asked about in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Directory<'a> {
    /// It is open.
    Open(BorrowedFd<'a>),
    /// It is opened when something in it has to be asked about.
    Known(&'a Known<'a>),
}

impl Directory<'_> {
    /// The open directory.
    pub(super) fn opened(&self) -> Result<BorrowedFd<'_>, i32> {
        match self {
            Self::Open(directory) => Ok(*directory),
            Self::Known(known) => known.opened(),
        }
    }
}

/// A directory whose entries the index has told.
#[derive(Debug)]
pub(super) struct Known<'a> {
    parent: Rc<OwnedFd>,
    name: &'a CStr,
    stamp: Stamp,
    open: OnceCell<Result<OwnedFd, i32>>,
}

impl Known<'_> {
    /// Opens it, unless another one has taken its place, or something in it has changed, since its stamp was asked for.
    fn opened(&self) -> Result<BorrowedFd<'_>, i32> {
        let opened = self.open.get_or_init(|| {
            let directory = walk::open_directory(self.parent.as_fd(), self.name, Opening::Lookup)?;
            let seen = walk::seen_opened(directory.as_fd())?;
            if seen.stamp == self.stamp { Ok(directory) } else { Err(libc::ESTALE) }
        });
        opened.as_ref().map(|directory| directory.as_fd()).map_err(|errno| *errno)
    }

    fn has_failed(&self) -> bool {
        matches!(self.open.get(), Some(Err(_)))
    }
}

/// How much a walk had found before something.
#[derive(Debug, Clone, Copy)]
struct Mark {
    matches: usize,
    repositories: usize,
    bare: usize,
    unreadable: usize,
    closed: usize,
    entries: u64,
    looked_at: u64,
}

impl Walk<'_> {
    /// Opens the directory being looked at, looks at its entries, and makes those that are to be walked wait.
    pub(super) fn visit(&mut self, next: &Waiting) -> Result<(), SurveyError> {
        let is_listed = self.is_listed(next);
        if is_listed && self.visit_known(next)? {
            return Ok(());
        }
        let (listed, opened) = if is_listed {
            match self.way.open(&next.name, Opening::Listing) {
                // A name that is known can be looked up in a directory that cannot be listed.
                Err(Trouble::Closed(errno)) => {
                    self.closed(next, errno);
                    (false, self.way.open(&next.name, Opening::Lookup))
                }
                opened => (true, opened),
            }
        } else {
            (false, self.way.open(&next.name, Opening::Lookup))
        };
        let directory = match opened {
            Ok(directory) => directory,
            Err(trouble) => return self.refused(next, &trouble),
        };
        let inodes = if self.pass == Pass::Links { trust(directory.as_fd()) } else { Trust::Inodes };
        let at = At { directory: Directory::Open(directory.as_fd()), of: next, trust: inodes };
        let waiting = if listed { self.list(at, directory.as_fd())? } else { self.look_up(at)? };
        self.way.hold(directory, waiting);
        Ok(())
    }

    /// The same by what the index knows; `false` where it knows nothing that holds, and nothing is left of the attempt.
    fn visit_known(&mut self, next: &Waiting) -> Result<bool, SurveyError> {
        let Some((listing, known)) = self.known(&next.name) else { return Ok(false) };
        let mark = self.mark();
        self.own = Default::default();
        // What an index keeps comes from file systems whose entries tell the numbers of their files.
        let at = At { directory: Directory::Known(&known), of: next, trust: Trust::Inodes };
        let mut waiting = Vec::new();
        for entry in listing.entries() {
            self.consider(at, entry, &mut waiting)?;
        }
        if !waiting.is_empty() {
            let _ = known.opened();
        }
        if known.has_failed() {
            self.back_to(mark);
            return Ok(false);
        }
        if let Some(Ok(directory)) = known.open.into_inner() {
            self.way.hold(directory, waiting);
        }
        Ok(true)
    }

    /// What the index knows of the directory being looked at.
    fn known<'n>(&mut self, name: &'n CStr) -> Option<(Listing, Known<'n>)> {
        let index = self.index.as_deref_mut().filter(|index| !index.is_empty())?;
        let parent = self.way.parent().ok()??;
        let seen = walk::seen(parent.as_fd(), name).ok()?;
        let open = || walk::open_directory(parent.as_fd(), name, Opening::Lookup).ok();
        let listing = index.find(&seen, open)?;
        Some((listing, Known { parent, name, stamp: seen.stamp, open: OnceCell::new() }))
    }

    fn mark(&self) -> Mark {
        Mark {
            matches: self.survey.matches.len(),
            repositories: self.survey.repositories.len(),
            bare: self.survey.bare.len(),
            unreadable: self.survey.unreadable.len(),
            closed: self.survey.closed.len(),
            entries: self.entries,
            looked_at: self.survey.looked_at,
        }
    }

    fn back_to(&mut self, mark: Mark) {
        self.survey.matches.truncate(mark.matches);
        self.survey.repositories.truncate(mark.repositories);
        self.survey.bare.truncate(mark.bare);
        self.survey.unreadable.truncate(mark.unreadable);
        self.survey.closed.truncate(mark.closed);
        (self.entries, self.survey.looked_at) = (mark.entries, mark.looked_at);
    }

    /// Reads the entries from the kernel, and keeps them where they will hold.
    fn list(&mut self, at: At<'_>, directory: BorrowedFd<'_>) -> Result<Vec<Waiting>, SurveyError> {
        self.own = Default::default();
        let (mut buffer, mut index) = (std::mem::take(&mut self.buffer), self.index.take());
        let mut waiting = Vec::new();
        self.survey.listed += 1;
        let each = |entry: Entry<'_>| self.consider(at, entry, &mut waiting);
        let read = index::list(directory, &mut buffer, index.as_deref_mut(), each);
        (self.buffer, self.index) = (buffer, index);
        if let Err(errno) = read? {
            self.refused(at.of, &Trouble::of(errno))?;
        }
        Ok(waiting)
    }

    /// Looks at the entries whose names are known.
    fn look_up(&mut self, at: At<'_>) -> Result<Vec<Waiting>, SurveyError> {
        let mut names: BTreeSet<CString> = BTreeSet::new();
        let name = |name: &[u8]| CString::new(name).ok();
        if at.of.standing.access > Access::None {
            names.extend(at.of.state.literals().filter_map(name));
        }
        names.extend(self.grants.names(at.of.standing).filter_map(name));
        self.own = Default::default();
        let mut waiting = Vec::new();
        for name in &names {
            let Ok(status) = at.status(name) else { continue };
            let entry = Entry { name, file_type: status.file_type, inode: status.file.inode };
            self.consider(at, entry, &mut waiting)?;
        }
        Ok(waiting)
    }
}

impl At<'_> {
    /// What stands at a name in it.
    pub(super) fn status(&self, name: &CStr) -> Result<walk::Status, i32> {
        walk::status(self.directory.opened()?, name)
    }
}
