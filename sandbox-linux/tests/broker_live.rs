//! The broker in the kernel: a command under the filter, served by this process, beside the same command without it.
//!
//! As root every test runs a second time in a copy of this binary as another user, who is then the user of command and broker
//! both, as in a sandbox.
#![cfg(target_os = "linux")]

#[path = "broker_live/inside.rs"]
mod inside;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use std::os::unix::ffi::OsStrExt as _;

use inside::{Rules, run};
use weir_protocol::AbsPath;
use weir_sandbox_linux::broker::{Event, Guard};

/// Tells a copy of this binary that it is one.
const COPY: &str = "WEIR_TEST_BROKER_COPY";
/// Another user.
const OTHER: u32 = 1_000;

fn is_root() -> bool {
    // SAFETY: geteuid has no preconditions.
    unsafe { libc::geteuid() == 0 }
}

/// Runs a test here, and as root once more as another user.
fn as_each_user(test: &str, body: impl Fn(&Path)) {
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    body(dir.path());
    if !is_root() || std::env::var_os(COPY).is_some() {
        return;
    }
    let place = tempfile::tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let copy = place.path().join("copy");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let mut command = Command::new(copy);
    command.args(["--exact", test, "--nocapture"]).env(COPY, "1").env("HOME", place.path());
    command.current_dir(place.path()).uid(OTHER).gid(OTHER).env("TMPDIR", place.path());
    let done = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "as another user:\n{out}\n{err}");
    assert!(out.contains("1 passed"), "{out}");
}

fn fresh(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::create_dir(&path).unwrap();
    path
}

fn python(script: &str, dir: &Path) -> Command {
    let mut command = Command::new("python3");
    command.args(["-I", "-c", script]).current_dir(dir).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Lines that differ, with their numbers.
fn differences(one: &str, other: &str) -> Vec<String> {
    let (one, other): (Vec<_>, Vec<_>) = (one.lines().collect(), other.lines().collect());
    let lines = 0..one.len().max(other.len());
    let differ = lines.filter(|&at| one.get(at) != other.get(at));
    differ.map(|at| format!("{at}:\n  {:?}\n  {:?}", one.get(at), other.get(at))).collect()
}

#[test]
fn calls_answer_as_the_kernel_does() {
    as_each_user("calls_answer_as_the_kernel_does", |dir| {
        let script = include_str!("broker_live/same.py");
        let without = run(python(script, &fresh(dir, "one")), None);
        let with = run(python(script, &fresh(dir, "two")), Some(Rules::names(Vec::new())));
        let different = differences(&without.output, &with.output);
        assert!(different.is_empty(), "{} lines differ:\n{}", different.len(), different.join("\n"));
        assert!(without.status.success() && with.status.success(), "{}", with.output);
        assert!(with.served > 400, "{}", with.served);
    });
}

fn guard(parent: &Path, names: &[&str]) -> Guard {
    let parent = AbsPath::parse(parent.as_os_str().as_bytes()).unwrap();
    Guard { parent, names: names.iter().map(|name| name.as_bytes().to_vec()).collect() }
}

#[test]
fn guarded_names_never_come_into_being() {
    as_each_user("guarded_names_never_come_into_being", |dir| {
        let script = include_str!("broker_live/guarded.py");
        let free = fresh(dir, "free");
        let without = run(python(script, &free), None);
        let place = fresh(dir, "place");
        for existing in ["top", "repo/.git"] {
            std::fs::create_dir_all(place.join(existing)).unwrap();
        }
        let guards = vec![
            guard(&place.join("top"), &[".git", ".mcp.json", ".vscode"]),
            guard(&place.join("repo/.git"), &["hooks", "config"]),
            guard(&place.join("later/deep"), &["x"]),
        ];
        let mut command = python(script, &place);
        command.arg("served");
        let with = run(command, Some(Rules::names(guards)));
        check_guarded(&without.output, &with.output);
        assert!(with.status.success() && without.status.success(), "{}\n{}", with.output, without.output);
        let refused = |event: &&Event| matches!(event, Event::NameRefused { .. });
        assert!(with.events.iter().filter(refused).count() > 100, "{:?}", with.events.len());
        let want = Event::NameRefused {
            guard: 0,
            name: b".git".to_vec(),
            path: place.join("top/.git").as_os_str().as_bytes().to_vec(),
            pid: 0,
        };
        let first = with.events.first().cloned().map(|event| match event {
            Event::NameRefused { guard, name, path, .. } => Event::NameRefused { guard, name, path, pid: 0 },
            other => other,
        });
        assert_eq!(first, Some(want));
        let path = place.join("top/sub/.git").as_os_str().as_bytes().to_vec();
        assert!(with.events.contains(&Event::Repository { path }));
    });
}

/// What moving guarded directories answers, in order; without the broker all but the first of each pair works.
const MOVED: [&str; 16] = [
    "rename parent EBUSY",
    "exchange parent EBUSY",
    "rename over parent EBUSY",
    "below a moved one EACCES",
    "config below a moved one EACCES",
    "prepared comes EACCES",
    "harmless comes ok repo/.git",
    "hooks in its stead EACCES",
    "and in the old one EACCES",
    "link in its stead EACCES",
    "made anew EACCES",
    "deep file ok later/deep",
    "x in deep EACCES",
    "y in deep ok later/deep/y",
    "later moved away ok late",
    "x again EACCES",
];

fn check_guarded(without: &str, with: &str) {
    let section = |text: &str, at: usize| -> Vec<String> {
        let part = text.split("-- ").nth(at).unwrap_or_else(|| panic!("section {at}: {text}"));
        part.lines().skip(usize::from(at > 0)).map(str::to_owned).collect()
    };
    let words = |line: &String| -> Vec<String> { line.split(' ').map(str::to_owned).collect() };
    let (free, held) = (section(without, 0), section(with, 0));
    assert_eq!(free.len(), held.len());
    for (free, held) in free.iter().zip(&held) {
        let last = words(held).pop().unwrap();
        assert!(last == "EACCES" || (last == "EEXIST" && free == held), "{held} | {free}");
        let works = free.contains(" ok");
        assert!(works || ["ENOENT", "EEXIST"].iter().any(|errno| free.ends_with(errno)), "{free}");
    }
    assert!(free.iter().filter(|line| line.contains(" ok ")).count() > 100);
    assert_eq!(section(without, 1), section(with, 1));
    assert!(section(with, 1).iter().all(|line| line.contains(" ok ")));
    assert_eq!(section(with, 2), MOVED);
    let own = section(with, 3);
    assert!(
        own.len() > 30 && own.iter().all(|line| line.ends_with("EACCES") || line == "comm True"),
        "{own:#?}"
    );
    let moved = section(without, 2);
    assert!(moved.iter().filter(|line| line.contains(" ok")).count() > 10, "{moved:#?}");
}

#[test]
fn what_waits_waits_alone() {
    as_each_user("what_waits_waits_alone", |dir| {
        let script = include_str!("broker_live/waits.py");
        let without = run(python(script, &fresh(dir, "one")), None);
        let with = run(python(script, &fresh(dir, "two")), Some(Rules::names(Vec::new())));
        let different = differences(&without.output, &with.output);
        assert!(different.is_empty(), "{}", different.join("\n"));
        assert!(without.status.success(), "{}", without.output);
        println!("{}", with.output);
    });
}
