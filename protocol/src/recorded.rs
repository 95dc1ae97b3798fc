//! What the programs of a run have used of the file tree, from which a profile can be proposed.
//!
//! The sandbox's first process performs every call that opens a file or changes a name, and where a run is recorded it tells of each that
//! succeeds: the final path, what was done, and by which program. Further calls it only takes down before the kernel goes on with them: those
//! that look whether something is there (stat(2), access(2), readlink(2)), that change mode, owner, times or attributes, and that execute a
//! program, with its interpreter and loader. Of those it tells what was there to be named, not whether the call succeeded. The same is
//! told once, and all of it is bounded.

use serde::{Deserialize, Serialize};

use crate::bytes::ByteString;
use crate::denial::Act;

/// Most uses of one run that are told: a large build opens fewer files outside of its project.
pub const MAX_USES: usize = 16_384;

/// Most bytes of their paths and programs together, so that the end of a run stays far below what a frame holds.
pub const MAX_USE_BYTES: usize = 4 << 20;

/// Stands before the address of a datagram socket that was bound; one of a stream stands alone.
pub const DATAGRAMS: &str = "udp ";

/// What was used in one run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// The programs, by their final paths.
    pub programs: Vec<ByteString>,
    /// What they used, in the order in which it came first.
    pub uses: Vec<Use>,
    /// Whether there was more than is told.
    pub is_cut: bool,
    /// Whether looks, changes of attributes and executions are told: not where the kernel cannot let a call go on.
    #[serde(default)]
    pub has_looks: bool,
    /// Bytes of all paths so far.
    #[serde(skip)]
    bytes: usize,
}

/// One use of the file tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// What was done: [`Act::Read`], [`Act::List`], [`Act::Look`], [`Act::Execute`], [`Act::Write`], [`Act::Alter`], or [`Act::Create`]
    /// where a name was made, moved or removed; of sockets [`Act::Connect`] and [`Act::Bind`].
    pub operation: Act,
    /// The final path. Of a socket its path, or the address and port where that is one of loopback, behind [`DATAGRAMS`] for a datagram socket.
    pub path: ByteString,
    /// Who did it first, as an index of [`Recorded::programs`]; absent where that could not be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<u32>,
}

impl Recorded {
    /// The same, for a run of which looks are told.
    #[must_use]
    pub fn with_looks(self) -> Self {
        Self { has_looks: true, ..self }
    }

    /// Adds a program, for uses to name.
    pub fn add_program(&mut self, path: Vec<u8>) {
        if self.takes(path.len()) {
            self.programs.push(ByteString(path));
        }
    }

    /// Adds a use.
    pub fn add(&mut self, one: Use) {
        if self.takes(one.path.0.len()) {
            self.uses.push(one);
        }
    }

    /// The program behind a use.
    #[must_use]
    pub fn program(&self, one: &Use) -> Option<&ByteString> {
        self.programs.get(usize::try_from(one.program?).ok()?)
    }

    /// Whether there is room for one more path; where there is none, all is cut from here on.
    fn takes(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        let count = self.uses.len() + self.programs.len();
        self.is_cut = self.is_cut || count >= MAX_USES || self.bytes > MAX_USE_BYTES;
        !self.is_cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(path: &str) -> Use {
        Use { operation: Act::Read, path: path.into(), program: Some(0) }
    }

    #[test]
    fn what_is_beyond_the_bounds_is_left_out_and_said() {
        let mut recorded = Recorded::default();
        recorded.add_program(b"/bin/sh".to_vec());
        (0..MAX_USES).for_each(|number| recorded.add(used(&format!("/{number}"))));
        assert_eq!((recorded.uses.len(), recorded.is_cut), (MAX_USES - 1, true));
        assert_eq!(recorded.program(&used("/")), Some(&"/bin/sh".into()));
        let mut recorded = Recorded::default();
        (0..MAX_USE_BYTES / 4000 + 1).for_each(|number| recorded.add(used(&format!("/{number:0>3999}"))));
        assert_eq!((recorded.uses.len(), recorded.is_cut), (MAX_USE_BYTES / 4000, true));
    }
}
