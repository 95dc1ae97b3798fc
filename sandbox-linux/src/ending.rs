//! The end of a sandbox from outside, where its first process does not bring it about: that one performs calls of the command's, and while a
//! file system does not answer it, no signal ends it, and so no PID namespace ends with it. Called by the launcher.

use std::io;
use std::os::fd::AsFd as _;
use std::time::Instant;

use crate::start::First;
use crate::sys::descendants;
use crate::sys::warden;

/// A process that ends what is in a sandbox when whoever made this is gone and the first process does not go. Dropping it lets it go.
#[derive(Debug)]
pub struct Warden(warden::Warden);

impl Warden {
    /// Sets it over a sandbox. Only a single-threaded process may call this, and none that will start others.
    ///
    /// # Errors
    /// As pipe(2) and fork(2).
    pub fn over(first: &First) -> io::Result<Self> {
        let started = warden::Warden::start(first.handle.as_fd(), first.pid);
        started.map(Self).map_err(io::Error::from_raw_os_error)
    }

    /// Its number. It is no part of the sandbox.
    #[must_use]
    pub const fn process(&self) -> i32 {
        self.0.process()
    }
}

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
        warden::finish(self.0.handle.as_fd(), self.0.pid);
    }
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
