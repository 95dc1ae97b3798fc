//! Installs a compiled filter, for tests.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use weir_sandbox_linux::bpf::{Insn, Program};

/// Makes `command` install the filter before it executes.
pub(crate) fn confine(command: &mut Command, program: Program) {
    let install =
        move || if install(program.insns()) { Ok(()) } else { Err(std::io::Error::last_os_error()) };
    // SAFETY: the closure makes two system calls over memory that was there before the fork.
    unsafe { command.pre_exec(install) };
}

/// Installs the instructions in the calling thread; raw calls only.
pub(crate) fn install(insns: &[Insn]) -> bool {
    let Ok(len) = u16::try_from(insns.len()) else { return false };
    let program = libc::sock_fprog { len, filter: insns.as_ptr().cast::<libc::sock_filter>().cast_mut() };
    // SAFETY: sets a flag of this thread.
    let no_new_privs = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    if no_new_privs != 0 {
        return false;
    }
    // SAFETY: `program` points at `len` instructions laid out as `struct sock_filter`; the kernel only reads them.
    let installed =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    installed == 0
}
