//! Device nodes where there are no mounts and the command finds the host's own: which it may open.
//!
//! A terminal is the command's own when it was started with it, or when its master was opened inside (pty(7)). All others of the same user
//! have the same mode and lie in the same directory, and whoever opens one reads what is typed there. Each own one is held as a place, so
//! that it is told from a later one with its number. Of other devices those in `/dev` are for rules to name, and elsewhere nodes are as
//! inert as they are on mounts.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use super::super::abi::check_int;
use super::Broker;
use super::call::{self, Kernel};
use super::directory::{Found, identity, kind};
use super::terminal::PTS_MAJORS;
use super::tracee::Tracee;

/// Most terminals that are held: each costs the broker a descriptor. Beyond it masters are refused as by a host without a free one.
const MAX_TERMINALS: usize = 256;
/// Descriptors that a command is started with.
const STANDARD: i32 = 3;
/// The device that opens masters.
const PTMX: libc::dev_t = libc::makedev(5, 2);
/// The caller's own terminal, whichever that is.
const OWN_TERMINAL: libc::dev_t = libc::makedev(5, 0);
/// Devices that hold nothing: null, zero, full, random, urandom.
const CORE_MAJOR: u32 = 1;
const CORE_MINORS: [u32; 5] = [3, 5, 7, 8, 9];
/// `TIOCGPTPEER` (Linux 4.13): the other side of a terminal, without a path.
const GET_PEER: libc::c_ulong = 0x5441;

/// The terminals that are the command's own.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    terminals: Vec<OwnedFd>,
    has_begun: bool,
}

impl Nodes {
    /// Takes note of what the command was started with, at its first call, before which it can have opened none.
    pub(super) fn begin(&mut self, tracee: &Tracee) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        let places = (0..STANDARD).filter_map(|fd| tracee.descriptor(fd).ok());
        let is_terminal = |place: &OwnedFd| call::stat(place.as_fd()).is_ok_and(|stat| is_terminal(&stat));
        self.terminals.extend(places.filter(is_terminal));
    }

    /// Takes in the terminal of a master that was opened for a caller.
    fn take_in(&mut self, master: BorrowedFd<'_>) -> Kernel<()> {
        self.terminals.retain(|held| call::stat(held.as_fd()).is_ok_and(|stat| stat.st_nlink > 0));
        if self.terminals.len() >= MAX_TERMINALS {
            return Err(libc::ENOSPC);
        }
        let flags = libc::O_PATH | libc::O_CLOEXEC;
        // SAFETY: makes a descriptor; the argument is its flags.
        let peer = check_int(unsafe { libc::ioctl(master.as_raw_fd(), GET_PEER, flags) })?;
        // SAFETY: the kernel just made this descriptor for us; nothing else knows it.
        self.terminals.push(unsafe { OwnedFd::from_raw_fd(peer) });
        Ok(())
    }

    /// Whether a terminal is one of them: the very node, whose name has not gone with its master.
    pub(super) fn is_own(&self, terminal: &libc::stat) -> bool {
        self.terminals.iter().any(|held| {
            let held = call::stat(held.as_fd());
            held.is_ok_and(|held| held.st_nlink > 0 && identity(&held) == identity(terminal))
        })
    }
}

/// Whether this is a command's side of a terminal.
fn is_terminal(stat: &libc::stat) -> bool {
    kind(stat) == libc::S_IFCHR && PTS_MAJORS.contains(&libc::major(stat.st_rdev))
}

fn is_core(device: libc::dev_t) -> bool {
    let is_memory = libc::major(device) == CORE_MAJOR && CORE_MINORS.contains(&libc::minor(device));
    is_memory || device == PTMX || device == OWN_TERMINAL
}

impl Broker {
    /// Whether a node may be opened, as far as rules do not tell.
    pub(super) fn admit_node(&self, place: &Found) -> Kernel<()> {
        let Some(nodes) = &self.nodes else { return Ok(()) };
        let is_character = match place.kind() {
            libc::S_IFCHR => true,
            libc::S_IFBLK => false,
            _ => return Ok(()),
        };
        let is_admitted = match is_character {
            true if is_terminal(&place.stat) => nodes.is_own(&place.stat),
            true if is_core(place.stat.st_rdev) => true,
            _ => call::path_of(place.as_fd(), None).starts_with(b"/dev/"),
        };
        if is_admitted { Ok(()) } else { Err(libc::EACCES) }
    }

    /// Takes note of a master that was opened.
    pub(super) fn opened_node(&mut self, place: &Found, file: &OwnedFd) -> Kernel<()> {
        match &mut self.nodes {
            Some(nodes) if place.kind() == libc::S_IFCHR && place.stat.st_rdev == PTMX => {
                nodes.take_in(file.as_fd())
            }
            _ => Ok(()),
        }
    }
}
