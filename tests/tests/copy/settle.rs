//! `weir changes`, `apply` and `discard` as a person types them.

use serde_json::Value;
use weir_tests::sandbox::{Run, Way, World, finish, programs};

/// The ways in which there are copies.
pub(crate) const WAYS: [Way; 2] = [Way::Root, Way::User];

/// The rule of most tests.
pub(crate) const RULE: &str = r#""{w}/work" = "copy""#;

/// A world whose `work` is only changed in a copy.
pub(crate) fn world(way: Way) -> World {
    let world = World::new(way);
    world.profile(RULE, "");
    world
}

pub(crate) fn weir(world: &World, words: &[&str]) -> Run {
    finish(world.command(&programs().weir).args(words))
}

/// A line of shell in the sandbox, which succeeds.
pub(crate) fn shell(world: &World, line: &str) -> String {
    let run = world.run(["sh", "-c", line]);
    assert_eq!(run.code, 0, "{line}: {}", run.stderr);
    String::from_utf8_lossy(&run.stdout).into_owned()
}

/// The changes, each as its letter and path, in order; those that are part of another are left out.
pub(crate) fn changes(world: &World) -> Vec<String> {
    let listed = listed(world);
    let whole = listed.iter().filter(|change| change.get("part_of").is_none());
    whole.map(|change| format!("{} {}", text(&change["change"]), text(&change["path"]))).collect()
}

pub(crate) fn listed(world: &World) -> Vec<Value> {
    let run = weir(world, &["changes", "--json"]);
    assert!(run.code <= 1, "{}", run.stderr);
    let told: Value = serde_json::from_slice(&run.stdout).unwrap();
    let copies = told["copies"].as_array().unwrap();
    assert!(copies.len() <= 1, "{told}");
    let changes = copies.first().map(|copy| copy["changes"].as_array().unwrap().clone()).unwrap_or_default();
    // Whether there are changes is the answer.
    assert_eq!(run.code == 1, !copies.is_empty());
    changes
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// What is left, each as its path and whether it is a conflict.
pub(crate) fn left(world: &World, words: &[&str]) -> Vec<(String, bool)> {
    let run = weir(world, &[words, &["--json"]].concat());
    let told: Value = serde_json::from_slice(&run.stdout).unwrap_or_else(|_| panic!("{}", run.stderr));
    let copies = told["copies"].as_array().unwrap().iter();
    let left: Vec<(String, bool)> = copies
        .flat_map(|copy| copy["left"].as_array().unwrap().clone())
        .map(|one| (text(&one["path"]).to_owned(), one.get("conflict").is_some()))
        .collect();
    assert_eq!(run.code, i32::from(!left.is_empty()), "{told}");
    left
}

/// Nothing that Weir makes for itself stays beside the person's files.
pub(crate) fn assert_clean(world: &World) {
    let found = world.outside(["find", ".", "-name", ".weir-apply-*"]).text();
    assert_eq!(found, "");
}
