//! Which files are closed, so that they are known by any other name. Called by `survey` and `walk`.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, BorrowedFd};

use weir_protocol::policy::{Access, Filesystem};

use super::index::{self, Index};
use super::links::Linked;
use super::place::Places;
use super::{Kind, Survey};
use crate::live;
use crate::sys::walk::{self, Entry, FileType, Opening, Status};

/// Most files that are told: a few megabytes of a launch. Of more, masks alone hold those that were there.
const MAX_CLOSED_FILES: usize = 1 << 17;

/// Most entries of closed places that are looked at for one launch, some tens of milliseconds' worth.
const MAX_ENTRIES: u32 = 50_000;

/// Bytes read from a directory at once.
const BUFFER_BYTES: usize = 32 << 10;

/// Takes in the files in places that rules close inside granted ones, those with several names among the `linked` ones. Most of those places are not
/// there, which the places tell.
pub(super) fn add(
    survey: &mut Survey,
    filesystem: &Filesystem,
    places: &Places,
    linked: &mut Linked,
    mut index: Option<&mut Index>,
) {
    let mut closed = Closed { survey, linked, left: MAX_ENTRIES, waiting: Vec::new() };
    let mut buffer = vec![0; BUFFER_BYTES];
    for rule in live::carved_out(filesystem, Access::None) {
        if places.known(&rule.path) == Some(Kind::Missing) {
            continue;
        }
        closed.waiting.extend(CString::new(rule.path.as_bytes()));
        while let Some(path) = closed.waiting.pop() {
            match walk::open_whole(&path, Opening::Listing) {
                Ok(directory) => closed.look(directory.as_fd(), &path, index.as_deref_mut(), &mut buffer),
                // A file, by its path.
                Err(libc::ENOTDIR) => {
                    if let Ok(status) = walk::status_of(&path) {
                        closed.take_in(status);
                    }
                }
                Err(_) => {}
            }
        }
    }
}

impl Survey {
    /// Takes in a file that a rule closes.
    pub(super) fn take_in_closed(&mut self, status: Status) {
        self.further_names |= status.links > 1;
        if self.closed_files.len() < MAX_CLOSED_FILES {
            self.closed_files.push(status.file);
        } else {
            self.further_names = true;
        }
    }
}

/// What is found in closed places.
struct Closed<'s> {
    survey: &'s mut Survey,
    /// Files with several names.
    linked: &'s mut Linked,
    /// Entries that may still be looked at.
    left: u32,
    waiting: Vec<CString>,
}

impl Closed<'_> {
    /// Looks at the entries of a directory, by the index where that knows them.
    fn look(&mut self, directory: BorrowedFd<'_>, path: &CStr, index: Option<&mut Index>, buffer: &mut [u8]) {
        let mut listed = 0;
        let each = |entry: Entry<'_>| self.consider(entry, directory, path);
        let looked = index::look(directory, buffer, index, &mut listed, each);
        self.survey.further_names |= looked.is_err();
        self.survey.listed += listed;
    }

    fn consider(&mut self, entry: Entry<'_>, directory: BorrowedFd<'_>, path: &CStr) -> Result<(), Enough> {
        self.left = self.left.checked_sub(1).filter(|left| *left > 0).ok_or(Enough)?;
        match entry.file_type {
            FileType::File => {
                if let Ok(status) = walk::status(directory, entry.name) {
                    self.take_in(status);
                }
            }
            FileType::Directory => {
                self.waiting.extend(CString::new([path.to_bytes(), b"/", entry.name.to_bytes()].concat()));
            }
            _ => {}
        }
        Ok(())
    }

    fn take_in(&mut self, status: Status) {
        self.linked.closed(status);
        self.survey.take_in_closed(status);
    }
}

/// As many entries were looked at as may be.
#[derive(Debug)]
struct Enough;
