//! Linked worktrees of git: whether the `.git` file at the top of a root leads to a repository that knows this worktree.
//!
//! Such a file names a directory of its own inside a repository, and the worktree's git writes to both. A command could
//! plant one in a directory that later becomes a root, so what it says counts only where the repository says the same: the
//! directory lies in `worktrees` of the repository, it names that repository, and it names this very `.git` file. Nobody can
//! make it do so who cannot write to the repository already. Pure but for what `Terrain` is asked. Called by `protect`.

use weir_protocol::AbsPath;

use super::repository::is_repository;
use crate::profile::surroundings::{Terrain, Walker};

/// How the directory of a repository may be called. The file of a root may lead to nothing else, whatever is in it.
const REPOSITORY_ENDINGS: [&[u8]; 2] = [b".git", b".bare"];

/// A repository and the directory that it keeps for a linked worktree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Worktree {
    /// The repository's own directory, which all its worktrees have in common.
    pub(super) common: AbsPath,
    /// The directory of this worktree, `worktrees/NAME` in it.
    pub(super) own: AbsPath,
}

/// Why a `.git` file does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// Not `gitdir: ` and a path.
    #[error("it names no directory")]
    NamesNothing,
    /// Not a directory `worktrees/NAME`.
    #[error("{0} is no directory of a linked worktree; work in a submodule needs a rule for it")]
    NoWorktree(AbsPath),
    /// Not a repository, or one around the worktree.
    #[error("{0} is no repository of which this can be a worktree")]
    NoRepository(AbsPath),
    /// The repository does not say the same.
    #[error("{0} does not name this worktree and its repository")]
    Unknown(AbsPath),
}

/// Follows the text of the file `.git` in `root`, which is a real name.
pub(super) fn find<T: Terrain>(
    walker: &mut Walker<'_, T>,
    root: &AbsPath,
    text: &[u8],
) -> Result<Worktree, Refusal> {
    let named = text.strip_prefix(b"gitdir: ").map(line).ok_or(Refusal::NamesNothing)?;
    let own = walker.follow_from(root, named).ok_or(Refusal::NamesNothing)?.real;
    let kept_in = own.parent().filter(|parent| parent.file_name() == Some(b"worktrees"));
    let common = kept_in.and_then(|parent| parent.parent());
    let common = common.ok_or_else(|| Refusal::NoWorktree(own.clone()))?;
    if !is_called_so(&common) || !is_repository(walker.terrain(), &common) || root.starts_with(&common) {
        return Err(Refusal::NoRepository(common));
    }
    let git = root.join(".git").ok();
    if stated(walker, &own, "commondir").as_ref() != Some(&common) || stated(walker, &own, "gitdir") != git {
        return Err(Refusal::Unknown(own));
    }
    Ok(Worktree { common, own })
}

/// Whether a directory is called like a repository.
fn is_called_so(common: &AbsPath) -> bool {
    let called = |name: &[u8]| REPOSITORY_ENDINGS.iter().any(|ending| name.ends_with(ending));
    common.file_name().is_some_and(called)
}

/// The path that a file in the worktree's directory states.
fn stated<T: Terrain>(walker: &mut Walker<'_, T>, own: &AbsPath, name: &str) -> Option<AbsPath> {
    let text = walker.terrain().read_small(&own.join(name).ok()?)?;
    Some(walker.follow_from(own, line(&text))?.real)
}

/// Without the end of the line, as git reads these files.
fn line(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::PathBuf;

    use super::*;
    use crate::profile::surroundings::Look;

    fn path(text: &str) -> AbsPath {
        AbsPath::parse(text).unwrap()
    }

    /// A host as literals.
    #[derive(Default)]
    struct Tree {
        files: BTreeMap<AbsPath, Vec<u8>>,
        directories: BTreeSet<AbsPath>,
        links: BTreeMap<AbsPath, PathBuf>,
    }

    impl Terrain for Tree {
        fn look(&self, name: &AbsPath) -> Look {
            self.links.get(name).cloned().map_or(Look::Other, Look::Link)
        }

        fn exists(&self, name: &AbsPath) -> bool {
            self.files.contains_key(name) || self.is_directory(name) || self.links.contains_key(name)
        }

        fn is_directory(&self, name: &AbsPath) -> bool {
            self.directories.contains(name)
        }

        fn read_small(&self, name: &AbsPath) -> Option<Vec<u8>> {
            self.files.get(name).cloned()
        }
    }

    fn tree(files: &[(&str, &str)], repositories: &[&str]) -> Tree {
        let directories =
            repositories.iter().flat_map(|at| ["objects", "refs"].map(|name| path(at).join(name).unwrap()));
        let heads = repositories.iter().map(|at| (path(at).join("HEAD").unwrap(), Vec::new()));
        Tree {
            files: files
                .iter()
                .map(|(name, text)| (path(name), text.as_bytes().to_vec()))
                .chain(heads)
                .collect(),
            directories: directories.collect(),
            links: BTreeMap::new(),
        }
    }

    const OWN: &str = "/main/.git/worktrees/w";

    fn files<'t>(back: &'t str, common: &'t str) -> Vec<(&'static str, &'t str)> {
        vec![("/main/.git/worktrees/w/gitdir", back), ("/main/.git/worktrees/w/commondir", common)]
    }

    fn check(tree: &Tree, text: &str, expect: Result<(), Refusal>) {
        let found = find(&mut Walker::new(tree), &path("/w"), text.as_bytes());
        let worktree = Worktree { common: path("/main/.git"), own: path(OWN) };
        assert_eq!(found, expect.map(|()| worktree), "{text:?}");
    }

    #[test]
    fn a_repository_that_knows_the_worktree_counts() {
        let text = format!("gitdir: {OWN}\n");
        check(&tree(&files("/w/.git\n", "../..\n"), &["/main/.git"]), &text, Ok(()));
        // Relative names, as git writes them on request, and absolute ones.
        check(
            &tree(&files("../../../../w/.git", "/main/.git"), &["/main/.git"]),
            "gitdir: ../main/.git/worktrees/w",
            Ok(()),
        );
        let mut linked = tree(&files("/link/w/.git\n", "../..\n"), &["/main/.git"]);
        linked.links = BTreeMap::from([(path("/link"), PathBuf::from("."))]);
        check(&linked, "gitdir: /link/main/.git/worktrees/w\n", Ok(()));
    }

    #[test]
    fn what_the_repository_does_not_confirm_counts_for_nothing() {
        let text = format!("gitdir: {OWN}\n");
        let unknown = || Err(Refusal::Unknown(path(OWN)));
        let common = ["/main/.git"];
        check(&tree(&files("/other/.git\n", "../..\n"), &common), &text, unknown());
        check(&tree(&files("/w/.git/x\n", "../..\n"), &common), &text, unknown());
        check(&tree(&files("/w/.git\n", "/etc\n"), &common), &text, unknown());
        check(&tree(&[], &common), &text, unknown());
        check(&tree(&files("", ""), &common), &text, unknown());
        let good = files("/w/.git\n", "../..\n");
        check(&tree(&good, &[]), &text, Err(Refusal::NoRepository(path("/main/.git"))));
        for nothing in ["", "gitdir:", "gitdir: ", "gitdir: \n", "nonsense", "gitdir: a\0b"] {
            check(&tree(&good, &common), nothing, Err(Refusal::NamesNothing));
        }
        let submodule = "/main/.git/modules/w";
        check(
            &tree(&good, &common),
            &format!("gitdir: {submodule}"),
            Err(Refusal::NoWorktree(path(submodule))),
        );
        check(&tree(&good, &common), "gitdir: /", Err(Refusal::NoWorktree(AbsPath::root())));
    }

    /// A directory that a command could write to as a whole, made to look like a repository.
    #[test]
    fn a_forged_repository_is_not_just_any_directory() {
        let forged = |at: &str| {
            let own = format!("{at}/worktrees/x");
            let names = [(format!("{own}/gitdir"), "/w/.git"), (format!("{own}/commondir"), "../..")];
            let files: Vec<_> = names.iter().map(|(name, text)| (name.as_str(), *text)).collect();
            let tree = tree(&files, &[at]);
            find(&mut Walker::new(&tree), &path("/w"), format!("gitdir: {own}").as_bytes())
        };
        assert_eq!(forged("/home/u"), Err(Refusal::NoRepository(path("/home/u"))));
        assert_eq!(forged("/w.git").map(|found| found.common), Ok(path("/w.git")));
        let around = tree(
            &[("/p.git/worktrees/x/gitdir", "/p.git/w/.git"), ("/p.git/worktrees/x/commondir", "../..")],
            &["/p.git"],
        );
        let found = find(&mut Walker::new(&around), &path("/p.git/w"), b"gitdir: /p.git/worktrees/x");
        assert_eq!(found, Err(Refusal::NoRepository(path("/p.git"))));
    }
}
