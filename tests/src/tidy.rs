//! Tidy rules: what the house style says about the sources, held by tests.
//!
//! Each rule is a pure function from a file (its path and text) to findings, with unit tests that show it can fail;
//! `tests/tests/tidy.rs` runs every rule over the tree. A rule judges tokens, not lines, wherever a comment or a string
//! could otherwise speak for code. An exception is an entry with a reason in [`allow`], never a condition in a rule.

pub mod allow;
pub mod docs;
pub mod edges;
pub mod features;
pub mod hosts;
pub mod leaks;
pub mod manifest;
pub mod paths;
pub mod purity;
pub mod shape;
pub mod tokens;
pub mod tree;
pub mod words;
pub mod zones;

use std::fmt;

/// One text file of the tree.
#[derive(Debug, Clone)]
pub struct Source {
    /// Path from the root of the tree, components separated by `/`.
    pub path: String,
    /// Its whole content.
    pub text: String,
}

impl Source {
    /// A source from a path and its content.
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// Whether this is Rust source.
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether only tests and benchmarks are built from it: the crate `tests`, and each crate's own `tests` and `benches`.
    pub fn is_test(&self) -> bool {
        self.path.split('/').any(|component| matches!(component, "tests" | "benches"))
    }
}

/// Something that a rule objects to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Path of the file, as in [`Source::path`].
    pub path: String,
    /// Line from 1; 0 stands for the file as a whole.
    pub line: usize,
    /// What is wrong and what to do about it.
    pub message: String,
}

impl Finding {
    /// A finding in `source` at `line`.
    pub fn new(source: &Source, line: usize, message: impl Into<String>) -> Self {
        Self { path: source.path.clone(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// A rule that judges each file by itself.
#[derive(Clone, Copy)]
pub struct Rule {
    /// Name by which [`allow::ALLOWED`] refers to the rule.
    pub name: &'static str,
    /// The judgement; files that the rule is not about yield nothing.
    pub check: fn(&Source) -> Vec<Finding>,
}

/// Every rule that judges each file by itself. The rules over the whole tree are in [`edges`] and [`hosts`].
pub const RULES: [Rule; 12] = [
    Rule { name: "pure-protocol", check: purity::check_protocol },
    Rule { name: "agent-spawns-nothing", check: purity::check_agent },
    Rule { name: "http-client-half", check: purity::check_exec_server },
    Rule { name: "file-size", check: shape::check_size },
    Rule { name: "module-doc", check: shape::check_module_doc },
    Rule { name: "module-name", check: shape::check_names },
    Rule { name: "unsafe-zone", check: zones::check_unsafe },
    Rule { name: "forbid-unsafe", check: zones::check_forbid },
    Rule { name: "banned-word", check: words::check },
    Rule { name: "machine-path", check: leaks::check_paths },
    Rule { name: "changelog", check: docs::check_changelog },
    Rule { name: "readme", check: docs::check_readme },
];

#[cfg(test)]
pub(crate) mod check {
    //! What the unit tests of all rules share.

    use super::{Finding, Source};

    /// The lines on which `rule` objects to `text` at `path`.
    pub(crate) fn lines(rule: fn(&Source) -> Vec<Finding>, path: &str, text: &str) -> Vec<usize> {
        rule(&Source::new(path, text)).into_iter().map(|finding| finding.line).collect()
    }
}
