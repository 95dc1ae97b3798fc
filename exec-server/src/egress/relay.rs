//! Carrying bytes between two sockets, both ways, with a bounded amount on the way.
//!
//! What is read goes out before more is read, so a side that does not read slows the other down. The end of one direction is passed
//! on and the other goes on (half-close). One buffer serves all connections of the thread; a connection that waits holds none.

#[cfg(target_os = "linux")]
mod splice;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::pin;

use rustix::net::Shutdown;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::Core;
use super::ending::Word;
use super::failure::{Failure, Unconnected};
use super::opening::Heard;
use super::opening::retry::Beginning;
use super::refusal::Reason;

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Bytes that are read at once where too much waits already.
const CRAMPED_BYTES: usize = 4 << 10;

/// Bytes that one direction carries before it counts as one that carries much.
const BULK_BYTES: usize = 4 << 20;

/// Bytes after which others have their turn.
const TURN_BYTES: usize = 1 << 20;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK_BYTES]);
}

/// Why carrying has ended before both directions had.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The client's first bytes may not go out, or there is no server for them: to be told.
    Told(Unconnected),
    /// One of the sockets failed, or nothing passed for too long.
    Reset,
}

impl From<Reason> for Broken {
    fn from(reason: Reason) -> Self {
        Self::Told(reason.into())
    }
}

impl From<Unconnected> for Broken {
    fn from(why: Unconnected) -> Self {
        Self::Told(why)
    }
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Told(failure.into())
    }
}

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self::Reset
    }
}

/// Carries until both directions have ended. The client's direction begins with what `opening` yields, and `word` is that it has not
/// ended; the server's begins at once.
///
/// # Errors
/// [`Broken`]; both sockets are then to be reset.
pub(crate) async fn relay(
    core: &Core,
    client: &TcpStream,
    server: &TcpStream,
    word: &Word,
    opening: impl Future<Output = Result<Heard, Broken>>,
) -> Result<(), Broken> {
    let last = Cell::new(Instant::now());
    let beginning = Beginning::default();
    let upwards = async {
        let first = opening.await?;
        send(server, &first.bytes).await?;
        if let Some((name, behind)) = first.hello {
            let second = beginning.second(client, name.as_deref(), behind, &last).await?;
            send(server, &second).await?;
        }
        pump(core, client, server, &last).await
    };
    let upwards = async {
        core.ending.within(server, &last, pin!(upwards)).await.unwrap_or(Err(Failure::Cut.into()))?;
        word.is_said();
        Ok(())
    };
    let downwards = async {
        beginning.carry(server, client, &last).await?;
        pump(core, server, client, &last).await
    };
    let both = async { tokio::try_join!(upwards, downwards).map(drop) };
    either_ends(core, both, &last).await
}

/// Runs `carrying`, as long as something passes.
pub(crate) async fn either_ends(
    core: &Core,
    carrying: impl Future<Output = Result<(), Broken>>,
    last: &Cell<Instant>,
) -> Result<(), Broken> {
    tokio::pin!(carrying);
    let idle = core.limits.idle;
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
pub(crate) async fn pump(
    core: &Core,
    from: &TcpStream,
    to: &TcpStream,
    last: &Cell<Instant>,
) -> Result<(), Broken> {
    let (mut turn, mut copied) = (0, 0);
    loop {
        if copied >= BULK_BYTES {
            copied = 0;
            if in_bulk(core, from, to, last).await? {
                break;
            }
        }
        from.readable().await?;
        let most = if core.held.get() < core.limits.held_bytes { CHUNK_BYTES } else { CRAMPED_BYTES };
        let moved = BUFFER.with_borrow_mut(|buffer| match buffer.get_mut(..most) {
            Some(buffer) => move_chunk(from, to, buffer),
            None => Err(io::ErrorKind::OutOfMemory.into()),
        });
        let (count, rest) = match moved {
            Ok((0, _)) => break,
            Ok(moved) => moved,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error.into()),
        };
        last.set(Instant::now());
        if !rest.is_empty() {
            let _held = Held::hold(&core.held, rest.len());
            send(to, &rest).await?;
            last.set(Instant::now());
        }
        turn += count;
        copied += count;
        if turn >= TURN_BYTES {
            turn = 0;
            tokio::task::yield_now().await;
        }
    }
    pass_end(to)
}

/// Tells a side that the other has nothing more to say.
fn pass_end(to: &TcpStream) -> Result<(), Broken> {
    match rustix::net::shutdown(to, Shutdown::Write) {
        Ok(()) | Err(rustix::io::Errno::NOTCONN) => Ok(()),
        Err(_) => Err(Broken::Reset),
    }
}

/// Carries what is left without copying it, where that can be done; whether it could.
#[cfg(target_os = "linux")]
async fn in_bulk(
    core: &Core,
    from: &TcpStream,
    to: &TcpStream,
    last: &Cell<Instant>,
) -> Result<bool, Broken> {
    match splice::Pipe::take(&core.pipes) {
        Some(pipe) => Ok(pipe.carry(from, to, last).await? == splice::Ended::Whole),
        None => Ok(false),
    }
}

#[cfg(not(target_os = "linux"))]
async fn in_bulk(_: &Core, _: &TcpStream, _: &TcpStream, _: &Cell<Instant>) -> Result<bool, Broken> {
    Ok(false)
}

/// Bytes that are held, until they are not.
struct Held<'a>(&'a Cell<usize>, usize);

impl<'a> Held<'a> {
    fn hold(all: &'a Cell<usize>, bytes: usize) -> Self {
        all.set(all.get().saturating_add(bytes));
        Self(all, bytes)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(self.1));
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
