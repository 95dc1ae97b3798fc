//! From the command's side of the fork to init: installs the filter and passes its listener over a socket.
//!
//! [`hand_over`] runs after a fork: raw system calls over memory that was there before, no allocation, no panic.
//! [`receive`] is init's side.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use super::call::{check, errno};
use crate::bpf::Insn;

/// `SECCOMP_FILTER_FLAG_NEW_LISTENER` and `_WAIT_KILLABLE_RECV` (`linux/seccomp.h`).
const NEW_LISTENER: libc::c_ulong = 1 << 3;
const WAIT_KILLABLE: libc::c_ulong = 1 << 5;
/// Room for one descriptor's control message, and more.
const CONTROL_BYTES: usize = 64;

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

/// Aligned as the kernel wants a control message.
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

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
    send(socket, listener, wait).map_err(failed(HandoverStep::Send))?;
    // SAFETY: made above, known to nothing else.
    unsafe { libc::close(listener) };
    Ok(())
}

fn install(program: &[Insn], flags: libc::c_ulong) -> Result<libc::c_int, i32> {
    let len = u16::try_from(program.len()).map_err(|_| libc::EINVAL)?;
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast::<libc::sock_filter>().cast_mut() };
    let mode = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: `program` points at `len` instructions laid out as `struct sock_filter`, which the kernel copies.
    let made = check(unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program) })?;
    libc::c_int::try_from(made).map_err(|_| libc::EBADF)
}

/// One byte that tells how callers wait, with the descriptor.
fn send(socket: BorrowedFd<'_>, listener: libc::c_int, wait: Wait) -> Result<(), i32> {
    let mut byte = u8::from(wait == Wait::Killable);
    let mut control = Control([0; CONTROL_BYTES]);
    let mut data = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let mut message = message(&mut data, &mut control);
    message.msg_controllen = SPACE;
    // SAFETY: the message has room for one control header.
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    let filled =
        libc::cmsghdr { cmsg_len: LENGTH, cmsg_level: libc::SOL_SOCKET, cmsg_type: libc::SCM_RIGHTS };
    // SAFETY: the header lies in `control`, which is large enough and aligned.
    unsafe { header.write(filled) };
    // SAFETY: the data lie behind the header, in `control`.
    let place = unsafe { libc::CMSG_DATA(header) };
    // SAFETY: there is room for one int; it may be unaligned.
    unsafe { place.cast::<libc::c_int>().write_unaligned(listener) };
    loop {
        // SAFETY: the message points at live locals.
        let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) };
        match sent {
            1 => return Ok(()),
            0 => return Err(libc::EPIPE),
            _ if errno() == libc::EINTR => {}
            _ => return Err(errno()),
        }
    }
}

/// Bytes of a control message with one descriptor: in all, and what is told.
const SPACE: usize = control_space();
const LENGTH: usize = control_length();

#[expect(clippy::cast_possible_truncation, reason = "the size of an int")]
const INT_BYTES: libc::c_uint = size_of::<libc::c_int>() as libc::c_uint;

const fn control_space() -> usize {
    // SAFETY: arithmetic only.
    let space = unsafe { libc::CMSG_SPACE(INT_BYTES) };
    space as usize
}

const fn control_length() -> usize {
    // SAFETY: arithmetic only.
    let length = unsafe { libc::CMSG_LEN(INT_BYTES) };
    length as usize
}

fn message(data: &mut libc::iovec, control: &mut Control) -> libc::msghdr {
    // SAFETY: all-zero is a valid message: no name, no data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = data;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = CONTROL_BYTES;
    message
}

/// Waits for what [`hand_over`] sends.
///
/// # Errors
/// recvmsg(2)'s; [`io::ErrorKind::UnexpectedEof`] when the other end closed without sending a listener.
pub fn receive(socket: BorrowedFd<'_>) -> io::Result<Handover> {
    let mut byte = 0_u8;
    let mut control = Control([0; CONTROL_BYTES]);
    let mut data = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let mut message = message(&mut data, &mut control);
    let received = loop {
        let flags = libc::MSG_CMSG_CLOEXEC;
        // SAFETY: the message points at live locals.
        let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
        if received >= 0 || errno() != libc::EINTR {
            break received;
        }
    };
    if received < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel filled the message in.
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    if received == 0 || header.is_null() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // SAFETY: a header that the kernel wrote.
    let found = unsafe { header.read() };
    if (found.cmsg_level, found.cmsg_type, found.cmsg_len) != (libc::SOL_SOCKET, libc::SCM_RIGHTS, LENGTH) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // SAFETY: the data lie behind the header.
    let place = unsafe { libc::CMSG_DATA(header) };
    // SAFETY: the length says that there is one int; it may be unaligned.
    let listener = unsafe { place.cast::<libc::c_int>().read_unaligned() };
    // SAFETY: the kernel made the descriptor for this process; nothing else knows it.
    let listener = unsafe { OwnedFd::from_raw_fd(listener) };
    let wait = if byte == 1 { Wait::Killable } else { Wait::Interruptible };
    Ok(Handover { listener, wait })
}
