//! One stream of a command as this side has received it: where it stands, how far the server may go, and the proof at its end.
//!
//! Believes nothing: every offset must follow, nothing may go beyond the credit, and what the server says at the end must be what was
//! counted and hashed here. Performs no I/O. Only [`Session`](super::Session) uses it.

use std::cmp::Ordering;

use serde::Serialize;
use weir_protocol::frame::{Credit, Place, Stream};
use weir_protocol::method::output::{Account, Gap, Role};

/// Bytes of one stream that may be under way, or received and not consumed.
pub(super) const WINDOW_BYTES: u64 = 1 << 20;

/// Bytes consumed after which the server hears of it.
const STEP_BYTES: u64 = WINDOW_BYTES / 4;

/// How a stream that the server sent is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// Bytes do not begin where the last ones ended.
    #[error("{stream:?}: bytes at offset {found}, where offset {expected} comes next")]
    Offset {
        /// The stream.
        stream: Stream,
        /// Where it stands.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// Bytes beyond what was allowed.
    #[error("{stream:?}: bytes up to offset {end}, and only {limit} were allowed")]
    Credit {
        /// The stream.
        stream: Stream,
        /// Up to here it might go.
        limit: u64,
        /// Up to here it went.
        end: u64,
    },
    /// The server counts other bytes than have arrived.
    #[error("{stream:?}: {told} bytes were written, says the server, and {found} have arrived")]
    Bytes {
        /// The stream.
        stream: Stream,
        /// The server's count.
        told: u64,
        /// The count here, with what is known to be missing.
        found: u64,
    },
    /// Bytes were dropped, and other gaps were stated.
    #[error("{stream:?}: {told} bytes were dropped, says the server, which has stated gaps of {found}")]
    Dropped {
        /// The stream.
        stream: Stream,
        /// The server's count.
        told: u64,
        /// The sum of the gaps since this side attached.
        found: u64,
    },
    /// The bytes that have arrived are not those that were written.
    #[error("{stream:?}: its {bytes} bytes have the digest {found}, and {told} at the server")]
    Digest {
        /// The stream.
        stream: Stream,
        /// How many.
        bytes: u64,
        /// The server's digest.
        told: String,
        /// The digest of what arrived.
        found: String,
    },
    /// A stream that was carried is not accounted for.
    #[error("{stream:?}: the server gave no account of it")]
    NoAccount {
        /// The stream.
        stream: Stream,
    },
    /// A stream that was not carried.
    #[error("{stream:?}: the server carries no such stream of this command")]
    NotCarried {
        /// The stream.
        stream: Stream,
    },
}

/// A stream at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// The stream.
    pub stream: Stream,
    /// Bytes that were written to it.
    pub bytes: u64,
    /// How many of them did not come here: dropped, because that was asked for, or before the offset asked for.
    pub missing: u64,
    /// What is proved.
    pub proof: Proof,
}

/// What is proved of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// Every byte came, and their digest is the server's.
    Digest,
    /// Some did not come, as was asked for: the counts agree.
    Count,
}

/// Where a stream begins for this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Since {
    /// It has been carried for this side from its first byte on.
    Start,
    /// It was attached to at this offset.
    Offset(u64),
}

#[derive(Debug)]
pub(super) struct Received {
    id: u64,
    stream: Stream,
    /// Bytes before this offset have come, or are known to be missing.
    at: u64,
    consumed: u64,
    limit: u64,
    missing: u64,
    /// What is missing by the word of the server, since this side attached last.
    told: u64,
    /// Of all bytes, as long as none is missing.
    digest: Option<blake3::Hasher>,
    since: Since,
}

impl Received {
    pub(super) fn new(id: u64, stream: Stream, since: Since) -> Self {
        let at = match since {
            Since::Start => 0,
            Since::Offset(offset) => offset,
        };
        let digest = (at == 0).then(blake3::Hasher::new);
        let limit = at.saturating_add(WINDOW_BYTES);
        Self { id, stream, at, consumed: at, limit, missing: at, told: 0, digest, since }
    }

    pub(super) const fn at(&self) -> u64 {
        self.at
    }

    /// Whether it must be accounted for.
    pub(super) fn is_certain(&self) -> bool {
        self.since == Since::Start || self.at > self.missing
    }

    pub(super) fn data(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StreamError> {
        let Self { stream, at: expected, limit, .. } = *self;
        if offset != expected {
            return Err(StreamError::Offset { stream, expected, found: offset });
        }
        let end = offset.saturating_add(bytes.len() as u64);
        if end > limit {
            return Err(StreamError::Credit { stream, limit, end });
        }
        self.at = end;
        if let Some(digest) = &mut self.digest {
            digest.update(bytes);
        }
        Ok(())
    }

    /// The server says that bytes are missing.
    pub(super) fn gap(&mut self, gap: &Gap) -> Result<(), StreamError> {
        self.miss(gap)?;
        self.told += gap.to - gap.from;
        Ok(())
    }

    fn miss(&mut self, gap: &Gap) -> Result<(), StreamError> {
        let Self { stream, at: expected, .. } = *self;
        if gap.from != expected || gap.to < gap.from {
            return Err(StreamError::Offset { stream, expected, found: gap.from });
        }
        let length = gap.to - gap.from;
        self.at = gap.to;
        self.missing += length;
        // What is missing takes no room.
        self.consumed += length;
        self.limit = self.limit.saturating_add(length);
        self.digest = None;
        Ok(())
    }

    /// After a new connection, where the server goes on at `found`. For a reader nothing is kept: what an owner has taken meanwhile is
    /// missing, and stated.
    pub(super) fn resume(&mut self, found: u64, role: Role) -> Result<Option<Gap>, StreamError> {
        let Self { id, stream, at: expected, .. } = *self;
        let gap = Gap { id, stream, from: expected, to: found };
        self.told = 0;
        match (found.cmp(&expected), role) {
            (Ordering::Equal, _) => Ok(None),
            (Ordering::Greater, role) if role == Role::Reader || !self.is_certain() => {
                self.miss(&gap).map(|()| Some(gap))
            }
            _ => Err(StreamError::Offset { stream, expected, found }),
        }
    }

    /// The caller has done with so many bytes. Returns what the server should hear.
    pub(super) fn consume(&mut self, count: u64) -> Option<Credit> {
        self.consumed = self.consumed.saturating_add(count).min(self.at);
        (self.consumed.saturating_add(WINDOW_BYTES) >= self.limit.saturating_add(STEP_BYTES))
            .then(|| self.grant())
    }

    /// How far the server may go.
    pub(super) fn grant(&mut self) -> Credit {
        self.limit = self.limit.max(self.consumed.saturating_add(WINDOW_BYTES));
        let received = Place { id: self.id, stream: self.stream, offset: self.consumed };
        Credit { received, limit: self.limit }
    }

    /// Compares what came with what the server says was written.
    pub(super) fn verify(&self, account: &Account) -> Result<Verified, StreamError> {
        let Self { stream, at: found, missing, told, .. } = *self;
        if account.bytes != found {
            return Err(StreamError::Bytes { stream, told: account.bytes, found });
        }
        if account.dropped != told {
            return Err(StreamError::Dropped { stream, told: account.dropped, found: told });
        }
        let Some(digest) = &self.digest else {
            return Ok(Verified { stream, bytes: found, missing, proof: Proof::Count });
        };
        let hash = digest.finalize().to_hex().to_string();
        if hash != account.blake3 {
            return Err(StreamError::Digest {
                stream,
                bytes: found,
                told: account.blake3.clone(),
                found: hash,
            });
        }
        Ok(Verified { stream, bytes: found, missing, proof: Proof::Digest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: Stream = Stream::Output;

    fn account(bytes: u64, of: &[u8], dropped: u64) -> Account {
        Account { stream: STREAM, bytes, blake3: blake3::hash(of).to_hex().to_string(), dropped }
    }

    #[test]
    fn what_follows_is_taken_and_proved() {
        let mut received = Received::new(1, STREAM, Since::Start);
        received.data(0, b"one").unwrap();
        received.data(3, b"").unwrap();
        received.data(3, b"two").unwrap();
        let verified = Verified { stream: STREAM, bytes: 6, missing: 0, proof: Proof::Digest };
        assert_eq!(received.verify(&account(6, b"onetwo", 0)), Ok(verified));
        assert!(matches!(
            received.verify(&account(6, b"onetwe", 0)),
            Err(StreamError::Digest { bytes: 6, .. })
        ));
        let bytes = StreamError::Bytes { stream: STREAM, told: 7, found: 6 };
        assert_eq!(received.verify(&account(7, b"onetwo", 0)), Err(bytes));
        let dropped = StreamError::Dropped { stream: STREAM, told: 1, found: 0 };
        assert_eq!(received.verify(&account(6, b"onetwo", 1)), Err(dropped));
        for found in [5, 7] {
            let error = StreamError::Offset { stream: STREAM, expected: 6, found };
            assert_eq!(received.data(found, b"x"), Err(error));
        }
    }

    #[test]
    fn credit_is_the_window_beyond_what_was_consumed() {
        let mut received = Received::new(1, STREAM, Since::Start);
        let window = vec![0; usize::try_from(WINDOW_BYTES).unwrap()];
        received.data(0, &window).unwrap();
        let error = StreamError::Credit { stream: STREAM, limit: WINDOW_BYTES, end: WINDOW_BYTES + 1 };
        assert_eq!(received.data(WINDOW_BYTES, b"x"), Err(error));
        assert_eq!(received.consume(STEP_BYTES - 1), None);
        let granted = received.consume(1).unwrap();
        assert_eq!((granted.received.offset, granted.limit), (STEP_BYTES, WINDOW_BYTES + STEP_BYTES));
        received.data(WINDOW_BYTES, b"x").unwrap();
        // Nobody consumes what has not come.
        assert_eq!(received.consume(u64::MAX).unwrap().received.offset, WINDOW_BYTES + 1);
    }

    #[test]
    fn gaps_are_accounted_for() {
        let gap = |from, to| Gap { id: 1, stream: STREAM, from, to };
        let mut received = Received::new(1, STREAM, Since::Start);
        received.data(0, b"he").unwrap();
        assert!(received.gap(&gap(3, 4)).is_err());
        assert!(received.gap(&gap(2, 1)).is_err());
        received.gap(&gap(2, 12)).unwrap();
        received.data(12, b"ad").unwrap();
        let verified = Verified { stream: STREAM, bytes: 14, missing: 10, proof: Proof::Count };
        assert_eq!(received.verify(&account(14, b"", 10)), Ok(verified));
        assert!(matches!(received.verify(&account(14, b"", 0)), Err(StreamError::Dropped { .. })));

        let mut later = Received::new(1, STREAM, Since::Offset(5));
        later.data(5, b"x").unwrap();
        let verified = Verified { stream: STREAM, bytes: 6, missing: 5, proof: Proof::Count };
        assert_eq!(later.verify(&account(6, b"", 0)), Ok(verified));
        assert!(later.verify(&account(6, b"", 6)).is_err());
    }

    #[test]
    fn a_new_connection_goes_on_where_this_side_stands() {
        let stood = || {
            let mut received = Received::new(1, STREAM, Since::Start);
            received.data(0, b"five!").unwrap();
            received
        };
        let error = |found| StreamError::Offset { stream: STREAM, expected: 5, found };
        let gap = Gap { id: 1, stream: STREAM, from: 5, to: 9 };
        let cases = [
            (5, Role::Owner, Ok(None)),
            (4, Role::Owner, Err(error(4))),
            (9, Role::Owner, Err(error(9))),
            (4, Role::Reader, Err(error(4))),
            (9, Role::Reader, Ok(Some(gap))),
        ];
        for (found, role, expect) in cases {
            assert_eq!(stood().resume(found, role), expect, "{found} {role:?}");
        }
        let mut missing = stood();
        missing.resume(9, Role::Reader).unwrap();
        missing.data(9, b"x").unwrap();
        let verified = Verified { stream: STREAM, bytes: 10, missing: 4, proof: Proof::Count };
        assert_eq!(missing.verify(&account(10, b"", 0)), Ok(verified));
        assert!(missing.verify(&account(10, b"", 4)).is_err());

        // What an earlier connection was told is not in the account of the last one.
        let mut dropped = stood();
        dropped.gap(&gap).unwrap();
        dropped.resume(9, Role::Owner).unwrap();
        dropped.gap(&Gap { from: 9, to: 11, ..gap }).unwrap();
        let verified = Verified { stream: STREAM, bytes: 11, missing: 6, proof: Proof::Count };
        assert_eq!(dropped.verify(&account(11, b"", 2)), Ok(verified));
        assert!(dropped.verify(&account(11, b"", 6)).is_err());
    }
}
