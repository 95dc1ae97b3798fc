//! For a random tree and random rules, the matches are exactly the topmost granted paths that the verdict denies by a pattern.

use std::collections::BTreeSet;
use std::fs;

use proptest::prelude::*;
use weir_protocol::AbsPath;
use weir_protocol::policy::{Access, Policy};

use super::{Tree, denied_by, policy};
use crate::survey::Survey;

const NAMES: [&str; 6] = ["a", "b", "c.env", ".secrets", "é", "x y"];

const PATTERNS: [&str; 14] = [
    "**/*.env",
    "**/.secrets",
    "a/**",
    "*/b",
    "**/a/**/b",
    "?",
    "**/[!a-z]*",
    "a*/c.env",
    "**/a/b",
    "b/**/*.env",
    "**/x*y",
    "c.env",
    "**/?/?",
    "*",
];

fn relative() -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(&NAMES[..]), 1..5).prop_map(|names| names.join("/"))
}

fn access() -> impl Strategy<Value = Access> {
    proptest::sample::select(vec![Access::None, Access::Read, Access::Write])
}

/// Every path of the tree, without following links.
fn paths(directory: &AbsPath, out: &mut BTreeSet<AbsPath>) {
    for entry in fs::read_dir(directory.as_path()).unwrap() {
        let entry = entry.unwrap();
        let path =
            directory.join(std::os::unix::ffi::OsStrExt::as_bytes(entry.file_name().as_os_str())).unwrap();
        if entry.file_type().unwrap().is_dir() {
            paths(&path, out);
        }
        out.insert(path);
    }
}

/// Whether anything is granted at `path` or below it.
fn is_granted(policy: &Policy, path: &AbsPath) -> bool {
    let filesystem = policy.filesystem();
    let below =
        |rule: &weir_protocol::policy::PathRule| rule.access > Access::None && rule.path.starts_with(path);
    filesystem.access(path) > Access::None || filesystem.rules().iter().any(below)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_matches_are_those_of_the_verdict(
        files in proptest::collection::vec(relative(), 0..14),
        rules in proptest::collection::vec((relative(), access()), 0..5),
        whole in access(),
        patterns in proptest::sample::subsequence(PATTERNS.to_vec(), 0..5),
    ) {
        let tree = Tree::new();
        for name in &files {
            // A name may be taken by a file already.
            drop(fs::create_dir_all(tree.at(name).as_path().parent().unwrap()));
            drop(fs::write(tree.at(name).as_path(), ""));
        }
        let places: Vec<_> = rules.iter().map(|(name, access)| (tree.at(name), *access)).collect();
        let rules: Vec<_> = std::iter::once((&tree.root, whole))
            .chain(places.iter().map(|(path, access)| (path, *access)))
            .collect();
        let patterns: Vec<_> = patterns.iter().map(|pattern| format!("{}/{pattern}", tree.root)).collect();
        let policy = policy(&rules, &patterns.iter().map(String::as_str).collect::<Vec<_>>());
        let mut all = BTreeSet::new();
        paths(&tree.root, &mut all);
        let topmost = |path: &&AbsPath| denied_by(&policy, &path.parent().unwrap()).is_none();
        let expect: Vec<_> = all
            .iter()
            .filter(topmost)
            .filter(|path| is_granted(&policy, path))
            .filter_map(|path| Some((path.clone(), denied_by(&policy, path)?)))
            .collect();
        let survey = Survey::take(&policy).unwrap();
        let found: Vec<_> = survey.matches.into_iter().map(|found| (found.path, found.rule)).collect();
        prop_assert_eq!(found, expect);
        prop_assert!(survey.unreadable.is_empty());
    }
}
