//! Messages between the launcher and a sandbox's first process, one per packet of a sequenced-packet socket pair.
//!
//! Fixed, bounded records: neither side allocates by what the other says. The end of the stream is a message too: the first
//! process ends everything when the launcher's side is gone, and the launcher does the same the other way round.

use weir_protocol::denial::Act;
use weir_protocol::method::process::Receivers;

use crate::broker::Failure;
use crate::gate::Socket;

/// Bytes of an order.
pub const ORDER_BYTES: usize = 8;

/// Bytes of a word without its path: the kind and a number.
pub const WORD_HEADER_BYTES: usize = 8;

/// Most bytes of a word: a header and one path.
pub const MAX_WORD_BYTES: usize = WORD_HEADER_BYTES + 4096;

/// What the launcher asks of the first process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// The signal to send.
    pub signal: i32,
    /// To whom.
    pub to: Receivers,
}

impl Order {
    /// The record.
    #[must_use]
    pub fn to_bytes(self) -> [u8; ORDER_BYTES] {
        let to: u32 = match self.to {
            Receivers::Group => 0,
            Receivers::Leader => 1,
            Receivers::All => 2,
        };
        let mut out = [0; ORDER_BYTES];
        out[..4].copy_from_slice(&self.signal.to_ne_bytes());
        out[4..].copy_from_slice(&to.to_ne_bytes());
        out
    }

    /// Reads a record.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (signal, to) = bytes.split_first_chunk::<4>()?;
        let to = match u32::from_ne_bytes(to.try_into().ok()?) {
            0 => Receivers::Group,
            1 => Receivers::Leader,
            2 => Receivers::All,
            _ => return None,
        };
        Some(Self { signal: i32::from_ne_bytes(*signal), to })
    }
}

/// What the first process tells the launcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// The controlling side of the sandbox's terminal travels with this packet.
    Terminal,
    /// A socket of the gate travels with this packet.
    Socket(Socket),
    /// The listener of the broker travels with this packet, for the launcher to hold as well: while the sandbox ends, however that comes
    /// about, a call that nobody performs any more waits for its caller's end and does not fail. Without a descriptor: it is over.
    Listener,
    /// An order was carried out.
    Done,
    /// The command was stopped by this signal.
    Stopped(i32),
    /// The command exited with this code.
    Exited(i32),
    /// The command was ended by this signal.
    Signalled(i32),
    /// The command has ended, as was told, and what it has started goes on.
    Background,
    /// A name was refused: it must not come into being.
    RefusedName {
        /// To this process, as the first one sees it.
        pid: u32,
        /// The path.
        path: Vec<u8>,
    },
    /// A connection to a unix socket was refused.
    RefusedSocket {
        /// To this process, as the first one sees it.
        pid: u32,
        /// The path.
        path: Vec<u8>,
    },
    /// A call that the first process was to perform failed, by the kernel or by a live rule.
    Failed {
        /// What was tried.
        act: Act,
        /// In which way it failed.
        how: Failure,
        /// For this process, as the first one sees it.
        pid: u32,
        /// The path.
        path: Vec<u8>,
    },
    /// A program that uses something. Those that use something name it by how many were told of before it.
    Program(Vec<u8>),
    /// Something was used, for the first time.
    Used {
        /// What was done.
        act: Act,
        /// Who did it, where that is known.
        program: Option<u32>,
        /// The path.
        path: Vec<u8>,
    },
    /// No more uses are told of.
    RecordFull,
    /// A repository was made.
    Repository(Vec<u8>),
    /// This many records were dropped.
    Dropped(i32),
}

impl Word {
    /// The record.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let path: &[u8] = match self {
            Self::RefusedName { path, .. }
            | Self::RefusedSocket { path, .. }
            | Self::Failed { path, .. }
            | Self::Used { path, .. }
            | Self::Program(path)
            | Self::Repository(path) => path,
            _ => &[],
        };
        let path = &path[..path.len().min(MAX_WORD_BYTES - WORD_HEADER_BYTES)];
        [&self.header()[..], path].concat()
    }

    /// The record without a path: all of it, for words that have none. Allocates nothing.
    #[must_use]
    pub fn header(&self) -> [u8; WORD_HEADER_BYTES] {
        let (kind, value): (u32, i32) = match self {
            Self::Terminal => (1, 0),
            Self::Stopped(signal) => (2, *signal),
            Self::Exited(code) => (3, *code),
            Self::Signalled(signal) => (4, *signal),
            Self::RefusedName { pid, .. } => (5, pid.cast_signed()),
            Self::RefusedSocket { pid, .. } => (6, pid.cast_signed()),
            Self::Failed { act, how, pid, .. } => (failed(*act, *how), pid.cast_signed()),
            Self::Repository(_) => (7, 0),
            Self::Dropped(count) => (8, *count),
            Self::Done => (9, 0),
            Self::Background => (10, 0),
            Self::Socket(socket) => (11, socket.number()),
            Self::Listener => (12, 0),
            Self::Program(_) => (13, 0),
            Self::RecordFull => (14, 0),
            Self::Used { act, program, .. } => {
                let program = program.and_then(|number| i32::try_from(number).ok());
                (USED + number_of(*act), program.unwrap_or(NOBODY))
            }
        };
        let mut out = [0; WORD_HEADER_BYTES];
        out[..4].copy_from_slice(&kind.to_ne_bytes());
        out[4..].copy_from_slice(&value.to_ne_bytes());
        out
    }

    /// Reads a record.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first_chunk::<4>()?;
        let (value, path) = rest.split_first_chunk::<4>()?;
        let value = i32::from_ne_bytes(*value);
        Some(match u32::from_ne_bytes(*kind) {
            1 => Self::Terminal,
            2 => Self::Stopped(value),
            3 => Self::Exited(value),
            4 => Self::Signalled(value),
            5 => Self::RefusedName { pid: value.cast_unsigned(), path: path.to_vec() },
            6 => Self::RefusedSocket { pid: value.cast_unsigned(), path: path.to_vec() },
            7 => Self::Repository(path.to_vec()),
            8 => Self::Dropped(value),
            9 => Self::Done,
            10 => Self::Background,
            11 => Self::Socket(Socket::from_number(value)?),
            12 => Self::Listener,
            13 => Self::Program(path.to_vec()),
            14 => Self::RecordFull,
            kind @ USED.. => {
                let act = *Act::ALL.get(usize::try_from(kind - USED).ok()?)?;
                Self::Used { act, program: u32::try_from(value).ok(), path: path.to_vec() }
            }
            kind => {
                let (act, how) = failure(kind)?;
                Self::Failed { act, how, pid: value.cast_unsigned(), path: path.to_vec() }
            }
        })
    }
}

/// The first kind of [`Word::Used`]: one for each act.
const USED: u32 = 1000;
/// In the place of a program's number, where it is not known.
const NOBODY: i32 = -1;

/// The first kind of [`Word::Failed`]: one for each act and each way to fail.
const FAILED: u32 = 100;
const WAYS: u32 = 3;

fn number_of(act: Act) -> u32 {
    Act::ALL.iter().position(|other| *other == act).and_then(|at| u32::try_from(at).ok()).unwrap_or(0)
}

fn failed(act: Act, how: Failure) -> u32 {
    let how = match how {
        Failure::Refused => 0,
        Failure::Absent => 1,
        Failure::Closed => 2,
    };
    FAILED + WAYS * number_of(act) + how
}

fn failure(kind: u32) -> Option<(Act, Failure)> {
    let number = kind.checked_sub(FAILED)?;
    let act = Act::ALL.get(usize::try_from(number / WAYS).ok()?)?;
    Some((*act, *Failure::ALL.get(usize::try_from(number % WAYS).ok()?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back() {
        for to in [Receivers::Group, Receivers::Leader, Receivers::All] {
            let order = Order { signal: 15, to };
            assert_eq!(Order::from_bytes(&order.to_bytes()), Some(order));
        }
        let words = [
            Word::Terminal,
            Word::Done,
            Word::Background,
            Word::Stopped(20),
            Word::Exited(-1),
            Word::Signalled(9),
            Word::RefusedName { pid: 7, path: b"/a\n\xff".to_vec() },
            Word::RefusedSocket { pid: u32::MAX, path: Vec::new() },
            Word::Repository(vec![b'x'; 4096]),
            Word::Dropped(7),
            Word::Listener,
            Word::Program(b"/bin/sh".to_vec()),
            Word::RecordFull,
        ];
        let used = Act::ALL.iter().flat_map(|act| {
            [None, Some(7)].map(|program| Word::Used { act: *act, program, path: b"/a".to_vec() })
        });
        let failed = Act::ALL.iter().flat_map(|act| {
            Failure::ALL.map(|how| Word::Failed { act: *act, how, pid: 3, path: b"/a".to_vec() })
        });
        for word in words.into_iter().chain(Socket::ALL.map(Word::Socket)).chain(failed).chain(used) {
            assert_eq!(Word::from_bytes(&word.to_bytes()), Some(word));
        }
        assert_eq!(Order::from_bytes(&[0; 7]), None);
        assert_eq!(Order::from_bytes(&[9; 8]), None);
        assert_eq!(Word::from_bytes(&[0; 8]), None);
        assert_eq!(Word::from_bytes(&[1, 0, 0]), None);
    }
}
