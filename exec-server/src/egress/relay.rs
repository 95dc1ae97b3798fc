//! Carrying bytes between two sockets, both ways, with a bounded amount on the way.
//!
//! What is read goes out before more is read, so a side that does not read slows the other down. The end of one direction is passed
//! on and the other goes on (half-close). One buffer serves all connections of the thread; a connection that waits holds none.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::time::Duration;

use rustix::net::Shutdown;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::refusal::Reason;

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Bytes after which others have their turn.
const TURN_BYTES: usize = 1 << 20;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK_BYTES]);
}

/// Why carrying has ended before both directions had.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The client's first bytes may not go out.
    Refused(Reason),
    /// One of the sockets failed, or nothing passed for too long.
    Reset,
}

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self::Reset
    }
}

/// Carries until both directions have ended. The client's direction begins with what `opening` yields; the server's begins at once.
///
/// # Errors
/// [`Broken`]; both sockets are then to be reset.
pub(crate) async fn relay(
    client: &TcpStream,
    server: &TcpStream,
    idle: Duration,
    opening: impl Future<Output = Result<Vec<u8>, Reason>>,
) -> Result<(), Broken> {
    let last = Cell::new(Instant::now());
    let upwards = async {
        let first = opening.await.map_err(Broken::Refused)?;
        send(server, &first).await?;
        pump(client, server, &last).await
    };
    either_ends(async { tokio::try_join!(upwards, pump(server, client, &last)).map(drop) }, &last, idle).await
}

/// Runs `carrying`, as long as something passes within `idle`.
pub(crate) async fn either_ends(
    carrying: impl Future<Output = Result<(), Broken>>,
    last: &Cell<Instant>,
    idle: Duration,
) -> Result<(), Broken> {
    tokio::pin!(carrying);
    loop {
        let until = last.get() + idle;
        match timeout_at(until, &mut carrying).await {
            Ok(ended) => return ended,
            Err(_) if last.get() + idle > until => {}
            Err(_) => return Err(Broken::Reset),
        }
    }
}

/// Carries one direction to its end, and passes the end on.
pub(crate) async fn pump(from: &TcpStream, to: &TcpStream, last: &Cell<Instant>) -> Result<(), Broken> {
    let mut turn = 0;
    loop {
        from.readable().await?;
        let (count, rest) = match BUFFER.with_borrow_mut(|buffer| move_chunk(from, to, buffer)) {
            Ok((0, _)) => break,
            Ok(moved) => moved,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error.into()),
        };
        last.set(Instant::now());
        if !rest.is_empty() {
            send(to, &rest).await?;
            last.set(Instant::now());
        }
        turn += count;
        if turn >= TURN_BYTES {
            turn = 0;
            tokio::task::yield_now().await;
        }
    }
    match rustix::net::shutdown(to, Shutdown::Write) {
        Ok(()) | Err(rustix::io::Errno::NOTCONN) => Ok(()),
        Err(_) => Err(Broken::Reset),
    }
}

/// Reads once and writes what goes: how much was read, and what of it is left.
fn move_chunk(from: &TcpStream, to: &TcpStream, buffer: &mut [u8]) -> io::Result<(usize, Vec<u8>)> {
    let count = from.try_read(buffer)?;
    let read = buffer.get(..count).unwrap_or_default();
    let sent = match to.try_write(read) {
        Ok(sent) => sent,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        Err(error) => return Err(error),
    };
    Ok((count, read.get(sent..).unwrap_or_default().to_vec()))
}

/// Writes all of it.
pub(crate) async fn send(to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
