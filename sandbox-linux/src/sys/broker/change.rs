//! Changing what a path names without opening it: truncate, unlink, rmdir. Trapped only under live rules.

use std::os::fd::AsFd as _;
use std::rc::Rc;

use weir_protocol::denial::Act;
use weir_protocol::policy::Operation;

use super::call::{self, Kernel, NONBLOCK};
use super::directory::Found;
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
        self.within_file_size(call, tracee, &found, length)?;
        call::truncate(file.as_fd(), length).map(|()| Answer::Done)
    }

    /// Whether a caller may make a file so long: the kernel would ask for the limit of whoever acts, which is the broker (getrlimit(2),
    /// `RLIMIT_FSIZE`), and tell the thread by a signal.
    fn within_file_size(
        &self,
        call: &Notification,
        tracee: &Tracee,
        found: &Found,
        length: i64,
    ) -> Kernel<()> {
        let grows = length > call::stat(found.as_fd())?.st_size;
        if !grows || u64::try_from(length).is_ok_and(|length| length <= tracee.most_file_bytes()) {
            return Ok(());
        }
        let process = tracee.process()?;
        self.still(call)?;
        call::signal_thread(process, tracee.pid(), libc::SIGXFSZ);
        Err(libc::EFBIG)
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
