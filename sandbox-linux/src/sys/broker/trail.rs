//! The symbolic links that a look-up passed: counted, and where live rules hold, known by their own paths.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use super::call::Kernel;
use super::resolve::World;

/// Most links in one path (`MAXSYMLINKS`, path_resolution(7)).
const MAX_LINKS: u32 = 40;

/// What is kept of the links that are passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trails {
    /// How many they were; ordinary links are left to the kernel.
    Counted,
    /// Their paths too: each link is followed by hand.
    Named,
}

/// The links of one look-up.
#[derive(Debug)]
pub(super) struct Trail {
    kept: Trails,
    passed: u32,
    paths: Vec<Vec<u8>>,
}

impl Trail {
    pub(super) fn new(kept: Trails) -> Self {
        Self { kept, passed: 0, paths: Vec::new() }
    }

    pub(super) fn is_named(&self) -> bool {
        self.kept == Trails::Named
    }

    pub(super) fn passed(&self) -> u32 {
        self.passed
    }

    /// The paths of the links, as the kernel tells them.
    pub(super) fn paths(&self) -> &[Vec<u8>] {
        &self.paths
    }

    /// Takes note of one link that is followed.
    pub(super) fn pass(&mut self, world: &World, parent: BorrowedFd<'_>, name: &CStr) -> Kernel<()> {
        self.passed += 1;
        if self.passed > MAX_LINKS {
            return Err(libc::ELOOP);
        }
        if self.is_named() {
            let name = name.to_bytes();
            let bare = name.iter().position(|byte| *byte == b'/').map_or(name, |end| &name[..end]);
            self.paths.push(world.path_of(parent, Some(bare)));
        }
        Ok(())
    }
}
