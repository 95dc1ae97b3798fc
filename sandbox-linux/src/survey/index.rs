//! Listings of directories that stay true from one launch to the next, so that a later launch reads none of them again.
//!
//! What a directory holds, names with kinds and inode numbers, is a fact about the file system and belongs to no policy. It is kept
//! together with the directory's stamp (`Stamp`: file system, inode, birth, mount, `ctime`, `mtime`), and holds as long as the stamp is the
//! same: every change of an entry changes the stamp, and nobody can set `ctime`. So a later launch asks each directory for its stamp.
//! What a stamp does not tell is never kept: how many names a file has, which file it is, what it holds, what is mounted on it.
//!
//! A stamp is worth something only where
//! - the listing is not of the same moment: two changes in one tick of the clock get one stamp. What has changed within [`MARGIN`] is not
//!   kept;
//! - the clock has only gone forward since. The kernel tells whether anybody has set it ([`Clock`]); then nothing that was kept counts;
//! - the file system is one of `RELIABLE` and keeps fractions of a second: a stamp without any is not believed;
//! - the names are not encrypted: with the key there are others, under the same stamp.
//!
//! Who may list a directory is said by its mode, owner and access lists (a change of which changes its `ctime`) and by who asks: an index
//! belongs to one user with one set of groups, and nobody else may be given it. It must never be filled with anything but what
//! this process's own walk has read from the kernel. Called by `walk`; launchers hand it on as an [`Image`].

mod image;

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use crate::sys::clock;
use crate::sys::walk::{self, Entry, FileType, Seen, Stamp, Time};

use image::Contents;
pub(super) use image::Listing;
pub use image::{Image, MAX_IMAGE_BYTES};

/// A directory that has changed more recently than this is not kept. The kernel stamps with the clock's last tick, of which there are 100
/// in a second at least; the rest is for machines that are late with it.
pub const MARGIN: Duration = Duration::from_secs(1);

/// File systems of this machine alone that stamp a directory at each change of an entry, under the lock that keeps it from being listed
/// meanwhile: ext2 to ext4, XFS, Btrfs, tmpfs (`linux/magic.h`). Not those whose entries change elsewhere or at somebody's will (NFS, SMB,
/// 9p, FUSE), nor overlays, whose stamp is that of one of several directories.
const RELIABLE: [libc::c_long; 4] = [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994];

/// Whether the clock was set: a watch that begins when it is made. Sharing its descriptor shares it.
#[derive(Debug)]
pub struct Clock(OwnedFd);

impl Clock {
    /// Watches the clock from now on.
    ///
    /// # Errors
    /// As timerfd_create(2).
    pub fn watch() -> io::Result<Self> {
        clock::until_set().map(Self).map_err(io::Error::from_raw_os_error)
    }

    /// Whether anybody has set it since.
    #[must_use]
    pub fn was_set(&self) -> bool {
        clock::was_set(self.0.as_fd())
    }

    /// The same watch for another process.
    ///
    /// # Errors
    /// As fcntl(2).
    pub fn share(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }
}

/// What is known of directories, and what has been found out since.
#[derive(Debug)]
pub struct Index {
    clock: Clock,
    kept: Option<Rc<Contents>>,
    /// Which of the kept listings were of use, by their place.
    used: Vec<bool>,
    fresh: Fresh,
    /// Whether the file system of this number is one of [`RELIABLE`].
    devices: HashMap<u64, bool>,
    margin: Duration,
}

/// Listings that were made now, one behind the other.
#[derive(Debug, Default)]
struct Fresh {
    entries: Vec<u8>,
    directories: Vec<(Stamp, Range<usize>)>,
}

/// A listing that is being made, behind all others.
#[derive(Debug)]
struct Draft<'i> {
    fresh: &'i mut Fresh,
    stamp: Stamp,
    begin: usize,
    /// Whether it can be kept, as far as it goes.
    holds: bool,
}

impl Index {
    /// Begins with what earlier launches of the same user have found while this watch of the clock was under way.
    #[must_use]
    pub fn new(clock: Clock, image: Option<&Image>) -> Self {
        let kept = image.and_then(Image::contents).map(Rc::new);
        let used = vec![false; kept.as_ref().map_or(0, |kept| kept.len())];
        Self { clock, kept, used, fresh: Fresh::default(), devices: HashMap::new(), margin: MARGIN }
    }

    /// As with another margin, for tests that cannot wait.
    #[cfg(test)]
    pub(super) fn with_margin(self, margin: Duration) -> Self {
        Self { margin, ..self }
    }

    /// Whether what it says no longer counts: asked after a walk, for then nothing that the walk has seen is newer.
    pub(super) fn is_void(&self) -> bool {
        self.clock.was_set()
    }

    /// Forgets everything, and keeps nothing more.
    pub(super) fn forget(&mut self) {
        self.kept = None;
        self.used.clear();
        self.fresh = Fresh::default();
    }

    /// Whether anything is known at all.
    pub(super) const fn is_empty(&self) -> bool {
        self.kept.is_none()
    }

    /// What this directory holds, where that is known. `open` opens it for a look at its file system.
    pub(super) fn find<D: AsFd>(&mut self, seen: &Seen, open: impl FnOnce() -> Option<D>) -> Option<Listing> {
        let kept = self.kept.as_ref()?;
        let (place, listing) = kept.find(&seen.stamp)?;
        if seen.file_type != FileType::Directory || seen.is_encrypted {
            return None;
        }
        if !is_reliable(&mut self.devices, &seen.stamp, open) {
            return None;
        }
        if let Some(used) = self.used.get_mut(place) {
            *used = true;
        }
        Some(listing)
    }

    /// Begins to take down what an open directory holds, before anything of it is read.
    fn begin(&mut self, directory: BorrowedFd<'_>) -> Option<Draft<'_>> {
        // The clock first: whatever changes after the stamp was taken is stamped with this time or later.
        let now = clock::now().ok()?;
        let seen = walk::seen_opened(directory).ok()?;
        let is_past = |changed: Time| is_past(changed, now, self.margin);
        let may_be = !seen.is_encrypted && seen.stamp.changed.nanoseconds != 0 && is_past(seen.stamp.changed);
        if !may_be || !is_reliable(&mut self.devices, &seen.stamp, || Some(directory)) {
            return None;
        }
        let begin = self.fresh.entries.len();
        Some(Draft { fresh: &mut self.fresh, stamp: seen.stamp, begin, holds: true })
    }

    /// What the next launch of this user is to begin with, where that is other than what this one began with, and worth the writing.
    #[must_use]
    pub fn into_image(self) -> Option<Image> {
        if self.fresh.directories.is_empty() || self.is_void() {
            return None;
        }
        let Fresh { entries, directories } = self.fresh;
        Image::of(&entries, directories, self.kept.as_deref(), &self.used)
    }
}

impl Draft<'_> {
    fn add(&mut self, entry: &Entry<'_>) {
        let entries = &mut self.fresh.entries;
        // What is asked about each time need not be kept; what takes all the room must not.
        let is_large = entries.len() - self.begin > MAX_IMAGE_BYTES / 4 || entries.len() > MAX_IMAGE_BYTES;
        self.holds &= entry.file_type != FileType::Untold && !is_large;
        if self.holds {
            image::append(entries, entry);
        }
    }

    /// Keeps it: it was read to its end.
    fn keep(mut self) {
        if self.holds {
            let range = self.begin..self.fresh.entries.len();
            self.begin = range.end;
            self.fresh.directories.push((self.stamp, range));
        }
    }
}

/// What is not kept leaves nothing.
impl Drop for Draft<'_> {
    fn drop(&mut self) {
        self.fresh.entries.truncate(self.begin);
    }
}

/// Reads the entries of an open directory from the kernel, and keeps them where they will hold. In the answer: what `each` says to end it;
/// within, the error number where the kernel ends it.
pub(super) fn list<E>(
    directory: BorrowedFd<'_>,
    buffer: &mut [u8],
    index: Option<&mut Index>,
    mut each: impl FnMut(Entry<'_>) -> Result<(), E>,
) -> Result<Result<(), i32>, E> {
    let mut draft = index.and_then(|index| index.begin(directory));
    loop {
        let filled = match walk::read_entries(directory, buffer) {
            Ok(0) => break,
            Ok(filled) => filled,
            Err(errno) => return Ok(Err(errno)),
        };
        for entry in walk::entries(buffer.get(..filled).unwrap_or_default()) {
            draft.iter_mut().for_each(|draft| draft.add(&entry));
            each(entry)?;
        }
    }
    if let Some(draft) = draft {
        draft.keep();
    }
    Ok(Ok(()))
}

/// The same, by the index where that knows the directory; otherwise counts it as listed.
pub(super) fn look<E>(
    directory: BorrowedFd<'_>,
    buffer: &mut [u8],
    mut index: Option<&mut Index>,
    listed: &mut u64,
    each: impl FnMut(Entry<'_>) -> Result<(), E>,
) -> Result<Result<(), i32>, E> {
    if let Some(index) = index.as_deref_mut()
        && let Ok(seen) = walk::seen_opened(directory)
        && let Some(listing) = index.find(&seen, || Some(directory))
    {
        return listing.entries().try_for_each(each).map(Ok);
    }
    *listed += 1;
    list(directory, buffer, index, each)
}

/// Whether a time lies so far back that no change from now on can get the same.
pub(super) fn is_past(changed: Time, now: Time, margin: Duration) -> bool {
    now.total_ns() - changed.total_ns() >= i128::try_from(margin.as_nanos()).unwrap_or(i128::MAX)
}

/// Whether a file system of this kind is one of [`RELIABLE`].
pub(super) fn is_stamping(kind: libc::c_long) -> bool {
    RELIABLE.contains(&kind)
}

/// Asked once for each file system.
fn is_reliable<D: AsFd>(
    devices: &mut HashMap<u64, bool>,
    stamp: &Stamp,
    open: impl FnOnce() -> Option<D>,
) -> bool {
    let device = stamp.directory.device;
    if let Some(known) = devices.get(&device) {
        return *known;
    }
    let Some(directory) = open() else { return false };
    let kind = walk::file_system(directory.as_fd());
    let reliable = kind.is_ok_and(is_stamping);
    devices.insert(device, reliable);
    reliable
}

#[cfg(test)]
mod tests;
