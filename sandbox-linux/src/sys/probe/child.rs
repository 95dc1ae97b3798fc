//! Trials in a child: forked, run one after the other, each result told at once over a pipe.

mod mounting;

use std::io::{PipeReader, PipeWriter, Read as _};
use std::os::fd::AsRawFd as _;

use super::super::abi::{CLONE_INTO_CGROUP, check, errno, install_filter, owned};
use super::super::enter::gate;
use super::super::process::{exit, reap};
use super::{Act, Trial};
use crate::bpf::{Action, Insn, Op};
use crate::host::{Fact, Step};

/// Told for a trial that was not made, because what it needs did not work. Error numbers are positive.
const UNTRIED: i32 = -1;
/// Most trials in one child: more than any set, so that results fit a fixed array in the child.
const MAX_TRIALS: usize = 32;
/// Longest wait for a child. Nothing in it blocks; the bound is for a machine that does.
const PATIENCE_MS: i32 = 5_000;

/// A child at work. Dropping it without [`Running::facts`] reaps it all the same.
pub(crate) struct Running<'a> {
    trials: &'a [Trial<'a>],
    state: State,
}

enum State {
    /// Nothing was started; every trial has this fact.
    NotStarted(Fact),
    Started {
        reader: Option<PipeReader>,
        child: libc::pid_t,
    },
}

/// Runs the trials in order in one child and answers one fact for each.
pub(crate) fn in_child(trials: &[Trial<'_>]) -> Vec<Fact> {
    start(trials).facts()
}

/// Starts the trials in one child. Several children may work at once.
pub(crate) fn start<'a>(trials: &'a [Trial<'a>]) -> Running<'a> {
    let state = if trials.len() > MAX_TRIALS {
        State::NotStarted(Fact::Untried)
    } else {
        match std::io::pipe() {
            Ok((reader, writer)) => fork_to_work(trials, reader, &writer),
            Err(error) => {
                State::NotStarted(Fact::Refused { at: Step::Pipe, errno: error.raw_os_error().unwrap_or(0) })
            }
        }
    };
    Running { trials, state }
}

fn fork_to_work(trials: &[Trial<'_>], reader: PipeReader, writer: &PipeWriter) -> State {
    // SAFETY: the child calls `run` only, which makes system calls over data prepared before the fork, and `_exit`.
    let child = unsafe { libc::fork() };
    match child {
        -1 => State::NotStarted(Fact::Refused { at: Step::Fork, errno: errno() }),
        0 => {
            run(trials, writer.as_raw_fd());
            exit(0)
        }
        _ => State::Started { reader: Some(reader), child },
    }
}

impl Running<'_> {
    /// Waits for the child and answers one fact for each trial.
    pub(crate) fn facts(mut self) -> Vec<Fact> {
        match &mut self.state {
            State::NotStarted(fact) => vec![*fact; self.trials.len()],
            State::Started { reader, child } => {
                let results = reader.take().map(|reader| read_results(reader, self.trials.len(), *child));
                facts(self.trials, &results.unwrap_or_default())
            }
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let State::Started { child, .. } = self.state {
            reap(child);
        }
    }
}

/// Results as facts. A trial without a result is where the child was killed; those after it were not made.
fn facts(trials: &[Trial<'_>], results: &[i32]) -> Vec<Fact> {
    let fact = |(at, trial): (usize, &Trial<'_>)| match results.get(at) {
        Some(0) => Fact::Works,
        Some(&UNTRIED) => Fact::Untried,
        Some(&errno) => Fact::Refused { at: trial.step, errno },
        None if at == results.len() => Fact::Killed { at: trial.step },
        None => Fact::Untried,
    };
    trials.iter().enumerate().map(fact).collect()
}

/// Reads one number per trial, or less if the child ends before.
fn read_results(mut reader: PipeReader, count: usize, child: libc::pid_t) -> Vec<i32> {
    let mut bytes = Vec::with_capacity(count * 4);
    let mut chunk = [0; MAX_TRIALS * 4];
    while bytes.len() < count * 4 {
        let mut wait = libc::pollfd { fd: reader.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: `wait` is one valid entry.
        let ready = unsafe { libc::poll(&raw mut wait, 1, PATIENCE_MS) };
        if ready == 0 {
            // SAFETY: the child is ours and not reaped yet, so the number is still its own.
            unsafe { libc::kill(child, libc::SIGKILL) };
        }
        match reader.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    bytes.as_chunks::<4>().0.iter().map(|&number| i32::from_ne_bytes(number)).collect()
}

/// The child's work. Nothing here allocates.
fn run(trials: &[Trial<'_>], to: libc::c_int) {
    // Whatever happens to the prober, nothing of it stays.
    // SAFETY: sets a property of this process only.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    // A prober that cannot be dumped does not own its files of /proc, and user namespaces are set up through those.
    // SAFETY: sets a property of this process only.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) };
    let mut results = [UNTRIED; MAX_TRIALS];
    for (at, trial) in trials.iter().enumerate() {
        let met = trial.needs.iter().flatten().all(|&needed| results.get(needed) == Some(&0));
        let result = if met { perform(trial.act) } else { UNTRIED };
        if let Some(slot) = results.get_mut(at) {
            *slot = result;
        }
        let bytes = result.to_ne_bytes();
        // SAFETY: four bytes of a local array, less than a pipe takes at once.
        let told = unsafe { libc::write(to, bytes.as_ptr().cast(), bytes.len()) };
        if told != 4 {
            return;
        }
    }
}

/// Does one thing; 0 or the error number.
fn perform(act: Act<'_>) -> i32 {
    let result = match act {
        // SAFETY: changes this child only.
        Act::Unshare(flag) => check(unsafe { libc::unshare(flag) }.into()),
        Act::Write { path, text } => write(path, text),
        Act::MakePrivate(tree) => mount(None, tree, libc::MS_REC | libc::MS_PRIVATE, c""),
        Act::Mount { kind, at, data } => {
            mount(Some(kind), at, libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC, data)
        }
        // SAFETY: the path is a C string.
        Act::MakeDirectory(path) => check(unsafe { libc::mkdir(path.as_ptr(), 0o700) }.into()),
        // SAFETY: sets a property of this child only.
        Act::NoNewPrivs => check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }.into()),
        Act::SeccompFilter { flags } => seccomp(flags),
        Act::LandlockRestrict => landlock(),
        Act::DetachedMount(kind) => mounting::make(kind).map(|_| 0),
        Act::CopyMount(at) => mounting::copy(at).map(|_| 0),
        Act::ChangeMount(at) => mounting::change(at),
        Act::AttachMount(at) => mounting::attach(at),
        Act::PivotRoot(at) => mounting::pivot(at),
        Act::GateLinks(gate) => gate::links(gate).map(|()| 0),
        Act::GateRules(gate) => gate::try_table(gate).map(|()| 0),
        Act::Fork => fork(),
        Act::CloneInto(group) => clone_into(group),
    };
    result.err().unwrap_or(0)
}

fn write(path: &std::ffi::CStr, text: &[u8]) -> Result<libc::c_long, i32> {
    // SAFETY: the path is a C string; the descriptor is closed below.
    let file = owned(unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) }.into())?;
    // SAFETY: the slice is valid for its length.
    let written = unsafe { libc::write(file.as_raw_fd(), text.as_ptr().cast(), text.len()) };
    if written < 0 { Err(errno()) } else { Ok(0) }
}

fn mount(
    kind: Option<&std::ffi::CStr>,
    at: &std::ffi::CStr,
    flags: libc::c_ulong,
    data: &std::ffi::CStr,
) -> Result<libc::c_long, i32> {
    let kind = kind.map_or(std::ptr::null(), std::ffi::CStr::as_ptr);
    // SAFETY: C strings or null; acts on the mount namespace this child made for itself before.
    check(unsafe { libc::mount(kind, at.as_ptr(), kind, flags, data.as_ptr().cast()) }.into())
}

fn seccomp(flags: u64) -> Result<libc::c_long, i32> {
    install_filter(&[Insn::new(Op::Return(Action::Allow.encode()))], flags)
}

fn landlock() -> Result<libc::c_long, i32> {
    /// `LANDLOCK_ACCESS_FS_EXECUTE`: known to every ABI.
    const HANDLED: u64 = 1;
    let handled = HANDLED;
    let (attributes, size) = (&raw const handled, size_of::<u64>());
    // SAFETY: the first ABI's attributes are one u64.
    let ruleset = owned(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, attributes, size, 0) })?;
    // SAFETY: restricts this child only.
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) })
}

/// Makes a process in a control group, which ends at once (clone3(2), `CLONE_INTO_CGROUP`, Linux 5.7).
fn clone_into(group: &std::ffi::CStr) -> Result<libc::c_long, i32> {
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the path is a C string.
    let group = owned(unsafe { libc::open(group.as_ptr(), flags) }.into())?;
    // SAFETY: all-zero is a valid set of arguments: no flag, no pointer.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = CLONE_INTO_CGROUP;
    arguments.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    arguments.cgroup = u64::from(group.as_raw_fd().cast_unsigned());
    let size = size_of::<libc::clone_args>();
    // SAFETY: as fork(2): no memory is shared, and the new process ends below.
    let child = check(unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size) })?;
    match libc::pid_t::try_from(child) {
        Ok(0) => exit(0),
        Ok(child) => reap(child),
        Err(_) => {}
    }
    Ok(0)
}

/// Goes on as the new process. The old one waits for its end and ends.
fn fork() -> Result<libc::c_long, i32> {
    // SAFETY: both sides go on with system calls over data prepared before.
    let child = unsafe { libc::fork() };
    match child {
        -1 => Err(errno()),
        0 => {
            // SAFETY: sets a property of this process only.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            Ok(0)
        }
        _ => {
            reap(child);
            exit(0)
        }
    }
}
