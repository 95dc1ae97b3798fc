//! One step of applying: a place gets, changes or loses its name by one rename, once, whoever does it.
//!
//! A place that the host has changed meanwhile is looked at once more in the very exchange, and put back. Called by `apply`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{RenameFlags, renameat_with};
use rustix::io::Errno;

use super::journal::{Act, Step};
use super::stage::name;
use super::tree::{self, Identity, Tree};

/// What has become of a step.
pub(super) enum Done {
    Done,
    /// The host has something else there by now, which stays.
    Changed,
}

/// One step, which may have been done before.
pub(super) fn carry_out(step: &Step, host: &Tree, renamed: &mut Renamed) -> io::Result<Done> {
    let (parent, target) = host.parent(&step.path.0)?;
    let site = Site { parent, target, temporary: name(&step.temporary.0) };
    let done = match step.act {
        Act::Place => return site.place(),
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

    fn place(&self) -> io::Result<Done> {
        match self.rename(&self.temporary, self.target, RenameFlags::NOREPLACE) {
            // It has its name already.
            Ok(()) | Err(Errno::NOENT) => Ok(Done::Done),
            Err(Errno::EXIST) => Ok(Done::Changed),
            Err(errno) => Err(errno.into()),
        }
    }

    fn exchange(&self, step: &Step, renamed: &Renamed) -> io::Result<Done> {
        let staged = self.found(&self.temporary)?;
        let waits = staged.zip(step.staged).is_some_and(|(found, staged)| found.is_file(&staged));
        if !waits {
            return Ok(Done::Done);
        }
        let there = self.found(self.target)?;
        if !renamed.is_as_before(there, step) {
            return Ok(Done::Changed);
        }
        self.rename(&self.temporary, self.target, RenameFlags::EXCHANGE)?;
        // Between the look and the exchange the host may have been faster.
        let out = self.found(&self.temporary)?;
        if out.zip(step.before).is_some_and(|(out, before)| out.is_moved(&before)) {
            return Ok(Done::Done);
        }
        self.rename(&self.temporary, self.target, RenameFlags::EXCHANGE)?;
        Ok(Done::Changed)
    }

    fn remove(&self, step: &Step, renamed: &Renamed) -> io::Result<Done> {
        let there = self.found(self.target)?;
        let same = there.zip(step.before).is_some_and(|(there, before)| there.is_file(&before));
        if self.found(&self.temporary)?.is_some() || there.is_none() || !same {
            return Ok(if there.is_none() || self.found(&self.temporary)?.is_some() {
                Done::Done
            } else {
                Done::Changed
            });
        }
        if !renamed.is_as_before(there, step) {
            return Ok(Done::Changed);
        }
        self.rename(self.target, &self.temporary, RenameFlags::NOREPLACE)?;
        let out = self.found(&self.temporary)?;
        if out.zip(step.before).is_some_and(|(out, before)| out.is_moved(&before)) {
            return Ok(Done::Done);
        }
        self.rename(&self.temporary, self.target, RenameFlags::NOREPLACE)?;
        Ok(Done::Changed)
    }
}
