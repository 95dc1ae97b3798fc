//! Laws of the language, tried on random profiles: a denial never widens, narrower means narrower, one meaning has one
//! digest however it is written, and the verdict agrees with a naive reading of the rules.

#[path = "support/generate.rs"]
mod generate;
#[path = "support/world.rs"]
mod world;

use generate::{document, link_pairs, profile, reversed, toml, with_domain_list};
use proptest::prelude::*;
use serde_json::{Value, json};
use weir_protocol::policy::Policy;
use weir_protocol::profile::Format;
use world::{beyond, links, policy, policy_with, questions};

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
            if matches!(ask, world::Ask::Path(..) | world::Ask::Socket(_)) {
                prop_assert_eq!(ask.allowed_by(&both), ask.allowed_by(&one) && ask.allowed_by(&other), "{:?}", ask);
            }
        }
    }

    #[test]
    fn narrower_is_a_partial_order(one in profile(), other in profile(), third in profile()) {
        let terrain = links(&[]);
        let [one, other, third] = [one, other, third].map(|profile| policy(&document(&profile), &terrain));
        let middle = one.intersect(&other).policy;
        let least = middle.intersect(&third).policy;
        let all = [&one, &other, &third, &middle, &least];
        for a in all {
            prop_assert_eq!(a.excess_over(a), []);
            for b in all {
                let narrower = a.narrower_than(b);
                prop_assert!(!narrower || beyond(a, b).is_empty(), "{:?}", beyond(a, b));
                for c in all {
                    prop_assert!(!narrower || !b.narrower_than(c) || a.narrower_than(c), "{:?}", a.excess_over(c));
                }
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
            prop_assert!(!first.narrower_than(&second) || !second.narrower_than(&first) || !first.filesystem().private().eq(second.filesystem().private()));
        }
    }
}
