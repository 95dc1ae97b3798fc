//! The compiled profile means what the policy says: for any policy and any path, address or socket the evaluator gives the
//! verdict of `Policy::verdict`, and every difference stands in the declared list of exceptions.

#![allow(clippy::unwrap_used, clippy::expect_used, dead_code)]

#[path = "support/generate.rs"]
mod generate;
#[path = "support/world.rs"]
mod world;

use proptest::prelude::*;
use weir_protocol::AbsPath;
use weir_protocol::policy::{Access, Operation, Policy, Request};
use weir_sandbox_macos::compile::canonical;
use weir_sandbox_macos::evaluate::{Endpoint, Subject};

use generate::{questions, sketch};
use world::{EXACT, FILE_OPERATIONS, GATE, Loaded, Sketch, USUAL, expected, host, load, path, run};

/// Policies tried by each property.
const CASES: u32 = 10_000;

/// Paths asked about in one case: a handful, drawn anew each time, for there are many cases.
const ASKED: usize = 20;

const HOSTS: [&str; 6] =
    ["example.org", "a.example.org", "8.8.8.8", "10.0.0.1", "169.254.169.254", "evil.test"];

/// Both names of each path, with the one by which the policy is asked.
fn names(paths: &[AbsPath]) -> Vec<(AbsPath, AbsPath)> {
    let both = |path: &AbsPath| {
        let canonical = canonical(path);
        let other = (canonical != *path).then(|| (canonical, path.clone()));
        std::iter::once((path.clone(), path.clone())).chain(other)
    };
    paths.iter().flat_map(both).collect()
}

fn check_files(policy: &Policy, loaded: &Loaded, paths: &[AbsPath]) {
    for (known, asked) in names(paths) {
        for (operation, of_policy) in FILE_OPERATIONS {
            let found = loaded.allows(operation, known.as_bytes());
            let want = if known == asked {
                policy.verdict(&Request::Path { path: &asked, operation: of_policy }).allowed
            } else {
                expected(policy, &asked, of_policy)
            };
            assert!(
                found == want || loaded.excuses(found, operation, of_policy, &known),
                "{operation} {known}: the profile says {found}, the policy {want}\n{}\n{:#?}",
                loaded.compiled.profile,
                loaded.compiled.parameters
            );
        }
    }
}

fn check_network(policy: &Policy, loaded: &Loaded) {
    let gate = [GATE.http, GATE.socks];
    for port in [443, 1080, 3128] {
        let localhost = host("127.0.0.1");
        let want = policy.verdict(&Request::Connect { host: &localhost, port }).allowed;
        let through_gate = policy.network().enabled.value && gate.contains(&port);
        assert_eq!(loaded.connects(true, port, true), want || through_gate, "TCP to the loopback, {port}");
        assert_eq!(loaded.connects(true, port, false), want, "UDP to the loopback, {port}");
        for name in HOSTS {
            assert!(!loaded.connects(false, port, true), "{name}:{port} past the gate");
            assert!(!loaded.connects(false, port, false), "{name}:{port} by UDP");
            let name = host(name);
            let verdict = policy.verdict(&Request::Connect { host: &name, port }).allowed;
            // What the gate lets through can be reached, and nothing else: the gate asks this very verdict.
            assert_eq!(verdict && loaded.connects(true, GATE.http, true), verdict);
        }
    }
    let local = |loopback, port| Subject {
        local: Some(Endpoint { loopback, port, tcp: true }),
        ..Subject::default()
    };
    for operation in ["network-bind", "network-inbound"] {
        assert_eq!(
            loaded.agreed(operation, &local(true, 8080)),
            policy.network().loopback.value,
            "{operation}"
        );
    }
}

fn check_sockets(policy: &Policy, loaded: &Loaded, paths: &[AbsPath]) {
    for (known, asked) in names(paths) {
        let want = policy.verdict(&Request::UnixSocket { path: &asked }).allowed;
        assert_eq!(loaded.socket(known.as_bytes()), want, "connecting to {known}");
    }
    let family = |name| Subject { socket: Some((name, 0)), ..Subject::default() };
    assert!(loaded.agreed("system-socket", &family("AF_UNIX")));
    assert!(!loaded.agreed("system-socket", &family("AF_SYSTEM")));
    let service = |name| Subject { name: Some(name), ..Subject::default() };
    assert_eq!(
        loaded.agreed("mach-lookup", &service("com.apple.trustd.agent")),
        policy.network().enabled.value
    );
    assert!(!loaded.agreed("mach-lookup", &service("com.apple.pasteboard.1")));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_profile_means_what_the_policy_says(sketch in sketch(), draw in any::<usize>()) {
        let policy = sketch.policy();
        let paths = questions(&policy, draw, ASKED);
        let loaded = load(&policy, EXACT, &run());
        check_files(&policy, &loaded, &paths);
        check_network(&policy, &loaded);
        check_sockets(&policy, &loaded, &paths);
    }

    /// Where letters count for nothing the profile may refuse more, by the declared list, and never grants more.
    #[test]
    fn ignoring_case_only_takes_away(sketch in sketch(), draw in any::<usize>()) {
        let policy = sketch.policy();
        let exact = load(&policy, EXACT, &run());
        let usual = load(&policy, USUAL, &run());
        for (known, _) in names(&questions(&policy, draw, ASKED)) {
            for (operation, of_policy) in FILE_OPERATIONS {
                let (narrow, wide) = (usual.allows(operation, known.as_bytes()), exact.allows(operation, known.as_bytes()));
                prop_assert!(wide || !narrow, "{} {}", operation, known);
                prop_assert!(narrow == wide || usual.excuses(narrow, operation, of_policy, &known), "{} {}", operation, known);
            }
        }
    }
}

#[test]
fn the_readings_and_the_excuses_are_not_idle() {
    // A positive control: without the list of exceptions the same check fails, and a wrong verdict is seen.
    let policy =
        Sketch::files(&[("/p", Access::Write), ("/p/.git/hooks", Access::Read)], &["/p/**/*.env"]).policy();
    let loaded = load(&policy, EXACT, &run());
    let differing: Vec<String> = ["/usr/lib/dyld", "/p/.git", "/p/a"]
        .iter()
        .filter(|text| {
            let path = path(text);
            FILE_OPERATIONS.iter().any(|(name, of_policy)| {
                loaded.allows(name, path.as_bytes()) != expected(&policy, &path, *of_policy)
            })
        })
        .map(ToString::to_string)
        .collect();
    assert_eq!(differing, ["/usr/lib/dyld", "/p/.git"]);
    assert!(!loaded.excuses(true, "file-read-data", Operation::Read, &path("/home/x")));
}
