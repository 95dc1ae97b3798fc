//! Making and moving names: mkdir, mknod, symlink, link, rename. Each is performed on (directory, last name), so that what
//! was judged is what is done, whatever happens to the path meanwhile.

use std::ffi::CString;
use std::os::fd::AsRawFd as _;
use std::rc::Rc;

use weir_protocol::denial::Act;

use super::call::{self, Kernel};
use super::directory::{Found, Place};
use super::guarded::Arriving;
use super::listener::Notification;
use super::tracee::Tracee;
use super::{Answer, Broker, is_own_name};
use crate::broker::Named;

const RENAME_NOREPLACE: u32 = libc::RENAME_NOREPLACE;
const RENAME_EXCHANGE: u32 = libc::RENAME_EXCHANGE;
const RENAME_WHITEOUT: u32 = libc::RENAME_WHITEOUT;
const AT_SYMLINK_FOLLOW: u32 = libc::AT_SYMLINK_FOLLOW.cast_unsigned();
const AT_EMPTY_PATH: u32 = libc::AT_EMPTY_PATH.cast_unsigned();

impl Broker {
    pub(super) fn make_directory(
        &mut self,
        call: &Notification,
        tracee: &Tracee,
        at: Named,
        mode: u32,
    ) -> Kernel<Answer> {
        self.make(call, tracee, at, (Act::MakeDirectory, &Arriving::Empty), &|place| {
            call::make_directory(place.parent(), &place.last, mode)
        })
    }

    pub(super) fn make_node(
        &mut self,
        call: &Notification,
        tracee: &Tracee,
        at: Named,
        (mode, device): (u32, u32),
    ) -> Kernel<Answer> {
        self.make(call, tracee, at, (Act::MakeNode, &Arriving::Empty), &|place| {
            call::make_node(place.parent(), &place.last, mode, device)
        })
    }

    pub(super) fn symlink(
        &mut self,
        call: &Notification,
        tracee: &Tracee,
        target: u64,
        at: Named,
    ) -> Kernel<Answer> {
        let target = tracee.path(target)?;
        self.make(call, tracee, at, (Act::MakeLink, &Arriving::Link), &|place| {
            call::symlink(&target, place.parent(), &place.last)
        })
    }

    /// Makes a name that fails with EEXIST where there is one.
    fn make(
        &mut self,
        call: &Notification,
        tracee: &Tracee,
        at: Named,
        (act, arriving): (Act, &Arriving<'_>),
        perform: &dyn Fn(&Place<'_>) -> Kernel<()>,
    ) -> Kernel<Answer> {
        let path = tracee.path(at.path)?;
        self.still(call)?;
        if !matches!(arriving, Arriving::Link) {
            self.adopt_umask(tracee);
        }
        let world = Rc::clone(&self.world);
        let mut trail = world.trail();
        let place = world.place(tracee, world.locate(tracee, at.dir, &path)?, &mut trail)?;
        self.judge_trail(call, &trail)?;
        if self.exists_guarded(call, &place)? {
            return Err(libc::EEXIST);
        }
        self.judge_new(call, &place, act)?;
        self.check_arrival(call, &place, arriving)?;
        perform(&place)?;
        self.arrived(&place);
        Ok(Answer::Done)
    }

    /// Refuses a guarded name that is missing; whether it is there already, put by the host, is answered.
    pub(super) fn exists_guarded(&mut self, call: &Notification, place: &Place<'_>) -> Kernel<bool> {
        let Some(name) = place.name() else { return Ok(false) };
        let Some(guard) = self.guarded.forbids(place.parent(), name)? else { return Ok(false) };
        if place.stat().is_ok() {
            return Ok(true);
        }
        Err(self.refuse(call, guard, place.parent(), name))
    }

    fn check_arrival(
        &mut self,
        call: &Notification,
        place: &Place<'_>,
        arriving: &Arriving<'_>,
    ) -> Kernel<()> {
        match self.guarded.check_arrival(place, arriving)? {
            None => Ok(()),
            Some(guard) => {
                let name = place.name().unwrap_or_default();
                Err(self.refuse(call, guard, place.parent(), name))
            }
        }
    }

    /// Looks after a name that has come into being at a place.
    pub(super) fn arrived(&mut self, place: &Place<'_>) {
        if let Some(name) = place.name() {
            self.made(place.parent(), name);
            self.completed(place.parent(), name);
        }
    }

    /// Looks after what was moved to a name.
    fn moved(&mut self, place: &Place<'_>) {
        if let Some(name) = place.name() {
            self.made(place.parent(), name);
            self.brought(place.parent(), name);
        }
    }

    pub(super) fn link(
        &mut self,
        call: &Notification,
        tracee: &Tracee,
        (from, to): (Named, Named),
        flags: u32,
    ) -> Kernel<Answer> {
        if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(libc::EINVAL);
        }
        let old = match tracee.path(from.path) {
            // The descriptor itself is meant.
            Err(libc::ENOENT) if flags & AT_EMPTY_PATH != 0 => CString::default(),
            other => other?,
        };
        let new = tracee.path(to.path)?;
        self.still(call)?;
        let world = Rc::clone(&self.world);
        let mut trail = world.trail();
        let existing = if old.is_empty() {
            Existing::File(Found::new(world.descriptor(tracee, from.dir)?)?)
        } else if flags & AT_SYMLINK_FOLLOW != 0 {
            Existing::File(world.look(tracee, from, &old, &mut trail)?)
        } else {
            Existing::Name(world.place(tracee, world.locate(tracee, from.dir, &old)?, &mut trail)?)
        };
        let place = world.place(tracee, world.locate(tracee, to.dir, &new)?, &mut trail)?;
        self.judge_trail(call, &trail)?;
        self.judge_linked(call, &existing)?;
        if self.exists_guarded(call, &place)? {
            return Err(libc::EEXIST);
        }
        self.judge_new(call, &place, Act::Move)?;
        let arriving = match &existing {
            Existing::Name(from) => Arriving::Moved(from),
            Existing::File(_) => Arriving::Link,
        };
        self.check_arrival(call, &place, &arriving)?;
        match &existing {
            Existing::Name(from) => call::link(from.parent(), &from.last, place.parent(), &place.last, 0),
            Existing::File(file) => {
                let path = CString::new(format!("{}", file.fd.as_raw_fd())).unwrap_or_default();
                call::link(world.own(), &path, place.parent(), &place.last, libc::AT_SYMLINK_FOLLOW)
            }
        }?;
        self.arrived(&place);
        Ok(Answer::Done)
    }

    pub(super) fn rename(
        &mut self,
        call: &Notification,
        tracee: &Tracee,
        (from, to): (Named, Named),
        flags: u32,
    ) -> Kernel<Answer> {
        let both = flags & RENAME_EXCHANGE != 0;
        let known = RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT;
        if flags & !known != 0 || (both && flags & (RENAME_NOREPLACE | RENAME_WHITEOUT) != 0) {
            return Err(libc::EINVAL);
        }
        let (old, new) = (tracee.path(from.path)?, tracee.path(to.path)?);
        self.still(call)?;
        let world = Rc::clone(&self.world);
        let mut trail = world.trail();
        let from = world.place(tracee, world.locate(tracee, from.dir, &old)?, &mut trail)?;
        let to = world.place(tracee, world.locate(tracee, to.dir, &new)?, &mut trail)?;
        self.judge_trail(call, &trail)?;
        self.check_rename(call, &from, &to)?;
        self.judge_move(call, &from, &to)?;
        if both || flags & RENAME_WHITEOUT != 0 {
            self.check_rename(call, &to, &from)?;
            self.judge_move(call, &to, &from)?;
        }
        // Git replaces the files of its repositories so, at each change of the branch.
        let own = to.name().filter(|name| is_own_name(name));
        let fresh = own.filter(|_| call::stat_at(to.parent(), &to.last, libc::AT_SYMLINK_NOFOLLOW).is_err());
        call::rename(from.parent(), &from.last, to.parent(), &to.last, flags)?;
        self.moved(&to);
        if both {
            self.moved(&from);
        }
        if let Some(name) = fresh {
            self.completed(to.parent(), name);
        }
        Ok(Answer::Done)
    }

    /// What one direction of a move must not do. A source that is missing is for the kernel to tell.
    fn check_rename(&mut self, call: &Notification, from: &Place<'_>, to: &Place<'_>) -> Kernel<()> {
        if let Some(name) = to.name()
            && let Some(guard) = self.guarded.forbids(to.parent(), name)?
            && from.stat().is_ok()
        {
            return Err(self.refuse(call, guard, to.parent(), name));
        }
        self.guarded.check_moved(from)?;
        self.guarded.check_moved(to)?;
        self.check_arrival(call, to, &Arriving::Moved(from))
    }
}

/// What a hard link is made of.
pub(super) enum Existing<'a> {
    /// A name, not followed.
    Name(Place<'a>),
    /// A file, found by following links.
    File(Found),
}
