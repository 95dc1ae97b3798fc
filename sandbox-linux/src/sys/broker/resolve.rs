//! Finds the directory that a caller's path ends in, as the caller would find it.
//!
//! Nearly every path has no link in it, and one openat2(2) that forbids links finds its directory. With ordinary links one that
//! forbids magic ones does, unless it ends on a procfs, where `self` would be the broker. What is left is walked by
//! hand, component by component: `self` becomes the caller, a magic link is followed by the kernel from the process it belongs
//! to, and the broker's own `/proc` directory is closed (EACCES), for the kernel lets a process into its own where the caller
//! could not go.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::rc::Rc;

use super::call::{self, Kernel};
use super::directory::{Directory, Found, Place, kind};
use super::procfs::is_magic;
use super::symlink::Passed;
use super::tracee::{Tracee, number};
use super::trail::{Trail, Trails};
use crate::broker::{Named, Roots, Split};

pub(super) const NO_LINKS: u64 = libc::RESOLVE_NO_SYMLINKS;
pub(super) const NO_MAGIC: u64 = libc::RESOLVE_NO_MAGICLINKS;
const IN_ROOT: u64 = libc::RESOLVE_IN_ROOT;

/// Files of a process that the kernel lets everyone read, nobody write, and that tell everyone the same.
const OPEN_TO_ALL: [&[u8]; 3] = [b"cgroup", b"cmdline", b"status"];

pub(super) const DIRECTORY: u32 = (libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC).cast_unsigned();
pub(super) const PATH: u32 = (libc::O_PATH | libc::O_CLOEXEC).cast_unsigned();

const NOFOLLOW: u32 = libc::O_NOFOLLOW.cast_unsigned();

/// What becomes of a link at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    Followed,
    Kept,
}

/// The tree as the broker sees it.
#[derive(Debug)]
pub(super) struct World {
    root: OwnedFd,
    proc: OwnedFd,
    /// The broker's own descriptors, as a directory of magic links.
    own: OwnedFd,
    roots: Roots,
    trails: Trails,
    /// Whether the kernel would refuse to follow another user's link in a shared directory (fs.protected_symlinks).
    protects_links: bool,
    /// The device of the file system of `/`, which is no procfs, and another's never as long as it is held.
    pub(super) device: libc::dev_t,
    /// The directory of the thread that called last.
    caller: RefCell<Option<(u32, Rc<OwnedFd>)>>,
}

/// A path that was read from a caller, and where it starts.
#[derive(Debug)]
pub(super) struct Located<'a> {
    pub(super) base: Directory<'a>,
    /// The path without leading slashes.
    pub(super) path: CString,
    /// More flags for openat2(2): where the caller's root is another.
    within: u64,
}

impl<'a> Located<'a> {
    /// A path below a directory, where the caller's root is the broker's.
    pub(super) fn beneath(base: Directory<'a>, path: CString) -> Self {
        Self { base, path, within: 0 }
    }

    /// More flags for openat2(2).
    pub(super) fn within(&self) -> u64 {
        self.within
    }
}

impl World {
    pub(super) fn new(roots: Roots, trails: Trails) -> Kernel<Self> {
        let root = call::open_absolute(c"/", libc::O_PATH | libc::O_DIRECTORY)?;
        let proc = call::open_absolute(c"/proc", libc::O_PATH | libc::O_DIRECTORY)?;
        if !call::is_proc(proc.as_fd()) {
            return Err(libc::ENOSYS);
        }
        let own = call::open_path(proc.as_fd(), c"self/fd", libc::O_DIRECTORY)?;
        let sysctl = std::fs::read("/proc/sys/fs/protected_symlinks");
        let protects_links = sysctl.map_or(true, |text| text.first() != Some(&b'0'));
        let device = call::stat(root.as_fd())?.st_dev;
        let caller = RefCell::default();
        Ok(Self { root, proc, own, roots, trails, protects_links, device, caller })
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    pub(super) fn proc(&self) -> BorrowedFd<'_> {
        self.proc.as_fd()
    }

    pub(super) fn roots(&self) -> Roots {
        self.roots
    }

    /// The directory of a thread, where it is the one that called last; it may have ended, and another have its number.
    pub(super) fn last_caller(&self, pid: u32) -> Option<Rc<OwnedFd>> {
        self.caller.borrow().as_ref().filter(|(last, _)| *last == pid).map(|(_, dir)| Rc::clone(dir))
    }

    pub(super) fn remember_caller(&self, pid: u32, dir: &Rc<OwnedFd>) {
        self.caller.replace(Some((pid, Rc::clone(dir))));
    }

    /// The links of a look-up that begins.
    pub(super) fn trail(&self) -> Trail {
        Trail::new(self.trails)
    }

    /// Where a path starts. To be called after the notification was found valid.
    pub(super) fn locate(&self, tracee: &Tracee, dir: i32, path: &CStr) -> Kernel<Located<'_>> {
        let split = Split::of(path.to_bytes()).ok_or(libc::ENOENT)?;
        let relative = CString::new(split.relative).map_err(|_| libc::EINVAL)?;
        let (base, within) = match (split.is_absolute, self.roots) {
            (true, Roots::Same) => (Directory::Lasting(self.root()), 0),
            (true, Roots::Own) => (Directory::Held(tracee.root()?), IN_ROOT),
            (false, _) => (Directory::Held(self.descriptor(tracee, dir)?), 0),
        };
        Ok(Located { base, path: relative, within })
    }

    /// Opens what a path names, as a place, following the last link.
    pub(super) fn look(
        &self,
        tracee: &Tracee,
        named: Named,
        path: &CStr,
        trail: &mut Trail,
    ) -> Kernel<Found> {
        if trail.is_named() {
            return self.find(tracee, (named, path), Last::Followed, trail);
        }
        let located = self.locate(tracee, named.dir, path)?;
        let resolve = NO_MAGIC | located.within;
        let found = call::openat2(located.base.as_fd(), &located.path, PATH, 0, resolve).and_then(Found::new);
        match found {
            Ok(found) if !self.is_on_proc(&found) => return Ok(found),
            // An error may be one of the broker's own `/proc/self`.
            Ok(_) | Err(_) => {}
        }
        self.look_by_hand(tracee, located, Last::Followed, trail)
    }

    /// Opens what a path names, as a place, so that every link on the way is passed by hand. A link at the end that is not followed
    /// is what is found.
    pub(super) fn find(
        &self,
        tracee: &Tracee,
        (named, path): (Named, &CStr),
        last: Last,
        trail: &mut Trail,
    ) -> Kernel<Found> {
        // Behind a slash a link is followed, and what is there must be a directory.
        let whole = if path.to_bytes().ends_with(b"/") {
            [path.to_bytes(), b"."].concat()
        } else {
            path.to_bytes().to_vec()
        };
        let whole = CString::new(whole).map_err(|_| libc::EINVAL)?;
        let mut located = self.locate(tracee, named.dir, &whole)?;
        let flags = if last == Last::Followed { PATH } else { PATH | NOFOLLOW };
        loop {
            let resolve = NO_LINKS | located.within;
            let found =
                call::openat2(located.base.as_fd(), &located.path, flags, 0, resolve).and_then(Found::new);
            located = match found {
                Ok(found) if !self.is_on_proc(&found) => return Ok(found),
                Ok(_) => return self.look_by_hand(tracee, located, last, trail),
                Err(libc::ELOOP) => match self.pass_link(located, last, trail)? {
                    Passed::On(next) => next,
                    Passed::ByHand(located) => return self.look_by_hand(tracee, located, last, trail),
                },
                Err(errno) => return Err(errno),
            };
        }
    }

    fn look_by_hand(
        &self,
        tracee: &Tracee,
        located: Located<'_>,
        last: Last,
        trail: &mut Trail,
    ) -> Kernel<Found> {
        let mut place = self.walk(tracee, located, trail)?;
        loop {
            let found = call::open_path(place.parent(), &place.last, libc::O_NOFOLLOW).and_then(Found::new);
            let kind = match &found {
                Ok(found) => found.kind(),
                Err(_) => kind(&place.stat()?),
            };
            if kind != libc::S_IFLNK || last == Last::Kept {
                return found;
            }
            place = match self.follow(tracee, place, trail)? {
                Followed::Place(next) => next,
                Followed::There(there) => return Found::new(there),
            };
        }
    }

    /// What a caller's descriptor refers to, or its working directory.
    pub(super) fn descriptor(&self, tracee: &Tracee, fd: i32) -> Kernel<OwnedFd> {
        if fd == libc::AT_FDCWD { tracee.cwd() } else { tracee.descriptor(fd) }
    }

    /// The broker's own descriptors, as a directory of magic links; to be asked for in the broker's own process.
    pub(super) fn own(&self) -> BorrowedFd<'_> {
        self.own.as_fd()
    }

    /// The path of a place as the kernel tells it; empty where it cannot be told.
    pub(super) fn path_of(&self, place: BorrowedFd<'_>, name: Option<&[u8]>) -> Vec<u8> {
        let is_root = place.as_raw_fd() == self.root().as_raw_fd();
        let told = || call::read_link(self.own(), &number(call::number(place))).unwrap_or_default();
        let mut path = if is_root { b"/".to_vec() } else { told() };
        if let Some(name) = name.filter(|_| !path.is_empty()) {
            if path.last() != Some(&b'/') {
                path.push(b'/');
            }
            path.extend_from_slice(name);
        }
        path
    }

    /// The descriptors of this process, where that is one of the broker's own making.
    pub(super) fn own_descriptors(&self) -> Kernel<OwnedFd> {
        call::open_path(self.proc(), c"self/fd", libc::O_DIRECTORY)
    }

    /// The directory and last name of a path, for calls that make or move names: on a procfs, where they all fail, whose
    /// directory it is does not matter.
    pub(super) fn place<'a>(
        &'a self,
        tracee: &Tracee,
        located: Located<'a>,
        trail: &mut Trail,
    ) -> Kernel<Place<'a>> {
        let path = located.path.clone();
        let split = Split::of(path.to_bytes()).ok_or(libc::ENOENT)?;
        if split.parent.is_empty() {
            return Place::new(located.base, split.last);
        }
        let parent = CString::new(split.parent).map_err(|_| libc::EINVAL)?;
        let open =
            |resolve| call::openat2(located.base.as_fd(), &parent, DIRECTORY, 0, resolve | located.within);
        match open(NO_LINKS) {
            Ok(found) => return Place::new(Directory::Held(found), split.last),
            Err(libc::ELOOP) if trail.is_named() => return self.walk(tracee, located, trail),
            Err(libc::ELOOP) => {}
            Err(errno) => return Err(errno),
        }
        match open(NO_MAGIC) {
            Ok(found) if !call::is_proc(found.as_fd()) => Place::new(Directory::Held(found), split.last),
            // An error may be one of the broker's own `/proc/self`.
            Ok(_) | Err(_) => self.walk(tracee, located, trail),
        }
    }

    /// The same for a file that is to be opened: a place on a procfs is found by hand.
    pub(super) fn place_to_open<'a>(
        &'a self,
        tracee: &Tracee,
        located: Located<'a>,
        (named, path): (Named, &CStr),
        trail: &mut Trail,
    ) -> Kernel<Place<'a>> {
        let place = self.place(tracee, located, trail)?;
        if self.is_proc(place.parent()) {
            return self.walk(tracee, self.locate(tracee, named.dir, path)?, trail);
        }
        Ok(place)
    }

    /// Follows the link at a place by hand.
    pub(super) fn follow<'a>(
        &'a self,
        tracee: &Tracee,
        place: Place<'a>,
        trail: &mut Trail,
    ) -> Kernel<Followed<'a>> {
        trail.pass(self, place.parent(), &place.last)?;
        let bare = place.name().unwrap_or_default();
        if let Some(process) = self.process_entry(tracee, place.parent(), bare)? {
            return Place::new(Directory::Lasting(self.proc()), process.to_bytes()).map(Followed::Place);
        }
        if is_magic(place.parent(), &place.last) {
            return self.jump(place.parent(), &place.last).map(Followed::There);
        }
        let target = self.target(place.parent(), &place.last)?;
        let base = if target.first() == Some(&b'/') { self.top(tracee)? } else { place.parent };
        let path = CString::new(target).map_err(|_| libc::EINVAL)?;
        let located = Located { base, path, within: 0 };
        self.walk(tracee, located, trail).map(Followed::Place)
    }

    fn top(&self, tracee: &Tracee) -> Kernel<Directory<'_>> {
        match self.roots {
            Roots::Same => Ok(Directory::Lasting(self.root())),
            Roots::Own => tracee.root().map(Directory::Held),
        }
    }

    /// A link's text, where the kernel would let the caller follow it.
    fn target(&self, parent: BorrowedFd<'_>, name: &CStr) -> Kernel<Vec<u8>> {
        self.may_follow(parent, name)?;
        call::read_link(parent, name)
    }

    /// Whether the kernel would let the caller follow a link (proc_sys_fs(5), protected_symlinks).
    pub(super) fn may_follow(&self, parent: BorrowedFd<'_>, name: &CStr) -> Kernel<()> {
        if !self.protects_links {
            return Ok(());
        }
        let (around, shared) = (call::stat(parent)?, libc::S_ISVTX | libc::S_IWOTH);
        if around.st_mode & shared != shared {
            return Ok(());
        }
        let link = call::stat_at(parent, name, libc::AT_SYMLINK_NOFOLLOW)?;
        // The broker's user is the caller's.
        let is_trusted = link.st_uid == call::user() || link.st_uid == around.st_uid;
        if is_trusted { Ok(()) } else { Err(libc::EACCES) }
    }

    /// Walks to the last component by hand.
    fn walk<'a>(&'a self, tracee: &Tracee, from: Located<'a>, trail: &mut Trail) -> Kernel<Place<'a>> {
        if self.is_own(from.base.as_fd()) {
            return Err(libc::EACCES);
        }
        let mut at = from.base;
        let mut ahead = VecDeque::new();
        push_front(&mut ahead, from.path.to_bytes());
        while ahead.len() > 1 {
            let component = ahead.pop_front().unwrap_or_default();
            let passed = trail.passed();
            at = self.step(tracee, at, &component, &mut ahead, trail)?;
            if trail.passed() > passed
                && let Some(there) = self.straight(at.as_fd(), &ahead)
            {
                at = Directory::Held(there);
                ahead.drain(..ahead.len() - 1);
            }
        }
        let place = Place::new(at, &ahead.pop_front().unwrap_or_else(|| b".".to_vec()))?;
        // Refuses the broker's own.
        self.process_entry(tracee, place.parent(), place.name().unwrap_or_default())?;
        Ok(place)
    }

    /// The directory that all names ahead but the last lead to without another link, where it is no procfs.
    fn straight(&self, at: BorrowedFd<'_>, ahead: &VecDeque<Vec<u8>>) -> Option<OwnedFd> {
        let names: Vec<&[u8]> = ahead.iter().map(Vec::as_slice).collect();
        let (_, names) = names.split_last()?;
        if names.is_empty() || self.roots == Roots::Own {
            return None;
        }
        self.directory(at, &CString::new(names.join(&b'/')).ok()?)
    }

    /// The directory that a way without links leads to, where it is no procfs.
    pub(super) fn directory(&self, at: BorrowedFd<'_>, way: &CStr) -> Option<OwnedFd> {
        let found = call::openat2(at, way, DIRECTORY, 0, NO_LINKS).and_then(Found::new).ok()?;
        (!self.is_on_proc(&found)).then_some(found.fd)
    }

    /// One component that is not the last.
    fn step<'a>(
        &'a self,
        tracee: &Tracee,
        at: Directory<'a>,
        component: &[u8],
        ahead: &mut VecDeque<Vec<u8>>,
        trail: &mut Trail,
    ) -> Kernel<Directory<'a>> {
        let name = CString::new(component).map_err(|_| libc::EINVAL)?;
        let on_proc = self.is_proc(at.as_fd());
        let entry = if on_proc { self.process_entry(tracee, at.as_fd(), component) } else { Ok(None) };
        match entry {
            Ok(Some(process)) => {
                return call::open_path(self.proc(), &process, libc::O_DIRECTORY).map(Directory::Held);
            }
            Ok(None) => {}
            // What everyone may read of the broker.
            Err(libc::EACCES)
                if ahead.len() == 1 && ahead.iter().all(|last| OPEN_TO_ALL.contains(&last.as_slice())) => {}
            Err(errno) => return Err(errno),
        }
        let found = call::open_path(at.as_fd(), &name, libc::O_NOFOLLOW)?;
        match kind(&call::stat(found.as_fd())?) {
            libc::S_IFDIR => Ok(Directory::Held(found)),
            libc::S_IFLNK => {
                trail.pass(self, at.as_fd(), &name)?;
                if on_proc && is_magic(at.as_fd(), &name) {
                    return self.jump(at.as_fd(), &name).map(Directory::Held);
                }
                let target = self.target(at.as_fd(), &name)?;
                push_front(ahead, &target);
                if target.first() == Some(&b'/') { self.top(tracee) } else { Ok(at) }
            }
            _ => Err(libc::ENOTDIR),
        }
    }
}

/// Where a last link leads.
#[derive(Debug)]
pub(super) enum Followed<'a> {
    /// To another name.
    Place(Place<'a>),
    /// By magic, to a file.
    There(OwnedFd),
}

/// Puts the components of a path before those that are ahead. The last keeps its slashes when it ends the whole.
fn push_front(ahead: &mut VecDeque<Vec<u8>>, path: &[u8]) {
    let ends = ahead.is_empty();
    let slashes = path.iter().rev().take_while(|byte| **byte == b'/').count();
    let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
    let mut names: Vec<Vec<u8>> = names.map(<[u8]>::to_vec).collect();
    if let (true, Some(last)) = (ends && slashes > 0, names.last_mut()) {
        last.push(b'/');
    }
    for name in names.into_iter().rev() {
        ahead.push_front(name);
    }
}
