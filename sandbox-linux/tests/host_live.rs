//! The prober in surroundings that forbid things: what it finds must be what was forbidden, and why.
//!
//! Each case runs this test binary again, changed before it executes: as another user, under a filter, or in a user namespace
//! that allows no further one. The copy probes and writes its findings as JSON.
#![cfg(target_os = "linux")]

#[path = "support/confine.rs"]
mod confine;
#[path = "support/skip.rs"]
mod skip;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use skip::skip;
use weir_sandbox_linux::bpf::{Action, Arch, Assembler, Half, Program, SeccompData, Test};
use weir_sandbox_linux::host::{Fact, Host, Namespaces, Step, Way};
use weir_sandbox_linux::seccomp::{self, Needs};

#[cfg(target_arch = "x86_64")]
const HERE: Arch = Arch::X86_64;
#[cfg(target_arch = "aarch64")]
const HERE: Arch = Arch::Aarch64;

/// Tells a copy of this binary where to write.
const WRITE_TO: &str = "WEIR_TEST_WRITE_HOST_TO";
/// An uid that owns nothing.
const NOBODY: u32 = 65_534;

/// Not a test of its own: what the copies run.
#[test]
fn probe_for_another_test() {
    let Some(path) = std::env::var_os(WRITE_TO) else { return };
    let text = serde_json::to_vec(&Host::probe()).unwrap_or_default();
    std::fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn is_root() -> bool {
    // SAFETY: geteuid has no preconditions.
    unsafe { libc::geteuid() == 0 }
}

/// A directory that any user may write to and reach, with a copy of this binary.
fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir_in("/tmp").unwrap_or_else(|error| panic!("{error}"));
    let open = std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777));
    assert!(open.is_ok(), "{open:?}");
    let copy = dir.path().join("probe");
    let copied = std::env::current_exe().and_then(|exe| std::fs::copy(exe, &copy));
    assert!(copied.is_ok(), "{copied:?}");
    (dir, copy)
}

/// Probes in a copy of this binary that `change` altered before it ran.
fn probe(change: impl FnOnce(&mut Command)) -> Host {
    let (dir, copy) = place();
    let file = dir.path().join("host.json");
    let mut command = Command::new(copy);
    command.args(["--exact", "probe_for_another_test"]).env(WRITE_TO, &file).current_dir(dir.path());
    change(&mut command);
    let output = command.output().unwrap_or_else(|error| panic!("{error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    read(&file)
}

fn read(file: &Path) -> Host {
    let text = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{error}"))
}

fn as_nobody(command: &mut Command) {
    command.uid(NOBODY).gid(NOBODY);
}

fn plain(_: &mut Command) {}

const fn refused(at: Step, errno: i32) -> Fact {
    Fact::Refused { at, errno }
}

#[test]
fn an_ordinary_user_has_no_direct_way() {
    if !is_root() {
        return skip("host::another_user", "changing the user needs root");
    }
    let (root, user) = (probe(plain), probe(as_nobody));
    assert_eq!((user.identity.uid, user.identity.gid, user.identity.capabilities), (NOBODY, NOBODY, 0));
    assert_eq!(user.direct, Namespaces::UNTRIED);
    assert_eq!(user.audit.records, refused(Step::AuditBind, libc::EPERM));
    assert_eq!((&user.kernel, user.landlock, user.seccomp), (&root.kernel, root.landlock, root.seccomp));
}

/// Under Weir's own strictest filter: a sandbox inside a sandbox can only be Landlock and seccomp.
#[test]
fn a_filter_of_the_surroundings_is_seen() {
    let filter = seccomp::compile(&Needs::STRICT, HERE).unwrap_or_else(|defect| panic!("{defect}"));
    let outside = probe(plain);
    let inside = probe(|command| confine::confine(command, filter));
    assert!(inside.identity.filtered && inside.identity.no_new_privs);
    assert_eq!(inside.user_namespace, refused(Step::UnshareUser, libc::EPERM));
    assert_eq!(inside.nested, Namespaces::UNTRIED);
    assert!(!inside.direct.mount.works());
    assert_eq!(inside.calls.clone3, refused(Step::Clone3, libc::ENOSYS));
    assert_eq!(inside.audit.records, refused(Step::AuditSocket, libc::EPROTONOSUPPORT));
    assert_eq!(
        (inside.way(), &inside.landlock, &inside.seccomp),
        (Way::Bare, &outside.landlock, &outside.seccomp)
    );
}

/// A filter that kills whoever makes a user namespace.
fn killer() -> Program {
    let unshare = seccomp::by_name("unshare").and_then(|call| call.number(HERE)).map(u32::from);
    let mut asm = Assembler::new();
    let (call, user, other) = (asm.label(), asm.label(), asm.label());
    asm.load(SeccompData::NR);
    asm.branch(Test::Equal, unshare.unwrap_or(u32::MAX), call, other);
    asm.bind(call);
    asm.load(SeccompData::arg(0, Half::Low));
    asm.branch(Test::AnyBit, libc::CLONE_NEWUSER.cast_unsigned(), user, other);
    asm.bind(user);
    asm.answer(Action::KillProcess);
    asm.bind(other);
    asm.answer(Action::Allow);
    asm.finish().and_then(Program::new).unwrap_or_else(|defect| panic!("{defect}"))
}

#[test]
fn a_killed_trial_is_a_fact() {
    let outside = probe(plain);
    let inside = probe(|command| confine::confine(command, killer()));
    assert_eq!(inside.user_namespace, Fact::Killed { at: Step::UnshareUser });
    assert_eq!(inside.nested, Namespaces::UNTRIED);
    assert_eq!(inside.direct, outside.direct);
}

#[test]
fn a_limit_on_user_namespaces_is_named() {
    let outside = probe(plain);
    if !outside.user_namespace.works() {
        return skip("host::namespace_limit", "there are no user namespaces here");
    }
    let inside = probe(|command| {
        let maps = (format!("0 {} 1", outside.identity.uid), format!("0 {} 1", outside.identity.gid));
        let forbid = move || forbid_user_namespaces(&maps).map_err(std::io::Error::from_raw_os_error);
        // SAFETY: the closure makes system calls over data prepared before the fork.
        unsafe { command.pre_exec(forbid) };
    });
    assert_eq!(inside.knobs.max_user_namespaces, Some(0));
    // Where users may not make namespaces at all, that refusal comes first.
    let errno = if inside.knobs.unprivileged_userns_clone == Some(0) { libc::EPERM } else { libc::ENOSPC };
    assert_eq!(inside.user_namespace, refused(Step::UnshareUser, errno));
    assert!(!inside.identity.initial_user_namespace);
    // The process has every capability in its own user namespace, so the direct way is open to it.
    assert_eq!(inside.direct.mount, Fact::Works);
}

/// Enters a user namespace, as its uid 0, and allows none inside it.
fn forbid_user_namespaces(maps: &(String, String)) -> Result<(), i32> {
    // SAFETY: changes this process only.
    let made = unsafe { libc::unshare(libc::CLONE_NEWUSER) };
    if made != 0 {
        return Err(libc::EPERM);
    }
    write(c"/proc/self/setgroups", b"deny")?;
    write(c"/proc/self/uid_map", maps.0.as_bytes())?;
    write(c"/proc/self/gid_map", maps.1.as_bytes())?;
    write(c"/proc/sys/user/max_user_namespaces", b"0")
}

fn write(path: &std::ffi::CStr, text: &[u8]) -> Result<(), i32> {
    // SAFETY: the path is a C string.
    let file = unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
    // SAFETY: the slice is valid for its length; a bad descriptor is an error.
    let written = unsafe { libc::write(file, text.as_ptr().cast(), text.len()) };
    // SAFETY: the descriptor is this function's own.
    unsafe { libc::close(file) };
    if written < 0 { Err(libc::EACCES) } else { Ok(()) }
}
