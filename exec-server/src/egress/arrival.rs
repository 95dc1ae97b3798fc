//! Connections that arrive: accepting them, how many there may be, and where they were meant to go.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Core;

/// Connections of one sandbox at a time.
pub const MAX_CONNECTIONS: usize = 1024;

/// How long accepting rests where the process has no descriptor left, unless one of this sandbox's connections ends before.
const REST: Duration = Duration::from_millis(100);

/// A listening socket that was made elsewhere.
///
/// # Errors
/// The system's.
pub(crate) fn listener(socket: OwnedFd) -> io::Result<TcpListener> {
    rustix::io::ioctl_fionbio(&socket, true)?;
    TcpListener::from_std(socket.into())
}

/// A datagram socket that was made elsewhere.
///
/// # Errors
/// The system's.
pub(crate) fn datagrams(socket: OwnedFd) -> io::Result<UdpSocket> {
    rustix::io::ioctl_fionbio(&socket, true)?;
    UdpSocket::from_std(socket.into())
}

/// Accepts for ever.
pub(crate) async fn accept_all(core: Rc<Core>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            arrived = listener.accept() => match arrived {
                Ok((stream, _)) => { connections.spawn_local(one(Rc::clone(&core), stream)); }
                Err(_) => { let _ = timeout(REST, connections.join_next()).await; }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn one(core: Rc<Core>, stream: TcpStream) {
    match destination(&stream) {
        Ok(destination) if core.open.get() < MAX_CONNECTIONS => {
            core.open.set(core.open.get() + 1);
            let _ended = Ended(Rc::clone(&core));
            core.serve(stream, destination).await;
        }
        _ => {
            let _ = stream.set_zero_linger();
        }
    }
}

/// Counts down however the connection ends.
struct Ended(Rc<Core>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get().saturating_sub(1));
    }
}

/// Where a connection was meant to go before it was redirected (netfilter's `SO_ORIGINAL_DST`).
#[cfg(target_os = "linux")]
fn destination(stream: &TcpStream) -> io::Result<SocketAddr> {
    use rustix::net::sockopt::{ip_original_dst, ipv6_original_dst};

    let local = stream.local_addr()?;
    let original = if local.is_ipv4() {
        ip_original_dst(stream).map(SocketAddr::V4)
    } else {
        ipv6_original_dst(stream).map(SocketAddr::V6)
    };
    // What was not redirected was meant for the listener itself.
    Ok(original.unwrap_or(local))
}

#[cfg(not(target_os = "linux"))]
fn destination(stream: &TcpStream) -> io::Result<SocketAddr> {
    stream.local_addr()
}
