//! An allocator that ends the process it must not be called in.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// Exit code of a process that was caught.
pub(crate) const CAUGHT: libc::c_int = 86;

const MESSAGE: &[u8] = b"the allocator was called between clone and execve\n";

/// The process that may allocate; 0 where all may.
static MAKER: AtomicI32 = AtomicI32::new(0);
/// Whether this process is another's parent by fork(3): the first process, after the command's has been made.
static FORKED: AtomicBool = AtomicBool::new(false);

/// The allocator.
#[derive(Debug)]
pub(crate) struct Guard;

/// By a raw call: nothing is remembered from before the birth.
fn own() -> i32 {
    // SAFETY: asks for the process's own id.
    i32::try_from(unsafe { libc::syscall(libc::SYS_getpid) }).unwrap_or(-1)
}

fn check() {
    let maker = MAKER.load(Ordering::Relaxed);
    if maker == 0 || maker == own() || FORKED.load(Ordering::Relaxed) {
        return;
    }
    // SAFETY: writes a constant.
    unsafe { libc::write(2, MESSAGE.as_ptr().cast(), MESSAGE.len()) };
    // SAFETY: ends this process without running anything of its parent's.
    unsafe { libc::_exit(CAUGHT) }
}

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Guard {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check();
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        check();
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(block, layout) }
    }
}

extern "C" fn in_parent() {
    FORKED.store(true, Ordering::Relaxed);
}

extern "C" fn in_child() {
    FORKED.store(false, Ordering::Relaxed);
}

/// From now on only this process may allocate, and those of its children that have forked.
pub(crate) fn arm() {
    static HANDLERS: Once = Once::new();
    // SAFETY: both functions store one flag.
    HANDLERS
        .call_once(|| assert_eq!(unsafe { libc::pthread_atfork(None, Some(in_parent), Some(in_child)) }, 0));
    FORKED.store(false, Ordering::Relaxed);
    MAKER.store(own(), Ordering::Relaxed);
}

/// Everyone may.
pub(crate) fn disarm() {
    MAKER.store(0, Ordering::Relaxed);
}

/// Does something in a child and answers its exit code.
pub(crate) fn fork_and(act: impl FnOnce()) -> libc::c_int {
    // SAFETY: the child does `act` and ends.
    let child = unsafe { libc::fork() };
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
