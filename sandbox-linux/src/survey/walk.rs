//! One walk over everything that the patterns and the search for repositories have in common, then a second one where a
//! denied file has further names.
//!
//! Directories are opened one name at a time below an open directory, never through a link, and listed only where names
//! cannot be told beforehand and no index knows them. Descriptors and memory are bounded, whatever the tree looks like. What
//! vanishes meanwhile was not there; what refuses to be read is named. Called by `Survey::take`.
//!
//! | module | is |
//! |---|---|
//! | `way` | the open directories above the one that is looked at, and what waits in them |
//! | `directory` | one directory: where its entries come from |
//! | `entry` | one entry: what it means for the policy |

mod directory;
mod entry;
mod way;

use std::ffi::CString;
use std::rc::Rc;

use weir_protocol::AbsPath;
use weir_protocol::policy::{Access, Filesystem, Policy};

use super::grants::{Grants, Standing};
use super::index::Index;
use super::links::{Linked, Targets};
use super::repository::OWN_NAMES;
use super::{Kind, MAX_ENTRIES, MAX_WAITING, Match, Survey, SurveyError};
use crate::pattern::{Patterns, State};
use way::{Trouble, Way};

/// Bytes read from a directory at once: some thousand entries.
const BUFFER_BYTES: usize = 64 * 1024;

/// Walks for a policy; `places` stays empty. Directories that the index knows are not listed; those that it could know are
/// added to it. With the survey come the denied files that have several names.
pub(super) fn walk(policy: &Policy, index: Option<&mut Index>) -> Result<(Survey, Linked), SurveyError> {
    let filesystem = policy.filesystem();
    let mut walk = Walk::new(filesystem, index);
    walk.run()?;
    if walk.targets.settle() {
        walk.pass = Pass::Links;
        walk.entries = 0;
        walk.run()?;
    }
    let mut survey = walk.survey;
    survey.matches.sort();
    survey.matches.dedup_by(|a, b| a.path == b.path);
    survey.repositories.sort();
    survey.repositories.dedup();
    survey.bare.sort();
    survey.bare.dedup();
    survey.closed.sort();
    survey.closed.dedup_by(|a, b| a.path == b.path);
    survey.unreadable.sort();
    survey.unreadable.dedup_by(|a, b| a.0 == b.0);
    Ok((survey, walk.linked))
}

/// What a walk is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// Matches and repositories.
    Survey,
    /// Further names of denied files.
    Links,
}

/// In what kind of tree a directory lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    /// One in which repositories are looked for.
    Open,
    /// A repository's own files, in which there are none.
    Git,
    /// One that this rule denies: its files may have names elsewhere.
    Denied(usize),
}

/// A directory to be walked.
#[derive(Debug, Clone)]
struct Waiting {
    name: CString,
    state: Rc<State>,
    standing: Standing,
    within: Within,
}

struct Walk<'p> {
    filesystem: &'p Filesystem,
    grants: Grants,
    patterns: Patterns,
    targets: Targets,
    linked: Linked,
    index: Option<&'p mut Index>,
    pass: Pass,
    way: Way,
    buffer: Vec<u8>,
    /// Which names of a repository's own directory the one that is looked at holds.
    own: [bool; OWN_NAMES.len()],
    /// Entries looked at in this pass.
    entries: u64,
    survey: Survey,
}

impl<'p> Walk<'p> {
    fn new(filesystem: &'p Filesystem, index: Option<&'p mut Index>) -> Self {
        Self {
            filesystem,
            grants: Grants::new(filesystem),
            patterns: Patterns::new(filesystem.globs()),
            targets: Targets::default(),
            linked: Linked::default(),
            index,
            pass: Pass::Survey,
            way: Way::default(),
            buffer: vec![0; BUFFER_BYTES],
            own: Default::default(),
            entries: 0,
            survey: Survey::default(),
        }
    }

    fn run(&mut self) -> Result<(), SurveyError> {
        let (state, standing) = (self.patterns.start(), self.grants.start());
        if state.is_empty() && !self.grants.most(standing).writes() {
            return Ok(());
        }
        self.visit(&Waiting { name: CString::default(), state, standing, within: Within::Open })?;
        while self.pass == Pass::Survey || !self.targets.is_complete() {
            let Some(next) = self.way.go_on() else { break };
            self.visit(&next)?;
        }
        self.way = Way::default();
        Ok(())
    }

    /// Whether the entries that matter can only be told by listing the directory.
    fn is_listed(&self, next: &Waiting) -> bool {
        let searched = next.within == Within::Open && next.standing.access.writes();
        match next.within {
            Within::Denied(_) => true,
            // Nothing is granted but at the rules further down, whose names are known.
            _ if next.standing.access == Access::None => false,
            _ => searched || next.state.needs_listing(),
        }
    }

    fn refused(&mut self, next: &Waiting, trouble: &Trouble) -> Result<(), SurveyError> {
        match trouble {
            Trouble::Gone => Ok(()),
            Trouble::Closed(errno) => {
                self.closed(next, *errno);
                Ok(())
            }
            Trouble::Exhausted(errno) => Err(SurveyError::Exhausted { path: self.way.here(), errno: *errno }),
        }
    }

    /// Names a directory that cannot be searched. In what is denied as a whole, nothing is lost by it.
    fn closed(&mut self, next: &Waiting, errno: i32) {
        if self.pass == Pass::Links || matches!(next.within, Within::Denied(_)) {
            return;
        }
        let path = self.way.here();
        if let Some(rule) = next.state.first_rule() {
            self.survey.closed.push(Match { path: path.clone(), kind: Kind::Unreadable(errno), rule });
        }
        self.survey.unreadable.push((path, errno));
    }

    /// Makes a directory wait, unless its path is longer than a path can be: then the one that holds it was not searched.
    fn wait(&mut self, of: &Waiting, next: Waiting, waiting: &mut Vec<Waiting>) {
        if self.way.fits(next.name.to_bytes()) {
            waiting.push(next);
        } else {
            self.closed(of, libc::ENAMETOOLONG);
        }
    }

    fn count(&mut self, of: &Waiting, more: usize) -> Result<(), SurveyError> {
        self.entries += 1;
        self.survey.looked_at += 1;
        if self.entries > MAX_ENTRIES || self.way.waiting() + more > MAX_WAITING {
            return Err(self.too_large(of));
        }
        Ok(())
    }

    /// Names the rule for whose sake the walk is where it is.
    fn too_large(&self, of: &Waiting) -> SurveyError {
        let limit = if self.entries > MAX_ENTRIES { MAX_ENTRIES } else { MAX_WAITING as u64 };
        let glob = of.state.first_rule().and_then(|rule| self.filesystem.globs().get(rule));
        let path = of.standing.rule.and_then(|rule| self.filesystem.rules().get(rule));
        match (glob, path) {
            (Some(glob), _) => SurveyError::TooManyEntries {
                below: glob.pattern.base(),
                rule: Box::new(glob.origin.clone()),
                limit,
            },
            (None, Some(rule)) => SurveyError::TooManyEntries {
                below: rule.path.clone(),
                rule: Box::new(rule.origin.clone()),
                limit,
            },
            (None, None) => SurveyError::Exhausted { path: self.here(), errno: libc::E2BIG },
        }
    }

    /// The directory being looked at.
    fn here(&self) -> AbsPath {
        self.way.here()
    }
}
