//! Forgets changes of a copy: each at once, by one rename out of it, then what was renamed is removed.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{AtFlags, Mode, mkdirat, renameat, unlinkat};
use rustix::io::Errno;
use weir_protocol::method::changes::{ChangeKind, Left, Outcome};
use weir_protocol::{AbsPath, ByteString};

use super::look::{Found, is_at_or_below, is_chosen, look};
use super::state::{State, is_opaque};
use super::tree::{self, Tree};
use super::{CopyError, Of as _, journal, modes};

/// Where what is to be removed goes first.
const TRASH: &str = "trash";

/// Discards what is chosen; all of it where nothing is.
pub(super) fn discard(state: State, paths: &[AbsPath]) -> Result<Outcome, CopyError> {
    let mut outcome = Outcome { root: state.root().clone(), done: Vec::new(), left: Vec::new() };
    let is_whole = paths.is_empty() || paths.iter().any(|path| state.root().starts_with(path));
    match journal::recover(&state) {
        Ok(true) => return Err(CopyError::Unfinished { root: outcome.root }),
        Err(error) if !is_whole => return Err(error),
        _ => {}
    }
    if is_whole {
        // Whatever state it is in, it can be forgotten; only what there was to forget may not be known then.
        let found = look(&state).unwrap_or_default();
        let whole = found.into_iter().filter(|found| found.part_of.is_none());
        outcome.done = whole.map(|found| ByteString(found.path)).collect();
        state.forget().of(&outcome.root)?;
        return Ok(outcome);
    }
    let found = look(&state)?;
    let (mut gone, mut modes): (Vec<Vec<u8>>, Vec<Vec<u8>>) = (Vec::new(), Vec::new());
    for one in found.iter().filter(|one| is_chosen(state.root(), &one.path, paths)) {
        if gone.iter().any(|above| is_at_or_below(&one.path, above)) {
            continue;
        }
        match obstacle(&state, one, &found).of(state.root())? {
            Some(because) => {
                outcome.left.push(Left { path: ByteString(one.path.clone()), conflict: false, because })
            }
            None if one.is_mode() => modes.push(one.path.clone()),
            None => gone.push(one.path.clone()),
        }
    }
    forget(&state, &gone)?;
    prune_all(&state, &modes).of(state.root())?;
    outcome.done = gone.into_iter().chain(modes).map(ByteString).collect();
    state.forget_empty().of(&outcome.root)?;
    Ok(outcome)
}

/// Why a change cannot be discarded by itself; a change of a directory's mode is, by giving the directory its old one.
fn obstacle(state: &State, one: &Found, all: &[Found]) -> io::Result<Option<String>> {
    if one.is_mode() {
        modes::alike(&state.host()?, &state.upper()?, &one.path)?;
        return Ok(None);
    }
    let whole = all
        .iter()
        .find(|other| Some(&other.path) == one.part_of.as_ref() && other.kind == ChangeKind::Replaced);
    Ok(whole.map(|whole| {
        format!("it is a part of {}, which is discarded as a whole", ByteString(whole.path.clone()))
    }))
}

/// Takes these out of the upper layer. What is out already is.
pub(super) fn forget(state: &State, paths: &[Vec<u8>]) -> Result<(), CopyError> {
    let root = state.root();
    let (upper, own) = (state.upper().of(root)?, state.own().of(root)?);
    let trash = OsStr::new(TRASH);
    tree::remove(own.as_fd(), trash).of(root)?;
    mkdirat(&own, trash, Mode::RWXU).of(root)?;
    let bin = own.directory(TRASH.as_bytes()).of(root)?;
    for (number, path) in paths.iter().enumerate() {
        let Ok((parent, name)) = upper.parent(path) else { continue };
        modes::changing(&parent, || take_out(&parent, name, &bin, number)).of(root)?;
    }
    prune_all(state, paths).of(root)?;
    drop(bin);
    tree::remove(own.as_fd(), trash).of(root)
}

/// A directory that nobody may change is not moved elsewhere, but by its owner, who can change that.
fn take_out(parent: &OwnedFd, name: &OsStr, bin: &OwnedFd, number: usize) -> io::Result<()> {
    let moved = || match renameat(parent, name, bin, number.to_string()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    };
    match moved() {
        Err(Errno::ACCESS) if tree::set_mode(parent.as_fd(), name, 0o700).is_ok() => Ok(moved()?),
        moved => Ok(moved?),
    }
}

/// Whether a directory of the upper layer only adds to the host's.
fn merged(upper: &Tree, host: &Tree, path: &[u8]) -> io::Result<bool> {
    let (Some(above), Some(below)) = (upper.status(path)?, host.status(path)?) else { return Ok(false) };
    let both = tree::is_directory(&above) && tree::is_directory(&below);
    Ok(both && upper.open_directory(path)?.is_some_and(|above| !is_opaque(above)))
}

pub(super) fn prune_all(state: &State, paths: &[Vec<u8>]) -> io::Result<()> {
    let (upper, host) = (state.upper()?, state.host()?);
    paths.iter().try_for_each(|path| prune(&upper, &host, path))
}

/// Removes directories that only lead to what was taken out, so that the host's are seen again as they are.
fn prune(upper: &Tree, host: &Tree, path: &[u8]) -> io::Result<()> {
    let mut rest = path;
    while !rest.is_empty() {
        if merged(upper, host, rest)? {
            let differs = upper.directory(rest).and_then(|one| modes::differ(one, host.directory(rest)?));
            let (parent, name) = upper.parent(rest)?;
            let remove = || modes::changing(&parent, || Ok(unlinkat(&parent, name, AtFlags::REMOVEDIR)?));
            if differs.unwrap_or(true) || remove().is_err() {
                return Ok(());
            }
        }
        rest = rest.iter().rposition(|byte| *byte == b'/').map_or(&rest[..0], |slash| &rest[..slash]);
    }
    Ok(())
}
