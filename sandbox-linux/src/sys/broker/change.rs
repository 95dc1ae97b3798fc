//! Changing what a path names without opening it: truncate, unlink, rmdir. Trapped only under live rules.

use std::os::fd::AsFd as _;
use std::rc::Rc;

use weir_protocol::denial::Act;
use weir_protocol::policy::Operation;

use super::call::{self, Kernel, NONBLOCK};
use super::listener::Notification;
use super::tracee::{Tracee, number};
use super::{Answer, Broker};
use crate::broker::{AT_REMOVEDIR, Named};

impl Broker {
    pub(super) fn truncate(
        &mut self,
        call: &Notification,
        tracee: &Tracee,
        path: u64,
        length: i64,
    ) -> Kernel<Answer> {
        let named = Named { dir: libc::AT_FDCWD, path };
        let path = tracee.path(path)?;
        self.still(call)?;
        let world = Rc::clone(&self.world);
        let mut trail = world.trail();
        let found = world.look(tracee, named, &path, &mut trail)?;
        self.judge_trail(call, &trail)?;
        self.judge_file(call, &found, Operation::Write)?;
        match found.kind() {
            libc::S_IFREG => {}
            libc::S_IFDIR => return Err(libc::EISDIR),
            _ => return Err(libc::EINVAL),
        }
        let name = number(call::number(found.as_fd()));
        let file = call::openat(world.own(), &name, libc::O_WRONLY.cast_unsigned() | NONBLOCK)?;
        call::truncate(file.as_fd(), length).map(|()| Answer::Done)
    }

    pub(super) fn remove(
        &mut self,
        call: &Notification,
        tracee: &Tracee,
        at: Named,
        flags: u32,
    ) -> Kernel<Answer> {
        if flags & !AT_REMOVEDIR != 0 {
            return Err(libc::EINVAL);
        }
        let path = tracee.path(at.path)?;
        self.still(call)?;
        let world = Rc::clone(&self.world);
        let mut trail = world.trail();
        let place = world.place(tracee, world.locate(tracee, at.dir, &path)?, &mut trail)?;
        self.judge_trail(call, &trail)?;
        place.stat()?;
        let is_directory = flags & AT_REMOVEDIR != 0;
        let act = if is_directory { Act::RemoveDirectory } else { Act::Remove };
        self.judge_place(call, &place, act)?;
        call::remove(place.parent(), &place.last, flags).map(|()| Answer::Done)
    }
}
