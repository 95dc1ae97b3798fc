//! A Unix stream socket with frames and descriptors on it: blocking, bounded, one thread.
//!
//! Descriptors travel with the first byte of a frame (`SCM_RIGHTS`, unix(7)). They arrive close-on-exec and in order; whatever
//! nobody takes is closed. Called by the server part, towards its client and the launcher, and by the launcher.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use weir_protocol::frame::{self, FrameError};

/// Most descriptors with one frame: what a launch passes, a terminal with the network gate's sockets and files, and the sockets of
/// published ports, which travel as one.
pub const MAX_DESCRIPTORS: usize = 9;

/// Most descriptors that wait to be taken; a peer that sends more is cut off.
pub(crate) const MAX_WAITING: usize = 16;

/// Bytes read at once.
pub(crate) const READ_BYTES: usize = 64 << 10;

/// A peer that has gone is an error, not a signal. macOS does not know the flag; Rust's runtime ignores `SIGPIPE`.
#[cfg(target_os = "linux")]
const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;
#[cfg(not(target_os = "linux"))]
const NO_SIGNAL: SendFlags = SendFlags::empty();

/// Descriptors that arrive pass to no program. macOS does not know the flag: they are marked once they are here, before this
/// one thread goes on.
#[cfg(target_os = "linux")]
const CLOSE_ON_EXEC: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(not(target_os = "linux"))]
const CLOSE_ON_EXEC: RecvFlags = RecvFlags::empty();

/// Why a wire is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The stream failed.
    #[error("the stream failed: {0}")]
    Stream(#[from] io::Error),
    /// The peer sent what is no frame.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// A message is not what it should be.
    #[error("a message cannot be read or written: {0}")]
    Message(#[from] serde_json::Error),
    /// The peer has gone, or says what has no place here.
    #[error("the other side has gone")]
    Gone,
    /// A client sends input that does not fit.
    #[error("input for command {command} is refused: {why}")]
    Input {
        /// The command.
        command: u64,
        /// What is wrong with it.
        why: Violation,
    },
    /// The peer sends descriptors that nobody asked for.
    #[error("more than {MAX_WAITING} descriptors that nobody asked for")]
    Descriptors,
}

/// Why input is refused: the client is at fault. Numbers are offsets in the stream, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// It does not begin where the last one ended.
    #[error("it begins at byte {offset}, and the next one is byte {next}")]
    Offset {
        /// Where it begins.
        offset: u64,
        /// Where it has to.
        next: u64,
    },
    /// It is more than the credit.
    #[error("it ends at byte {end}, and the credit at byte {limit}")]
    Credit {
        /// Where it ends.
        end: u64,
        /// How far it may go.
        limit: u64,
    },
    /// It comes behind the end.
    #[error("its end has been said already")]
    Ended,
    /// There is none to be sent.
    #[error("the server carries no such stream to the command")]
    Nowhere,
}

/// What one read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// Something.
    Bytes,
    /// The peer is gone.
    End,
}

/// One sendmsg(2), descriptors with the first byte.
pub(crate) fn send_part(
    socket: impl AsFd,
    parts: &[IoSlice<'_>],
    descriptors: &[BorrowedFd<'_>],
) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    sendmsg(socket, parts, &mut ancillary, NO_SIGNAL)
}

/// One recvmsg(2): how many bytes; descriptors that came along go behind those that wait.
pub(crate) fn receive_part(
    socket: impl AsFd,
    chunk: &mut [u8],
    waiting: &mut VecDeque<OwnedFd>,
) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(chunk)], &mut ancillary, CLOSE_ON_EXEC)?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            for descriptor in descriptors {
                if CLOSE_ON_EXEC.is_empty() {
                    rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::CLOEXEC)?;
                }
                waiting.push_back(descriptor);
            }
        }
    }
    Ok(received.bytes)
}

/// One end of the socket.
#[derive(Debug)]
pub struct Wire {
    stream: UnixStream,
    buffer: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

impl Wire {
    /// Takes a connected socket.
    #[must_use]
    pub fn new(stream: UnixStream) -> Self {
        Self { stream, buffer: Vec::new(), descriptors: VecDeque::new() }
    }

    /// Sends one frame, descriptors with its first byte.
    ///
    /// # Errors
    /// [`WireError`] when the frame is too long or the stream fails.
    pub fn send(&self, payload: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), WireError> {
        let bytes = frame::control(payload)?;
        let mut sent = 0;
        while sent < bytes.len() {
            let with = if sent == 0 { descriptors } else { &[] };
            match send_part(&self.stream, &[IoSlice::new(&bytes[sent..])], with) {
                Ok(count) => sent += count,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(io::Error::from(errno).into()),
            }
        }
        Ok(())
    }

    /// Sends a message as JSON.
    ///
    /// # Errors
    /// As [`Wire::send`].
    pub fn say(
        &self,
        message: &impl serde::Serialize,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), WireError> {
        self.send(&serde_json::to_vec(message)?, descriptors)
    }

    /// Reads once, waiting if there is nothing yet.
    ///
    /// # Errors
    /// [`WireError`] when the stream fails or the peer floods it with descriptors.
    pub fn read(&mut self) -> Result<Read, WireError> {
        let before = self.buffer.len();
        self.buffer.resize(before + READ_BYTES, 0);
        let received = self.receive(before);
        self.buffer.truncate(before + *received.as_ref().unwrap_or(&0));
        if self.descriptors.len() > MAX_WAITING {
            return Err(WireError::Descriptors);
        }
        match received? {
            0 if before == 0 => Ok(Read::End),
            0 => Err(FrameError::Truncated.into()),
            _ => Ok(Read::Bytes),
        }
    }

    /// Reads once, to the buffer from `at` on; how many bytes.
    fn receive(&mut self, at: usize) -> io::Result<usize> {
        loop {
            match receive_part(&self.stream, &mut self.buffer[at..], &mut self.descriptors) {
                Err(Errno::INTR) => {}
                Err(Errno::CONNRESET) => return Ok(0),
                received => return Ok(received?),
            }
        }
    }

    /// Takes the next whole frame out of what has been read.
    ///
    /// # Errors
    /// [`WireError::Frame`].
    pub fn take(&mut self) -> Result<Option<Vec<u8>>, WireError> {
        Ok(frame::take(&mut self.buffer)?)
    }

    /// Says that nothing more will come, and waits until nothing more comes from the other side either. What does meanwhile is lost.
    #[cfg(target_os = "linux")]
    pub(crate) fn outlive(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
        while matches!(self.read(), Ok(Read::Bytes)) {
            self.buffer.clear();
            self.descriptors.clear();
        }
    }

    /// Takes the oldest descriptor that has arrived.
    pub fn take_descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptors.pop_front()
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Waits until one of these can be read or has ended, or the time is over. A signal interrupts nothing.
///
/// # Errors
/// poll(2)'s: waiting again would only fail again.
pub(crate) fn wait(watched: &mut [PollFd<'_>], left: Option<&Timespec>) -> Result<(), WireError> {
    loop {
        match poll(watched, left) {
            Err(rustix::io::Errno::INTR) if left.is_none() => {}
            // The caller looks at the clock, and waits for what is left of the time.
            Ok(_) | Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(errno) => return Err(io::Error::from(errno).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn frames_and_descriptors_arrive_in_order() {
        let (one, other) = UnixStream::pair().unwrap();
        let (sender, mut receiver) = (Wire::new(one), Wire::new(other));
        let (mut reader, writer) = io::pipe().unwrap();
        sender.send(b"first", &[writer.as_fd()]).unwrap();
        sender.send(b"second", &[]).unwrap();
        drop(writer);
        let mut found = Vec::new();
        while found.len() < 2 {
            assert_eq!(receiver.read().unwrap(), Read::Bytes);
            while let Some(payload) = receiver.take().unwrap() {
                found.push(payload);
            }
        }
        assert_eq!(found, [b"first".to_vec(), b"second".to_vec()]);
        let mut passed = std::fs::File::from(receiver.take_descriptor().unwrap());
        passed.write_all(b"through").unwrap();
        drop(passed);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
        drop(sender);
        assert_eq!(receiver.read().unwrap(), Read::End);
    }

    #[test]
    fn half_a_frame_is_an_error() {
        let (mut one, other) = UnixStream::pair().unwrap();
        let mut receiver = Wire::new(other);
        one.write_all(&[0, 0, 0]).unwrap();
        drop(one);
        assert_eq!(receiver.read().unwrap(), Read::Bytes);
        assert!(matches!(receiver.read(), Err(WireError::Frame(FrameError::Truncated))));
    }
}
