//! What happens again and again, kept once with its number, and bounded.

use std::time::SystemTime;

use weir_protocol::audit::since_1970_ms;

/// Things of one kind, in the order in which they came first.
#[derive(Debug)]
pub(super) struct Folded<T> {
    kept: Vec<Kept<T>>,
    most: usize,
    beyond: u64,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Kept<T> {
    /// What it is.
    pub(super) what: T,
    /// When it came first.
    pub(super) since_1970_ms: u64,
    /// How often it came.
    pub(super) count: u64,
}

impl<T: PartialEq> Folded<T> {
    /// Of which `most` are told apart.
    pub(super) const fn new(most: usize) -> Self {
        Self { kept: Vec::new(), most, beyond: 0 }
    }

    /// Adds one.
    pub(super) fn add(&mut self, what: T) {
        if let Some(known) = self.kept.iter_mut().find(|known| known.what == what) {
            known.count = known.count.saturating_add(1);
        } else if self.kept.len() < self.most {
            let since_1970_ms = since_1970_ms(SystemTime::now());
            self.kept.push(Kept { what, since_1970_ms, count: 1 });
        } else {
            self.beyond = self.beyond.saturating_add(1);
        }
    }

    /// All that are told apart.
    pub(super) fn list(&self) -> &[Kept<T>] {
        &self.kept
    }

    /// How many came that are not.
    pub(super) const fn beyond(&self) -> u64 {
        self.beyond
    }
}
