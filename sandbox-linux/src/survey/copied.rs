//! Further names that files closed by rules have in places of which commands get a copy. Called by `survey`.
//!
//! There is a cover over each from the start. In a copy that is not only one wall more: an overlay that changes anything of a file, be it the
//! time, makes another one of it, with one name, by which nobody knows it again. A covered name cannot be changed.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, BorrowedFd};

use weir_protocol::AbsPath;
use weir_protocol::policy::{Filesystem, PathRule};

use super::index::{self, Index};
use super::links::{self, Targets};
use super::{MAX_ENTRIES, MAX_MATCHES, Survey, SurveyError};
use crate::sys::walk::{self, Entry, FileType, Opening};

/// Bytes read from a directory at once.
const BUFFER_BYTES: usize = 64 << 10;

/// Takes in the further names of these files, where any have some.
pub(super) fn add(
    survey: &mut Survey,
    filesystem: &Filesystem,
    mut targets: Targets,
    mut index: Option<&mut Index>,
) -> Result<(), SurveyError> {
    if !targets.settle() {
        return Ok(());
    }
    let mut buffer = vec![0; BUFFER_BYTES];
    for rule in filesystem.copies() {
        let mut search = Search { filesystem, rule, survey, targets: &mut targets, waiting: Vec::new() };
        search.waiting.extend(CString::new(rule.path.as_bytes()));
        while let Some(path) = search.waiting.pop() {
            if search.targets.is_complete() {
                return Ok(());
            }
            // What cannot be listed, the command cannot list either; a name in it that it knows is told by its file alone.
            let Ok(directory) = walk::open_whole(&path, Opening::Listing) else { continue };
            search.look(directory.as_fd(), &path, index.as_deref_mut(), &mut buffer)?;
        }
    }
    Ok(())
}

/// The search below one root.
struct Search<'s> {
    filesystem: &'s Filesystem,
    rule: &'s PathRule,
    survey: &'s mut Survey,
    targets: &'s mut Targets,
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
        let each = |entry: Entry<'_>| {
            self.survey.looked_at += 1;
            if self.survey.looked_at > MAX_ENTRIES {
                let (below, rule) = (self.rule.path.clone(), Box::new(self.rule.origin.clone()));
                return Err(SurveyError::TooManyEntries { below, rule, limit: MAX_ENTRIES });
            }
            let whole = || CString::new([path.to_bytes(), b"/", entry.name.to_bytes()].concat());
            let status = || walk::status(directory, entry.name).ok();
            let file_type = match entry.file_type {
                FileType::Untold => status().map_or(FileType::Untold, |status| status.file_type),
                told => told,
            };
            match file_type {
                FileType::Directory => self.waiting.extend(whole()),
                FileType::File
                    if self.targets.may_be(&entry, trust)
                        && status().and_then(|status| self.targets.found(status)).is_some() =>
                {
                    return self.take_in(whole().unwrap_or_default());
                }
                _ => {}
            }
            Ok(())
        };
        // As for a directory that cannot be opened.
        let _ = index::look(directory, buffer, index, &mut listed, each)?;
        self.survey.listed += listed;
        Ok(())
    }

    fn take_in(&mut self, path: CString) -> Result<(), SurveyError> {
        let Ok(path) = AbsPath::parse(path.into_bytes()) else { return Ok(()) };
        if self.filesystem.is_copied(&path) {
            self.survey.further.push(path);
        }
        if self.survey.further.len() > MAX_MATCHES {
            let rule = Box::new(self.rule.origin.clone());
            return Err(SurveyError::TooManyMatches { rule, limit: MAX_MATCHES });
        }
        Ok(())
    }
}
