//! The law: for whatever rules over a made tree, the kernel's answers are those of `Policy::verdict`, in every way.
//!
//! Profiles are drawn from a fixed sequence, so that a failure can be repeated. The verdict comes from the same profile file by
//! the same code that the server uses; acts are tried by the probe, one after the other, in one sandbox for each profile.

use std::collections::BTreeMap;

use weir_exec_server::profile::ceiling::Caller;
use weir_exec_server::profile::load::{Selection, load};
use weir_exec_server::profile::surroundings::{Surroundings, other_homes};
use weir_protocol::policy::{Access, Operation, Request};
use weir_protocol::{AbsPath, Policy};
use weir_tests::sandbox::{Act, REFUSED, Way, World, act};

/// Profiles for each way.
const PROFILES: u64 = 16;

/// Directories of the tree. Each holds a file `f`, a program `x`, and files `gone` and `old` to be removed and renamed.
const DIRECTORIES: [&str; 9] = ["t", "t/a", "t/a/b", "t/a/b/c", "t/a/d", "t/e", "t/e/b", "t/e/b/c", "t/g"];

fn tree(world: &World) {
    world.clear();
    for directory in DIRECTORIES {
        for name in ["f", "gone", "old"] {
            world.file(format!("{directory}/{name}"), "content");
        }
        world.script(format!("{directory}/x"), "#!/bin/sh\necho ran\n");
    }
}

/// Numbers that look drawn, the same in each run (Steele, Lea and Flood 2014: splitmix64).
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % bound
    }
}

/// Rules for some of the directories and files.
fn rules(seed: u64) -> BTreeMap<String, &'static str> {
    let mut draw = Draw(seed);
    let mut rules = BTreeMap::new();
    for directory in DIRECTORIES {
        for place in [directory.to_owned(), format!("{directory}/f")] {
            let chance = if place.ends_with('f') { 4 } else { 2 };
            if draw.below(chance) == 0 {
                let access = ["none", "read", "write"][usize::try_from(draw.below(3)).unwrap()];
                rules.insert(place, access);
            }
        }
    }
    rules
}

fn policy(world: &World) -> Policy {
    let path = |name: &str| AbsPath::from_host(&world.at(name)).unwrap();
    let around = Surroundings {
        home: path("home"),
        cwd: path("work"),
        project_roots: vec![path("work")],
        tmpdir: None,
        weir_home: path("weir"),
        other_homes: other_homes(&path("home")),
    };
    let caller = Caller { user: "test".to_owned(), groups: Vec::new(), home: None };
    load(&Selection::default(), &around, || caller).unwrap().policy
}

/// One question: what is tried, and the paths and operations that the policy must allow for it.
struct Question {
    act: Act,
    needs: Vec<(AbsPath, Operation)>,
    /// The directory, where it is one that is listed.
    listed: Option<AbsPath>,
}

fn questions(world: &World) -> Vec<Question> {
    let path = |directory: &str, name: &str| AbsPath::from_host(&world.at(directory).join(name)).unwrap();
    let mut all = Vec::new();
    for directory in DIRECTORIES {
        let mut ask = |verb: &str, names: &[&str], operation| {
            let paths: Vec<AbsPath> = names.iter().map(|name| path(directory, name)).collect();
            let words = paths.iter().map(|path| path.as_path().as_os_str().to_owned());
            let act = act(std::iter::once(verb.into()).chain(words));
            let needs = paths.into_iter().map(|path| (path, operation)).collect();
            all.push(Question { act, needs, listed: None });
        };
        ask("read", &["f"], Operation::Read);
        ask("exec", &["x"], Operation::Execute);
        ask("write", &["f"], Operation::Write);
        ask("truncate", &["f"], Operation::Write);
        ask("create", &["new"], Operation::Write);
        ask("mkdir", &["newer"], Operation::Write);
        ask("unlink", &["gone"], Operation::Write);
        ask("rename", &["old", "renamed"], Operation::Write);
        let place = AbsPath::from_host(&world.at(directory)).unwrap();
        let act = act(["list".into(), place.as_path().as_os_str().to_owned()]);
        all.push(Question { act, needs: vec![(place.clone(), Operation::Read)], listed: Some(place) });
    }
    all
}

/// Whether a rule closes something below a directory: without mounts such a directory cannot be listed.
fn closes_below(policy: &Policy, directory: &AbsPath) -> bool {
    let rules = policy.filesystem().rules().iter();
    rules.filter(|rule| rule.access == Access::None).any(|rule| rule.path.starts_with(directory))
}

/// Whether the policy closes, or makes read-only, a place inside what may be written: the bare way refuses that.
fn carves_out_of_write(policy: &Policy) -> bool {
    let inside = |path: &AbsPath| path.parent().is_some_and(|parent| policy.access(&parent) == Access::Write);
    policy.filesystem().rules().iter().any(|rule| rule.access < Access::Write && inside(&rule.path))
}

fn judge(world: &World, rules: &BTreeMap<String, &str>, questions: &[Question]) -> bool {
    let lines: Vec<String> =
        rules.iter().map(|(place, access)| format!("\"{{w}}/{place}\" = \"{access}\"")).collect();
    world.profile(&lines.join("\n"), "");
    let policy = policy(world);
    tree(world);
    let acts: Vec<Act> = questions.iter().map(|question| question.act.clone()).collect();
    let run = world.run_in("/", world.probe_words(&acts));
    if world.way() == Way::Bare && run.code == REFUSED {
        assert!(carves_out_of_write(&policy), "{rules:?}: {}", run.stderr);
        return false;
    }
    let text = run.text();
    assert_eq!(text.lines().count(), questions.len(), "{rules:?}");
    for (question, answer) in questions.iter().zip(text.lines()) {
        let allowed = |(path, operation): &(AbsPath, Operation)| {
            policy.verdict(&Request::Path { path, operation: *operation }).allowed
        };
        let expected = question.needs.iter().all(allowed);
        let stands_in = |(path, operation): &(AbsPath, Operation)| {
            let request = Request::Path { path, operation: *operation };
            policy.verdict(&request).conditions.stand_in.is_some()
        };
        // The command finds a private directory there instead, where the world lies in a temporary one.
        if question.needs.iter().any(stands_in) {
            continue;
        }
        let bare = world.way() == Way::Bare;
        if bare && question.listed.as_ref().is_some_and(|place| closes_below(&policy, place)) {
            continue;
        }
        assert_eq!(answer.starts_with("ok"), expected, "{:?}: {answer}, under {rules:?}", question.act);
    }
    true
}

#[test]
fn the_kernel_answers_as_the_verdict_does() {
    Way::each("containment::law", |way| {
        let world = World::new(way);
        let questions = questions(&world);
        let acts: Vec<Act> = questions.iter().map(|question| question.act.clone()).collect();
        tree(&world);
        let control = world.outside(world.probe_words(&acts)).text();
        assert!(control.lines().all(|answer| answer.starts_with("ok")), "{control}");
        let judged = (0..PROFILES).filter(|seed| judge(&world, &rules(*seed), &questions)).count();
        // Where much cannot be held, some profiles must still have been.
        assert!(judged >= if way == Way::Bare { 3 } else { 16 }, "{judged}");
    });
}

/// What the bare way can hold: grants beside each other, places closed inside what may only be read.
#[test]
fn without_namespaces_the_law_holds_for_what_can_be_held() {
    Way::each_of(&[Way::Bare], "containment::law_bare", |way| {
        let world = World::new(way);
        let questions = questions(&world);
        for seed in 100..100 + PROFILES {
            let mut rules = rules(seed);
            // Only what lies in no writable place may be less than writable.
            let writable: Vec<String> = rules
                .iter()
                .filter(|(_, access)| **access == "write")
                .map(|(place, _)| format!("{place}/"))
                .collect();
            for (place, access) in &mut rules {
                if writable.iter().any(|above| place.starts_with(above.as_str())) {
                    *access = "write";
                }
            }
            assert!(judge(&world, &rules, &questions), "{rules:?}");
        }
    });
}
