//! The changes of a copy: what lies in its upper layer, beside what the host has there now.

use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{FileType, Stat, readlinkat};
use weir_protocol::method::changes::{ChangeKind, CopyChange, What};
use weir_protocol::path::{MAX_COMPONENT_BYTES, MAX_PATH_BYTES};
use weir_protocol::{AbsPath, ByteString};

use super::descent::Descent;
use super::known::Known;
use super::modes;
use super::stage::attributes;
use super::state::{State, is_opaque};
use super::tree::{self, Identity, Owner, Tree, is_directory, is_whiteout};
use super::{CopyError, Of as _};

/// Most bytes of the path of a directory, below the root, in which changes are told one by one: each of theirs is a path that can be opened.
/// A command makes longer ones by names alone.
pub(super) const MAX_DIRECTORY_BYTES: usize = MAX_PATH_BYTES - MAX_COMPONENT_BYTES - 1;

/// Bytes compared at once.
const PIECE_BYTES: usize = 64 << 10;

/// Permission bits that a change of mode can be about.
pub(super) const MODE_BITS: u32 = 0o7777;

/// Bits that make a program run as its owner.
pub(super) const SET_ID: u32 = 0o6000;

const CLOSED: &str = "its mode keeps its owner out, so that what is in it cannot be looked at; `weir discard` takes it out whole";
const UNLISTED: &str = "what is in it has longer paths than can be named; it is not listed";
const TOO_LONG: &str = "what is in it has longer paths than can be named, beside what the host has there; `weir discard` takes it out whole";
const HOST_CLOSED: &str =
    "its mode on the host keeps its owner out, so that what is in it cannot be compared";

/// One change.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Below the root.
    pub(super) path: Vec<u8>,
    pub(super) kind: ChangeKind,
    pub(super) what: What,
    pub(super) mode: u32,
    /// The owner that it has in the copy, where the host's is another.
    pub(super) owner: Option<Owner>,
    pub(super) part_of: Option<Vec<u8>>,
    /// What the host has there.
    pub(super) host: Option<Identity>,
    pub(super) conflict: bool,
    pub(super) note: Option<&'static str>,
    /// Why it cannot be applied, whoever asks.
    pub(super) refused: Option<&'static str>,
}

impl Found {
    /// Whether a directory is the same but for its mode, owner and attributes, as far as can be told.
    pub(super) fn is_mode(&self) -> bool {
        self.kind == ChangeKind::Mode && self.refused.is_none()
    }

    pub(super) fn told(self, diff: Option<String>) -> CopyChange {
        let owner = self.owner.map(|owner| format!("its owner becomes {owner}"));
        let notes = self.refused.or(self.note).map(str::to_owned).into_iter().chain(owner);
        let note = Some(notes.collect::<Vec<_>>().join("; ")).filter(|note| !note.is_empty());
        CopyChange {
            path: ByteString(self.path),
            change: self.kind,
            what: self.what,
            mode: self.mode,
            part_of: self.part_of.map(ByteString),
            conflict: self.conflict,
            note,
            diff,
        }
    }
}

/// A path below a root, as bytes; nothing for what is not below, and no bytes for the root itself.
pub(super) fn below<'p>(root: &AbsPath, path: &'p AbsPath) -> Option<&'p [u8]> {
    if path == root {
        return Some(&path.as_bytes()[..0]);
    }
    path.as_bytes().strip_prefix(root.as_bytes())?.strip_prefix(b"/")
}

/// Whether what is at `path` below a root lies at or below one of the chosen paths; where none is chosen, it does.
pub(super) fn is_chosen(root: &AbsPath, path: &[u8], chosen: &[AbsPath]) -> bool {
    chosen.is_empty()
        || chosen.iter().any(|chosen| {
            root.starts_with(chosen) || below(root, chosen).is_some_and(|chosen| is_at_or_below(path, chosen))
        })
}

pub(super) fn is_at_or_below(path: &[u8], above: &[u8]) -> bool {
    above.is_empty() || path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// Every change, by path.
pub(super) fn look(state: &State) -> Result<Vec<Found>, CopyError> {
    let root = state.root();
    let looking =
        Looking { upper: state.upper().of(root)?, host: state.host().of(root)?, known: Known::of(state)? };
    let mut out = Vec::new();
    // Directories that both have.
    let mut waiting = vec![Vec::new()];
    while let Some(path) = waiting.pop() {
        looking.directory(&path, &mut waiting, &mut out).of(root)?;
    }
    out.sort_by(|one, other| names(&one.path).cmp(names(&other.path)));
    Ok(out)
}

/// By these, what is in a directory comes right behind it.
fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
}

struct Looking {
    upper: Tree,
    host: Tree,
    known: Known,
}

impl Looking {
    /// A directory that both have.
    fn directory(&self, path: &[u8], waiting: &mut Vec<Vec<u8>>, out: &mut Vec<Found>) -> io::Result<()> {
        let open = self.upper.directory(path)?;
        let host = match self.host.directory(path) {
            // It was taken away meanwhile.
            Err(error) if tree::is_absent(&error) => None,
            host => Some(host?),
        };
        for name in tree::names(&open)? {
            let inner = joined(path, name.as_bytes());
            let Some(upper) = tree::status(&open, &name)? else { continue };
            let beside = host.as_ref().map(|host| tree::status(host, &name)).transpose()?.flatten();
            if self.place(&inner, (&upper, beside.as_ref()), out)? == Next::Both {
                waiting.push(inner);
            }
        }
        Ok(())
    }

    fn place(
        &self,
        path: &[u8],
        (upper, host): (&Stat, Option<&Stat>),
        out: &mut Vec<Found>,
    ) -> io::Result<Next> {
        if is_whiteout(upper) {
            if let Some(host) = host {
                let found = Found {
                    what: what(host),
                    mode: host.st_mode & MODE_BITS,
                    conflict: self.is_newer(path, host, ChangeKind::Removed),
                    ..self.found(path, ChangeKind::Removed, upper, Some(host))
                };
                out.push(found);
            }
            return Ok(Next::Told);
        }
        let kind = match host {
            None => ChangeKind::Added,
            Some(host) if is_directory(upper) && is_directory(host) => {
                match self.merged(path, (upper, host), out)? {
                    Next::Replaced => ChangeKind::Replaced,
                    next => return Ok(next),
                }
            }
            Some(host) if tree::kind(upper) != tree::kind(host) => ChangeKind::Replaced,
            // What cannot be compared may differ.
            Some(host) if self.is_same(path, upper, host).unwrap_or(false) => return Ok(Next::Told),
            Some(_) => ChangeKind::Modified,
        };
        out.push(Found {
            conflict: self.is_conflict(path, kind, (upper, host)),
            ..self.found(path, kind, upper, host)
        });
        if is_directory(upper) {
            self.parts(path, out)?;
        }
        Ok(Next::Told)
    }

    /// A directory on both sides: whether the copy's only adds to the host's.
    fn merged(&self, path: &[u8], (upper, host): (&Stat, &Stat), out: &mut Vec<Found>) -> io::Result<Next> {
        let refused = |because| {
            let refused = Some(because);
            Found { refused, ..self.found(path, ChangeKind::Mode, upper, Some(host)) }
        };
        let Some(open) = self.upper.open_directory(path)? else {
            out.push(refused(CLOSED));
            return Ok(Next::Told);
        };
        if is_opaque(&open) {
            return Ok(Next::Replaced);
        }
        if path.len() > MAX_DIRECTORY_BYTES {
            out.push(refused(TOO_LONG));
            return Ok(Next::Told);
        }
        let beside = match self.host.open_directory(path) {
            Ok(None) => {
                out.push(refused(HOST_CLOSED));
                return Ok(Next::Told);
            }
            // It was taken away meanwhile.
            Err(error) if tree::is_absent(&error) => None,
            beside => beside?,
        };
        if beside.as_ref().is_some_and(|beside| modes::differ(&open, beside).unwrap_or(true)) {
            let found = self.found(path, ChangeKind::Mode, upper, Some(host));
            let is_told = (upper.st_mode ^ host.st_mode) & MODE_BITS != 0 || found.owner.is_some();
            let note = (!is_told).then_some("its attributes (`user.*`, access lists) are others");
            out.push(Found { note, ..found });
        }
        Ok(Next::Both)
    }

    /// All below a directory that the host does not have so.
    fn parts(&self, whole: &[u8], out: &mut Vec<Found>) -> io::Result<()> {
        let mut waiting = vec![whole.to_vec()];
        while let Some(path) = waiting.pop() {
            if path.len() > MAX_DIRECTORY_BYTES {
                continue;
            }
            // What its maker has closed cannot be listed; that it cannot be applied is found when it is tried.
            let Some(open) = self.upper.open_directory(&path)? else { continue };
            for name in tree::names(&open)? {
                let inner = joined(&path, name.as_bytes());
                let Some(upper) = tree::status(&open, &name)?.filter(|upper| !is_whiteout(upper)) else {
                    continue;
                };
                let part_of = Some(whole.to_vec());
                out.push(Found { part_of, ..self.found(&inner, ChangeKind::Added, &upper, None) });
                if is_directory(&upper) {
                    waiting.push(inner);
                }
            }
        }
        Ok(())
    }

    fn is_conflict(&self, path: &[u8], kind: ChangeKind, (upper, host): (&Stat, Option<&Stat>)) -> bool {
        match host {
            Some(host) => self.is_newer(path, host, kind),
            None => self.was_removed(path, upper),
        }
    }

    /// A change that is no conflict.
    fn found(&self, path: &[u8], kind: ChangeKind, upper: &Stat, host: Option<&Stat>) -> Found {
        let special = match tree::kind(upper) {
            FileType::Socket => {
                Some("a socket means nothing without the process that made it; it is not applied")
            }
            FileType::CharacterDevice | FileType::BlockDevice if kind != ChangeKind::Removed => {
                Some("a device is not applied")
            }
            _ => None,
        };
        let note = if path.ends_with(b".git") && kind == ChangeKind::Added {
            Some("a repository: git on the host would run its hooks and obey its configuration")
        } else if upper.st_mode & SET_ID != 0 && tree::kind(upper) == FileType::RegularFile {
            Some("it would run as its owner; that bit is not applied")
        } else if is_directory(upper) && path.len() > MAX_DIRECTORY_BYTES {
            Some(UNLISTED)
        } else {
            None
        };
        Found {
            path: path.to_vec(),
            kind,
            what: what(upper),
            mode: upper.st_mode & MODE_BITS,
            owner: host
                .map(|_| Owner::of(upper))
                .filter(|owner| kind != ChangeKind::Removed && host.map(Owner::of) != Some(*owner)),
            part_of: None,
            host: host.map(Identity::of),
            conflict: false,
            note,
            refused: special,
        }
    }

    /// Whether the host has changed something since the copy was begun: there, or below where all of it is replaced. What cannot be looked
    /// at may have been.
    fn is_newer(&self, path: &[u8], host: &Stat, kind: ChangeKind) -> bool {
        let found = Identity::of(host);
        if !is_directory(host) {
            return self.known.is_newer_at(path, &found);
        }
        if self.known.is_newer(&found) {
            return true;
        }
        if !matches!(kind, ChangeKind::Removed | ChangeKind::Replaced) {
            return false;
        }
        let open = self.host.directory(path);
        open.and_then(|open| is_newer_below(open, &self.known)).unwrap_or(true)
    }

    /// Whether the host has removed what was copied from there: overlayfs notes of what it has copied that it has, also where a command
    /// has moved it since; then the directory on the host is as it was.
    fn was_removed(&self, path: &[u8], upper: &Stat) -> bool {
        if !self.was_copied(path, upper) {
            return false;
        }
        // Where the host has none it went with that.
        let Ok(Some(above)) = self.host.status(above(path)) else { return true };
        self.known.is_newer(&Identity::of(&above))
    }

    fn was_copied(&self, path: &[u8], upper: &Stat) -> bool {
        const ORIGIN: &str = "user.overlay.origin";
        let marked = |file: &dyn AsFd| rustix::fs::fgetxattr(file.as_fd(), ORIGIN, &mut [0; 0][..]).is_ok();
        match tree::kind(upper) {
            FileType::RegularFile => self.upper.file(path).is_ok_and(|file| marked(&file)),
            FileType::Directory => self.upper.directory(path).is_ok_and(|directory| marked(&directory)),
            _ => false,
        }
    }

    /// Whether nothing but times differs.
    fn is_same(&self, path: &[u8], upper: &Stat, host: &Stat) -> io::Result<bool> {
        let modes = (upper.st_mode ^ host.st_mode) & MODE_BITS == 0;
        let owners = Owner::of(upper) == Owner::of(host);
        match tree::kind(upper) {
            FileType::RegularFile => {
                Ok(modes && owners && upper.st_size == host.st_size && self.same_file(path)?)
            }
            FileType::Symlink => {
                Ok(owners && self.target(&self.upper, path)? == self.target(&self.host, path)?)
            }
            _ => Ok(modes && owners && upper.st_rdev == host.st_rdev),
        }
    }

    fn target(&self, tree: &Tree, path: &[u8]) -> io::Result<Vec<u8>> {
        let (parent, name) = tree.parent(path)?;
        Ok(readlinkat(&parent, name, Vec::new())?.into_bytes())
    }

    fn same_file(&self, path: &[u8]) -> io::Result<bool> {
        let (Ok(mut upper), Ok(mut host)) = (self.upper.file(path), self.host.file(path)) else {
            return Ok(false);
        };
        if attributes(&upper)? != attributes(&host)? {
            return Ok(false);
        }
        let (mut one, mut other) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
        loop {
            let read = upper.read(&mut one)?;
            if host.read_exact(&mut other[..read]).is_err() || one[..read] != other[..read] {
                return Ok(false);
            }
            if read == 0 {
                return Ok(true);
            }
        }
    }
}

/// What is to be looked at next for a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Nothing: it is told, or no change.
    Told,
    /// What is in it, on both sides: the copy's directory adds to the host's.
    Both,
    /// All that is in it: the copy's directory hides the host's.
    Replaced,
}

/// Whether the host has changed something below a directory, however deep.
fn is_newer_below(directory: OwnedFd, known: &Known) -> io::Result<bool> {
    let mut waiting = vec![tree::names(&directory)?];
    let mut way = Descent::new(directory);
    while let Some(rest) = waiting.last_mut() {
        let Some(name) = rest.pop() else {
            waiting.pop();
            way.leave()?;
            continue;
        };
        let Some(found) = tree::status(way.here(), &name)? else { continue };
        if known.is_newer(&Identity::of(&found)) {
            return Ok(true);
        }
        if is_directory(&found) {
            let below = tree::directory(way.here(), &name)?;
            waiting.push(tree::names(&below)?);
            way.enter(below)?;
        }
    }
    Ok(false)
}

/// The path of the directory in which something lies.
pub(super) fn above(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(&path[..0], |slash| &path[..slash])
}

pub(super) fn joined(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() }
}

fn what(stat: &Stat) -> What {
    match tree::kind(stat) {
        FileType::RegularFile => What::File,
        FileType::Directory => What::Directory,
        FileType::Symlink => What::Symlink,
        FileType::Fifo => What::Fifo,
        FileType::Socket => What::Socket,
        _ => What::Device,
    }
}
