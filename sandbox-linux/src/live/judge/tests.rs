//! The judge beside the policy's own verdict, and what it says of moves.

use proptest::prelude::*;
use weir_protocol::AbsPath;
use weir_protocol::policy::{
    Access, Filesystem, FilesystemParts, Operation, PrivateDirectory, Request, RuleRef, StandIn,
};

use super::super::{Alias, BESIDE_MOUNTS, LiveRules, Spelled, WITHOUT_MOUNTS, first_rule, spelled};
use super::*;
use crate::survey::tests::{path, policy};

fn judge(filesystem: &Filesystem) -> Judge {
    Judge::new(&LiveRules::of(filesystem.clone()))
}

const PATTERNS: [&str; 8] =
    ["/**/*.env", "/w/**/.secrets", "/w/a/**", "/*/b", "/w/**/a/**/b", "/?", "/w/[!a]*", "/w/b"];

const RULES: [&str; 8] = ["/", "/w", "/w/a", "/w/a/b", "/w/b", "/w/b/a", "/x", "/x/a"];

fn names() -> impl Strategy<Value = String> {
    let name = proptest::sample::select(vec!["w", "a", "b", "x.env", ".secrets", "x"]);
    proptest::collection::vec(name, 1..6).prop_map(|names| format!("/{}", names.join("/")))
}

fn access() -> impl Strategy<Value = Access> {
    proptest::sample::select(vec![Access::None, Access::Read, Access::Copy, Access::Write])
}

proptest! {
    #[test]
    fn it_refuses_what_the_verdict_denies_inside_what_is_granted(
        rules in proptest::collection::btree_map(proptest::sample::select(RULES.to_vec()), access(), 0..6),
        patterns in proptest::sample::subsequence(PATTERNS.to_vec(), 0..4),
        asked in names(),
        writes in any::<bool>(),
    ) {
        let rules: Vec<_> = rules.into_iter().map(|(text, access)| (path(text), access)).collect();
        let listed: Vec<_> = rules.iter().map(|(path, access)| (path, *access)).collect();
        let policy = policy(&listed, &patterns);
        let operation = if writes { Operation::Write } else { Operation::Read };
        let asked = path(asked);
        let verdict = policy.verdict(&Request::Path { path: &asked, operation });
        let around = |below: &AbsPath| {
            let above = policy.filesystem().rules().iter().filter(|rule| &rule.path != below && below.starts_with(&rule.path));
            above.map(|rule| rule.access).max()
        };
        let want = match verdict.rule {
            RuleRef::Glob(_) => true,
            // Only what a rule around it would let through is the judge's; all else nothing opens.
            RuleRef::Path(rule) => !verdict.allowed && around(&rule.path) >= Some(operation.needs()),
            _ => false,
        };
        let found = judge(policy.filesystem()).judge(asked.as_bytes(), operation);
        if want {
            prop_assert!(found.is_some(), "{:?}", verdict);
        }
        // It never refuses what the verdict allows.
        prop_assert!(found.is_none() || !verdict.allowed, "{:?}", verdict);
        prop_assert!(found.is_none() || first_rule(policy.filesystem(), BESIDE_MOUNTS).is_some() || found == Some(Refused::ReadOnly));
        if verdict.rule == RuleRef::Nothing {
            prop_assert_eq!(found, None);
        }
    }

    #[test]
    fn a_directory_whose_states_are_equal_takes_nothing_out_when_it_moves(
        patterns in proptest::sample::subsequence(PATTERNS.to_vec(), 1..4),
        (from, to, below) in (names(), names(), names()),
    ) {
        let policy = policy(&[(&path("/"), Access::Write)], &patterns);
        let mut judge = judge(policy.filesystem());
        if !judge.differs_below(from.as_bytes(), to.as_bytes()) {
            let closed = |judge: &mut Judge, above: &str| judge.judge(format!("{above}{below}").as_bytes(), Operation::Read);
            let (before, after) = (closed(&mut judge, &from), closed(&mut judge, &to));
            prop_assert!(before.is_none() || after.is_some());
        }
    }

    #[test]
    fn what_is_closed_lies_where_it_reaches(
        patterns in proptest::sample::subsequence(PATTERNS.to_vec(), 1..4),
        asked in names(),
    ) {
        let policy = policy(&[(&path("/"), Access::Write), (&path("/x/a"), Access::None)], &patterns);
        let mut judge = judge(policy.filesystem());
        if judge.judge(asked.as_bytes(), Operation::Read).is_some() {
            for above in path(&asked).ancestors() {
                prop_assert!(judge.reaches(above), "{above:?}");
            }
        }
    }
}

#[test]
fn removed_files_and_what_is_no_file() {
    let policy = policy(&[(&path("/w"), Access::Write)], &["/w/**/*.env"]);
    let cases = [
        ("/w/a.env", Some(Refused::Closed)),
        ("/w/a.env (deleted)", Some(Refused::Closed)),
        ("/w/a (deleted)", None),
        ("pipe:[12]", None),
        ("anon_inode:a.env", None),
        ("", None),
    ];
    let mut judge = judge(policy.filesystem());
    for (asked, want) in cases {
        assert_eq!(judge.judge(asked.as_bytes(), Operation::Read), want, "{asked}");
    }
}

#[test]
fn a_second_mount_is_closed_like_the_first() {
    let policy = policy(&[(&path("/"), Access::Write), (&path("/w/secret"), Access::None)], &["/w/**/*.env"]);
    let alias = |from, to| Alias { from: path(from), to: path(to) };
    let aliases = vec![alias("/m", "/w/secret"), alias("/w/plain", "/w/a.env"), alias("/n", "/w")];
    let mut judge = Judge::new(&LiveRules { aliases, ..LiveRules::of(policy.filesystem().clone()) });
    for (asked, closed) in
        [("/m", true), ("/m/x", true), ("/w/plain", true), ("/n/x", false), ("/n/d/b.env", true)]
    {
        assert_eq!(judge.judge(asked.as_bytes(), Operation::Read).is_some(), closed, "{asked}");
    }
}

#[test]
fn a_private_directory_is_the_sandboxes_own() {
    let rules = [(&path("/"), Access::Read), (&path("/home/a/.ssh"), Access::None)];
    let policy = policy(&rules, &[]);
    let private = vec![PrivateDirectory { path: path("/home/a"), kind: StandIn::Home }];
    let with = Filesystem::new(FilesystemParts { private, ..policy.filesystem().to_parts() });
    let asked = b"/home/a/.ssh/id";
    assert_eq!(judge(policy.filesystem()).judge(asked, Operation::Read), Some(Refused::Closed));
    assert!(first_rule(policy.filesystem(), BESIDE_MOUNTS).is_some());
    assert_eq!(judge(&with).judge(asked, Operation::Read), None);
    assert!(first_rule(&with, WITHOUT_MOUNTS).is_none());
}

/// Where a file system may know several spellings of a name, each of them is refused; elsewhere only what the rules spell.
#[test]
fn every_spelling_is_refused_where_names_fold() {
    let place = |text: &str| path(text);
    let (top, plain, config, open) =
        (place("/m"), place("/m/Plain"), place("/m/.git/config"), place("/m/plain/Open"));
    let rules = [
        (&top, Access::Write),
        (&plain, Access::None),
        (&config, Access::Read),
        (&open, Access::Write),
        (&place("/w"), Access::Write),
    ];
    let patterns = ["/m/**/*.Env", "/m/in/*.env", "/m/[A-C]x", "/m/[!A-Ca-c]y", "/w/*.env"];
    let filesystem = policy(&rules, &patterns).filesystem().clone();
    let folding = [("/", Folding::Exact), ("/m", Folding::Folded), ("/m/in", Folding::Exact)];
    let folding = folding.into_iter().map(|(at, folding)| (path(at), folding)).collect();
    let rules = LiveRules { folding, ..LiveRules::of(filesystem) };
    let mut judge = Judge::new(&rules);
    let behind = |path: &str, operation| spelled(&rules, path.as_bytes(), operation);
    for closed in [
        "/m/x.env",
        "/m/X.ENV",
        "/m/a/b.eNv",
        "/m/x.env.",
        "/m/plain",
        "/m/PLAIN/x",
        "/m/Plain/a",
        "/m/ax",
        "/m/Bx",
        "/m/dy",
        "/m/Dy",
        "/m/in/x.env",
    ] {
        assert_eq!(judge.judge(closed.as_bytes(), Operation::Read), Some(Refused::Closed), "{closed}");
        // That a pattern of another file system closes it, however it is spelled, the policy knows.
        assert_eq!(behind(closed, Operation::Read).is_some(), !closed.starts_with("/m/in/"), "{closed}");
    }
    for open in
        ["/m/x", "/m/PLAIN/OPEN/x", "/m/dx", "/m/ay", "/m/in/X.ENV", "/m/in/Plain", "/w/X.ENV", "/M/x.env"]
    {
        assert_eq!(judge.judge(open.as_bytes(), Operation::Read), None, "{open}");
        assert_eq!(behind(open, Operation::Read), None, "{open}");
    }
    for (fixed, want) in [("/m/.GIT/Config", Some(Refused::ReadOnly)), ("/m/.GIT/other", None)] {
        assert_eq!(judge.judge(fixed.as_bytes(), Operation::Write), want, "{fixed}");
        assert_eq!(behind(fixed, Operation::Write).is_some(), want.is_some(), "{fixed}");
    }
    assert!(
        behind("/m/PLAIN/x", Operation::Read).is_some_and(
            |found| matches!(found, Spelled::Path(_, as_ruled) if as_ruled == place("/m/Plain/x"))
        )
    );
    assert!(
        judge.fixes_below(b"/m/.Git") && judge.reaches(b"/m/PLAIN") && judge.differs_below(b"/m/a", b"/m/IN")
    );
}
