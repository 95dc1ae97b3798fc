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

use inside::{Rules, run};

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
        let without = run(python(script, &fresh(dir, "without")), None);
        let with = run(python(script, &fresh(dir, "with")), Some(Rules::names(Vec::new())));
        let (want, got) = (
            without.output.replace("/without", "/W"),
            with.output.replace("/with", "/W"),
        );
        let different = differences(&want, &got);
        assert!(different.is_empty(), "{} lines differ:\n{}", different.len(), different.join("\n"));
        assert!(without.status.success() && with.status.success(), "{}", with.output);
        assert!(with.served > 400, "{}", with.served);
    });
}
