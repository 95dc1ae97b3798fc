//! System calls of the launcher that have no safe form: dividing the process in two, and reaping with an account.

use std::io;
use std::time::Duration;

use weir_protocol::method::process::Usage;

/// The two halves of a divided process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// The parent, with the child's number.
    Parent(i32),
    /// The child.
    Child,
}

/// What a process and those it waited for used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Account {
    /// Time in user mode.
    pub user: Duration,
    /// Time in the kernel.
    pub system: Duration,
    /// Largest resident set of one process, in KiB.
    pub max_rss_kib: u64,
}

impl Account {
    /// The same in the words of the protocol, with the time from start to end.
    pub(super) fn usage(&self, wall: Duration) -> Usage {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Usage {
            wall_us: micros(wall),
            user_us: micros(self.user),
            system_us: micros(self.system),
            max_rss_kib: self.max_rss_kib,
        }
    }
}

/// fork(2). The process must have one thread.
///
/// # Errors
/// As fork(2).
pub fn divide() -> io::Result<Half> {
    // SAFETY: the caller has one thread, so the child's copy of memory is consistent and it may go on with all of it.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Half::Child),
        child => Ok(Half::Parent(child)),
    }
}

/// Lets a child that was just forked begin at once, on another processor than this process's, where the kernel has left it waiting here. A virtual machine's
/// kernel does so: it takes processors that are halted for ones that the host has given to others (`vcpu_is_preempted`). Where the child may run is as
/// before when this returns.
#[cfg(target_os = "linux")]
pub fn begin_elsewhere(child: i32) {
    use rustix::thread::{sched_getaffinity, sched_getcpu, sched_setaffinity};
    let Some(child) = rustix::process::Pid::from_raw(child) else { return };
    let Ok(all) = sched_getaffinity(None) else { return };
    let mut others = all;
    others.unset(sched_getcpu());
    // A process that waits for a processor is moved at once; one that has another is left in peace.
    if others.count() > 0 && sched_setaffinity(Some(child), &others).is_ok() {
        let _ = sched_setaffinity(Some(child), &all);
    }
}

/// macOS has no call for it.
#[cfg(not(target_os = "linux"))]
pub const fn begin_elsewhere(_child: i32) {}

/// Overwrites the environment that this process was started with: nothing that descends from it has a copy, and no file of a procfs shows
/// it. Every variable is without a name from here on. The process must have one thread, and have read what it needs.
#[cfg(target_os = "linux")]
pub fn forget_environment() {
    unsafe extern "C" {
        static environ: *const *mut libc::c_char;
    }
    // SAFETY: the C library's own, set before `main`; there is no other thread that could change it.
    let mut entries = unsafe { environ };
    if entries.is_null() {
        return;
    }
    loop {
        // SAFETY: the array ends with a null pointer, and the loop at that.
        let entry = unsafe { entries.read() };
        if entry.is_null() {
            return;
        }
        // SAFETY: an entry is a C string.
        let length = unsafe { libc::strlen(entry) };
        // SAFETY: the string lies in memory of this process that may be written (environ(7)); its end stays.
        unsafe { std::ptr::write_bytes(entry, 0, length) };
        // SAFETY: the end of the array was not reached.
        entries = unsafe { entries.add(1) };
    }
}

/// Waits for a child's end and tells what it used (wait4(2)). `None` where it was reaped already.
#[must_use]
pub fn reap(child: i32) -> Option<Account> {
    // SAFETY: all-zero is a valid structure to be filled.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: waits for a child of this process; the kernel fills the structure.
        let reaped = unsafe { libc::wait4(child, std::ptr::null_mut(), 0, &raw mut usage) };
        if reaped == child {
            break;
        }
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return None;
        }
    }
    Some(account(&usage))
}

/// The unit of `ru_maxrss`, in bytes (getrusage(2)).
const RSS_UNIT_BYTES: u64 = if cfg!(target_os = "macos") { 1 } else { 1024 };

pub(super) fn account(usage: &libc::rusage) -> Account {
    Account {
        user: duration(usage.ru_utime),
        system: duration(usage.ru_stime),
        max_rss_kib: u64::try_from(usage.ru_maxrss).unwrap_or(0).saturating_mul(RSS_UNIT_BYTES) / 1024,
    }
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let micros = u64::try_from(time.tv_usec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}

/// Closes every descriptor from 3 on: nothing that the caller left open by mistake reaches a sandbox.
///
/// # Errors
/// As close_range(2).
#[cfg(target_os = "linux")]
pub fn close_inherited() -> io::Result<()> {
    let (first, last): (libc::c_long, libc::c_long) = (3, u32::MAX.into());
    // SAFETY: called before this process has opened anything of its own, so nobody owns one of these descriptors.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Closes every descriptor from 3 on: nothing that the caller left open by mistake keeps somebody else's pipe open.
///
/// # Errors
/// As proc_pidinfo(3).
#[cfg(target_os = "macos")]
pub fn close_inherited() -> io::Result<()> {
    let own = libc::pid_t::try_from(std::process::id()).map_err(io::Error::other)?;
    let mut open: Vec<libc::proc_fdinfo> = Vec::new();
    loop {
        let bytes = size_of::<libc::proc_fdinfo>() * open.len();
        let room = if open.is_empty() { std::ptr::null_mut() } else { open.as_mut_ptr().cast() };
        let size = libc::c_int::try_from(bytes).map_err(io::Error::other)?;
        // SAFETY: the kernel fills at most so many bytes; without room it says how many it would take.
        let filled = unsafe { libc::proc_pidinfo(own, libc::PROC_PIDLISTFDS, 0, room, size) };
        let filled = usize::try_from(filled).ok().filter(|filled| *filled > 0);
        let count = filled.ok_or_else(io::Error::last_os_error)? / size_of::<libc::proc_fdinfo>();
        if count < open.len() {
            open.truncate(count);
            break;
        }
        // SAFETY: all-zero is a valid entry, to be filled.
        open.resize(count + 1, unsafe { std::mem::zeroed() });
    }
    for descriptor in open.iter().map(|entry| entry.proc_fd).filter(|descriptor| *descriptor > 2) {
        // SAFETY: called before this process has opened anything of its own, so nobody owns one of these descriptors.
        unsafe { libc::close(descriptor) };
    }
    Ok(())
}

/// Bytes of memory that a start takes, on either side: a policy with some hundred rules, as text and as a value.
#[cfg(target_env = "gnu")]
const WORKING_BYTES: usize = 320 << 10;

/// Takes the memory of a start from the kernel at once instead of page by page, which costs it several hundred faults. A kernel or C library
/// that cannot do so changes nothing. Called once in each half of a divided process.
#[cfg(target_env = "gnu")]
pub fn reserve_memory() {
    /// `MADV_POPULATE_WRITE` (Linux 5.14).
    const POPULATE_WRITE: libc::c_int = 23;
    const PAGE_BYTES: usize = 4096;
    let keep = libc::c_int::MAX;
    // SAFETY: sets a parameter of the allocator: what is freed stays with the process.
    unsafe { libc::mallopt(libc::M_TRIM_THRESHOLD, keep) };
    // SAFETY: as above: large blocks come from the heap as well.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, 8 << 20) };
    // SAFETY: a block that only this function knows.
    let block = unsafe { libc::malloc(WORKING_BYTES) };
    if block.is_null() {
        return;
    }
    let start = block.map_addr(|address| address.next_multiple_of(PAGE_BYTES));
    // SAFETY: whole pages of the block, which hold nothing yet.
    unsafe { libc::madvise(start, WORKING_BYTES - 2 * PAGE_BYTES, POPULATE_WRITE) };
    // SAFETY: the block came from malloc and nobody else has seen it.
    unsafe { libc::free(block) };
}

/// Only the GNU C library has the parameters.
#[cfg(not(target_env = "gnu"))]
pub fn reserve_memory() {}
