//! Laws of the language, tried on random profiles: a denial never widens, narrower means narrower, one meaning has one
//! digest however it is written, and the verdict agrees with a naive reading of the rules.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its support as well")]

#[path = "support/generate.rs"]
mod generate;
#[path = "support/world.rs"]
mod world;

use generate::{document, link_pairs, profile, reversed, toml, with_domain_list};
use globset::{GlobBuilder, GlobMatcher};
use proptest::prelude::*;
use serde_json::{Value, json};
use weir_protocol::AbsPath;
use weir_protocol::policy::lease::{Grant, LeaseError, MAX_LEASE_GRANTS, MAX_LEASE_MS, Scope, Use};
use weir_protocol::policy::{Access, DomainPattern, Lease, Operation, Policy};
use weir_protocol::profile::Format;
use world::{Ask, beyond, links, policy, policy_with, questions};

/// Random cases tried for each law.
const CASES: u32 = 96;

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: 2000,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_denial_never_widens(base in profile(), denials in proptest::collection::vec(generate::denial(), 1..3), pairs in link_pairs()) {
        let terrain = links(&pairs);
        let after = denials.iter().fold(base.clone(), |profile, denial| denial.added_to(&profile).unwrap_or(profile));
        let (before, after) = (policy(&document(&base), &terrain), policy(&document(&after), &terrain));
        prop_assert_eq!(beyond(&after, &before), []);
        prop_assert_eq!(after.excess_over(&before), []);
    }

    #[test]
    fn an_intersection_is_inside_both(one in profile(), other in profile(), pairs in link_pairs()) {
        let terrain = links(&pairs);
        let (one, other) = (policy(&document(&one), &terrain), policy(&document(&other), &terrain));
        let both = one.intersect(&other);
        prop_assert_eq!(both.policy.excess_over(&one), []);
        prop_assert_eq!(both.policy.excess_over(&other), []);
        prop_assert_eq!(beyond(&both.policy, &one), []);
        prop_assert_eq!(beyond(&both.policy, &other), []);
        prop_assert_eq!(both.refused.is_empty(), one.narrower_than(&other));
    }

    #[test]
    fn an_intersection_keeps_the_paths_that_both_allow(one in profile(), other in profile()) {
        let terrain = links(&[]);
        let (one, other) = (policy(&document(&one), &terrain), policy(&document(&other), &terrain));
        let both = one.intersect(&other).policy;
        for ask in questions(&[&one, &other]) {
            if matches!(ask, Ask::Path(..) | Ask::Socket(_)) {
                prop_assert_eq!(ask.allowed_by(&both), ask.allowed_by(&one) && ask.allowed_by(&other), "{:?}", ask);
            }
        }
    }

    #[test]
    fn one_meaning_has_one_digest(base in profile(), pairs in link_pairs()) {
        let terrain = links(&pairs);
        let first = policy(&document(&base), &terrain);
        let whole = json!({ "permissions": { "x": &base } });
        let list = with_domain_list(&base);
        let again = [
            policy(&document(&base), &terrain),
            policy(&reversed(&whole), &terrain),
            policy_with(&toml(&base), Format::Toml, &terrain),
            policy(&document(&list), &terrain),
            policy_with(&toml(&list), Format::Toml, &terrain),
            serde_json::from_str::<Policy>(&serde_json::to_string(&first).unwrap()).unwrap(),
        ];
        for policy in again {
            prop_assert_eq!(policy.digest(), first.digest());
            prop_assert_eq!(beyond(&policy, &first), []);
            prop_assert_eq!(beyond(&first, &policy), []);
        }
    }

    #[test]
    fn json_keeps_a_policy_whole(base in profile(), pairs in link_pairs()) {
        let first = policy(&document(&base), &links(&pairs));
        let text = serde_json::to_string(&first).unwrap();
        let again: Policy = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(serde_json::to_string(&again).unwrap(), text);
    }

    #[test]
    fn extending_and_adding_nothing_changes_nothing(base in profile(), pairs in link_pairs()) {
        let terrain = links(&pairs);
        let extending = json!({ "permissions": { "y": &base, "x": { "extends": "y", "description": "the same" } } });
        prop_assert_eq!(policy(&extending.to_string(), &terrain).digest(), policy(&document(&base), &terrain).digest());
    }

    #[test]
    fn equal_digests_mean_equal_verdicts(base in profile(), redundant in generate::path()) {
        // A rule that repeats what its place has anyway says nothing.
        let terrain = links(&[]);
        let first = policy(&document(&base), &terrain);
        let place = world::path(&redundant);
        prop_assume!(base["filesystem"].get(&redundant).is_none());
        let mut more = base.clone();
        more["filesystem"][&redundant] = Value::from(first.filesystem().access(&place).to_string());
        let second = policy(&document(&more), &terrain);
        if first.digest() == second.digest() {
            prop_assert_eq!(beyond(&first, &second), []);
            prop_assert_eq!(beyond(&second, &first), []);
        } else {
            let private = first.filesystem().private() != second.filesystem().private();
            prop_assert!(private || !first.narrower_than(&second) || !second.narrower_than(&first));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES / 4, ..config() })]

    #[test]
    fn narrower_is_a_partial_order(one in profile(), other in profile(), third in profile()) {
        let terrain = links(&[]);
        let [one, other, third] = [one, other, third].map(|profile| policy(&document(&profile), &terrain));
        let middle = one.intersect(&other).policy;
        let least = middle.intersect(&third).policy;
        let all = [&one, &other, &third, &middle, &least];
        let asked = questions(&all);
        let verdicts = all.map(|policy| asked.iter().map(|ask| ask.allowed_by(policy)).collect::<Vec<_>>());
        let narrower = all.map(|a| all.map(|b| a.narrower_than(b)));
        for a in 0..all.len() {
            prop_assert!(narrower[a][a]);
            for b in 0..all.len() {
                let beyond = verdicts[a].iter().zip(&verdicts[b]).position(|(mine, theirs)| *mine && !*theirs);
                prop_assert!(!narrower[a][b] || beyond.is_none(), "{:?}", asked[beyond.unwrap()]);
                for c in 0..all.len() {
                    prop_assert!(!narrower[a][b] || !narrower[b][c] || narrower[a][c], "{:?}", all[a].excess_over(all[c]));
                }
            }
        }
    }

    #[test]
    fn the_verdict_is_the_naive_one(base in profile(), pairs in link_pairs()) {
        let policy = policy(&document(&base), &links(&pairs));
        let globs = reference_globs(&policy);
        for ask in questions(&[&policy]) {
            if let Ask::Path(path, operation) = &ask {
                prop_assert_eq!(ask.allowed_by(&policy), naive(&policy, &globs, path, *operation), "{:?}", ask);
            }
        }
    }

    #[test]
    fn a_lease_adds_what_it_names_and_nothing_else(base in profile(), place in generate::path(), write in any::<bool>()) {
        let base = policy(&document(&base), &links(&[]));
        let place = world::path(&place);
        let before = (base.digest(), serde_json::to_string(&base).unwrap());
        let access = if write { Access::Write } else { Access::Read };
        let lease = Lease { grants: vec![Grant::Path { path: place.clone(), access }], ..lease(&base) };
        if let Ok(leased) = lease.policy_for(&base, &start()) {
            prop_assert_eq!(base.excess_over(&leased), []);
            prop_assert_eq!(beyond(&base, &leased), []);
            let operation = if write { Operation::Write } else { Operation::Read };
            prop_assert!(Ask::Path(place.clone(), operation).allowed_by(&leased));
            for ask in questions(&[&base, &leased]) {
                let inside = matches!(&ask, Ask::Path(path, _) if path.starts_with(&place));
                prop_assert!(inside || ask.allowed_by(&base) == ask.allowed_by(&leased), "{:?}", ask);
            }
        }
        prop_assert_eq!((base.digest(), serde_json::to_string(&base).unwrap()), before);
    }
}

/// The patterns as another implementation reads them: the pattern itself, and everything below its matches.
fn reference_globs(policy: &Policy) -> Vec<GlobMatcher> {
    let compile = |text: &str| {
        GlobBuilder::new(text)
            .literal_separator(true)
            .backslash_escape(true)
            .build()
            .unwrap()
            .compile_matcher()
    };
    let texts = policy.filesystem().globs().iter().map(|rule| rule.pattern.to_string());
    texts.flat_map(|text| [compile(&text), compile(&format!("{text}/**"))]).collect()
}

/// SPEC 1.2, word by word: patterns win over everything; then the entry with most components; nothing covers: no access.
fn naive(policy: &Policy, globs: &[GlobMatcher], path: &AbsPath, operation: Operation) -> bool {
    // To globset `/*` matches `/` itself, with an empty name for the star; no name is empty.
    if !path.is_root() && globs.iter().any(|glob| glob.is_match(path.as_path())) {
        return false;
    }
    let asked: Vec<_> = path.components().collect();
    let mut best: Option<(usize, Access)> = None;
    for rule in policy.filesystem().rules() {
        let own: Vec<_> = rule.path.components().collect();
        if asked.starts_with(&own) && best.is_none_or(|(depth, _)| own.len() >= depth) {
            best = Some((own.len(), rule.access));
        }
    }
    best.is_some_and(|(_, access)| access.permits(operation))
}

const NOW_MS: u64 = 1_000_000;

fn argv() -> Vec<String> {
    vec!["make".to_owned()]
}

fn start() -> Use<'static> {
    static ARGV: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
    Use { argv: ARGV.get_or_init(argv), turn: Some(("thread", "turn")), now_ms: NOW_MS, used: 0 }
}

fn lease(base: &Policy) -> Lease {
    Lease {
        base: base.digest(),
        grants: vec![Grant::UnixSocket { path: world::path("/run/x") }],
        scope: Scope::Command { argv: argv() },
        issued_ms: NOW_MS,
        expires_ms: NOW_MS + 1,
        reason: "test".to_owned(),
    }
}

#[test]
fn a_lease_cannot_lift_the_administrators_denial_and_protects_what_it_opens() {
    let requirements = r#"{ "permissions": { "x": { "filesystem": { "/data": "none" } } } }"#;
    let reading = weir_exec_server::profile::load::parse(
        "requirements.toml",
        requirements.as_bytes().to_vec(),
        Format::Json,
        weir_protocol::policy::Layer::Requirements,
    );
    let profile = &reading.document.unwrap().profiles["x"];
    let terrain = links(&[]);
    let base =
        weir_exec_server::profile::resolve::resolve("x", profile, &world::around(), &terrain).unwrap().policy;
    let grant = |text| Lease {
        grants: vec![Grant::Path { path: world::path(text), access: Access::Write }],
        ..lease(&base)
    };
    let refused = grant("/data/deep").policy_for(&base, &start());
    assert!(matches!(refused, Err(LeaseError::DeniedByRequirements { .. })), "{refused:?}");
    let leased = grant("/other").policy_for(&base, &start()).unwrap();
    let write = |text| Ask::Path(world::path(text), Operation::Write).allowed_by(&leased);
    assert_eq!([write("/other/src"), write("/other/.git/hooks/pre-commit")], [true, false]);
}

#[test]
fn every_reason_to_refuse_a_lease_is_reached() {
    let text = r#"{ "permissions": { "x": {
        "filesystem": { "/p": "write", "/p/**/*.env": "none" },
        "network": { "enabled": true, "domains": { "*": "allow", "evil.test": "deny" } } } } }"#;
    let base = policy(text, &links(&[]));
    let other = policy(r#"{ "permissions": { "x": {} } }"#, &links(&[]));
    let one = |grant| Lease { grants: vec![grant], ..lease(&base) };
    let path = |text: &str, access| Grant::Path { path: world::path(text), access };
    let turn = |turn: &str| Scope::Turn { thread: "thread".to_owned(), turn: turn.to_owned() };
    let host = |text| Grant::Domain { pattern: DomainPattern::parse(text).unwrap() };
    let (issued_ms, expires_ms) = (NOW_MS + 1, NOW_MS + 2);
    let many = vec![path("/q", Access::Read); MAX_LEASE_GRANTS + 1];
    let cases = [
        (lease(&base), start(), Ok(())),
        (Lease { scope: turn("turn"), ..lease(&base) }, Use { used: 7, ..start() }, Ok(())),
        (
            lease(&other),
            start(),
            Err(LeaseError::WrongBase { expected: other.digest(), found: base.digest() }),
        ),
        (
            Lease { issued_ms, expires_ms, ..lease(&base) },
            start(),
            Err(LeaseError::OutOfTime { issued_ms, expires_ms, now_ms: NOW_MS }),
        ),
        (
            lease(&base),
            Use { now_ms: NOW_MS + 1, ..start() },
            Err(LeaseError::OutOfTime { issued_ms: NOW_MS, expires_ms: NOW_MS + 1, now_ms: NOW_MS + 1 }),
        ),
        (Lease { expires_ms: NOW_MS + MAX_LEASE_MS + 1, ..lease(&base) }, start(), Err(LeaseError::TooLong)),
        (Lease { grants: Vec::new(), ..lease(&base) }, start(), Err(LeaseError::GrantCount { count: 0 })),
        (
            Lease { grants: many, ..lease(&base) },
            start(),
            Err(LeaseError::GrantCount { count: MAX_LEASE_GRANTS + 1 }),
        ),
        (
            Lease { scope: Scope::Command { argv: Vec::new() }, ..lease(&base) },
            start(),
            Err(LeaseError::OutOfScope),
        ),
        (Lease { scope: turn("next"), ..lease(&base) }, start(), Err(LeaseError::OutOfScope)),
        (
            Lease { scope: turn("turn"), ..lease(&base) },
            Use { turn: None, ..start() },
            Err(LeaseError::OutOfScope),
        ),
        (lease(&base), Use { used: 1, ..start() }, Err(LeaseError::Used)),
        (
            one(path("/p/a/x.env", Access::Read)),
            start(),
            Err(LeaseError::DeniedByPattern {
                path: world::path("/p/a/x.env"),
                pattern: "/p/**/*.env".to_owned(),
            }),
        ),
        (
            one(host("**.test")),
            start(),
            Err(LeaseError::DeniedHost { pattern: DomainPattern::parse("evil.test").unwrap() }),
        ),
        (one(path("/p", Access::None)), start(), Err(LeaseError::NotAGrant { path: world::path("/p") })),
    ];
    for (lease, start, expect) in cases {
        let found = lease.policy_for(&base, &start).map(drop);
        assert_eq!(found, expect, "{lease:?}");
    }
}
