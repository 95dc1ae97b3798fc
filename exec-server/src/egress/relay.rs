//! Carrying bytes between two sockets, both ways, with a bounded amount on the way.
//!
//! What is read goes out before more is read, so a side that does not read slows the other down. The end of one direction is passed
//! on and the other goes on (half-close). One buffer serves all connections of the thread; a connection that waits holds none.

use std::cell::{Cell, RefCell};
use std::io;
use std::time::Duration;

use rustix::net::Shutdown;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Bytes after which others have their turn.
const TURN_BYTES: usize = 1 << 20;

/// How long nothing may pass in either direction.
const IDLE: Duration = Duration::from_secs(2 * 3600);

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK_BYTES]);
}

/// Carries until both directions have ended.
///
/// # Errors
/// The first of either socket; [`io::ErrorKind::TimedOut`] where nothing passed for too long.
pub(crate) async fn relay(client: &TcpStream, server: &TcpStream) -> io::Result<()> {
    let last = Cell::new(Instant::now());
    let both = async { tokio::try_join!(pump(client, server, &last), pump(server, client, &last)) };
    tokio::pin!(both);
    loop {
        let until = last.get() + IDLE;
        match timeout_at(until, &mut both).await {
            Ok(ended) => return ended.map(drop),
            Err(_) if last.get() + IDLE > until => {}
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

async fn pump(from: &TcpStream, to: &TcpStream, last: &Cell<Instant>) -> io::Result<()> {
    let mut turn = 0;
    loop {
        from.readable().await?;
        let (count, rest) = match BUFFER.with_borrow_mut(|buffer| move_chunk(from, to, buffer)) {
            Ok((0, _)) => break,
            Ok(moved) => moved,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        last.set(Instant::now());
        send(to, &rest).await?;
        last.set(Instant::now());
        turn += count;
        if turn >= TURN_BYTES {
            turn = 0;
            tokio::task::yield_now().await;
        }
    }
    match rustix::net::shutdown(to, Shutdown::Write) {
        Ok(()) | Err(rustix::io::Errno::NOTCONN) => Ok(()),
        Err(error) => Err(error.into()),
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

async fn send(to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
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
