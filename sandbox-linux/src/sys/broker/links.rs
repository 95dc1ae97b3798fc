//! Further names of what is closed: a file whose path is open may be one that is closed under another of its names.
//!
//! Only a file with more than one name is asked about. What was closed at start is known from the survey, and so is all of a file that has had
//! the same names since ([`Since`]). What came to be since
//! is found by looking through the places where something could be closed, once, and from then on by what inotify(7) tells of
//! them, which is read before each answer: the kernel tells of a new name before the call that made it returns. Where it
//! cannot tell (too many directories, or events) they are looked through again.

use std::collections::{BTreeMap, HashMap};
use std::ffi::CString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use weir_protocol::policy::Operation;

use super::super::walk::{self, FileType, Time};
use super::call::{self, Kernel};
use super::directory::Found;
use super::resolve::NO_LINKS;
use crate::live::{Files, Judge, LiveRules};
use crate::survey::{Moment, Since};

/// What is told of a directory: names that come. One that goes takes what was closed in it along, which is known by then.
const TOLD: u32 = libc::IN_CREATE | libc::IN_MOVED_TO | libc::IN_ONLYDIR;
/// Trees of the kernel, which hold no files of anyone.
const KERNEL_TREES: [&[u8]; 3] = [b"/proc", b"/sys", b"/dev"];
/// `OVERLAYFS_SUPER_MAGIC` (`linux/magic.h`).
const OVERLAY_MAGIC: i64 = 0x794c_7630;
/// Bytes of entries, and of events, read at once.
const ROOM: usize = 32 << 10;
const LISTING: u32 =
    (libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC).cast_unsigned();

/// The files that are closed under one of their names.
#[derive(Debug)]
pub(super) struct Links {
    closed: Files,
    /// Where something closed could lie.
    places: Vec<Vec<u8>>,
    watch: Option<Watch>,
    /// Which files need not be looked for.
    since: Option<Since>,
    /// Whether places are shown through an overlay, which has another device than the files that it shows.
    has_copies: bool,
}

/// What is heard of the directories in those places.
#[derive(Debug)]
struct Watch {
    fd: OwnedFd,
    directories: HashMap<i32, Vec<u8>>,
    /// What stands in for directories that cannot be opened: what was at these places.
    stand_ins: BTreeMap<Vec<u8>, StandIn>,
    /// Whether every directory is watched.
    is_complete: bool,
}

/// What was at a place. Nothing tells when it changes, so it is looked at before each answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct StandIn {
    /// Device and inode; none where there was nothing.
    file: Option<(u64, u64)>,
    /// When the inode was last changed, where its content counts.
    changed: Option<Time>,
}

/// What of a place counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counts {
    /// Which file it is: it is told of, or stood in for, itself.
    Itself,
    /// Who may open it and what is in it too.
    Content,
}

impl StandIn {
    fn of(root: BorrowedFd<'_>, path: &[u8], counts: Counts) -> Self {
        let flags = (libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC).cast_unsigned();
        let opened = call::below_root(path).and_then(|name| call::openat2(root, &name, flags, 0, NO_LINKS));
        let stat = opened.and_then(|file| call::stat(file.as_fd())).ok();
        let changed = stat.as_ref().map(Time::of_change).filter(|_| counts == Counts::Content);
        Self { file: stat.map(|stat| (stat.st_dev, stat.st_ino)), changed }
    }

    fn counts(self) -> Counts {
        if self.changed.is_some() { Counts::Content } else { Counts::Itself }
    }
}

impl Links {
    pub(super) fn new(rules: &LiveRules) -> Self {
        Self {
            closed: rules.closed_files.iter().copied().collect(),
            places: rules.places(),
            watch: None,
            since: rules.surveyed.and_then(Moment::watch),
            has_copies: rules.filesystem.copies().next().is_some(),
        }
    }

    /// Whether a file is shown by an overlay, so that changing anything of it makes another file with one name.
    pub(super) fn is_shown(&self, found: &Found) -> bool {
        self.has_copies && call::magic(found.as_fd()).is_ok_and(|magic| magic == OVERLAY_MAGIC)
    }

    /// Whether a file is closed under any name that it has now.
    pub(super) fn contains(
        &mut self,
        judge: &mut Judge,
        root: BorrowedFd<'_>,
        found: &Found,
    ) -> Kernel<bool> {
        if self.has(found) {
            return Ok(true);
        }
        if self.watch.is_none() && self.has_same_names(found) {
            return Ok(false);
        }
        self.update(judge, root)?;
        Ok(self.has(found))
    }

    fn has(&self, found: &Found) -> bool {
        let file = call::file_id(found.as_fd(), &found.stat);
        self.closed.contains(file) || self.is_shown(found) && self.closed.contains_shown(file)
    }

    fn has_same_names(&self, found: &Found) -> bool {
        let changed = Time::of_change(&found.stat);
        self.since.as_ref().is_some_and(|since| since.has_same_names(found.as_fd(), changed))
    }

    fn update(&mut self, judge: &mut Judge, root: BorrowedFd<'_>) -> Kernel<()> {
        let news = match &mut self.watch {
            Some(watch) if watch.is_complete && watch.is_as_seen(root) => watch.read()?,
            _ => News { again: true, ..News::default() },
        };
        if news.again {
            self.look_through(judge, root);
        }
        for path in news.names {
            self.look_at(judge, root, &path);
        }
        Ok(())
    }

    /// Looks through all places anew. Where nothing can be watched, for the user has too many queues, that is done each time.
    fn look_through(&mut self, judge: &mut Judge, root: BorrowedFd<'_>) {
        let watch = |fd| {
            let (directories, stand_ins) = Default::default();
            Watch { fd, directories, stand_ins, is_complete: true }
        };
        self.watch = call::inotify().ok().map(watch);
        for place in self.places.clone() {
            self.watch_above(root, &place);
            self.look_at(judge, root, &place);
        }
    }

    /// Watches the directories above a place, in which it, or one of them, may appear or be replaced.
    fn watch_above(&mut self, root: BorrowedFd<'_>, place: &[u8]) {
        let slashes = place.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let slashes: Vec<usize> = slashes.filter(|at| at + 1 < place.len()).collect();
        for (number, at) in slashes.iter().enumerate() {
            let above = &place[..(*at).max(1)];
            if self.is_watched(above) {
                continue;
            }
            let Ok(name) = call::below_root(above) else { return };
            match call::openat2(root, &name, LISTING, 0, NO_LINKS) {
                Ok(directory) => self.watch(directory.as_fd(), above),
                // What is not there has nothing in it. What is a file or a link is replaced first, which is told of.
                Err(libc::ENOENT | libc::ENOTDIR | libc::ELOOP) => return,
                // A passage, or what the command may not list: of what is in it only this matters.
                Err(libc::EACCES) => {
                    let end = slashes.get(number + 1).copied().unwrap_or(place.len());
                    self.stand_in(root, &place[..end], Counts::Itself);
                }
                Err(_) => return self.is_incomplete(),
            }
        }
    }

    fn is_watched(&self, path: &[u8]) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.directories.values().any(|known| known == path))
    }

    /// Hears of the names that come in a directory.
    fn watch(&mut self, directory: BorrowedFd<'_>, path: &[u8]) {
        if let Some(watch) = &mut self.watch {
            match call::watch(watch.fd.as_fd(), directory, TOLD) {
                Ok(number) => {
                    watch.directories.insert(number, path.to_vec());
                }
                Err(_) => watch.is_complete = false,
            }
        }
    }

    /// Takes in what is at a path, and all below it.
    fn look_at(&mut self, judge: &mut Judge, root: BorrowedFd<'_>, path: &[u8]) {
        let mut buffer = vec![0; ROOM];
        let mut waiting = vec![(path.to_vec(), FileType::Untold)];
        while let Some((path, file_type)) = waiting.pop() {
            let is_closed = judge.judge(&path, Operation::Read).is_some();
            let is_kernels = KERNEL_TREES.contains(&path.as_slice());
            // What its directory tells to be a file is not tried as a directory; what takes its place is told of.
            let is_file = file_type == FileType::File;
            if is_kernels || !is_closed && (is_file || !judge.reaches(&path)) {
                continue;
            }
            let Ok(name) = call::below_root(&path) else { continue };
            if is_file {
                self.take_in(root, &name);
                continue;
            }
            match call::openat2(root, &name, LISTING, 0, NO_LINKS) {
                Ok(directory) => self.list(directory.as_fd(), &path, &mut buffer, &mut waiting),
                Err(libc::ENOTDIR | libc::ELOOP) if is_closed => self.take_in(root, &name),
                Err(libc::EACCES) if !is_closed => {
                    self.stand_in(root, &path, Counts::Content);
                    // It may have been opened to everyone just before.
                    if let Ok(directory) = call::openat2(root, &name, LISTING, 0, NO_LINKS) {
                        self.list(directory.as_fd(), &path, &mut buffer, &mut waiting);
                    }
                }
                Err(libc::EMFILE | libc::ENFILE) if !is_closed => self.is_incomplete(),
                Err(_) => {}
            }
        }
    }

    /// What is at this place stands in for a directory that cannot be opened.
    fn stand_in(&mut self, root: BorrowedFd<'_>, path: &[u8], counts: Counts) {
        if let Some(watch) = &mut self.watch {
            watch.stand_ins.entry(path.to_vec()).or_insert_with(|| StandIn::of(root, path, counts));
        }
    }

    fn is_incomplete(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.is_complete = false;
        }
    }

    fn take_in(&mut self, root: BorrowedFd<'_>, name: &CString) {
        let flags = (libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC).cast_unsigned();
        let Ok(file) = call::openat2(root, name, flags, 0, NO_LINKS) else { return };
        if let Ok(stat) = call::stat(file.as_fd())
            && stat.st_mode & libc::S_IFMT == libc::S_IFREG
        {
            self.closed.insert(call::file_id(file.as_fd(), &stat));
        }
    }

    /// Makes all entries of a directory wait that could matter; it is watched before it is read.
    fn list(
        &mut self,
        directory: BorrowedFd<'_>,
        path: &[u8],
        buffer: &mut [u8],
        waiting: &mut Vec<(Vec<u8>, FileType)>,
    ) {
        self.watch(directory, path);
        while let Ok(filled @ 1..) = walk::read_entries(directory, buffer) {
            for entry in walk::entries(buffer.get(..filled).unwrap_or_default()) {
                let matters = !matches!(
                    entry.file_type,
                    FileType::Symlink | FileType::Fifo | FileType::Socket | FileType::Device
                );
                if matters {
                    waiting.push((joined(path, entry.name.to_bytes()), entry.file_type));
                }
            }
        }
    }
}

/// What was told since the last time.
#[derive(Debug, Default)]
struct News {
    names: Vec<Vec<u8>>,
    /// Something was not told.
    again: bool,
}

impl Watch {
    /// Whether everything that stands in for a directory is as it was.
    fn is_as_seen(&self, root: BorrowedFd<'_>) -> bool {
        self.stand_ins.iter().all(|(path, seen)| StandIn::of(root, path, seen.counts()) == *seen)
    }

    fn read(&mut self) -> Kernel<News> {
        let mut news = News::default();
        let mut buffer = vec![0; ROOM];
        loop {
            let filled = match call::read(self.fd.as_fd(), &mut buffer) {
                Ok(filled) => filled,
                Err(libc::EAGAIN) => return Ok(news),
                Err(errno) => return Err(errno),
            };
            let mut rest = buffer.get(..filled).unwrap_or_default();
            while let Some((event, behind)) = Event::split(rest) {
                self.hear(&event, &mut news);
                rest = behind;
            }
        }
    }

    /// A directory that was moved is looked through like any new name, and so gets its new path, with all that is watched below it.
    fn hear(&mut self, event: &Event<'_>, news: &mut News) {
        if event.mask & libc::IN_Q_OVERFLOW != 0 {
            news.again = true;
        } else if event.mask & libc::IN_IGNORED != 0 {
            self.directories.remove(&event.directory);
        } else if event.mask & (libc::IN_CREATE | libc::IN_MOVED_TO) != 0
            && let Some(directory) = self.directories.get(&event.directory)
        {
            news.names.push(joined(directory, event.name));
        }
    }
}

/// One event (`struct inotify_event`).
struct Event<'b> {
    directory: i32,
    mask: u32,
    name: &'b [u8],
}

impl<'b> Event<'b> {
    fn split(bytes: &'b [u8]) -> Option<(Self, &'b [u8])> {
        let (head, behind) = bytes.split_at_checked(size_of::<libc::inotify_event>())?;
        let word = |at: usize| head.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
        let (name, rest) = behind.split_at_checked(usize::try_from(word(12)?).ok()?)?;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        Some((Self { directory: word(0)?.cast_signed(), mask: word(4)?, name: &name[..end] }, rest))
    }
}

fn joined(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let directory = directory.strip_suffix(b"/").unwrap_or(directory);
    [directory, b"/", name].concat()
}
