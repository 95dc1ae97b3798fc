//! A terminal of the sandbox's own: the command's side becomes the session's controlling terminal, the other side goes to the
//! launcher (pty(7), ioctl_tty(2)).

use super::super::abi::check_int;
use super::super::enter::close;
use crate::control::Word;
use crate::prepare::Prepared;

/// `TIOCGPTPEER` (Linux 4.13): the command's side, without a path.
const GET_PEER: libc::c_ulong = 0x5441;

/// Opens both sides; answers the command's.
pub(super) fn open(
    prepared: &Prepared,
    control: libc::c_int,
    [rows, columns]: [u16; 2],
) -> Result<libc::c_int, i32> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the path is a C string.
    let ours = check_int(unsafe { libc::open(c"/dev/ptmx".as_ptr(), flags) })?;
    let unlocked: libc::c_int = 0;
    // SAFETY: the kernel reads one int.
    check_int(unsafe { libc::ioctl(ours, libc::TIOCSPTLCK, &raw const unlocked) })?;
    // SAFETY: makes a descriptor; the argument is its flags.
    let theirs = check_int(unsafe { libc::ioctl(ours, GET_PEER, flags) })?;
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel reads the structure.
    check_int(unsafe { libc::ioctl(theirs, libc::TIOCSWINSZ, &raw const size) })?;
    if let Some(user) = &prepared.become_user {
        // SAFETY: gives the terminal's node to the command's user.
        check_int(unsafe { libc::fchown(theirs, user.uid, user.gid) })?;
    }
    // SAFETY: this process leads its session, which has no terminal yet.
    check_int(unsafe { libc::ioctl(theirs, libc::TIOCSCTTY, 0) })?;
    send(control, ours)?;
    close(ours);
    Ok(theirs)
}

/// Room for one descriptor in a control message, aligned as the kernel wants it.
#[repr(align(8))]
struct Room([u8; 24]);

fn send(control: libc::c_int, descriptor: libc::c_int) -> Result<(), i32> {
    let word = Word::Terminal.header();
    let mut room = Room([0; 24]);
    let mut part = libc::iovec { iov_base: word.as_ptr().cast_mut().cast(), iov_len: word.len() };
    // SAFETY: all-zero is a valid message: no address, no flags.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = room.0.as_mut_ptr().cast();
    message.msg_controllen = room.0.len();
    // SAFETY: the control buffer has room for a header and one int.
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    let length = size_of::<libc::cmsghdr>() + size_of::<libc::c_int>();
    // SAFETY: the header lies at the start of the room.
    let header = unsafe { &mut *header };
    header.cmsg_len = length;
    header.cmsg_level = libc::SOL_SOCKET;
    header.cmsg_type = libc::SCM_RIGHTS;
    let at = size_of::<libc::cmsghdr>();
    room.0[at..at + 4].copy_from_slice(&descriptor.to_ne_bytes());
    // SAFETY: every pointer in the message outlives the call.
    let sent = unsafe { libc::sendmsg(control, &raw const message, libc::MSG_NOSIGNAL) };
    if sent < 0 { Err(super::super::abi::errno()) } else { Ok(()) }
}
