//! Published ports: the listening sockets on the host's loopback, and what leads from there to a server inside.
//!
//! The launcher binds, as the user and before anything runs, so that a port that is taken is an error. The sockets that are connected
//! inside were made there, by init. All of them travel to the server part as one descriptor: a socket on which they wait, each with a label.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, socketpair,
};
use weir_protocol::policy::{Origin, PublishRule, Published};

/// Why a port is not published.
#[derive(Debug, thiserror::Error)]
#[error("port {port} of this machine's loopback cannot be published ({}): {source}", .rule.whence())]
pub(crate) struct PublishError {
    /// The port.
    port: u16,
    /// The rule.
    rule: Box<Origin>,
    /// The system's word: most often that something listens there already.
    source: io::Error,
}

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Listens on the host's loopback, for the server at this port inside.
    Listener {
        /// The port inside.
        inside: u16,
    },
    /// Made inside, of version 4, not connected.
    InnerV4,
    /// The same of version 6.
    InnerV6,
}

/// Bytes of a label: a kind, and a port.
const LABEL_BYTES: usize = 3;

impl Piece {
    fn label(self) -> [u8; LABEL_BYTES] {
        let (kind, port) = match self {
            Self::Listener { inside } => (0, inside),
            Self::InnerV4 => (1, 0),
            Self::InnerV6 => (2, 0),
        };
        let [high, low] = port.to_be_bytes();
        [kind, high, low]
    }

    fn from_label([kind, high, low]: [u8; LABEL_BYTES]) -> Option<Self> {
        match kind {
            0 => Some(Self::Listener { inside: u16::from_be_bytes([high, low]) }),
            1 => Some(Self::InnerV4),
            2 => Some(Self::InnerV6),
            _ => None,
        }
    }
}

/// Listens on both addresses of the host's loopback for each rule.
///
/// # Errors
/// [`PublishError`]: nothing is kept then.
pub(crate) fn bind(rules: &[PublishRule]) -> Result<Vec<(Piece, OwnedFd)>, PublishError> {
    let mut out = Vec::new();
    for rule in rules {
        let Published::Port { host, inside } = rule.what else { continue };
        let (port, inside) = (host.get(), inside.get());
        let failed = |source| PublishError { port, rule: Box::new(rule.origin.clone()), source };
        for address in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            match TcpListener::bind((address, port)) {
                Ok(listener) => out.push((Piece::Listener { inside }, listener.into())),
                Err(error) if address.is_ipv6() && has_no_such_address(&error) => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }
    Ok(out)
}

/// Whether the host has version 6 switched off.
fn has_no_such_address(error: &io::Error) -> bool {
    let without = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL];
    error.raw_os_error().is_some_and(|number| without.iter().any(|errno| errno.raw_os_error() == number))
}

/// A socket on which all of these wait.
///
/// # Errors
/// The system's.
pub(crate) fn pack(pieces: &[(Piece, OwnedFd)]) -> io::Result<OwnedFd> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    for (piece, socket) in pieces {
        let descriptors = [socket.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        // A queue that is full is an error: nobody reads it yet.
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        rustix::net::sendmsg(&ours, &[IoSlice::new(&piece.label())], &mut ancillary, flags)?;
    }
    Ok(theirs)
}

/// What waits on such a socket.
pub(crate) fn unpack(bundle: &OwnedFd) -> impl Iterator<Item = (Piece, OwnedFd)> {
    std::iter::from_fn(move || {
        let mut label = [0; LABEL_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let received =
            rustix::net::recvmsg(bundle, &mut [IoSliceMut::new(&mut label)], &mut ancillary, flags).ok()?;
        let mut passed = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        });
        let descriptor = passed.next()?.next()?;
        (received.bytes == LABEL_BYTES).then_some((Piece::from_label(label)?, descriptor))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> PublishRule {
        PublishRule { what: text.parse().unwrap(), origin: Origin::implied("a test") }
    }

    #[test]
    fn a_port_is_listened_on_at_both_addresses_and_a_taken_one_is_told() {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let rules = [rule(&format!("{free}:80"))];
        let bound = bind(&rules).unwrap();
        assert!(bound.iter().all(|(piece, _)| *piece == Piece::Listener { inside: 80 }));
        let error = bind(&rules).unwrap_err().to_string();
        assert!(error.starts_with(&format!("port {free} of this machine's loopback cannot be")), "{error}");
        assert!(error.contains("in use"), "{error}");
        drop(bound);
        assert!(bind(&rules).is_ok());
    }

    #[test]
    fn pieces_arrive_with_their_labels() {
        let socket = || OwnedFd::from(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let labels = [Piece::Listener { inside: 8080 }, Piece::InnerV4, Piece::InnerV6];
        let mut pieces: Vec<_> = labels.map(|piece| (piece, socket())).into();
        pieces.extend((0..150).map(|_| (Piece::InnerV4, socket())));
        let bundle = pack(&pieces).unwrap();
        let found: Vec<Piece> = unpack(&bundle).map(|(piece, _)| piece).collect();
        assert_eq!(found, pieces.iter().map(|(piece, _)| *piece).collect::<Vec<_>>());
    }
}
