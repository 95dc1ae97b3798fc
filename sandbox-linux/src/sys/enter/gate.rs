//! Makes the network behind the gate, and the gate's sockets in it (netlink(7), ip(7), ipv6(7)). Raw calls over prepared bytes; the
//! host's probe makes the same.

use weir_protocol::gate::RESOLVER;

use super::super::abi::{check_int, errno};
use super::super::passing;
use super::{At as _, Done, close};
use crate::control::Word;
use crate::gate::{Batch, Gate, LISTENER_V4, LISTENER_V6, PORT, Protocol, Socket};
use crate::step::Step;

/// Room for an answer: the head of what it answers is in it, and what follows may be cut.
const ANSWER_BYTES: usize = 256;

/// Connections that wait to be accepted (`net.core.somaxconn` bounds it further).
const WAITING: libc::c_int = 1024;

/// Lead everywhere to the gate, make its sockets and send them, each with a word, over `to`; the resolver's last.
pub(in crate::sys) fn open(gate: &Gate, to: libc::c_int) -> Done {
    links(gate).at(Step::GateLinks)?;
    let log = table(gate).at(Step::GateRules)?;
    let sockets = [
        (Socket::Log, log),
        (Socket::TcpV4, Some(listener_v4().at(Step::GateSockets)?)),
        (Socket::TcpV6, listener_v6().at(Step::GateSockets)?),
        (Socket::Resolver, Some(resolver().at(Step::GateSockets)?)),
    ];
    for (kind, socket) in sockets {
        let Some(socket) = socket else { continue };
        passing::send(to, &Word::Socket(kind).header(), socket).at(Step::GateHandOver)?;
        close(socket);
    }
    Ok(())
}

/// Make so many sockets of each version that published ports are led inside by, and send them likewise.
pub(in crate::sys) fn open_inner(count: usize, to: libc::c_int) -> Done {
    for (kind, family) in [(Socket::InnerV6, libc::AF_INET6), (Socket::InnerV4, libc::AF_INET)] {
        for _ in 0..count {
            let socket = match internet(family, libc::SOCK_STREAM) {
                Err(libc::EAFNOSUPPORT) if kind == Socket::InnerV6 => break,
                socket => socket.at(Step::GateSockets)?,
            };
            passing::send(to, &Word::Socket(kind).header(), socket).at(Step::GateHandOver)?;
            close(socket);
        }
    }
    Ok(())
}

/// Every address leads here. Without version 6 nothing of it leads anywhere.
pub(in crate::sys) fn links(gate: &Gate) -> Result<(), i32> {
    let socket = netlink(gate.links.protocol)?;
    let done = exchange(socket, &gate.links);
    if done.is_ok() {
        // Where it is switched off there is no address to be had, and no route.
        let _ = exchange(socket, &gate.links_v6);
    }
    close(socket);
    done
}

/// The table, and the socket on which is told what it refuses, where the kernel has that.
fn table(gate: &Gate) -> Result<Option<libc::c_int>, i32> {
    let socket = netlink(gate.rules.protocol)?;
    let log = netlink(gate.log.protocol)?;
    if exchange(log, &gate.log).is_ok() && exchange(socket, &gate.rules_logged).is_ok() {
        close(socket);
        return Ok(Some(log));
    }
    close(log);
    let done = exchange(socket, &gate.rules);
    close(socket);
    done.map(|()| None)
}

/// The table alone, with nothing left open.
pub(in crate::sys) fn try_table(gate: &Gate) -> Result<(), i32> {
    table(gate).map(|log| log.into_iter().for_each(close))
}

fn netlink(protocol: Protocol) -> Result<libc::c_int, i32> {
    let protocol = match protocol {
        Protocol::Route => libc::NETLINK_ROUTE,
        Protocol::Netfilter => libc::NETLINK_NETFILTER,
    };
    // SAFETY: makes a descriptor, which the caller closes.
    check_int(unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol) })
}

/// Sends the messages and hears the first answer: the kernel has answered when sending returns (netlink(7)). What it did not carry out it tells in the
/// order of the messages, each in a datagram of its own, so that where the answer to the last is the first all have been carried out.
fn exchange(socket: libc::c_int, batch: &Batch) -> Result<(), i32> {
    // SAFETY: the slice is valid for its length; an unconnected netlink socket sends to the kernel.
    let sent = unsafe { libc::send(socket, batch.bytes.as_ptr().cast(), batch.bytes.len(), 0) };
    if sent < 0 {
        return Err(errno());
    }
    let mut room = [0_u8; ANSWER_BYTES];
    // SAFETY: the array is valid for its length.
    let read = unsafe { libc::recv(socket, room.as_mut_ptr().cast(), room.len(), libc::MSG_DONTWAIT) };
    let read = usize::try_from(read).map_err(|_| errno())?;
    answer(room.get(..read).ok_or(libc::EPROTO)?)
}

/// Reads an answer, which says that a message was carried out or with which error it was not.
fn answer(bytes: &[u8]) -> Result<(), i32> {
    /// `NLMSG_ERROR`, with which it is also said that there is none.
    const ERROR: u16 = 2;
    const HEADER: usize = 16;
    let kind = bytes.get(4..6).and_then(|kind| <[u8; 2]>::try_from(kind).ok()).map(u16::from_ne_bytes);
    let error = bytes.get(HEADER..HEADER + 4).and_then(|word| <[u8; 4]>::try_from(word).ok());
    match (kind, error.map(i32::from_ne_bytes)) {
        (Some(ERROR), Some(0)) => Ok(()),
        (Some(ERROR), Some(error)) => Err(-error),
        _ => Err(libc::EPROTO),
    }
}

/// Listens where the table leads connections of version 4.
fn listener_v4() -> Result<libc::c_int, i32> {
    let socket = internet(libc::AF_INET, libc::SOCK_STREAM)?;
    bind_v4(socket, LISTENER_V4)?;
    listen(socket)
}

/// The same for version 6, where the host has that.
fn listener_v6() -> Result<Option<libc::c_int>, i32> {
    let socket = match internet(libc::AF_INET6, libc::SOCK_STREAM) {
        Err(libc::EAFNOSUPPORT) => return Ok(None),
        socket => socket?,
    };
    let one: libc::c_int = 1;
    for (level, option) in [(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY), (libc::SOL_IP, libc::IP_FREEBIND)] {
        let (value, size) = ((&raw const one).cast(), socket_length::<libc::c_int>());
        // SAFETY: the kernel reads one int.
        check_int(unsafe { libc::setsockopt(socket, level, option, value, size) })?;
    }
    // SAFETY: all-zero is a valid address of this family.
    let mut address: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
    address.sin6_family = FAMILY_V6;
    address.sin6_port = PORT.to_be();
    address.sin6_addr = libc::in6_addr { s6_addr: LISTENER_V6.octets() };
    let (place, size) = ((&raw const address).cast(), socket_length::<libc::sockaddr_in6>());
    // SAFETY: the address is valid for `size` bytes.
    check_int(unsafe { libc::bind(socket, place, size) })?;
    listen(socket).map(Some)
}

/// Where the table leads questions for names.
fn resolver() -> Result<libc::c_int, i32> {
    let socket = internet(libc::AF_INET, libc::SOCK_DGRAM)?;
    bind_v4(socket, RESOLVER)?;
    Ok(socket)
}

const FAMILY_V4: libc::sa_family_t = 2;
const FAMILY_V6: libc::sa_family_t = 10;

fn internet(family: libc::c_int, kind: libc::c_int) -> Result<libc::c_int, i32> {
    // SAFETY: makes a descriptor, which the caller closes.
    check_int(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0) })
}

fn bind_v4(socket: libc::c_int, address: std::net::Ipv4Addr) -> Result<(), i32> {
    // SAFETY: all-zero is a valid address of this family.
    let mut place: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    place.sin_family = FAMILY_V4;
    place.sin_port = PORT.to_be();
    place.sin_addr = libc::in_addr { s_addr: u32::from(address).to_be() };
    let (place, size) = ((&raw const place).cast(), socket_length::<libc::sockaddr_in>());
    // SAFETY: the address is valid for `size` bytes.
    check_int(unsafe { libc::bind(socket, place, size) }).map(drop)
}

fn listen(socket: libc::c_int) -> Result<libc::c_int, i32> {
    // SAFETY: the socket is the caller's.
    check_int(unsafe { libc::listen(socket, WAITING) })?;
    Ok(socket)
}

#[expect(clippy::cast_possible_truncation, reason = "the size of a small structure")]
const fn socket_length<T>() -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(error: i32) -> Vec<u8> {
        let mut out = 36_u32.to_ne_bytes().to_vec();
        out.extend(2_u16.to_ne_bytes());
        out.resize(16, 0);
        out.extend(error.to_ne_bytes());
        out.resize(36, 0);
        out
    }

    #[test]
    fn an_answer_says_whether_a_message_was_carried_out() {
        assert_eq!(answer(&told(0)), Ok(()));
        assert_eq!(answer(&told(-libc::EEXIST)), Err(libc::EEXIST));
        for broken in [&told(0)[..10], &[], &[0; 20]] {
            assert_eq!(answer(broken), Err(libc::EPROTO), "{broken:?}");
        }
    }
}
