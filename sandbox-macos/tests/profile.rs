//! Single properties of compiled profiles, each with its positive control.

#![allow(clippy::unwrap_used, clippy::expect_used, dead_code)]

#[path = "support/world.rs"]
mod world;

use std::collections::BTreeSet;

use weir_protocol::AbsPath;
use weir_protocol::policy::{
    Access, Confinement, Degradation, Network, NetworkParts, Origin, Policy, PolicyParts, PublishRule,
    Resource, Sourced,
};
use weir_sandbox_macos::compile::{CompileError, Run, RunTag, compile};
use weir_sandbox_macos::evaluate::{Subject, parse};
use weir_sandbox_macos::gap;
use weir_sandbox_macos::parameter::ParameterError;
use weir_sandbox_macos::sexpr::Sexpr;

use world::{EXACT, Loaded, Sketch, USUAL, load, path, run};

use Access::{None as Closed, Read, Write};

fn files(rules: &[(&str, Access)], globs: &[&str]) -> Loaded {
    load(&Sketch::files(rules, globs).policy(), EXACT, &run())
}

/// What reading, writing and removing give, as three letters or dashes.
fn check(loaded: &Loaded, cases: &[(&str, &str)]) {
    for (path, expect) in cases {
        let letter = |operation: &str, letter: char| {
            if loaded.allows(operation, path.as_bytes()) { letter } else { '-' }
        };
        let found: String = [("file-read-data", 'r'), ("file-write-data", 'w'), ("file-write-unlink", 'u')]
            .map(|(operation, name)| letter(operation, name))
            .iter()
            .collect();
        assert_eq!(found, *expect, "{path}");
    }
}

#[test]
fn deeper_rules_win_and_a_denial_can_be_opened_again() {
    let loaded = files(
        &[("/", Read), ("/p", Write), ("/p/s", Closed), ("/p/s/open", Read), ("/p/s/open/w", Write)],
        &[],
    );
    check(
        &loaded,
        &[
            ("/x", "r--"),
            ("/p/a", "rwu"),
            ("/pa", "r--"),
            ("/p/s", "---"),
            ("/p/s/a", "---"),
            ("/p/s/open/a", "r--"),
            ("/p/s/open/w/a", "rwu"),
            ("/p", "rw-"),
        ],
    );
}

#[test]
fn protected_names_hold_before_they_exist_and_cannot_be_moved_away() {
    let loaded = files(&[("/p", Write), ("/p/.git/hooks", Read), ("/p/.git/config", Read)], &[]);
    check(
        &loaded,
        &[
            ("/p/.git/index", "rwu"),
            ("/p/.git/hooks/pre-commit", "r--"),
            ("/p/.git/config", "r--"),
            ("/p/.git", "rw-"),
            ("/p/.github", "rwu"),
        ],
    );
    // Neither a populated directory nor a symbolic link can take the place of a missing `.git`.
    assert!(!loaded.allows("file-write-create", b"/p/.git"));
    assert!(loaded.allows("file-write-create", b"/p/.git/index.lock"));
}

#[test]
fn patterns_are_live_at_any_depth_and_follow_into_other_writable_places() {
    let loaded = files(&[("/p", Write), ("/w", Write), ("/r", Read)], &["/p/**/*.env", "/p/**/.secrets"]);
    check(
        &loaded,
        &[
            ("/p/x.env", "---"),
            ("/p/a/b/c/d/e/f/x.env", "---"),
            ("/p/x.env/below", "---"),
            ("/p/x.envy", "rwu"),
            ("/p/.secrets/key", "---"),
            ("/p/a/.secrets", "---"),
            ("/w/moved/x.env", "---"),
            ("/w/moved/x.txt", "rwu"),
            ("/r/x.env", "r--"),
        ],
    );
    for operation in ["file-link", "file-clone", "file-write-create"] {
        assert!(!loaded.allows(operation, b"/p/x.env"), "{operation} of what is denied");
        assert!(loaded.allows(operation, b"/p/x.txt"), "{operation}");
    }
}

#[test]
fn both_names_of_the_three_links_are_held() {
    let loaded = files(&[("/tmp", Write), ("/tmp/s", Closed), ("/etc", Read)], &["/tmp/**/*.key", "/*/deny"]);
    for top in ["", "/private"] {
        let at = |rest: &str| format!("{top}{rest}");
        check(
            &loaded,
            &[
                (&at("/tmp/a"), "rwu"),
                (&at("/tmp/s/a"), "---"),
                (&at("/tmp/a/b.key"), "---"),
                (&at("/tmp/deny"), "---"),
                (&at("/etc/hosts"), "r--"),
            ],
        );
    }
    // A rule for each name: the narrower counts under both.
    let loaded = files(
        &[("/tmp/x", Write), ("/private/tmp/x", Closed), ("/private/tmp/y", Write), ("/tmp/y", Read)],
        &[],
    );
    check(
        &loaded,
        &[("/private/tmp/x", "---"), ("/tmp/x", "---"), ("/private/tmp/y", "rwu"), ("/tmp/y", "rwu")],
    );
}

#[test]
fn case_counts_for_nothing_where_the_volume_says_so() {
    let rules = [("/p", Write), ("/p/.git/hooks", Read), ("/p/sk", Closed)];
    let usual = load(&Sketch::files(&rules, &["/p/**/*.env"]).policy(), USUAL, &run());
    check(
        &usual,
        &[
            ("/p/.GIT/Hooks/pre-commit", "r--"),
            ("/p/SK/a", "---"),
            ("/p/S\u{212a}/a", "---"),
            ("/p/\u{17f}k/a", "---"),
            ("/p/a/X.Env", "---"),
            ("/p/a/X.En", "rwu"),
        ],
    );
    let exact = load(&Sketch::files(&rules, &["/p/**/*.env"]).policy(), EXACT, &run());
    check(&exact, &[("/p/.GIT/Hooks/pre-commit", "rwu"), ("/p/SK/a", "rwu"), ("/p/a/X.Env", "rwu")]);
}

#[test]
fn base_rules_yield_to_the_policy() {
    let bare = files(&[], &[]);
    check(
        &bare,
        &[
            ("/usr/lib/dyld", "r--"),
            ("/dev/null", "rwu"),
            ("/usr/local/x", "---"),
            ("/Users/u", "---"),
            ("/", "r--"),
        ],
    );
    let closed = files(&[("/usr", Closed), ("/usr/bin", Read)], &[]);
    check(&closed, &[("/usr/lib/dyld", "---"), ("/usr/bin/env", "r--"), ("/System/Library/x", "r--")]);
    let root = files(&[("/", Closed)], &[]);
    check(&root, &[("/usr/lib/dyld", "r--"), ("/", "r--"), ("/Users", "---")]);
    let open = files(&[("/", Read)], &["/**/*.plist"]);
    check(
        &open,
        &[
            ("/System/Volumes/Data/Users/u/.ssh/id", "---"),
            ("/.vol/1/2", "---"),
            ("/usr/share/a.plist", "---"),
        ],
    );
}

#[test]
fn no_byte_of_a_path_stands_in_the_text() {
    let hostile = [
        "/p/\") (allow file-read* (subpath \"/\")) (\"",
        "/p/a\n(allow default)\n",
        "/p/;comment",
        "/p/back\\slash\\\"",
        "/p/(param \"PATH_0\")",
        "/p/#\"raw\"",
        "/p/tab\tbell\u{7}",
        "/p/-D PATH_0=/",
        "/p/PATH_0=x",
        "/p/$(id)`id`",
    ];
    let plain = words(&files(&[("/p", Write), ("/p/plain", Closed)], &["/p/plain*"]));
    for text in hostile {
        let glob = format!("{}*", text.replace('\\', "\\\\"));
        let loaded = files(&[("/p", Write), (text, Closed)], &[&glob]);
        // Every word and text of the profile is one that another policy has as well, or a parameter's name.
        let strange: Vec<String> = words(&loaded).difference(&plain).cloned().collect();
        assert_eq!(strange, Vec::<String>::new(), "{text:?}");
        check(
            &loaded,
            &[
                (text, "---"),
                (&format!("{text}/below"), "---"),
                (&format!("{text}x"), "---"),
                ("/p/other", "rwu"),
            ],
        );
    }
}

/// Every word and text of a profile.
fn words(loaded: &Loaded) -> BTreeSet<String> {
    fn gather(form: &Sexpr, out: &mut BTreeSet<String>) {
        match form {
            Sexpr::List(items) => items.iter().for_each(|item| gather(item, out)),
            other => {
                out.insert(other.to_string());
            }
        }
    }
    let mut out = BTreeSet::new();
    let text = loaded.compiled.profile.to_string();
    parse::read(text.as_bytes()).unwrap().iter().for_each(|form| gather(form, &mut out));
    out
}

#[test]
fn what_cannot_be_expressed_is_refused() {
    let mut parts: PolicyParts = Sketch::files(&[("/p", Write)], &[]).policy().into();
    let mut fs = parts.filesystem.to_parts();
    fs.rules.push(weir_protocol::policy::PathRule {
        path: AbsPath::parse(b"/p/\xff\xfe").unwrap(),
        access: Closed,
        origin: Origin::implied("test"),
        via: None,
        overruled: Vec::new(),
    });
    parts.filesystem = fs.into();
    let refused = compile(&parts.into(), EXACT, &run()).unwrap_err();
    assert_eq!(
        refused,
        CompileError::Parameter(ParameterError::NotUtf8 { shown: "/p/\\xff\\xfe".to_owned() })
    );
    for tag in ["", "a b", "a\"b", "a\nb", "ü", &"a".repeat(65)] {
        assert_eq!(RunTag::parse(tag), Err(CompileError::BadTag), "{tag:?}");
    }
    assert!(AbsPath::parse(b"/a\0b").is_err());
}

#[test]
fn a_network_needs_its_gate() {
    let policy = Sketch { network: true, ..Sketch::default() }.policy();
    assert_eq!(compile(&policy, EXACT, &Run { gate: None, ..run() }), Err(CompileError::NoGate));
    let zero = Some(weir_sandbox_macos::compile::Gate { http: 0, socks: 1080 });
    assert_eq!(compile(&policy, EXACT, &Run { gate: zero, ..run() }), Err(CompileError::BadGate));
    let off = load(&Sketch::default().policy(), EXACT, &run());
    assert!(!off.connects(true, world::GATE.http, true));
    let on = load(&by_hosts(policy.clone()), EXACT, &run());
    assert!(on.connects(true, world::GATE.http, true) && !on.connects(true, world::GATE.http, false));
    assert!(!on.connects(true, 22, true) && !on.connects(false, world::GATE.http, true));
    // The host's own network has its loopback too; all else is the gate's here.
    let hosts = load(&policy, EXACT, &run());
    assert!(hosts.connects(true, 22, true) && !hosts.connects(false, world::GATE.http, true));
}

/// The same with rules for hosts, of which there are none.
fn by_hosts(policy: Policy) -> Policy {
    let mut parts = PolicyParts::from(policy);
    let network = NetworkParts::from(parts.network);
    parts.network = Network::new(NetworkParts { domains: Some(Vec::new()), ..network });
    parts.into()
}

#[test]
fn a_published_port_leads_to_itself_alone() {
    let published = |text: &str| {
        let mut parts: PolicyParts = Sketch { loopback: true, ..Sketch::default() }.policy().into();
        let mut network = NetworkParts::from(parts.network);
        let origin = Origin::implied("a test");
        network.publish = vec![PublishRule { what: text.parse().unwrap(), origin }];
        parts.network = Network::new(network);
        compile(&parts.into(), EXACT, &run())
    };
    assert!(published("8080").is_ok());
    for text in ["3000:80", "*"] {
        assert!(matches!(published(text), Err(CompileError::Published { .. })), "{text}");
    }
}

#[test]
fn a_limit_that_cannot_be_held_is_given_up_by_name() {
    let mut parts: PolicyParts = Sketch::default().policy().into();
    parts.resources.set(Resource::Memory, Sourced { value: 1 << 30, origin: Origin::implied("test") });
    let refused = compile(&parts.clone().into(), EXACT, &run()).unwrap_err();
    assert!(matches!(refused, CompileError::Unenforceable { degradation: Degradation::ProcessLimits, .. }));
    assert!(refused.to_string().contains("degrade = [\"process-limits\"]"), "{refused}");
    parts.degradations.insert(Degradation::ProcessLimits, Origin::implied("test"));
    assert!(compile(&parts.into(), EXACT, &run()).is_ok());
}

#[test]
fn running_unrestricted_says_so_and_nothing_else_does() {
    let mut parts: PolicyParts = Sketch::files(&[("/p", Write)], &[]).policy().into();
    assert!(
        compile(&parts.clone().into(), EXACT, &run()).unwrap().profile.to_string().contains("(deny default")
    );
    parts.confinement.value = Confinement::Unrestricted;
    let compiled = compile(&parts.into(), EXACT, &run()).unwrap();
    assert_eq!(compiled.profile.to_string(), "(version 1)\n(allow default)\n");
    assert_eq!(
        gap::concerning(&Policy::from(PolicyParts {
            confinement: Sourced { value: Confinement::Unrestricted, origin: Origin::implied("test") },
            ..Sketch::default().policy().into()
        }))
        .count(),
        0
    );
}

#[test]
fn the_run_has_its_own_directory_and_terminal_and_no_other() {
    let own = Run { scratch: Some(path("/tmp/weir-run-1")), terminal: Some(path("/dev/ttys004")), ..run() };
    let loaded = load(&Sketch::files(&[("/", Read), ("/tmp", Closed)], &[]).policy(), EXACT, &own);
    check(&loaded, &[("/private/tmp/weir-run-1/home/.cache", "rwu"), ("/private/tmp/weir-run-2", "---")]);
    assert!(
        loaded.allows("file-write-data", b"/dev/ttys004") && loaded.allows("file-ioctl", b"/dev/ttys004")
    );
    assert!(
        !loaded.allows("file-write-data", b"/dev/ttys005") && !loaded.allows("file-ioctl", b"/dev/ttys005")
    );
    let made = Subject { path: Some(b"/dev/ttys005"), extension: true, ..Subject::default() };
    assert!(loaded.agreed("file-write-data", &made));
}

#[test]
fn other_processes_are_out_of_reach() {
    let loaded = files(&[("/", Write)], &[]);
    let other = Subject::default();
    let own = Subject { same_sandbox: true, ..Subject::default() };
    for operation in ["signal", "process-info-pidinfo"] {
        assert!(loaded.agreed(operation, &own) && !loaded.agreed(operation, &other), "{operation}");
    }
    for operation in [
        "mach-priv-task-port",
        "mach-register",
        "appleevent-send",
        "lsopen",
        "iokit-open",
        "sysctl-write",
        "system-debug",
        "file-mknod",
        "file-mount",
        "file-unmount",
        "file-chroot",
        "file-issue-extension",
        "file-write-setugid",
        "ipc-posix-shm-write-data",
        "job-creation",
        "user-preference-write",
    ] {
        assert!(!loaded.allows(operation, b"/p/a"), "{operation}");
    }
    for name in ["kern.proc.all", "kern.procargs2.1", "kern.hostname", "kern.bootargs"] {
        assert!(!loaded.agreed("sysctl-read", &Subject { name: Some(name), ..Subject::default() }), "{name}");
    }
    assert!(loaded.agreed("sysctl-read", &Subject { name: Some("hw.ncpu"), ..Subject::default() }));
}

#[test]
fn the_same_policy_gives_the_same_bytes_and_they_read_back() {
    let sketch = Sketch::files(&[("/p", Write), ("/p/a", Closed), ("/tmp", Read)], &["/p/**/*.env"]);
    let [one, two] =
        [sketch.policy(), sketch.policy()].map(|policy| compile(&policy, USUAL, &run()).unwrap());
    assert_eq!(one, two);
    let text = one.profile.to_string();
    assert_eq!(parse::read(text.as_bytes()).unwrap(), one.profile.to_sexprs());
    let printed: String = one.profile.to_sexprs().iter().map(Sexpr::to_string).collect();
    assert_eq!(parse::read(printed.as_bytes()).unwrap(), one.profile.to_sexprs());
}

#[test]
fn every_gap_is_told_once() {
    let summary = gap::summary();
    for gap in &gap::GAPS {
        assert_eq!(summary.matches(&format!("  {}: ", gap.key)).count(), 1, "{}", gap.key);
        assert!(!gap.says.ends_with('.') && !gap.says.contains('\n'), "{}", gap.key);
    }
    assert!(summary.contains(gap::NEVER_RUN));
}
