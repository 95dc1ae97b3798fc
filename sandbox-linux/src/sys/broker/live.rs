//! Live rules at work: every file that the broker is about to open or change, and every name, is judged by the path that the kernel
//! tells of it.

use std::ffi::CString;
use std::os::fd::AsFd as _;
use std::rc::Rc;

use weir_protocol::denial::Act;
use weir_protocol::policy::Operation;

use super::Broker;
use super::call::{self, Kernel};
use super::content::{LISTING, closed_below};
use super::directory::{Found, Place, kind};
use super::links::Links;
use super::listener::Notification;
use super::naming::Existing;
use super::trail::Trail;
use crate::broker::Event;
use crate::live::{Judge, LiveRules, Refused};

/// What files and names are judged by.
#[derive(Debug)]
pub(super) struct Live {
    judge: Judge,
    links: Links,
}

impl Live {
    pub(super) fn new(rules: &LiveRules) -> Self {
        Self { judge: Judge::new(rules), links: Links::new(rules) }
    }
}

impl Broker {
    /// Judges the links that a look-up passed: a link whose own name is closed leads nowhere.
    pub(super) fn judge_trail(&mut self, call: &Notification, trail: &Trail) -> Kernel<()> {
        trail.paths().iter().try_for_each(|path| self.judge_path(call, path, Operation::Read))
    }

    /// Judges an act on a name, whatever is there.
    pub(super) fn judge_place(&mut self, call: &Notification, place: &Place<'_>, act: Act) -> Kernel<()> {
        match place.name() {
            Some(name) if self.live.is_some() => {
                let path = self.world.path_of(place.parent(), Some(name));
                self.judge_path_for(call, &path, (Operation::Write, act))
            }
            _ => Ok(()),
        }
    }

    /// Judges a name that is to come into being. One that is there, which is answered where it was looked for, is for the kernel to tell.
    pub(super) fn judge_new(&mut self, call: &Notification, place: &Place<'_>, act: Act) -> Kernel<bool> {
        if self.live.is_none() {
            return Ok(false);
        }
        if place.stat().is_ok() {
            return Ok(true);
        }
        self.judge_place(call, place, act).map(|()| false)
    }

    /// Judges what is to get a further name.
    pub(super) fn judge_linked(&mut self, call: &Notification, existing: &Existing<'_>) -> Kernel<()> {
        match existing {
            _ if self.live.is_none() => Ok(()),
            Existing::File(file) => self.judge_second_name(call, file),
            // What is missing is for the kernel to tell.
            Existing::Name(place) => {
                let file =
                    call::open_path(place.parent(), &place.last, libc::O_NOFOLLOW).and_then(Found::new);
                file.map_or(Ok(()), |file| self.judge_second_name(call, &file))
            }
        }
    }

    /// What may only be read would be written under its second name; between mounts the kernel refuses that with the same number.
    fn judge_second_name(&mut self, call: &Notification, file: &Found) -> Kernel<()> {
        let path = self.judge_file_at(call, file, (Operation::Read, Act::Read))?;
        self.judge_path(call, &path, Operation::Write).map_err(|errno| match errno {
            libc::EROFS => libc::EXDEV,
            other => other,
        })
    }

    /// Judges one direction of a move: neither name may be closed, and a directory takes nothing closed out of its pattern's reach, and
    /// nothing that may only be read to where it could be written (EBUSY, as if it were a mount).
    pub(super) fn judge_move(&mut self, call: &Notification, from: &Place<'_>, to: &Place<'_>) -> Kernel<()> {
        let (Some(live), Ok(stat)) = (&mut self.live, from.stat()) else { return Ok(()) };
        let path = |place: &Place<'_>| self.world.path_of(place.parent(), place.name());
        let (old, new) = (path(from), path(to));
        let is_directory = kind(&stat) == libc::S_IFDIR;
        let is_fixed = is_directory && live.judge.fixes_below(&old);
        let differs = is_directory && live.judge.differs_below(&old, &new);
        let leaving = if is_directory { Act::RemoveDirectory } else { Act::Remove };
        self.judge_path_for(call, &old, (Operation::Write, leaving))?;
        self.judge_path_for(call, &new, (Operation::Write, Act::Move))?;
        self.judge_moved_copy(call, from, &stat)?;
        if is_fixed {
            return Err(libc::EBUSY);
        }
        if !differs {
            return Ok(());
        }
        let name = from.name().and_then(|name| CString::new(name).ok()).ok_or(libc::EBUSY)?;
        let directory = call::openat(from.parent(), &name, LISTING)?;
        match self.live.as_mut().and_then(|live| closed_below(&mut live.judge, directory.as_fd(), &old)) {
            None => Ok(()),
            Some(found) => {
                self.queue.push(Event::FileRefused { act: Act::Move, path: found, pid: call.pid });
                Err(libc::EACCES)
            }
        }
    }

    /// Judges a file that an overlay would copy to move it: the copy has one name, and nothing to know it by.
    fn judge_moved_copy(&mut self, call: &Notification, from: &Place<'_>, stat: &libc::stat) -> Kernel<()> {
        if stat.st_nlink < 2 || kind(stat) != libc::S_IFREG {
            return Ok(());
        }
        let file = call::open_path(from.parent(), &from.last, libc::O_NOFOLLOW).and_then(Found::new)?;
        match &self.live {
            Some(live) if live.links.is_shown(&file) => {
                self.judge_file_at(call, &file, (Operation::Write, Act::Move)).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Judges what was opened as a place: what it is called now.
    pub(super) fn judge_file(
        &mut self,
        call: &Notification,
        file: &Found,
        operation: Operation,
    ) -> Kernel<()> {
        if self.live.is_none() {
            return Ok(());
        }
        self.judge_file_at(call, file, (operation, act(operation))).map(drop)
    }

    /// The same under live rules; where it is.
    fn judge_file_at(
        &mut self,
        call: &Notification,
        file: &Found,
        (operation, act): (Operation, Act),
    ) -> Kernel<Vec<u8>> {
        let path = self.world.path_of(file.as_fd(), None);
        let act = match act {
            Act::Read if file.kind() == libc::S_IFDIR => Act::List,
            act => act,
        };
        self.judge_path_for(call, &path, (operation, act))?;
        if file.stat.st_nlink < 2 || file.kind() != libc::S_IFREG {
            return Ok(path);
        }
        let world = Rc::clone(&self.world);
        let Some(Live { judge, links }) = &mut self.live else { return Ok(path) };
        if !links.contains(judge, world.root(), file)? {
            return Ok(path);
        }
        self.still(call)?;
        self.queue.push(Event::FileRefused { act, path, pid: call.pid });
        Err(libc::EACCES)
    }

    /// Whether a rule closes a path, as it is named.
    pub(super) fn is_closed(&mut self, path: &[u8]) -> bool {
        let found = self.live.as_mut().and_then(|live| live.judge.judge(path, Operation::Read));
        found == Some(Refused::Closed)
    }

    fn judge_path(&mut self, call: &Notification, path: &[u8], operation: Operation) -> Kernel<()> {
        self.judge_path_for(call, path, (operation, act(operation)))
    }

    /// The same, where a refusal is told as another act.
    fn judge_path_for(
        &mut self,
        call: &Notification,
        path: &[u8],
        (operation, act): (Operation, Act),
    ) -> Kernel<()> {
        self.note(act, path);
        let Some(live) = &mut self.live else { return Ok(()) };
        // A path that cannot be told, which is longer than any rule.
        if path.is_empty() {
            return Err(libc::EACCES);
        }
        match live.judge.judge(path, operation) {
            None => Ok(()),
            Some(Refused::ReadOnly) => Err(libc::EROFS),
            Some(Refused::Closed) => {
                self.still(call)?;
                self.queue.push(Event::FileRefused { act, path: path.to_vec(), pid: call.pid });
                Err(libc::EACCES)
            }
        }
    }
}

/// What is done to a name, whatever is there.
const fn act(operation: Operation) -> Act {
    match operation {
        Operation::Read => Act::Read,
        Operation::Write => Act::Write,
        Operation::Execute => Act::Execute,
    }
}
