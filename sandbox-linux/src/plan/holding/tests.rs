//! What is named for an act, over plans of the three ways; and the law that something is named for whatever is denied.

use std::fs;

use proptest::prelude::*;
use weir_protocol::policy::{
    Access, Degradation, DomainPattern, DomainRule, FilesystemParts, Host as Name, Network, NetworkParts,
    Operation, Origin, PolicyParts, PrivateDirectory, SocketRule, Sourced, StandIn,
};

use super::*;
use crate::compile::{Facts, compile};
use crate::doctor::tests::{full, refused, user};
use crate::host::{Host, Namespaces, Step, Way};
use crate::plan::Credentials;
use crate::survey::tests::policy;
use crate::survey::{Kind, Survey};

fn at(text: &str) -> AbsPath {
    AbsPath::parse(text).unwrap()
}

/// A user without namespaces.
fn bare() -> Host {
    Host { user_namespace: refused(Step::UnshareUser, libc::EPERM), nested: Namespaces::UNTRIED, ..user() }
}

/// The same policy with guarantees given up.
fn giving_up(policy: Policy, names: &[Degradation]) -> Policy {
    let degradations = names.iter().map(|name| (*name, Origin::implied("a test"))).collect();
    PolicyParts { degradations, ..policy.into() }.into()
}

const WITHOUT_NAMESPACES: [Degradation; 3] =
    [Degradation::SharedProcesses, Degradation::SharedMetadata, Degradation::NoStandIns];

fn planned(policy: &Policy, host: &Host, survey: &Survey) -> Plan {
    let credentials = Credentials { uid: host.identity.uid, gid: host.identity.gid, groups: Vec::new() };
    compile(policy, &Facts::new(host, survey, &credentials)).unwrap_or_else(|refusal| panic!("{refusal}"))
}

/// An answer in short.
fn short(held: &Held) -> String {
    match held {
        Held::By { mechanisms, .. } => {
            let word = |holding: &Holding| {
                let does = serde_json::to_value(holding.does).unwrap();
                format!("{} {}", holding.mechanism, does.as_str().unwrap_or_default())
            };
            mechanisms.iter().map(word).collect::<Vec<_>>().join(", ")
        }
        Held::Nothing { .. } => "nothing".to_owned(),
        Held::Unenforceable { .. } => "unenforceable".to_owned(),
    }
}

/// One place that can be read, one that can be written, with a secret, protected names and a pattern in it, and a private home.
fn literal() -> (Policy, Survey) {
    let places = [
        ("/usr", Access::Read, Kind::Directory),
        ("/srv/w", Access::Write, Kind::Directory),
        ("/srv/w/secret", Access::None, Kind::File),
        ("/srv/w/shut", Access::None, Kind::Directory),
        ("/srv/w/.git/config", Access::Read, Kind::File),
        ("/srv/w/.git/hooks", Access::Read, Kind::Missing),
    ];
    let paths = places.map(|(path, ..)| at(path));
    let rules: Vec<_> = paths.iter().zip(places).map(|(path, (_, access, _))| (path, access)).collect();
    let plain = policy(&rules, &["/srv/w/**/*.env"]);
    let filesystem = FilesystemParts {
        private: vec![PrivateDirectory { path: at("/home/me"), kind: StandIn::Home }],
        ..plain.filesystem().to_parts()
    };
    let parts =
        PolicyParts { filesystem: weir_protocol::policy::Filesystem::new(filesystem), ..plain.into() };
    let mut survey = Survey::default();
    survey.places.extend(places.map(|(path, _, kind)| (at(path), kind)));
    survey.places.insert(at("/srv/w/.git"), Kind::Directory);
    (giving_up(parts.into(), &WITHOUT_NAMESPACES), survey)
}

#[test]
fn files_are_held_as_the_plan_says() {
    use Operation::{Execute, Read, Write};
    let (policy, survey) = literal();
    // With mounts, and without.
    let cases = [
        (Read, "/srv/w/secret", "live refuses, mounts backs", "live refuses"),
        (Execute, "/srv/w/secret", "mounts refuses", "nothing"),
        (Read, "/srv/w/deep/x.env", "live refuses", "live refuses"),
        (Write, "/srv/w/deep/x.env", "live refuses", "live refuses"),
        (
            Write,
            "/srv/w/.git/config",
            "live refuses, mounts backs, broker tells",
            "live refuses, broker tells",
        ),
        (Write, "/srv/w/.git/hooks", "broker refuses, live backs", "broker refuses, live backs"),
        (Write, "/srv/w/.git/hooks/pre-commit", "broker refuses, live backs", "broker refuses, live backs"),
        (
            Read,
            "/srv/w/.git/hooks",
            "live admits, mounts admits, landlock admits",
            "live admits, landlock admits",
        ),
        (Write, "/usr/x", "mounts refuses, landlock backs, broker tells", "landlock refuses, broker tells"),
        (Read, "/other/x", "mounts refuses, landlock backs", "landlock refuses, broker tells"),
        (Write, "/other/x", "mounts refuses, landlock backs, broker tells", "landlock refuses, broker tells"),
        (Execute, "/other/x", "mounts refuses, landlock backs", "landlock refuses"),
        (Read, "/home/me/x", "mounts refuses", "landlock refuses, broker tells"),
        (Read, "/srv/w/shut/x", "mounts refuses, live backs, broker tells", "live refuses"),
        (Write, "/srv/w/shut/x", "live refuses, mounts backs", "live refuses"),
        (Read, "/srv/w/shut", "live refuses, mounts backs", "live refuses"),
        (Write, "/srv/w/f", "live admits, mounts admits, landlock admits", "live admits, landlock admits"),
        (Execute, "/usr/bin/x", "mounts admits, landlock admits", "landlock admits"),
    ];
    for host in [full(), user(), bare()] {
        let plan = planned(&policy, &host, &survey);
        for (operation, path, mounted, alone) in cases {
            let path = at(path);
            let held = plan.held(&policy, &Request::Path { path: &path, operation });
            let expect = if plan.way == Way::Bare { alone } else { mounted };
            assert_eq!(short(&held), expect, "{operation} {path}: {:?} {held:?}", plan.way);
        }
        // What is refused, though the policy allows it.
        let gone = planned(
            &policy,
            &host,
            &Survey { places: [(at("/usr"), Kind::Missing)].into(), ..Survey::default() },
        );
        let path = at("/usr/bin/x");
        let held = gone.held(&policy, &Request::Path { path: &path, operation: Read });
        assert!(held.refused().is_some(), "{held:?}");
    }
}

#[test]
fn a_directory_in_which_a_command_begins_is_there_or_not() {
    let (policy, survey) = literal();
    let cases = [
        ("/home/me", true),
        ("/home/me/x", false),
        ("/srv", true),
        ("/other", false),
        ("/srv/w/secret", false),
    ];
    let plan = planned(&policy, &full(), &survey);
    for (path, expect) in cases {
        assert_eq!(plan.enters(&at(path)).is_some(), expect, "{path}");
    }
    let plan = planned(&policy, &bare(), &survey);
    assert!(cases.iter().all(|(path, _)| plan.enters(&at(path)).is_some()));
    assert!(plan.leads(&at("/other/link")) && !planned(&policy, &user(), &survey).leads(&at("/other/link")));
}

/// A policy with these rules for the network.
fn networked(parts: NetworkParts) -> Policy {
    let parts = PolicyParts { network: Network::new(parts), ..literal().0.into() };
    parts.into()
}

fn switched(value: bool) -> Sourced<bool> {
    Sourced { value, origin: Origin::implied("a test") }
}

#[test]
fn connections_are_held_as_the_plan_says() {
    let off = || networked(NetworkParts::default());
    let own = || networked(NetworkParts { loopback: switched(true), ..NetworkParts::default() });
    let rule = |pattern: &str| DomainRule {
        pattern: DomainPattern::parse(pattern).unwrap(),
        allow: true,
        origin: Origin::implied("a test"),
    };
    let gated = || {
        let domains = Some(vec![rule("x.example")]);
        networked(NetworkParts { enabled: switched(true), domains, ..NetworkParts::default() })
    };
    let shared = || networked(NetworkParts { enabled: switched(true), ..NetworkParts::default() });
    let cases = [
        (
            off(),
            "x.example",
            "seccomp refuses, network-namespace backs, landlock backs",
            "seccomp refuses, landlock backs",
        ),
        (
            off(),
            "127.0.0.1",
            "seccomp refuses, network-namespace backs, landlock backs",
            "seccomp refuses, landlock backs",
        ),
        (own(), "x.example", "network-namespace refuses", ""),
        (own(), "localhost", "network-namespace admits", ""),
        (gated(), "x.example", "network-gate admits, network-namespace admits", ""),
        (gated(), "y.example", "network-gate refuses, network-namespace backs", ""),
        (gated(), "127.0.0.1", "network-gate refuses, network-namespace backs", ""),
        (shared(), "x.example", "nothing", "nothing"),
        (shared(), "127.0.0.1", "nothing", "nothing"),
    ];
    let survey = Survey::default();
    for host in [full(), user(), bare()] {
        for (policy, name, mounted, alone) in &cases {
            let expect = if host.way() == Way::Bare { alone } else { mounted };
            if expect.is_empty() {
                continue;
            }
            let found = Name::parse(name).unwrap();
            let plan = planned(policy, &host, &survey);
            let held = plan.held(policy, &Request::Connect { host: &found, port: 443 });
            assert_eq!(short(&held), *expect, "{name}: {:?} {held:?}", plan.way);
        }
    }
}

#[test]
fn unix_sockets_and_variables_are_held_as_the_plan_says() {
    let socket = |path: &str, allow| SocketRule { path: at(path), allow, origin: Origin::implied("a test") };
    let none = networked(NetworkParts::default());
    let some = networked(NetworkParts {
        unix_sockets: vec![socket("/run/a.sock", true), socket("/srv/w/b.sock", false)],
        ..NetworkParts::default()
    });
    let survey = Survey {
        places: [(at("/run/a.sock"), Kind::Socket), (at("/srv/w"), Kind::Directory)].into(),
        ..Survey::default()
    };
    let cases = [
        (&none, "/run/a.sock", "seccomp refuses, mounts backs", "seccomp refuses"),
        (&some, "/run/a.sock", "mounts admits, broker admits", "broker admits"),
        (&some, "/run/c.sock", "mounts refuses, broker backs", "broker refuses"),
        (&some, "/srv/w/b.sock", "broker refuses", "broker refuses"),
    ];
    for host in [full(), user(), bare()] {
        for (policy, path, mounted, alone) in cases {
            let plan = planned(policy, &host, &survey);
            let held = plan.held(policy, &Request::UnixSocket { path: &at(path) });
            let expect = if plan.way == Way::Bare { alone } else { mounted };
            assert_eq!(short(&held), expect, "{path}: {:?} {held:?}", plan.way);
        }
        let plan = planned(&none, &host, &survey);
        for (name, expect) in [("LANG", "environment admits"), ("MY_TOKEN", "environment refuses")] {
            assert_eq!(short(&plan.held(&none, &Request::Environment { name })), expect);
        }
    }
}

/// Where one of these closes something inside what can be written, the plan says what is given up.
#[test]
fn where_the_profile_gives_something_up_that_is_the_answer() {
    let (policy, survey) = literal();
    let names = [&WITHOUT_NAMESPACES[..], &[Degradation::SnapshotGlobs, Degradation::NoCarveOut]].concat();
    let policy = giving_up(policy, &names);
    let plan = planned(&policy, &bare(), &survey);
    for path in ["/srv/w/secret", "/srv/w/later.env"] {
        let path = at(path);
        let held = plan.held(&policy, &Request::Path { path: &path, operation: Operation::Read });
        let Held::Nothing { because } = held else { panic!("{held:?}") };
        assert!(because.contains("no-carve-out"), "{because}");
    }
}

/// Where readings are left to the kernel, it is the second ruleset that holds them, and init lists where names are granted one by one.
#[test]
fn untold_readings_are_held_by_the_second_ruleset() {
    let keep = tempfile::tempdir().unwrap();
    let root = AbsPath::from_host(&fs::canonicalize(keep.path()).unwrap()).unwrap();
    let [plain, secret] = ["plain", "secret"].map(|name| root.join(name).unwrap());
    for path in [&plain, &secret] {
        fs::write(path.as_path(), "").unwrap();
    }
    let policy = policy(&[(&root, Access::Read), (&secret, Access::None)], &[]);
    let policy = giving_up(policy, &[&WITHOUT_NAMESPACES[..], &[Degradation::UntoldReadings]].concat());
    let survey = Survey::take(&policy).unwrap();
    let plan = planned(&policy, &full(), &survey);
    let cases = [
        (&plain, "mounts admits, landlock admits, landlock admits"),
        (&secret, "mounts refuses, landlock backs"),
        (&root, "mounts admits, landlock admits"),
    ];
    for (path, expect) in cases {
        let held = plan.held(&policy, &Request::Path { path, operation: Operation::Read });
        assert_eq!(short(&held), expect, "{path}: {held:?}");
    }
    let held = plan.held(&policy, &Request::Path { path: &plain, operation: Operation::Write });
    assert_eq!(short(&held), "mounts refuses, landlock backs, broker tells", "{held:?}");
}

const NAMES: [&str; 5] = ["a", "b", "c.env", ".git", "hooks"];

fn name() -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(&NAMES[..]), 1..4).prop_map(|names| names.join("/"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Something refuses whatever is denied, in each way, and nothing refuses what may be done where it is a file that is there.
    #[test]
    fn whatever_is_denied_is_refused_by_something(
        files in proptest::collection::vec(name(), 0..8),
        rules in proptest::collection::vec(
            (name(), proptest::sample::select(vec![Access::None, Access::Read, Access::Write])), 0..5),
        top in proptest::sample::select(vec![Access::None, Access::Read, Access::Write]),
        pattern in proptest::bool::ANY,
        asked in proptest::collection::vec(name(), 1..6),
    ) {
        let keep = tempfile::tempdir().unwrap();
        let root = AbsPath::from_host(&fs::canonicalize(keep.path()).unwrap()).unwrap();
        for name in &files {
            let path = root.join(name).unwrap();
            // A name may be taken by a file already.
            drop(fs::create_dir_all(path.parent().unwrap().as_path()));
            drop(fs::write(path.as_path(), ""));
        }
        let places: Vec<_> = rules.iter().map(|(name, access)| (root.join(name).unwrap(), *access)).collect();
        let rules: Vec<_> =
            std::iter::once((&root, top)).chain(places.iter().map(|(path, access)| (path, *access))).collect();
        let patterns = if pattern { vec![format!("{root}/**/*.env")] } else { Vec::new() };
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        let policy = giving_up(policy(&rules, &patterns), &WITHOUT_NAMESPACES);
        let all: Vec<AbsPath> = files.iter().chain(&asked).map(|name| root.join(name).unwrap()).chain([at("/nowhere")]).collect();
        for host in [full(), user(), bare()] {
            let mut survey = Survey::take(&policy).unwrap();
            if host.way() == Way::Bare {
                survey.list_siblings(&policy);
            }
            let plan = planned(&policy, &host, &survey);
            let effective = survey.effective(&policy, plan.way);
            for path in &all {
                for operation in [Operation::Read, Operation::Write] {
                    let request = Request::Path { path, operation };
                    let held = plan.held(&effective, &request);
                    if !effective.verdict(&request).allowed {
                        prop_assert!(held.refused().is_some(), "{} {}: {:?} {:?}", operation, path, plan.way, held);
                    } else if path.as_path().is_file() {
                        prop_assert!(held.refused().is_none(), "{} {}: {:?} {:?}", operation, path, plan.way, held);
                    }
                }
            }
        }
    }
}
