//! Further names that files closed by rules have in places of which commands get a copy. Called by `survey`.
//!
//! There is a cover over each from the start. In a copy that is not only one wall more: an overlay that changes anything of a file, be it the
//! time, makes another one of it, with one name, by which nobody knows it again. A covered name cannot be changed. So is a directory as a whole that may hold such a name which cannot be told.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, BorrowedFd};

use weir_protocol::AbsPath;
use weir_protocol::policy::{Filesystem, PathRule};

use super::index::{self, Index};
use super::links::{self, Linked, Trust};
use super::{MAX_ENTRIES, MAX_MATCHES, Survey, SurveyError};
use crate::sys::walk::{self, Entry, FileType, Opening};

/// Bytes read from a directory at once.
const BUFFER_BYTES: usize = 64 << 10;

/// Takes in every name that these files have there, where there are any. No count of names ends it early: one name can be met twice, by two
/// rules or two mounts.
pub(super) fn add(
    survey: &mut Survey,
    filesystem: &Filesystem,
    linked: &Linked,
    mut index: Option<&mut Index>,
) -> Result<(), SurveyError> {
    if linked.is_empty() {
        return Ok(());
    }
    let mut buffer = vec![0; BUFFER_BYTES];
    for rule in filesystem.copies() {
        let mut search = Search { filesystem, rule, survey, linked, waiting: Vec::new() };
        search.waiting.extend(CString::new(rule.path.as_bytes()));
        while let Some(path) = search.waiting.pop() {
            match walk::open_whole(&path, Opening::Listing) {
                Ok(directory) => search.look(directory.as_fd(), &path, index.as_deref_mut(), &mut buffer)?,
                Err(errno) => search.refused(&path, errno)?,
            }
        }
    }
    Ok(())
}

/// The search below one root.
struct Search<'s> {
    filesystem: &'s Filesystem,
    rule: &'s PathRule,
    survey: &'s mut Survey,
    linked: &'s Linked,
    waiting: Vec<CString>,
}

impl Search<'_> {
    fn look(
        &mut self,
        directory: BorrowedFd<'_>,
        path: &CStr,
        index: Option<&mut Index>,
        buffer: &mut [u8],
    ) -> Result<(), SurveyError> {
        let trust = links::trust(directory);
        let mut listed = 0;
        let each = |entry: Entry<'_>| self.consider(&entry, (directory, path), trust);
        let looked = index::look(directory, buffer, index, &mut listed, each)?;
        self.survey.listed += listed;
        looked.or_else(|errno| self.refused(path, errno))
    }

    fn consider(
        &mut self,
        entry: &Entry<'_>,
        (directory, path): (BorrowedFd<'_>, &CStr),
        trust: Trust,
    ) -> Result<(), SurveyError> {
        self.survey.looked_at += 1;
        if self.survey.looked_at > MAX_ENTRIES {
            let (below, rule) = (self.rule.path.clone(), Box::new(self.rule.origin.clone()));
            return Err(SurveyError::TooManyEntries { below, rule, limit: MAX_ENTRIES });
        }
        let status = || walk::status(directory, entry.name);
        let file_type = match entry.file_type {
            FileType::Untold => match status() {
                Ok(status) => status.file_type,
                Err(errno) => return self.refused(path, errno),
            },
            told => told,
        };
        let is_met = match file_type {
            FileType::Directory => true,
            FileType::File if self.linked.may_be(entry, trust) => match status() {
                Ok(status) => self.linked.has(status),
                // Its directory can be listed and not searched, which its owner can change.
                Err(errno) => return self.refused(path, errno),
            },
            _ => false,
        };
        if !is_met {
            return Ok(());
        }
        let whole = [path.to_bytes(), b"/", entry.name.to_bytes()].concat();
        match (AbsPath::parse(&whole), file_type) {
            // A pattern closes it, with all that is in it.
            (Ok(name), _) if self.survey.matches.binary_search_by(|found| found.path.cmp(&name)).is_ok() => {
                Ok(())
            }
            (Ok(_), FileType::Directory) => {
                self.waiting.extend(CString::new(whole));
                Ok(())
            }
            (Ok(name), _) => self.take_in(name),
            (Err(_), _) => self.refused(path, libc::ENAMETOOLONG),
        }
    }

    fn take_in(&mut self, name: AbsPath) -> Result<(), SurveyError> {
        if self.filesystem.is_copied(&name) {
            self.survey.further.push(name);
        }
        self.bounded()
    }

    /// Something in a directory cannot be looked at, be it the list of its names: what it holds cannot be told, though a command may open it by a
    /// name that is known, or change the directory's mode in the copy.
    fn refused(&mut self, directory: &CStr, errno: i32) -> Result<(), SurveyError> {
        let Ok(path) = AbsPath::parse(directory.to_bytes()) else { return Ok(()) };
        match errno {
            // It is gone, or another thing has taken its place.
            libc::ENOENT | libc::ENOTDIR | libc::ELOOP => return Ok(()),
            libc::EMFILE | libc::ENFILE | libc::ENOMEM => return Err(SurveyError::Exhausted { path, errno }),
            _ => {}
        }
        if self.filesystem.is_copied(&path) && self.survey.untold.last() != Some(&path) {
            self.survey.untold.push(path);
        }
        self.bounded()
    }

    fn bounded(&self) -> Result<(), SurveyError> {
        if self.survey.further.len() + self.survey.untold.len() <= MAX_MATCHES {
            return Ok(());
        }
        let rule = Box::new(self.rule.origin.clone());
        Err(SurveyError::TooManyMatches { rule, limit: MAX_MATCHES })
    }
}
