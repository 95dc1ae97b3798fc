//! File-system rules in normal form: one access per path, patterns that deny, and the directories that get a stand-in.

use serde::{Deserialize, Serialize};

use super::access::Access;
use super::glob::Glob;
use super::origin::Origin;
use crate::path::{AbsPath, ancestor_slices};

/// A rule that lost to another one for the very same path, kept so that it can be named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overruled {
    /// What it would have granted.
    pub access: Access,
    /// Where it stands.
    pub origin: Origin,
}

/// Access to one path and everything below it, down to the next rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathRule {
    /// The path.
    pub path: AbsPath,
    /// What is granted there.
    pub access: Access,
    /// Where the rule stands.
    pub origin: Origin,
    /// The name under which the rule was written, where this path is what a symbolic link in that name led to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<AbsPath>,
    /// Rules for the same path that this one overruled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overruled: Vec<Overruled>,
}

/// A pattern whose matches, and all below them, are denied whatever else is granted, now and later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlobRule {
    /// The absolute pattern.
    pub pattern: Glob,
    /// Where the rule stands.
    pub origin: Origin,
}

/// Why a directory is replaced by an empty one of the sandbox's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StandIn {
    /// The home directory: tools that insist on a cache or a configuration directory find one.
    Home,
    /// A temporary directory.
    Temporary,
    /// Shared memory.
    SharedMemory,
}

/// A directory in whose place the command finds an empty, private, writable one that vanishes at exit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivateDirectory {
    /// The directory on the host, which stays out of reach.
    pub path: AbsPath,
    /// What it stands in for.
    pub kind: StandIn,
}

/// All file-system rules, sorted by path. Built by [`Filesystem::new`] only, so that it is always in normal form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "FilesystemParts")]
pub struct Filesystem {
    rules: Vec<PathRule>,
    globs: Vec<GlobRule>,
    private: Vec<PrivateDirectory>,
    glob_scan_max_depth: Option<u32>,
}

/// The parts of [`Filesystem`], in any order and with repetitions.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesystemParts {
    /// Path rules.
    pub rules: Vec<PathRule>,
    /// Denying patterns.
    #[serde(default)]
    pub globs: Vec<GlobRule>,
    /// Directories with a stand-in.
    #[serde(default)]
    pub private: Vec<PrivateDirectory>,
    /// How many directories deep a report looks for files that a pattern denies; no effect on what is denied.
    #[serde(default)]
    pub glob_scan_max_depth: Option<u32>,
}

impl From<FilesystemParts> for Filesystem {
    fn from(parts: FilesystemParts) -> Self {
        Self::new(parts)
    }
}

impl From<Filesystem> for FilesystemParts {
    fn from(fs: Filesystem) -> Self {
        let Filesystem { rules, globs, private, glob_scan_max_depth } = fs;
        Self { rules, globs, private, glob_scan_max_depth }
    }
}

impl Filesystem {
    /// Sorts, and settles rules for the same path: none over copy over write over read, then the later layer.
    #[must_use]
    pub fn new(parts: FilesystemParts) -> Self {
        let FilesystemParts { mut rules, mut globs, mut private, glob_scan_max_depth } = parts;
        rules.sort_by(|a, b| {
            (&a.path, b.access.precedence(), b.origin.layer, &a.origin, &a.via).cmp(&(
                &b.path,
                a.access.precedence(),
                a.origin.layer,
                &b.origin,
                &b.via,
            ))
        });
        let mut settled: Vec<PathRule> = Vec::with_capacity(rules.len());
        for rule in rules {
            match settled.last_mut() {
                Some(winner) if winner.path == rule.path => overrule(winner, rule),
                _ => settled.push(rule),
            }
        }
        globs.sort_by(|a, b| (&a.pattern, &a.origin).cmp(&(&b.pattern, &b.origin)));
        globs.dedup_by(|a, b| a.pattern == b.pattern);
        private.sort();
        private.dedup();
        Self { rules: settled, globs, private, glob_scan_max_depth }
    }

    /// Names the directories with a private stand-in, in place of those named before.
    pub fn set_private(&mut self, mut private: Vec<PrivateDirectory>) {
        private.sort();
        private.dedup();
        self.private = private;
    }

    /// Path rules, sorted by path, one for each path.
    #[must_use]
    pub fn rules(&self) -> &[PathRule] {
        &self.rules
    }

    /// Denying patterns, sorted, each once.
    #[must_use]
    pub fn globs(&self) -> &[GlobRule] {
        &self.globs
    }

    /// Directories with a private stand-in, sorted.
    #[must_use]
    pub fn private(&self) -> &[PrivateDirectory] {
        &self.private
    }

    /// How many directories deep a report looks for files that a pattern denies.
    #[must_use]
    pub fn glob_scan_max_depth(&self) -> Option<u32> {
        self.glob_scan_max_depth
    }

    /// The rule for exactly this path.
    #[must_use]
    pub fn rule_at(&self, path: &AbsPath) -> Option<&PathRule> {
        self.rule_at_bytes(path.as_bytes())
    }

    pub(super) fn rule_at_bytes(&self, path: &[u8]) -> Option<&PathRule> {
        self.rules.binary_search_by(|rule| rule.path.as_bytes().cmp(path)).ok().map(|at| &self.rules[at])
    }

    /// The rule with most components that covers `path`, patterns aside.
    #[must_use]
    pub fn covering(&self, path: &AbsPath) -> Option<&PathRule> {
        ancestor_slices(path.as_bytes()).find_map(|prefix| self.rule_at_bytes(prefix))
    }

    /// The rules for the directories above `path`, the nearest first.
    pub fn around(&self, path: &AbsPath) -> impl Iterator<Item = &PathRule> {
        path.ancestors().skip(1).filter_map(|prefix| self.rule_at_bytes(prefix))
    }

    /// What the path rules grant on `path`, patterns aside.
    #[must_use]
    pub fn access(&self, path: &AbsPath) -> Access {
        self.covering(path).map_or(Access::None, |rule| rule.access)
    }

    /// Whether what a command sees at `path` is a copy: the place itself, or with nothing but `read` between, one above it, has `copy`.
    #[must_use]
    pub fn is_copied(&self, path: &AbsPath) -> bool {
        let mut nearest = ancestor_slices(path.as_bytes()).filter_map(|prefix| self.rule_at_bytes(prefix));
        nearest.find(|rule| rule.access != Access::Read).is_some_and(|rule| rule.access == Access::Copy)
    }

    /// The rules at which a copy begins: those with `copy` that lie in no other copy.
    pub fn copies(&self) -> impl Iterator<Item = &PathRule> {
        let inside = |rule: &PathRule| rule.path.parent().is_some_and(|parent| self.is_copied(&parent));
        self.rules.iter().filter(move |rule| rule.access == Access::Copy && !inside(rule))
    }

    /// The stand-in that the command finds at `path`, where no rule covers the path itself or something between.
    #[must_use]
    pub fn stand_in(&self, path: &AbsPath) -> Option<&PrivateDirectory> {
        let nearest = self.private.iter().rev().find(|private| path.starts_with(&private.path))?;
        match self.covering(path) {
            Some(rule) if rule.path.depth() > nearest.path.depth() => None,
            _ => Some(nearest),
        }
    }

    /// The same rules as parts, to build a changed set from.
    #[must_use]
    pub fn to_parts(&self) -> FilesystemParts {
        self.clone().into()
    }
}

fn overrule(winner: &mut PathRule, loser: PathRule) {
    for overruled in
        std::iter::once(Overruled { access: loser.access, origin: loser.origin }).chain(loser.overruled)
    {
        let same = overruled.access == winner.access && overruled.origin == winner.origin;
        if !same && !winner.overruled.contains(&overruled) {
            winner.overruled.push(overruled);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filesystem(rules: &[(&str, Access)]) -> Filesystem {
        let rule = |(path, access): &(&str, Access)| PathRule {
            path: AbsPath::parse(*path).unwrap(),
            access: *access,
            origin: Origin::implied("a test"),
            via: None,
            overruled: Vec::new(),
        };
        Filesystem::new(FilesystemParts {
            rules: rules.iter().map(rule).collect(),
            ..FilesystemParts::default()
        })
    }

    /// A copy reaches through what is read-only in it, and ends where something is closed or written through.
    #[test]
    fn copies_begin_where_no_other_goes_on() {
        use Access::{Copy, None, Read, Write};
        let rules = [
            ("/a", Copy),
            ("/a/b", Read),
            ("/a/b/c", Copy),
            ("/a/out", Write),
            ("/a/out/d", Copy),
            ("/a/closed", None),
            ("/a/closed/e", Copy),
            ("/w", Write),
            ("/w/f", Copy),
        ];
        let fs = filesystem(&rules);
        let begins: Vec<String> = fs.copies().map(|rule| rule.path.to_string()).collect();
        assert_eq!(begins, ["/a", "/a/closed/e", "/a/out/d", "/w/f"]);
        let copied = |path: &str| fs.is_copied(&AbsPath::parse(path).unwrap());
        assert_eq!(["/a/x", "/a/b/x", "/a/b/c/x", "/a/out/d"].map(copied), [true; 4]);
        assert_eq!(["/", "/w/x", "/a/out/x", "/a/closed/x"].map(copied), [false; 4]);
        assert!(None < Read && Read < Copy && Copy < Write);
    }
}
