//! System calls of the launcher on macOS that have no safe form: events, processes, and becoming a program.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

use weir_sandbox_macos::launch::tree::Process;

use crate::launch::sys::{Account, account};

/// Most events that are taken at once.
const MAX_EVENTS: usize = 64;

/// Room for processes that start while they are counted.
const SPARE_PROCESSES: usize = 64;

/// Something that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// This descriptor can be read, or has ended.
    Readable(RawFd),
    /// A process that is watched has started another or has ended, or a child has changed.
    Process,
}

/// A kqueue(2). It is nobody's but this process's: a child does not have it.
#[derive(Debug)]
pub(super) struct Queue(OwnedFd);

impl Queue {
    /// A queue that hears of each change of a child.
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: takes nothing and makes a descriptor.
        let made = unsafe { libc::kqueue() };
        if made < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was made just now and nobody else owns it.
        let queue = Self(unsafe { OwnedFd::from_raw_fd(made) });
        rustix::io::fcntl_setfd(&queue.0, rustix::io::FdFlags::CLOEXEC)?;
        queue.add(number(libc::SIGCHLD)?, libc::EVFILT_SIGNAL, libc::EV_CLEAR, 0)?;
        Ok(queue)
    }

    /// Hears whenever `descriptor` can be read, for as long as it is open.
    pub(super) fn watch_readable(&self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        self.add(number(descriptor.as_raw_fd())?, libc::EVFILT_READ, 0, 0)
    }

    /// Hears when a process starts another, and of its end. One that has ended already is an error.
    pub(super) fn watch_process(&self, pid: i32) -> io::Result<()> {
        self.add(number(pid)?, libc::EVFILT_PROC, libc::EV_CLEAR, libc::NOTE_EXIT | libc::NOTE_FORK)
    }

    fn add(&self, ident: usize, filter: i16, flags: u16, fflags: u32) -> io::Result<()> {
        let (flags, udata) = (flags | libc::EV_ADD, ptr::null_mut());
        let change = libc::kevent { ident, filter, flags, fflags, data: 0, udata };
        // SAFETY: one change is read, and there is no room for events.
        let done = unsafe {
            libc::kevent(self.0.as_raw_fd(), &raw const change, 1, ptr::null_mut(), 0, ptr::null())
        };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Waits for something to happen, at most for so long. A signal interrupts nothing but the time.
    pub(super) fn wait(&self, longest: Option<Duration>) -> io::Result<Vec<Seen>> {
        let longest = longest.map(|longest| libc::timespec {
            tv_sec: longest.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: longest.subsec_nanos().into(),
        });
        let longest = longest.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: all-zero is a valid event.
        let mut events: [libc::kevent; MAX_EVENTS] = unsafe { std::mem::zeroed() };
        let room = libc::c_int::try_from(events.len()).unwrap_or(1);
        // SAFETY: the kernel fills at most as many events as there is room for, and reads the time.
        let count =
            unsafe { libc::kevent(self.0.as_raw_fd(), ptr::null(), 0, events.as_mut_ptr(), room, longest) };
        if count < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(Vec::new()) } else { Err(error) };
        }
        let seen = |event: &libc::kevent| match event.filter {
            libc::EVFILT_READ => RawFd::try_from(event.ident).ok().map(Seen::Readable),
            _ => Some(Seen::Process),
        };
        Ok(events.iter().take(usize::try_from(count).unwrap_or(0)).filter_map(seen).collect())
    }
}

fn number(value: i32) -> io::Result<usize> {
    usize::try_from(value).map_err(io::Error::other)
}

/// What a program is started with.
#[derive(Debug)]
pub(super) struct Program {
    /// Its path.
    pub(super) path: CString,
    /// Its arguments, its own name first.
    pub(super) arguments: Vec<CString>,
    /// Its variables.
    pub(super) environment: Vec<CString>,
    /// Where it starts.
    pub(super) directory: CString,
    /// `POSIX_SPAWN_…`.
    pub(super) flags: libc::c_int,
}

/// Makes this process the program (posix_spawn(2) with `POSIX_SPAWN_SETEXEC`), with these as its standard descriptors and no other. Comes
/// back only where that fails.
pub(super) fn become_program(program: &Program, stdio: &[Option<RawFd>; 3]) -> io::Error {
    spawn(program, stdio).err().unwrap_or_else(|| io::ErrorKind::Other.into())
}

fn spawn(program: &Program, stdio: &[Option<RawFd>; 3]) -> io::Result<()> {
    let attributes = attributes(program.flags)?;
    let actions = actions(&program.directory, stdio)?;
    let arguments = pointers(&program.arguments);
    let environment = pointers(&program.environment);
    // SAFETY: both lists end with a null pointer, and everything that is pointed to lives until the call is over.
    checked(unsafe {
        libc::posix_spawn(
            ptr::null_mut(),
            program.path.as_ptr(),
            &raw const actions,
            &raw const attributes,
            arguments.as_ptr(),
            environment.as_ptr(),
        )
    })
}

/// The process that asks for them becomes the program or ends, so that nothing is given back.
fn attributes(flags: libc::c_int) -> io::Result<libc::posix_spawnattr_t> {
    let flags = libc::c_short::try_from(flags).map_err(io::Error::other)?;
    let mut attributes: libc::posix_spawnattr_t = ptr::null_mut();
    let at = &raw mut attributes;
    // SAFETY: fills what `at` points to.
    checked(unsafe { libc::posix_spawnattr_init(at) })?;
    // SAFETY: all-zero is a valid set.
    let (mut every, mut none): (libc::sigset_t, libc::sigset_t) = unsafe { std::mem::zeroed() };
    // SAFETY: fills the set.
    unsafe { libc::sigfillset(&raw mut every) };
    // SAFETY: as above.
    unsafe { libc::sigemptyset(&raw mut none) };
    // SAFETY: the attributes were initialized above and the sets live; likewise in the next three.
    checked(unsafe { libc::posix_spawnattr_setsigdefault(at, &raw const every) })?;
    // SAFETY: as above.
    checked(unsafe { libc::posix_spawnattr_setsigmask(at, &raw const none) })?;
    // SAFETY: as above. 0 is a group of the program's own.
    checked(unsafe { libc::posix_spawnattr_setpgroup(at, 0) })?;
    // SAFETY: as above.
    checked(unsafe { libc::posix_spawnattr_setflags(at, flags) })?;
    Ok(attributes)
}

fn actions(directory: &CStr, stdio: &[Option<RawFd>; 3]) -> io::Result<libc::posix_spawn_file_actions_t> {
    let mut actions: libc::posix_spawn_file_actions_t = ptr::null_mut();
    let at = &raw mut actions;
    // SAFETY: fills what `at` points to.
    checked(unsafe { libc::posix_spawn_file_actions_init(at) })?;
    // SAFETY: the actions were initialized above and take a copy of the path.
    checked(unsafe { libc::posix_spawn_file_actions_addchdir_np(at, directory.as_ptr()) })?;
    for (standard, own) in (0..).zip(stdio) {
        if let Some(own) = own {
            // SAFETY: the actions were initialized above. What is named stays open in the program.
            checked(unsafe { libc::posix_spawn_file_actions_adddup2(at, *own, standard) })?;
        }
    }
    Ok(actions)
}

/// What posix_spawn(2) and its kin return is the error itself.
fn checked(code: libc::c_int) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
}

fn pointers(strings: &[CString]) -> Vec<*mut libc::c_char> {
    strings.iter().map(|string| string.as_ptr().cast_mut()).chain([ptr::null_mut()]).collect()
}

/// Ends this process at once: nothing of what it has from its parent is flushed or tidied up.
pub(super) fn leave(code: i32) -> ! {
    // SAFETY: only ends this process.
    unsafe { libc::_exit(code) }
}

/// Every process that this one may look at, without those that have ended and are not reaped.
pub(super) fn table() -> io::Result<Vec<Process>> {
    let mut pids: Vec<libc::pid_t> = Vec::new();
    loop {
        let bytes = libc::c_int::try_from(pids.len() * size_of::<libc::pid_t>()).map_err(io::Error::other)?;
        let room = if pids.is_empty() { ptr::null_mut() } else { pids.as_mut_ptr().cast() };
        // SAFETY: the kernel fills at most so many bytes; without room it only counts.
        let count = unsafe { libc::proc_listallpids(room, bytes) };
        let Ok(count) = usize::try_from(count) else { return Err(io::Error::last_os_error()) };
        if count < pids.len() {
            pids.truncate(count);
            return Ok(pids.into_iter().filter_map(process).collect());
        }
        pids.resize(count + SPARE_PROCESSES, 0);
    }
}

/// One process.
pub(super) fn process(pid: i32) -> Option<Process> {
    // SAFETY: all-zero is a valid structure to be filled.
    let mut found: libc::proc_bsdinfo = unsafe { std::mem::zeroed() };
    let bytes = libc::c_int::try_from(size_of_val(&found)).ok()?;
    // SAFETY: the kernel fills at most so many bytes.
    let filled =
        unsafe { libc::proc_pidinfo(pid, libc::PROC_PIDTBSDINFO, 0, (&raw mut found).cast(), bytes) };
    // SAFETY: asks for a number.
    let session = unsafe { libc::getsid(pid) };
    if filled != bytes || session < 0 {
        return None;
    }
    Some(Process {
        pid,
        parent: found.pbi_ppid.try_into().ok()?,
        group: found.pbi_pgid.try_into().ok()?,
        session,
        started_us: found.pbi_start_tvsec.saturating_mul(1_000_000).saturating_add(found.pbi_start_tvusec),
    })
}

/// Memory that a process has for itself, in bytes; nothing for one that is gone.
pub(super) fn footprint(pid: i32) -> u64 {
    // SAFETY: all-zero is a valid structure to be filled.
    let mut found: libc::rusage_info_v0 = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills a structure of exactly this version.
    match unsafe { libc::proc_pid_rusage(pid, libc::RUSAGE_INFO_V0, (&raw mut found).cast()) } {
        0 => found.ri_phys_footprint,
        _ => 0,
    }
}

/// Sends a signal to a process, or to a process group where the number is negative.
pub(super) fn signal(to: i32, signal: i32) -> io::Result<()> {
    // SAFETY: changes no memory of this process.
    match unsafe { libc::kill(to, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// How a child has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It was stopped by this signal.
    Stopped(i32),
    /// It has ended with this code, and used this; it is reaped.
    Exited(i32, Account),
    /// A signal ended it; it is reaped.
    Signalled(i32, Account),
}

/// What a child has done since it was last asked (wait4(2)); nothing, mostly. `wait` until it has ended, or look only.
pub(super) fn changed(child: i32, wait: Patience) -> io::Result<Option<Change>> {
    let options = if wait == Patience::Wait { 0 } else { libc::WNOHANG | libc::WUNTRACED };
    let mut status = 0;
    // SAFETY: all-zero is a valid structure to be filled.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: looks at a child of this process; the kernel fills both.
    match unsafe { libc::wait4(child, &raw mut status, options, &raw mut usage) } {
        0 => return Ok(None),
        reaped if reaped == child => {}
        _ => {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(None) } else { Err(error) };
        }
    }
    Ok(if libc::WIFSTOPPED(status) {
        Some(Change::Stopped(libc::WSTOPSIG(status)))
    } else if libc::WIFEXITED(status) {
        Some(Change::Exited(libc::WEXITSTATUS(status), account(&usage)))
    } else {
        Some(Change::Signalled(libc::WTERMSIG(status), account(&usage)))
    })
}

/// Whether to wait for a child's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Until it has ended.
    Wait,
    /// Not at all.
    Look,
}

/// From here on these signals do nothing to this process. A program that it becomes has them as they are by default.
pub(super) fn ignore(signals: &[i32]) {
    for signal in signals {
        // SAFETY: no handler is set, so nothing of this program runs in one.
        unsafe { libc::signal(*signal, libc::SIG_IGN) };
    }
}

/// Whether the volume on which `path` lies tells capital and small letters apart; `None` where it is not there.
pub(super) fn tells_letter_case(path: &CStr) -> Option<bool> {
    // SAFETY: the path ends with NUL and lives until the call is over.
    match unsafe { libc::pathconf(path.as_ptr(), libc::_PC_CASE_SENSITIVE) } {
        -1 => None,
        answer => Some(answer == 1),
    }
}
