//! Records of what one user can bring about as often as they like: the first ones of a period are told one by one, what is beyond is counted and told
//! together.
//!
//! So nobody fills the log, or has it turn, by doing the same over and over. The last record that is told one by one says that others may follow, and
//! is on record before they have an effect; none goes unaccounted for. Knows no clock and writes nothing itself.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use weir_protocol::audit::{Action, Record};

/// Records of one user's doing the same that are told one by one within [`PERIOD`].
const TOLD_SINGLY: u32 = 8;

/// Time after which what was counted is told: a user adds no more than this many records and one to the log in it, by such means.
const PERIOD: Duration = Duration::from_secs(60);

/// User and group of a record, and what it is about.
type Of = ((u32, u32), Action);

/// What has been brought about within its period.
#[derive(Debug)]
struct Period {
    since: Instant,
    told: u32,
    counted: u64,
}

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct Tally(HashMap<Of, Period>);

impl Tally {
    /// Has a record written, or counted; whether it was written.
    ///
    /// # Errors
    /// Those of `write`; then the record counts for nothing, and what it is about must not happen.
    pub(super) fn note(
        &mut self,
        record: Record,
        now: Instant,
        write: impl FnOnce(&Record) -> io::Result<()>,
    ) -> io::Result<Noted> {
        let of = ((record.uid, record.gid), record.action);
        let period = self.0.entry(of).or_insert(Period { since: now, told: 0, counted: 0 });
        if period.told >= TOLD_SINGLY {
            period.counted += 1;
            return Ok(Noted::Counted);
        }
        let is_last = period.told + 1 == TOLD_SINGLY;
        write(&if is_last { announcing(record) } else { record })?;
        period.told += 1;
        Ok(Noted::Written)
    }

    /// When something is to be told, or is forgotten.
    pub(super) fn due(&self) -> Option<Instant> {
        self.0.values().map(|period| period.since + PERIOD).min()
    }

    /// Tells what was counted in periods that are over. What cannot be written is told later, and until a record could be written again nothing more is
    /// counted.
    pub(super) fn settle(&mut self, now: Instant, write: impl FnMut(Of, u64) -> io::Result<()>) {
        self.tell(now, |period| period.since + PERIOD <= now, write);
    }

    /// The same for all periods, because there is no later.
    pub(super) fn settle_all(&mut self, now: Instant, write: impl FnMut(Of, u64) -> io::Result<()>) {
        self.tell(now, |_| true, write);
    }

    fn tell(
        &mut self,
        now: Instant,
        is_over: impl Fn(&Period) -> bool,
        mut write: impl FnMut(Of, u64) -> io::Result<()>,
    ) {
        self.0.retain(|of, period| {
            if !is_over(period) {
                return true;
            }
            if period.counted == 0 || write(*of, period.counted).is_ok() {
                return false;
            }
            (period.since, period.told) = (now, TOLD_SINGLY - 1);
            true
        });
    }
}

/// What has become of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noted {
    /// It is in the log.
    Written,
    /// The log says that there may be such, and how many there were is told later.
    Counted,
}

/// The last one that is told alone.
fn announcing(record: Record) -> Record {
    let more = format!("what follows within {} s is counted and told together", PERIOD.as_secs());
    let reason = match &record.reason {
        Some(reason) => format!("{reason}; {more}"),
        None => more,
    };
    record.because(&reason)
}

#[cfg(test)]
mod tests {
    use weir_protocol::audit::By;

    use super::*;
    use crate::audit::now;

    /// A log that takes records or not.
    #[derive(Default)]
    struct Log {
        written: Vec<(u32, u64)>,
        is_full: bool,
    }

    impl Log {
        fn write(&mut self, uid: u32, times: u64) -> io::Result<()> {
            if self.is_full {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.written.push((uid, times));
            Ok(())
        }

        fn note(&mut self, tally: &mut Tally, uid: u32, at: Instant) -> io::Result<Noted> {
            let record = now((uid, uid), Action::Admit, By::Supervisor);
            tally.note(record, at, |record| self.write(record.uid, 1))
        }

        fn settle(&mut self, tally: &mut Tally, at: Instant) {
            tally.settle(at, |((uid, _), _), times| self.write(uid, times));
        }
    }

    #[test]
    fn a_flood_is_a_few_records_and_each_is_accounted_for() {
        let (mut tally, mut log, start) = (Tally::default(), Log::default(), Instant::now());
        for _ in 0..1000 {
            log.note(&mut tally, 1, start).unwrap();
        }
        assert_eq!(
            log.note(&mut tally, 2, start).unwrap(),
            Noted::Written,
            "another user's are not among them"
        );
        assert_eq!(log.written.len(), TOLD_SINGLY as usize + 1);
        let due = tally.due().unwrap();
        log.settle(&mut tally, due - Duration::from_millis(1));
        assert_eq!(log.written.len(), TOLD_SINGLY as usize + 1, "not before its time");
        log.settle(&mut tally, due);
        assert_eq!(log.written.iter().filter(|of| of.0 == 1).map(|of| of.1).sum::<u64>(), 1000);
        assert_eq!((log.written.len(), tally.due()), (TOLD_SINGLY as usize + 2, None));
        assert_eq!(log.note(&mut tally, 1, due).unwrap(), Noted::Written, "another period");
    }

    #[test]
    fn what_cannot_be_told_is_told_later_and_nothing_more_is_counted_until_then() {
        let (mut tally, mut log, start) = (Tally::default(), Log::default(), Instant::now());
        for _ in 0..10 {
            log.note(&mut tally, 1, start).unwrap();
        }
        log.is_full = true;
        let later = tally.due().unwrap();
        log.settle(&mut tally, later);
        assert!(log.note(&mut tally, 1, later).is_err(), "without a record it must not happen");
        assert_eq!(tally.due(), Some(later + PERIOD), "whoever waits does not turn in circles");
        log.is_full = false;
        assert_eq!(log.note(&mut tally, 1, later).unwrap(), Noted::Written);
        assert_eq!(log.note(&mut tally, 1, later).unwrap(), Noted::Counted);
        tally.settle_all(later, |((uid, _), _), times| log.write(uid, times));
        assert_eq!(log.written.iter().map(|of| of.1).sum::<u64>(), 12);
    }

    #[test]
    fn the_last_one_says_that_others_may_follow() {
        let (mut tally, start, mut reasons) = (Tally::default(), Instant::now(), Vec::new());
        for _ in 0..20 {
            let record = now((1, 1), Action::Refuse, By::ServerPart).because("code -1");
            tally
                .note(record, start, |record| {
                    reasons.extend(record.reason.clone());
                    Ok(())
                })
                .unwrap();
        }
        let (last, before) = reasons.split_last().unwrap();
        assert!(before.iter().all(|reason| reason == "code -1") && before.len() == 7);
        assert!(last.starts_with("code -1; what follows within 60 s"), "{last}");
    }
}
