//! From the first process's child to the command: group, terminal, descriptors, limits, filter, execve. As in `enter`, nothing
//! here allocates; a function that goes on in the command's place may.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use super::super::abi::{CLOSE_RANGE_CLOEXEC, check_int, errno};
use super::super::enter::{self, At as _, Done};
use super::super::process::exit;
use super::foreign::{FIRST_FOREIGN, LAST, close_all_but, close_range};
use super::{FAILED, Never, Nothing, Numbers, Place, set_mask};
use crate::broker::hand_over;
use crate::plan::LimitKind;
use crate::prepare::{Image, Inside, Prepared, Program};
use crate::step::{Failure, Step};

/// What the command's process has from the first one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inherited {
    /// The command's side of the terminal.
    pub(super) terminal: Option<libc::c_int>,
    /// The caller's.
    pub(super) umask: libc::mode_t,
    /// Over which the broker's listener goes to the first process.
    pub(super) handover: Option<libc::c_int>,
}

/// Becomes the command, or says which step failed.
pub(super) fn become_command(prepared: &Prepared, wires: &Numbers, from: Inherited) -> Never {
    let Inherited { terminal, umask, handover } = from;
    // SAFETY: the process has just been born; it starts a group of its own.
    check_int(unsafe { libc::setpgid(0, 0) }).at(Step::ProcessGroup)?;
    if let Some(terminal) = terminal {
        foreground(terminal).at(Step::Foreground)?;
    }
    descriptors(wires, terminal).at(Step::Descriptors)?;
    // SAFETY: sets a property of this process only.
    unsafe { libc::umask(umask) };
    // SAFETY: the path is a C string.
    check_int(unsafe { libc::chdir(prepared.cwd.as_ptr()) }).at(Step::WorkingDirectory)?;
    limits(prepared)?;
    close_on_exec([wires.error, handover.unwrap_or(wires.error)]).at(Step::CloseDescriptors)?;
    // SAFETY: the runtime of the launcher ignores this signal, the command must not inherit that.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    // SAFETY: a launcher that records ignores this one.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_DFL) };
    set_mask(false);
    enter::restrict(prepared.fence.as_ref()).at(Step::Fence)?;
    enter::restrict(prepared.reading.as_ref()).at(Step::Reading)?;
    if prepared.confined {
        enter::filter(prepared).at(Step::Seccomp)?;
    }
    if let (Some(brokered), Some(handover)) = (&prepared.brokered, handover) {
        // SAFETY: the socket is open until the command is executed.
        let handover = unsafe { BorrowedFd::borrow_raw(handover) };
        hand_over(brokered.filter.insns(), handover).map_err(|failure| failure.errno).at(Step::Broker)?;
    }
    match &prepared.image {
        Image::Program(program) => {
            if prepared.brokered.as_ref().is_some_and(|brokered| brokered.recorded.is_some()) {
                // Its execution is recorded like any other.
                readable()?;
            }
            execute(program)
        }
        Image::Function(function) => go_on(prepared, *function),
    }
}

/// Goes on with a function of this program, which has of all descriptors only the standard ones. Closing the rest also tells that no step
/// has failed, as execve(2) does.
fn go_on(prepared: &Prepared, function: Inside) -> Never {
    if prepared.brokered.is_some() {
        readable()?;
    }
    // A file that grows beyond its limit is an error to be told, not an end.
    // SAFETY: sets a property of this process only.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    close_range(FIRST_FOREIGN, LAST, 0).at(Step::Execute)?;
    // Whatever it does, it does not return to what the launcher was about.
    exit(std::panic::catch_unwind(function).unwrap_or(FAILED))
}

/// The broker reads the paths of a call out of the caller's memory, which a command's execution makes readable for it.
fn readable() -> Done {
    // SAFETY: sets a property of this process only.
    check_int(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) }).at(Step::Execute).map(drop)
}

/// Makes the command's group the one that the terminal talks to. Signals are blocked, so the kernel does not stop it for that.
fn foreground(terminal: libc::c_int) -> Result<(), i32> {
    // SAFETY: asks for the process's own id.
    let own = unsafe { libc::getpid() };
    // SAFETY: the kernel reads one id.
    check_int(unsafe { libc::ioctl(terminal, libc::TIOCSPGRP, &raw const own) }).map(drop)
}

/// Puts standard input, output and error in their places. All sources are above them, so none is overwritten on the way.
fn descriptors(wires: &Numbers, terminal: Option<libc::c_int>) -> Result<(), i32> {
    for (target, place) in (0..).zip(wires.stdio) {
        let source = match place {
            Place::Closed => {
                enter::close(target);
                continue;
            }
            Place::Descriptor(descriptor) => descriptor,
            Place::Terminal => terminal.ok_or(libc::ENOTTY)?,
        };
        // SAFETY: both are numbers; the new descriptor is the command's.
        check_int(unsafe { libc::dup3(source, target, 0) })?;
    }
    Ok(())
}

fn limits(prepared: &Prepared) -> Done {
    for (item, (kind, value)) in prepared.limits.iter().enumerate() {
        let which = match kind {
            LimitKind::OpenFiles => libc::RLIMIT_NOFILE,
            LimitKind::FileSize => libc::RLIMIT_FSIZE,
            LimitKind::AddressSpace => libc::RLIMIT_AS,
            LimitKind::Processes => libc::RLIMIT_NPROC,
            LimitKind::Core => libc::RLIMIT_CORE,
        };
        // SAFETY: all-zero is a valid structure to be filled.
        let mut now: libc::rlimit = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel fills the structure.
        check_int(unsafe { libc::getrlimit(which, &raw mut now) }).item(Step::Limits, item)?;
        let value = (*value).min(now.rlim_max);
        let wanted = libc::rlimit { rlim_cur: value, rlim_max: value };
        // SAFETY: the kernel reads the structure.
        check_int(unsafe { libc::setrlimit(which, &raw const wanted) }).item(Step::Limits, item)?;
    }
    Ok(())
}

/// Whatever else is open closes when the command is executed. Linux before 5.11 does not know how to say that of a range:
/// there all but what is needed until then is closed at once. What is needed was made to close.
fn close_on_exec(needed: [libc::c_int; 2]) -> Result<(), i32> {
    match close_range(FIRST_FOREIGN, LAST, CLOSE_RANGE_CLOEXEC) {
        Err(libc::EINVAL) => {}
        done => return done,
    }
    close_all_but(needed)
}

/// Executes the first candidate that can be (execvp(3)): what is missing is passed over, what may not be executed is
/// remembered, and a file without a known format is given to the shell.
fn execute(program: &Program) -> Never {
    let mut refused = libc::ENOENT;
    for (item, candidate) in program.candidates.iter().enumerate() {
        let failed = exec(candidate, program.argv.pointers.as_ptr(), program);
        match failed {
            libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT => {}
            libc::EACCES => refused = libc::EACCES,
            libc::ENOEXEC => return by_shell(candidate, program, item),
            errno => return Err(errno).item(Step::Execute, item),
        }
    }
    Err(refused).at(Step::Execute)
}

fn by_shell(candidate: &CStr, program: &Program, item: usize) -> Result<Nothing, Failure> {
    /// Arguments that fit: more would need memory.
    const MAX_SHELL_ARGUMENTS: usize = 1024;
    let mut argv = [std::ptr::null(); MAX_SHELL_ARGUMENTS];
    let count = program.shell_argv.len();
    if count > MAX_SHELL_ARGUMENTS {
        return Err(libc::E2BIG).item(Step::Execute, item);
    }
    argv[..count].copy_from_slice(&program.shell_argv);
    argv[1] = candidate.as_ptr();
    Err(exec(&program.shell, argv.as_ptr(), program)).item(Step::Execute, item)
}

/// Returns only where it failed, with the error number.
fn exec(path: &CStr, argv: *const *const libc::c_char, program: &Program) -> i32 {
    // SAFETY: C strings, and arrays of them that end with a null pointer.
    unsafe { libc::execve(path.as_ptr(), argv, program.envp.pointers.as_ptr()) };
    errno()
}
