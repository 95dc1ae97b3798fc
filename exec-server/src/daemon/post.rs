//! The wire between the supervisor and a server part: single words, each with at most one descriptor, nothing to parse.
//!
//! A server part can say four things, and none of them carries a choice: for whom something is made, or recorded, is the
//! supervisor's own knowledge, bound to this socket when it was made.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// A word. The numbers count what the sender has said of that kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// To the server part: a client, whose connection travels along.
    Client,
    /// To the supervisor: a launcher is wanted. Back: here it is, its socket travels along; or there is none, without a socket.
    Launcher,
    /// To the supervisor: a resolver is wanted. Back as with a launcher.
    Resolver,
    /// To the supervisor: nothing is left to do, after so many clients. Where the supervisor has sent no more, it lets go.
    Idle(u32),
    /// To the supervisor: a start was refused before it reached a launcher, with this code of the protocol, negated.
    Refused(u32),
    /// From a launcher to the supervisor, on a socket that no server part has: what it has found in the file system, as memory that
    /// travels along.
    Index,
    /// To the server part: take nothing new, end what has not ended after so many milliseconds, and go.
    Drain(u32),
    /// To the server part: the requirements were read again, and what was started under those before is not for new work.
    Reload,
}

const WORD_BYTES: usize = 5;

impl Word {
    fn to_bytes(self) -> [u8; WORD_BYTES] {
        let (kind, number) = match self {
            Self::Client => (0, 0),
            Self::Launcher => (1, 0),
            Self::Resolver => (2, 0),
            Self::Idle(clients) => (3, clients),
            Self::Drain(after_ms) => (4, after_ms),
            Self::Refused(code) => (5, code),
            Self::Index => (6, 0),
            Self::Reload => (7, 0),
        };
        let [a, b, c, d] = number.to_be_bytes();
        [kind, a, b, c, d]
    }

    fn from_bytes(bytes: [u8; WORD_BYTES]) -> Option<Self> {
        let [kind, number @ ..] = bytes;
        match kind {
            0 => Some(Self::Client),
            1 => Some(Self::Launcher),
            2 => Some(Self::Resolver),
            3 => Some(Self::Idle(u32::from_be_bytes(number))),
            4 => Some(Self::Drain(u32::from_be_bytes(number))),
            5 => Some(Self::Refused(u32::from_be_bytes(number))),
            6 => Some(Self::Index),
            7 => Some(Self::Reload),
            _ => None,
        }
    }
}

/// Says one word, and does not wait for room: whoever serves all may not wait for one. `socket` is of the kind `SOCK_SEQPACKET`.
///
/// # Errors
/// sendmsg(2)'s, `WouldBlock` among them where the other side has not heard what was said before.
pub(crate) fn say(socket: impl AsFd, word: Word, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors: Vec<BorrowedFd<'_>> = descriptor.into_iter().collect();
    if !descriptors.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    }
    let bytes = word.to_bytes();
    loop {
        match sendmsg(
            &socket,
            &[IoSlice::new(&bytes)],
            &mut ancillary,
            SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
        ) {
            Err(rustix::io::Errno::INTR) => {}
            sent => return sent.map(drop).map_err(Into::into),
        }
    }
}

/// Hears one word; `None` when the other side is gone or says what is no word.
///
/// # Errors
/// recvmsg(2)'s, `WouldBlock` among them where the socket does not block.
pub(crate) fn hear(socket: impl AsFd) -> io::Result<Option<(Word, Option<OwnedFd>)>> {
    let mut bytes = [0; WORD_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut parts = [IoSliceMut::new(&mut bytes)];
        match recvmsg(&socket, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            // It went before it had heard all that it was told.
            Err(rustix::io::Errno::CONNRESET) => return Ok(None),
            received => break received?,
        }
    };
    let mut descriptor = None;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            descriptor = descriptors.last();
        }
    }
    let is_whole = received.bytes == WORD_BYTES && !received.flags.contains(ReturnFlags::TRUNC);
    let word = if is_whole { Word::from_bytes(bytes) } else { None };
    Ok(word.map(|word| (word, descriptor)))
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    #[test]
    fn words_travel_whole_with_their_descriptor() {
        let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        let (one, other) = pair.unwrap();
        let words = [
            Word::Client,
            Word::Launcher,
            Word::Resolver,
            Word::Idle(70_000),
            Word::Drain(10_000),
            Word::Refused(32_014),
            Word::Index,
            Word::Reload,
        ];
        for (at, word) in words.into_iter().enumerate() {
            let descriptor = (at % 2 == 0).then(|| one.as_fd());
            say(&one, word, descriptor).unwrap();
            let (heard, with) = hear(&other).unwrap().unwrap();
            assert_eq!((heard, with.is_some()), (word, at % 2 == 0));
        }
        rustix::net::send(&one, b"no wo", SendFlags::empty()).unwrap();
        assert!(hear(&other).unwrap().is_none());
        // A word is no longer than a word: nothing can stand behind it.
        rustix::net::send(&one, &[1, 0, 0, 0, 0, 0], SendFlags::empty()).unwrap();
        assert!(hear(&other).unwrap().is_none());
        say(&other, Word::Launcher, None).unwrap();
        drop(one);
        assert!(hear(&other).unwrap().is_none(), "gone with a word unheard");
        assert!(hear(&other).unwrap().is_none());
    }

    #[test]
    fn nobody_waits_for_one_who_does_not_hear() {
        let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        let (one, other) = pair.unwrap();
        let said = (0..100_000).find_map(|_| say(&one, Word::Reload, None).err());
        assert_eq!(said.unwrap().kind(), io::ErrorKind::WouldBlock);
        // There is room again once some of it was heard.
        while say(&one, Word::Reload, None).is_err() {
            assert_eq!(hear(&other).unwrap().map(|(word, _)| word), Some(Word::Reload));
        }
    }
}
