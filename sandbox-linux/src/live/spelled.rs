//! Which rule refuses a path because the path is another spelling of what the rule names. For whoever tells of it: nothing is decided here.

use std::rc::Rc;

use weir_protocol::AbsPath;
use weir_protocol::policy::{Access, Operation, Origin};

use super::judge::{ancestors, folds};
use super::{LiveRules, carved_out, spelling};
use crate::pattern::{Outcome, Patterns};

/// The rule behind a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spelled {
    /// A pattern, which stands there.
    Pattern(Origin),
    /// A rule for a path, which stands there, and what was refused as that rule spells it.
    Path(Origin, AbsPath),
}

/// The rule of which a path is another spelling and that refuses this there, as [`super::Judge`] does; nothing where there is none.
#[must_use]
pub fn spelled(rules: &LiveRules, path: &[u8], operation: Operation) -> Option<Spelled> {
    if rules.folding.is_empty() {
        return None;
    }
    let others = rules.aliases.iter().filter_map(|alias| alias.apply(path));
    std::iter::once(path.to_vec()).chain(others).find_map(|path| one(rules, &path, operation))
}

fn one(rules: &LiveRules, path: &[u8], operation: Operation) -> Option<Spelled> {
    if !folds(&rules.folding, path) {
        return None;
    }
    if let Some(origin) = pattern(rules, &spelling::of_path(path)) {
        return Some(Spelled::Pattern(origin));
    }
    let is_there = |rule: &AbsPath, at: &[u8]| spelling::of_path(rule.as_bytes()) == spelling::of_path(at);
    let all = rules.filesystem.rules();
    let at = ancestors(path).find(|at| all.iter().any(|rule| is_there(&rule.path, at)))?;
    let of = |access| carved_out(&rules.filesystem, access).find(|rule| is_there(&rule.path, at));
    let read_only = || (operation == Operation::Write).then(|| of(Access::Read)).flatten();
    let rule = of(Access::None).or_else(read_only)?;
    let rest = path.strip_prefix(at)?;
    let as_ruled = AbsPath::parse([rule.path.as_bytes(), rest].concat()).ok()?;
    Some(Spelled::Path(rule.origin.clone(), as_ruled))
}

/// The pattern that matches a path in its one spelling, or something above it.
fn pattern(rules: &LiveRules, path: &[u8]) -> Option<Origin> {
    let mut patterns = Patterns::folded(rules.filesystem.globs());
    let mut state = patterns.start();
    for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        match patterns.step(&Rc::clone(&state), name) {
            Outcome::Matched(at) => return rules.filesystem.globs().get(at).map(|rule| rule.origin.clone()),
            Outcome::Open(open) => state = patterns.next(&state, open),
        }
    }
    None
}
