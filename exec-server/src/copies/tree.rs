//! Names below a directory, reached through no symbolic link and never outside it (openat2(2)).

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timestamps, Uid, openat2, statat,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::descent::Descent;

/// A directory, and all below it on the same mount.
#[derive(Debug)]
pub(super) struct Tree(OwnedFd);

/// One state of one place: another one after every change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) size: i64,
    pub(super) modified: (i64, u64),
    pub(super) changed: (i64, u64),
}

impl Identity {
    pub(super) fn of(stat: &Stat) -> Self {
        let nanoseconds = |value: i64| u64::try_from(value).unwrap_or_default();
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size,
            modified: (stat.st_mtime, nanoseconds(stat.st_mtime_nsec.cast_signed())),
            changed: (stat.st_ctime, nanoseconds(stat.st_ctime_nsec.cast_signed())),
        }
    }

    /// Its device, and its number there.
    pub(super) const fn number(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// Whether it is the same place, whatever its name has become: moving changes the time of change alone.
    pub(super) fn is_moved(&self, other: &Self) -> bool {
        Self { changed: other.changed, ..*self } == *other
    }

    /// Whether it is the very same file, whatever it holds.
    pub(super) fn is_file(&self, other: &Self) -> bool {
        self.number() == other.number()
    }
}

/// Who owns something: user and group, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owner(u32, u32);

impl Owner {
    pub(super) const fn of(stat: &Stat) -> Self {
        Self(stat.st_uid, stat.st_gid)
    }

    /// Has an act give it to something that has another; an error names it.
    pub(super) fn give(
        self,
        found: &Stat,
        act: impl FnOnce(Option<Uid>, Option<Gid>) -> Result<(), Errno>,
    ) -> io::Result<()> {
        if Self::of(found) == self {
            return Ok(());
        }
        act(Some(Uid::from_raw(self.0)), Some(Gid::from_raw(self.1))).map_err(|errno| {
            let error = io::Error::from(errno);
            io::Error::new(error.kind(), format!("its owner cannot become {self}: {error}"))
        })
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "uid {}, gid {}", self.0, self.1)
    }
}

pub(super) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

pub(super) fn is_directory(stat: &Stat) -> bool {
    kind(stat) == FileType::Directory
}

/// How overlayfs keeps what was removed (overlayfs.rst, "whiteouts"): nobody else makes such a device.
pub(super) fn is_whiteout(stat: &Stat) -> bool {
    kind(stat) == FileType::CharacterDevice && stat.st_rdev == 0
}

impl Tree {
    /// A directory by its path, no link followed at its end.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(rustix::fs::openat(CWD, path, directory_flags(), Mode::empty())?))
    }

    /// The directory at a path below; the top itself for none.
    pub(super) fn directory(&self, below: &[u8]) -> io::Result<OwnedFd> {
        let below = if below.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(below) };
        Ok(openat2(&self.0, below, directory_flags(), Mode::empty(), inside())?)
    }

    /// The same, where it can be listed and what is in it be looked at; nothing where its mode forbids that.
    pub(super) fn open_directory(&self, below: &[u8]) -> io::Result<Option<OwnedFd>> {
        let open = self.directory(below).and_then(|open| {
            statat(&open, ".", AtFlags::empty())?;
            Ok(open)
        });
        match open {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
            open => open.map(Some),
        }
    }

    /// The directory that holds a path below, and the path's last name.
    pub(super) fn parent<'p>(&self, below: &'p [u8]) -> io::Result<(OwnedFd, &'p OsStr)> {
        let (above, name) = match below.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (&below[..slash], &below[slash + 1..]),
            None => (&below[..0], below),
        };
        Ok((self.directory(above)?, OsStr::from_bytes(name)))
    }

    /// What is at a path below; nothing also where something on the way is missing or no directory.
    pub(super) fn status(&self, below: &[u8]) -> io::Result<Option<Stat>> {
        if below.is_empty() {
            return Ok(Some(rustix::fs::fstat(&self.0)?));
        }
        match self.parent(below) {
            Ok((parent, name)) => status(&parent, name),
            Err(error) => absent(error),
        }
    }

    /// A regular file, opened for reading.
    pub(super) fn file(&self, below: &[u8]) -> io::Result<std::fs::File> {
        let (parent, name) = self.parent(below)?;
        file(&parent, name)
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

fn inside() -> ResolveFlags {
    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV
}

/// Whether an error says that there is nothing, or no directory on the way to it.
pub(super) fn is_absent(error: &io::Error) -> bool {
    let gone = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP];
    gone.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn absent<T>(error: io::Error) -> io::Result<Option<T>> {
    if is_absent(&error) { Ok(None) } else { Err(error) }
}

/// What is at a name in a directory.
pub(super) fn status(parent: impl AsFd, name: &OsStr) -> io::Result<Option<Stat>> {
    statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map(Some).or_else(|error| absent(error.into()))
}

/// A regular file at a name in a directory.
pub(super) fn file(parent: impl AsFd, name: &OsStr) -> io::Result<std::fs::File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    if kind(&rustix::fs::fstat(&file)?) != FileType::RegularFile {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(file.into())
}

/// A directory at a name in a directory.
pub(super) fn directory(parent: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(parent, name, directory_flags(), Mode::empty())?)
}

/// Gives a directory at a name a mode, whatever its mode is; a link is not followed.
pub(super) fn set_mode(parent: BorrowedFd<'_>, name: &OsStr, mode: u32) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let place = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    let path = format!("/proc/self/fd/{}", place.as_raw_fd());
    Ok(rustix::fs::chmod(path, Mode::from_bits_truncate(mode))?)
}

/// The names in a directory, sorted.
pub(super) fn names(directory: impl AsFd) -> io::Result<Vec<OsString>> {
    let mut out = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            out.push(OsString::from_vec(name));
        }
    }
    out.sort();
    Ok(out)
}

/// Removes whatever is at a name, with all below it, however deep.
pub(super) fn remove(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    remove_all(parent, name, None)
}

/// Who hears of each file that has other names, what it was and what it is now.
pub(super) type Told<'a> = dyn FnMut(Identity, Identity) + 'a;

/// The same, and tells which files go on under other names.
pub(super) fn remove_telling(parent: BorrowedFd<'_>, name: &OsStr, told: &mut Told<'_>) -> io::Result<()> {
    remove_all(parent, name, Some(told))
}

fn remove_all(parent: BorrowedFd<'_>, name: &OsStr, mut told: Option<&mut Told<'_>>) -> io::Result<()> {
    let Some(open) = remove_one(parent, name, told.as_deref_mut())? else { return Ok(()) };
    // The directories on the way, each with what is still to go from it.
    let mut waiting = vec![(name.to_owned(), names(&open)?)];
    let mut way = Descent::new(open);
    while let Some((_, rest)) = waiting.last_mut() {
        if let Some(inner) = rest.pop() {
            if let Some(open) = remove_one(way.here(), &inner, told.as_deref_mut())? {
                waiting.push((inner, names(&open)?));
                way.enter(open)?;
            }
        } else if let Some((name, _)) = waiting.pop() {
            way.leave()?;
            let above = if waiting.is_empty() { parent } else { way.here() };
            rustix::fs::unlinkat(above, name, AtFlags::REMOVEDIR)?;
        }
    }
    Ok(())
}

/// Removes what is at a name, unless it is a directory: that is opened.
fn remove_one(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    told: Option<&mut Told<'_>>,
) -> io::Result<Option<OwnedFd>> {
    match unlink(parent, name, told) {
        Err(Errno::ISDIR | Errno::PERM) => {}
        Ok(()) | Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    }
    // Its maker may have closed it to itself.
    let open = directory(parent, name).or_else(|_| {
        rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
        directory(parent, name)
    })?;
    let _ = rustix::fs::fchmod(&open, Mode::RWXU);
    Ok(Some(open))
}

fn unlink(parent: BorrowedFd<'_>, name: &OsStr, told: Option<&mut Told<'_>>) -> Result<(), Errno> {
    let unlinked = || rustix::fs::unlinkat(parent, name, AtFlags::empty());
    let Some(told) = told else { return unlinked() };
    let has_others = |found: &Stat| found.st_nlink > 1 && !is_directory(found);
    if !statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|found| has_others(&found)) {
        return unlinked();
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    let before = rustix::fs::fstat(&file)?;
    unlinked()?;
    told(Identity::of(&before), Identity::of(&rustix::fs::fstat(&file)?));
    Ok(())
}

/// Access and modification times as a file has them.
pub(super) fn times(stat: &Stat) -> Timestamps {
    let time = |seconds, nanoseconds: i64| rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec.cast_signed()),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec.cast_signed()),
    }
}
