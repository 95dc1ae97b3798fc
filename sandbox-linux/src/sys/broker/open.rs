//! Opening. Under live rules every call comes here, otherwise those with `O_CREAT`.
//!
//! What is there is opened in two steps under live rules: as a place, which is judged by the path that the kernel tells of it, and then
//! through that very place, so that no name is looked up twice.
//!
//! With `O_CREAT`: makes the file where it is missing, opens it where it is there, and hands the caller a descriptor.
//!
//! A file is made by `O_CREAT | O_EXCL` first, whatever was asked for: that never follows a link, never blocks, and is all there is
//! to do for most calls. What exists is looked at, followed by hand where it is a link (the name that it leads to may
//! be guarded, or missing), and opened with `O_NONBLOCK`, which is taken away again. Only what waits for another process (a
//! FIFO's other end, a broken lease) is left to a process of its own.

use std::ffi::CStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::rc::Rc;

use weir_protocol::denial::Act;
use weir_protocol::policy::Operation;

use super::call::{self, Kernel, NONBLOCK};
use super::directory::{Found, Place, kind};
use super::listener::Notification;
use super::resolve::{Followed, Last, Located, NO_LINKS};
use super::tracee::Tracee;
use super::{Answer, Broker, Noticed, Opened, is_own_name};
use crate::broker::{Named, Split};

/// The flags that openat(2) knows (`VALID_OPEN_FLAGS`, `linux/fcntl.h`); it ignores all others, openat2(2) does not.
const KNOWN: u32 = (libc::O_ACCMODE
    | libc::O_CREAT
    | libc::O_EXCL
    | libc::O_NOCTTY
    | libc::O_TRUNC
    | libc::O_APPEND
    | libc::O_NONBLOCK
    | libc::O_SYNC
    | libc::O_DSYNC
    | libc::O_ASYNC
    | libc::O_DIRECT
    | libc::O_DIRECTORY
    | libc::O_NOFOLLOW
    | libc::O_NOATIME
    | libc::O_CLOEXEC
    | libc::O_TMPFILE)
    .cast_unsigned();
/// `O_LARGEFILE` of the kernel, which openat(2) adds on 64-bit machines and the C library hides.
#[cfg(target_arch = "x86_64")]
const LARGE_FILE: u32 = 0o100_000;
#[cfg(target_arch = "aarch64")]
const LARGE_FILE: u32 = 0o400_000;

const CREATE: u32 = libc::O_CREAT.cast_unsigned();
const EXCLUSIVE: u32 = libc::O_EXCL.cast_unsigned();
const NOFOLLOW: u32 = libc::O_NOFOLLOW.cast_unsigned();
const CLOEXEC: u32 = libc::O_CLOEXEC.cast_unsigned();
const DIRECTORY: u32 = libc::O_DIRECTORY.cast_unsigned();
const TRUNCATE: u32 = libc::O_TRUNC.cast_unsigned();
/// `O_TMPFILE` without the `O_DIRECTORY` that belongs to it.
const UNNAMED: u32 = (libc::O_TMPFILE & !libc::O_DIRECTORY).cast_unsigned();
const NOCTTY: u32 = libc::O_NOCTTY.cast_unsigned();
/// Flags that can be changed after opening (fcntl(2), `F_SETFL`).
const CHANGEABLE: u32 = (libc::O_APPEND | libc::O_ASYNC | libc::O_DIRECT | libc::O_NOATIME).cast_unsigned();
/// The permissions that a file can have.
const MODE: u32 = 0o7777;
/// Tries while another process makes and removes the name in turn.
const MAX_TRIES: u32 = 64;
/// The device number of `/dev/tty`.
const OWN_TERMINAL: libc::dev_t = libc::makedev(5, 0);

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    /// Never `O_CLOEXEC`.
    flags: u32,
    cloexec: u32,
    mode: u32,
}

impl How {
    fn new(flags: u32, mode: u32) -> Self {
        let known = (flags & KNOWN & !CLOEXEC) | LARGE_FILE;
        Self { flags: known, cloexec: flags & CLOEXEC, mode: mode & MODE }
    }

    fn has(self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    fn is_writing(self) -> bool {
        self.flags & libc::O_ACCMODE.cast_unsigned() == libc::O_WRONLY.cast_unsigned()
    }

    fn is_both(self) -> bool {
        self.flags & libc::O_ACCMODE.cast_unsigned() == libc::O_RDWR.cast_unsigned()
    }

    fn operation(self) -> Operation {
        let changes = self.is_writing() || self.is_both() || self.has(TRUNCATE | UNNAMED);
        if changes { Operation::Write } else { Operation::Read }
    }

    /// The flags for a file that is there and is not to be made.
    fn existing(self) -> u32 {
        self.flags & !(CREATE | EXCLUSIVE)
    }

    /// With a file of this kind.
    fn answer(self, file: OwnedFd, kind: libc::mode_t) -> Answer {
        let is_noticed = self.is_writing() || self.is_both() || kind == libc::S_IFIFO;
        let open = if is_noticed { Noticed::Yes } else { Noticed::No };
        Answer::Descriptor(Opened { file, cloexec: self.cloexec, open })
    }
}

impl Broker {
    pub(super) fn open(
        &mut self,
        call: &Notification,
        tracee: &Tracee,
        at: Named,
        flags: u32,
        mode: u32,
    ) -> Kernel<Answer> {
        let path = tracee.path(at.path)?;
        let how = How::new(flags, mode);
        // Otherwise nothing is changed, and the kernel gives the descriptor to this caller or to nobody.
        if how.has(CREATE | TRUNCATE | UNNAMED) {
            self.still(call)?;
        }
        if !how.has(CREATE) {
            return self.open_found(call, tracee, (at, &path), how);
        }
        let world = Rc::clone(&self.world);
        let located = world.locate(tracee, at.dir, &path)?;
        let mut is_there = match self.open_new(tracee, &located, how)? {
            New::Made(answer) => return Ok(answer),
            New::There => true,
            New::Unknown => false,
        };
        let mut trail = world.trail();
        let mut place = world.place_to_open(tracee, located, (at, &path), &mut trail)?;
        for _ in 0..MAX_TRIES {
            self.judge_trail(call, &trail)?;
            let step = if is_there {
                self.open_existing(call, tracee, &place, (how, false))?
            } else {
                self.open_at(call, tracee, &place, how)?
            };
            is_there = false;
            match step {
                Step::Answer(answer) => return Ok(answer),
                Step::Again => {}
                Step::Link => match world.follow(tracee, place, &mut trail)? {
                    Followed::Place(next) => place = next,
                    Followed::There(there) => {
                        return self.open_place(call, tracee, &Found::new(there)?, how);
                    }
                },
            }
        }
        Err(libc::EAGAIN)
    }

    /// Opens what a path names, as it is, under live rules.
    fn open_found(
        &mut self,
        call: &Notification,
        tracee: &Tracee,
        (at, path): (Named, &CStr),
        how: How,
    ) -> Kernel<Answer> {
        let world = Rc::clone(&self.world);
        let mut trail = world.trail();
        let last = if how.has(NOFOLLOW) { Last::Kept } else { Last::Followed };
        let found = world.find(tracee, (at, path), last, &mut trail)?;
        self.judge_trail(call, &trail)?;
        self.open_place(call, tracee, &found, how)
    }

    /// Opens what a place stands for, after it was judged.
    fn open_place(
        &mut self,
        call: &Notification,
        tracee: &Tracee,
        place: &Found,
        how: How,
    ) -> Kernel<Answer> {
        self.judge_file(call, place, how.operation())?;
        self.admit_node(place)?;
        self.reopen(call, tracee, place, how)
    }

    /// Makes the file in one step, when its name is of no interest and no link is on the way.
    fn open_new(&mut self, tracee: &Tracee, located: &Located<'_>, how: How) -> Kernel<New> {
        let split = Split::of(located.path.to_bytes()).ok_or(libc::ENOENT)?;
        let interesting = |name: &[u8]| {
            name == b".git"
                || is_own_name(name)
                || self.guarded.is_name(name)
                || self.guarded.is_on_a_way(name)
        };
        // Devices and processes are there or cannot be made.
        let virtual_place = split.relative.starts_with(b"dev/") || split.relative.starts_with(b"proc/");
        let judged = self.live.is_some();
        if judged || virtual_place || split.name().is_none_or(interesting) {
            return Ok(New::Unknown);
        }
        self.adopt_umask(tracee);
        let flags = how.flags | EXCLUSIVE | CLOEXEC;
        match call::openat2(located.base.as_fd(), &located.path, flags, how.mode, NO_LINKS | located.within())
        {
            Ok(file) => Ok(New::Made(how.answer(file, libc::S_IFREG))),
            Err(libc::EEXIST) if how.has(EXCLUSIVE) => Err(libc::EEXIST),
            Err(libc::EEXIST) => Ok(New::There),
            Err(libc::ELOOP | libc::EAGAIN) => Ok(New::Unknown),
            Err(errno) => Err(errno),
        }
    }

    /// One try at a place.
    fn open_at(&mut self, call: &Notification, tracee: &Tracee, place: &Place<'_>, how: How) -> Kernel<Step> {
        let is_guarded = self.exists_guarded(call, place)?;
        let is_there = self.judge_new(call, place, Act::Create)?;
        // With slashes behind its name nothing is made (EISDIR), whatever is there.
        let is_known = is_there && !place.last.to_bytes().ends_with(b"/");
        if !is_guarded && !is_known {
            self.adopt_umask(tracee);
            let flags = how.flags | EXCLUSIVE | CLOEXEC;
            match call::openat2(place.parent(), &place.last, flags, how.mode, NO_LINKS) {
                Ok(file) => {
                    self.arrived(place);
                    return Ok(Step::Answer(how.answer(file, libc::S_IFREG)));
                }
                Err(libc::EEXIST | libc::ELOOP) => {}
                Err(errno) => return Err(errno),
            }
        }
        if how.has(EXCLUSIVE) {
            return Err(libc::EEXIST);
        }
        self.open_existing(call, tracee, place, (how, is_guarded))
    }

    /// Opens what is there, whatever it is.
    fn open_existing(
        &mut self,
        call: &Notification,
        tracee: &Tracee,
        place: &Place<'_>,
        (how, is_guarded): (How, bool),
    ) -> Kernel<Step> {
        let Ok(stat) = place.stat() else { return Ok(Step::Again) };
        match kind(&stat) {
            libc::S_IFLNK if how.has(NOFOLLOW) => Err(libc::ELOOP),
            libc::S_IFLNK => Ok(Step::Link),
            libc::S_IFDIR if is_guarded => Err(libc::EISDIR),
            _ if self.live.is_some() => {
                let there = call::open_path(place.parent(), &place.last, libc::O_NOFOLLOW);
                match there.and_then(Found::new) {
                    Ok(there) if there.kind() == libc::S_IFLNK => Ok(Step::Again),
                    Ok(there) => self.open_place(call, tracee, &there, how).map(Step::Answer),
                    Err(libc::ENOENT) => Ok(Step::Again),
                    Err(errno) => Err(errno),
                }
            }
            libc::S_IFCHR if stat.st_rdev == OWN_TERMINAL => self.terminal(tracee, how),
            libc::S_IFIFO if !how.has(NONBLOCK) => self.open_fifo(call, tracee, place, how),
            found => {
                let flags = if is_guarded { how.existing() } else { how.flags };
                self.open_there(call, tracee, place, (how, flags), found)
            }
        }
    }

    /// Opens what is there, if it is still of that kind.
    fn open_there(
        &self,
        call: &Notification,
        tracee: &Tracee,
        place: &Place<'_>,
        (how, flags): (How, u32),
        found: libc::mode_t,
    ) -> Kernel<Step> {
        let try_flags = flags | NONBLOCK | NOCTTY | CLOEXEC;
        match call::openat2(place.parent(), &place.last, try_flags, mode_for(flags, how), NO_LINKS) {
            Ok(file) if kind(&call::stat(file.as_fd())?) != found => Ok(Step::Again),
            Ok(file) => settle(&file, how).map(|()| Step::Answer(how.answer(file, found))),
            Err(libc::ELOOP | libc::ENOENT) => Ok(Step::Again),
            // A lease that its holder has to give up first (fcntl(2), F_SETLEASE).
            Err(libc::EWOULDBLOCK) if !how.has(NONBLOCK) => {
                Ok(self.wait_open(call, tracee, place, (how, found)))
            }
            Err(errno) => Err(errno),
        }
    }

    /// A FIFO with a reader is opened for writing, and for both without any; all else waits for the other end.
    fn open_fifo(&self, call: &Notification, tracee: &Tracee, place: &Place<'_>, how: How) -> Kernel<Step> {
        if how.is_writing() || how.is_both() {
            match self.open_there(call, tracee, place, (how, how.existing()), libc::S_IFIFO) {
                Err(libc::ENXIO) => {}
                other => return other,
            }
        }
        Ok(self.wait_open(call, tracee, place, (how, libc::S_IFIFO)))
    }

    fn wait_open(
        &self,
        call: &Notification,
        tracee: &Tracee,
        place: &Place<'_>,
        (how, kind): (How, libc::mode_t),
    ) -> Step {
        let flags = how.existing() | NOCTTY | CLOEXEC;
        Step::Answer(self.delegate(call, tracee, &|| {
            call::openat2(place.parent(), &place.last, flags, 0, NO_LINKS).map(|file| how.answer(file, kind))
        }))
    }

    /// A file without a name, in a directory.
    fn open_unnamed(&mut self, tracee: &Tracee, directory: BorrowedFd<'_>, how: How) -> Kernel<Answer> {
        self.adopt_umask(tracee);
        let name = super::tracee::number(call::number(directory));
        let flags = how.flags & !NOFOLLOW | CLOEXEC;
        let made = call::openat2(self.world.own(), &name, flags, how.mode, 0)?;
        Ok(how.answer(made, libc::S_IFREG))
    }

    /// Opens anew what is held as a place.
    fn reopen(&mut self, call: &Notification, tracee: &Tracee, there: &Found, how: How) -> Kernel<Answer> {
        let kind = there.kind();
        let waits = kind == libc::S_IFIFO && !how.has(NONBLOCK);
        match kind {
            libc::S_IFDIR if how.has(CREATE) => return Err(libc::EISDIR),
            libc::S_IFLNK => return Err(if how.has(DIRECTORY) { libc::ENOTDIR } else { libc::ELOOP }),
            _ => {}
        }
        if how.has(UNNAMED) {
            return self.open_unnamed(tracee, there.as_fd(), how);
        }
        if kind == libc::S_IFCHR && there.stat.st_rdev == OWN_TERMINAL {
            return self.terminal(tracee, how).map(Step::answer);
        }
        let name = super::tracee::number(call::number(there.as_fd()));
        let flags = how.existing() & !NOFOLLOW | NOCTTY;
        if !waits || how.is_writing() || how.is_both() {
            match call::openat(self.world.own(), &name, flags | NONBLOCK) {
                Ok(file) => {
                    self.opened_node(there, &file)?;
                    return settle(&file, how).map(|()| how.answer(file, kind));
                }
                Err(libc::ENXIO) if waits => {}
                Err(libc::EWOULDBLOCK) if !how.has(NONBLOCK) => {}
                Err(errno) => return Err(errno),
            }
        }
        let world = Rc::clone(&self.world);
        let open = || {
            // In that process the links are its own.
            let own = world.own_descriptors()?;
            call::openat(own.as_fd(), &name, flags).map(|file| how.answer(file, kind))
        };
        Ok(self.delegate(call, tracee, &open))
    }

    fn terminal(&self, tracee: &Tracee, how: How) -> Kernel<Step> {
        let flags = how.existing() | NOCTTY | NONBLOCK;
        let admits = |stat: &libc::stat| self.nodes.as_ref().is_none_or(|nodes| nodes.is_own(stat));
        let file = super::terminal::open(&self.world, tracee, flags, admits)?;
        settle(&file, how)?;
        Ok(Step::Answer(how.answer(file, libc::S_IFCHR)))
    }
}

/// What making a file in one step came to.
enum New {
    Made(Answer),
    /// Something is there.
    There,
    /// That way tells nothing.
    Unknown,
}

/// How far a try came.
enum Step {
    Answer(Answer),
    /// A link is there, to be followed.
    Link,
    /// Something changed meanwhile.
    Again,
}

impl Step {
    fn answer(self) -> Answer {
        match self {
            Self::Answer(answer) => answer,
            Self::Link | Self::Again => Answer::Errno(libc::EAGAIN),
        }
    }
}

fn mode_for(flags: u32, how: How) -> u32 {
    if flags & CREATE == 0 { 0 } else { how.mode }
}

/// Takes `O_NONBLOCK` away where it was not asked for.
fn settle(file: &OwnedFd, how: How) -> Kernel<()> {
    if how.has(NONBLOCK) { Ok(()) } else { call::set_flags(file.as_fd(), how.flags & CHANGEABLE) }
}
