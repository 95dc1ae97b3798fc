//! The Seatbelt profile of every built-in profile and of every valid sample, as goldens under `golden/seatbelt/`.
//!
//! The built-in ones and the example of the specification stand in full. Of the others only what the profile itself says:
//! without the implied `:minimal`, without the base rules, which are the same everywhere, without ports that lead to others, and for a
//! case-sensitive volume.
//! Values of parameters stand between `«` and `»`; the profile itself holds the parameters' names there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use weir_exec_server::profile::surroundings::{Links, Surroundings};
use weir_exec_server::profile::{builtin, merge, resolve};
use weir_protocol::AbsPath;
use weir_protocol::policy::{
    Degradation, Filesystem, Layer, Network, NetworkParts, Origin, Policy, PolicyParts, Published,
};
use weir_protocol::profile::Document;
use weir_sandbox_macos::compile::{Compiled, Gate, Host, LetterCase, Run, RunTag, compile};

use super::{golden, sample};

/// How much of a profile a golden holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    Whole,
    OwnRules,
}

/// Where the first section about files starts; everything before is the same for all.
const FIRST_SECTION: &str = ";; Files";

fn path(text: &str) -> AbsPath {
    AbsPath::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The directories of a user of macOS.
fn around() -> Surroundings {
    Surroundings {
        home: path("/Users/alice"),
        cwd: path("/Users/alice/project"),
        project_roots: vec![path("/Users/alice/project")],
        tmpdir: Some(path("/var/folders/zz/alice/T")),
        weir_home: path("/Users/alice/.weir"),
        other_homes: Vec::new(),
    }
}

/// The links at the root of every macOS.
fn links() -> Links {
    let pairs = ["tmp", "var", "etc"]
        .map(|name| (path(&format!("/{name}")), PathBuf::from(format!("private/{name}"))));
    Links(BTreeMap::from(pairs))
}

fn policies(document: &Document, names: &BTreeSet<String>) -> Vec<(String, Policy)> {
    let profiles = merge::profiles([builtin::document(), document]);
    let resolved = |name: &String| {
        let profile = merge::extended(&profiles, name, None).ok()?;
        let resolved = resolve::resolve(name, &profile, &around(), &links());
        Some((name.clone(), resolved.unwrap_or_else(|error| panic!("{name}: {error}")).policy))
    };
    // No profile of macOS has a copy: compiling refuses it.
    names
        .iter()
        .filter_map(resolved)
        .filter(|(_, policy)| policy.filesystem().copies().next().is_none())
        .collect()
}

/// The policy without what `:minimal` implies, and with every limit given up by name, so that it compiles.
fn own_rules(policy: Policy, extent: Extent) -> Policy {
    let mut parts: PolicyParts = policy.into();
    parts.degradations.insert(Degradation::ProcessLimits, Origin::implied("for the golden"));
    // A port that leads to another is refused there.
    let mut network = NetworkParts::from(parts.network);
    network.publish.retain(|rule| matches!(rule.what, Published::Port { host, inside } if host == inside));
    parts.network = Network::new(network);
    if extent == Extent::OwnRules {
        let mut fs = parts.filesystem.to_parts();
        fs.rules.retain(|rule| rule.origin.layer != Layer::Implied || !rule.origin.rule.contains(":minimal"));
        parts.filesystem = Filesystem::new(fs);
    }
    parts.into()
}

fn compiled(policy: &Policy, extent: Extent) -> Compiled {
    let run = Run {
        tag: RunTag::parse("weir").unwrap_or_else(|error| panic!("{error}")),
        gate: Some(Gate { http: 3128, socks: 1080 }),
        scratch: Some(path("/private/tmp/weir-run")),
        terminal: None,
    };
    let letter_case = match extent {
        Extent::Whole => LetterCase::Ignored,
        Extent::OwnRules => LetterCase::Distinct,
    };
    compile(policy, Host { letter_case }, &run)
        .unwrap_or_else(|error| panic!("{}: {error}", policy.profile()))
}

/// The profile with each parameter's value in its place, which is how a person reads it.
fn text(policy: &Policy, extent: Extent) -> String {
    let compiled = compiled(policy, extent);
    let profile = compiled.profile.to_string();
    let shown = match extent {
        Extent::Whole => profile,
        Extent::OwnRules => own_lines(&profile),
    };
    let values: BTreeMap<String, String> = compiled
        .parameters
        .iter()
        .map(|parameter| (parameter.name.to_string(), readable(&parameter.value)))
        .collect();
    let mut parts = shown.split("(param \"");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let Some((name, rest)) = part.split_once("\")") else { panic!("a parameter without an end: {part}") };
        let _ = write!(out, "\u{ab}{}\u{bb}{rest}", values[name]);
    }
    out
}

/// The value with control characters escaped, so that it stays on its line.
fn readable(value: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    value.chars().map(escaped).collect()
}

/// The rules that come from the profile itself: those that name a parameter, and those about the network. Of a rule with
/// base rules beside, the parameters alone; where unix sockets may be bound follows from where files may be written.
fn own_lines(profile: &str) -> String {
    let own = profile.find(FIRST_SECTION).map_or("", |at| &profile[at..]);
    let mut out = String::new();
    for section in own.split("\n;; ") {
        let (heading, rules) = section.split_once('\n').unwrap_or((section, ""));
        let _ = writeln!(out, ";; {}", heading.trim_start_matches(";; "));
        for rule in rules.trim_end().split("\n(").filter(|rule| is_own(rule)) {
            let rule = rule.trim_start_matches('(');
            let lines = rule.lines().filter(|line| !line.starts_with(';'));
            let own =
                lines.filter(|line| !line.contains("(subpath \"/") && !line.contains("(path-ancestors \"/"));
            let _ = writeln!(out, "({}", own.collect::<Vec<_>>().join("\n"));
        }
    }
    out
}

fn is_own(rule: &str) -> bool {
    let network = ["allow network-outbound", "allow network-inbound", "allow network-bind (local ip"];
    let named = rule.contains("(param ") && !rule.contains("network-bind");
    named || network.iter().any(|beginning| rule.trim_start_matches('(').starts_with(beginning))
}

fn check(name: &str, text: &str, wrong: &mut Vec<String>) {
    if let Err(difference) = golden::compare(&format!("seatbelt/{name}"), text) {
        wrong.push(difference);
    }
}

#[test]
fn seatbelt_profiles_are_as_they_were() {
    let mut wrong = Vec::new();
    let mut written = BTreeSet::new();
    let names = builtin::document().profiles.keys().cloned().collect();
    for (name, policy) in policies(builtin::document(), &names) {
        let file = format!("builtin{}.txt", name.replace(':', "-"));
        check(&file, &text(&own_rules(policy, Extent::Whole), Extent::Whole), &mut wrong);
        written.insert(file);
    }
    for sample in sample::group("valid").into_iter().filter(|sample| sample.layer() == Layer::User) {
        let Some(document) = sample.read().document else { panic!("{} is refused", sample.name) };
        let chosen = document.default_permissions.iter().map(|name| name.value.clone());
        let names: BTreeSet<String> = document.profiles.keys().cloned().chain(chosen).collect();
        let extent = if sample.name == "spec-example.toml" { Extent::Whole } else { Extent::OwnRules };
        let mut out = String::new();
        for (name, policy) in policies(&document, &names) {
            let _ = writeln!(out, ";;; {name}\n\n{}", text(&own_rules(policy, extent), extent));
        }
        if !out.is_empty() {
            let file = format!("{}.txt", sample.name);
            check(&file, &out, &mut wrong);
            written.insert(file);
        }
    }
    let stale = golden::names("seatbelt").into_iter().filter(|name| !written.contains(name));
    wrong.extend(stale.map(|name| format!("golden/seatbelt/{name} has no sample")));
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
}
