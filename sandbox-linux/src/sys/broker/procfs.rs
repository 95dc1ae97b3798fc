//! What is different on a procfs: entries that mean another directory to each process, links that the kernel follows by magic, and the
//! broker's own directory, which is closed.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use super::call::{self, Kernel};
use super::directory::{Found, Identity, identity, kind};
use super::resolve::{NO_MAGIC, PATH, World};
use super::tracee::{Tracee, below, number};

/// `PROC_ROOT_INO`: the number of a procfs's top directory.
const PROC_ROOT: libc::ino_t = 1;
/// How deep below its top a directory of a procfs can lie: `PID/task/TID/net/…`.
const MAX_PROC_DEPTH: u32 = 16;

impl World {
    /// Whether what was found lies on a procfs, which is on no block device.
    pub(super) fn is_on_proc(&self, found: &Found) -> bool {
        let device = found.stat.st_dev;
        libc::major(device) == 0 && device != self.device && call::is_proc(found.as_fd())
    }

    /// Whether a place lies on a procfs.
    pub(super) fn is_proc(&self, place: BorrowedFd<'_>) -> bool {
        place.as_raw_fd() != self.root().as_raw_fd() && call::is_proc(place)
    }

    /// Which directory below `/proc` an entry means that means another to each process: the caller's. The broker's own
    /// is refused.
    pub(super) fn process_entry(
        &self,
        tracee: &Tracee,
        at: BorrowedFd<'_>,
        name: &[u8],
    ) -> Kernel<Option<CString>> {
        if !self.is_proc(at) || !call::stat(at).is_ok_and(|stat| stat.st_ino == PROC_ROOT) {
            return Ok(None);
        }
        match name {
            b"self" => tracee.process().map(|process| Some(number(process))),
            b"thread-self" => {
                let task = format!("{}/task/", tracee.process()?);
                Ok(Some(below(&task, tracee.pid())))
            }
            name if call::read_link(at, c"self").is_ok_and(|own| own == name) => Err(libc::EACCES),
            _ => Ok(None),
        }
    }

    /// Follows a magic link, but not to where only the broker is let in: a caller can hold a descriptor of any place.
    pub(super) fn jump(&self, parent: BorrowedFd<'_>, name: &CStr) -> Kernel<OwnedFd> {
        let there = call::open_path(parent, name, 0)?;
        let is_own = match kind(&call::stat(there.as_fd())?) {
            libc::S_IFDIR => self.is_own(there.as_fd()),
            _ => self.is_own_file(there.as_fd()),
        };
        if is_own { Err(libc::EACCES) } else { Ok(there) }
    }

    /// Whether a file is the broker's own in a procfs. It has no parent to climb to, so its path tells: anything but the directory of
    /// another process on the broker's own procfs counts.
    fn is_own_file(&self, file: BorrowedFd<'_>) -> bool {
        if !call::is_proc(file) {
            return false;
        }
        let device = |fd| call::stat(fd).map(|stat| stat.st_dev);
        let path = call::path_of(file, None);
        let first = path.strip_prefix(b"/proc/").and_then(|path| path.split(|byte| *byte == b'/').next());
        let own = call::read_link(self.proc(), c"self");
        let is_other = match (first, own, device(file), device(self.proc())) {
            (Some(first), Ok(own), Ok(here), Ok(ours)) => first != own && here == ours,
            _ => false,
        };
        !is_other
    }

    /// Whether a directory is the broker's own in a procfs, or lies below it. One whose top cannot be found counts.
    pub(super) fn is_own(&self, at: BorrowedFd<'_>) -> bool {
        if !self.is_proc(at) {
            return false;
        }
        self.process_of(at).is_none_or(|(top, process)| {
            let own = call::read_link(top.as_fd(), c"self").ok().and_then(|own| CString::new(own).ok());
            let own = own.and_then(|own| call::stat_at(top.as_fd(), &own, 0).ok());
            own.is_some_and(|own| Some(identity(&own)) == process)
        })
    }

    /// Climbs to the top of a procfs; answers it and the directory below it that was passed.
    fn process_of(&self, at: BorrowedFd<'_>) -> Option<(OwnedFd, Option<Identity>)> {
        let mut current = at.try_clone_to_owned().ok()?;
        let mut passed = None;
        for _ in 0..MAX_PROC_DEPTH {
            let stat = call::stat(current.as_fd()).ok()?;
            if !call::is_proc(current.as_fd()) {
                return None;
            }
            if stat.st_ino == PROC_ROOT {
                return Some((current, passed));
            }
            passed = Some(identity(&stat));
            current = call::open_path(current.as_fd(), c"..", 0).ok()?;
        }
        None
    }
}

/// Whether a link is one of procfs's magic ones: the kernel refuses to follow those when told so, and follows others.
pub(super) fn is_magic(parent: BorrowedFd<'_>, name: &CStr) -> bool {
    call::is_proc(parent) && call::openat2(parent, name, PATH, 0, NO_MAGIC).err() == Some(libc::ELOOP)
}
