//! Starting a prepared sandbox: the one door from data to a process. Called by the launcher, which has a single thread.

use std::os::fd::OwnedFd;

use crate::group::Door;
use crate::prepare::Prepared;
use crate::step::Failure;
use crate::sys;

/// Where one of the command's standard descriptors comes from.
#[derive(Debug)]
pub enum Source {
    /// It is closed, as the caller's was.
    Closed,
    /// This one; it must not be below 3.
    Descriptor(OwnedFd),
    /// The sandbox's own terminal.
    Terminal,
}

/// What connects the first process with the launcher and the caller. The launcher drops it after the start.
#[derive(Debug)]
pub struct Wires {
    /// The writing end of a pipe on which one failure is told; it closes when the command is executed.
    pub error: OwnedFd,
    /// One end of a sequenced-packet socket pair (`control`).
    pub control: OwnedFd,
    /// Standard input, output and error.
    pub stdio: [Source; 3],
    /// Rows and columns of a terminal of the sandbox's own, where it gets one.
    pub size: Option<[u16; 2]>,
    /// The control group in which everything is, from the first process's birth on.
    pub group: Option<Door>,
}

/// A sandbox's first process.
#[derive(Debug)]
pub struct First {
    /// A descriptor of it (pidfd_open(2)).
    pub handle: OwnedFd,
    /// Its number, as the launcher sees it.
    pub pid: i32,
}

/// Starts the first process. Everything else follows over the wires.
///
/// # Errors
/// [`Failure`] of the step `Clone`; later failures come over the pipe.
pub fn start(prepared: &Prepared, wires: &Wires) -> Result<First, Failure> {
    sys::first::start(prepared, wires).map(|(handle, pid)| First { handle, pid })
}

/// Ends every process that descends from this one and reaps them, where no PID namespace does; those `spared` and what descends
/// from them stay. This process must be the reaper of its descendants.
pub fn end_descendants(spared: &[i32]) {
    sys::descendants::end_family(spared);
}
