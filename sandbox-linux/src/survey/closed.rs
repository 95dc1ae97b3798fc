//! Which files are closed, so that they are known by any other name. Called by `survey` and `walk`.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, BorrowedFd};

use weir_protocol::policy::{Access, Filesystem};

use super::index::{self, Index};
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

/// Takes in the files in places that rules close inside granted ones. Most of those are not there, which the places tell.
pub(super) fn add(
    survey: &mut Survey,
    filesystem: &Filesystem,
    places: &Places,
    mut index: Option<&mut Index>,
) {
    let mut left = MAX_ENTRIES;
    let mut buffer = vec![0; BUFFER_BYTES];
    for rule in live::carved_out(filesystem, Access::None) {
        if places.known(&rule.path) == Some(Kind::Missing) {
            continue;
        }
        let Ok(top) = CString::new(rule.path.as_bytes()) else { continue };
        let mut waiting = vec![top];
        while let Some(path) = waiting.pop() {
            match walk::open_whole(&path, Opening::Listing) {
                Ok(directory) => {
                    let place = Place { directory: directory.as_fd(), path: &path };
                    place.look(survey, index.as_deref_mut(), &mut buffer, (&mut left, &mut waiting));
                }
                // A file, by its path.
                Err(libc::ENOTDIR) => {
                    if let Ok(status) = walk::status_of(&path) {
                        survey.take_in_closed(status);
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

/// A closed directory.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    directory: BorrowedFd<'a>,
    path: &'a CStr,
}

impl Place<'_> {
    /// Looks at its entries, by the index where that knows them.
    fn look(
        self,
        survey: &mut Survey,
        index: Option<&mut Index>,
        buffer: &mut [u8],
        (left, waiting): (&mut u32, &mut Vec<CString>),
    ) {
        let mut listed = 0;
        let each = |entry: Entry<'_>| self.consider(entry, survey, (left, waiting));
        let looked = index::look(self.directory, buffer, index, &mut listed, each);
        survey.further_names |= looked.is_err();
        survey.listed += listed;
    }

    fn consider(
        self,
        entry: Entry<'_>,
        survey: &mut Survey,
        (left, waiting): (&mut u32, &mut Vec<CString>),
    ) -> Result<(), Enough> {
        *left = left.checked_sub(1).filter(|left| *left > 0).ok_or(Enough)?;
        match entry.file_type {
            FileType::File => {
                if let Ok(status) = walk::status(self.directory, entry.name) {
                    survey.take_in_closed(status);
                }
            }
            FileType::Directory => {
                waiting.extend(CString::new([self.path.to_bytes(), b"/", entry.name.to_bytes()].concat()));
            }
            _ => {}
        }
        Ok(())
    }
}

/// As many entries were looked at as may be.
#[derive(Debug)]
struct Enough;
