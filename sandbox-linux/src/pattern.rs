//! The denying patterns of a policy, followed name by name down the tree.
//!
//! A directory has a [`State`]: how much of each pattern its path has matched so far. From it follows, for the name of an
//! entry, whether the entry is a match, and the state of the directory of that name. A directory whose state is empty
//! cannot hold a match. Proved equal to `Policy::verdict` by the property tests of the survey and of `live`, which call it.

mod name;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use weir_protocol::policy::GlobRule;
use weir_protocol::policy::glob::Component;

use crate::live::of_component;
use name::NamePattern;

/// Most states that are remembered at once; beyond it they are forgotten and made again.
const MAX_STATES: usize = 4096;

/// A pattern, and how many of its components have been matched.
type Position = (usize, usize);

/// How much of each pattern the path of a directory has matched.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Sorted, each once.
    positions: Vec<Position>,
    /// Names that lead on from some positions.
    literals: HashMap<Box<[u8]>, Vec<Position>>,
    /// Positions at a component with wildcards.
    patterns: Vec<(Position, Rc<NamePattern>)>,
    /// Positions at a `**`, which every name leaves as they are.
    staying: Vec<Position>,
    /// The first pattern that every entry matches.
    every: Option<usize>,
    /// The state of a directory in one of this state whose name led to nothing new.
    same: RefCell<Weak<State>>,
}

impl State {
    /// Names that lead on from some positions, whatever other names do.
    pub(crate) fn literals(&self) -> impl Iterator<Item = &[u8]> {
        self.literals.keys().map(AsRef::as_ref)
    }

    /// Whether the names that can lead on can only be told by listing the directory.
    pub(crate) fn needs_listing(&self) -> bool {
        !self.patterns.is_empty() || !self.staying.is_empty() || self.every.is_some()
    }

    /// Whether nothing below can match.
    pub(crate) fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// The first of the patterns that are under way.
    pub(crate) fn first_rule(&self) -> Option<usize> {
        self.positions.first().map(|(rule, _)| *rule)
    }
}

/// What a state says of one name.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The entry is a match of this rule, the first of those that match.
    Matched(usize),
    /// It is none; the directory of that name would be in the state that [`Patterns::next`] makes of this.
    Open(Vec<Position>),
}

/// All patterns of a policy.
#[derive(Debug)]
pub(crate) struct Patterns {
    /// The components of each.
    rules: Vec<Vec<Component>>,
    /// By rule and component.
    names: HashMap<Position, Rc<NamePattern>>,
    known: HashMap<Vec<Position>, Rc<State>>,
}

impl Patterns {
    pub(crate) fn new(rules: &[GlobRule]) -> Self {
        Self::of(rules.iter().map(|rule| rule.pattern.components().to_vec()).collect())
    }

    /// The same for names in their one spelling.
    pub(crate) fn folded(rules: &[GlobRule]) -> Self {
        let folded = |rule: &GlobRule| rule.pattern.components().iter().map(of_component).collect();
        Self::of(rules.iter().map(folded).collect())
    }

    fn of(rules: Vec<Vec<Component>>) -> Self {
        let mut names = HashMap::new();
        for (rule, components) in rules.iter().enumerate() {
            for (at, component) in components.iter().enumerate() {
                if let Component::Pattern(tokens) = component {
                    names.insert((rule, at), Rc::new(NamePattern::new(tokens)));
                }
            }
        }
        Self { rules, names, known: HashMap::new() }
    }

    /// The state of `/`.
    pub(crate) fn start(&mut self) -> Rc<State> {
        let mut positions = Vec::new();
        (0..self.rules.len()).for_each(|rule| self.reach((rule, 0), &mut positions));
        self.state(positions)
    }

    /// What becomes of `name` in a directory of this state.
    pub(crate) fn step(&self, state: &State, name: &[u8]) -> Outcome {
        let mut first = state.every;
        let mut open = Vec::new();
        let literal = if state.literals.is_empty() { None } else { state.literals.get(name) };
        let literal = literal.into_iter().flatten();
        let matching =
            state.patterns.iter().filter(|(_, pattern)| pattern.matches(name)).map(|(position, _)| position);
        for (rule, at) in literal.chain(matching) {
            if at + 1 == self.rules[*rule].len() {
                first = Some(first.map_or(*rule, |first| first.min(*rule)));
            } else {
                self.reach((*rule, at + 1), &mut open);
            }
        }
        first.map_or(Outcome::Open(open), Outcome::Matched)
    }

    /// The state of a directory in one of state `state` whose name led to `open`.
    pub(crate) fn next(&mut self, state: &Rc<State>, open: Vec<Position>) -> Rc<State> {
        let led_nowhere = open.is_empty();
        if led_nowhere && let Some(same) = state.same.borrow().upgrade() {
            return same;
        }
        let mut positions = open;
        // Where a `**` stays, so does what follows it.
        state.staying.iter().for_each(|position| self.reach(*position, &mut positions));
        let next = self.state(positions);
        if led_nowhere {
            state.same.replace(Rc::downgrade(&next));
        }
        next
    }

    /// Adds a position, and those after it that need no further name.
    fn reach(&self, (rule, at): Position, positions: &mut Vec<Position>) {
        let components = &self.rules[rule];
        positions.push((rule, at));
        if components.get(at) == Some(&Component::AnyDepth) && at + 1 < components.len() {
            self.reach((rule, at + 1), positions);
        }
    }

    fn state(&mut self, mut positions: Vec<Position>) -> Rc<State> {
        positions.sort_unstable();
        positions.dedup();
        if let Some(known) = self.known.get(&positions) {
            return Rc::clone(known);
        }
        if self.known.len() >= MAX_STATES {
            self.known.clear();
        }
        let state = Rc::new(self.make(positions));
        self.known.insert(state.positions.clone(), Rc::clone(&state));
        state
    }

    fn make(&self, positions: Vec<Position>) -> State {
        let mut state = State::default();
        for (rule, at) in &positions {
            let components = &self.rules[*rule];
            match components.get(*at) {
                Some(Component::Literal(name)) => {
                    state.literals.entry(name.as_slice().into()).or_default().push((*rule, *at));
                }
                Some(Component::Pattern(_)) => {
                    let name = self.names.get(&(*rule, *at)).cloned();
                    state.patterns.extend(name.map(|name| ((*rule, *at), name)));
                }
                Some(Component::AnyDepth) if at + 1 == components.len() => {
                    state.every = Some(state.every.map_or(*rule, |every| every.min(*rule)));
                }
                Some(Component::AnyDepth) => state.staying.push((*rule, *at)),
                None => {}
            }
        }
        state.positions = positions;
        state
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weir_protocol::AbsPath;
    use weir_protocol::policy::{Glob, Origin};

    use super::*;
    use crate::survey::tests::{denied_by, policy};

    fn rules(patterns: &[&str]) -> Vec<GlobRule> {
        let rule = |text: &&str| GlobRule {
            pattern: Glob::absolute(text).unwrap(),
            origin: Origin::implied("a test"),
        };
        patterns.iter().map(rule).collect()
    }

    /// The first rule that covers `path`, and how many components of it were needed.
    fn covering(rules: &[GlobRule], path: &str) -> Option<(usize, usize)> {
        let mut patterns = Patterns::new(rules);
        let mut state = patterns.start();
        for (depth, name) in path.split('/').skip(1).enumerate() {
            match patterns.step(&state, name.as_bytes()) {
                Outcome::Matched(rule) => return Some((rule, depth + 1)),
                Outcome::Open(open) => state = patterns.next(&state, open),
            }
        }
        None
    }

    #[test]
    fn states_are_shared_and_end() {
        let rules = rules(&["/p/**/*.env", "/q/r"]);
        let mut patterns = Patterns::new(&rules);
        let start = patterns.start();
        assert!(!start.needs_listing());
        let mut names: Vec<_> = start.literals().map(<[u8]>::to_vec).collect();
        names.sort();
        assert_eq!(names, [b"p".to_vec(), b"q".to_vec()]);
        let mut descend = |state: &Rc<State>, name: &str| match patterns.step(state, name.as_bytes()) {
            Outcome::Open(open) => patterns.next(state, open),
            Outcome::Matched(rule) => panic!("{name} matches {rule}"),
        };
        let p = descend(&start, "p");
        assert!(p.needs_listing());
        assert!(Rc::ptr_eq(&descend(&p, "a"), &descend(&p, "b")));
        assert!(descend(&start, "other").is_empty());
        let q = descend(&start, "q");
        assert!(descend(&q, "s").is_empty());
    }

    #[test]
    fn the_first_rule_and_the_topmost_component_win() {
        let rules = rules(&["/p/**/c", "/p/a", "/p/**", "/**/x/**/y", "/**/x/*"]);
        let cases = [
            ("/p", None),
            ("/p/a", Some((1, 2))),
            ("/p/c", Some((0, 2))),
            ("/p/b/c", Some((2, 2))),
            ("/x/y", Some((3, 2))),
            ("/x/a/b", Some((4, 2))),
            ("/q/x", None),
        ];
        for (path, expect) in cases {
            assert_eq!(covering(&rules, path), expect, "{path}");
        }
    }

    const PATTERNS: [&str; 12] = [
        "/**/a",
        "/a/**/b",
        "/**/a/**/b",
        "/*/b",
        "/a/*",
        "/**/*a",
        "/a*/**",
        "/**/[!a]/b",
        "/a/b",
        "/**/ab/a",
        "/a/**/b/**/a",
        "/?",
    ];

    proptest! {
        #[test]
        fn paths_are_covered_as_the_regular_expressions_say(
            chosen in proptest::sample::subsequence(PATTERNS.to_vec(), 1..5),
            names in proptest::collection::vec(proptest::sample::select(vec!["a", "b", "ab", "ba", "x"]), 1..7),
        ) {
            let policy = policy(&[], &chosen);
            let rules = policy.filesystem().globs();
            let first = |depth: usize| {
                let path = AbsPath::parse(format!("/{}", names[..depth].join("/"))).unwrap();
                denied_by(&policy, &path).map(|rule| (rule, depth))
            };
            let expect = (1..=names.len()).find_map(first);
            prop_assert_eq!(covering(rules, &format!("/{}", names.join("/"))), expect);
        }
    }
}
