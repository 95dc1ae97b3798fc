//! What the kernel tells of one name, or of one open directory: its kind, which file it is, how many names it has, and of a directory
//! when its entries have last changed.
//!
//! Never follows a symbolic link at the last name.

use std::ffi::CStr;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use super::super::abi::check;
use super::FileType;
use crate::live::FileId;

/// `STATX_MNT_ID` (Linux 5.8) and `STATX_MNT_ID_UNIQUE` (6.8): the number of the mount, in the second form one that is never used again.
const MOUNT: libc::c_uint = 0x1000 | 0x4000;

/// `STATX_ATTR_ENCRYPTED`: without its key a directory shows other names than with it.
const ENCRYPTED: u64 = 0x800;

const NS_PER_S: i64 = 1_000_000_000;

/// What stands at a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) file_type: FileType,
    pub(crate) file: FileId,
    pub(crate) links: u64,
}

/// A time of the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

impl Time {
    /// Nanoseconds since its clock's beginning.
    pub(crate) fn total_ns(self) -> i128 {
        i128::from(self.seconds) * i128::from(NS_PER_S) + i128::from(self.nanoseconds)
    }

    /// When anything about a file has changed (`ctime`).
    pub(crate) fn of_change(found: &libc::stat) -> Self {
        Self { seconds: found.st_ctime, nanoseconds: u32::try_from(found.st_ctime_nsec).unwrap_or(0) }
    }
}

/// A directory at one moment: whenever one of its entries changes, so does this, but for a change in the same tick of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) directory: FileId,
    /// The number of the mount under which it was seen; 0 where the kernel does not tell.
    pub(crate) mount: u64,
    /// When anything about it has changed (`ctime`), which nobody can set.
    pub(crate) changed: Time,
    /// When its entries have (`mtime`).
    pub(crate) modified: Time,
}

/// What stands where a directory is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) file_type: FileType,
    pub(crate) stamp: Stamp,
    /// Whether its names depend on a key, and not on its stamp alone.
    pub(crate) is_encrypted: bool,
}

/// What stands at an absolute path.
pub(crate) fn status_of(path: &CStr) -> Result<Status, i32> {
    statx(libc::AT_FDCWD, path, libc::AT_SYMLINK_NOFOLLOW).map(|found| Status::of(&found))
}

/// What stands at `name` in `parent`, without following it.
pub(crate) fn status(parent: BorrowedFd<'_>, name: &CStr) -> Result<Status, i32> {
    statx(parent.as_raw_fd(), name, libc::AT_SYMLINK_NOFOLLOW).map(|found| Status::of(&found))
}

/// The directory that stands at `name` in `parent`, without following it.
pub(crate) fn seen(parent: BorrowedFd<'_>, name: &CStr) -> Result<Seen, i32> {
    statx(parent.as_raw_fd(), name, libc::AT_SYMLINK_NOFOLLOW).map(|found| Seen::of(&found))
}

/// An open directory.
pub(crate) fn seen_opened(directory: BorrowedFd<'_>) -> Result<Seen, i32> {
    statx(directory.as_raw_fd(), c"", libc::AT_EMPTY_PATH).map(|found| Seen::of(&found))
}

impl Status {
    fn of(found: &libc::statx) -> Self {
        Self { file_type: from_mode(found.stx_mode), file: file_id(found), links: u64::from(found.stx_nlink) }
    }
}

impl Seen {
    fn of(found: &libc::statx) -> Self {
        let time = |at: libc::statx_timestamp| Time { seconds: at.tv_sec, nanoseconds: at.tv_nsec };
        Self {
            file_type: from_mode(found.stx_mode),
            stamp: Stamp {
                directory: file_id(found),
                mount: if found.stx_mask & MOUNT == 0 { 0 } else { found.stx_mnt_id },
                changed: time(found.stx_ctime),
                modified: time(found.stx_mtime),
            },
            is_encrypted: found.stx_attributes & ENCRYPTED != 0,
        }
    }
}

fn file_id(found: &libc::statx) -> FileId {
    let birth = found.stx_btime;
    let birth_ns = birth.tv_sec.checked_mul(NS_PER_S).and_then(|ns| ns.checked_add(birth.tv_nsec.into()));
    FileId {
        device: libc::makedev(found.stx_dev_major, found.stx_dev_minor),
        inode: found.stx_ino,
        birth_ns: birth_ns.filter(|_| found.stx_mask & libc::STATX_BTIME != 0),
    }
}

/// statx(2). Where the surroundings refuse it, as old filters of containers do, fstatat(2), which tells of neither births nor mounts.
fn statx(parent: libc::c_int, name: &CStr, flags: libc::c_int) -> Result<libc::statx, i32> {
    // SAFETY: all bytes zero is a valid `struct statx`.
    let mut found: libc::statx = unsafe { std::mem::zeroed() };
    let wanted = libc::STATX_BASIC_STATS | libc::STATX_BTIME | MOUNT;
    let place = &raw mut found;
    // SAFETY: the name ends with NUL, and the kernel writes one `struct statx` at the pointer.
    let done = unsafe { libc::statx(parent, name.as_ptr(), flags, wanted, place) };
    match check(libc::c_long::from(done)) {
        Ok(_) => Ok(found),
        Err(libc::ENOSYS | libc::EPERM) => fstatat(parent, name, flags),
        Err(errno) => Err(errno),
    }
}

fn fstatat(parent: libc::c_int, name: &CStr, flags: libc::c_int) -> Result<libc::statx, i32> {
    // SAFETY: all bytes zero is a valid `struct stat`.
    let mut found: libc::stat = unsafe { std::mem::zeroed() };
    let place = &raw mut found;
    // SAFETY: the name ends with NUL, and the kernel writes one `struct stat` at the pointer.
    let done = unsafe { libc::fstatat(parent, name.as_ptr(), place, flags) };
    check(libc::c_long::from(done))?;
    // SAFETY: all bytes zero is a valid `struct statx`; what is not told stays unsaid in its mask.
    let mut told: libc::statx = unsafe { std::mem::zeroed() };
    told.stx_mode = u16::try_from(found.st_mode & 0xffff).unwrap_or(0);
    told.stx_nlink = u32::try_from(found.st_nlink).unwrap_or(u32::MAX);
    told.stx_ino = found.st_ino;
    (told.stx_dev_major, told.stx_dev_minor) = (libc::major(found.st_dev), libc::minor(found.st_dev));
    Ok(told)
}

fn from_mode(mode: u16) -> FileType {
    match libc::mode_t::from(mode) & libc::S_IFMT {
        libc::S_IFDIR => FileType::Directory,
        libc::S_IFREG => FileType::File,
        libc::S_IFLNK => FileType::Symlink,
        libc::S_IFIFO => FileType::Fifo,
        libc::S_IFSOCK => FileType::Socket,
        libc::S_IFCHR | libc::S_IFBLK => FileType::Device,
        _ => FileType::Untold,
    }
}
