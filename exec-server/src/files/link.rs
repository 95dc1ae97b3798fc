//! The worker's side of the two pipes to the server part: one thread, blocking, the protocol's own frames.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use weir_protocol::frame::{self, Deframer, Frame, MAX_DATA_BYTES, Place, Stream};

use super::Fault;

/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;

/// Longest call after which the memory for it is kept for the next one, in bytes.
const KEPT_BYTES: usize = 256 << 10;

/// Both pipes.
#[derive(Debug)]
pub(super) struct Link {
    input: BorrowedFd<'static>,
    output: BorrowedFd<'static>,
    deframer: Deframer,
}

impl Link {
    /// Standard input and output.
    pub(super) fn standard() -> Self {
        let (input, output) = (rustix::stdio::stdin(), rustix::stdio::stdout());
        Self { input, output, deframer: Deframer::default() }
    }

    /// Other pipes, for good.
    #[cfg(test)]
    pub(super) fn over(input: std::os::fd::OwnedFd, output: std::os::fd::OwnedFd) -> Self {
        let lasting = |descriptor| -> BorrowedFd<'static> {
            let descriptor: &'static std::os::fd::OwnedFd = Box::leak(Box::new(descriptor));
            std::os::fd::AsFd::as_fd(descriptor)
        };
        let (input, output) = (lasting(input), lasting(output));
        Self { input, output, deframer: Deframer::default() }
    }

    /// The next control frame; `None` at the end of the input.
    pub(super) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let taken = match self.deframer.take().map_err(io::Error::other)? {
                Some(Frame::Control(payload)) => Some(payload.to_vec()),
                Some(_) => return Err(io::ErrorKind::InvalidData.into()),
                None => None,
            };
            if let Some(payload) = taken {
                if payload.len() > KEPT_BYTES && self.deframer.is_empty() {
                    self.deframer = Deframer::default();
                }
                return Ok(Some(payload));
            }
            match self.deframer.fill(READ_BYTES, |room| rustix::io::read(self.input, room)) {
                Ok(0) => return Ok(None),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Sends a message as JSON.
    pub(super) fn say(&self, message: &impl serde::Serialize) -> io::Result<()> {
        let payload = serde_json::to_vec(message)?;
        self.send(&frame::control(&payload).map_err(io::Error::other)?)
    }

    /// Sends a piece of content that begins at this byte of the answer.
    pub(super) fn content(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut at = offset;
        for piece in bytes.chunks(MAX_DATA_BYTES) {
            let place = Place { id: 0, stream: Stream::Content, offset: at };
            self.send(&frame::data_header(place, piece.len()).map_err(io::Error::other)?)?;
            self.send(piece)?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match rustix::io::write(self.output, bytes) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// # Errors
    /// [`Fault::CalledOff`] where something has come meanwhile, or nobody is there any more.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let mut watched = [PollFd::from_borrowed_fd(self.input.as_fd(), PollFlags::IN)];
        let waiting = poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        match waiting {
            Ok(0) | Err(_) if self.deframer.is_empty() => Ok(()),
            _ => Err(Fault::CalledOff),
        }
    }
}
