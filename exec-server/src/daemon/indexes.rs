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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

    use super::*;

    const SEALS: [SealFlags; 4] = [SealFlags::WRITE, SealFlags::SHRINK, SealFlags::GROW, SealFlags::SEAL];

    fn peer(uid: u32) -> Peer {
        Peer { uid, gid: uid, groups: vec![uid, 4] }
    }

    /// Memory with these seals.
    fn memory(bytes: usize, seals: &[SealFlags]) -> OwnedFd {
        let flags = MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC;
        let mut file = File::from(memfd_create("weir-test", flags).unwrap());
        file.write_all(&vec![1; bytes]).unwrap();
        fcntl_add_seals(&file, seals.iter().copied().collect()).unwrap();
        file.into()
    }

    fn hand(indexes: &mut Indexes, peer: &Peer, memory: &OwnedFd) {
        let lent = indexes.lend(peer).unwrap();
        post::say(&lent.post, Word::Index, Some(memory.as_fd())).unwrap();
        indexes.hear(peer);
    }

    fn bytes(indexes: &mut Indexes, peer: &Peer) -> Option<usize> {
        indexes.lend(peer).unwrap().image.map(|image| image.bytes())
    }

    #[test]
    fn what_is_handed_over_is_lent_to_the_same_user_alone() {
        let mut indexes = Indexes::default();
        let (alice, bob) = (peer(1), peer(2));
        let with_other_groups = Peer { groups: vec![1], ..alice.clone() };
        assert_eq!(bytes(&mut indexes, &alice), None);
        hand(&mut indexes, &alice, &memory(100, &SEALS));
        assert_eq!(bytes(&mut indexes, &alice), Some(100));
        for other in [&bob, &with_other_groups] {
            assert_eq!(bytes(&mut indexes, other), None);
        }
        hand(&mut indexes, &alice, &memory(200, &SEALS));
        assert_eq!(bytes(&mut indexes, &alice), Some(200));
        indexes.clear();
        assert_eq!(indexes.posts().count(), 0);
    }

    #[test]
    fn what_could_still_change_or_is_too_large_is_not_taken() {
        let mut indexes = Indexes::default();
        for left_out in 0..SEALS.len() {
            let some: Vec<_> = SEALS
                .into_iter()
                .enumerate()
                .filter(|(at, _)| *at != left_out)
                .map(|(_, seal)| seal)
                .collect();
            hand(&mut indexes, &peer(1), &memory(100, &some));
            assert_eq!(bytes(&mut indexes, &peer(1)), None, "{some:?}");
        }
        let largest = weir_sandbox_linux::survey::index::MAX_IMAGE_BYTES;
        hand(&mut indexes, &peer(1), &memory(largest + 1, &SEALS));
        assert_eq!(bytes(&mut indexes, &peer(1)), None);
        hand(&mut indexes, &peer(1), &File::open("/dev/null").unwrap().into());
        assert_eq!(bytes(&mut indexes, &peer(1)), None);
        hand(&mut indexes, &peer(1), &memory(largest, &SEALS));
        assert_eq!(bytes(&mut indexes, &peer(1)), Some(largest));
    }

    #[test]
    fn whose_was_lent_longest_ago_goes_first() {
        let mut indexes = Indexes::default();
        let users = u32::try_from(MAX_USERS).unwrap();
        (0..users).for_each(|uid| hand(&mut indexes, &peer(uid), &memory(100, &SEALS)));
        assert_eq!(bytes(&mut indexes, &peer(0)), Some(100));
        assert_eq!(bytes(&mut indexes, &peer(users)), None, "one more");
        assert_eq!(indexes.posts().count(), MAX_USERS);
        assert_eq!(bytes(&mut indexes, &peer(0)), Some(100));
        assert_eq!(bytes(&mut indexes, &peer(1)), None);
    }

    #[test]
    fn all_images_together_are_bounded() {
        let mut indexes = Indexes::default();
        let largest = memory(weir_sandbox_linux::survey::index::MAX_IMAGE_BYTES, &SEALS);
        (0..9).for_each(|uid| hand(&mut indexes, &peer(uid), &largest));
        assert!(indexes.bytes() <= MAX_BYTES);
        assert_eq!(bytes(&mut indexes, &peer(0)), None);
        assert!(bytes(&mut indexes, &peer(8)).is_some());
    }
}
