//! Audit over netlink: reading the kernel's records, asking whether auditing is on, switching it (`linux/audit.h`).
//!
//! Records come by multicast to whoever may read them (`CAP_AUDIT_READ`) in the machine's first network namespace; nobody waits for a
//! reader, and what it does not take in time is lost to it alone (ENOBUFS). Asking and switching takes `CAP_AUDIT_CONTROL`.

mod mark;

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use super::abi::{check, check_int, errno, owned};
use crate::host::{Fact, Step};

pub use mark::mark;

/// `AUDIT_NLGRP_READLOG`, as the bit that bind takes.
const READ_LOG: u32 = 1;
/// `AUDIT_GET` and `AUDIT_SET`.
const AUDIT_GET: u16 = 1000;
const AUDIT_SET: u16 = 1001;
/// `NLMSG_ERROR`, whose number is 0 where something was done.
const ERROR: u16 = 2;
/// `NLM_F_REQUEST` and `NLM_F_ACK`.
const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
/// `AUDIT_STATUS_ENABLED`: which field is set.
const SET_ENABLED: u32 = 1;
/// Longest wait for an answer: the kernel gives it from a thread of its own.
const PATIENCE_MS: i32 = 200;
/// Bytes of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Bytes of `struct audit_status`.
const STATUS: usize = 44;
/// Room for one record (`MAX_AUDIT_MESSAGE_LENGTH`) with its header.
pub const MESSAGE_BYTES: usize = 8970 + HEADER;
/// Bytes that the kernel keeps for a reader that is late: some thousand records. It gives less where less is allowed.
const WAITING_BYTES: libc::c_int = 1 << 20;
/// `AF_NETLINK`, as wide as an address has it.
const NETLINK_FAMILY: libc::sa_family_t = 16;

/// How the kernel's audit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Whether it is on.
    pub enabled: bool,
    /// Whether nobody can change that before the machine starts again.
    pub locked: bool,
    /// Whether a daemon takes the records.
    pub has_daemon: bool,
    /// Records that had no room so far.
    pub lost: u32,
}

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// A record.
    Record {
        /// Its kind.
        kind: u16,
        /// Its text.
        text: &'a [u8],
    },
    /// The answer to [`Reader::ask`].
    Status(Status),
    /// [`Reader::ask`] is not answered: `CAP_AUDIT_CONTROL` is missing.
    NoStatus,
    /// Records had no room.
    Lost,
    /// Something else.
    Other,
    /// Nothing is there.
    Empty,
}

/// Reads the records of the whole machine.
#[derive(Debug)]
pub struct Reader {
    socket: OwnedFd,
}

impl Reader {
    /// Joins the group. From here on records come.
    ///
    /// # Errors
    /// The step with the error number: who may not read them gets EPERM.
    pub fn open() -> Result<Self, Fact> {
        let refused = |at| move |errno| Fact::Refused { at, errno };
        let socket = socket(libc::SOCK_NONBLOCK).map_err(refused(Step::AuditSocket))?;
        // SAFETY: all-zero is a valid address of this family.
        let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        address.nl_family = NETLINK_FAMILY;
        address.nl_groups = READ_LOG;
        let size = libc::socklen_t::try_from(size_of_val(&address)).unwrap_or(0);
        // SAFETY: the address is valid for `size` bytes.
        let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size) };
        check(bound.into()).map_err(refused(Step::AuditBind))?;
        make_room(&socket);
        Ok(Self { socket })
    }

    /// Asks how auditing stands; the answer comes among the records.
    ///
    /// # Errors
    /// send(2)'s.
    pub fn ask(&self) -> Result<(), i32> {
        send(&self.socket, &message(AUDIT_GET, REQUEST, &[]))
    }

    /// Takes one message, and never waits.
    pub fn receive<'a>(&self, room: &'a mut [u8; MESSAGE_BYTES]) -> Received<'a> {
        match receive(&self.socket, room) {
            Ok(length) => read(room.get(..length).unwrap_or_default()),
            Err(libc::ENOBUFS) => Received::Lost,
            Err(_) => Received::Empty,
        }
    }
}

impl AsFd for Reader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Joins the multicast group of audit records and leaves it.
pub(crate) fn records() -> Fact {
    Reader::open().map_or_else(|refused| refused, |_| Fact::Works)
}

/// How auditing stands (`AUDIT_GET`).
///
/// # Errors
/// The error number; ETIMEDOUT where the kernel does not answer.
pub fn status() -> Result<Status, i32> {
    let socket = socket(0)?;
    send(&socket, &message(AUDIT_GET, REQUEST, &[]))?;
    match answer(&socket)?.as_slice() {
        reply if kind(reply) == Some(ERROR) => Err(error(reply).unwrap_or(libc::EPROTO)),
        reply => match read(reply) {
            Received::Status(status) => Ok(status),
            _ => Err(libc::EPROTO),
        },
    }
}

/// Switches auditing on or off (`AUDIT_SET`).
///
/// # Errors
/// The error number: EPERM also where it is locked.
pub fn switch(on: bool) -> Result<(), i32> {
    let socket = socket(0)?;
    let mut body = [0; STATUS];
    body[..4].copy_from_slice(&SET_ENABLED.to_ne_bytes());
    body[4..8].copy_from_slice(&u32::from(on).to_ne_bytes());
    send(&socket, &message(AUDIT_SET, REQUEST | ACKNOWLEDGE, &body))?;
    match error(&answer(&socket)?) {
        Some(0) => Ok(()),
        Some(errno) => Err(errno),
        None => Err(libc::EPROTO),
    }
}

fn socket(flags: libc::c_int) -> Result<OwnedFd, i32> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | flags;
    // SAFETY: makes a descriptor, owned at once.
    owned(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_AUDIT) }.into())
}

/// As much as this process may have.
fn make_room(socket: &OwnedFd) {
    for option in [libc::SO_RCVBUFFORCE, libc::SO_RCVBUF] {
        let bytes = WAITING_BYTES;
        let value = (&raw const bytes).cast();
        let size = libc::socklen_t::try_from(size_of_val(&bytes)).unwrap_or(0);
        // SAFETY: the kernel reads an int.
        let set = unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, value, size) };
        if check_int(set).is_ok() {
            return;
        }
    }
}

fn send(socket: &OwnedFd, bytes: &[u8]) -> Result<(), i32> {
    // SAFETY: the slice is valid for its length; an unconnected netlink socket sends to the kernel.
    let sent = unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) };
    if sent < 0 { Err(errno()) } else { Ok(()) }
}

fn receive(socket: &OwnedFd, room: &mut [u8]) -> Result<usize, i32> {
    let flags = libc::MSG_DONTWAIT;
    // SAFETY: the slice is valid for its length.
    let read = unsafe { libc::recv(socket.as_raw_fd(), room.as_mut_ptr().cast(), room.len(), flags) };
    usize::try_from(read).map_err(|_| errno())
}

fn answer(socket: &OwnedFd) -> Result<Vec<u8>, i32> {
    let mut wait = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid entry.
    let ready = unsafe { libc::poll(&raw mut wait, 1, PATIENCE_MS) };
    if ready <= 0 {
        return Err(libc::ETIMEDOUT);
    }
    let mut reply = vec![0; MESSAGE_BYTES];
    let length = receive(socket, &mut reply)?;
    reply.truncate(length);
    Ok(reply)
}

/// `struct nlmsghdr` (length, type, flags, sequence, port) and what follows.
fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let mut message = vec![0; HEADER];
    let length = u32::try_from(HEADER + body.len()).unwrap_or(0);
    message[..4].copy_from_slice(&length.to_ne_bytes());
    message[4..6].copy_from_slice(&kind.to_ne_bytes());
    message[6..8].copy_from_slice(&flags.to_ne_bytes());
    message[8..12].copy_from_slice(&1_u32.to_ne_bytes());
    message.extend_from_slice(body);
    message
}

fn kind(message: &[u8]) -> Option<u16> {
    Some(u16::from_ne_bytes(message.get(4..6)?.try_into().ok()?))
}

fn word(message: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(message.get(at..at + 4)?.try_into().ok()?))
}

/// An error message begins with a negative error number, or 0.
fn error(message: &[u8]) -> Option<i32> {
    (kind(message) == Some(ERROR)).then(|| word(message, HEADER))?.map(|number| -number.cast_signed())
}

fn read(message: &[u8]) -> Received<'_> {
    match kind(message) {
        Some(AUDIT_GET) => status_of(message).map_or(Received::Other, Received::Status),
        Some(ERROR) => Received::NoStatus,
        Some(kind) if kind > ERROR => {
            Received::Record { kind, text: message.get(HEADER..).unwrap_or_default() }
        }
        _ => Received::Other,
    }
}

/// `struct audit_status`: mask, enabled, failure, pid, rate limit, backlog limit, lost.
fn status_of(message: &[u8]) -> Option<Status> {
    let field = |number: usize| word(message, HEADER + 4 * number);
    let enabled = field(1)?;
    let (pid, lost) = (field(3).unwrap_or(0), field(6).unwrap_or(0));
    Some(Status { enabled: enabled != 0, locked: enabled == 2, has_daemon: pid != 0, lost })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(enabled: u32, lost: u32) -> Vec<u8> {
        let words = [0, enabled, 1, 0, 0, 64, lost, 0];
        message(AUDIT_GET, 0, &words.map(u32::to_ne_bytes).concat())
    }

    #[test]
    fn status_records_and_errors_are_told_apart() {
        let status =
            |enabled, locked, lost| Received::Status(Status { enabled, locked, has_daemon: false, lost });
        let refused = message(ERROR, 0, &(-libc::EPERM).to_ne_bytes());
        let record = message(1423, 0, b"audit(1.0:1): x=y");
        let cases = [
            (reply(1, 3), status(true, false, 3)),
            (reply(2, 0), status(true, true, 0)),
            (reply(0, 0), status(false, false, 0)),
            (reply(1, 0)[..HEADER + 4].to_vec(), Received::Other),
            (refused.clone(), Received::NoStatus),
            (record, Received::Record { kind: 1423, text: b"audit(1.0:1): x=y" }),
            (vec![], Received::Other),
            (vec![9; 5], Received::Other),
        ];
        for (message, expect) in cases {
            assert_eq!(read(&message), expect, "{message:?}");
        }
        assert_eq!(error(&refused), Some(libc::EPERM));
        assert_eq!(error(&message(ERROR, 0, &[0; 4])), Some(0));
        assert_eq!(error(&reply(1, 0)), None);
    }
}
