//! One descriptor with a few bytes over a unix socket (unix(7), `SCM_RIGHTS`). Sending allocates nothing.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use super::abi::errno;

/// Room for one descriptor's control message, and more.
const CONTROL_BYTES: usize = 64;

/// Aligned as the kernel wants a control message.
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

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

/// Sends the bytes, the descriptor with them.
///
/// # Errors
/// The kernel's error number; EPIPE where fewer bytes went than were given.
pub(super) fn send(socket: libc::c_int, bytes: &[u8], descriptor: libc::c_int) -> Result<(), i32> {
    let mut control = Control([0; CONTROL_BYTES]);
    let mut data = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
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
    unsafe { place.cast::<libc::c_int>().write_unaligned(descriptor) };
    loop {
        // SAFETY: the message points at live locals and at the caller's bytes, which the kernel only reads.
        let sent = unsafe { libc::sendmsg(socket, &raw const message, libc::MSG_NOSIGNAL) };
        match usize::try_from(sent) {
            Ok(sent) if sent == bytes.len() => return Ok(()),
            Ok(_) => return Err(libc::EPIPE),
            Err(_) if errno() == libc::EINTR => {}
            Err(_) => return Err(errno()),
        }
    }
}

/// Waits for one byte with a descriptor.
///
/// # Errors
/// recvmsg(2)'s; [`io::ErrorKind::UnexpectedEof`] when the other end closed, or sent no descriptor;
/// [`io::ErrorKind::InvalidData`] when it sent something else with the byte.
pub(super) fn receive(socket: BorrowedFd<'_>) -> io::Result<(u8, OwnedFd)> {
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
    let descriptor = unsafe { place.cast::<libc::c_int>().read_unaligned() };
    // SAFETY: the kernel made the descriptor for this process; nothing else knows it.
    Ok((byte, unsafe { OwnedFd::from_raw_fd(descriptor) }))
}
