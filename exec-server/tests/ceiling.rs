//! Layers and the ceiling, through the same function that the server calls, on files in a directory of the test's own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its support as well")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use weir_exec_server::profile::ceiling::{Caller, Refusal};
use weir_exec_server::profile::load::load_with;
use weir_exec_server::profile::standing::Standing;
use weir_exec_server::profile::{LoadError, Loaded, Selection, Surroundings};
use weir_protocol::AbsPath;
use weir_protocol::policy::{Access, Background, Host, Operation, Policy, Request, Resource};
use weir_protocol::profile::trust::ContentDigest;

/// A machine of the test's own: requirements, a home and a project.
struct Machine {
    root: TempDir,
    administrator: u32,
}

impl Machine {
    fn new(requirements: &str, user: &str, project: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let machine = Self { root, administrator: nix::unistd::geteuid().as_raw() };
        for (name, text) in [
            ("etc/requirements.toml", requirements),
            ("home/.weir/config.toml", user),
            ("project/.weir/config.toml", project),
        ] {
            let path = machine.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if !text.is_empty() {
                let text = text.replace("$PROJECT", &machine.path("project").display().to_string());
                fs::write(
                    &path,
                    text.replace("$ROOT", &machine.path("etc").parent().unwrap().display().to_string()),
                )
                .unwrap();
                machine.mode(name, 0o644);
            }
        }
        machine.mode("etc", 0o755);
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().canonicalize().unwrap().join(name)
    }

    fn abs(&self, name: &str) -> AbsPath {
        AbsPath::from_host(&self.path(name)).unwrap()
    }

    fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn around(&self) -> Surroundings {
        Surroundings {
            home: self.abs("home"),
            cwd: self.abs("project"),
            project_roots: vec![self.abs("project")],
            tmpdir: None,
            weir_home: self.abs("home/.weir"),
            other_homes: Vec::new(),
        }
    }

    fn load_as(&self, selection: &Selection, user: &str, groups: &[&str]) -> Result<Loaded, LoadError> {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        let caller = Caller { user: user.to_owned(), groups, home: Some(self.abs("home")) };
        load_with(selection, &self.around(), || caller, &self.path("etc"), self.administrator)
    }

    fn load(&self, selection: &Selection) -> Result<Loaded, LoadError> {
        self.load_as(selection, "alice", &["staff"])
    }

    fn policy(&self) -> Policy {
        self.load(&Selection::default()).unwrap().policy
    }

    fn access(&self, policy: &Policy, name: &str) -> Access {
        policy.access(&self.abs(name))
    }
}

fn named(profile: &str) -> Selection {
    Selection { profile: Some(profile.to_owned()), ..Selection::default() }
}

/// The lines of the requirements that a refusal names.
fn refused(found: Result<Loaded, LoadError>) -> Vec<Refusal> {
    match found {
        Err(LoadError::Refused(refusals)) => refusals,
        other => panic!("not refused: {other:?}"),
    }
}

/// Loading is refused, and the message names the ceiling's file, this line and this text.
fn check_refused(found: Result<Loaded, LoadError>, line: u32, text: &str) {
    let message = LoadError::Refused(refused(found)).to_string();
    assert!(message.contains(&format!("requirements.toml:{line})")), "line {line}: {message}");
    assert!(message.contains(text), "{text}: {message}");
}

#[test]
fn requirements_count_only_when_nobody_else_may_write_them() {
    let machine = Machine::new("default_permissions = \":isolated\"\n", "", "");
    assert_eq!(machine.policy().profile(), ":isolated");
    for (name, mode) in
        [("etc/requirements.toml", 0o664), ("etc/requirements.toml", 0o646), ("etc", 0o775), ("etc", 0o757)]
    {
        machine.mode(name, mode);
        let found = machine.load(&Selection::default());
        assert!(
            matches!(&found, Err(LoadError::Requirements { path, mode: shown, .. }) if *path == machine.path(name) && *shown == mode),
            "{name} {mode:o}: {found:?}"
        );
        machine.mode(name, if name == "etc" { 0o755 } else { 0o644 });
    }
    assert!(machine.load(&Selection::default()).is_ok());
    // A link that leads nowhere is no want of requirements.
    let file = machine.path("etc/requirements.toml");
    for target in ["elsewhere.toml", "missing.toml"] {
        fs::write(machine.path("etc/elsewhere.toml"), "").unwrap();
        fs::rename(&file, machine.path("kept.toml")).unwrap();
        std::os::unix::fs::symlink(target, &file).unwrap();
        let found = machine.load(&Selection::default());
        assert!(matches!(&found, Err(LoadError::Linked { path }) if *path == file), "{target}: {found:?}");
        fs::rename(machine.path("kept.toml"), &file).unwrap();
    }
    for target in ["real", "missing"] {
        fs::rename(machine.path("etc"), machine.path("real")).unwrap();
        std::os::unix::fs::symlink(target, machine.path("etc")).unwrap();
        let found = machine.load(&Selection::default());
        let path = machine.path("etc");
        assert!(
            matches!(&found, Err(LoadError::Linked { path: shown }) if *shown == path),
            "{target}: {found:?}"
        );
        fs::remove_file(machine.path("etc")).unwrap();
        fs::rename(machine.path("real"), machine.path("etc")).unwrap();
    }
    let stranger = Machine { administrator: machine.administrator + 1, ..machine };
    assert!(matches!(stranger.load(&Selection::default()), Err(LoadError::Requirements { .. })));
}

/// What the administrator closes no edit opens, and whoever asks is told so.
#[test]
fn nothing_is_offered_against_the_ceiling() {
    let machine = Machine::new("[ceiling.deny]\nread = [\"/srv/closed\", \"/srv/**/*.key\"]\n", "", "");
    let policy = machine.policy();
    for path in ["/srv/closed/file", "/srv/a.key"] {
        let path = AbsPath::parse(path).unwrap();
        let found = policy.explain(&Request::Path { path: &path, operation: Operation::Read });
        assert_eq!((found.allowed, &found.edit), (false, &None), "{path}");
        let told = found
            .conditions
            .iter()
            .any(|line| line.contains("requirements.toml:2") && line.contains("nothing else lifts that"));
        assert!(told, "{:?}", found.conditions);
    }
}

#[test]
fn broken_files_yield_no_policy() {
    let cases = [
        ("[ceiling]\nprofile = []\n", ""),
        ("ceiling = ", ""),
        ("", "[permissions.x]\nnetwrk = {}\n"),
        ("", "default_permissions = \"nobody\"\n"),
    ];
    for (requirements, user) in cases {
        let found = Machine::new(requirements, user, "").load(&Selection::default());
        assert!(
            matches!(found, Err(LoadError::Documents(_) | LoadError::Merge(_))),
            "{requirements}{user}: {found:?}"
        );
    }
}

#[test]
fn a_fifo_or_a_directory_is_refused_and_does_not_hang() {
    let machine = Machine::new("", "", "");
    let path = machine.path("home/.weir/config.toml");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(matches!(machine.load(&Selection::default()), Err(LoadError::Unreadable { .. })));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(machine.load(&Selection::default()), Err(LoadError::Unreadable { .. })));
    let missing = Selection { config: Some(machine.path("missing.toml")), ..Selection::default() };
    assert!(matches!(machine.load(&missing), Err(LoadError::Unreadable { .. })));
}

#[test]
fn only_allowed_profiles_may_be_chosen_and_only_by_those_who_may() {
    let machine = Machine::new("[ceiling]\nprofiles = [\":isolated\", \":workspace\"]\n", "", "");
    assert!(machine.load(&named(":isolated")).is_ok());
    check_refused(machine.load(&named(":read-only")), 2, "`:read-only` is not among the allowed");
    check_refused(machine.load(&named(":danger-full-access")), 2, "`:danger-full-access`");
    let who = "[[ceiling.who]]\nusers = [\"alice\"]\nprofiles = [\":isolated\"]\n\n[[ceiling.who]]\ngroups = [\"admin\"]\nprofiles = [\":workspace\"]\n";
    let machine = Machine::new(who, "", "");
    assert!(machine.load_as(&named(":isolated"), "alice", &[]).is_ok());
    assert!(machine.load_as(&named(":workspace"), "bob", &["staff", "admin"]).is_ok());
    for (user, groups, profile) in [("alice", &["staff"], ":workspace"), ("bob", &["staff"], ":isolated")] {
        let refusals = refused(machine.load_as(&named(profile), user, groups));
        assert!(matches!(&refusals[..], [Refusal::User { .. }]), "{refusals:?}");
    }
}

#[test]
fn more_than_the_ceiling_is_refused_with_its_line() {
    let ceiling = "[ceiling.filesystem]\n\":root\" = \"read\"\n\":project_roots\" = \"write\"\n\n[ceiling.network]\nenabled = true\nmode = \"limited\"\ndomains = { \"*.example.org\" = \"allow\" }\n\n[ceiling.resources]\nprocesses = 64\n";
    let base = "default_permissions = \"x\"\n[permissions.x.filesystem]\n\":project_roots\" = \"write\"\n[permissions.x.network]\nmode = \"limited\"\n";
    let machine = Machine::new(ceiling, base, "");
    let policy = machine.policy();
    assert_eq!(machine.access(&policy, "project/src"), Access::Write);
    assert_eq!(policy.resources().limit(Resource::Processes).unwrap().value, 64);
    let cases = [
        (
            "[permissions.x.filesystem]\n\":project_roots\" = \"write\"\n\"/srv\" = \"write\"\n",
            2,
            "write on /srv",
        ),
        (
            "[permissions.x.network]\nenabled = true\nmode = \"full\"\ndomains = { \"a.example.org\" = \"allow\" }\n",
            7,
            "methods",
        ),
        (
            "[permissions.x.network]\nenabled = true\nmode = \"limited\"\ndomains = { \"evil.test\" = \"allow\" }\n",
            8,
            "evil.test",
        ),
        ("[permissions.x.network]\nenabled = true\nmode = \"limited\"\n", 8, "host *"),
        ("[permissions.x.resources]\nprocesses = 65\n", 11, "processes of 65"),
    ];
    for (body, line, text) in cases {
        let machine = Machine::new(ceiling, &format!("default_permissions = \"x\"\n{body}"), "");
        check_refused(machine.load(&Selection::default()), line, text);
    }
    let kept = "default_permissions = \"x\"\n[permissions.x]\nbackground = \"keep\"\n";
    let forbids = Machine::new("[ceiling]\nbackground = \"end\"\n", kept, "");
    check_refused(forbids.load(&Selection::default()), 2, "processes that go on after the command");
    let named_there = format!("{kept}[ceiling]\nprofiles = [\"x\"]\n");
    let silent = Machine::new(&named_there, "", "");
    assert_eq!(silent.policy().background().value, Background::Keep);
    let full = machine.load(&named(":danger-full-access"));
    assert!(refused(full).iter().any(|refusal| refusal.to_string().contains("running without restriction")));
    let write = Selection { write: vec!["/srv".to_owned()], ..Selection::default() };
    check_refused(machine.load(&write), 2, "(command line)");
}

#[test]
fn published_ports_are_held_to_the_ceiling() {
    let with = |publish: &str| {
        let network = "loopback = true\npublish = ";
        let profile = format!("default_permissions = \"x\"\n[permissions.x.network]\n{network}{publish}\n");
        let limit = |ports: &str| {
            let ceiling = format!("[ceiling.network]\n{network}{ports}\n");
            Machine::new(&ceiling, &profile, "").load(&Selection::default())
        };
        (limit("[8080, \"3000:80\"]"), limit("[\"*\"]"))
    };
    for publish in ["[]", "[8080]", "[8080, \"3000:80\"]"] {
        let (listed, every) = with(publish);
        assert!(listed.is_ok() && every.is_ok(), "{publish}");
    }
    for (publish, subject) in [
        ("[3000]", "the published port 3000"),
        ("[8080, \"3000:81\"]", "the published port 3000:81"),
        ("[\"*\"]", "every published port"),
    ] {
        let (listed, every) = with(publish);
        check_refused(listed, 3, subject);
        assert!(every.is_ok(), "{publish}");
    }
    let stated = Machine::new(
        "[ceiling.network]\nloopback = true\n",
        "default_permissions = \"x\"\n[permissions.x.network]\nloopback = true\npublish = [80]\n",
        "",
    );
    check_refused(stated.load(&Selection::default()), 2, "the published port 80");
}

#[test]
fn a_denial_of_the_ceiling_holds_and_nothing_lifts_it() {
    let ceiling = "[ceiling.deny]\nread = [\"$ROOT/data\", \"~/.aws\", \"/**/*.pem\"]\ndomains = [\"*.corp.example\"]\n";
    let machine = Machine::new(
        ceiling,
        "default_permissions = \"x\"\n[permissions.x.filesystem]\n\":root\" = \"read\"\n[permissions.x.network]\nenabled = true\n",
        "",
    );
    let policy = machine.policy();
    for (name, expect) in [
        ("data/x", Access::None),
        ("home/.aws/x", Access::None),
        ("project/a.pem", Access::None),
        ("other", Access::Read),
    ] {
        assert_eq!(machine.access(&policy, name), expect, "{name}");
    }
    let connect =
        |host| policy.verdict(&Request::Connect { host: &Host::parse(host).unwrap(), port: 443 }).allowed;
    assert_eq!([connect("a.corp.example"), connect("example.org")], [false, true]);
    let lifting = [
        ("filesystem]\n\"$ROOT/data\" = \"read\"\n", 2),
        ("filesystem]\n\"$ROOT/data/deep\" = \"read\"\n", 2),
        ("filesystem]\n\"~/.aws\" = \"read\"\n", 2),
        ("filesystem]\n\"~/.aws/config\" = \"write\"\n", 2),
        ("network]\nenabled = true\ndomains = { \"git.corp.example\" = \"allow\" }\n", 3),
    ];
    for (body, line) in lifting {
        let machine =
            Machine::new(ceiling, &format!("default_permissions = \"x\"\n[permissions.x.{body}"), "");
        check_refused(machine.load(&Selection::default()), line, "nothing may lift");
    }
    // What every profile implies gives way to the administrator instead of making every profile fail.
    let machine = Machine::new("[ceiling.deny]\nread = [\"/run\"]\n", "", "");
    let policy = machine.load(&named(":isolated")).unwrap().policy;
    assert_eq!(policy.access(&AbsPath::parse("/run/systemd/resolve").unwrap()), Access::None);
}

const TRUSTED: &str = "[projects.\"$PROJECT\"]\ntrust_level = \"trusted\"\n";
const UNTRUSTED: &str = "[projects.\"$PROJECT\"]\ntrust_level = \"untrusted\"\n";
const PARENT_TRUSTED: &str = "[projects.\"$ROOT\"]\ntrust_level = \"trusted\"\n";

#[test]
fn a_project_counts_only_when_trusted_and_only_narrows() {
    let narrowing = "default_permissions = \":isolated\"\n";
    let cases = [
        (TRUSTED.to_owned(), ":isolated"),
        (UNTRUSTED.to_owned(), ":workspace"),
        (String::new(), ":workspace"),
        (PARENT_TRUSTED.to_owned(), ":isolated"),
        (format!("{PARENT_TRUSTED}{UNTRUSTED}"), ":workspace"),
    ];
    for (user, expect) in cases {
        let machine = Machine::new("", &user, narrowing);
        assert_eq!(machine.policy().profile(), expect, "{user}");
    }
    let content = ContentDigest::of(narrowing.as_bytes());
    let trusted_as = format!("{TRUSTED}config_sha256 = \"{content}\"\n");
    assert_eq!(Machine::new("", &trusted_as, narrowing).policy().profile(), ":isolated");
    // Another content than the one that was trusted is neither read nor left out: nothing goes on.
    for other in ["default_permissions = \":isolated\" \n", ""] {
        let found = Machine::new("", &trusted_as, other).load(&Selection::default());
        assert!(matches!(&found, Err(LoadError::Changed { .. })), "{found:?}");
        let message = found.unwrap_err().to_string();
        assert!(
            message.contains("project/.weir/config.toml") && message.contains("weir trust --yes"),
            "{message}"
        );
    }
    let widening = "default_permissions = \"x\"\n[permissions.x]\nextends = \":workspace\"\n[permissions.x.network]\nenabled = true\n";
    let machine = Machine::new("", TRUSTED, widening);
    let found = machine.load(&Selection::default());
    assert!(matches!(found, Err(LoadError::Widened(_))), "{found:?}");
    let message = found.unwrap_err().to_string();
    assert!(message.contains("project/.weir/config.toml:5"), "{message}");
    assert_eq!(Machine::new("", UNTRUSTED, widening).policy().profile(), ":workspace");
}

#[test]
fn layers_lie_over_each_other_with_their_places() {
    let requirements = "default_permissions = \"x\"\n[permissions.x.filesystem]\n\"/srv/a\" = \"read\"\n\"/srv/b\" = \"read\"\n";
    let machine = Machine::new(
        requirements,
        "[permissions.x.filesystem]\n\"/srv/b\" = \"none\"\n\"/srv/c\" = \"read\"\n",
        "",
    );
    let selection = Selection {
        read: vec!["./build".to_owned()],
        write: vec!["/srv/d".to_owned()],
        deny: vec!["/srv/c/secret".to_owned(), ".".to_owned()],
        ..Selection::default()
    };
    let policy = machine.load(&selection).unwrap().policy;
    let whence = |path: &Path| {
        let path = AbsPath::from_host(path).unwrap();
        let explained = policy.explain(&Request::Path { path: &path, operation: Operation::Read });
        (explained.access.unwrap(), explained.origin.unwrap().whence())
    };
    let file = |name: &str, line| format!("{}:{line}", machine.path(name).display());
    let command_line = || "command line".to_owned();
    assert_eq!(whence(Path::new("/srv/a")), (Access::Read, file("etc/requirements.toml", 3)));
    assert_eq!(whence(Path::new("/srv/b")), (Access::None, file("home/.weir/config.toml", 2)));
    assert_eq!(whence(Path::new("/srv/c")), (Access::Read, file("home/.weir/config.toml", 3)));
    assert_eq!(whence(Path::new("/srv/c/secret/x")), (Access::None, command_line()));
    assert_eq!(whence(Path::new("/srv/d")), (Access::Write, command_line()));
    assert_eq!(whence(&machine.path("project/build")), (Access::Read, command_line()));
    assert_eq!(whence(&machine.path("project/x")), (Access::None, command_line()));
    assert_eq!(whence(Path::new("/usr/bin/env")), (Access::Read, "implied".to_owned()));
}

#[test]
fn the_older_sandbox_modes_are_profiles() {
    let cases = [
        ("sandbox_mode = \"read-only\"\n", ":read-only", Access::Read),
        ("sandbox_mode = \"workspace-write\"\n", ":workspace", Access::Write),
        ("sandbox_mode = \"danger-full-access\"\n", ":danger-full-access", Access::Write),
    ];
    for (text, profile, access) in cases {
        let machine = Machine::new("", text, "");
        let policy = machine.policy();
        assert_eq!((policy.profile(), machine.access(&policy, "project/x")), (profile, access));
    }
    let details = "sandbox_mode = \"workspace-write\"\n[sandbox_workspace_write]\nwritable_roots = [\"/srv/w\"]\nnetwork_access = true\nexclude_slash_tmp = true\n";
    let narrowing = "[permissions.unused.filesystem]\n\":root\" = \"read\"\n";
    for (user, project) in [(details.to_owned(), ""), (format!("{details}{TRUSTED}"), narrowing)] {
        let policy = Machine::new("", &user, project).policy();
        let access = |text: &str| policy.access(&AbsPath::parse(text).unwrap());
        assert_eq!([access("/srv/w/x"), access("/tmp")], [Access::Write, Access::Read], "{user}");
        assert!(policy.network().enabled.value);
    }
}

#[test]
fn a_profile_that_goes_by_name_is_the_administrators_alone() {
    let named = "[permissions.team]\nextends = \":read-only\"\n[ceiling]\nprofiles = [\"team\"]\n";
    let wider = "default_permissions = \"team\"\n[permissions.team.filesystem]\n\":root\" = \"write\"\n";
    match Machine::new(named, wider, "").load(&Selection::default()) {
        Err(LoadError::Administered { name, whose }) => {
            assert_eq!((name.as_str(), whose), ("team", "the user's"))
        }
        other => panic!("{other:?}"),
    }
    let free = "[permissions.team]\nextends = \":read-only\"\n";
    assert!(
        Machine::new(free, wider, "").load(&Selection::default()).is_ok(),
        "without a ceiling it is a default"
    );
    let own = "default_permissions = \"team\"\n";
    assert!(Machine::new(named, own, "").load(&Selection::default()).is_ok(), "choosing it is allowed");
}

/// `HOME` is whatever the caller says.
#[test]
fn a_home_that_a_variable_names_lifts_no_denial_and_gets_no_grant() {
    let ceiling = "[ceiling.filesystem]\n\":root\" = \"read\"\n\":home\" = \"write\"\n[ceiling.deny]\nread = [\"~/.aws\", \"~/**/*.key\", \":secrets\"]\n";
    let user = "default_permissions = \"x\"\n[permissions.x.filesystem]\n\":root\" = \"read\"\n";
    let machine = Machine::new(ceiling, user, "");
    let from = |home: &str, selection: &Selection| {
        let around = Surroundings { home: machine.abs(home), ..machine.around() };
        let caller =
            || Caller { user: "alice".to_owned(), groups: Vec::new(), home: Some(machine.abs("home")) };
        load_with(selection, &around, caller, &machine.path("etc"), machine.administrator)
    };
    for home in ["home", "elsewhere"] {
        let policy = from(home, &Selection::default()).unwrap().policy;
        for closed in ["home/.aws", "home/a/b.key", "home/.ssh", "elsewhere/x"] {
            let open = closed == "elsewhere/x";
            assert_eq!(machine.access(&policy, closed) == Access::Read, open, "{home}: {closed}");
        }
    }
    // The ceiling lets the home be written, and that is the caller's own.
    let write =
        |at: &str| Selection { write: vec![machine.path(at).display().to_string()], ..Selection::default() };
    fs::create_dir_all(machine.path("elsewhere")).unwrap();
    assert!(from("home", &write("home")).is_ok());
    assert!(from("elsewhere", &write("home")).is_ok());
    check_refused(from("elsewhere", &write("elsewhere")), 2, "write on");
}

/// A profile without rules for hosts is in the host's network, where nothing holds them.
#[test]
fn the_hosts_own_network_is_above_any_rule_for_hosts() {
    let open = "default_permissions = \"open\"\n[permissions.open.network]\nenabled = true\n[permissions.gated.network]\nenabled = true\ndomains = { \"*\" = \"allow\" }\n";
    let ceiling = "[ceiling.network]\nenabled = true\ndomains = { \"*\" = \"allow\" }\n";
    let machine = Machine::new(ceiling, open, "");
    check_refused(machine.load(&Selection::default()), 3, "the host's own network");
    assert!(machine.load(&named("gated")).is_ok());
    let limited = Machine::new("[ceiling.network]\nenabled = true\nmode = \"limited\"\n", open, "");
    check_refused(limited.load(&Selection::default()), 3, "the host's own network");
    // Where the administrator sets no maximum, denials put a gate before it; a policy of before is refused.
    let free = Machine::new("", open, "").policy();
    let denying = Machine::new("[ceiling.deny]\ndomains = [\"*.corp.example\"]\n", open, "");
    assert!(denying.policy().network().is_gated());
    let standing = Standing::read_from(&denying.path("etc"), denying.administrator);
    let caller = Caller { user: "alice".to_owned(), ..Caller::default() };
    let above = standing.check(&free, &caller, &denying.around()).unwrap_err().to_string();
    assert!(above.contains("the host's own network"), "{above}");
    assert!(standing.check(&denying.policy(), &caller, &denying.around()).is_ok());
    // A project may only narrow.
    let trusted =
        "[projects.\"$PROJECT\"]\ntrust_level = \"trusted\"\n[permissions.open.network]\nenabled = true\n";
    let gated = "default_permissions = \"gated\"\n[permissions.gated.network]\nenabled = true\ndomains = { \"*\" = \"allow\" }\n";
    let machine = Machine::new("", &format!("{gated}{trusted}"), "default_permissions = \"open\"\n");
    let found = machine.load(&Selection::default());
    assert!(matches!(found, Err(LoadError::Widened(_) | LoadError::Changed { .. })), "{found:?}");
}

/// A profile of the caller's may not give up what would lift a denial of the administrator's; one of the administrator's may.
#[test]
fn what_a_profile_gives_up_lifts_no_denial() {
    let deny = "[ceiling.deny]\nread = [\"/**/*.pem\"]\n";
    let user = "default_permissions = \"x\"\n[permissions.x]\ndegrade = [\"WORD\"]\n[permissions.x.filesystem]\n\":root\" = \"read\"\n";
    for word in ["snapshot-globs", "no-carve-out"] {
        let machine = Machine::new(deny, &user.replace("WORD", word), "");
        let message = LoadError::Refused(refused(machine.load(&Selection::default()))).to_string();
        assert!(message.contains(&format!("giving up `{word}`")), "{message}");
        assert!(Machine::new("", &user.replace("WORD", word), "").load(&Selection::default()).is_ok());
        let administered = format!("{}{deny}", user.replace("WORD", word));
        assert!(Machine::new(&administered, "", "").load(&Selection::default()).is_ok(), "{word}");
    }
    let machine = Machine::new(deny, &user.replace("WORD", "shared-processes"), "");
    assert!(machine.load(&Selection::default()).is_ok());
}

/// What the command line adds is more than what stands behind the name.
#[test]
fn a_name_that_is_allowed_is_no_more_than_its_profile() {
    let requirements = "default_permissions = \"team\"\n[permissions.team]\nextends = \":isolated\"\n[ceiling]\nprofiles = [\"team\", \"mine\"]\n";
    let user = "[permissions.mine]\nextends = \":isolated\"\n";
    let machine = Machine::new(requirements, user, "");
    assert!(machine.load(&Selection::default()).is_ok());
    let closed =
        Selection { deny: vec![machine.path("project/x").display().to_string()], ..Selection::default() };
    assert!(machine.load(&closed).is_ok());
    let wider = Selection { write: vec![machine.path("home").display().to_string()], ..Selection::default() };
    let message = LoadError::Refused(refused(machine.load(&wider))).to_string();
    assert!(message.contains("write on"), "{message}");
    let found = refused(machine.load(&named("mine")));
    assert!(matches!(&found[..], [Refusal::Undefined { profile }] if profile == "mine"), "{found:?}");
}
