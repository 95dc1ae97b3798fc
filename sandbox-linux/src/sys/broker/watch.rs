//! Calls that go on after they were taken down: looks, changes of attributes, executions, listening. Nothing is decided here; see
//! `crate::broker::watched` for why the kernel may go on with a caller's own arguments then, and only then.

use std::ffi::{CStr, CString};
use std::os::fd::AsFd as _;
use std::rc::Rc;

use weir_protocol::denial::Act;

use super::Broker;
use super::call::{self, Kernel, NONBLOCK};
use super::directory::Found;
use super::listener::Notification;
use super::resolve::{Last, World};
use super::tracee::{Tracee, number};
use crate::broker::{
    AT_EMPTY_PATH, AT_FDCWD, AT_NOFOLLOW, Event, Failure, HEAD_BYTES, MAX_INTERPRETERS, Named, Watched,
    interpreter,
};

/// What a path led to, and the links on the way.
struct Led {
    found: Found,
    links: Vec<Vec<u8>>,
}

impl Broker {
    /// Takes a call down and lets it go on. Whatever cannot be told of it is left out.
    pub(super) fn let_go_on(&mut self, call: &Notification, watched: &Watched) {
        let tracee = Tracee::new(call, &self.world, &self.listener);
        match self.take_down(&tracee, watched) {
            // What was read is this caller's as long as it waits.
            Ok(()) if self.listener.is_valid(call.id) => self.keep_uses(call),
            Err(libc::ENOENT | libc::ENOTDIR | libc::EACCES | libc::EPERM) => {
                self.forget_record();
                let _ = self.tell_closed(call, &tracee, watched);
            }
            Ok(()) | Err(_) => self.forget_record(),
        }
        self.listener.go_on(call.id);
    }

    fn take_down(&mut self, tracee: &Tracee, watched: &Watched) -> Kernel<()> {
        let Watched { act, at, flags } = *watched;
        if act == Act::Bind {
            return self.note_listening(tracee, at.dir);
        }
        let world = Rc::clone(&self.world);
        let path = match tracee.path(at.path) {
            // The descriptor itself is meant.
            _ if at.path == 0 && at.dir != AT_FDCWD => CString::default(),
            Err(libc::ENOENT) if flags & AT_EMPTY_PATH != 0 => CString::default(),
            path => path?,
        };
        if path.is_empty() {
            let found = Found::new(world.descriptor(tracee, at.dir)?)?;
            return self.note_found(tracee, act, Led { found, links: Vec::new() });
        }
        let last = if flags & AT_NOFOLLOW != 0 { Last::Kept } else { Last::Followed };
        let led = lead(&world, tracee, (at, &path), last)?;
        self.note_found(tracee, act, led)
    }

    /// Notes what was named, the links that lead there, and what the kernel opens besides.
    fn note_found(&mut self, tracee: &Tracee, act: Act, led: Led) -> Kernel<()> {
        let world = Rc::clone(&self.world);
        let passing = if act == Act::Execute { Act::Read } else { Act::Look };
        led.links.iter().for_each(|link| self.note(passing, link));
        let path = world.path_of(led.found.as_fd(), None);
        // A pipe, or a file without a name any more.
        if path.first() != Some(&b'/') || led.found.stat.st_nlink == 0 {
            return Ok(());
        }
        self.note(act, &path);
        if act == Act::Execute {
            self.note_interpreters(tracee, led.found)?;
        }
        Ok(())
    }

    /// An interpreter of a script, its own, and their loader.
    fn note_interpreters(&mut self, tracee: &Tracee, program: Found) -> Kernel<()> {
        let world = Rc::clone(&self.world);
        let mut program = program;
        for _ in 0..MAX_INTERPRETERS {
            let Some(named) = named_in(&world, &program) else { return Ok(()) };
            let at = Named { dir: AT_FDCWD, path: 0 };
            let Led { found, links } = lead(&world, tracee, (at, &named), Last::Followed)?;
            links.iter().for_each(|link| self.note(Act::Read, link));
            self.note(Act::Execute, &world.path_of(found.as_fd(), None));
            program = found;
        }
        Ok(())
    }

    /// Tells of something closed that is not there inside, or cannot be seen.
    fn tell_closed(&mut self, call: &Notification, tracee: &Tracee, watched: &Watched) -> Kernel<()> {
        let (act, path) = self.what(tracee, watched.act, watched.at)?;
        if self.is_closed(&path) {
            self.still(call)?;
            self.queue.push(Event::Failed { act, how: Failure::Absent, path, pid: call.pid });
        }
        Ok(())
    }
}

/// Where a path leads, as its caller would find it.
fn lead(world: &World, tracee: &Tracee, (at, path): (Named, &CStr), last: Last) -> Kernel<Led> {
    let mut trail = world.trail();
    let found = world.find(tracee, (at, path), last, &mut trail)?;
    Ok(Led { found, links: trail.paths().to_vec() })
}

/// The interpreter that a program's file names, where it can be read.
fn named_in(world: &World, program: &Found) -> Option<CString> {
    if program.kind() != libc::S_IFREG {
        return None;
    }
    let name = number(call::number(program.as_fd()));
    let file = call::openat(world.own(), &name, libc::O_RDONLY.cast_unsigned() | NONBLOCK).ok()?;
    let mut head = vec![0; HEAD_BYTES];
    let read = call::read(file.as_fd(), &mut head).ok()?;
    CString::new(interpreter(head.get(..read)?)?).ok()
}
