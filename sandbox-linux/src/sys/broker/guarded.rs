//! The guarded directories: held open, so that each is known whatever it is called, and looked for again when something
//! comes to stand on the way to one.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use super::call::{self, Kernel};
use super::directory::{Identity, Place, identity, kind};
use super::resolve::NO_LINKS;
use crate::broker::{Folding, Guard, NameIndex, on_the_way};

/// Most directories held for one guard: the one at its path, and those that stood there before and still exist. Each costs a
/// descriptor, and a caller could make them without end.
const MAX_PINS: usize = 64;

/// File systems that fold names, or may ([`crate::live::places`]), by number (`linux/magic.h`, and their own headers): vfat, exfat, ntfs3,
/// cifs, smb2, FUSE with virtiofs, 9p, NFS, vboxsf, HFS, HFS+, ZFS.
const FOLDING_MAGIC: [i64; 12] = [
    0x4d44,
    0x2011_bab0,
    0x7366_746e,
    0xff53_4d42,
    0xfe53_4d42,
    0x6573_5546,
    0x0102_1997,
    0x6969,
    0x786f_4256,
    0x4244,
    0x482b,
    0x2fc1_2fc1,
];
/// `FS_IOC_GETFLAGS` and `FS_CASEFOLD_FL` (`linux/fs.h`).
const GET_FLAGS: libc::c_ulong = 0x8008_6601;
const CASEFOLD: libc::c_long = 0x4000_0000;

/// A directory, held so that its number stays its own.
#[derive(Debug)]
struct Pin {
    fd: OwnedFd,
    identity: Identity,
    folding: Folding,
}

#[derive(Debug)]
struct Entry {
    guard: Guard,
    pins: Vec<Pin>,
}

/// All guards.
#[derive(Debug)]
pub(super) struct Guarded {
    entries: Vec<Entry>,
    /// Every guarded name.
    names: NameIndex,
    /// Every component of a path to a guarded directory.
    ways: NameIndex,
}

impl Guarded {
    pub(super) fn new(guards: Vec<Guard>, root: BorrowedFd<'_>) -> Kernel<Self> {
        let names = guards.iter().flat_map(|guard| guard.names.iter().map(Vec::as_slice));
        let names = NameIndex::new(names, Folding::Exact);
        let ways = guards.iter().flat_map(|guard| guard.parent.components());
        let ways = NameIndex::new(ways, Folding::Exact);
        let entries = guards.into_iter().map(|guard| Entry { guard, pins: Vec::new() }).collect();
        let mut guarded = Self { entries, names, ways };
        for at in 0..guarded.entries.len() {
            match guarded.pin(at, root) {
                Ok(()) | Err(libc::ENOENT | libc::ENOTDIR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(guarded)
    }

    /// Whether a name is guarded anywhere. False for nearly every call, which then needs no look at its directory.
    pub(super) fn is_name(&self, name: &[u8]) -> bool {
        self.names.contains(name)
    }

    /// Whether a path to a guarded directory has this component.
    pub(super) fn is_on_a_way(&self, name: &[u8]) -> bool {
        self.ways.contains(name)
    }

    /// The guard that forbids this name in this directory.
    pub(super) fn forbids(&self, parent: BorrowedFd<'_>, name: &[u8]) -> Kernel<Option<usize>> {
        if !self.is_name(name) {
            return Ok(None);
        }
        let parent = identity(&call::stat(parent)?);
        let forbids = |entry: &Entry| {
            let here = entry.pins.iter().filter(|pin| pin.identity == parent);
            here.into_iter().any(|pin| entry.guard.covers(name, pin.folding))
        };
        Ok(self.entries.iter().position(forbids))
    }

    /// Refuses to move what is guarded, or to put something in its stead (EBUSY, as for a mount point).
    pub(super) fn check_moved(&self, place: &Place<'_>) -> Kernel<()> {
        if !place.name().is_some_and(|name| self.is_on_a_way(name)) {
            return Ok(());
        }
        let Ok(stat) = place.stat() else { return Ok(()) };
        let identity = identity(&stat);
        let held = self.entries.iter().flat_map(|entry| &entry.pins).any(|pin| pin.identity == identity);
        if held { Err(libc::EBUSY) } else { Ok(()) }
    }

    /// Refuses what must not come to stand on the way to a guarded directory: a link, which leads elsewhere, and a directory that
    /// brings a guarded name along. `arriving` is what comes, where it exists already. Answers the guard that is meant.
    pub(super) fn check_arrival(&self, to: &Place<'_>, arriving: &Arriving<'_>) -> Kernel<Option<usize>> {
        let Some(name) = to.name().filter(|name| self.is_on_a_way(name)) else { return Ok(None) };
        let at = call::path_of(to.parent(), Some(name));
        for (index, entry) in self.entries.iter().enumerate() {
            let Some(below) = on_the_way(&entry.guard.parent, &at) else { continue };
            let refused = match arriving {
                Arriving::Empty => false,
                Arriving::Link => true,
                Arriving::Moved(from) => brings(entry, from, below)?,
            };
            if refused {
                return Ok(Some(index));
            }
            if entry.pins.iter().filter(|pin| pin.is_alive()).count() >= MAX_PINS {
                return Err(libc::EBUSY);
            }
        }
        Ok(None)
    }

    /// Looks for every guarded directory at its path.
    pub(super) fn look_again(&mut self, root: BorrowedFd<'_>) {
        for at in 0..self.entries.len() {
            // One that is not there is guarded when it comes.
            let _ = self.pin(at, root);
        }
    }

    fn pin(&mut self, at: usize, root: BorrowedFd<'_>) -> Kernel<()> {
        let Some(entry) = self.entries.get_mut(at) else { return Ok(()) };
        let path = entry.guard.parent.as_bytes().strip_prefix(b"/").filter(|path| !path.is_empty());
        let path = CString::new(path.unwrap_or(b".")).map_err(|_| libc::EINVAL)?;
        let fd = call::open_path(root, &path, libc::O_DIRECTORY)?;
        let identity = identity(&call::stat(fd.as_fd())?);
        if entry.pins.iter().any(|pin| pin.identity == identity) {
            return Ok(());
        }
        entry.pins.retain(Pin::is_alive);
        let folding = folding(fd.as_fd());
        entry.pins.push(Pin { fd, identity, folding });
        if folding == Folding::Folded {
            self.names.fold();
        }
        if parent_folds(root, &path) {
            self.ways.fold();
        }
        Ok(())
    }
}

/// What comes to stand at a name.
#[derive(Debug)]
pub(super) enum Arriving<'a> {
    /// A directory or file made for it.
    Empty,
    /// A symbolic link made for it.
    Link,
    /// Something that exists elsewhere.
    Moved(&'a Place<'a>),
}

impl Pin {
    /// Whether the directory has not been removed.
    fn is_alive(&self) -> bool {
        call::stat(self.fd.as_fd()).is_ok_and(|stat| stat.st_nlink > 0)
    }
}

/// Whether what is moved from a place would bring a guarded name, or lead elsewhere, `below` being the way from it to the
/// guarded directory.
fn brings(entry: &Entry, from: &Place<'_>, below: &[u8]) -> Kernel<bool> {
    // One that is missing is for the kernel to tell.
    let Ok(stat) = from.stat() else { return Ok(false) };
    match kind(&stat) {
        libc::S_IFLNK => return Ok(true),
        libc::S_IFDIR => {}
        _ => return Ok(false),
    }
    let last = CString::new(from.name().unwrap_or(b".")).map_err(|_| libc::EINVAL)?;
    let moved = call::open_path(from.parent(), &last, libc::O_NOFOLLOW)?;
    let below = CString::new(if below.is_empty() { b"." } else { below }).map_err(|_| libc::EINVAL)?;
    let flags = (libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC).cast_unsigned();
    match call::openat2(moved.as_fd(), &below, flags, 0, NO_LINKS) {
        Err(libc::ENOENT | libc::ENOTDIR) => Ok(false),
        // A link on the way.
        Err(_) => Ok(true),
        Ok(parent) => Ok(entry.guard.names.iter().any(|name| {
            let name = CString::new(name.as_slice()).unwrap_or_default();
            call::stat_at(parent.as_fd(), &name, libc::AT_SYMLINK_NOFOLLOW).err() != Some(libc::ENOENT)
        })),
    }
}

/// Whether a directory folds the names in it.
fn folding(dir: BorrowedFd<'_>) -> Folding {
    let by_kind = call::magic(dir).is_ok_and(|magic| FOLDING_MAGIC.contains(&magic));
    let by_flag = call::openat(dir, c".", libc::O_DIRECTORY.cast_unsigned()).is_ok_and(|readable| {
        let mut flags: libc::c_long = 0;
        // SAFETY: the kernel writes an int or a long at the pointer; an int fills the low half of the zero.
        let asked = unsafe { libc::ioctl(readable.as_raw_fd(), GET_FLAGS, &raw mut flags) };
        asked == 0 && flags & CASEFOLD != 0
    });
    if by_kind || by_flag { Folding::Folded } else { Folding::Exact }
}

/// Whether the directory above a path folds, so that the path may come into being under another spelling.
fn parent_folds(root: BorrowedFd<'_>, path: &CStr) -> bool {
    let mut above = path.to_bytes().to_vec();
    above.extend_from_slice(b"/..");
    let above = CString::new(above).unwrap_or_default();
    call::open_path(root, &above, 0).is_ok_and(|above| folding(above.as_fd()) == Folding::Folded)
}
