//! The end of a sandbox from outside, where its first process does not bring it about: that one performs calls of the command's, and while a
//! file system does not answer it, no signal ends it, and so no PID namespace ends with it. Called by the launcher; where that is gone, by the
//! server part beside it, or by the supervisor, to which comes what it has left.

use std::os::fd::AsFd as _;
use std::time::Instant;

use crate::start::First;
use crate::sys::descendants;

/// A sandbox's first process, watched by a sibling that outlives the launcher, the parent of both.
#[derive(Debug)]
pub struct Watch(First);

impl Watch {
    /// Over the first process with this number. `None` where that has been reaped.
    #[must_use]
    pub fn over(number: i32) -> Option<Self> {
        descendants::sibling(number).map(|handle| Self(First { handle, pid: number }))
    }

    /// Once the launcher is gone: ends what is in the sandbox, where its first process does not go by itself.
    pub fn finish(&self) {
        descendants::finish(self.0.handle.as_fd(), self.0.pid);
    }
}

/// Strikes whatever is below those children of this process that are not `known` and run the same program: a launcher that is gone has left them to it.
/// Waits for none.
pub fn strike_below_orphans(known: &[i32]) {
    descendants::strike_below_orphans(known);
}

/// Whether a first process has ended, or does before this moment.
#[must_use]
pub fn has_ended(first: &First, until: Instant) -> bool {
    descendants::has_ended(&[first.handle.as_fd()], Some(until))
}

/// Ends every process that descends from this one and waits for that until this moment; who is left then. Those `spared` and what descends from
/// them stay. What are this process's own children is reaped.
#[must_use]
pub fn end_below(process: i32, spared: &[i32], until: Instant) -> Vec<i32> {
    descendants::end_below(process, spared, Some(until))
}
