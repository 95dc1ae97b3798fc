//! Descriptors that a caller passes as standard input, output or error: those from which a command could walk out of the sandbox are refused.
//!
//! A directory leads on to other files. A socket that is not connected for good can be connected to whom no rule allows: one of the host's network
//! namespace reaches the host's network from inside, and one of a unix domain is not asked for again once it is there. A unix stream that is connected
//! stays so for as long as it lives, as a pipe does. Called by [`super::begin`].

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::sockopt::{socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType, getpeername};
use weir_protocol::Policy;

use super::is_directory;

/// Why a descriptor is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    /// A directory.
    #[error(
        "standard input, output or error is a directory; a command could walk out of the sandbox from it"
    )]
    Directory,
    /// A socket that can be connected elsewhere.
    #[error(
        "standard input, output or error is a socket that a command could connect to whom the profile does not allow; put a pipe between: \
         `cat | weir run …`, `weir run … 2>&1 | cat`. Pipes, terminals, files and connected unix streams can be passed"
    )]
    Socket,
    /// It cannot be looked at.
    #[error("cannot look at a descriptor that was passed: {0}")]
    Look(#[from] io::Error),
}

/// Whether a command under this policy may have it.
pub(super) fn check(descriptor: &OwnedFd, policy: &Policy) -> Result<(), Unfit> {
    if is_directory(descriptor)? {
        return Err(Unfit::Directory);
    }
    let found = rustix::fs::fstat(descriptor).map_err(io::Error::from)?;
    let is_socket = rustix::fs::FileType::from_raw_mode(found.st_mode) == rustix::fs::FileType::Socket;
    if !is_socket || policy.is_unrestricted() {
        return Ok(());
    }
    let network = policy.network();
    let is_hosts = network.is_hosts();
    let internet = if is_hosts { Internet::Hosts } else { Internet::Apart };
    if is_settled(descriptor, internet).map_err(io::Error::from)? { Ok(()) } else { Err(Unfit::Socket) }
}

/// The network of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Internet {
    /// The host's own, without a rule.
    Hosts,
    /// None, or one with rules.
    Apart,
}

/// Whether a socket leads nowhere else than where it does, or only where the command may go anyway.
fn is_settled(socket: &OwnedFd, internet: Internet) -> rustix::io::Result<bool> {
    let (domain, kind) = (socket_domain(socket)?, socket_type(socket)?);
    Ok(match domain {
        AddressFamily::UNIX => {
            [SocketType::STREAM, SocketType::SEQPACKET].contains(&kind) && getpeername(socket).is_ok()
        }
        AddressFamily::INET | AddressFamily::INET6 => {
            kind == SocketType::STREAM && internet == Internet::Hosts
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    use rustix::net::{SocketFlags, socketpair};

    use super::*;

    #[test]
    fn a_socket_is_passed_where_it_leads_nowhere_else() {
        use Internet::{Apart, Hosts};
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let pair = |kind| socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap();
        let place = tempfile::tempdir().unwrap();
        let named = UnixListener::bind(place.path().join("s")).unwrap();
        let reached = UnixStream::connect(place.path().join("s")).unwrap();
        // The other end is gone: it stays connected with nobody.
        let left = pair(SocketType::STREAM).0;
        let (packets, _kept) = pair(SocketType::SEQPACKET);
        let (datagrams, _kept) = pair(SocketType::DGRAM);
        let cases: [(OwnedFd, &[Internet]); 8] = [
            (reached.into(), &[Apart, Hosts]),
            (left, &[Apart, Hosts]),
            (packets, &[Apart, Hosts]),
            (connected.into(), &[Hosts]),
            (datagrams, &[]),
            (named.into(), &[]),
            (UnixDatagram::unbound().unwrap().into(), &[]),
            (UdpSocket::bind("127.0.0.1:0").unwrap().into(), &[]),
        ];
        for (at, (socket, fit)) in cases.iter().enumerate() {
            let found = [Apart, Hosts].into_iter().filter(|one| is_settled(socket, *one).unwrap());
            assert_eq!(found.collect::<Vec<_>>(), *fit, "{at}");
        }
    }
}
