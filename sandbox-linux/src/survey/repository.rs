//! Repositories where commands may write, and which of their files are read-only: what git on the host would execute or
//! trust, as the policy says it for the top of the writable root around them.
//!
//! Called by `Survey::take`, and by the compiler through [`Survey::protected`].

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, OsStr};
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use weir_protocol::AbsPath;
use weir_protocol::policy::{Access, Filesystem, Origin, PathRule, Policy};
use weir_protocol::profile::read::{PROTECTED_NAMES, WORKTREE_NAMES};

use super::{Kind, Survey};

/// Most bytes of a `.git` file: `gitdir: ` and a path.
const MAX_GIT_FILE_BYTES: u64 = 8 + 4096;

/// Most linked worktrees of one repository that are looked at.
const MAX_WORKTREES: usize = 4096;

/// The names that make a directory a repository's own, a bare one where it is not called `.git` (gitrepository-layout(5)).
pub(crate) const OWN_NAMES: [&CStr; 3] = [c"HEAD", c"objects", c"refs"];

/// Names of protected metadata inside a repository's own directory, without `.git/`.
fn names() -> impl Iterator<Item = &'static str> {
    PROTECTED_NAMES.into_iter().filter_map(|name| name.strip_prefix(".git/"))
}

/// Whether `directory` is the top of a writable root whose repository the policy has rules for.
pub(super) fn is_protected_top(filesystem: &Filesystem, directory: &AbsPath) -> bool {
    let Ok(git) = directory.join(".git") else { return false };
    let inner = names().filter_map(|name| git.join(name).ok());
    filesystem.rule_at(directory).is_some_and(|rule| rule.access.writes())
        && std::iter::once(git.clone()).chain(inner).any(|path| filesystem.rule_at(&path).is_some())
}

/// Where the `.git` of a repository leads, and the linked worktrees of every repository where commands may write.
pub(super) fn complete(survey: &mut Survey, policy: &Policy) {
    let filesystem = policy.filesystem();
    for repository in &survey.repositories {
        let Ok(git) = repository.join(".git") else { continue };
        if let Some(real) = leads_to(&git).filter(|real| filesystem.access(real).writes()) {
            survey.git_directories.insert(git, real);
        }
    }
    let tops = filesystem.rules().iter().filter(|rule| rule.access.writes()).map(|rule| &rule.path);
    // A rule may be for a repository's own directory, as that of a linked worktree's repository is.
    let own = tops.clone().filter(|top| is_git_directory(top.as_path())).cloned();
    let holders = survey.repositories.iter().chain(tops).filter_map(|holder| holder.join(".git").ok());
    let bare = survey.bare.iter().chain(survey.git_directories.values()).cloned();
    let all: BTreeSet<AbsPath> = holders.chain(own).chain(bare).collect();
    let worktrees = all.iter().flat_map(worktrees).filter(|path| filesystem.access(path).writes());
    survey.worktrees = worktrees.collect();
    survey.worktrees.sort();
    survey.worktrees.dedup();
}

fn is_git_directory(path: &Path) -> bool {
    let is_directory = |name: &str| fs::symlink_metadata(path.join(name)).is_ok_and(|found| found.is_dir());
    is_directory("worktrees") && is_directory("objects") && is_directory("refs")
}

/// The directory behind a `.git` that is none itself.
fn leads_to(git: &AbsPath) -> Option<AbsPath> {
    let found = fs::symlink_metadata(git.as_path()).ok()?;
    let target = if found.is_symlink() {
        git.as_path().to_owned()
    } else if found.is_file() {
        let mut text = Vec::new();
        // It may have become a link or a pipe since.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(git.as_path()).ok()?;
        file.take(MAX_GIT_FILE_BYTES).read_to_end(&mut text).ok()?;
        let named = text.strip_prefix(b"gitdir: ")?.trim_ascii_end();
        git.parent()?.as_path().join(OsStr::from_bytes(named))
    } else {
        return None;
    };
    let real = fs::canonicalize(target).ok()?;
    if real.is_dir() { AbsPath::from_host(&real) } else { None }
}

/// The directories of a repository's linked worktrees.
fn worktrees(git: &AbsPath) -> Vec<AbsPath> {
    let Ok(all) = git.join("worktrees") else { return Vec::new() };
    // A link to a directory would be read too, so its own name is asked about first.
    if !fs::symlink_metadata(all.as_path()).is_ok_and(|found| found.is_dir()) {
        return Vec::new();
    }
    let entries = fs::read_dir(all.as_path()).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|found| found.is_dir()))
        .filter_map(|entry| all.join(entry.file_name().as_bytes()).ok())
        .take(MAX_WORKTREES)
        .collect()
}

impl Survey {
    /// What is read-only in the repositories that were found, as rules to be added to the policy's own: for each, the names
    /// that the policy does not open at the top of the writable root around it, unless a rule of the policy lies between.
    ///
    /// A `.git` that is a file or a link is read-only itself, and so is what it leads to where commands may write there. Of
    /// every repository, that at the top of a root included, what git trusts about its linked worktrees is read-only. A bare one is its
    /// own `.git`.
    #[must_use]
    pub fn protected(&self, policy: &Policy) -> Vec<PathRule> {
        let filesystem = policy.filesystem();
        let mut out = BTreeMap::new();
        for repository in &self.repositories {
            for rule in self.protected_in(filesystem, repository) {
                out.entry(rule.path.clone()).or_insert(rule);
            }
        }
        for bare in &self.bare {
            for path in closed_names(filesystem, bare).filter_map(|name| bare.join(name).ok()) {
                if let Some(rule) = read_only(filesystem, &path, bare, None, || was_there(bare)) {
                    out.entry(path).or_insert(rule);
                }
            }
        }
        for worktree in &self.worktrees {
            for path in WORKTREE_NAMES.iter().filter_map(|name| worktree.join(name).ok()) {
                let origin =
                    || Origin::implied(format!("the linked worktree of {worktree} was there at start"));
                if let Some(rule) = read_only(filesystem, &path, worktree, None, origin) {
                    out.entry(path).or_insert(rule);
                }
            }
        }
        out.into_values().collect()
    }

    fn protected_in(&self, filesystem: &Filesystem, repository: &AbsPath) -> Vec<PathRule> {
        let Ok(git) = repository.join(".git") else { return Vec::new() };
        let origin = || was_there(repository);
        let closed = closed_names(filesystem, repository);
        if !matches!(self.places.get(&git), Some(Kind::File | Kind::Symlink)) {
            let paths = closed.filter_map(|name| git.join(name).ok());
            return paths.filter_map(|path| read_only(filesystem, &path, repository, None, origin)).collect();
        }
        let mut out: Vec<_> = read_only(filesystem, &git, repository, None, origin).into_iter().collect();
        if let Some(real) = self.git_directories.get(&git) {
            let paths = closed.filter_map(|name| real.join(name).ok());
            out.extend(paths.filter_map(|path| read_only(filesystem, &path, real, Some(&git), origin)));
        }
        out
    }
}

/// The rule that makes `path` read-only, if commands may write there and no rule of the policy below `holder` says so.
fn read_only(
    filesystem: &Filesystem,
    path: &AbsPath,
    holder: &AbsPath,
    via: Option<&AbsPath>,
    origin: impl Fn() -> Origin,
) -> Option<PathRule> {
    let covering = filesystem.covering(path)?;
    if !covering.access.writes() || covering.path != *holder && covering.path.starts_with(holder) {
        return None;
    }
    Some(PathRule {
        path: path.clone(),
        access: Access::Read,
        origin: origin(),
        via: via.cloned(),
        overruled: Vec::new(),
    })
}

/// The top of the writable root around `directory`.
fn top(filesystem: &Filesystem, directory: &AbsPath) -> AbsPath {
    let mut top = directory.clone();
    while let Some(parent) = top.parent().filter(|parent| filesystem.access(parent).writes()) {
        top = parent;
    }
    top
}

/// The names that are read-only in a repository's own directory.
fn closed_names<'f>(
    filesystem: &'f Filesystem,
    repository: &AbsPath,
) -> impl Iterator<Item = &'static str> + use<'f> {
    let top = top(filesystem, repository);
    names().filter(move |name| !is_opened(filesystem, &top, name))
}

fn was_there(repository: &AbsPath) -> Origin {
    Origin::implied(format!("the repository {repository} was there at start"))
}

/// Whether the policy lets commands write this name at the top of a root, by a rule for exactly that place.
fn is_opened(filesystem: &Filesystem, top: &AbsPath, name: &str) -> bool {
    let rule = top.join(".git").and_then(|git| git.join(name)).ok();
    rule.and_then(|path| filesystem.rule_at(&path)).is_some_and(|rule| rule.access.writes())
}
