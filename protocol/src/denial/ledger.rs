//! Denials of one source as they come: folded, and bounded whatever a command does.

use super::Denial;

/// Most denials told one by one: what nobody would read to the end.
pub const MAX_DENIALS: usize = 256;

/// Most bytes of the targets of those together, so that a report stays far below what a frame holds.
pub const MAX_DENIAL_BYTES: usize = 128 << 10;

/// Most bytes of one target: a path (`PATH_MAX`).
pub const MAX_TARGET_BYTES: usize = 4096;

/// Denials, the same ones told once with their number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    kept: Vec<Denial>,
    bytes: usize,
    left_out: u64,
}

impl Ledger {
    /// Adds one. What is the same but for its time and process is counted.
    pub fn add(&mut self, mut denial: Denial) {
        denial.target.0.truncate(MAX_TARGET_BYTES);
        if let Some(known) = self.kept.iter_mut().find(|known| is_same(known, &denial)) {
            known.count = known.count.saturating_add(denial.count);
            return;
        }
        let bytes = self.bytes.saturating_add(denial.target.0.len());
        if self.kept.len() < MAX_DENIALS && bytes <= MAX_DENIAL_BYTES {
            self.bytes = bytes;
            self.kept.push(denial);
        } else {
            self.left_out = self.left_out.saturating_add(denial.count);
        }
    }

    /// Counts what was left out before it came here.
    pub fn leave_out(&mut self, count: u64) {
        self.left_out = self.left_out.saturating_add(count);
    }

    /// All so far, in the order in which they came first.
    #[must_use]
    pub fn list(&self) -> &[Denial] {
        &self.kept
    }

    /// The same, for changing what is advised.
    pub fn list_mut(&mut self) -> &mut [Denial] {
        &mut self.kept
    }

    /// The denials, and how many were left out.
    #[must_use]
    pub fn into_parts(self) -> (Vec<Denial>, u64) {
        (self.kept, self.left_out)
    }
}

fn is_same(known: &Denial, other: &Denial) -> bool {
    let of = |denial: &Denial| (denial.operation, denial.mechanism);
    of(known) == of(other)
        && known.target == other.target
        && known.origin == other.origin
        && known.reason == other.reason
}

#[cfg(test)]
mod tests {
    use super::super::{Act, Mechanism};
    use super::*;

    fn denial(target: &str) -> Denial {
        Denial {
            operation: Act::Read,
            target: target.into(),
            access: None,
            mechanism: Mechanism::Landlock,
            origin: None,
            count: 1,
            time: String::new(),
            process: None,
            edit: None,
            option: None,
            reason: None,
        }
    }

    #[test]
    fn the_same_is_counted_whoever_did_it_and_whenever() {
        let mut ledger = Ledger::default();
        ledger.add(Denial { time: "1".to_owned(), ..denial("/a") });
        ledger.add(Denial { time: "2".to_owned(), count: 2, ..denial("/a") });
        ledger.add(Denial { operation: Act::Write, ..denial("/a") });
        let found: Vec<_> = ledger.list().iter().map(|one| (one.time.as_str(), one.count)).collect();
        assert_eq!(found, [("1", 3), ("", 1)]);
    }

    #[test]
    fn what_is_beyond_the_bounds_is_counted() {
        let mut ledger = Ledger::default();
        for number in 0..MAX_DENIALS + 5 {
            ledger.add(denial(&format!("/{number}")));
        }
        ledger.add(denial("/0"));
        let (list, left_out) = ledger.into_parts();
        assert_eq!((list.len(), left_out, list[0].count), (MAX_DENIALS, 5, 2));
        let mut ledger = Ledger::default();
        for number in 0..MAX_DENIAL_BYTES / MAX_TARGET_BYTES + 3 {
            ledger.add(denial(&format!("/{number:0>9000}")[5000..]));
        }
        let (list, left_out) = ledger.into_parts();
        let bytes: usize = list.iter().map(|one| one.target.0.len()).sum();
        assert!(bytes <= MAX_DENIAL_BYTES && left_out > 0, "{bytes} {left_out}");
    }
}
