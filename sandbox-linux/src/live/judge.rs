//! Whether a final path may be read or written, as far as live rules say so.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use weir_protocol::AbsPath;
use weir_protocol::policy::{Access, Filesystem, GlobRule, Operation, PathRule};

use super::{Alias, LiveRules, carved_out, spelling};
use crate::broker::Folding;
use crate::pattern::{Outcome, Patterns, State};

/// What the kernel puts behind the path of a file whose name is gone (`d_path`).
const DELETED: &[u8] = b" (deleted)";

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// A pattern or a `none` covers it.
    Closed,
    /// It may be read and not written.
    ReadOnly,
}

/// Judges final paths. Single-threaded; remembers the states of patterns that it has met, in bounded memory.
#[derive(Debug)]
pub struct Judge {
    patterns: Patterns,
    start: Rc<State>,
    /// Every path with a rule, to find the nearest.
    ruled: HashSet<Box<[u8]>>,
    /// Those whose rule closes something inside a granted place.
    closed: HashSet<Box<[u8]>>,
    /// Those whose rule makes something read-only inside what can be written.
    read_only: HashSet<Box<[u8]>>,
    aliases: Vec<Alias>,
    folded: Option<Box<Folded>>,
}

/// The same rules where names may have several spellings.
#[derive(Debug)]
struct Folded {
    judge: Judge,
    /// Where something is mounted, and whether names are compared in one spelling there.
    places: BTreeMap<AbsPath, Folding>,
}

impl Judge {
    /// Prepares the rules.
    #[must_use]
    pub fn new(rules: &LiveRules) -> Self {
        let folded = || {
            Box::new(Folded {
                judge: Self::spelled(&rules.filesystem, spelling::of_path, Patterns::folded),
                places: rules.folding.clone(),
            })
        };
        let folded = (!rules.folding.is_empty()).then(folded);
        Self { aliases: rules.aliases.clone(), folded, ..Self::of(&rules.filesystem) }
    }

    /// The same where every place has one path.
    #[must_use]
    pub fn of(filesystem: &Filesystem) -> Self {
        Self::spelled(filesystem, <[u8]>::to_vec, Patterns::new)
    }

    fn spelled(
        filesystem: &Filesystem,
        spell: fn(&[u8]) -> Vec<u8>,
        patterns: fn(&[GlobRule]) -> Patterns,
    ) -> Self {
        let mut patterns = patterns(filesystem.globs());
        let spelled = |rule: &PathRule| spell(rule.path.as_bytes()).into_boxed_slice();
        let paths = |access| carved_out(filesystem, access).map(spelled).collect();
        Self {
            start: patterns.start(),
            patterns,
            ruled: filesystem.rules().iter().map(spelled).collect(),
            closed: paths(Access::None),
            read_only: paths(Access::Read),
            aliases: Vec::new(),
            folded: None,
        }
    }

    /// Judges a path as the kernel tells it of an open file. What is no absolute path is no file of the tree.
    #[must_use]
    pub fn judge(&mut self, path: &[u8], operation: Operation) -> Option<Refused> {
        let found = self.under_all_names(path, operation);
        match path.strip_suffix(DELETED) {
            Some(before) if found.is_none() => self.under_all_names(before, operation),
            _ => found,
        }
    }

    /// A place that is mounted more than once is closed under each of its paths when it is under one.
    fn under_all_names(&mut self, path: &[u8], operation: Operation) -> Option<Refused> {
        if path.first() != Some(&b'/') {
            return None;
        }
        let mut found = self.one(path, operation);
        for at in 0..self.aliases.len() {
            if found == Some(Refused::Closed) {
                break;
            }
            if let Some(other) = self.aliases.get(at).and_then(|alias| alias.apply(path)) {
                found = self.one(&other, operation).or(found);
            }
        }
        found
    }

    fn one(&mut self, path: &[u8], operation: Operation) -> Option<Refused> {
        let exactly = self.as_spelled(path, operation);
        match self.folded_at(path) {
            Some(folded) if exactly != Some(Refused::Closed) => {
                folded.as_spelled(&spelling::of_path(path), operation).or(exactly)
            }
            _ => exactly,
        }
    }

    /// The rules in one spelling, where the names of a path may have several.
    fn folded_at(&mut self, path: &[u8]) -> Option<&mut Self> {
        let folded = self.folded.as_deref_mut()?;
        folds(&folded.places, path).then_some(&mut folded.judge)
    }

    fn as_spelled(&mut self, path: &[u8], operation: Operation) -> Option<Refused> {
        let by_pattern = matches!(self.follow(path), Progress::Matched);
        let nearest = ancestors(path).find(|prefix| self.ruled.contains(*prefix));
        if by_pattern || nearest.is_some_and(|nearest| self.closed.contains(nearest)) {
            return Some(Refused::Closed);
        }
        let writes = operation == Operation::Write;
        nearest.filter(|nearest| writes && self.read_only.contains(*nearest)).map(|_| Refused::ReadOnly)
    }

    fn follow(&mut self, path: &[u8]) -> Progress {
        let mut state = Rc::clone(&self.start);
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            if state.is_empty() {
                break;
            }
            match self.patterns.step(&state, name) {
                Outcome::Matched(_) => return Progress::Matched,
                Outcome::Open(open) => state = self.patterns.next(&state, open),
            }
        }
        Progress::Open(state)
    }

    /// Whether what is closed below a directory could be another set of names if the directory stood at `to` instead of `from`:
    /// then what lies in it decides whether it may be moved.
    #[must_use]
    pub fn differs_below(&mut self, from: &[u8], to: &[u8]) -> bool {
        let in_one_spelling = self
            .folded_at(from)
            .is_some_and(|folded| folded.differs_below(&spelling::of_path(from), &spelling::of_path(to)));
        let has_rules = self.closed.iter().any(|closed| is_below(closed, from));
        let same = match (self.follow(from), self.follow(to)) {
            (Progress::Open(from), Progress::Open(to)) => Rc::ptr_eq(&from, &to) || from.is_empty(),
            _ => false,
        };
        in_one_spelling || has_rules || !same
    }

    /// Whether something below a path may only be read where what is around it may be written: a directory that keeps its name.
    #[must_use]
    pub fn fixes_below(&mut self, path: &[u8]) -> bool {
        let folded = self.folded_at(path).is_some_and(|folded| folded.fixes_below(&spelling::of_path(path)));
        folded || self.read_only.iter().any(|fixed| is_below(fixed, path))
    }

    /// Whether something at or below a path could be refused.
    #[must_use]
    pub fn bears_on(&mut self, path: &[u8]) -> bool {
        self.reaches(path) || self.fixes_below(path) || self.judge(path, Operation::Write).is_some()
    }

    /// Whether something at or below a path could be closed.
    #[must_use]
    pub fn reaches(&mut self, path: &[u8]) -> bool {
        if self.folded_at(path).is_some_and(|folded| folded.reaches(&spelling::of_path(path))) {
            return true;
        }
        let by_pattern = match self.follow(path) {
            Progress::Matched => true,
            Progress::Open(state) => !state.is_empty(),
        };
        let nearest = ancestors(path).find(|prefix| self.ruled.contains(*prefix));
        by_pattern
            || nearest.is_some_and(|nearest| self.closed.contains(nearest))
            || self.closed.iter().any(|closed| is_below(closed, path))
    }
}

/// How far a path came.
enum Progress {
    /// A pattern covers it.
    Matched,
    /// None does; what could match below.
    Open(Rc<State>),
}

/// Whether names at a path may have several spellings, as the mount says on which it lies.
pub(super) fn folds(places: &BTreeMap<AbsPath, Folding>, path: &[u8]) -> bool {
    ancestors(path).find_map(|at| places.get(at)) == Some(&Folding::Folded)
}

/// A path and the directories above it, the nearest first.
pub(super) fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut next = Some(path);
    std::iter::from_fn(move || {
        let path = next?;
        next = match path.iter().rposition(|byte| *byte == b'/') {
            _ if path == b"/" => None,
            Some(0) => Some(&path[..1]),
            Some(slash) => Some(&path[..slash]),
            None => None,
        };
        Some(path)
    })
}

/// Whether a path lies below another one.
fn is_below(path: &[u8], above: &[u8]) -> bool {
    let above = above.strip_suffix(b"/").unwrap_or(above);
    path.strip_prefix(above).is_some_and(|rest| rest.first() == Some(&b'/') && rest.len() > 1)
}

#[cfg(test)]
mod tests;
