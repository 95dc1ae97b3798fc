//! Memory that outlives the process that has written it, and that nobody can change any more: a sealed file without a name
//! (memfd_create(2)). Called by `survey::index`.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::ptr::NonNull;

use super::abi::{check, check_int, owned};

/// `MFD_NOEXEC_SEAL` (Linux 6.3), without which some hosts refuse such a file.
const NOEXEC: libc::c_uint = 0x8;

/// What must not change once it is mapped: contents and length, and these seals.
const SEALS: libc::c_int = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;

/// Writes `parts`, one after the other, into memory of its own and seals it.
pub(crate) fn seal(parts: &[&[u8]]) -> io::Result<OwnedFd> {
    let mut file = File::from(create().map_err(io::Error::from_raw_os_error)?);
    for part in parts {
        file.write_all(part)?;
    }
    // SAFETY: sets seals on a descriptor that is open.
    let sealed = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, SEALS) };
    check_int(sealed).map_err(io::Error::from_raw_os_error)?;
    Ok(file.into())
}

fn create() -> Result<OwnedFd, i32> {
    match create_with(NOEXEC) {
        // A kernel that does not know the flag.
        Err(libc::EINVAL) => create_with(0),
        made => made,
    }
}

fn create_with(more: libc::c_uint) -> Result<OwnedFd, i32> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING | more;
    // SAFETY: the name is a constant C string; makes a descriptor, which is taken at once.
    owned(libc::c_long::from(unsafe { libc::memfd_create(c"weir-index".as_ptr(), flags) }))
}

/// The length of such memory; none where it is not sealed, or no such memory at all.
pub(crate) fn sealed_bytes(memory: BorrowedFd<'_>) -> Option<usize> {
    // SAFETY: asks about a descriptor that is open.
    let seals = unsafe { libc::fcntl(memory.as_raw_fd(), libc::F_GET_SEALS) };
    if seals < 0 || seals & SEALS != SEALS {
        return None;
    }
    // SAFETY: all bytes zero is a valid `struct stat`.
    let mut found: libc::stat = unsafe { std::mem::zeroed() };
    let place = &raw mut found;
    // SAFETY: the descriptor is open and the kernel writes one `struct stat` at the pointer.
    check_int(unsafe { libc::fstat(memory.as_raw_fd(), place) }).ok()?;
    usize::try_from(found.st_size).ok()
}

/// Sealed memory, mapped for reading.
#[derive(Debug)]
pub(crate) struct Mapped {
    start: NonNull<u8>,
    bytes: usize,
}

impl Mapped {
    /// Maps sealed memory; none where it is empty, or not sealed.
    pub(crate) fn of(memory: impl AsFd) -> Option<Self> {
        let memory = memory.as_fd();
        let bytes = sealed_bytes(memory).filter(|bytes| *bytes > 0)?;
        let (anywhere, access, kind) = (std::ptr::null_mut(), libc::PROT_READ, libc::MAP_PRIVATE);
        // SAFETY: a new mapping of an open descriptor, at a place that the kernel chooses.
        let start = unsafe { libc::mmap(anywhere, bytes, access, kind, memory.as_raw_fd(), 0) };
        let start = NonNull::new(start.cast::<u8>()).filter(|_| start != libc::MAP_FAILED)?;
        // SAFETY: the mapping was made just now. A process that this one makes has it no more.
        let kept = check_int(unsafe { libc::madvise(start.as_ptr().cast(), bytes, libc::MADV_DONTFORK) });
        let mapped = Self { start, bytes };
        kept.ok().map(|_| mapped)
    }

    pub(crate) const fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is as long as this and lives as long as `self`; the seals, which were there before it was made, keep
        // everyone from changing or shortening what is mapped.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: this value made the mapping, and nothing borrowed from it is left.
        let _ = check(libc::c_long::from(unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_read_and_never_written() {
        let memory = seal(&[b"one", b"", b"two"]).unwrap();
        assert_eq!(Mapped::of(&memory).unwrap().bytes(), b"onetwo");
        let mut file = File::from(memory);
        assert!(file.write_all(b"x").is_err() && file.set_len(1).is_err() && file.set_len(9).is_err());
        assert_eq!(Mapped::of(&file).unwrap().bytes(), b"onetwo");
    }

    #[test]
    fn what_is_not_sealed_is_not_mapped() {
        let open = File::from(create().unwrap());
        open.set_len(8).unwrap();
        assert!(Mapped::of(&open).is_none());
        assert!(Mapped::of(tempfile::tempfile().unwrap()).is_none());
        assert!(Mapped::of(seal(&[]).unwrap()).is_none());
    }
}
