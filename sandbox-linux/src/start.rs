//! Starting a prepared sandbox: the one door from data to a process. Called by the launcher, which has a single thread.

use std::io;
use std::os::fd::OwnedFd;

use crate::group::Door;
use crate::prepare::Prepared;
use crate::step::{Failure, Step};
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
    started(sys::first::start(prepared, prepared.clone_flags, wires))
}

/// A network namespace that this process has gone into before it is known whether a sandbox wants one: making it takes the kernel longer than all
/// other namespaces together, and the launcher has nothing else to do while a policy is decided.
#[derive(Debug)]
pub struct NetworkAhead {
    /// Where this process was before, until it is back there.
    outside: Option<OwnedFd>,
}

impl NetworkAhead {
    /// Goes into a new one. Nothing where that is refused; then each sandbox makes its own.
    #[must_use]
    pub fn enter() -> Option<Self> {
        sys::ahead::enter().ok().map(|outside| Self { outside: Some(outside) })
    }

    /// As [`start`](fn@start), from where this process was before. A sandbox that wants a network of its own is born into this one, unless it has a
    /// user namespace: to that its network would have to belong.
    ///
    /// # Errors
    /// As [`start`](fn@start); also where this process cannot go back, and then nothing is left of the sandbox.
    pub fn start(self, prepared: &Prepared, wires: &Wires) -> Result<First, Failure> {
        let stuck = |error: io::Error| Failure {
            step: Step::Clone,
            errno: error.raw_os_error().unwrap_or(libc::EIO),
            item: 0,
        };
        let flags = prepared.clone_flags;
        if flags & NEW_NETWORK == 0 || flags & NEW_USER != 0 {
            self.leave().map_err(stuck)?;
            return start(prepared, wires);
        }
        let begun = started(sys::first::start(prepared, flags & !NEW_NETWORK, wires));
        match (begun, self.leave()) {
            (Ok(first), Err(error)) => {
                sys::process::kill(first.pid);
                sys::process::reap(first.pid);
                Err(stuck(error))
            }
            (begun, _) => begun,
        }
    }

    /// Goes back to where this process was before.
    ///
    /// # Errors
    /// As setns(2). This process is still inside then.
    pub fn leave(mut self) -> io::Result<()> {
        let left = self.outside.take().map_or(Ok(()), |outside| sys::ahead::leave(&outside));
        left.map_err(io::Error::from_raw_os_error)
    }
}

/// Whatever kept a sandbox from being started: the next one begins outside.
impl Drop for NetworkAhead {
    fn drop(&mut self) {
        if let Some(outside) = &self.outside {
            let _ = sys::ahead::leave(outside);
        }
    }
}

const NEW_NETWORK: u64 = libc::CLONE_NEWNET.cast_unsigned() as u64;
const NEW_USER: u64 = libc::CLONE_NEWUSER.cast_unsigned() as u64;

fn started(begun: Result<(OwnedFd, i32), Failure>) -> Result<First, Failure> {
    begun.map(|(handle, pid)| First { handle, pid })
}
