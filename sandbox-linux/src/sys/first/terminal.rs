//! A terminal of the sandbox's own: the command's side becomes the session's controlling terminal, the other side goes to the
//! launcher (pty(7), ioctl_tty(2)).

use super::super::abi::check_int;
use super::super::enter::close;
use super::super::passing;
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
    passing::send(control, &Word::Terminal.header(), ours)?;
    close(ours);
    Ok(theirs)
}
