//! What of the things that were used needs no rule of its own, and which directories may be granted whole.

use weir_protocol::AbsPath;
use weir_protocol::policy::{
    Access, Filesystem, FilesystemParts, Layer, Operation, PathRule, Policy, Request, RuleRef, Verdict,
};

use super::Ground;

/// What the kernel serves, where no directory is like another.
const OF_THE_KERNEL: [&[u8]; 3] = [b"dev", b"proc", b"sys"];

/// Directories of the system in which everybody keeps something of their own.
const SHARED: [&str; 8] =
    ["/run/lock", "/run/user", "/var/cache", "/var/lib", "/var/lock", "/var/log", "/var/run", "/var/spool"];

/// Links that a sandbox has in its own `/dev`, whatever is granted.
const OWN_LINKS: [&str; 4] = ["/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr"];

/// What covers something that was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cover {
    /// What every profile has, or the one that is extended.
    Anyway,
    /// `:project_roots`.
    Project,
    /// `:toolchains`.
    Toolchains,
    /// A rule closes it, in these words.
    Closed(String),
    /// Nothing.
    Nothing,
}

/// What covers what.
pub(super) struct Covering<'a> {
    pub(super) ground: Ground<'a>,
    /// `:minimal`, which no profile has to write down.
    pub(super) minimal: Filesystem,
}

impl<'a> Covering<'a> {
    pub(super) fn new(ground: Ground<'a>) -> Self {
        // What else is implied speaks of places that the wide profile lets be written.
        let is_minimal = |rule: &PathRule| {
            let is_outside = !ground.roots.iter().any(|root| rule.path.starts_with(root));
            is_outside && (rule.access == Access::None || ground.isolated.access(&rule.path) > Access::None)
        };
        let implied = |rule: &&PathRule| rule.origin.layer == Layer::Implied && is_minimal(rule);
        let rules = ground.wide.filesystem().rules().iter().filter(implied).cloned().collect();
        let minimal = Filesystem::new(FilesystemParts { rules, ..FilesystemParts::default() });
        Self { ground, minimal }
    }

    /// What covers an operation on a path.
    pub(super) fn of(&self, path: &AbsPath, operation: Operation) -> Cover {
        let ask = |policy: &'a Policy| policy.verdict(&Request::Path { path, operation });
        let is_project = self.is_project(path);
        let wide = ask(self.ground.wide);
        if !is_project && wide.conditions.stand_in.is_some() {
            return Cover::Anyway;
        }
        if !wide.allowed {
            return Cover::Closed(words(&wide));
        }
        if let Some(verdict) = self.ground.base.map(ask) {
            match verdict.rule {
                _ if verdict.allowed => return Cover::Anyway,
                RuleRef::Glob(_) => return Cover::Closed(words(&verdict)),
                RuleRef::Path(rule) if rule.access == Access::None => return Cover::Closed(words(&verdict)),
                _ => {}
            }
        }
        let is_own_link = || OWN_LINKS.iter().any(|link| link.as_bytes() == path.as_bytes());
        if is_project {
            Cover::Project
        } else if self.minimal.access(path).permits(operation) || is_own_link() {
            Cover::Anyway
        } else if ask(self.ground.isolated).allowed {
            Cover::Toolchains
        } else {
            Cover::Nothing
        }
    }

    fn is_project(&self, path: &AbsPath) -> bool {
        self.ground.roots.iter().any(|root| path.starts_with(root))
    }

    /// The rules of `:toolchains`.
    pub(super) fn toolchains(&self) -> impl Iterator<Item = &PathRule> {
        let rules = self.ground.isolated.filesystem().rules().iter();
        rules.filter(|rule| rule.access == Access::Read && !self.is_project(&rule.path))
    }

    /// Whether one rule may open all of a directory: never what holds the home directory, a project, something closed, or what
    /// belongs to everybody.
    pub(super) fn may_be_whole(&self, dir: &AbsPath) -> bool {
        let kept = std::iter::once(self.ground.home).chain(self.ground.roots);
        let rules = self.ground.wide.filesystem().rules().iter();
        let mut closed = rules.filter(|rule| rule.access == Access::None).map(|rule| &rule.path);
        let is_shared = || {
            let first = dir.components().next();
            first.is_some_and(|name| OF_THE_KERNEL.contains(&name))
                || SHARED.iter().any(|shared| shared.as_bytes() == dir.as_bytes())
        };
        dir.depth() > 1
            && !is_shared()
            && !kept.into_iter().any(|path| path.starts_with(dir))
            && !closed.any(|path| path.starts_with(dir))
    }
}

/// The rule that closes something, as it was written.
fn words(verdict: &Verdict<'_>) -> String {
    verdict.rule.origin().map_or_else(|| "no rule opens it".to_owned(), |origin| origin.rule.clone())
}
