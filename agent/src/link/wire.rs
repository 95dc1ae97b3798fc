//! Bytes and descriptors on a Unix socket.
//!
//! Never looks into what it carries. Descriptors arrive close-on-exec; those for which no room is made do not arrive.
//! Only [`Link`](super::Link) calls this.

use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use weir_protocol::frame::Deframer;

/// Most descriptors that travel at once: standard input, output and error.
const MAX_DESCRIPTORS: usize = 3;

/// Bytes read at once: a start's answer fits, and a quarter of the largest data frame.
const READ_BYTES: usize = 64 << 10;

/// Whether to wait for what is not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Wait for at least one byte.
    Wait,
    /// Take what is there.
    Now,
}

/// A peer that has gone is an error, not a signal. On macOS the flag does not exist; Rust's runtime ignores SIGPIPE.
#[cfg(target_os = "linux")]
const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;
#[cfg(not(target_os = "linux"))]
const NO_SIGNAL: SendFlags = SendFlags::empty();

/// Descriptors that arrive pass to no program. On macOS the flag does not exist; the agent starts nothing after its first
/// exchange.
#[cfg(target_os = "linux")]
const CLOSE_ON_EXEC: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(not(target_os = "linux"))]
const CLOSE_ON_EXEC: RecvFlags = RecvFlags::empty();

/// Sends all of `bytes`, the descriptors with the first of them.
pub(super) fn send(mut socket: &UnixStream, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let too_many = descriptors.len() > MAX_DESCRIPTORS;
    if too_many || !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let sent = loop {
        match sendmsg(socket, &[IoSlice::new(bytes)], &mut control, NO_SIGNAL) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    socket.write_all(bytes.get(sent..).unwrap_or_default())
}

/// Sends as many of `bytes` as the socket takes without waiting.
pub(super) fn send_ready(socket: &UnixStream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        let rest = bytes.get(sent..).unwrap_or_default();
        match rustix::net::send(socket, rest, NO_SIGNAL | SendFlags::DONTWAIT) {
            Ok(count) => sent += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => break,
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(sent)
}

/// Adds to `arrived` and `descriptors` what has arrived; 0 when the peer has closed.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] where nothing is there and nobody wants to wait.
pub(super) fn receive(
    socket: &UnixStream,
    patience: Patience,
    arrived: &mut Deframer,
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let wait = if patience == Patience::Wait { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
    let flags = CLOSE_ON_EXEC | wait;
    let count = arrived.fill(READ_BYTES, |room| {
        loop {
            match recvmsg(socket, &mut [IoSliceMut::new(room)], &mut control, flags) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other.map(|received| received.bytes),
            }
        }
    })?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;

    use weir_protocol::frame::{self, Frame};

    use super::*;

    #[test]
    fn descriptors_travel_with_the_bytes_and_no_more_than_three() {
        let (one, other) = UnixStream::pair().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        let three = [writer.as_fd(), one.as_fd(), one.as_fd()];
        send(&one, &frame::control(b"it").unwrap(), &three).unwrap();
        assert!(send(&one, b"frame", &[one.as_fd(); 4]).is_err());
        drop(writer);

        let (mut bytes, mut descriptors) = (Deframer::default(), Vec::new());
        assert_eq!(receive(&other, Patience::Wait, &mut bytes, &mut descriptors).unwrap(), 7);
        assert_eq!((bytes.take(), descriptors.len()), (Ok(Some(Frame::Control(b"it"))), 3));
        io::PipeWriter::from(descriptors.remove(0)).write_all(b"through").unwrap();
        drop(descriptors);
        let mut told = String::new();
        reader.read_to_string(&mut told).unwrap();
        assert_eq!(told, "through");

        let nothing = receive(&other, Patience::Now, &mut bytes, &mut Vec::new());
        assert_eq!(nothing.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(one);
        assert_eq!(receive(&other, Patience::Wait, &mut bytes, &mut Vec::new()).unwrap(), 0);
    }

    #[test]
    fn what_does_not_fit_the_socket_at_once_arrives_whole() {
        let (one, other) = UnixStream::pair().unwrap();
        let payload: Vec<u8> = (0..=u8::MAX).cycle().take(3 << 20).collect();
        let sent = frame::control(&payload).unwrap();
        let sender = std::thread::spawn(move || send(&one, &sent, &[io::stderr().as_fd()]).unwrap());
        let (mut bytes, mut descriptors) = (Deframer::default(), Vec::new());
        while receive(&other, Patience::Wait, &mut bytes, &mut descriptors).unwrap() > 0 {}
        sender.join().unwrap();
        assert!(bytes.take() == Ok(Some(Frame::Control(&payload))));
        assert_eq!(descriptors.len(), 1);
    }
}
