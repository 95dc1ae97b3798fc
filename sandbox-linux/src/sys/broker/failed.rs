//! Calls that the kernel refused to the broker: told, so that whoever knows the policy can say whether a rule is behind it.
//!
//! Nothing is decided here. The path is read a second time, which a caller may have changed meanwhile: it could as well have made
//! another call that fails.

use std::os::fd::{AsFd as _, BorrowedFd};

use weir_protocol::denial::Act;

use super::Broker;
use super::call::{self, Kernel};
use super::listener::Notification;
use super::tracee::Tracee;
use crate::broker::{Event, Failure, Named, Request};

impl Broker {
    /// Tells of a call that failed as calls fail that a rule refuses; others are passed over.
    pub(super) fn tell_failure(&mut self, call: &Notification, errno: i32) {
        let how = match errno {
            libc::EROFS | libc::EACCES | libc::EPERM => Failure::Refused,
            libc::ENOENT => Failure::Absent,
            _ => return,
        };
        let _ = self.tell(call, how);
    }

    fn tell(&mut self, call: &Notification, how: Failure) -> Kernel<()> {
        let request = self.forms.decode(call.nr, &call.args).ok_or(libc::ENOSYS)?;
        let is_looking = how == Failure::Absent && is_looking(&request);
        if is_looking && self.record.is_none() {
            return Ok(());
        }
        let tracee = Tracee::new(call, &self.world, &self.listener);
        for (act, named) in acts(&request).into_iter().flatten() {
            let (act, path) = self.what(&tracee, act, named)?;
            // A record tells of what is closed even to those that only look.
            if is_looking && !self.is_closed(&path) {
                continue;
            }
            self.still(call)?;
            self.queue.push(Event::Failed { act, how, path, pid: call.pid });
        }
        Ok(())
    }

    /// The path that was meant, links followed as far as something is there.
    pub(super) fn what(&self, tracee: &Tracee, act: Act, named: Named) -> Kernel<(Act, Vec<u8>)> {
        let text = tracee.path(named.path)?;
        let world = &self.world;
        if matches!(act, Act::Create | Act::Read | Act::Look | Act::Write)
            && let Ok(found) = world.look(tracee, named, &text, &mut world.trail())
        {
            let is_directory = found.kind() == libc::S_IFDIR;
            let act = match act {
                Act::Create => Act::Write,
                Act::Read if is_directory => Act::List,
                act => act,
            };
            return Ok((act, call::path_of(found.as_fd(), None)));
        }
        let located = world.locate(tracee, named.dir, &text)?;
        let lexical = below(located.base.as_fd(), located.path.to_bytes());
        match world.place(tracee, located, &mut world.trail()) {
            Ok(place) => Ok((act, call::path_of(place.parent(), place.name()))),
            Err(_) => Ok((act, lexical)),
        }
    }
}

fn below(base: BorrowedFd<'_>, relative: &[u8]) -> Vec<u8> {
    let relative = relative.strip_suffix(b"/").unwrap_or(relative);
    call::path_of(base, Some(relative))
}

const CREATE: u32 = libc::O_CREAT.cast_unsigned();

/// Whether a call only looks whether something is there, as programs do for each library in each directory.
fn is_looking(request: &Request) -> bool {
    matches!(request, Request::Open { flags, .. } if flags & CREATE == 0)
}

/// What opening tries, before it is known whether something is there.
fn opening(flags: u32) -> Act {
    let reads = flags & libc::O_ACCMODE.cast_unsigned() == libc::O_RDONLY.cast_unsigned();
    match (flags & CREATE != 0, reads && flags & libc::O_TRUNC.cast_unsigned() == 0) {
        (true, _) => Act::Create,
        (false, true) => Act::Read,
        (false, false) => Act::Write,
    }
}

/// What a call tries at which of its paths.
fn acts(request: &Request) -> [Option<(Act, Named)>; 2] {
    match *request {
        Request::Open { at, flags, .. } => [Some((opening(flags), at)), None],
        Request::MakeDirectory { at, .. } => [Some((Act::MakeDirectory, at)), None],
        Request::MakeNode { at, .. } => [Some((Act::MakeNode, at)), None],
        Request::Symlink { at, .. } => [Some((Act::MakeLink, at)), None],
        Request::Link { to, .. } => [Some((Act::Move, to)), None],
        Request::Rename { from, to, .. } => [Some((Act::Remove, from)), Some((Act::Move, to))],
        Request::Truncate { path, .. } => [Some((Act::Truncate, Named { dir: libc::AT_FDCWD, path })), None],
        Request::Remove { at, flags } if flags & libc::AT_REMOVEDIR.cast_unsigned() != 0 => {
            [Some((Act::RemoveDirectory, at)), None]
        }
        Request::Remove { at, .. } => [Some((Act::Remove, at)), None],
        Request::Connect { .. } | Request::Bind { .. } => [None, None],
    }
}
