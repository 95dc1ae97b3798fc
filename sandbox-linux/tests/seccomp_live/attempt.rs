//! One call in a child of its own, with or without a filter.

use weir_sandbox_linux::bpf::Program;

use crate::confine::install;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The call came back with this error number, 0 for success.
    Returned(i32),
    /// The process was ended by this signal.
    Killed(i32),
    /// The child could not get ready.
    NotReady,
}

/// Whose call it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    /// The user of the test.
    Caller,
    /// An ordinary user.
    Nobody,
}

/// An uid that owns nothing.
const NOBODY: u32 = 65_534;
/// Exit status of a child that could not get ready; above every error number used.
const NOT_READY: i32 = 255;

/// Forks; the child installs the filter, makes the call, and tells its error number as its exit status.
pub(crate) fn attempt(user: As, filter: Option<&Program>, call: &dyn Fn() -> i64) -> Outcome {
    // SAFETY: the child makes raw system calls over memory that was there before the fork, and then _exit.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork");
    if child == 0 {
        let status = if ready(user, filter) { error_number(call()) } else { NOT_READY };
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(status) };
    }
    let mut status = 0;
    // SAFETY: `status` is a valid place for the result.
    let reaped = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(reaped, child);
    if libc::WIFSIGNALED(status) {
        return Outcome::Killed(libc::WTERMSIG(status));
    }
    match libc::WEXITSTATUS(status) {
        NOT_READY => Outcome::NotReady,
        errno => Outcome::Returned(errno),
    }
}

fn ready(user: As, filter: Option<&Program>) -> bool {
    // A session of its own, so that nothing done here reaches a terminal.
    // SAFETY: setsid has no preconditions.
    unsafe { libc::setsid() };
    if user == As::Nobody {
        // SAFETY: changes this child's identity only.
        let changed = unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) };
        if changed != 0 {
            return false;
        }
    }
    filter.is_none_or(|program| install(program.insns()))
}

fn error_number(result: i64) -> i32 {
    // Results of calls that succeed are not negative; error numbers are far below the status of a child not ready.
    i32::try_from(-result).unwrap_or_default().max(0)
}

/// A raw call; answers a negative error number, as the kernel does.
pub(crate) fn call(nr: u16, args: &[u64; 6]) -> i64 {
    let [a, b, c, d, e, f] = *args;
    // SAFETY: the cases pass pointers that are null, invalid on purpose, or to static text.
    let result = unsafe { libc::syscall(libc::c_long::from(nr), a, b, c, d, e, f) };
    if result == 0 && i64::from(nr) == libc::SYS_clone {
        // SAFETY: this is the child of the clone that was tried; it has nothing to do.
        unsafe { libc::_exit(0) };
    }
    if result >= 0 {
        return result;
    }
    std::io::Error::last_os_error().raw_os_error().map_or(-1, |errno| -i64::from(errno))
}

/// Types one byte into the input of a terminal made for this, whose session the child leads: TIOCSTI for real. Answers 1, the
/// bytes that can then be read, or the negative error number of the request.
pub(crate) fn inject(above: u64) -> i64 {
    // SAFETY: makes a descriptor of this child's.
    let main = unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY) };
    let mut unlock = 0;
    // SAFETY: the pointer is to a local int.
    unsafe { libc::ioctl(main, libc::TIOCSPTLCK, &raw mut unlock) };
    let flags = libc::O_RDWR;
    // SAFETY: opens the other side; the first terminal a session leader opens becomes its own.
    let terminal = unsafe { libc::ioctl(main, libc::TIOCGPTPEER, flags) };
    // SAFETY: makes it the session's terminal where opening did not.
    unsafe { libc::ioctl(terminal, libc::TIOCSCTTY, 0) };
    let byte = b"\n".as_ptr();
    // SAFETY: the kernel reads one byte of static text.
    let done = unsafe { libc::syscall(libc::SYS_ioctl, terminal, libc::TIOCSTI | above, byte) };
    if done < 0 {
        return std::io::Error::last_os_error().raw_os_error().map_or(-1, |errno| -i64::from(errno));
    }
    let mut waiting = 0;
    // SAFETY: the pointer is to a local int.
    unsafe { libc::ioctl(terminal, libc::FIONREAD, &raw mut waiting) };
    i64::from(waiting)
}

/// A call through the i386 entry, with every argument 0.
#[cfg(target_arch = "x86_64")]
pub(crate) fn int80(nr: u32) -> i64 {
    let result: i64;
    // SAFETY: a call with null arguments; the entry clobbers r8 to r11 at most, and rbx is saved by hand because the
    // compiler keeps it for itself.
    unsafe {
        std::arch::asm!(
            "push rbx", "xor ebx, ebx", "int 0x80", "pop rbx",
            inlateout("rax") i64::from(nr) => result,
            in("rcx") 0, in("rdx") 0, in("rsi") 0, in("rdi") 0,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    result
}

/// A call with the x32 bit, with every argument 0.
#[cfg(target_arch = "x86_64")]
pub(crate) fn x32(nr: u32) -> i64 {
    let result: i64;
    // SAFETY: a call with null arguments; `syscall` clobbers rcx and r11.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") i64::from(nr | 0x4000_0000) => result,
            in("rdi") 0, in("rsi") 0, in("rdx") 0, in("r10") 0, in("r8") 0, in("r9") 0,
            out("rcx") _, out("r11") _,
        );
    }
    result
}
