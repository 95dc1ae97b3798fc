//! When a survey began, and which files have had the same names since: whose last change (`ctime`, which nobody can set, and which a further name
//! and a rename change) lies before it, where the clock has only gone forward.
//!
//! What is above a name may have moved all the same: a directory that was moved is told by its own `ctime` alone.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::index::{self, Clock};
use crate::sys::clock;
use crate::sys::walk::{self, Time};

/// A change counts as one since the survey unless it is older than that by this: for file systems that keep whole seconds, a tick of the clock, and a
/// clock that was set by less than [`MAX_STEP_NS`] meanwhile.
const MARGIN: Duration = Duration::from_secs(3);
/// By how much the clock may have been set from the survey to the start of the watch over it.
const MAX_STEP_NS: u128 = 500_000_000;

/// A moment by the clock that stamps files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    stamp: Time,
    /// How far that clock was ahead of the one that nobody can set.
    ahead_ns: i128,
}

impl Moment {
    /// This moment; nothing where a clock cannot be read.
    #[must_use]
    pub fn now() -> Option<Self> {
        let (stamp, since_boot) = (clock::now().ok()?, clock::since_boot().ok()?);
        Some(Self { stamp, ahead_ns: stamp.total_ns() - since_boot.total_ns() })
    }

    /// Watches the clock from now on. Nothing where it cannot be watched, or was set since that moment.
    pub(crate) fn watch(self) -> Option<Since> {
        let clock = Clock::watch().ok()?;
        let step = Self::now()?.ahead_ns - self.ahead_ns;
        (step.unsigned_abs() <= MAX_STEP_NS).then_some(Since { moment: self, clock })
    }
}

/// What has happened since a moment.
#[derive(Debug)]
pub(crate) struct Since {
    moment: Moment,
    clock: Clock,
}

impl Since {
    /// Whether a file that is open, or held as a place, has the names that it had then. No where that is not known.
    pub(crate) fn has_same_names(&self, file: BorrowedFd<'_>, changed: Time) -> bool {
        index::is_past(changed, self.moment.stamp, MARGIN)
            && walk::file_system(file).is_ok_and(index::is_stamping)
            && !self.clock.was_set()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::MetadataExt as _;

    /// A moment so much later than now.
    fn later(seconds: i64) -> Moment {
        let now = Moment::now().unwrap();
        Moment { stamp: Time { seconds: now.stamp.seconds + seconds, ..now.stamp }, ..now }
    }

    fn changed(file: &std::fs::File) -> Time {
        let found = file.metadata().unwrap();
        Time { seconds: found.ctime(), nanoseconds: u32::try_from(found.ctime_nsec()).unwrap() }
    }

    #[test]
    fn a_file_has_its_names_until_it_gets_one_or_loses_one() {
        let dir = tempfile::tempdir().unwrap();
        let [one, two, three] = ["one", "two", "three"].map(|name| dir.path().join(name));
        std::fs::write(&one, "").unwrap();
        let file = std::fs::File::open(&one).unwrap();
        let has_same_names = |moment: Moment| {
            let clock = Clock::watch().unwrap();
            Since { moment, clock }.has_same_names(file.as_fd(), changed(&file))
        };
        // Made just now: before a survey an hour ahead, but not before one that begins now.
        assert!(has_same_names(later(3_600)));
        assert!(!has_same_names(later(0)));
        let acts: [&dyn Fn(); 3] = [
            &|| std::fs::hard_link(&one, &two).unwrap(),
            &|| std::fs::rename(&two, &three).unwrap(),
            &|| std::fs::remove_file(&three).unwrap(),
        ];
        for act in acts {
            let before = changed(&file);
            // The clock that stamps has gone on.
            while clock::now().unwrap() <= before {
                std::thread::yield_now();
            }
            act();
            assert!(changed(&file) > before);
        }
    }

    #[test]
    fn a_clock_that_was_set_tells_nothing() {
        let now = Moment::now().unwrap();
        assert!(now.watch().is_some());
        for step_s in [-3_600, 3_600] {
            let set = Moment { ahead_ns: now.ahead_ns + step_s * 1_000_000_000, ..now };
            assert!(set.watch().is_none());
        }
    }
}
