//! Real repositories: what git changes can be written, what git on the host trusts cannot, and what is planted opens nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its support as well")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use weir_exec_server::profile::resolve::{Resolved, resolve};
use weir_exec_server::profile::surroundings::{Host, Surroundings};
use weir_exec_server::profile::{builtin, load, merge};
use weir_protocol::AbsPath;
use weir_protocol::policy::{Access, Layer, Operation, Policy, Request};
use weir_protocol::profile::Format;

/// A directory with a repository `main`, a linked worktree `w`, and another worktree `other`.
struct Place {
    root: AbsPath,
    _keep: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let keep = tempfile::tempdir().unwrap();
        let root = AbsPath::from_host(&fs::canonicalize(keep.path()).unwrap()).unwrap();
        let place = Self { root, _keep: keep };
        fs::create_dir(place.at("main").as_path()).unwrap();
        place.git("main", &["init", "--quiet", "--initial-branch=trunk"]);
        fs::write(place.at("main").as_path().join("file"), "one\n").unwrap();
        place.work("main");
        place.git("main", &["worktree", "add", "--quiet", "../w"]);
        place.git("main", &["worktree", "add", "--quiet", "../other"]);
        place
    }

    fn at(&self, name: &str) -> AbsPath {
        self.root.join(name).unwrap()
    }

    fn git(&self, directory: &str, arguments: &[&str]) {
        let output = Command::new("git")
            .args(["-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "gc.auto=0"])
            .args(arguments)
            .current_dir(self.at(directory).as_path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// What a command would do in a day.
    fn work(&self, directory: &str) {
        let file = self.at(directory).as_path().join("file");
        self.git(directory, &["add", "."]);
        self.git(directory, &["commit", "--quiet", "--allow-empty", "-m", "a day"]);
        fs::write(&file, format!("changed in {directory}\n")).unwrap();
        self.git(directory, &["stash"]);
        self.git(directory, &["checkout", "--quiet", "-B", &format!("branch-of-{directory}")]);
        self.git(directory, &["stash", "pop"]);
        self.git(directory, &["commit", "--quiet", "-a", "--allow-empty", "-m", "the next"]);
    }

    fn resolved(&self, profile: &str) -> Resolved {
        let text = format!("[permissions.x.filesystem]\n{profile}");
        let reading = load::parse("test", text.into_bytes(), Format::Toml, Layer::User);
        let document = reading.document.unwrap();
        let profiles = merge::profiles([builtin::document(), &document]);
        let profile = merge::extended(&profiles, "x", None).unwrap();
        let around = Surroundings {
            home: self.at("home"),
            cwd: self.at("w"),
            project_roots: vec![self.at("w")],
            tmpdir: None,
            weir_home: self.at("home/.weir"),
            other_homes: Vec::new(),
        };
        resolve("x", &profile, &around, &Host::default()).unwrap()
    }

    fn writes(&self, policy: &Policy, name: &str) -> bool {
        let path = self.at(name);
        policy.verdict(&Request::Path { path: &path, operation: Operation::Write }).allowed
    }

    /// Everything there is, with what changes when it is written.
    fn state(&self) -> BTreeMap<AbsPath, (u64, u64, i64)> {
        let mut out = BTreeMap::new();
        gather(self.root.as_path(), &mut out);
        out
    }
}

fn gather(directory: &Path, out: &mut BTreeMap<AbsPath, (u64, u64, i64)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let found = fs::symlink_metadata(&path).unwrap();
        if found.is_dir() {
            gather(&path, out);
        }
        let time = found.mtime_nsec().wrapping_add(found.mtime() << 30);
        out.insert(AbsPath::from_host(&path).unwrap(), (found.ino(), found.len(), time));
    }
}

const ROOT: &str = "\":project_roots\" = \"write\"";

#[test]
fn everything_that_git_changes_in_a_linked_worktree_can_be_written() {
    let place = Place::new();
    let Resolved { policy, remarks } = place.resolved(ROOT);
    assert!(remarks.is_empty(), "{remarks:?}");
    let before = place.state();
    place.work("w");
    let after = place.state();
    let differs = |path: &&AbsPath| before.get(*path) != after.get(*path);
    let changed: Vec<_> = before.keys().chain(after.keys()).filter(differs).collect();
    assert!(changed.len() > 10, "{changed:?}");
    for path in changed {
        assert_eq!(policy.access(path), Access::Write, "{path}");
    }
    assert_eq!(place.resolved(ROOT).policy.digest(), policy.digest());
}

#[test]
fn what_git_on_the_host_trusts_cannot_be_written() {
    let place = Place::new();
    let policy = place.resolved(ROOT).policy;
    let open =
        ["w/file", "main/.git/objects/ab/cd", "main/.git/refs/heads/x", "main/.git/worktrees/w/index.lock"];
    for name in open {
        assert!(place.writes(&policy, name), "{name}");
    }
    let closed = [
        "w/.git",
        "main/file",
        "main/.git/config",
        "main/.git/hooks/pre-commit",
        "main/.git/commondir",
        "main/.git/config.worktree",
        "main/.git/info/attributes",
        "main/.git/objects/info/alternates",
        "main/.git/modules/x",
        "main/.git/worktrees/w/commondir",
        "main/.git/worktrees/w/gitdir",
        "main/.git/worktrees/w/config.worktree",
        "other/.git",
    ];
    for name in closed {
        assert!(!place.writes(&policy, name), "{name}");
    }
    let origin = policy.filesystem().rule_at(&place.at("main/.git")).unwrap().origin.to_string();
    assert!(origin.contains("is a linked worktree of"), "{origin}");
    // A switch opens the same name here as in a repository of its own.
    let opened = place.resolved(&format!("{ROOT}\n[permissions.x.protected]\n\".git/hooks\" = false")).policy;
    assert!(
        place.writes(&opened, "main/.git/hooks/pre-commit") && !place.writes(&opened, "main/.git/config")
    );
}

#[test]
fn a_rule_for_the_repository_wins() {
    let place = Place::new();
    for (rule, access) in [
        ("main/.git\" = \"read", Access::Read),
        ("main\" = \"none", Access::None),
        ("main/.git\" = \"write", Access::Write),
    ] {
        let resolved = place.resolved(&format!("{ROOT}\n\"{}/{rule}\"", place.root));
        assert_eq!(resolved.policy.access(&place.at("main/.git/index")), access, "{rule}");
        assert_eq!(resolved.remarks.is_empty(), access == Access::Write, "{:?}", resolved.remarks);
    }
    let pattern = place.resolved(&format!("{ROOT}\n\"{}/**/.git/refs\" = \"none\"", place.root)).policy;
    assert!(place.writes(&pattern, "main/.git/index") && !place.writes(&pattern, "main/.git/refs/x"));
}

#[test]
fn a_planted_file_opens_nothing() {
    let place = Place::new();
    let known = place.resolved(ROOT).policy.digest();
    let file = place.at("w/.git");
    for text in [
        format!("gitdir: {}", place.at("main/.git/worktrees/other")),
        format!("gitdir: {}", place.at("main/.git")),
        format!("gitdir: {}", place.root),
        "gitdir: /etc".to_owned(),
        String::new(),
    ] {
        fs::write(file.as_path(), &text).unwrap();
        let Resolved { policy, remarks } = place.resolved(ROOT);
        assert_eq!(policy.access(&place.at("main/.git/index")), Access::None, "{text}");
        assert!(!place.writes(&policy, "w/.git") && place.writes(&policy, "w/file"), "{text}");
        assert!(
            remarks.iter().any(|remark| remark.contains("w/.git is not followed")),
            "{text}: {remarks:?}"
        );
        assert_ne!(policy.digest(), known);
    }
}

/// A repository that says it belongs to a directory which only a link of a command's making leads to.
#[test]
fn a_root_behind_a_planted_link_opens_nothing() {
    let place = Place::new();
    let base = place.at("base");
    fs::create_dir(base.as_path()).unwrap();
    std::os::unix::fs::symlink("../w", base.as_path().join("link")).unwrap();
    let rules = format!("\"{base}\" = \"write\"\n\"{base}/link\" = \"write\"");
    let policy = place.resolved(&rules).policy;
    assert_eq!(policy.access(&place.at("w/file")), Access::None);
    assert_eq!(policy.access(&place.at("main/.git/index")), Access::None);
}

#[test]
fn where_there_is_no_repository_none_is_made() {
    let place = Place::new();
    fs::remove_file(place.at("w/.git").as_path()).unwrap();
    let policy = place.resolved(ROOT).policy;
    assert!(!place.writes(&policy, "w/.git/HEAD") && !place.writes(&policy, "w/.git"));
    assert!(place.writes(&policy, "w/sub/.git/HEAD"));
    let path = place.at("w/.git/HEAD");
    let told = policy.explain(&Request::Path { path: &path, operation: Operation::Write });
    assert_eq!(told.origin.unwrap().rule, "no repository is made at the top of a writable root");
    let opened = place.resolved(&format!("{ROOT}\n[permissions.x.protected]\n\".git\" = false")).policy;
    for name in ["w/.git/HEAD", "w/.git/config", "w/.git/hooks/x"] {
        assert!(place.writes(&opened, name), "{name}");
    }
    let told = opened.explain(&Request::Path { path: &path, operation: Operation::Write });
    assert_eq!(told.origin.unwrap().place.unwrap().line, 4);
    // Once there is a repository, the switch for the whole says nothing about what is in it.
    place.git("w", &["init", "--quiet"]);
    for profile in [ROOT.to_owned(), format!("{ROOT}\n[permissions.x.protected]\n\".git\" = false")] {
        let policy = place.resolved(&profile).policy;
        assert!(place.writes(&policy, "w/.git/HEAD") && !place.writes(&policy, "w/.git/config"));
    }
}

/// `main` as the root, with a submodule `lib/one` and one of its own, `two`.
fn with_submodules() -> Place {
    let place = Place::new();
    for source in ["inner", "outer"] {
        fs::create_dir(place.at(source).as_path()).unwrap();
        place.git(source, &["init", "--quiet", "--initial-branch=trunk"]);
        fs::write(place.at(source).as_path().join("file"), "one\n").unwrap();
    }
    place.work("inner");
    let add = ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "--name"];
    place.git("outer", &[add.as_slice(), &["two", "../inner", "two"]].concat());
    place.work("outer");
    place.git("main", &[add.as_slice(), &["lib/one", "../outer", "lib/one"]].concat());
    place.git("main", &["commit", "--quiet", "-m", "a submodule"]);
    let update =
        ["-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init", "--recursive"];
    place.git("main", &update);
    place
}

const OUTER: &str = "main/.git/modules/lib/one";
const INNER: &str = "main/.git/modules/lib/one/modules/two";

#[test]
fn everything_that_git_changes_in_a_submodule_can_be_written_and_what_it_trusts_cannot() {
    let place = with_submodules();
    let rule = format!("\"{}\" = \"write\"", place.at("main"));
    let Resolved { policy, remarks } = place.resolved(&rule);
    assert!(remarks.is_empty(), "{remarks:?}");
    let before = place.state();
    place.work("main/lib/one/two");
    place.work("main/lib/one");
    place.git("main", &["commit", "--quiet", "-a", "-m", "further"]);
    let after = place.state();
    // Objects are names of the source's files as well, for git clones a directory by links.
    let differs =
        |path: &&AbsPath| path.starts_with(&place.at("main")) && before.get(*path) != after.get(*path);
    let changed: Vec<_> = before.keys().chain(after.keys()).filter(differs).collect();
    let within = |own: &str| changed.iter().filter(|path| path.starts_with(&place.at(own))).count();
    assert!(within(INNER) > 5 && within(OUTER) > within(INNER) + 5, "{changed:?}");
    for path in changed {
        assert_eq!(policy.access(path), Access::Write, "{path}");
    }
    for own in [OUTER, INNER] {
        for name in [
            "config",
            "hooks/pre-commit",
            "commondir",
            "config.worktree",
            "info/attributes",
            "modules/x/HEAD",
        ] {
            assert!(!place.writes(&policy, &format!("{own}/{name}")), "{own}/{name}");
        }
    }
    for name in ["main/.git/modules/new/HEAD", "main/.git/modules/lib/new", "main/.git/config"] {
        assert!(!place.writes(&policy, name), "{name}");
    }
    let opened = place.resolved(&format!("{rule}\n[permissions.x.protected]\n\".git/hooks\" = false")).policy;
    assert!(
        place.writes(&opened, &format!("{INNER}/hooks/x"))
            && !place.writes(&opened, &format!("{INNER}/config"))
    );
}

#[test]
fn a_rule_for_submodules_wins() {
    let place = with_submodules();
    let root = place.at("main");
    for (at, access) in
        [("main/.git/modules", Access::Read), (OUTER, Access::None), ("main/.git", Access::Read)]
    {
        let word = if access == Access::Read { "read" } else { "none" };
        let policy =
            place.resolved(&format!("\"{root}\" = \"write\"\n\"{}\" = \"{word}\"", place.at(at))).policy;
        for own in [OUTER, INNER] {
            assert_eq!(policy.access(&place.at(&format!("{own}/index"))), access, "{at} {own}");
        }
    }
    // What looks like a repository behind a link is none of this one's.
    let modules = place.at("main/.git/modules");
    fs::rename(modules.as_path(), place.at("elsewhere").as_path()).unwrap();
    std::os::unix::fs::symlink("../../elsewhere", modules.as_path()).unwrap();
    let policy = place.resolved(&format!("\"{root}\" = \"write\"")).policy;
    assert_eq!(policy.access(&place.at("elsewhere/lib/one/index")), Access::None);
    assert!(!place.writes(&policy, "main/.git/modules/x"));
}
