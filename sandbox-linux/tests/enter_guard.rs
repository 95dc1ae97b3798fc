//! Between its birth and the command's execution a sandbox takes no memory from the allocator and no lock.
//!
//! This binary's allocator ends any process but this one in which it is called before the command's process has been made: the
//! first process may allocate only after it has forked, the command's own never. Meanwhile another thread holds the locks of
//! standard output and error, on which whoever wanted to print, or to panic, would wait for ever. A panic allocates as well. The C library's
//! own fork(2) takes all its locks and is caught likewise.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its support as well")]

#[path = "enter_guard/allocator.rs"]
mod allocator;
#[path = "support/control.rs"]
mod control;
#[path = "support/policy.rs"]
mod policy_of_rules;
#[path = "support/skip.rs"]
mod skip;

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use control::control;
use skip::skip;
use weir_protocol::AbsPath;
use weir_protocol::policy::{
    Access, Confinement, Degradation, Filesystem, FilesystemParts, Network, NetworkParts, Origin, PathRule,
    Policy, PolicyParts, PrivateDirectory, Resource, Resources, Sourced, StandIn,
};
use weir_sandbox_linux::compile::landlock::ABI_TRUNCATE;
use weir_sandbox_linux::compile::{Facts, compile};
use weir_sandbox_linux::host::{Fact, Host, Namespaces, Step, Way};
use weir_sandbox_linux::plan::Credentials;
use weir_sandbox_linux::prepare::{Command, Prepared};
use weir_sandbox_linux::start::{Source, Wires, start};
use weir_sandbox_linux::step::{self, FAILURE_BYTES, Failure};
use weir_sandbox_linux::survey::Survey;

#[global_allocator]
static GUARD: allocator::Guard = allocator::Guard;

/// What the command says.
const SAID: &str = "entered\n";
/// A user that is not this process's.
const OTHER: u32 = 61_234;

/// One sandbox to be made.
#[derive(Debug, Clone, Copy)]
struct Case {
    way: Way,
    confinement: Confinement,
    size: Option<[u16; 2]>,
    user: Option<u32>,
    gated: bool,
    argv: &'static [&'static str],
    cwd: &'static str,
    expect: Expect,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Said,
    Failed(step::Step, i32),
}

const SHELL: Case = Case {
    way: Way::Direct,
    confinement: Confinement::Managed,
    size: None,
    user: None,
    gated: false,
    argv: &["sh", "-c", "echo entered"],
    cwd: "/",
    expect: Expect::Said,
};

/// Every branch of the way from clone to execve.
fn cases(way: Way) -> Vec<Case> {
    let shell = Case { way, ..SHELL };
    let missing = Expect::Failed(step::Step::Execute, libc::ENOENT);
    let mut cases = vec![
        shell,
        Case { size: Some([24, 80]), ..shell },
        Case { confinement: Confinement::Unrestricted, ..shell },
        // In the project: a text that no kernel executes, and something that nobody may.
        Case { argv: &["./script"], cwd: PROJECT, ..shell },
        Case { argv: &["no-such-program"], expect: missing, ..shell },
        Case {
            argv: &["./plain"],
            cwd: PROJECT,
            expect: Expect::Failed(step::Step::Execute, libc::EACCES),
            ..shell
        },
        Case { cwd: "/no/such", expect: Expect::Failed(step::Step::WorkingDirectory, libc::ENOENT), ..shell },
    ];
    if way != Way::Bare {
        cases.push(Case { gated: true, ..shell });
        cases.push(Case { gated: true, size: Some([24, 80]), ..shell });
    }
    if way == Way::Direct {
        cases.push(Case { user: Some(OTHER), ..shell });
        cases.push(Case { user: Some(OTHER), size: Some([24, 80]), ..shell });
        cases.push(Case { user: Some(OTHER), confinement: Confinement::Unrestricted, ..shell });
    }
    cases
}

/// Stands for the project's directory, which is a fresh one.
const PROJECT: &str = "/project";

/// This machine, as far as this way needs it.
fn host(way: Way) -> Host {
    let mut host = Host::probe();
    if way != Way::Direct {
        host.direct = Namespaces::UNTRIED;
    }
    if way == Way::Bare {
        host.user_namespace = Fact::Refused { at: Step::UnshareUser, errno: libc::EPERM };
        host.nested = Namespaces::UNTRIED;
    }
    host
}

fn policy(case: &Case, project: &AbsPath) -> Policy {
    let origin = || Origin::implied("a test");
    let rule =
        |path: AbsPath, access| PathRule { path, access, origin: origin(), via: None, overruled: Vec::new() };
    let below = |name: &str| project.join(name).unwrap();
    let path = |text: &str| AbsPath::parse(text).unwrap();
    let filesystem = Filesystem::new(FilesystemParts {
        rules: vec![
            rule(AbsPath::root(), Access::Read),
            rule(project.clone(), Access::Write),
            rule(below("closed"), Access::None),
            rule(below("closed/open"), Access::Write),
            rule(path("/dev/null"), Access::Write),
            rule(path("/dev/ptmx"), Access::Write),
            rule(path("/dev/pts"), Access::Write),
            // Is not there and must not be made, for the broker.
            rule(below(".missing"), Access::Read),
        ],
        private: vec![PrivateDirectory { path: path("/dev/shm"), kind: StandIn::Temporary }],
        ..FilesystemParts::default()
    });
    let loopback = Sourced { value: case.way != Way::Bare, origin: origin() };
    let enabled = Sourced { value: case.gated, origin: origin() };
    let domains = case.gated.then(Vec::new);
    let mut resources = Resources::default();
    resources.set(Resource::OpenFiles, Sourced { value: 100, origin: origin() });
    let given_up = [
        Degradation::SharedProcesses,
        Degradation::SharedSignals,
        Degradation::SharedMetadata,
        Degradation::NoStandIns,
        Degradation::NoCarveOut,
    ];
    PolicyParts {
        confinement: Sourced { value: case.confinement, origin: origin() },
        filesystem,
        network: Network::new(NetworkParts { enabled, domains, loopback, ..NetworkParts::default() }),
        resources,
        degradations: given_up.into_iter().map(|name| (name, origin())).collect(),
        ..policy_of_rules::of_rules(&[], []).into()
    }
    .into()
}

fn prepared(case: &Case, host: &Host, project: &AbsPath) -> Prepared {
    let maker = Credentials { uid: host.identity.uid, gid: host.identity.gid, groups: Vec::new() };
    let credentials =
        case.user.map_or_else(|| maker.clone(), |id| Credentials { uid: id, gid: id, groups: vec![id] });
    let policy = policy(case, project);
    let mut survey = Survey::take(&policy).unwrap();
    if case.way == Way::Bare {
        survey.list_siblings(&policy);
    }
    let plan = compile(&policy, &Facts::new(host, &survey, &credentials));
    let plan = plan.unwrap_or_else(|error| panic!("{error}"));
    let cwd = if case.cwd == PROJECT { project.clone() } else { AbsPath::parse(case.cwd).unwrap() };
    let argv = case.argv.iter().map(|word| word.as_bytes().to_vec()).collect();
    let env = vec![(b"PATH".to_vec(), b"/nowhere:/usr/bin:/bin".to_vec())];
    Prepared::new(&plan, &Command { argv, env, cwd, umask: None }, &maker).unwrap()
}

/// Makes one sandbox and answers what it said, and the failure.
fn enter(case: &Case, prepared: &Prepared) -> (String, Option<Failure>) {
    let (mut said, output) = std::io::pipe().unwrap();
    let (mut told, error) = std::io::pipe().unwrap();
    let (ours, theirs) = control();
    let input = if case.size.is_some() { Source::Terminal } else { Source::Closed };
    let other: OwnedFd = output.try_clone().unwrap().into();
    let stdio = [input, Source::Descriptor(output.into()), Source::Descriptor(other)];
    let wires = Wires { error: error.into(), control: theirs, stdio, size: case.size, group: None };
    allocator::arm();
    let first = start(prepared, &wires);
    allocator::disarm();
    drop(wires);
    let first = match first {
        Ok(first) => first,
        // A panic here would wait for the locks.
        Err(failure) => return (String::new(), Some(failure)),
    };
    let mut record = Vec::new();
    told.read_to_end(&mut record).unwrap();
    let mut text = String::new();
    said.read_to_string(&mut text).unwrap();
    drop(ours);
    // SAFETY: waits for a child of this process; no status is asked for.
    unsafe { libc::waitpid(first.pid, std::ptr::null_mut(), 0) };
    let record = <[u8; FAILURE_BYTES]>::try_from(record.as_slice()).ok();
    (text, record.and_then(|bytes| Failure::from_bytes(&bytes)))
}

/// Runs `body` while another thread holds the locks of standard output and error, and sleeps: were it in the allocator, the copy of this process
/// would have a lock of that as well, for which the first process would wait when it may.
fn with_locks_held<T>(body: impl FnOnce() -> T) -> T {
    let (held, released) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let holder = scope.spawn(|| {
            let _locks = (std::io::stdout().lock(), std::io::stderr().lock());
            held.store(true, Ordering::Release);
            while !released.load(Ordering::Acquire) {
                std::thread::park();
            }
        });
        while !held.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        let result = body();
        released.store(true, Ordering::Release);
        holder.thread().unpark();
        // Its end as a thread, not only of what it does: it gives back memory that this thread has taken.
        holder.join().unwrap();
        result
    })
}

/// One test at a time is armed, and no other forks meanwhile, which the host's probe does: that takes the locks of all arenas.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn project() -> (tempfile::TempDir, AbsPath) {
    let keep = tempfile::tempdir_in("/tmp").unwrap();
    let open = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap()
    };
    open(keep.path(), 0o755);
    std::fs::create_dir_all(keep.path().join("closed/open")).unwrap();
    for (name, mode) in [("script", 0o755), ("plain", 0o644)] {
        std::fs::write(keep.path().join(name), "echo entered\n").unwrap();
        open(&keep.path().join(name), mode);
    }
    let path = AbsPath::from_host(keep.path()).unwrap();
    (keep, path)
}

fn check(way: Way) {
    let _alone = alone();
    let host = host(way);
    let (id, has) = match way {
        Way::Direct => ("enter_guard::direct", host.way() == way),
        Way::UserNamespace => ("enter_guard::user_namespace", host.way() == way),
        Way::Bare => ("enter_guard::bare", host.landlock.abi >= ABI_TRUNCATE),
    };
    if !has {
        return skip(id, "this host or this user has not this way");
    }
    let (_keep, project) = project();
    for case in cases(way) {
        let prepared = prepared(&case, &host, &project);
        let (said, failure) = with_locks_held(|| enter(&case, &prepared));
        let found = match failure {
            Some(failure) => Expect::Failed(failure.step, failure.errno),
            None if said == SAID => Expect::Said,
            None => panic!("{case:?}: {said}"),
        };
        assert_eq!(found, case.expect, "{case:?}: {said}");
    }
}

#[test]
fn nothing_allocates_with_namespaces_made_directly() {
    check(Way::Direct);
}

#[test]
fn nothing_allocates_in_a_user_namespace() {
    check(Way::UserNamespace);
}

#[test]
fn nothing_allocates_without_namespaces() {
    check(Way::Bare);
}

/// The guard itself: a process of another number that allocates is ended, unless it is a parent.
#[test]
fn the_guard_ends_a_process_that_allocates() {
    let _alone = alone();
    allocator::arm();
    let ended = allocator::fork_and(|| drop(std::hint::black_box(Box::new(1_u64))));
    allocator::disarm();
    assert_eq!(ended, allocator::CAUGHT);
    allocator::arm();
    let ended = allocator::fork_and(|| {});
    allocator::disarm();
    assert_eq!(ended, 0);
    allocator::arm();
    let ended = allocator::fork_and(|| {
        // SAFETY: both sides go on to end.
        unsafe { libc::fork() };
    });
    allocator::disarm();
    assert_eq!(ended, allocator::CAUGHT);
    allocator::arm();
    let ended = allocator::fork_and(|| {
        allocator::fork_and(|| {});
        drop(std::hint::black_box(Box::new(1_u64)));
    });
    allocator::disarm();
    assert_eq!(ended, 0);
}
