//! Connections that arrive: accepting them, how many there may be, and where they were meant to go.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Core;
use super::ending::Word;

/// Descriptors that this process asks for: some gates with all their connections.
const MAX_DESCRIPTORS: u64 = 1 << 16;

/// How long accepting rests where the process has no descriptor left, unless one of this sandbox's connections ends before.
pub(super) const REST: Duration = Duration::from_millis(100);

/// Lets this process have as many descriptors as it may: a connection takes two of them. Commands are started by the launcher, whose
/// limit is another.
pub(crate) fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.map_or(MAX_DESCRIPTORS, |most| most.min(MAX_DESCRIPTORS));
    if limit.current.is_some_and(|current| current < most) {
        // Where it may not, there are fewer connections.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum });
    }
}

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

/// Accepts for ever; the kernel says where each was meant to go.
pub(crate) async fn accept_all(core: Rc<Core>, listener: TcpListener) {
    accept(core, listener, None).await;
}

/// Accepts for ever; all of them are meant for one place.
pub(crate) async fn accept_for(core: Rc<Core>, listener: TcpListener, destination: SocketAddr) {
    accept(core, listener, Some(destination)).await;
}

async fn accept(core: Rc<Core>, listener: TcpListener, meant: Option<SocketAddr>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            arrived = listener.accept() => match arrived {
                Ok((stream, _)) => { connections.spawn_local(one(Rc::clone(&core), stream, meant, Word::of(&core))); }
                Err(_) => { let _ = timeout(REST, one_less(&mut connections)).await; }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Waits until a connection has ended; for ever where there is none.
async fn one_less(connections: &mut JoinSet<()>) {
    if connections.join_next().await.is_none() {
        std::future::pending().await
    }
}

/// Serves those that wait here, when no more come.
pub(super) fn accept_waiting(
    core: &Rc<Core>,
    listener: &std::net::TcpListener,
    meant: Option<SocketAddr>,
    connections: &mut JoinSet<()>,
) {
    for (stream, _) in std::iter::from_fn(|| listener.accept().ok()) {
        let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
        let Ok(stream) = stream else { continue };
        connections.spawn_local(one(Rc::clone(core), stream, meant, Word::of(core)));
    }
}

async fn one(core: Rc<Core>, stream: TcpStream, meant: Option<SocketAddr>, word: Word) {
    let destination = meant.map_or_else(|| destination(&stream, stream.local_addr()), Ok);
    // Where there is none, the program has gone already.
    if let Ok(destination) = destination {
        core.serve(stream, destination, word).await;
    }
}

/// Where a connection was meant to go before it was redirected (netfilter's `SO_ORIGINAL_DST`).
#[cfg(target_os = "linux")]
fn destination(stream: impl AsFd, local: io::Result<SocketAddr>) -> io::Result<SocketAddr> {
    use rustix::net::sockopt::{ip_original_dst, ipv6_original_dst};

    let local = local?;
    let original = if local.is_ipv4() {
        ip_original_dst(stream).map(SocketAddr::V4)
    } else {
        ipv6_original_dst(stream).map(SocketAddr::V6)
    };
    // What was not redirected was meant for the listener itself.
    Ok(original.unwrap_or(local))
}

#[cfg(not(target_os = "linux"))]
fn destination(_stream: impl AsFd, local: io::Result<SocketAddr>) -> io::Result<SocketAddr> {
    local
}
