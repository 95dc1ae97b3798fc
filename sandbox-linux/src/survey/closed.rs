//! Which files are closed, so that they are known by any other name. Called by `survey` and `walk`.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, BorrowedFd};

use weir_protocol::AbsPath;
use weir_protocol::policy::{Access, Filesystem};

use super::index::{self, Index};
use super::links::Linked;
use super::place::Places;
use super::{Kind, Survey, SurveyError};
use crate::live;
use crate::sys::walk::{self, Entry, FileType, Opening, Status};

/// Most files that are told whatever their names: a few megabytes of a launch. Of more, only those that have several.
const MAX_CLOSED_FILES: usize = 1 << 17;

/// Most files that are told in all.
const MAX_TOLD_FILES: usize = 1 << 18;

/// Most entries of closed places that are looked at for one launch, a few seconds' worth.
const MAX_ENTRIES: u64 = 2_000_000;

/// Bytes read from a directory at once.
const BUFFER_BYTES: usize = 32 << 10;

/// Takes in the files in places that rules close inside granted ones, those with several names among the `linked` ones. Most of those places are not
/// there, which the places tell. Where not all can be known there is no survey: a file that is not could be opened under another name.
pub(super) fn add(
    survey: &mut Survey,
    filesystem: &Filesystem,
    places: &Places,
    linked: &mut Linked,
    index: Option<&mut Index>,
) -> Result<(), SurveyError> {
    add_within(MAX_ENTRIES, survey, filesystem, places, linked, index)?;
    match live::first_rule(filesystem, live::BESIDE_MOUNTS) {
        Some(rule) if survey.closed_files.len() > MAX_TOLD_FILES => {
            Err(SurveyError::TooManyClosed { rule: Box::new(rule), limit: MAX_TOLD_FILES as u64 })
        }
        _ => Ok(()),
    }
}

fn add_within(
    limit: u64,
    survey: &mut Survey,
    filesystem: &Filesystem,
    places: &Places,
    linked: &mut Linked,
    mut index: Option<&mut Index>,
) -> Result<(), SurveyError> {
    let mut left = limit;
    let mut buffer = vec![0; BUFFER_BYTES];
    for rule in live::carved_out(filesystem, Access::None) {
        if places.known(&rule.path) == Some(Kind::Missing) {
            continue;
        }
        let has_rules =
            filesystem.rules().iter().any(|at| at.path != rule.path && at.path.starts_with(&rule.path));
        let inner = has_rules.then_some(filesystem);
        let waiting = CString::new(rule.path.as_bytes()).into_iter().collect();
        let mut closed = Closed { survey, linked, inner, left, waiting };
        closed.run(index.as_deref_mut(), &mut buffer).map_err(|problem| match problem {
            Problem::Enough => SurveyError::TooManyClosed { rule: Box::new(rule.origin.clone()), limit },
            Problem::Exhausted(errno) => SurveyError::Exhausted { path: rule.path.clone(), errno },
        })?;
        left = closed.left;
    }
    Ok(())
}

impl Survey {
    /// Takes in a file that a rule closes.
    pub(super) fn take_in_closed(&mut self, status: Status) {
        let is_linked = status.links > 1;
        // One more than may be tells that there are too many.
        let most = if is_linked { MAX_TOLD_FILES + 1 } else { MAX_CLOSED_FILES };
        self.further_names |= is_linked || self.closed_files.len() >= most;
        if self.closed_files.len() < most {
            self.closed_files.push(status.file);
        }
    }
}

/// What is found in one closed place.
struct Closed<'s> {
    survey: &'s mut Survey,
    /// Files with several names.
    linked: &'s mut Linked,
    /// The rules, where some lie in it: what has one of its own is open, or looked at for its own sake.
    inner: Option<&'s Filesystem>,
    /// Entries that may still be looked at.
    left: u64,
    waiting: Vec<CString>,
}

impl Closed<'_> {
    fn run(&mut self, mut index: Option<&mut Index>, buffer: &mut [u8]) -> Result<(), Problem> {
        while let Some(path) = self.waiting.pop() {
            match walk::open_whole(&path, Opening::Listing) {
                Ok(directory) => self.look(directory.as_fd(), &path, index.as_deref_mut(), buffer)?,
                // A file, by its path.
                Err(libc::ENOTDIR) => {
                    if let Ok(status) = walk::status_of(&path) {
                        self.take_in(status);
                    }
                }
                Err(errno @ (libc::EMFILE | libc::ENFILE | libc::ENOMEM)) => {
                    return Err(Problem::Exhausted(errno));
                }
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Looks at the entries of a directory, by the index where that knows them.
    fn look(
        &mut self,
        directory: BorrowedFd<'_>,
        path: &CStr,
        index: Option<&mut Index>,
        buffer: &mut [u8],
    ) -> Result<(), Problem> {
        let mut listed = 0;
        let each = |entry: Entry<'_>| self.consider(entry, directory, path);
        // What cannot be listed to its end is as what cannot be listed.
        let _ = index::look(directory, buffer, index, &mut listed, each)?;
        self.survey.listed += listed;
        Ok(())
    }

    fn consider(&mut self, entry: Entry<'_>, directory: BorrowedFd<'_>, path: &CStr) -> Result<(), Problem> {
        self.left = self.left.checked_sub(1).ok_or(Problem::Enough)?;
        if !matches!(entry.file_type, FileType::File | FileType::Directory | FileType::Untold) {
            return Ok(());
        }
        let whole = || [path.to_bytes(), b"/", entry.name.to_bytes()].concat();
        if self.inner.is_some_and(|rules| AbsPath::parse(whole()).is_ok_and(|at| is_apart(rules, &at))) {
            return Ok(());
        }
        let status = match entry.file_type {
            FileType::Directory => None,
            _ => walk::status(directory, entry.name).ok(),
        };
        match status {
            Some(status) if status.file_type == FileType::File => self.take_in(status),
            Some(status) if status.file_type != FileType::Directory => {}
            None if entry.file_type != FileType::Directory => {}
            _ => self.waiting.extend(CString::new(whole())),
        }
        Ok(())
    }

    fn take_in(&mut self, status: Status) {
        self.linked.closed(status);
        self.survey.take_in_closed(status);
    }
}

/// Whether a rule for this very path opens it.
fn is_apart(filesystem: &Filesystem, path: &AbsPath) -> bool {
    filesystem.rule_at(path).is_some_and(|rule| rule.access > Access::None)
}

/// Why not all files can be known.
#[derive(Debug)]
enum Problem {
    /// As many entries were looked at as may be.
    Enough,
    /// The launcher itself has run out of something.
    Exhausted(i32),
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::{Tree, policy};
    use super::*;

    /// How many files are known with so many entries looked at, or none where not all are.
    fn known(tree: &Tree, rules: &[(&AbsPath, Access)], limit: u64) -> Option<usize> {
        let (mut survey, mut linked) = (Survey::default(), Linked::default());
        let policy = policy(rules, &[]);
        let filesystem = policy.filesystem();
        match add_within(limit, &mut survey, filesystem, &Places::default(), &mut linked, None) {
            Ok(()) => Some(survey.closed_files.len()),
            Err(SurveyError::TooManyClosed { limit: told, .. }) => {
                assert_eq!(told, limit, "{}", tree.root);
                None
            }
            Err(problem) => panic!("{problem}"),
        }
    }

    #[test]
    fn where_not_all_closed_files_are_known_there_is_no_survey() {
        let tree = Tree::new();
        let closed = tree.directory("closed");
        (0..8).for_each(|index| drop(tree.file(format!("closed/{index}"))));
        let rules = [(&tree.root, Access::Write), (&closed, Access::None)];
        assert_eq!([7, 8, MAX_ENTRIES].map(|limit| known(&tree, &rules, limit)), [None, Some(8), Some(8)]);
    }

    #[test]
    fn what_is_open_inside_a_closed_place_is_not_closed() {
        let tree = Tree::new();
        let [closed, open] = ["closed", "closed/d/open"].map(|name| tree.directory(name));
        let [key, file] = ["closed/d/key", "closed/d/open/file"].map(|name| tree.file(name));
        fs::hard_link(file.as_path(), tree.at("closed/d/open/other").as_path()).unwrap();
        let rules = [(&tree.root, Access::Read), (&closed, Access::None), (&open, Access::Write)];
        let survey = Survey::take(&policy(&rules, &[])).unwrap();
        let id = |path: &AbsPath| walk::status_of(&CString::new(path.as_bytes()).unwrap()).unwrap().file;
        assert_eq!(survey.closed_files, [id(&key)]);
        assert!(!survey.further_names);
    }
}
