//! Datagrams that the gate's table refused inside, as the kernel tells of them (`linux/netfilter/nfnetlink_log.h`).
//!
//! The socket was bound to its group inside the sandbox's network namespace, so it hears of that one alone. What it hears are the first
//! bytes of packets that programs inside have made up: they are read as far as addresses and ports lie, and only recorded.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::net::{RecvFlags, recv};
use tokio::net::UdpSocket;
use weir_protocol::policy::Host;

use super::refusal::{Attempt, Reason, Refusal};
use super::{Core, arrival, decision};

/// Most bytes of one message: a packet's beginning and what the kernel says besides.
const MESSAGE_BYTES: usize = 4096;

/// Most messages that are read one after the other before others get their turn.
const AT_ONCE: usize = 256;

/// Bytes of `struct nlmsghdr` and, behind it, `struct nfgenmsg`.
const HEADER_BYTES: usize = 16;
const FAMILY_BYTES: usize = 4;

/// Bytes of `struct nlattr`, and the attribute that holds the packet (`NFULA_PAYLOAD`).
const ATTRIBUTE_BYTES: usize = 4;
const PACKET: u16 = 9;

/// `NFNL_SUBSYS_ULOG` with `NFULNL_MSG_PACKET`.
const LOGGED: u16 = 4 << 8;

/// UDP's number in a header of IP.
const UDP: u8 = 17;

/// The socket on which refusals are told. It is no UDP socket, but one of messages as well.
#[derive(Debug)]
pub(crate) struct Log(UdpSocket);

impl Log {
    pub(crate) fn new(socket: OwnedFd) -> std::io::Result<Self> {
        arrival::datagrams(socket).map(Self)
    }

    /// Records what comes, as long as anything can.
    pub(crate) async fn record_all(self: Rc<Self>, core: Rc<Core>) {
        let mut room = [0; MESSAGE_BYTES];
        loop {
            match self.0.recv(&mut room).await {
                Ok(count) => core.record_refused(room.get(..count).unwrap_or_default()),
                // Messages that did not fit were dropped, which is told once.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {}
                Err(_) => return,
            }
            self.record_waiting(&core);
        }
    }

    /// Records what is there already.
    pub(crate) fn record_waiting(&self, core: &Core) {
        let mut room = [0; MESSAGE_BYTES];
        for _ in 0..AT_ONCE {
            match recv(&self.0, &mut room[..], RecvFlags::DONTWAIT) {
                Ok((_, count)) => core.record_refused(room.get(..count).unwrap_or_default()),
                Err(rustix::io::Errno::NOBUFS | rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }
}

impl Core {
    fn record_refused(&self, message: &[u8]) {
        for place in packets(message).filter_map(destination) {
            let name = self.names.borrow_mut().name(place.ip());
            let host = name.map_or(Host::Address(place.ip()), |name| Host::Name(name.to_string()));
            self.refusals.record(Refusal {
                attempt: Attempt::Send,
                target: decision::target(&host, place.port()),
                reason: Reason::Datagram,
                origin: None,
            });
        }
    }
}

/// The packets in what was read: messages one behind the other, each with attributes.
fn packets(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    parts(message, 4, HEADER_BYTES).filter(|(kind, _)| *kind == LOGGED).flat_map(|(_, body)| {
        let attributes = body.get(FAMILY_BYTES..).unwrap_or_default();
        parts(attributes, 2, ATTRIBUTE_BYTES).filter(|(kind, _)| *kind == PACKET).map(|(_, packet)| packet)
    })
}

/// Kind and content of parts that lie one behind the other, aligned, each headed by its length in so many bytes and its kind.
fn parts(bytes: &[u8], length_bytes: usize, header: usize) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let word = |at: usize| Some(u16::from_ne_bytes(*rest.get(at..)?.first_chunk()?));
        let length = match length_bytes {
            2 => usize::from(word(0)?),
            _ => usize::try_from(u32::from_ne_bytes(*rest.first_chunk()?)).ok()?,
        };
        let kind = word(length_bytes)?;
        let content = rest.get(header..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, content))
    })
}

/// Where a datagram was to go; nothing for what is none, or cut off before its ports.
fn destination(packet: &[u8]) -> Option<SocketAddr> {
    let (protocol, address, ports): (u8, IpAddr, usize) = match packet.first()? >> 4 {
        4 => {
            let address = Ipv4Addr::from(*packet.get(16..)?.first_chunk::<4>()?);
            (*packet.get(9)?, address.into(), usize::from(packet.first()? & 0xf) * 4)
        }
        6 => {
            let address = Ipv6Addr::from(*packet.get(24..)?.first_chunk::<16>()?);
            (*packet.get(6)?, address.into(), 40)
        }
        _ => return None,
    };
    let port = u16::from_be_bytes(*packet.get(ports.checked_add(2)?..)?.first_chunk()?);
    (protocol == UDP).then(|| SocketAddr::new(address.to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(length_bytes: usize, kind: u16, between: usize, content: &[u8]) -> Vec<u8> {
        let length = length_bytes + 2 + between + content.len();
        let mut out = match length_bytes {
            2 => u16::try_from(length).unwrap().to_ne_bytes().to_vec(),
            _ => u32::try_from(length).unwrap().to_ne_bytes().to_vec(),
        };
        out.extend(kind.to_ne_bytes());
        out.resize(out.len() + between, 0);
        out.extend(content);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    }

    fn logged(packets: &[&[u8]]) -> Vec<u8> {
        let attributes = packets.iter().map(|packet| part(2, PACKET, 0, packet));
        let body = [vec![0; FAMILY_BYTES], part(2, 1, 0, &[1, 2, 3])].into_iter().chain(attributes);
        part(4, LOGGED, HEADER_BYTES - 6, &body.collect::<Vec<_>>().concat())
    }

    fn v4(protocol: u8, options: u8) -> Vec<u8> {
        let mut packet = vec![0x45 + options, 0, 0, 32, 0, 0, 0, 0, 64, protocol, 0, 0, 198, 18, 0, 4];
        packet.extend([203, 0, 113, 5]);
        packet.resize(packet.len() + usize::from(options) * 4, 0);
        packet.extend([0x80, 0, 1, 0xbb, 0, 8, 0, 0]);
        packet
    }

    fn v6() -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, 8, UDP, 64];
        packet.extend(Ipv6Addr::LOCALHOST.octets());
        packet.extend(Ipv6Addr::new(0x2606, 0x4700, 0, 0, 0, 0, 0, 1).octets());
        packet.extend([0x80, 0, 1, 0xbb]);
        packet
    }

    #[test]
    fn destinations_are_read_and_nothing_else() {
        let read = |message: &[u8]| -> Vec<String> {
            packets(message).filter_map(destination).map(|place| place.to_string()).collect()
        };
        let two = logged(&[&v4(UDP, 0), &v6()]);
        assert_eq!(read(&two), ["203.0.113.5:443", "[2606:4700::1]:443"]);
        assert_eq!(read(&[two.clone(), logged(&[&v4(UDP, 2)])].concat()).len(), 3);
        assert_eq!(read(&logged(&[&v4(1, 0), &[], &[0x70; 60], &v4(UDP, 0)[..21]])), Vec::<String>::new());
        let mut other = two.clone();
        other[4] = 3;
        assert_eq!(read(&other), Vec::<String>::new());
    }

    /// Whatever is cut off or lies about its length is read without a panic, and the loop ends.
    #[test]
    fn broken_messages_end() {
        let whole = logged(&[&v4(UDP, 0), &v6()]);
        for cut in 0..whole.len() {
            assert!(packets(&whole[..cut]).filter_map(destination).count() <= 2);
        }
        for at in 0..whole.len() {
            for value in [0, 1, 3, 0x7f, 0xff] {
                let mut broken = whole.clone();
                broken[at] = value;
                assert!(packets(&broken).filter_map(destination).count() <= 2);
            }
        }
    }
}
