//! Policies drawn at random in a small world, so that rules meet, and the paths that they bring up.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use weir_protocol::AbsPath;
use weir_protocol::policy::{Access, Policy};

use crate::world::{Sketch, near, path};

/// Step by which paths are drawn; a prime larger than any list, so that none is drawn twice.
const STRIDE: usize = 7919;

const TOPS: [&str; 9] = ["/", "/p", "/Users/u", "/tmp", "/etc", "/var/x", "/usr", "/System/Library", "/dev"];
const NAMES: [&str; 9] = ["a", "b", ".git", "hooks", "x.env", ".secrets", "A", "a b\"(", "é"];
const PATTERNS: [&str; 12] = [
    "**/*.env",
    "**/.secrets",
    "*",
    "a/*",
    "?",
    "b/**/x*",
    "[ab]/.git",
    ".g?t/[!a]*",
    "**/a/**",
    "*/x",
    "**/[^b]",
    "a\\*b?",
];
fn below(most: usize) -> impl Strategy<Value = String> {
    vec(select(&NAMES[..]), 0..=most).prop_map(|names| names.join("/"))
}

fn any_path() -> impl Strategy<Value = String> {
    (select(&TOPS[..]), below(3)).prop_map(|(top, below)| match (top, below.as_str()) {
        (top, "") => top.to_owned(),
        ("/", below) => format!("/{below}"),
        (top, below) => format!("{top}/{below}"),
    })
}

fn any_glob() -> impl Strategy<Value = String> {
    (any_base(), select(&PATTERNS[..])).prop_map(|(base, pattern)| format!("{base}/{pattern}"))
}

/// A directory in the notation of patterns.
fn any_base() -> impl Strategy<Value = String> {
    any_path().prop_map(|base| if base == "/" { String::new() } else { base.replace('[', "[[]") })
}

fn access() -> impl Strategy<Value = Access> {
    select(&[Access::Read, Access::Write, Access::None][..])
}

pub(crate) fn sketch() -> impl Strategy<Value = Sketch> {
    let domain = (select(&["example.org", "*.example.org", "*", "10.0.0.1"][..]), any::<bool>());
    let domains = proptest::option::of(vec(domain.prop_map(|(host, allow)| (host.to_owned(), allow)), 0..3));
    (
        vec((any_path(), access()), 0..7),
        vec(any_glob(), 0..3),
        vec((any_path(), any::<bool>()), 0..4),
        any::<bool>(),
        any::<bool>(),
        domains,
    )
        .prop_map(|(rules, globs, sockets, network, loopback, domains)| Sketch {
            rules,
            globs,
            sockets,
            network,
            loopback,
            domains,
        })
}

/// Some of the paths that a policy's rules bring up, by `draw`.
pub(crate) fn questions(policy: &Policy, draw: usize, most: usize) -> Vec<AbsPath> {
    let fs = policy.filesystem();
    let mut out: BTreeSet<AbsPath> =
        ["/", "/usr/lib/dyld", "/etc/hosts", "/dev/null", "/System/Volumes/Data/p", "/private", "/tmp/x"]
            .into_iter()
            .map(path)
            .collect();
    fs.rules().iter().for_each(|rule| out.extend(near(&rule.path)));
    fs.globs().iter().for_each(|rule| out.extend(near(&rule.pattern.base())));
    policy.network().unix_sockets.iter().for_each(|rule| out.extend(near(&rule.path)));
    let all: Vec<AbsPath> =
        out.into_iter().filter(|path| !path.as_bytes().starts_with(b"/private/")).collect();
    (0..most.min(all.len())).map(|at| all[(draw % STRIDE + at * STRIDE) % all.len()].clone()).collect()
}
