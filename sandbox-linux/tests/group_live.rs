//! A sandbox's control group on this machine, with no limit: made, entered at birth, ended, and gone, whoever is ended.
//!
//! What the limits do is tried in the kernel matrix (`tests/kernels/limits.sh`), where controllers can be had.
#![cfg(target_os = "linux")]

#[path = "support/confine.rs"]
#[expect(dead_code, reason = "the filter is installed in this thread, not before a program")]
mod confine;
#[path = "support/skip.rs"]
mod skip;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, PipeReader, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use skip::skip;
use weir_protocol::AbsPath;
use weir_protocol::policy::{
    Confinement, Environment, Filesystem, FilesystemParts, Network, NetworkParts, Origin, PolicyParts,
    Resources, Sourced,
};
use weir_sandbox_linux::bpf::{Action, Arch, Assembler, Errno, Program, SeccompData, Test};
use weir_sandbox_linux::compile::{Facts, compile};
use weir_sandbox_linux::group::{Door, Group, GroupError};
use weir_sandbox_linux::host::Host;
use weir_sandbox_linux::plan::{self, Controller, Credentials, GroupLimit, Swap};
use weir_sandbox_linux::prepare::{Command as Inside, Prepared};
use weir_sandbox_linux::seccomp;
use weir_sandbox_linux::start::{Source, Wires, start};
use weir_sandbox_linux::survey::Survey;

#[cfg(target_arch = "x86_64")]
const HERE: Arch = Arch::X86_64;
#[cfg(target_arch = "aarch64")]
const HERE: Arch = Arch::Aarch64;

/// Tells a copy of this binary below which group to make one.
const BELOW: &str = "WEIR_TEST_GROUP_BELOW";
/// Most ticks of a millisecond until a group must be gone.
const MOST_TICKS: u32 = 5_000;

/// Below which group this process may make others.
fn below() -> Option<String> {
    let found = Host::probe().cgroups.version2?;
    found.child.and(found.join).works().then_some(found.below)
}

fn without_limits(below: &str) -> plan::Group {
    plan::Group { below: below.to_owned(), enable: Vec::new(), limits: Vec::new(), swap: Swap::Absent }
}

/// The groups below this one that a process made.
fn groups_of(below: &str, process: u32) -> Vec<PathBuf> {
    let ours = format!("weir-{process}-");
    let entries = std::fs::read_dir(below).into_iter().flatten().flatten();
    let paths = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&ours));
    paths.map(|entry| entry.path()).collect()
}

/// Waits for a millisecond at most.
fn tick() {
    // SAFETY: no entry is watched.
    unsafe { libc::poll(std::ptr::null_mut(), 0, 1) };
}

fn wait_until_gone(group: &Path) {
    for _ in 0..MOST_TICKS {
        if !group.exists() {
            return;
        }
        tick();
    }
    panic!("{} is still there", group.display());
}

/// A process in the group that waits for the end of its input.
fn occupant(door: &Door) -> (Child, PipeReader) {
    let (output, theirs) = std::io::pipe().unwrap_or_else(|error| panic!("{error}"));
    let mut command = Command::new("cat");
    let child = command.stdin(Stdio::piped()).stdout(theirs).spawn();
    let child = child.unwrap_or_else(|error| panic!("{error}"));
    let number = child.id().to_string();
    let processes = std::fs::File::from(door.processes.try_clone().unwrap_or_else(|error| panic!("{error}")));
    let moved = std::io::Write::write_all(&mut &processes, number.as_bytes());
    assert!(moved.is_ok(), "{moved:?}");
    (child, output)
}

#[test]
fn a_group_goes_with_what_is_in_it() {
    let Some(below) = below() else {
        return skip("group::made", "no version 2 control group can be made here");
    };
    let group = Group::make(&without_limits(&below)).unwrap_or_else(|error| panic!("{error}"));
    let made = groups_of(&below, std::process::id());
    assert_eq!(made.len(), 1, "{made:?}");
    let door = group.door().unwrap_or_else(|error| panic!("{error}"));
    let (mut child, mut output) = occupant(&door);
    let inside = std::fs::read_to_string(made[0].join("tree/cgroup.procs"));
    assert_eq!(inside.ok(), Some(format!("{}\n", child.id())));
    drop(group);
    let mut rest = String::new();
    assert!(output.read_to_string(&mut rest).is_ok());
    assert_eq!(
        child.wait().ok().and_then(|status| std::os::unix::process::ExitStatusExt::signal(&status)),
        Some(9)
    );
    assert_eq!(groups_of(&below, std::process::id()), Vec::<PathBuf>::new());
}

/// A group that gives no controller to those below it, and goes with the value.
struct Barren(PathBuf);

impl Drop for Barren {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// A limit that cannot be set is told with its file, and the group that was made for it is gone.
#[test]
fn what_cannot_be_set_leaves_nothing() {
    let Some(below) = below() else {
        return skip("group::refused", "no version 2 control group can be made here");
    };
    let barren = Barren(Path::new(&below).join(format!("weir-test-{}", std::process::id())));
    let made = std::fs::create_dir(&barren.0);
    assert!(made.is_ok(), "{made:?}");
    let below = barren.0.to_string_lossy().into_owned();
    let limits = vec![GroupLimit { controller: Controller::Memory, value: 1 << 30 }];
    let plan = plan::Group { limits, ..without_limits(&below) };
    let refused = Group::make(&plan).map(drop);
    let (file, text) = ("memory.max", (1_u64 << 30).to_string());
    assert_eq!(refused, Err(GroupError::Write { below: below.clone(), file, text, errno: libc::ENOENT }));
    assert_eq!(groups_of(&below, std::process::id()), Vec::<PathBuf>::new());
    // Below a group of a sandbox there is no other.
    let group = Group::make(&without_limits(&below)).unwrap_or_else(|error| panic!("{error}"));
    let inside = groups_of(&below, std::process::id()).remove(0).to_string_lossy().into_owned();
    let refused = Group::make(&without_limits(&inside)).map(drop);
    assert_eq!(refused, Err(GroupError::Make { below: inside, errno: libc::EAGAIN }));
    drop(group);
}

/// Not a test of its own: what the copy runs that is killed.
#[test]
fn group_for_another_test() {
    let Some(below) = std::env::var_os(BELOW) else { return };
    let below = below.to_string_lossy().into_owned();
    let group = Group::make(&without_limits(&below)).unwrap_or_else(|error| panic!("{error}"));
    let door = group.door().unwrap_or_else(|error| panic!("{error}"));
    let (child, _output) = occupant(&door);
    let own = std::process::id();
    let told =
        std::fs::write(format!("/proc/self/fd/{}", libc::STDERR_FILENO), format!("{own} {}\n", child.id()));
    assert!(told.is_ok(), "{told:?}");
    let mut rest = String::new();
    let _ = std::io::stdin().read_to_string(&mut rest);
}

/// Whoever made the group is killed: what is in it and the group itself go all the same.
#[test]
fn a_group_goes_when_its_maker_is_killed() {
    let Some(below) = below() else {
        return skip("group::killed", "no version 2 control group can be made here");
    };
    let exe = std::env::current_exe().unwrap_or_else(|error| panic!("{error}"));
    let mut command = Command::new(exe);
    command.args(["--exact", "group_for_another_test", "--nocapture"]).env(BELOW, &below);
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut maker = spawned.unwrap_or_else(|error| panic!("{error}"));
    let mut line = String::new();
    let told = maker.stderr.take().map(|told| BufReader::new(told).read_line(&mut line));
    assert!(matches!(told, Some(Ok(1..))), "{told:?}");
    let made = groups_of(&below, maker.id());
    let occupant: u32 = line.trim().rsplit(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0);
    assert_eq!(made.len(), 1, "{line}");
    let inside = std::fs::read_to_string(made[0].join("tree/cgroup.procs"));
    assert_eq!(inside.ok(), Some(format!("{occupant}\n")), "{line}");
    assert!(maker.kill().is_ok() && maker.wait().is_ok());
    wait_until_gone(&made[0]);
}

/// The plan of the profile that confines nothing, to run one program in a group.
fn prepared(host: &Host, argv: &[&str]) -> Prepared {
    let origin = || Origin::implied("a test");
    let policy = PolicyParts {
        profile: "test".to_owned(),
        confinement: Sourced { value: Confinement::Unrestricted, origin: origin() },
        filesystem: Filesystem::new(FilesystemParts::default()),
        network: Network::new(NetworkParts::default()),
        resources: Resources::default(),
        environment: Environment::default(),
        degradations: BTreeMap::new(),
        kernel: BTreeMap::new(),
        background: weir_protocol::policy::background_ends(),
    };
    let own = Credentials { uid: host.identity.uid, gid: host.identity.gid, groups: Vec::new() };
    let survey = Survey::default();
    let plan = compile(&policy.into(), &Facts::new(host, &survey, &own));
    let plan = plan.unwrap_or_else(|error| panic!("{error}"));
    let argv = argv.iter().map(|word| word.as_bytes().to_vec()).collect();
    let env = vec![(b"PATH".to_vec(), b"/usr/bin:/bin".to_vec())];
    Prepared::new(&plan, &Inside { argv, env, cwd: AbsPath::root(), umask: None }, &own)
        .unwrap_or_else(|error| panic!("{error}"))
}

/// What a command in a group says of the group it is in.
fn said_inside(below: &str) -> (String, Option<PathBuf>) {
    let group = Group::make(&without_limits(below)).unwrap_or_else(|error| panic!("{error}"));
    let made = groups_of(below, std::process::id()).into_iter().next();
    let prepared = prepared(&Host::presumed(), &["grep", "^0::", "/proc/self/cgroup"]);
    let (mut said, output) = std::io::pipe().unwrap_or_else(|error| panic!("{error}"));
    let (_told, error) = std::io::pipe().unwrap_or_else(|error| panic!("{error}"));
    let pair = std::os::unix::net::UnixDatagram::pair().unwrap_or_else(|error| panic!("{error}"));
    let output: OwnedFd = output.into();
    let wires = Wires {
        error: error.into(),
        control: pair.1.into(),
        stdio: [Source::Closed, Source::Descriptor(output), Source::Closed],
        size: None,
        group: group.door().ok(),
    };
    let first = start(&prepared, &wires).unwrap_or_else(|failure| panic!("{failure}"));
    drop(wires);
    let mut text = String::new();
    assert!(said.read_to_string(&mut text).is_ok());
    // SAFETY: waits for a child of this process; no status is asked for.
    unsafe { libc::waitpid(first.pid, std::ptr::null_mut(), 0) };
    (text, made)
}

/// Answers as a container's filter does where it cannot look into the arguments.
fn without_clone3() -> Program {
    let clone3 = seccomp::by_name("clone3").and_then(|call| call.number(HERE)).map(u32::from);
    let mut asm = Assembler::new();
    let (call, other) = (asm.label(), asm.label());
    asm.load(SeccompData::NR);
    asm.branch(Test::Equal, clone3.unwrap_or(u32::MAX), call, other);
    asm.bind(call);
    asm.answer(Action::Errno(Errno::ENOSYS));
    asm.bind(other);
    asm.answer(Action::Allow);
    asm.finish().and_then(Program::new).unwrap_or_else(|defect| panic!("{defect}"))
}

#[test]
fn the_command_is_in_the_group_from_its_birth() {
    let Some(below) = below() else {
        return skip("group::entered", "no version 2 control group can be made here");
    };
    for filter in [None, Some(without_clone3())] {
        let is_filtered = filter.is_some();
        if let Some(filter) = filter {
            assert!(confine::install(filter.insns()));
        }
        let (text, made) = said_inside(&below);
        let name = made.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_else(|| panic!("no group was made"));
        assert!(text.trim_end().ends_with(&format!("/{name}/tree")), "filtered {is_filtered}: {text}");
    }
}
