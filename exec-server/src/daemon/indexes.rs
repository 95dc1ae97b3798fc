//! What launchers have found in the file system, kept for the next launcher of the same user, so that it need not list the same
//! directories again.
//!
//! An index is made by a launcher alone, from what the kernel told it with its user's rights, and goes to launchers of the same user
//! with the same groups alone. This process holds it as sealed memory and never looks into it. It reaches neither a server part nor a
//! sandbox: a launcher lets it go before it makes one. Called by the supervisor.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use weir_sandbox_linux::survey::index::{Clock, Image};

use super::post::{self, Word};
use crate::launch::lent::Lent;
use crate::peer::Peer;

/// Most bytes of all users' images together: eight of the largest.
const MAX_BYTES: usize = 128 << 20;

/// Most users of whom one is kept: each takes three descriptors.
const MAX_USERS: usize = 64;

/// All users' indexes. Without a watch of the clock there are none.
#[derive(Debug, Default)]
pub(super) struct Indexes {
    clock: Option<Clock>,
    of: HashMap<Peer, Kept>,
    /// Counts what is lent.
    turn: u64,
}

/// One user's.
#[derive(Debug)]
struct Kept {
    image: Option<Image>,
    /// Where launchers tell of a new one.
    ours: OwnedFd,
    theirs: OwnedFd,
    /// When it was lent last.
    used: u64,
}

impl Indexes {
    /// What a new launcher of this user begins with. Where the clock was set, nothing that was found before counts.
    pub(super) fn lend(&mut self, peer: &Peer) -> Option<Lent> {
        if self.clock.as_ref().is_none_or(Clock::was_set) {
            self.of.clear();
            self.clock = Clock::watch().ok();
        }
        self.turn += 1;
        let clock = self.clock.as_ref()?.share().ok()?;
        if !self.of.contains_key(peer) {
            self.make_room(MAX_USERS - 1, MAX_BYTES, peer);
            self.of.insert(peer.clone(), Kept::new().ok()?);
        }
        let kept = self.of.get_mut(peer)?;
        kept.used = self.turn;
        let image = kept.image.as_ref().map(Image::share).transpose().ok()?;
        Some(Lent { clock, image, post: kept.theirs.try_clone().ok()? })
    }

    /// Where each user's launchers tell of a new image.
    pub(super) fn posts(&self) -> impl Iterator<Item = (&Peer, BorrowedFd<'_>)> {
        self.of.iter().map(|(peer, kept)| (peer, kept.ours.as_fd()))
    }

    /// Hears of a new image of this user.
    pub(super) fn hear(&mut self, peer: &Peer) {
        let Some(kept) = self.of.get_mut(peer) else { return };
        match post::hear(&kept.ours) {
            Ok(Some((Word::Index, Some(memory)))) => {
                let Some(image) = Image::accept(memory) else { return };
                kept.image = Some(image);
                self.make_room(MAX_USERS, MAX_BYTES, peer);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Nobody else says anything here; begun anew, it is whole again.
            Ok(_) | Err(_) => drop(self.of.remove(peer)),
        }
    }

    /// Lets everything go: in a process that is to have nothing of it.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Forgets whose was lent longest ago, but for `peer`'s, until it is no more than this.
    fn make_room(&mut self, users: usize, bytes: usize, peer: &Peer) {
        while self.of.len() > users || self.bytes() > bytes {
            let others = self.of.iter().filter(|(other, _)| *other != peer);
            let Some(oldest) = others.min_by_key(|(_, kept)| kept.used).map(|(other, _)| other.clone())
            else {
                return;
            };
            self.of.remove(&oldest);
        }
    }

    fn bytes(&self) -> usize {
        self.of.values().filter_map(|kept| kept.image.as_ref()).map(Image::bytes).sum()
    }
}

impl Kept {
    fn new() -> io::Result<Self> {
        // Neither side waits for the other.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        Ok(Self { image: None, ours, theirs, used: 0 })
    }
}
