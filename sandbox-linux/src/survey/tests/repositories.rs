//! Repositories and what is read-only in them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;

use weir_protocol::AbsPath;
use weir_protocol::policy::Access;

use super::{Tree, path, policy};
use crate::survey::{Kind, Survey};

/// What is protected, by names below `root`.
fn protected(survey: &Survey, policy: &weir_protocol::policy::Policy, root: &AbsPath) -> Vec<String> {
    let rules = survey.protected(policy);
    assert!(rules.iter().all(|rule| rule.access == Access::Read && rule.origin.place.is_none()));
    let name = |path: &AbsPath| String::from_utf8_lossy(path.relative_to(root).unwrap()).into_owned();
    rules.iter().map(|rule| name(&rule.path)).collect()
}

#[test]
fn repositories_are_found_where_commands_may_write() {
    let tree = Tree::new();
    for name in [".git", "a/.git", "a/.git/deep/.git", "a/sub/.git", "read/b/.git", "read/w/.git"] {
        tree.directory(name);
    }
    tree.file("file/.git");
    symlink("/", tree.directory("link").join(".git").unwrap().as_path()).unwrap();
    let (read, write) = (tree.at("read"), tree.at("read/w"));
    let hooks = |root: &AbsPath| root.join(".git/hooks").unwrap();
    let (top, nested) = (hooks(&tree.root), hooks(&write));
    let rules = [
        (&tree.root, Access::Write),
        (&top, Access::Read),
        (&read, Access::Read),
        (&write, Access::Write),
        (&nested, Access::Read),
    ];
    let survey = Survey::take(&policy(&rules, &[])).unwrap();
    assert_eq!(survey.repositories, ["a", "a/sub", "file", "link"].map(|name| tree.at(name)));
    assert_eq!(survey.places[&tree.at("file/.git")], Kind::File);
    assert_eq!(survey.places[&tree.at("a/.git/hooks")], Kind::Missing);
    // With a pattern under way as well, a repository's own files are walked but hold no repositories.
    let survey = Survey::take(&policy(&rules, &[&format!("{}/**/*.env", tree.root)])).unwrap();
    assert_eq!(survey.repositories.len(), 4);
}

/// A bare one, wherever it lies, and the `.git` of another one as the root itself.
#[test]
fn a_directory_that_is_a_repository_itself_is_one() {
    let tree = Tree::new();
    for at in ["bare", "deep/er/x.git", "a/.git", "a/.git/modules/b", "opened", "read/bare", "read/c/.git"] {
        tree.file(format!("{at}/HEAD"));
        tree.directory(format!("{at}/objects"));
        tree.directory(format!("{at}/refs"));
    }
    tree.file("half/HEAD");
    tree.directory("half/refs");
    let (read, own) = (tree.at("read"), tree.at("read/c/.git"));
    let opened = tree.at("opened/hooks");
    let rules =
        [(&tree.root, Access::Write), (&read, Access::Read), (&own, Access::Write), (&opened, Access::Write)];
    let all = policy(&rules, &[]);
    let survey = Survey::take(&all).unwrap();
    assert_eq!(survey.bare, ["bare", "deep/er/x.git", "opened", "read/c/.git"].map(|name| tree.at(name)));
    let names = protected(&survey, &all, &tree.root);
    for at in ["bare", "deep/er/x.git", "read/c/.git"] {
        for name in ["hooks", "config", "commondir", "objects/info/alternates"] {
            assert!(names.contains(&format!("{at}/{name}")), "{at}/{name}: {names:?}");
        }
    }
    assert!(names.contains(&"opened/config".to_owned()) && !names.contains(&"opened/hooks".to_owned()));
}

#[test]
fn a_repository_is_protected_as_the_top_of_its_root_is() {
    let root = path("/p");
    let hooks = path("/p/.git/hooks");
    let config = path("/p/.git/config");
    let own = path("/p/a/.git/info/attributes");
    let survey = Survey { repositories: vec![path("/p/a")], ..Survey::default() };
    let all = policy(&[(&root, Access::Write), (&hooks, Access::Read)], &[]);
    let names = protected(&survey, &all, &path("/p/a/.git"));
    assert!(
        ["hooks", "config", "commondir"].iter().all(|name| names.contains(&(*name).to_owned())),
        "{names:?}"
    );
    let opened = policy(&[(&root, Access::Write), (&config, Access::Write), (&own, Access::Write)], &[]);
    let fewer = protected(&survey, &opened, &path("/p/a/.git"));
    let gone: Vec<_> = names.iter().filter(|name| !fewer.contains(name)).collect();
    assert_eq!(gone, ["config", "info/attributes"]);
    let whole = path("/p/a/.git");
    let explicit = policy(&[(&root, Access::Write), (&whole, Access::Write)], &[]);
    assert!(survey.protected(&explicit).is_empty());
    // The rule for the directory that holds it says nothing about what is in it.
    let holder = path("/p/a");
    let nested = policy(&[(&root, Access::Write), (&holder, Access::Write)], &[]);
    assert_eq!(protected(&survey, &nested, &whole), names);
    assert!(survey.protected(&policy(&[(&root, Access::Read)], &[])).is_empty());
}

#[test]
fn a_git_file_is_read_only_and_so_is_what_it_leads_to() {
    let tree = Tree::new();
    tree.directory("git dirs/x.git");
    fs::write(tree.directory("x").join(".git").unwrap().as_path(), "gitdir: ../git dirs/x.git\n").unwrap();
    fs::write(tree.directory("y").join(".git").unwrap().as_path(), "gitdir: /usr\n").unwrap();
    fs::write(tree.directory("z").join(".git").unwrap().as_path(), "nonsense").unwrap();
    let policy = policy(&[(&tree.root, Access::Write)], &[]);
    let survey = Survey::take(&policy).unwrap();
    assert_eq!(survey.git_directories, BTreeMap::from([(tree.at("x/.git"), tree.at("git dirs/x.git"))]));
    let names = protected(&survey, &policy, &tree.root);
    let (files, led): (Vec<_>, Vec<_>) = names.iter().partition(|name| name.ends_with("/.git"));
    assert_eq!(files, ["x/.git", "y/.git", "z/.git"]);
    assert!(led.iter().all(|name| name.starts_with("git dirs/x.git/")) && led.len() > 5, "{led:?}");
}

#[test]
fn what_git_trusts_about_linked_worktrees_is_read_only() {
    let tree = Tree::new();
    tree.directory(".git/worktrees/one");
    tree.directory("a/.git/worktrees/two");
    let hooks = tree.at(".git/hooks");
    let policy = policy(&[(&tree.root, Access::Write), (&hooks, Access::Read)], &[]);
    let survey = Survey::take(&policy).unwrap();
    assert_eq!(survey.worktrees, [tree.at(".git/worktrees/one"), tree.at("a/.git/worktrees/two")]);
    let names = protected(&survey, &policy, &tree.root);
    for name in
        [".git/worktrees/one/commondir", ".git/worktrees/one/gitdir", "a/.git/worktrees/two/config.worktree"]
    {
        assert!(names.contains(&name.to_owned()), "{name}: {names:?}");
    }
}
