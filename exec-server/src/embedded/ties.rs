//! What ties client, launcher and server part of an embedded server to each other, so that whichever ends first, the rest goes.
//!
//! The launcher ends with its client, which is its parent. The server part ends with the launcher; once there is a sandbox it outlives that for a
//! moment, to end what the launcher has left.

use std::io;
use std::os::fd::OwnedFd;

use crate::wire::Wire;

#[cfg(target_os = "linux")]
pub(super) use linux::*;
#[cfg(target_os = "macos")]
pub(super) use macos::*;

#[cfg(target_os = "linux")]
mod linux {
    use super::{OwnedFd, Wire, io};
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{
        DumpableBehavior, Pid, Signal, getppid, set_dumpable_behavior, set_parent_process_death_signal,
    };
    use weir_sandbox_linux::ending;

    /// This process, which becomes the launcher, ends with its parent, the client, at the other end of this socket: it waits for much, and
    /// hears of nothing meanwhile. False where the client is gone already.
    pub(in super::super) fn to_client(socket: &OwnedFd) -> io::Result<bool> {
        const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // One that was gone before sends no signal.
        let mut watched = [PollFd::new(socket, PollFlags::empty())];
        poll(&mut watched, Some(&AT_ONCE))?;
        let [watched] = watched;
        Ok(!watched.revents().contains(PollFlags::HUP))
    }

    /// This process ends with the launcher, and lets nobody of the same user look into it.
    pub(in super::super) fn to_launcher() -> io::Result<()> {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        Ok(())
    }

    /// The launcher's sandbox.
    pub(in super::super) struct Watch {
        first: Option<ending::Watch>,
        launcher: Option<Pid>,
    }

    impl Watch {
        /// Over nothing yet.
        pub(in super::super) const fn at_first() -> Option<Self> {
            None
        }

        /// Over the sandbox with this first process. From here on this process no longer ends with the launcher.
        pub(in super::super) fn over(first: i32) -> io::Result<Self> {
            let (first, launcher) = (ending::Watch::over(first), getppid());
            set_parent_process_death_signal(None)?;
            Ok(Self { first, launcher })
        }

        /// The sandbox has ended: this process ends with the launcher again.
        ///
        /// # Errors
        /// prctl(2)'s, and where the launcher is gone.
        pub(in super::super) fn over_nothing(self) -> io::Result<()> {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            let is_there = getppid() == self.launcher;
            if is_there { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
        }

        /// Lets the launcher end it, and ends what that leaves.
        pub(in super::super) fn finish(&self, launcher: &mut Wire, _is_abandoned: bool) {
            launcher.outlive();
            self.first.iter().for_each(ending::Watch::finish);
        }
    }
}

/// There is no such tie: each hears on its socket that another is gone.
#[cfg(target_os = "macos")]
mod macos {
    use super::{OwnedFd, Wire, io};

    /// Nothing.
    pub(in super::super) fn to_client(_socket: &OwnedFd) -> io::Result<bool> {
        Ok(true)
    }

    /// Nothing.
    pub(in super::super) fn to_launcher() -> io::Result<()> {
        Ok(())
    }

    /// The launcher's session, in which this process is.
    pub(in super::super) struct Watch;

    impl Watch {
        /// Over whatever will be in the session.
        pub(in super::super) const fn at_first() -> Option<Self> {
            Some(Self)
        }

        /// Over whatever is in the session.
        pub(in super::super) fn over(_first: i32) -> io::Result<Self> {
            Ok(Self)
        }

        /// Nothing.
        pub(in super::super) fn over_nothing(self) -> io::Result<()> {
            Ok(())
        }

        /// Where the launcher is gone without a word about the end: ends what is in the session, but this process. One that is there does so itself.
        pub(in super::super) fn finish(&self, _launcher: &mut Wire, is_abandoned: bool) {
            if is_abandoned {
                crate::launch::macos::end_session();
            }
        }
    }
}
