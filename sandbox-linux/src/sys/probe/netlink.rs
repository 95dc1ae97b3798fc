//! Audit over netlink: whether its records can be read, and whether it is switched on.

use std::os::fd::{AsRawFd as _, OwnedFd};

use super::super::abi::{check, errno, owned};
use crate::host::{Fact, Step};

/// `AUDIT_NLGRP_READLOG`, as the bit that bind takes (`linux/audit.h`).
const READ_LOG: u32 = 1;
/// `AUDIT_GET`.
const AUDIT_GET: u16 = 1000;
/// Longest wait for the status: the kernel answers from a thread of its own.
const PATIENCE_MS: i32 = 200;
/// Bytes of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Room for one status message.
const REPLY_BYTES: usize = 256;

fn socket() -> Result<OwnedFd, i32> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: makes a descriptor, owned at once.
    owned(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_AUDIT) }.into())
}

/// Joins the multicast group of audit records (`CAP_AUDIT_READ`) and leaves it.
pub(crate) fn audit_records() -> Fact {
    let socket = match socket() {
        Ok(socket) => socket,
        Err(errno) => return Fact::Refused { at: Step::AuditSocket, errno },
    };
    // SAFETY: all-zero is a valid address of this family.
    let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    address.nl_family = NETLINK_FAMILY;
    address.nl_groups = READ_LOG;
    let size = libc::socklen_t::try_from(size_of_val(&address)).unwrap_or(0);
    // SAFETY: the address is valid for `size` bytes.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size) };
    match check(bound.into()) {
        Ok(_) => Fact::Works,
        Err(errno) => Fact::Refused { at: Step::AuditBind, errno },
    }
}

/// `AF_NETLINK`, as wide as an address has it.
const NETLINK_FAMILY: libc::sa_family_t = 16;

/// Whether auditing is on (`AUDIT_GET`, needs `CAP_AUDIT_CONTROL`).
pub(crate) fn audit_enabled() -> Result<bool, i32> {
    let socket = socket()?;
    let request = request();
    // SAFETY: the slice is valid for its length; an unconnected netlink socket sends to the kernel.
    let sent = unsafe { libc::send(socket.as_raw_fd(), request.as_ptr().cast(), request.len(), 0) };
    if sent < 0 {
        return Err(errno());
    }
    let mut wait = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid entry.
    let ready = unsafe { libc::poll(&raw mut wait, 1, PATIENCE_MS) };
    if ready <= 0 {
        return Err(libc::ETIMEDOUT);
    }
    let mut reply = [0_u8; REPLY_BYTES];
    let flags = libc::MSG_DONTWAIT;
    // SAFETY: the array is valid for its length.
    let read = unsafe { libc::recv(socket.as_raw_fd(), reply.as_mut_ptr().cast(), reply.len(), flags) };
    let read = usize::try_from(read).map_err(|_| errno())?;
    parse_status(reply.get(..read).unwrap_or_default())
}

/// `struct nlmsghdr` alone: length, type, flags (`NLM_F_REQUEST`), sequence, port.
fn request() -> [u8; HEADER] {
    let mut message = [0; HEADER];
    message[..4].copy_from_slice(&16_u32.to_ne_bytes());
    message[4..6].copy_from_slice(&AUDIT_GET.to_ne_bytes());
    message[6..8].copy_from_slice(&1_u16.to_ne_bytes());
    message[8..12].copy_from_slice(&1_u32.to_ne_bytes());
    message
}

/// `struct audit_status` begins with `mask` and `enabled`; an error message (type 2) begins with a negative error number.
fn parse_status(reply: &[u8]) -> Result<bool, i32> {
    let word = |at: usize| {
        let bytes = reply.get(at..at + 4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
        bytes.map(i32::from_ne_bytes).ok_or(libc::EPROTO)
    };
    let kind = reply.get(4..6).and_then(|bytes| <[u8; 2]>::try_from(bytes).ok()).map(u16::from_ne_bytes);
    match kind {
        Some(AUDIT_GET) => Ok(word(HEADER + 4)? != 0),
        Some(2) => Err(-word(HEADER)?),
        _ => Err(libc::EPROTO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_errors_are_told_apart() {
        let mut status = request().to_vec();
        status.extend_from_slice(&[0, 0, 0, 0]);
        status.extend_from_slice(&1_u32.to_ne_bytes());
        let mut error = request().to_vec();
        error[4..6].copy_from_slice(&2_u16.to_ne_bytes());
        error.extend_from_slice(&(-libc::EPERM).to_ne_bytes());
        let cases = [
            (status.clone(), Ok(true)),
            ([&status[..20], &[0; 4]].concat(), Ok(false)),
            (error, Err(libc::EPERM)),
            (status[..20].to_vec(), Err(libc::EPROTO)),
            (vec![], Err(libc::EPROTO)),
        ];
        for (reply, want) in cases {
            assert_eq!(parse_status(&reply), want, "{reply:?}");
        }
    }
}
