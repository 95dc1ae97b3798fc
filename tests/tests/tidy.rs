//! Runs every tidy rule over the checkout. The rules, and the tests that show they can fail, are in `tests/src/tidy`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may panic outside its #[test] functions too"
)]

use std::env;
use std::path::PathBuf;
use std::process::Command;

use weir_tests::tidy::allow::{self, ALLOWED};
use weir_tests::tidy::{Finding, RULES, Source, docs, edges, hosts, leaks, tree};

fn root() -> PathBuf {
    let tests = env::var_os("CARGO_MANIFEST_DIR").expect("cargo and nextest set it at run time");
    PathBuf::from(tests).parent().unwrap().to_owned()
}

fn sources() -> Vec<Source> {
    tree::read(&root()).unwrap()
}

fn find<'a>(sources: &'a [Source], path: &str) -> &'a Source {
    sources.iter().find(|source| source.path == path).unwrap_or_else(|| panic!("{path} is missing"))
}

/// Fails unless the rule `name` finds nothing beyond what [`ALLOWED`] excuses.
fn hold(name: &str, findings: Vec<Finding>) {
    let (remaining, stale) = allow::apply(name, findings, ALLOWED);
    let mut lines: Vec<String> = remaining.iter().map(ToString::to_string).collect();
    lines.extend(stale.iter().map(|entry| format!("{}: the allowance for it excuses nothing", entry.path)));
    assert!(lines.is_empty(), "tidy rule {name}:\n{}", lines.join("\n"));
}

fn hold_rule(name: &str) {
    let rule = RULES.iter().find(|rule| rule.name == name).expect("a rule of that name");
    hold(name, sources().iter().flat_map(rule.check).collect());
}

/// One test for each rule over single files, and one that none is left out.
macro_rules! rules {
    ($($test:ident: $name:literal,)*) => {
        $(#[test] fn $test() { hold_rule($name); })*

        #[test]
        fn every_rule_runs() {
            assert_eq!(RULES.map(|rule| rule.name).to_vec(), [$($name),*]);
        }
    };
}

rules! {
    pure_protocol: "pure-protocol",
    agent_spawns_nothing: "agent-spawns-nothing",
    http_client_half: "http-client-half",
    file_size: "file-size",
    module_doc: "module-doc",
    module_name: "module-name",
    unsafe_zone: "unsafe-zone",
    forbid_unsafe: "forbid-unsafe",
    banned_word: "banned-word",
    machine_path: "machine-path",
    changelog: "changelog",
    readme: "readme",
}

#[test]
fn dependency_edges() {
    let sources = sources();
    let is_member = |source: &&Source| matches!(source.path.split('/').collect::<Vec<_>>()[..], [top, "Cargo.toml"] if top != "fuzz");
    let members: Vec<Source> = sources.iter().filter(is_member).cloned().collect();
    assert_eq!(members.len(), 6, "the fixed top level");
    hold(
        "dependency-edges",
        edges::check(find(&sources, "Cargo.toml"), &members, find(&sources, "Cargo.lock")),
    );
}

#[test]
fn no_registry_host() {
    let hosts = hosts::registry_hosts();
    let read = sources().iter().map(hosts::without_default_index).collect::<Vec<_>>();
    hold("registry-host", read.iter().flat_map(|source| leaks::check_hosts(source, &hosts)).collect());
}

#[test]
fn every_crate_root_and_document_is_there_to_be_judged() {
    let sources = sources();
    for path in [
        "README.md",
        "CHANGELOG.md",
        "ARCHITECTURE.md",
        "LICENSE",
        ".ci/run",
        "protocol/src/lib.rs",
        "agent/src/lib.rs",
    ] {
        find(&sources, path);
    }
}

#[test]
fn ci_runs_the_command_that_the_readme_names() {
    let output = Command::new(root().join(".ci/run")).arg("--show-test-command").output().unwrap();
    let sources = sources();
    let expect = docs::block(&find(&sources, "README.md").text, "test-command").unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().collect::<Vec<_>>(), expect);
}
