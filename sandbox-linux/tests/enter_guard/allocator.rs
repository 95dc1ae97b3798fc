//! An allocator that ends the process it must not be called in.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Once;
use std::sync::atomic::{AtomicI32, Ordering};

/// Exit code of a process that was caught.
pub(crate) const CAUGHT: libc::c_int = 86;

const ALLOCATED: &str = "the allocator was called between clone and execve\n";
const FORKED: &str = "the C library's fork was called between clone and execve\n";

/// The process that may allocate; 0 where all may.
static MAKER: AtomicI32 = AtomicI32::new(0);

/// The allocator.
#[derive(Debug)]
pub(crate) struct Guard;

/// By a raw call: nothing is remembered from before the birth.
fn own() -> i32 {
    // SAFETY: asks for the process's own id.
    i32::try_from(unsafe { libc::syscall(libc::SYS_getpid) }).unwrap_or(-1)
}

/// Whether this process has or had a child: the first process, after the command's has been made. The kernel is asked, since a child may use
/// its parent's memory.
fn is_parent() -> bool {
    // SAFETY: all-zero is a valid structure to be filled.
    let mut child: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    // SAFETY: the kernel fills the structure; no child is reaped.
    if unsafe { libc::waitid(libc::P_ALL, 0, &raw mut child, flags) } == 0 {
        return true;
    }
    // SAFETY: all-zero is a valid structure to be filled.
    let mut reaped: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills the structure.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut reaped) };
    reaped.ru_maxrss > 0
}

/// Ends a process that must not do this, with this message.
fn check(message: &str) {
    let maker = MAKER.load(Ordering::Relaxed);
    if maker == 0 || maker == own() || is_parent() {
        return;
    }
    // SAFETY: writes a constant.
    unsafe { libc::write(2, message.as_ptr().cast(), message.len()) };
    // SAFETY: ends this process without running anything of its parent's.
    unsafe { libc::_exit(CAUGHT) }
}

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Guard {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check(ALLOCATED);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        check(ALLOCATED);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(block, layout) }
    }
}

/// Called by the C library before it takes its locks to fork.
extern "C" fn forks() {
    check(FORKED);
}

/// From now on only this process may allocate, and those of its children that are parents themselves.
pub(crate) fn arm() {
    static HEARD: Once = Once::new();
    HEARD.call_once(|| {
        // SAFETY: the handler makes system calls only.
        assert_eq!(unsafe { libc::pthread_atfork(Some(forks), None, None) }, 0);
    });
    MAKER.store(own(), Ordering::Relaxed);
}

/// Everyone may.
pub(crate) fn disarm() {
    MAKER.store(0, Ordering::Relaxed);
}

/// Does something in a child and answers its exit code.
pub(crate) fn fork_and(act: impl FnOnce()) -> libc::c_int {
    let (flags, none) = (libc::c_long::from(libc::SIGCHLD), std::ptr::null::<u8>());
    // SAFETY: as fork(2), which is caught; the child does `act` and ends.
    let child = unsafe { libc::syscall(libc::SYS_clone, flags, none, none, none, none) };
    let child = libc::pid_t::try_from(child).unwrap();
    if child == 0 {
        act();
        // SAFETY: ends this process without running anything of its parent's.
        unsafe { libc::_exit(0) }
    }
    let mut status = 0;
    // SAFETY: waits for our own child; the kernel writes one status.
    let reaped = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(reaped, child);
    libc::WEXITSTATUS(status)
}
