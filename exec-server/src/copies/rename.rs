//! One step of applying: a place gets, changes or loses its name by one rename, once, whoever does it.
//!
//! A place that the host has changed meanwhile is looked at once more in the very exchange, and put back. Whoever comes after one that was
//! ended finds what that one has done: what is staged stands under its name, and what was there before under the temporary one. Where neither
//! says so it counts as not done, and the copy keeps what it has. Nothing of the host's goes that was not there when the change was looked
//! at. Called by `apply`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{RenameFlags, renameat_with};
use rustix::io::Errno;

use super::journal::{Act, Step, Why};
use super::stage::name;
use super::tree::{self, Identity, Tree};

/// What has become of a step.
pub(super) enum Done {
    /// It is done, now or by whoever was ended.
    Done,
    /// It is not, and the copy keeps what it has.
    Undone(Why),
}

/// The host has something else there by now.
const CHANGED: Done = Done::Undone(Why::Changed);

/// One step, which may have been done before.
pub(super) fn carry_out(step: &Step, host: &Tree, renamed: &mut Renamed) -> io::Result<Done> {
    let (parent, target) = host.parent(&step.path.0)?;
    let site = Site { parent, target, temporary: name(&step.temporary.0) };
    let done = match step.act {
        Act::Place => return site.place(step),
        Act::Exchange => site.exchange(step, renamed)?,
        Act::Remove => site.remove(step, renamed)?,
        // Those come last.
        Act::Mode | Act::Open => return Ok(Done::Done),
    };
    if matches!(done, Done::Done) {
        renamed.note(step, &site)?;
    }
    Ok(done)
}

/// What these steps have moved away. Of a file with several names each move changes the time of change of all.
#[derive(Debug, Default)]
pub(super) struct Renamed {
    /// Files, by device and number, as they are now.
    files: BTreeMap<(u64, u64), Identity>,
    /// By path: what files that have other names were, and are now.
    pub(super) with_others: BTreeMap<Vec<u8>, (Identity, Identity)>,
}

impl Renamed {
    /// Whether what is there is what was there before: nobody but these steps has changed it since.
    fn is_as_before(&self, there: Option<Identity>, step: &Step) -> bool {
        let by_these = |there: Identity, before: Identity| {
            there.is_moved(&before) && self.files.get(&there.number()) == Some(&there)
        };
        there == step.before || there.zip(step.before).is_some_and(|(there, before)| by_these(there, before))
    }

    /// A step is done, now or before it was begun anew: what was there waits under the temporary name.
    fn note(&mut self, step: &Step, site: &Site<'_>) -> io::Result<()> {
        let Some(found) = tree::status(&site.parent, &site.temporary)? else { return Ok(()) };
        let out = Identity::of(&found);
        if let Some(before) = step.before.filter(|before| out.is_moved(before) && !tree::is_directory(&found))
        {
            self.files.insert(out.number(), out);
            if found.st_nlink > 1 {
                self.with_others.insert(step.path.0.clone(), (before, out));
            }
        }
        Ok(())
    }
}

/// Where one step is done.
struct Site<'a> {
    parent: OwnedFd,
    target: &'a OsStr,
    temporary: OsString,
}

impl Site<'_> {
    fn found(&self, name: &OsStr) -> io::Result<Option<Identity>> {
        Ok(tree::status(&self.parent, name)?.as_ref().map(Identity::of))
    }

    fn rename(&self, from: &OsStr, to: &OsStr, flags: RenameFlags) -> Result<(), Errno> {
        renameat_with(&self.parent, from, &self.parent, to, flags)
    }

    /// Whether what is staged stands under its name: as it was staged, for the number of a file that is gone can be another's.
    fn is_in_place(&self, step: &Step) -> io::Result<bool> {
        Ok(self.found(self.target)?.zip(step.staged).is_some_and(|(there, staged)| there.is_moved(&staged)))
    }

    fn place(&self, step: &Step) -> io::Result<Done> {
        match self.rename(&self.temporary, self.target, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(Done::Done),
            // It has its name already, or somebody took it away.
            Err(Errno::NOENT) if self.is_in_place(step)? => Ok(Done::Done),
            Err(Errno::NOENT | Errno::EXIST) => Ok(CHANGED),
            Err(errno) => Err(errno.into()),
        }
    }

    fn exchange(&self, step: &Step, renamed: &Renamed) -> io::Result<Done> {
        let waits = self.found(&self.temporary)?;
        if waits.zip(step.staged).is_some_and(|(found, staged)| found.is_file(&staged)) {
            if !renamed.is_as_before(self.found(self.target)?, step) {
                return Ok(CHANGED);
            }
            self.rename(&self.temporary, self.target, RenameFlags::EXCHANGE)?;
        }
        // Between the look and the exchange the host may have been faster; then that is put back.
        let out = self.found(&self.temporary)?;
        if is_before(out, step) {
            return Ok(Done::Done);
        }
        let is_in_place = self.is_in_place(step)?;
        if out.is_none() {
            return Ok(if is_in_place { Done::Done } else { CHANGED });
        }
        let put_back = || self.rename(&self.temporary, self.target, RenameFlags::EXCHANGE);
        Ok(if is_in_place && put_back().is_ok() { CHANGED } else { beside(step) })
    }

    fn remove(&self, step: &Step, renamed: &Renamed) -> io::Result<Done> {
        if self.found(&self.temporary)?.is_none() {
            let there = self.found(self.target)?;
            if there.is_some() && !renamed.is_as_before(there, step) {
                return Ok(CHANGED);
            }
            match self.rename(self.target, &self.temporary, RenameFlags::NOREPLACE) {
                // Somebody else has removed it.
                Err(Errno::NOENT) => return Ok(Done::Done),
                moved => moved?,
            }
        }
        if is_before(self.found(&self.temporary)?, step) {
            return Ok(Done::Done);
        }
        let put_back = self.rename(&self.temporary, self.target, RenameFlags::NOREPLACE);
        Ok(if put_back.is_ok() { CHANGED } else { beside(step) })
    }
}

/// Whether what was taken from its name is what was there before.
fn is_before(out: Option<Identity>, step: &Step) -> bool {
    out.zip(step.before).is_some_and(|(out, before)| out.is_moved(&before))
}

/// What the host had stays under the temporary name.
fn beside(step: &Step) -> Done {
    Done::Undone(Why::Beside(step.temporary.clone()))
}
