//! Which crate may depend on which: the direction of the architecture, read from the manifests.
//!
//! Pure over the manifests and the lock file. Caller: `tests/tests/tidy.rs`.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use super::features;
use super::manifest::{self, Dependency, Manifest, Purpose};
use super::{Finding, Source};

/// Weir's crates, and which of Weir's crates the product code of each may use.
const EDGES: [(&str, &[&str]); 6] = [
    ("weir-protocol", &[]),
    ("weir-sandbox-linux", &["weir-protocol"]),
    ("weir-sandbox-macos", &["weir-protocol"]),
    ("weir-exec-server", &["weir-protocol", "weir-sandbox-linux", "weir-sandbox-macos"]),
    ("weir-agent", &["weir-protocol"]),
    (TESTS, &["weir-protocol", "weir-sandbox-linux", "weir-sandbox-macos", "weir-exec-server", "weir-agent"]),
];

/// What every crate's tests may use besides: the accounting of skips.
const TESTS: &str = "weir-tests";

/// How far a denial reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// The member's own manifest.
    Direct,
    /// Everything that the member's product is built from.
    Whole,
}

/// Crates that a crate does not depend on, how far that reaches, and why. Hash functions ask `libc` for the processor's
/// features on some architectures, so `protocol` is judged by its manifest and its words.
const DENIED: [(&str, &[&str], Reach, &str); 3] = [
    (
        "weir-exec-server",
        &HTTP_AND_MODEL_CLIENTS,
        Reach::Whole,
        "the privileged side holds no HTTP client and no model client",
    ),
    (
        "weir-agent",
        &["duct", "subprocess", "portable-pty", "async-process", "process-wrap"],
        Reach::Whole,
        "the agent starts nothing",
    ),
    (
        "weir-protocol",
        &["tokio", "libc", "nix", "rustix", "mio", "async-std", "smol"],
        Reach::Direct,
        "protocol performs no I/O",
    ),
];

const HTTP_AND_MODEL_CLIENTS: [&str; 16] = [
    "async-openai",
    "attohttpc",
    "awc",
    "aws-sdk-bedrockruntime",
    "curl",
    "genai",
    "isahc",
    "minreq",
    "ollama-rs",
    "openai-api-rs",
    "reqwest",
    "rig-core",
    "surf",
    "ureq",
    "hreq",
    "hyper-tls",
];

/// Judges all members' manifests and the lock file.
pub fn check(root: &Source, members: &[Source], lock: &Source) -> Vec<Finding> {
    let inherited = match manifest::inherited(root) {
        Ok(inherited) => inherited,
        Err(finding) => return vec![finding],
    };
    let graph = match locked(lock) {
        Ok(graph) => graph,
        Err(finding) => return vec![finding],
    };
    let judge = |source: &Source| match manifest::read(source, &inherited) {
        Ok(manifest) => check_member(source, &manifest, &graph),
        Err(finding) => vec![finding],
    };
    members.iter().flat_map(judge).collect()
}

fn check_member(source: &Source, manifest: &Manifest, graph: &Graph) -> Vec<Finding> {
    let Some((_, allowed)) = EDGES.iter().find(|(package, _)| *package == manifest.package) else {
        return vec![Finding::new(
            source,
            0,
            "a crate that the house plan does not know: add its edges to this rule",
        )];
    };
    let mut findings = Vec::new();
    for dependency in &manifest.dependencies {
        if is_ours(&dependency.package) && !is_allowed(dependency, allowed) {
            let message = format!("may not depend on {}", dependency.package);
            findings.push(Finding::new(source, 0, message));
        }
        findings.extend(features::check(source, &manifest.package, dependency));
    }
    findings.extend(check_denied(source, manifest, graph));
    findings
}

fn is_ours(package: &str) -> bool {
    package.starts_with("weir-")
}

fn is_allowed(dependency: &Dependency, allowed: &[&str]) -> bool {
    let for_tests = dependency.purpose == Purpose::Development && dependency.package == TESTS;
    for_tests || allowed.contains(&dependency.package.as_str())
}

fn check_denied(source: &Source, manifest: &Manifest, graph: &Graph) -> Vec<Finding> {
    let product = manifest.dependencies.iter().filter(|dependency| dependency.purpose == Purpose::Product);
    let direct: BTreeSet<String> = product.map(|dependency| dependency.package.clone()).collect();
    let whole = reach(graph, direct.iter().cloned());
    let mut findings = Vec::new();
    for (_, denied, far, reason) in DENIED.iter().filter(|(package, ..)| *package == manifest.package) {
        let reached = if *far == Reach::Direct { &direct } else { &whole };
        let found = denied.iter().filter(|package| reached.contains(**package));
        findings
            .extend(found.map(|package| Finding::new(source, 0, format!("depends on {package}: {reason}"))));
    }
    findings
}

/// The lock file: package → packages that it depends on. Versions of one package are taken together.
type Graph = BTreeMap<String, BTreeSet<String>>;

fn locked(lock: &Source) -> Result<Graph, Finding> {
    let table: Table =
        lock.text.parse().map_err(|error: toml::de::Error| Finding::new(lock, 0, error.message()))?;
    let mut graph = Graph::new();
    for package in table.get("package").and_then(Value::as_array).into_iter().flatten() {
        let Some(name) = package.get("name").and_then(Value::as_str) else { continue };
        let listed = package.get("dependencies").and_then(Value::as_array).into_iter().flatten();
        // "name", "name version" or "name version (source)".
        let names =
            listed.filter_map(Value::as_str).filter_map(|entry| entry.split(' ').next()).map(str::to_owned);
        graph.entry(name.to_owned()).or_default().extend(names);
    }
    Ok(graph)
}

/// All packages that `start` leads to, itself included. Weir's own crates are not entered: the lock file does not tell
/// their tests' dependencies from the product's, and each is judged by its own manifest.
fn reach(graph: &Graph, start: impl Iterator<Item = String>) -> BTreeSet<String> {
    let mut open: Vec<String> = start.collect();
    let mut reached = BTreeSet::new();
    while let Some(package) = open.pop() {
        if reached.insert(package.clone()) && !is_ours(&package) {
            open.extend(graph.get(&package).into_iter().flatten().cloned());
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::Source;

    const LOCK: &str = r#"
[[package]]
name = "weir-exec-server"
dependencies = ["thing", "reqwest 0.12.0"]
[[package]]
name = "hash"
dependencies = ["libc"]
[[package]]
name = "thing"
dependencies = ["deeper 1.0.0", "clean"]
[[package]]
name = "deeper"
dependencies = ["ureq"]
"#;

    /// The messages about a member with these lines in its manifest.
    fn messages(package: &str, lines: &str) -> Vec<String> {
        let member = Source::new("m/Cargo.toml", &format!("[package]\nname = \"{package}\"\n{lines}"));
        let findings = check(&Source::new("Cargo.toml", ""), &[member], &Source::new("Cargo.lock", LOCK));
        findings.into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn edges_point_one_way() {
        let edge = |package: &str| format!("[dependencies]\n{package} = \"1\"");
        let cases = [
            ("weir-sandbox-linux", "weir-protocol", true),
            ("weir-exec-server", "weir-sandbox-linux", true),
            ("weir-exec-server", "weir-sandbox-macos", true),
            ("weir-agent", "weir-protocol", true),
            ("weir-tests", "weir-exec-server", true),
            ("weir-protocol", "weir-agent", false),
            ("weir-sandbox-linux", "weir-sandbox-macos", false),
            ("weir-sandbox-macos", "weir-exec-server", false),
            ("weir-exec-server", "weir-agent", false),
            ("weir-agent", "weir-exec-server", false),
            ("weir-agent", "weir-sandbox-linux", false),
            ("weir-agent", "weir-tests", false),
        ];
        for (from, to, may) in cases {
            let expect = if may { vec![] } else { vec![format!("may not depend on {to}")] };
            assert_eq!(messages(from, &edge(to)), expect, "{from} {to}");
        }
    }

    #[test]
    fn sections_and_renames_hide_nothing() {
        for lines in [
            "[build-dependencies]\nweir-agent = \"1\"",
            "[target.'cfg(unix)'.dependencies]\nweir-agent = \"1\"",
            "[dependencies]\nother = { package = \"weir-agent\", version = \"1\" }",
            "[dev-dependencies]\nweir-agent = \"1\"",
        ] {
            assert_eq!(messages("weir-exec-server", lines), ["may not depend on weir-agent"], "{lines}");
        }
        assert!(messages("weir-agent", "[dev-dependencies]\nweir-tests = \"1\"").is_empty());
    }

    #[test]
    fn denied_crates_are_found_at_any_depth() {
        let reason = "the privileged side holds no HTTP client and no model client";
        let cases = [
            ("weir-exec-server", "reqwest", vec![format!("depends on reqwest: {reason}")]),
            ("weir-exec-server", "thing", vec![format!("depends on ureq: {reason}")]),
            ("weir-exec-server", "clean", vec![]),
            ("weir-agent", "reqwest", vec![]),
            (
                "weir-agent",
                "portable-pty",
                vec!["depends on portable-pty: the agent starts nothing".to_owned()],
            ),
            ("weir-protocol", "hash", vec![]),
            ("weir-protocol", "libc", vec!["depends on libc: protocol performs no I/O".to_owned()]),
        ];
        for (package, dependency, expect) in cases {
            assert_eq!(
                messages(package, &format!("[dependencies]\n{dependency} = \"1\"")),
                expect,
                "{dependency}"
            );
        }
    }

    #[test]
    fn an_unknown_crate_and_a_broken_file_are_findings() {
        assert_eq!(messages("weir-extra", "").len(), 1);
        let lock = Source::new("Cargo.lock", "[[package");
        assert_eq!(check(&Source::new("Cargo.toml", ""), &[], &lock).len(), 1);
        assert_eq!(check(&Source::new("Cargo.toml", "["), &[], &Source::new("Cargo.lock", "")).len(), 1);
    }
}
