//! Carrying many bytes without copying them through this process: splice(2) through a pipe.
//!
//! Only for connections that have shown that they carry much, and for so many of them at a time; everything else, and everything where the
//! kernel or a filter says no, is copied. The pipe is emptied before more is read, so no more waits than it holds.

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{Broken, TURN_BYTES};

/// Pipes of one sandbox: beyond a user's soft limit (pipe(7), `pipe-user-pages-soft`) the kernel makes them too small to be of use.
const MAX_PIPES: usize = 16;

/// Bytes that a pipe holds.
const PIPE_BYTES: usize = 1 << 20;

/// How splicing has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// With the stream.
    Whole,
    /// Before its first byte: it cannot be done here.
    Unfit,
}

/// A pipe, one of so many.
pub(super) struct Pipe<'a> {
    read: OwnedFd,
    write: OwnedFd,
    taken: &'a Cell<usize>,
}

impl<'a> Pipe<'a> {
    /// Makes one, where there may be one more and it is large enough.
    pub(super) fn take(taken: &'a Cell<usize>) -> Option<Self> {
        if taken.get() >= MAX_PIPES {
            return None;
        }
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        fcntl_setpipe_size(&write, PIPE_BYTES).ok()?;
        taken.set(taken.get() + 1);
        Some(Self { read, write, taken })
    }

    /// Carries one direction to its end.
    pub(super) async fn carry(
        &self,
        from: &TcpStream,
        to: &TcpStream,
        last: &Cell<Instant>,
    ) -> Result<Ended, Broken> {
        let (mut begun, mut turn) = (false, 0);
        loop {
            from.readable().await?;
            let count = match from.try_io(Interest::READABLE, || step(from, &self.write, PIPE_BYTES)) {
                Ok(0) => return Ok(Ended::Whole),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) if begun || error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(error.into());
                }
                Err(_) => return Ok(Ended::Unfit),
            };
            begun = true;
            last.set(Instant::now());
            self.empty(to, count).await?;
            last.set(Instant::now());
            turn += count;
            if turn >= TURN_BYTES {
                turn = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    async fn empty(&self, to: &TcpStream, mut count: usize) -> Result<(), Broken> {
        while count > 0 {
            to.writable().await?;
            match to.try_io(Interest::WRITABLE, || step(&self.read, to, count)) {
                Ok(0) => return Err(Broken::Reset),
                Ok(moved) => count = count.saturating_sub(moved),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn step(from: impl std::os::fd::AsFd, to: impl std::os::fd::AsFd, count: usize) -> io::Result<usize> {
    Ok(splice(from, None, to, None, count, SpliceFlags::NONBLOCK | SpliceFlags::MOVE)?)
}

impl Drop for Pipe<'_> {
    fn drop(&mut self) {
        self.taken.set(self.taken.get().saturating_sub(1));
    }
}
