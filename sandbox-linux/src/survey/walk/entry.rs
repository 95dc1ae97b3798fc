//! One entry of a directory: whether it is a match, a repository, one more name of a denied file, or a directory to be walked. Called by
//! `directory`.

use std::rc::Rc;

use weir_protocol::policy::Access;

use super::super::repository::{self, OWN_NAMES};
use super::super::{Kind, MAX_MATCHES, Match, SurveyError};
use super::directory::At;
use super::{Pass, Waiting, Walk, Within};
use crate::pattern::{Outcome, State};
use crate::sys::walk::{Entry, FileType, Status};

/// The name that makes its directory a repository.
const GIT: &[u8] = b".git";

/// Trees of the kernel, which hold no files of anyone.
const KERNEL_TREES: [&[u8]; 3] = [b"proc", b"sys", b"dev"];

impl Walk<'_> {
    pub(super) fn consider(
        &mut self,
        at: At<'_>,
        entry: Entry<'_>,
        waiting: &mut Vec<Waiting>,
    ) -> Result<(), SurveyError> {
        self.count(at.of, waiting.len())?;
        if let Within::Denied(rule) = at.of.within {
            self.inside_denied(at, entry, rule, waiting);
            return Ok(());
        }
        let name = entry.name.to_bytes();
        let standing = self.grants.step(at.of.standing, name);
        let most = self.grants.most(standing);
        if most == Access::None {
            return Ok(());
        }
        let open = match self.patterns.step(&at.of.state, name) {
            Outcome::Matched(rule) => return self.matched(at, entry, rule, waiting),
            Outcome::Open(open) => open,
        };
        let file_type = told(at, entry);
        if self.pass == Pass::Links && file_type == FileType::File {
            self.compare(at, entry)?;
        }
        let is_searched = at.of.within == Within::Open && at.of.standing.access.writes();
        if is_searched && name == GIT && can_be_git(file_type) {
            self.repository();
        }
        if let Some(own) = OWN_NAMES.iter().position(|own| own.to_bytes() == name).filter(|_| is_searched) {
            self.own(own);
        }
        if file_type != FileType::Directory || self.way.is_at_root() && KERNEL_TREES.contains(&name) {
            return Ok(());
        }
        let state = self.patterns.next(&at.of.state, open);
        // One that is granted without what is around it is a place of its own.
        let within = if name == GIT && is_searched { Within::Git } else { at.of.within };
        if state.is_empty() && (within != Within::Open || !most.writes()) {
            return Ok(());
        }
        self.wait(at.of, Waiting { name: entry.name.to_owned(), state, standing, within }, waiting);
        Ok(())
    }

    /// A match: nothing below it can be reached, but its files may have names elsewhere.
    fn matched(
        &mut self,
        at: At<'_>,
        entry: Entry<'_>,
        rule: usize,
        waiting: &mut Vec<Waiting>,
    ) -> Result<(), SurveyError> {
        if self.pass == Pass::Links {
            return Ok(());
        }
        let mut file_type = entry.file_type;
        if matches!(file_type, FileType::File | FileType::Untold) {
            match at.status(entry.name) {
                Ok(status) => {
                    file_type = status.file_type;
                    self.denied(status, rule);
                }
                Err(libc::ENOENT) => return Ok(()),
                Err(_) => {}
            }
        }
        if file_type == FileType::Directory {
            let below = Waiting {
                name: entry.name.to_owned(),
                state: Rc::new(State::default()),
                standing: at.of.standing,
                within: Within::Denied(rule),
            };
            self.wait(at.of, below, waiting);
        }
        self.add_match(at, entry, kind_of(file_type), rule)
    }

    fn add_match(
        &mut self,
        at: At<'_>,
        entry: Entry<'_>,
        kind: Kind,
        rule: usize,
    ) -> Result<(), SurveyError> {
        let Some(path) = self.way.path_of(entry.name.to_bytes()) else {
            self.closed(at.of, libc::ENAMETOOLONG);
            return Ok(());
        };
        self.survey.matches.push(Match { path, kind, rule });
        if self.survey.matches.len() > MAX_MATCHES {
            let origin = self.filesystem.globs().get(rule).map(|glob| glob.origin.clone());
            return Err(origin.map_or_else(
                || self.too_large(at.of),
                |origin| SurveyError::TooManyMatches { rule: Box::new(origin), limit: MAX_MATCHES },
            ));
        }
        Ok(())
    }

    fn inside_denied(&mut self, at: At<'_>, entry: Entry<'_>, rule: usize, waiting: &mut Vec<Waiting>) {
        match told(at, entry) {
            FileType::Directory => {
                self.wait(at.of, Waiting { name: entry.name.to_owned(), ..at.of.clone() }, waiting);
            }
            FileType::File => {
                if let Ok(status) = at.status(entry.name) {
                    self.denied(status, rule);
                }
            }
            _ => {}
        }
    }

    fn denied(&mut self, status: Status, rule: usize) {
        self.targets.denied(status, rule);
        if self.pass == Pass::Survey && status.file_type == FileType::File {
            self.linked.closed(status);
            self.survey.take_in_closed(status);
        }
    }

    /// A file under a name that no pattern matches: perhaps one that is denied under another.
    fn compare(&mut self, at: At<'_>, entry: Entry<'_>) -> Result<(), SurveyError> {
        if !self.targets.may_be(&entry, at.trust) {
            return Ok(());
        }
        match at.status(entry.name).ok().and_then(|status| self.targets.found(status)) {
            Some(rule) => self.add_match(at, entry, Kind::File, rule),
            None => Ok(()),
        }
    }

    fn repository(&mut self) {
        let here = self.here();
        if self.pass == Pass::Survey && !repository::is_protected_top(self.filesystem, &here) {
            self.survey.repositories.push(here);
        }
    }

    /// One of the names that a repository's own directory holds.
    fn own(&mut self, name: usize) {
        self.own[name] = true;
        if self.pass == Pass::Survey && self.own == [true; OWN_NAMES.len()] {
            self.survey.bare.push(self.here());
        }
    }
}

/// What an entry is, asked for where the file system does not tell.
fn told(at: At<'_>, entry: Entry<'_>) -> FileType {
    match entry.file_type {
        FileType::Untold => at.status(entry.name).map_or(FileType::Untold, |status| status.file_type),
        told => told,
    }
}

const fn can_be_git(file_type: FileType) -> bool {
    matches!(file_type, FileType::Directory | FileType::File | FileType::Symlink)
}

const fn kind_of(file_type: FileType) -> Kind {
    match file_type {
        FileType::Directory => Kind::Directory,
        FileType::File => Kind::File,
        FileType::Symlink => Kind::Symlink,
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        FileType::Device => Kind::Device,
        FileType::Untold => Kind::Unreadable(libc::EIO),
    }
}
