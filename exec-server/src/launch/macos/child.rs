//! The child that becomes the command: it waits until it is watched, takes on the limits, and is replaced.

use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::RawFd;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use weir_sandbox_macos::launch::ProcessLimit;

use super::sys::{self, Program};
use crate::launch::sys::{Half, divide};

/// The word by which a child may go on.
const GO: u8 = b'g';

/// Exit code of a child that has told why it becomes nothing.
const FAILED: i32 = 127;

/// Bytes by which a child tells why it becomes nothing: an errno.
const FAILURE_BYTES: usize = 4;

/// A child that waits.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) pid: i32,
    go: PipeWriter,
    failure: PipeReader,
}

/// Makes the child, which has a process group of its own when this returns.
pub(super) fn make(
    program: &Program,
    limits: &[ProcessLimit],
    stdio: &[Option<RawFd>; 3],
) -> io::Result<Child> {
    let (waits, go) = io::pipe()?;
    let (failure, tells) = io::pipe()?;
    match divide()? {
        Half::Child => {
            // Where the launcher goes now, the end of the pipe comes and nothing is started.
            drop((go, failure));
            let errno = enter(program, limits, stdio, waits).raw_os_error().unwrap_or(libc::EIO);
            let _ = (&tells).write_all(&errno.to_ne_bytes());
            sys::leave(FAILED)
        }
        Half::Parent(pid) => {
            // Both do it, so that it is done for whoever goes on first.
            let own = rustix::process::Pid::from_raw(pid);
            let _ = rustix::process::setpgid(own, own);
            Ok(Child { pid, go, failure })
        }
    }
}

/// Everything that the child does. It comes back only where it fails.
fn enter(
    program: &Program,
    limits: &[ProcessLimit],
    stdio: &[Option<RawFd>; 3],
    mut waits: PipeReader,
) -> io::Error {
    let mut word = [0];
    let prepared = rustix::process::setpgid(None, None)
        .map_err(io::Error::from)
        .and_then(|()| waits.read_exact(&mut word))
        .and_then(|()| limits.iter().try_for_each(|limit| take_on(*limit)));
    match prepared {
        Ok(()) => sys::become_program(program, stdio),
        Err(error) => error,
    }
}

/// Soft and hard limit, never above what this process may have.
fn take_on(limit: ProcessLimit) -> io::Result<()> {
    let (resource, value) = match limit {
        ProcessLimit::OpenFiles(value) => (Resource::Nofile, value),
        ProcessLimit::FileSize(value) => (Resource::Fsize, value),
        ProcessLimit::NoCore => (Resource::Core, 0),
    };
    let most = getrlimit(resource).maximum.map_or(value, |maximum| maximum.min(value));
    setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    Ok(())
}

impl Child {
    /// Lets it go on, and waits until it has become the program or told why not.
    pub(super) fn release(self) -> io::Result<()> {
        let Self { mut go, mut failure, .. } = self;
        go.write_all(&[GO])?;
        drop(go);
        let mut told = Vec::new();
        failure.read_to_end(&mut told)?;
        match <[u8; FAILURE_BYTES]>::try_from(told.as_slice()) {
            Ok(errno) => Err(io::Error::from_raw_os_error(i32::from_ne_bytes(errno))),
            Err(_) => Ok(()),
        }
    }
}
