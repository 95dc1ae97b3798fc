//! From the command's side of the fork to init: installs the filter and passes its listener over a socket.
//!
//! [`hand_over`] runs after a fork: raw system calls over memory that was there before, no allocation, no panic.
//! [`receive`] is init's side.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use super::super::abi::install_filter;
use super::super::passing;
use crate::bpf::Insn;

/// `SECCOMP_FILTER_FLAG_NEW_LISTENER` and `_WAIT_KILLABLE_RECV` (`linux/seccomp.h`).
const NEW_LISTENER: u64 = 1 << 3;
const WAIT_KILLABLE: u64 = 1 << 5;

/// What ends the wait of a trapped caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Only death, once the call is taken up (Linux 5.19).
    Killable,
    /// Any signal.
    Interruptible,
}

/// The listener, and how its callers wait.
#[derive(Debug)]
pub struct Handover {
    /// The listening end of the filter.
    pub listener: OwnedFd,
    /// What ends the wait of a trapped caller.
    pub wait: Wait,
}

/// A step of [`hand_over`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandoverStep {
    /// seccomp(2).
    Install,
    /// sendmsg(2).
    Send,
}

/// What failed, as a fixed record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandoverFailure {
    /// The step.
    pub step: HandoverStep,
    /// The kernel's error number.
    pub errno: i32,
}

/// Installs the filter in the calling thread, with a listener, and sends that over `socket`, the other end of which init
/// passes to [`receive`]. no-new-privs must be set. From here on a trapped call of this thread waits for the broker. The
/// listener is closed here. Allocates nothing.
///
/// # Errors
/// The step and its error number. EBUSY: a filter above already has a listener. When the sending fails the filter is there,
/// and every trapped call answers ENOSYS.
pub fn hand_over(program: &[Insn], socket: BorrowedFd<'_>) -> Result<(), HandoverFailure> {
    let failed = |step| move |errno| HandoverFailure { step, errno };
    let (listener, wait) = match install(program, NEW_LISTENER | WAIT_KILLABLE) {
        Err(libc::EINVAL) => (install(program, NEW_LISTENER), Wait::Interruptible),
        other => (other, Wait::Killable),
    };
    let listener = listener.map_err(failed(HandoverStep::Install))?;
    // One byte that tells how callers wait, with the descriptor.
    let byte = [u8::from(wait == Wait::Killable)];
    passing::send(socket.as_raw_fd(), &byte, listener).map_err(failed(HandoverStep::Send))?;
    // SAFETY: made above, known to nothing else.
    unsafe { libc::close(listener) };
    Ok(())
}

/// Answers the listener's number.
fn install(program: &[Insn], flags: u64) -> Result<libc::c_int, i32> {
    libc::c_int::try_from(install_filter(program, flags)?).map_err(|_| libc::EBADF)
}

/// Waits for what [`hand_over`] sends.
///
/// # Errors
/// recvmsg(2)'s; [`io::ErrorKind::UnexpectedEof`] when the other end closed without sending a listener.
pub fn receive(socket: BorrowedFd<'_>) -> io::Result<Handover> {
    let (byte, listener) = passing::receive(socket)?;
    let wait = if byte == 1 { Wait::Killable } else { Wait::Interruptible };
    Ok(Handover { listener, wait })
}
