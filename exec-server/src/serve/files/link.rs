//! The server part's side of a worker's two pipes. The worker is not believed: what it sends is bounded before it is kept.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use weir_protocol::frame::{self, Deframer, Frame, Stream};
use weir_protocol::method::file::MAX_READ_BYTES;

use super::Lost;
use crate::files::Told;
use crate::serve::sys::watch;

/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;

/// Bytes that the pipe with answers holds, where the user may have so many.
const PIPE_BYTES: usize = 256 << 10;

/// Time that a worker has to answer once its call was called off.
const CALLED_OFF: Duration = Duration::from_secs(2);

/// What a worker answered.
#[derive(Debug)]
pub(in crate::serve) struct Reply {
    /// The file's content, where it was asked for.
    pub(in crate::serve) content: Vec<u8>,
    /// The answer.
    pub(in crate::serve) told: Told,
}

#[derive(Debug)]
pub(super) struct Link {
    to: AsyncFd<OwnedFd>,
    from: AsyncFd<OwnedFd>,
    deframer: Deframer,
}

impl Link {
    pub(super) fn new(to: OwnedFd, from: OwnedFd) -> io::Result<Self> {
        // Where the user has no more of it, the pipe stays as it is.
        let _ = rustix::pipe::fcntl_setpipe_size(&from, PIPE_BYTES);
        Ok(Self { to: watch(to)?, from: watch(from)?, deframer: Deframer::default() })
    }

    /// Says what the sandbox was made to hold.
    pub(super) async fn introduce(&self, policy: &[u8]) -> io::Result<()> {
        self.write(policy).await
    }

    /// Sends one call and hears its answer. Where nobody waits for that any more the worker is told, and has to come to an end.
    pub(super) async fn exchange(
        &mut self,
        ask: &[u8],
        reply: &mut oneshot::Sender<Result<Reply, Lost>>,
    ) -> io::Result<Reply> {
        self.write(ask).await?;
        let mut content = Vec::new();
        let called_off = tokio::select! {
            told = self.answer(&mut content) => Some(told?),
            () = reply.closed() => None,
        };
        let told = match called_off {
            Some(told) => told,
            None => {
                self.write(&frame::control(b"").map_err(io::Error::other)?).await?;
                tokio::time::timeout(CALLED_OFF, self.answer(&mut content)).await??
            }
        };
        Ok(Reply { content, told })
    }

    /// May be dropped and called again: what was heard stays.
    async fn answer(&mut self, content: &mut Vec<u8>) -> io::Result<Told> {
        loop {
            match self.deframer.take().map_err(io::Error::other)? {
                Some(Frame::Control(payload)) => return Ok(serde_json::from_slice(payload)?),
                Some(Frame::Data(place, bytes)) => {
                    let follows = place.stream == Stream::Content && place.offset == content.len() as u64;
                    if !follows || (content.len() + bytes.len()) as u64 > MAX_READ_BYTES {
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                    content.extend_from_slice(bytes);
                }
                Some(Frame::Credit(_)) => return Err(io::ErrorKind::InvalidData.into()),
                None => self.read().await?,
            }
        }
    }

    async fn read(&mut self) -> io::Result<()> {
        let Self { from, deframer, .. } = self;
        let read = |from: &OwnedFd| Ok(deframer.fill(READ_BYTES, |room| rustix::io::read(from, room))?);
        match from.async_io(Interest::READABLE, read).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let write = |to: &OwnedFd| Ok(rustix::io::write(to, bytes)?);
            let written = self.to.async_io(Interest::WRITABLE, write).await?;
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Ok(())
    }
}
