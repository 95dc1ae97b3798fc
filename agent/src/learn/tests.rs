//! Laws: what was used is granted or withheld; nothing closed, and never the home directory, is granted.

use std::collections::BTreeSet;

use proptest::prelude::*;
use weir_protocol::policy::{
    Environment, Layer, Network, NetworkParts, Operation, PolicyParts, PrivateDirectory, Request, Resources,
    Sourced, StandIn,
};

use weir_protocol::profile::read::read;
use weir_protocol::profile::{Format, Source};

use super::*;

const HOME: &str = "/home/u";
const ROOT: &str = "/home/u/wood/p";

/// Directories that are there.
const DIRECTORIES: [&str; 10] = [
    "/var/lib",
    "/srv/data",
    "/srv/data/deep",
    "/home/u/wood/p/src",
    "/home/u/.config",
    "/home/u/notes",
    "/opt/tool",
    "/srv",
    "/home/u",
    "/etc",
];

struct Host;

impl Tree for Host {
    fn is_directory(&self, path: &AbsPath) -> bool {
        DIRECTORIES.contains(&&*path.display())
    }

    fn real(&self, path: &AbsPath) -> Option<AbsPath> {
        // One link out of many, to a place that must not be opened whole.
        Some(if *path.display() == *"/srv/link" { at(HOME) } else { path.clone() })
    }
}

fn at(path: &str) -> AbsPath {
    AbsPath::parse(path).unwrap()
}

fn policy(rules: &[(&str, Access, Layer)], private: &[&str]) -> Policy {
    let rule = |(path, access, layer): &(&str, Access, Layer)| PathRule {
        path: at(path),
        access: *access,
        origin: Origin { layer: *layer, ..Origin::implied(format!("{path:?} = \"{access}\"")) },
        via: None,
        overruled: Vec::new(),
    };
    let mut filesystem = Filesystem::new(FilesystemParts {
        rules: rules.iter().map(rule).collect(),
        ..FilesystemParts::default()
    });
    let private = private.iter().map(|path| PrivateDirectory { path: at(path), kind: StandIn::Temporary });
    filesystem.set_private(private.collect());
    PolicyParts {
        profile: "a test".to_owned(),
        confinement: Sourced::default_of(weir_protocol::policy::Confinement::Managed, "a test"),
        filesystem,
        network: Network::new(NetworkParts::default()),
        resources: Resources::default(),
        environment: Environment::default(),
        degradations: BTreeMap::new(),
        kernel: BTreeMap::new(),
        background: weir_protocol::policy::background_ends(),
    }
    .into()
}

const MINIMAL: [(&str, Access, Layer); 4] = [
    ("/usr", Access::Read, Layer::Implied),
    ("/etc", Access::Read, Layer::Implied),
    ("/etc/shadow", Access::None, Layer::Implied),
    ("/dev/null", Access::Write, Layer::Implied),
];

const SECRETS: [&str; 3] = ["/home/u/.ssh", "/home/u/.config/gh", "/home/u/.weir"];

/// The policies of a run, and of what covers toolchains.
fn policies() -> (Policy, Policy) {
    let own = [
        ("/", Access::Read, Layer::BuiltIn),
        ("/tmp", Access::None, Layer::CommandLine),
        ("/srv/out", Access::Copy, Layer::CommandLine),
        (ROOT, Access::Copy, Layer::CommandLine),
    ];
    let closed = SECRETS.map(|path| (path, Access::None, Layer::BuiltIn));
    let wide = policy(&[&MINIMAL[..], &own, &closed].concat(), &["/tmp"]);
    let rest = [("/opt", Access::Read, Layer::BuiltIn), (ROOT, Access::Write, Layer::BuiltIn)];
    (wide, policy(&[&MINIMAL[..], &rest].concat(), &["/tmp", HOME]))
}

fn recorded(uses: &[(Act, &str)]) -> Recorded {
    let mut recorded = Recorded::default();
    recorded.add_program(b"/usr/bin/sh".to_vec());
    for (operation, path) in uses {
        recorded.add(Use { operation: *operation, path: (*path).into(), program: Some(0) });
    }
    recorded
}

fn with<T>(base: Option<&Policy>, then: impl FnOnce(Ground<'_>) -> T) -> T {
    let (wide, isolated) = policies();
    let (home, roots) = (at(HOME), [at(ROOT)]);
    then(Ground { wide: &wide, isolated: &isolated, base, home: &home, roots: &roots })
}

fn proposed(uses: &[(Act, &str)]) -> Proposal {
    with(None, |ground| propose(ground, &recorded(uses), &Host))
}

fn entries(proposal: &Proposal) -> Vec<(String, Access)> {
    proposal.entries.iter().map(|entry| (entry.path.to_string(), entry.access)).collect()
}

fn withheld(proposal: &Proposal) -> Vec<String> {
    proposal.withheld.iter().map(|one| one.path.to_string()).collect()
}

#[test]
fn special_paths_stand_for_what_they_cover() {
    let proposal = proposed(&[
        (Act::Read, "/etc/passwd"),
        (Act::Execute, "/usr/bin/sh"),
        (Act::Create, "/tmp/x"),
        (Act::Write, "/dev/null"),
        (Act::Read, "/opt/tool/lib"),
        (Act::Read, "/home/u/wood/p/src/a"),
    ]);
    assert_eq!((proposal.entries.len(), proposal.withheld.len(), proposal.covered), (0, 0, 4));
    assert!(proposal.toolchains.is_some());
    assert_eq!(proposal.project.map(|project| project.write), Some(None));
    let nothing = proposed(&[]);
    assert!(nothing.project.is_some() && nothing.toolchains.is_none(), "the command starts in the project");
}

#[test]
fn many_files_of_a_directory_become_it_and_few_do_not() {
    let few = [(Act::Read, "/srv/data/a"), (Act::Read, "/srv/data/b"), (Act::Read, "/srv/data/c")];
    assert_eq!(entries(&proposed(&few)).len(), 3);
    let many = [&few[..], &[(Act::Read, "/srv/data/d"), (Act::Read, "/srv/data/deep/x")]].concat();
    assert_eq!(entries(&proposed(&many)), [("/srv/data".to_owned(), Access::Read)]);
    // A listing says so itself.
    assert_eq!(entries(&proposed(&[(Act::List, "/srv/data")])), [("/srv/data".to_owned(), Access::Read)]);
}

#[test]
fn home_secrets_and_what_holds_them_are_never_opened_whole() {
    let at_home: Vec<String> = (0..9).map(|number| format!("/home/u/.config/{number}")).collect();
    let at_home: Vec<_> = at_home.iter().map(|path| (Act::Read, path.as_str())).collect();
    let proposal = proposed(&at_home);
    assert_eq!(entries(&proposal).len(), 9, "{proposal:?}");
    let listed = [
        (Act::List, "/home/u"),
        (Act::List, "/home"),
        (Act::List, "/"),
        (Act::List, "/srv"),
        (Act::List, "/home/u/.config"),
        (Act::Read, "/srv/link"),
        (Act::Read, "/home/u/.ssh/id"),
        (Act::Read, "/srv/a\nb"),
        (Act::Read, "/home/u/notes/1"),
    ];
    let proposal = proposed(&listed);
    assert_eq!(entries(&proposal), [("/home/u/notes/1".to_owned(), Access::Read)]);
    assert_eq!(withheld(&proposal).len(), 8);
}

/// A name that would be a pattern is named by its escapes.
#[test]
fn a_name_with_wildcards_is_granted() {
    let proposal = proposed(&[(Act::Read, "/srv/app/[id]/a*")]);
    assert_eq!(entries(&proposal), [("/srv/app/[id]/a*".to_owned(), Access::Read)]);
    assert_eq!(withheld(&proposal), [""; 0]);
}

#[test]
fn what_is_made_takes_its_directory_and_what_is_changed_itself() {
    let proposal = proposed(&[(Act::Create, "/srv/out/x/new"), (Act::Write, "/srv/out/old")]);
    let expect = [("/srv/out/old".to_owned(), Access::Write), ("/srv/out/x".to_owned(), Access::Write)];
    assert_eq!(entries(&proposal), expect);
}

#[test]
fn what_was_only_looked_at_is_granted_where_it_would_not_be_shown() {
    let look = |path| (Act::Look, path);
    let on_the_way = ["/", "/srv", "/home", HOME, "/tmp", "/home/u/wood", "/srv/data"];
    let mut uses: Vec<_> = on_the_way.into_iter().map(look).collect();
    uses.extend([(Act::Read, "/srv/data/deep/x"), look("/usr/bin/sh"), look("/home/u/wood/p/src")]);
    let proposal = proposed(&uses);
    assert_eq!(entries(&proposal), [("/srv/data/deep/x".to_owned(), Access::Read)]);
    assert_eq!(withheld(&proposal), Vec::<String>::new());
    // A file is read, a directory is opened whole where that may be; what is deeper shows what is above.
    let uses =
        ["/srv/data", "/srv/data/deep", "/home/u/.config/a", "/home/u/notes", "/var/lib", "/home/u/.config"];
    let proposal = proposed(&uses.map(look));
    let expect =
        [("/home/u/.config/a".to_owned(), Access::Read), ("/srv/data/deep".to_owned(), Access::Read)];
    assert_eq!(entries(&proposal), expect);
    assert_eq!(withheld(&proposal), ["/home/u/notes", "/var/lib"]);
    // Secrets are told.
    let proposal = proposed(&[look("/home/u/.ssh"), look("/home/u/.ssh/id")]);
    assert_eq!((entries(&proposal).len(), withheld(&proposal).len()), (0, 2));
}

#[test]
fn what_is_altered_is_written() {
    let proposal = proposed(&[(Act::Alter, "/srv/out/old")]);
    assert_eq!(entries(&proposal), [("/srv/out/old".to_owned(), Access::Write)]);
    let project = proposed(&[(Act::Alter, "/home/u/wood/p/src/a")]).project;
    assert_eq!(project.and_then(|project| project.write), Some("src".to_owned()));
}

#[test]
fn sockets_of_the_host_are_named_and_what_listens_inside_takes_loopback() {
    let proposal = proposed(&[
        (Act::Look, "/srv/data/sock"),
        (Act::Read, "/srv/data/sock"),
        (Act::Connect, "/srv/data/sock"),
        (Act::Connect, "/tmp/own"),
    ]);
    assert_eq!(entries(&proposal), []);
    assert_eq!(proposal.sockets.unix.keys().map(ToString::to_string).collect::<Vec<_>>(), ["/srv/data/sock"]);
    assert!(proposal.sockets.loopback.is_some());
    let served = [
        (Act::Bind, "127.0.0.1:8080"),
        (Act::Bind, "[::1]:0"),
        (Act::Bind, "udp 127.0.0.1:53"),
        (Act::Connect, "127.0.0.1:9"),
    ];
    let sockets = proposed(&served).sockets;
    assert_eq!(sockets.ports, BTreeSet::from([8080]));
    assert_eq!(sockets.loopback.map(|needed| needed.paths), Some(4));
    let alone = proposed(&[(Act::Connect, "127.0.0.1:5432")]).sockets;
    assert_eq!((alone.loopback, alone.elsewhere), (None, BTreeSet::from(["127.0.0.1:5432".to_owned()])));
}

/// It is a configuration without a fault.
fn assert_reads(text: &str) {
    let source = Source::new("f", text.as_bytes().to_vec(), Format::Toml, Layer::User).unwrap();
    assert_eq!(read(&source).report.to_string(), "", "{text}");
}

/// A rule for sockets is no pattern, and has no escapes.
#[test]
fn sockets_that_no_rule_can_name_are_told_with_their_directory() {
    let proposal = proposed(&[
        (Act::Connect, "/srv/data/a[1].sock"),
        (Act::Connect, "/srv/d*ta/x/sock"),
        (Act::Connect, "/b?d"),
        (Act::Connect, "/srv/data/sock"),
    ]);
    let names = |all: &BTreeMap<AbsPath, Needed>| all.keys().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&proposal.sockets.unix), ["/srv/data/sock"]);
    assert_eq!(names(&proposal.sockets.nameless), ["/b?d", "/srv/d*ta/x/sock", "/srv/data/a[1].sock"]);
    let (wide, _) = policies();
    let told = Told { hosts: &[], denials: &[], home: &at(HOME), wide: &wide };
    let text = render(&Heading { name: "p", extends: None, command: "c", end: "exit 0" }, &proposal, &told);
    assert!(text.contains("unix_sockets = [\n  # connected to by sh\n  \"/srv/data/sock\",\n]"), "{text}");
    for line in [
        "# NOT GRANTED: connect /srv/data/a[1].sock: no rule for a socket can name it",
        "# unix_sockets = [\"/srv/data\"] would open every socket below",
        "# unix_sockets = [\"/srv\"] would open every socket below",
        "# It cannot be opened by a rule: give it another name.",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert_reads(&text);
}

#[test]
fn the_project_is_written_where_all_is_written() {
    let write = |uses: &[(Act, &str)]| proposed(uses).project.and_then(|project| project.write);
    let src = (Act::Create, "/home/u/wood/p/src/a");
    assert_eq!(write(&[src]), Some("src".to_owned()));
    assert_eq!(write(&[src, (Act::Write, "/home/u/wood/p/Cargo.lock")]), Some(".".to_owned()));
    // What is not there yet cannot be granted; what is protected is left to the root's own rules.
    assert_eq!(write(&[(Act::Create, "/home/u/wood/p/new/a")]), Some(".".to_owned()));
    assert_eq!(write(&[(Act::Create, "/home/u/wood/p/.git/index")]), Some(".".to_owned()));
}

#[test]
fn a_base_is_asked_first_and_what_it_closes_stays_closed() {
    let rules = [
        ("/srv/data", Access::Read, Layer::User),
        ("/srv/data/closed", Access::None, Layer::User),
        (ROOT, Access::Read, Layer::User),
    ];
    let base = policy(&[&MINIMAL[..], &rules].concat(), &["/tmp", HOME]);
    let uses = [
        (Act::Read, "/srv/data/a"),
        (Act::Read, "/srv/data/closed/x"),
        (Act::Read, "/srv/other"),
        (Act::Read, "/home/u/wood/p/a"),
    ];
    let proposal = with(Some(&base), |ground| propose(ground, &recorded(&uses), &Host));
    assert_eq!(entries(&proposal), [("/srv/other".to_owned(), Access::Read)]);
    assert_eq!(withheld(&proposal), ["/srv/data/closed/x"]);
    assert_eq!(proposal.project, None);
}

#[test]
fn the_text_is_a_configuration_and_says_why() {
    let mut uses =
        vec![(Act::Read, "/srv/data/a\"b"), (Act::Read, "/home/u/.ssh/id"), (Act::Read, "/home/u/n")];
    uses.push((Act::Read, "/srv/data/\u{202e}gpj"));
    uses.extend([(Act::Create, "/home/u/wood/p/src/a"), (Act::Read, "/opt/x"), (Act::List, "/home/u")]);
    let proposal = proposed(&uses);
    let host = |pattern: &str, unreached| HostUse { pattern: pattern.to_owned(), count: 2, unreached };
    let hosts = [host("a.example:443", None), host("b.example:80", Some("refused\nnewline".to_owned()))];
    let (wide, _) = policies();
    let told = Told { hosts: &hosts, denials: &[], home: &at(HOME), wide: &wide };
    let heading = Heading { name: "my profile", extends: None, command: "sh -c 'a\nb'", end: "exit 0" };
    let text = render(&heading, &proposal, &told);
    let table: toml::Table = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
    let profile = &table["permissions"]["my profile"];
    let keys: BTreeSet<&str> = profile["filesystem"].as_table().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        BTreeSet::from([":project_roots", ":toolchains", "/srv/data/a\"b", "/srv/data/\u{202e}gpj", "~/n"])
    );
    assert!(text.contains(r#""/srv/data/\u202egpj" = "read""#) && !text.contains('\u{202e}'), "{text}");
    assert_eq!(profile["network"]["domains"].as_array().unwrap().len(), 1);
    assert_eq!(table["default_permissions"].as_str(), Some("my profile"));
    assert!(text.contains("# NOT GRANTED: ~/.ssh/id: read by sh: closed by"), "{text}");
    assert!(text.contains("# read by sh\n\"~/n\" = \"read\""), "{text}");
    // Whoever extends a profile of their own adds this to its file.
    let heading = Heading { extends: Some("team"), ..heading };
    let text = render(&heading, &proposal, &told);
    assert!(text.contains("extends = \"team\"") && !text.contains("default_permissions"), "{text}");
}

fn act() -> impl Strategy<Value = Act> {
    prop::sample::select(vec![
        Act::Read,
        Act::List,
        Act::Look,
        Act::Execute,
        Act::Write,
        Act::Alter,
        Act::Create,
    ])
}

fn path() -> impl Strategy<Value = String> {
    let top = prop::sample::select(vec![
        "/srv",
        "/srv/data",
        "/srv/data/deep",
        "/srv/out",
        HOME,
        "/home/u/.config",
        "/home/u/.ssh",
        ROOT,
        "/opt",
        "/usr",
        "/etc",
        "/tmp",
        "/var/lib",
        "/home/u/notes",
        "/dev",
    ]);
    (top, prop::collection::vec("[a-e*]", 0..3))
        .prop_map(|(top, names)| [&[top.to_owned()], &names[..]].concat().join("/"))
}

proptest! {
    #[test]
    fn what_is_used_is_granted_or_withheld_and_nothing_closed_is_granted(
        uses in prop::collection::vec((act(), path()), 0..60)
    ) {
        let uses: Vec<(Act, &str)> = uses.iter().map(|(act, path)| (*act, path.as_str())).collect();
        let (wide, isolated) = policies();
        let (home, roots) = (at(HOME), [at(ROOT)]);
        let ground = Ground { wide: &wide, isolated: &isolated, base: None, home: &home, roots: &roots };
        let proposal = propose(ground, &recorded(&uses), &Host);
        let covering = Covering::new(ground);
        let granted = PolicyParts { filesystem: proposal.filesystem(&covering), ..PolicyParts::from(wide.clone()) };
        let granted = Policy::from(granted);
        for (act, path) in &uses {
            let path = at(path);
            let operation = act.access().unwrap();
            let is_private = path.starts_with(&at("/tmp"));
            let is_withheld = proposal.withheld.iter().any(|one| one.path == path && one.act == *act);
            let allowed = granted.verdict(&Request::Path { path: &path, operation }).allowed;
            // Whatever is on the way to something is there.
            let shown = proposal.entries.iter().map(|entry| &entry.path).chain([&home, &roots[0]]);
            let shown = shown.chain(covering.minimal.rules().iter().filter(|rule| rule.access > Access::None).map(|rule| &rule.path));
            let is_shown = *act == Act::Look && shown.into_iter().any(|other| other.starts_with(&path));
            let is_shown = is_shown || *act == Act::Look && at("/tmp").starts_with(&path);
            prop_assert!(allowed || is_private || is_withheld || is_shown, "{act} {path}: {proposal:?}");
        }
        let never = SECRETS.iter().chain(&[HOME, "/", "/etc/shadow", "/home"]);
        for path in never {
            let path = at(path);
            let request = Request::Path { path: &path, operation: Operation::Read };
            prop_assert!(!granted.verdict(&request).allowed, "{path}: {proposal:?}");
        }
    }
}
