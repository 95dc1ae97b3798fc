//! The sandbox's first process: born by clone, it enters what was prepared, starts the command, reaps, forwards signals, and ends
//! everything with it. In a PID namespace the kernel ends the rest when it ends; elsewhere it is the reaper of all that the
//! command starts and ends them one by one. Called by [`crate::start`] only.

mod broker;
mod command;
pub(in crate::sys) mod foreign;
mod keeper;
mod supervise;
mod terminal;

use super::abi::{CLONE_INTO_CGROUP, CLONE_PIDFD, check, check_int, errno};
use super::enter::{self, At as _};
use super::process::{exit, fork};
use crate::prepare::Prepared;
use crate::start::{Source, Wires};
use crate::step::{Failure, Step};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

/// Exit code of a first process that could not enter.
const FAILED: libc::c_int = 125;

/// Descriptors as numbers, for the child.
#[derive(Debug, Clone, Copy)]
struct Numbers {
    error: libc::c_int,
    control: libc::c_int,
    stdio: [Place; 3],
    size: Option<[u16; 2]>,
    /// The control group to be in: its directory, and its list of processes.
    group: Option<[libc::c_int; 2]>,
}

/// Where one of the command's standard descriptors comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Closed,
    Descriptor(libc::c_int),
    Terminal,
}

/// Starts the first process. Only a single-threaded process may call this: the child runs on a copy of its memory.
pub(crate) fn start(prepared: &Prepared, clone_flags: u64, wires: &Wires) -> Result<(OwnedFd, i32), Failure> {
    let numbers = Numbers {
        error: wires.error.as_raw_fd(),
        control: wires.control.as_raw_fd(),
        stdio: [&wires.stdio[0], &wires.stdio[1], &wires.stdio[2]].map(|source| match source {
            Source::Closed => Place::Closed,
            Source::Descriptor(descriptor) => Place::Descriptor(descriptor.as_raw_fd()),
            Source::Terminal => Place::Terminal,
        }),
        size: wires.size,
        group: wires.group.as_ref().map(|door| [door.directory.as_raw_fd(), door.processes.as_raw_fd()]),
    };
    let directory = numbers.group.map(|[directory, _]| directory);
    match born(clone_flags, directory).at(Step::Clone)? {
        Born::Parent(pidfd, child) => Ok((pidfd, child)),
        Born::Child(Membership::Had) => first(prepared, Numbers { group: None, ..numbers }),
        Born::Child(Membership::Lacking) => first(prepared, numbers),
    }
}

/// On which side of a birth a process finds itself.
enum Born {
    /// The descriptor of the child, and its number.
    Parent(OwnedFd, i32),
    Child(Membership),
}

/// Whether a new process is in its control group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Membership {
    Had,
    Lacking,
}

/// Makes the first process, in the control group of this directory where the call can; the descriptor of it is the parent's alone.
fn born(flags: u64, group: Option<libc::c_int>) -> Result<Born, i32> {
    let (flags, signal) = (flags | CLONE_PIDFD, u64::from(libc::SIGCHLD.cast_unsigned()));
    let mut membership = Membership::Had;
    let mut pidfd: libc::c_int = -1;
    let place = &raw mut pidfd;
    // SAFETY: all-zero is a valid set of arguments: no flag, no pointer.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = flags;
    arguments.exit_signal = signal;
    arguments.pidfd = place.expose_provenance() as u64;
    if let Some(group) = group {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::from(group.cast_unsigned());
    }
    let size = size_of::<libc::clone_args>();
    // SAFETY: as fork(2): no memory is shared; the child goes on in `first` and never returns.
    let child = match check(unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size) }) {
        // Containers refuse this call so, because a filter cannot look into its arguments; the older one takes the same flags, but for
        // the control group.
        Err(libc::ENOSYS) => {
            membership = Membership::Lacking;
            let none = std::ptr::null::<u8>();
            // SAFETY: as above; without a stack of its own the child goes on with a copy of this one.
            check(unsafe { libc::syscall(libc::SYS_clone, flags | signal, none, place, none, none) })?
        }
        child => child?,
    };
    let child = i32::try_from(child).map_err(|_| libc::EOVERFLOW)?;
    if child == 0 {
        return Ok(Born::Child(membership));
    }
    // SAFETY: the kernel just made this descriptor for us; nothing else knows it.
    Ok(Born::Parent(unsafe { OwnedFd::from_raw_fd(pidfd) }, child))
}

/// The whole life of the first process.
fn first(prepared: &Prepared, wires: Numbers) -> ! {
    // SAFETY: sets a property of this process only; files of the tree get exactly the modes they are given.
    let own = unsafe { libc::umask(0) };
    match enter(prepared, &wires, prepared.umask.unwrap_or(own)) {
        Ok(command) => supervise::until_the_end(prepared, wires.control, command),
        Err(failure) => fail(wires.error, failure),
    }
}

/// Enters, and starts the command.
fn enter(prepared: &Prepared, wires: &Numbers, umask: libc::mode_t) -> Result<supervise::Charge, Failure> {
    block_signals();
    if let Some([_, processes]) = wires.group {
        join(processes).at(Step::Group)?;
    }
    close_foreign(wires).at(Step::CloseDescriptors)?;
    enter::surroundings(prepared)?;
    if let Some(gate) = &prepared.gate {
        enter::gate::open(gate, wires.control)?;
    }
    enter::gate::open_inner(prepared.inner_sockets, wires.control)?;
    let terminal = match wires.size {
        Some(size) => Some(terminal::open(prepared, wires.control, size).at(Step::Terminal)?),
        None => None,
    };
    enter::privileges(prepared)?;
    if !prepared.own_pids {
        // SAFETY: sets a property of this process only.
        check_int(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }).at(Step::Fork)?;
    }
    let children = supervise::children().at(Step::SignalDescriptor)?;
    if prepared.fence.is_some() {
        keeper::start().at(Step::Keeper)?;
    }
    let handover = match &prepared.brokered {
        Some(_) => {
            enough_descriptors()?;
            Some(socket_pair().at(Step::Broker)?)
        }
        None => None,
    };
    // The child goes on in `command` and never returns.
    let leader = fork().at(Step::Fork)?;
    if leader == 0 {
        let from = command::Inherited { terminal, umask, handover: handover.map(|[_, theirs]| theirs) };
        let Err(failure) = command::become_command(prepared, wires, from);
        fail(wires.error, failure);
    }
    // The command's process has its own copies; here they would keep a pipe of the caller's open.
    enter::close(wires.error);
    for place in wires.stdio {
        if let Place::Descriptor(descriptor) = place {
            enter::close(descriptor);
        }
    }
    leave_output();
    let broker = handover.and_then(|[ours, theirs]| {
        enter::close(theirs);
        broker::start(prepared, ours, wires.control)
    });
    Ok(supervise::Charge { leader: Some(leader), children, terminal, broker })
}

/// Gives up the launcher's output and errors, which are the caller's: whoever reads them has their end when the run is over, also where this
/// process waits for a file system by then.
fn leave_output() {
    for number in [libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        // SAFETY: both are this process's; where there is no input nothing is changed.
        unsafe { libc::dup2(libc::STDIN_FILENO, number) };
    }
}

/// Moves this process to the control group with this list of processes. The launcher opened it, and with its rights it is written.
fn join(processes: libc::c_int) -> Result<(), i32> {
    let own = b"0";
    // SAFETY: one byte of a constant.
    let written = unsafe { libc::write(processes, own.as_ptr().cast(), own.len()) };
    if written < 0 { Err(errno()) } else { Ok(()) }
}

/// Closes what the launcher has open for itself. Its end of the control socket above all: while a copy of it is open here, the launcher's
/// end would not be noticed.
fn close_foreign(wires: &Numbers) -> Result<(), i32> {
    let number = |place: Place| match place {
        Place::Descriptor(descriptor) => descriptor,
        Place::Closed | Place::Terminal => wires.control,
    };
    let [input, output, errors] = wires.stdio.map(number);
    foreign::close_all_but([wires.error, wires.control, input, output, errors])
}

/// Descriptors that this process and its broker have open at most, while a call is performed.
const BROKER_DESCRIPTORS: libc::rlim_t = 25;

/// Fails where this process may have too few: a call of the command's would fail for it, as if the command had too few itself.
fn enough_descriptors() -> Result<(), Failure> {
    // SAFETY: all-zero is a valid limit.
    let mut now: libc::rlimit = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills a local structure.
    check_int(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut now) }).at(Step::Limits)?;
    let enough = if now.rlim_cur < BROKER_DESCRIPTORS { Err(libc::EMFILE) } else { Ok(()) };
    enough.at(Step::Broker)
}

/// A pair over which the command's process hands its listener to this one.
fn socket_pair() -> Result<[libc::c_int; 2], i32> {
    let mut pair = [-1; 2];
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    // SAFETY: the kernel writes two descriptors.
    check_int(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, pair.as_mut_ptr()) })?;
    Ok(pair)
}

/// Tells the failure and ends.
fn fail(to: libc::c_int, failure: Failure) -> ! {
    let bytes = failure.to_bytes();
    loop {
        // SAFETY: a local array, less than a pipe takes at once.
        let told = unsafe { libc::write(to, bytes.as_ptr().cast(), bytes.len()) };
        if told >= 0 || errno() != libc::EINTR {
            break;
        }
    }
    exit(FAILED)
}

/// No signal but the end interrupts the first process; it hears of its children through a descriptor.
fn block_signals() {
    set_mask(true);
}

fn set_mask(blocked: bool) {
    // SAFETY: all-zero is a valid set.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    if blocked {
        // SAFETY: fills a local set.
        unsafe { libc::sigfillset(&raw mut set) };
    }
    // SAFETY: sets the mask of the only thread.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()) };
}

type Nothing = std::convert::Infallible;

/// A step that either fails or never returns.
type Never = Result<Nothing, Failure>;
