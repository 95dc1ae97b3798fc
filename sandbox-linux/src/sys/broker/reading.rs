//! What the command may read without init: there its own ruleset (`compile::reading`) decides, and the kernel goes on with its call.
//!
//! Init has found the file and judged it by then, so that what is refused is refused and told here. By the time that the kernel goes on
//! another thread may have led the path elsewhere. Then the command's ruleset still holds: it grants no file that was closed
//! when the command started and no name that has come since. So this never lets anything in; whether it answers yes or no is a matter of
//! which of the two can open the file: a call that goes on although the ruleset does not grant the file fails with EACCES, and one
//! that does not go on is performed.

use std::collections::HashMap;
use std::os::fd::BorrowedFd;

use super::Broker;
use super::call;
use super::directory::Found;
use crate::live::{Beside, Standing};

/// The names that the ruleset speaks of.
#[derive(Debug)]
pub(super) struct Reading {
    beside: Beside,
    /// The file system of each directory that was asked about.
    devices: HashMap<Vec<u8>, libc::dev_t>,
}

impl Reading {
    pub(super) fn new(beside: Beside) -> Self {
        Self { beside, devices: HashMap::new() }
    }

    /// Whether the ruleset grants what lies at a path: the name was there, and stands for the same file, or for a file system of the
    /// sandbox's own, which nobody outside exchanges.
    fn grants(&mut self, root: BorrowedFd<'_>, found: &Found, path: &[u8]) -> bool {
        let (entry, way, inode) = match self.beside.standing(path) {
            Standing::Elsewhere => return true,
            Standing::Apart => return false,
            Standing::Known { entry, way, inode } => (entry, way, inode),
        };
        let now = if entry.len() == path.len() { Some(found.stat) } else { stat(root, entry) };
        let Some(now) = now else { return false };
        now.st_ino == inode || self.device(root, way).is_some_and(|device| device != now.st_dev)
    }

    fn device(&mut self, root: BorrowedFd<'_>, way: &[u8]) -> Option<libc::dev_t> {
        if let Some(device) = self.devices.get(way) {
            return Some(*device);
        }
        let device = stat(root, way)?.st_dev;
        self.devices.insert(way.to_vec(), device);
        Some(device)
    }
}

fn stat(root: BorrowedFd<'_>, path: &[u8]) -> Option<libc::stat> {
    call::stat_at(root, &call::below_root(path).ok()?, libc::AT_SYMLINK_NOFOLLOW).ok()
}

impl Broker {
    /// Whether the command can read by itself what was found at a path.
    pub(super) fn is_granted(&mut self, found: &Found, path: &[u8]) -> bool {
        let root = self.world.root();
        let reading = self.live.as_mut().and_then(|live| live.reading.as_mut());
        reading.is_some_and(|reading| reading.grants(root, found, path))
    }
}
