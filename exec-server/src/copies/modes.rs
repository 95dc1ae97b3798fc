//! Modes and owners of directories that the host has: set when all else is done, the deepest first, and others for as long as something in them is changed.
//!
//! A mode may say that nobody changes anything in a directory any more, and the one that it has now may say so too. Its owner can change it
//! all the same, and does while changes are applied. The journal knows each such directory before, so that its mode is set right whatever
//! ends it.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::{Mode, XattrFlags, fchmod, fchown, fstat};
use weir_protocol::ByteString;

use super::journal::{Act, Step};
use super::look::MODE_BITS;
use super::stage::attributes;
use super::tree::{self, Owner, Tree, is_directory};

/// Without these nothing in a directory can be changed by whoever does not pass over modes.
const OWNER: u32 = 0o700;

/// The directories on the way to these steps that have to be made changeable first, those further up first.
pub(super) fn needed(host: &Tree, steps: &[Step]) -> Vec<Step> {
    let own = rustix::process::geteuid();
    if own.is_root() {
        return Vec::new();
    }
    let mut above = BTreeSet::new();
    for path in steps.iter().map(|step| step.path.0.as_slice()) {
        above.insert(&path[..0]);
        above.extend(path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at]));
    }
    let closed = |path: &[u8]| {
        let found = host.status(path).ok().flatten().filter(is_directory)?;
        let closed = found.st_uid == own.as_raw() && found.st_mode & OWNER != OWNER;
        closed.then_some(found.st_mode & MODE_BITS)
    };
    let step = |path: &[u8]| {
        Some(Step {
            path: ByteString(path.to_vec()),
            act: Act::Open,
            temporary: ByteString(Vec::new()),
            staged: None,
            before: None,
            mode: closed(path)?,
            owner: None,
        })
    };
    above.into_iter().filter_map(step).collect()
}

/// Makes what these steps are about changeable, from the top down. What cannot be is found by whoever changes something there.
pub(super) fn open<'s>(host: &Tree, steps: impl Iterator<Item = &'s Step>) {
    if rustix::process::geteuid().is_root() {
        return;
    }
    for step in steps {
        if let Ok(Some(found)) = host.status(&step.path.0)
            && found.st_mode & OWNER != OWNER
        {
            let _ = set(host, &step.path.0, found.st_mode & MODE_BITS | OWNER);
        }
    }
}

/// Sets back what was made changeable.
pub(super) fn close(host: &Tree, steps: &[Step]) {
    for step in steps.iter().rev().filter(|step| step.act == Act::Open) {
        let _ = set(host, &step.path.0, step.mode);
    }
}

/// Gives a directory a mode, through no link.
pub(super) fn set(tree: &Tree, path: &[u8], mode: u32) -> io::Result<()> {
    if path.is_empty() {
        return Ok(fchmod(tree, Mode::from_bits_truncate(mode))?);
    }
    let (parent, name) = tree.parent(path)?;
    tree::set_mode(parent.as_fd(), name, mode)
}

/// Does something in a directory whose mode may forbid it, which its owner changes for that moment.
pub(super) fn changing<T>(directory: impl AsFd, mut act: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    match act() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let mode = fstat(&directory)?.st_mode & MODE_BITS;
            fchmod(&directory, Mode::from_bits_truncate(mode | OWNER)).map_err(|_| error)?;
            let done = act();
            fchmod(&directory, Mode::from_bits_truncate(mode))?;
            done
        }
        done => done,
    }
}

/// Whether two directories differ in mode, owner or attributes.
pub(super) fn differ(one: impl AsFd, other: impl AsFd) -> io::Result<bool> {
    let stats = (fstat(&one)?, fstat(&other)?);
    let modes = (stats.0.st_mode ^ stats.1.st_mode) & MODE_BITS;
    Ok(modes != 0 || Owner::of(&stats.0) != Owner::of(&stats.1) || attributes(one)? != attributes(other)?)
}

/// Gives a directory an owner, through no link. Before its mode: whoever gives it away may set that no more.
pub(super) fn give_owner(tree: &Tree, path: &[u8], owner: Owner) -> io::Result<()> {
    let directory = tree.directory(path)?;
    owner.give(&fstat(&directory)?, |uid, gid| fchown(&directory, uid, gid))
}

/// Gives a directory the attributes of another one.
pub(super) fn give_attributes(from: impl AsFd, to: impl AsFd) -> io::Result<()> {
    let (wanted, there) = (attributes(from)?, attributes(&to)?);
    for (name, value) in wanted.iter().filter(|(name, value)| there.get(*name) != Some(*value)) {
        rustix::fs::fsetxattr(&to, name, value, XattrFlags::empty())?;
    }
    for name in there.keys().filter(|name| !wanted.contains_key(*name)) {
        rustix::fs::fremovexattr(&to, name)?;
    }
    Ok(())
}

/// Gives a directory of one side the mode, the owner and the attributes that the other one has.
pub(super) fn alike(from: &Tree, to: &Tree, path: &[u8]) -> io::Result<()> {
    let source = from.directory(path)?;
    if let Ok(target) = to.directory(path) {
        give_attributes(&source, &target)?;
    }
    let found = fstat(&source)?;
    give_owner(to, path, Owner::of(&found))?;
    set(to, path, found.st_mode & MODE_BITS)
}
