//! Standard input of a command as this side has sent it: as far as the server's credit goes, and what must be sent again when the
//! connection breaks.
//!
//! Holds no more than the credit. Performs no I/O. Only [`Session`](super::Session) uses it.

use std::collections::VecDeque;

use weir_protocol::frame::MAX_DATA_BYTES;

/// Most bytes of input that are under way, whatever the server allows.
const WINDOW_BYTES: u64 = 1 << 20;

/// How the server's word about input is not what it can be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GivenError {
    /// It has bytes that were not sent, or has lost some that it had.
    #[error("the server has {found} bytes of standard input, where {from} to {to} were possible")]
    Offset {
        /// What it says.
        found: u64,
        /// What it had.
        from: u64,
        /// What was sent.
        to: u64,
    },
}

/// How input goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// Its end was sent.
    Ended,
    /// The server takes no more.
    Over,
}

#[derive(Debug)]
pub(super) struct Given {
    sent: u64,
    limit: u64,
    /// What the server may not have: the bytes before `sent`.
    unsure: VecDeque<u8>,
    stage: Stage,
    /// Whether the caller waits to hear that there is room.
    pub(super) is_told: bool,
}

impl Given {
    pub(super) fn new(at: u64) -> Self {
        Self { sent: at, limit: at, unsure: VecDeque::new(), stage: Stage::Open, is_told: false }
    }

    fn acknowledged(&self) -> u64 {
        self.sent - self.unsure.len() as u64
    }

    pub(super) const fn sent(&self) -> u64 {
        self.sent
    }

    /// As many of `bytes` as may be sent now.
    pub(super) fn take<'bytes>(&mut self, bytes: &'bytes [u8]) -> &'bytes [u8] {
        if self.stage != Stage::Open {
            return &[];
        }
        let room = usize::try_from(self.limit.saturating_sub(self.sent)).unwrap_or(MAX_DATA_BYTES);
        let count = bytes.len().min(room).min(MAX_DATA_BYTES);
        let (taken, _) = bytes.split_at(count);
        self.unsure.extend(taken);
        self.sent += count as u64;
        taken
    }

    pub(super) fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    /// Nothing more follows. Says whether that is news.
    pub(super) fn end(&mut self) -> bool {
        let was_open = self.is_open();
        if was_open {
            self.stage = Stage::Ended;
        }
        was_open
    }

    /// The command has what lies before `received`, and the server takes what lies before `limit`. Says whether there is new room.
    pub(super) fn credit(&mut self, received: u64, limit: u64) -> Result<bool, GivenError> {
        // The server may have had more already than the command has.
        self.acknowledge(received.max(self.acknowledged()))?;
        let before = self.limit;
        self.limit = before.max(limit.min(received.saturating_add(WINDOW_BYTES)));
        Ok(self.limit > before)
    }

    fn acknowledge(&mut self, received: u64) -> Result<(), GivenError> {
        let (from, to) = (self.acknowledged(), self.sent);
        let wrong = GivenError::Offset { found: received, from, to };
        let count = received.checked_sub(from).filter(|_| received <= to).ok_or(wrong)?;
        self.unsure.drain(..usize::try_from(count).unwrap_or(usize::MAX).min(self.unsure.len()));
        Ok(())
    }

    /// After a new connection, where the server goes on at `at`: what must be sent again, and whether the end as well.
    pub(super) fn resume(&mut self, at: Option<u64>) -> Result<(Vec<u8>, bool), GivenError> {
        let Some(at) = at else {
            self.stage = Stage::Over;
            self.unsure.clear();
            return Ok((Vec::new(), false));
        };
        self.acknowledge(at)?;
        Ok((self.unsure.iter().copied().collect(), self.stage == Stage::Ended))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_goes_as_far_as_the_credit() {
        let mut given = Given::new(5);
        assert_eq!(given.take(b"abc"), b"");
        assert_eq!(given.credit(5, 7), Ok(true));
        assert_eq!(given.take(b"abc"), b"ab");
        assert_eq!(given.take(b"c"), b"");
        assert_eq!(given.credit(6, 7), Ok(false));
        assert_eq!(given.credit(5, 7), Ok(false));
        assert_eq!(given.credit(8, 9), Err(GivenError::Offset { found: 8, from: 6, to: 7 }));
        assert_eq!(given.credit(6, u64::MAX), Ok(true));
        let more = vec![0; 2 << 20];
        let mut sent = 0;
        while let count @ 1.. = given.take(&more).len() {
            sent += count as u64;
        }
        assert_eq!(sent + 1, WINDOW_BYTES);
        assert!(given.end() && !given.end());
        assert_eq!(given.take(b"x"), b"");
    }

    #[test]
    fn what_the_server_does_not_have_is_sent_again() {
        let mut given = Given::new(0);
        given.credit(0, 10).unwrap();
        given.take(b"0123456789");
        given.end();
        assert_eq!(given.resume(Some(7)), Ok((b"789".to_vec(), true)));
        assert_eq!(given.resume(Some(6)), Err(GivenError::Offset { found: 6, from: 7, to: 10 }));
        assert_eq!(given.resume(Some(10)), Ok((Vec::new(), true)));
        assert_eq!(given.resume(None), Ok((Vec::new(), false)));
    }
}
