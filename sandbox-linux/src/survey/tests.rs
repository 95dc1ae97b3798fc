//! Surveys of real trees, compared with the verdict on every path.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use weir_protocol::AbsPath;
use weir_protocol::policy::{
    Access, Confinement, Glob, Operation, Policy, PolicyParts, Request, RuleRef, Sourced,
};

use super::{Kind, Match, SMALL_PATTERNS_BYTES, Survey, SurveyError};

mod property;
mod repositories;
#[path = "../../tests/support/policy.rs"]
mod rules;

pub(crate) fn path(text: impl AsRef<[u8]>) -> AbsPath {
    AbsPath::parse(text).unwrap()
}

/// A policy of path rules and denying patterns.
pub(crate) fn policy(rules: &[(&AbsPath, Access)], patterns: &[&str]) -> Policy {
    rules::of_rules(rules, patterns.iter().map(|text| Glob::absolute(text).unwrap()))
}

/// The pattern that denies `path`, by its position.
pub(crate) fn denied_by(policy: &Policy, path: &AbsPath) -> Option<usize> {
    match policy.verdict(&Request::Path { path, operation: Operation::Read }).rule {
        RuleRef::Glob(rule) => policy.filesystem().globs().iter().position(|other| other == rule),
        _ => None,
    }
}

/// A temporary directory by its real name, and the directory itself, to keep it.
pub(super) struct Tree {
    pub(super) root: AbsPath,
    _keep: tempfile::TempDir,
}

impl Tree {
    pub(super) fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    pub(super) fn below(place: &Path) -> Self {
        let keep = tempfile::tempdir_in(place).unwrap();
        let root = AbsPath::from_host(&fs::canonicalize(keep.path()).unwrap()).unwrap();
        Self { root, _keep: keep }
    }

    pub(super) fn at(&self, name: impl AsRef<[u8]>) -> AbsPath {
        self.root.join(name).unwrap()
    }

    pub(super) fn directory(&self, name: impl AsRef<[u8]>) -> AbsPath {
        let path = self.at(name);
        fs::create_dir_all(path.as_path()).unwrap();
        path
    }

    pub(super) fn file(&self, name: impl AsRef<[u8]>) -> AbsPath {
        let path = self.at(name);
        fs::create_dir_all(path.as_path().parent().unwrap()).unwrap();
        fs::write(path.as_path(), "text").unwrap();
        path
    }

    /// A policy that grants the whole tree, with these patterns below it.
    pub(super) fn policy(&self, patterns: &[&str]) -> Policy {
        let patterns: Vec<_> = patterns.iter().map(|pattern| format!("{}/{pattern}", self.root)).collect();
        policy(&[(&self.root, Access::Write)], &patterns.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// What the patterns match, by names below the root.
    fn matches(&self, patterns: &[&str]) -> Vec<(String, Kind)> {
        self.named(&Survey::take(&self.policy(patterns)).unwrap().matches)
    }

    fn named(&self, matches: &[Match]) -> Vec<(String, Kind)> {
        let name =
            |path: &AbsPath| String::from_utf8_lossy(path.relative_to(&self.root).unwrap()).into_owned();
        matches.iter().map(|found| (name(&found.path), found.kind)).collect()
    }
}

#[test]
fn files_and_directories_match_at_any_depth_and_only_topmost() {
    let tree = Tree::new();
    for name in ["a.env", "d/e/f/b.env", "d/.secrets/key", "d/.secrets/x.env", "d/plain", "x.environment"] {
        tree.file(name);
    }
    tree.directory("dir.env/inner");
    let expect = [
        ("a.env", Kind::File),
        ("d/.secrets", Kind::Directory),
        ("d/e/f/b.env", Kind::File),
        ("dir.env", Kind::Directory),
    ];
    let expect = expect.map(|(name, kind)| (name.to_owned(), kind));
    assert_eq!(tree.matches(&["**/*.env", "**/.secrets"]), expect);
    assert_eq!(tree.matches(&["*.env"]).len(), 2);
    assert_eq!(tree.matches(&["d/*/f/*.env"]), [("d/e/f/b.env".to_owned(), Kind::File)]);
    assert!(tree.matches(&[]).is_empty());
}

#[test]
fn every_kind_and_every_name_is_found() {
    let tree = Tree::new();
    let names: [&[u8]; 6] =
        [b"a b.env", b"\"quoted\".env", b"new\nline.env", b"\xff\xfe.env", b" .env", b"\\.env"];
    names.iter().for_each(|name| drop(tree.file([b"odd dir/\n/", *name].concat())));
    symlink("nowhere", tree.at("link.env").as_path()).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(tree.at("socket.env").as_path()).unwrap();
    let survey = Survey::take(&tree.policy(&["**/*.env"])).unwrap();
    for name in names {
        let path = tree.at([b"odd dir/\n/", name].concat());
        assert!(survey.matches.contains(&Match { path, kind: Kind::File, rule: 0 }), "{name:?}");
    }
    let at = |name| survey.matches.iter().find(|found| found.path == tree.at(name)).map(|found| found.kind);
    assert_eq!((at("link.env"), at("socket.env")), (Some(Kind::Symlink), Some(Kind::Socket)));
    assert_eq!(survey.matches.len(), names.len() + 2);
}

#[test]
fn only_what_is_granted_matters() {
    let tree = Tree::new();
    for name in ["open/a.env", "shut/a.env", "shut/open/a.env", "shut/open/deep/b.env"] {
        tree.file(name);
    }
    let (open, shut, inner) = (tree.at("open"), tree.at("shut"), tree.at("shut/open"));
    let pattern = format!("{}/**/*.env", tree.root);
    let rules = [(&open, Access::Read), (&shut, Access::None), (&inner, Access::Write)];
    let survey = Survey::take(&policy(&rules, &[&pattern])).unwrap();
    let found = tree.named(&survey.matches);
    let expect = ["open/a.env", "shut/open/a.env", "shut/open/deep/b.env"];
    assert_eq!(found, expect.map(|name| (name.to_owned(), Kind::File)));
    let unrestricted = PolicyParts {
        confinement: Sourced::default_of(Confinement::Unrestricted, "a test"),
        ..policy(&rules, &[&pattern]).parts().clone()
    };
    assert_eq!(Survey::take(&unrestricted.into()).unwrap(), Survey::default());
}

#[test]
fn links_are_not_followed() {
    let (tree, other) = (Tree::new(), Tree::new());
    other.file("a.env");
    symlink(other.root.as_path(), tree.at("out").as_path()).unwrap();
    symlink(".", tree.at("self").as_path()).unwrap();
    tree.file("b.env");
    assert_eq!(tree.matches(&["**/*.env"]), [("b.env".to_owned(), Kind::File)]);
    // A base that is a link is walked under its real name only.
    assert!(tree.matches(&["out/*.env"]).is_empty());
}

#[test]
fn other_names_of_a_denied_file_match_too() {
    let tree = Tree::new();
    let link = |from: &AbsPath, to: &str| fs::hard_link(from.as_path(), tree.at(to).as_path()).unwrap();
    let secret = tree.file("d/a.env");
    link(&secret, "plain name");
    link(&secret, "d/second.env");
    let key = tree.file(".secrets/deep/key");
    tree.directory("e/f");
    link(&key, "e/f/key copy");
    let harmless = tree.file("harmless");
    link(&harmless, "harmless too");
    let names = [".secrets", "d/a.env", "d/second.env", "e/f/key copy", "plain name"];
    let survey = Survey::take(&tree.policy(&["**/*.env", "**/.secrets"])).unwrap();
    let found: Vec<_> = tree.named(&survey.matches).into_iter().map(|(name, _)| name).collect();
    assert_eq!(found, names);
    let rules: Vec<_> = survey.matches.iter().map(|found| found.rule).collect();
    // Patterns stand sorted in a policy: `.secrets` is the first.
    assert_eq!(rules, [0, 1, 1, 0, 1]);
    // Where no pattern denies the file, its names are nobody's business.
    assert!(tree.matches(&["**/other"]).is_empty());
}

#[test]
fn ten_thousand_matches_are_all_found() {
    let tree = Tree::new();
    for index in 0..10_000 {
        tree.file(format!("{}/{index}.env", index % 100));
    }
    assert_eq!(tree.matches(&["**/*.env"]).len(), 10_000);
}

/// Deeper than directories are held open, with something to return to at every level.
#[test]
fn a_deep_tree_is_walked_to_its_end() {
    let tree = Tree::new();
    let mut name = String::new();
    for _ in 0..300 {
        name += "d/";
        tree.file(format!("{name}a.env"));
        tree.file(format!("{name}z/b.env"));
        tree.directory(format!("{name}0/1"));
    }
    assert_eq!(tree.matches(&["**/*.env"]).len(), 600);
}

/// A directory whose entries' paths are longer than a path may be is named, and closed where a pattern could match.
#[test]
fn a_path_that_is_too_long_closes_its_directory() {
    let tree = Tree::new();
    let name = "n".repeat(200);
    let mut here = opened(tree.root.as_path());
    for _ in 0..25 {
        here = make_below(&here, &name);
    }
    let survey = Survey::take(&tree.policy(&["**/*.env"])).unwrap();
    assert_eq!(survey.unreadable.len(), 1, "{:?}", survey.unreadable);
    assert_eq!(survey.unreadable[0].1, libc::ENAMETOOLONG);
    assert_eq!(survey.closed.len(), 1);
    assert_eq!(survey.closed[0].path, survey.unreadable[0].0);
    // The same without a pattern: named all the same, for a repository was looked for.
    let survey = Survey::take(&tree.policy(&[])).unwrap();
    assert_eq!((survey.unreadable.len(), survey.closed.len()), (1, 0));
}

fn opened(path: &Path) -> fs::File {
    fs::File::open(path).unwrap()
}

/// Makes and opens a directory below an open one, whose path may be longer than a path can be.
fn make_below(parent: &fs::File, name: &str) -> fs::File {
    use std::os::fd::AsRawFd as _;
    let path = format!("/proc/self/fd/{}/{name}", parent.as_raw_fd());
    fs::create_dir(&path).unwrap();
    fs::File::open(path).unwrap()
}

#[test]
fn a_missing_base_is_no_error() {
    let tree = Tree::new();
    let missing = tree.at("missing");
    let pattern = format!("{missing}/**/*.env");
    let survey = Survey::take(&policy(&[(&missing, Access::Write)], &[&pattern])).unwrap();
    assert_eq!(survey.places, BTreeMap::from([(missing, Kind::Missing)]));
    assert!(survey.matches.is_empty() && survey.unreadable.is_empty());
}

#[test]
fn places_are_told_without_following_links() {
    let tree = Tree::new();
    let file = tree.file("d/file");
    let link = tree.at("link");
    symlink("d", link.as_path()).unwrap();
    let cases = [
        (tree.at("d"), Kind::Directory),
        (file.clone(), Kind::File),
        (file.join("below a file").unwrap(), Kind::Missing),
        (tree.at("d/none"), Kind::Missing),
        (tree.at("d/none/none"), Kind::Missing),
        (link.clone(), Kind::Symlink),
        (link.join("file").unwrap(), Kind::Symlink),
        (path("/dev/null"), Kind::Device),
        (path("/"), Kind::Directory),
    ];
    let rules: Vec<_> = cases.iter().map(|(path, _)| (path, Access::Read)).collect();
    let survey = Survey::take(&policy(&rules, &[])).unwrap();
    assert_eq!(survey.places, BTreeMap::from(cases.clone()));
}

/// Another thread makes and removes what is being walked: nothing fails, and what stays is found.
#[test]
fn a_tree_that_changes_is_walked_without_error() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let tree = Tree::new();
    for index in 0..50 {
        tree.file(format!("{index}/stays.env"));
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for index in 0..50 {
                    let name = tree.directory(format!("{index}/comes/and/goes"));
                    drop(fs::write(name.as_path().join("x.env"), ""));
                    drop(fs::remove_dir_all(tree.at(format!("{index}/comes")).as_path()));
                    drop(symlink("/", tree.at(format!("{index}/comes")).as_path()));
                    drop(fs::remove_file(tree.at(format!("{index}/comes")).as_path()));
                }
            }
        });
        let surveys: Vec<_> = (0..50).map(|_| Survey::take(&tree.policy(&["**/*.env"]))).collect();
        done.store(true, Ordering::Relaxed);
        for survey in surveys {
            let survey = survey.unwrap();
            let stays = survey.matches.iter().filter(|found| found.path.file_name() == Some(b"stays.env"));
            assert_eq!(stays.count(), 50);
            assert!(survey.matches.iter().all(|found| found.path.starts_with(&tree.root)));
        }
    });
}

#[test]
fn names_of_the_kernels_trees_are_not_entered() {
    let survey =
        Survey::take(&policy(&[(&path("/proc/self"), Access::Write)], &["/proc/**/status"])).unwrap();
    assert!(survey.matches.is_empty() && survey.looked_at < 4, "{survey:?}");
    assert_eq!(survey.places[&path("/proc/self")], Kind::Symlink);
}

/// The dearest patterns that count as small still compile, and a set that does not is refused by name.
#[test]
fn patterns_too_large_to_compile_are_refused() {
    for piece in ["?", "[!a-bc-d]", "**/a/"] {
        let times = if piece.starts_with("**") { 4 } else { 200 / piece.len() };
        let line = piece.repeat(times);
        let count = SMALL_PATTERNS_BYTES / (line.len() + 4);
        let patterns: Vec<_> = (0..count).map(|index| format!("/{index}/{line}z")).collect();
        let policy = policy(&[], &patterns.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(denied_by(&policy, &AbsPath::root()), None, "{piece}");
    }
    let line = "?".repeat(240);
    let patterns: Vec<_> = (0..200).map(|index| format!("/{line}/{index}/{line}")).collect();
    let policy = policy(&[], &patterns.iter().map(String::as_str).collect::<Vec<_>>());
    let refused = Survey::take(&policy);
    assert!(matches!(refused, Err(SurveyError::PatternsTooLarge { .. })), "{refused:?}");
}

#[test]
fn other_names_of_closed_files_are_found_in_copies() {
    let tree = Tree::new();
    let [closed, copied, written] = ["closed", "copied", "written"].map(|name| tree.directory(name));
    let key = tree.file("closed/deep/key");
    tree.file("closed/alone");
    tree.file("copied/d/alone");
    for name in ["copied/d/other", "copied/out/other", "written/other"] {
        tree.directory(name.strip_suffix("/other").unwrap());
        fs::hard_link(key.as_path(), tree.at(name).as_path()).unwrap();
    }
    let rules = [
        (&tree.root, Access::Read),
        (&closed, Access::None),
        (&copied, Access::Copy),
        (&tree.at("copied/out"), Access::Write),
        (&written, Access::Write),
    ];
    assert_eq!(Survey::take(&policy(&rules, &[])).unwrap().further, [tree.at("copied/d/other")]);
    let rules = [(&tree.root, Access::Read), (&closed, Access::None), (&copied, Access::Write)];
    assert_eq!(Survey::take(&policy(&rules, &[])).unwrap().further, []);
}

/// One name is met twice: in what is closed inside the copy, and by rules that lie in each other. The other ones are found all the same.
#[test]
fn no_name_of_a_closed_file_in_a_copy_is_counted_for_another() {
    let tree = Tree::new();
    let [copied, outer] = ["copied", "outer"].map(|name| tree.directory(name));
    let [inside, inner] = ["copied/closed", "outer/inner"].map(|name| tree.directory(name));
    let names = ["a/1", "z/2", "z/m.env"];
    for (index, key) in ["copied/closed/key", "outer/inner/key", "copied/x.env"].into_iter().enumerate() {
        let key = tree.file(key);
        for name in names {
            let name = tree.at(format!("copied/{index}/{name}"));
            fs::create_dir_all(name.as_path().parent().unwrap()).unwrap();
            fs::hard_link(key.as_path(), name.as_path()).unwrap();
        }
    }
    let rules = [
        (&tree.root, Access::Read),
        (&copied, Access::Copy),
        (&inside, Access::None),
        (&outer, Access::None),
        (&inner, Access::None),
    ];
    let pattern = format!("{copied}/**/*.env");
    for patterns in [&[][..], &[pattern.as_str()]] {
        let survey = Survey::take(&policy(&rules, patterns)).unwrap();
        let closed: Vec<_> = survey.matches.iter().map(|found| &found.path).chain(&survey.further).collect();
        for index in 0..(2 + patterns.len()) {
            for name in names {
                let name = tree.at(format!("copied/{index}/{name}"));
                assert!(closed.contains(&&name), "{name} {patterns:?}: {closed:?}");
            }
        }
        assert!(survey.untold.is_empty());
    }
}
