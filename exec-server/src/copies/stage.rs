//! What a place is to become, made anew beside it: content, mode, owner, times, attributes. Nothing is visible under its own name yet.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, SeekFrom, Stat, XattrFlags, chownat, fchmod, fchown, flistxattr,
    fsetxattr, fstat, futimens, linkat, mkdirat, mknodat, openat, readlinkat, seek, symlinkat, utimensat,
};
use rustix::io::Errno;

use super::descent::Descent;
use super::look::{MAX_DIRECTORY_BYTES, MODE_BITS, SET_ID, joined};
use super::tree::{self, Owner, Tree};

/// Most bytes of the names of a file's attributes, and of one value (xattr(7)).
const MAX_ATTRIBUTE_BYTES: usize = 64 << 10;

/// Attributes of overlayfs itself.
const OWN: &[u8] = b"user.overlay.";

/// Attributes that mean the same elsewhere: those of programs, and access lists.
const KEPT: [&[u8]; 2] = [b"user.", b"system.posix_acl_"];

/// The attributes of a file that are part of it.
pub(super) fn attributes(file: impl AsFd) -> io::Result<BTreeMap<OsString, Vec<u8>>> {
    let mut names = vec![0; MAX_ATTRIBUTE_BYTES];
    let length = match flistxattr(&file, &mut names) {
        // A file system without any.
        Err(Errno::OPNOTSUPP) => 0,
        length => length?,
    };
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let kept = names.filter(|name| KEPT.iter().any(|kept| name.starts_with(kept)) && !name.starts_with(OWN));
    let mut out = BTreeMap::new();
    for name in kept {
        let name = OsStr::from_bytes(name);
        let mut value = vec![0; MAX_ATTRIBUTE_BYTES];
        let length = rustix::fs::fgetxattr(&file, name, &mut value)?;
        value.truncate(length);
        out.insert(name.to_owned(), value);
    }
    Ok(out)
}

/// Everything that one act of applying makes.
#[derive(Debug)]
pub(super) struct Staging<'a> {
    host: &'a Tree,
    /// Files with several names, by what they are in the copy. The first of each was made here.
    linked: HashMap<(u64, u64), Made>,
}

/// Where a file was made: no directory is kept open for it.
#[derive(Debug)]
struct Made {
    /// The directory, below what the host has.
    above: Vec<u8>,
    name: OsString,
    /// Its device, and its number there.
    number: (u64, u64),
}

/// A place of a copy, and where it is made anew.
pub(super) struct Place<'a> {
    /// The directory in the copy.
    pub(super) from: BorrowedFd<'a>,
    /// Its name there.
    pub(super) name: &'a OsStr,
    /// The directory on the host.
    pub(super) to: BorrowedFd<'a>,
    /// The same, by its path below what the host has.
    pub(super) above: &'a [u8],
    /// Its name there.
    pub(super) new: &'a OsStr,
}

impl<'a> Staging<'a> {
    pub(super) fn new(host: &'a Tree) -> Self {
        Self { host, linked: HashMap::new() }
    }

    /// Makes a place of the copy anew, and sees that it is on the disk.
    pub(super) fn make(&mut self, place: &Place<'_>) -> io::Result<()> {
        match tree::status(place.from, place.name)? {
            None => Err(io::ErrorKind::NotFound.into()),
            Some(found) if tree::is_directory(&found) => self.directory(place),
            Some(found) => self.leaf(place, &found),
        }
    }

    /// A directory with all below it, however deep that is.
    fn directory(&mut self, place: &Place<'_>) -> io::Result<()> {
        let mut from = Descent::new(tree::directory(place.from, place.name)?);
        mkdirat(place.to, place.new, Mode::RWXU)?;
        let mut to = Descent::new(tree::directory(place.to, place.new)?);
        let mut above = joined(place.above, place.new.as_bytes());
        // Of each directory on the way: what is still to be made in it, and how long the path of the one above it is.
        let mut waiting = vec![(tree::names(from.here())?, above.len())];
        while let Some((rest, length)) = waiting.last_mut() {
            let Some(name) = rest.pop() else {
                above.truncate(*length);
                waiting.pop();
                // Before it gets a mode that may close the way up.
                from.open_above()?;
                to.open_above()?;
                finish(to.here(), from.here(), &fstat(from.here())?, MODE_BITS)?;
                rustix::fs::fsync(to.here())?;
                from.leave()?;
                to.leave()?;
                continue;
            };
            let Some(found) = tree::status(from.here(), &name)? else { continue };
            if tree::is_directory(&found) {
                let below = tree::directory(from.here(), &name)?;
                waiting.push((tree::names(&below)?, above.len()));
                from.enter(below)?;
                mkdirat(to.here(), &name, Mode::RWXU)?;
                let below = tree::directory(to.here(), &name)?;
                to.enter(below)?;
                above.extend([b"/", name.as_bytes()].concat());
            } else if !tree::is_whiteout(&found) {
                let inner =
                    Place { from: from.here(), name: &name, to: to.here(), above: &above, new: &name };
                self.leaf(&inner, &found)?;
            }
        }
        Ok(())
    }

    fn leaf(&mut self, place: &Place<'_>, found: &Stat) -> io::Result<()> {
        match tree::kind(found) {
            FileType::RegularFile => self.file(place, found),
            FileType::Symlink => {
                let target = readlinkat(place.from, place.name, Vec::new())?;
                symlinkat(target.as_c_str(), place.to, place.new)?;
                own(place, found)
            }
            FileType::Fifo => {
                let mode = Mode::from_bits_truncate(found.st_mode & MODE_BITS);
                mknodat(place.to, place.new, FileType::Fifo, mode, 0)?;
                rustix::fs::chmodat(place.to, place.new, mode, AtFlags::empty())?;
                own(place, found)
            }
            _ => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "it is a socket or a device, which is not applied",
            )),
        }
    }

    fn file(&mut self, place: &Place<'_>, found: &Stat) -> io::Result<()> {
        let known = (found.st_dev, found.st_ino);
        if found.st_nlink > 1 && self.link(known, place)? {
            return Ok(());
        }
        let mut source = tree::file(place.from, place.name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(place.to, place.new, flags, Mode::RUSR | Mode::WUSR)?);
        content(&mut source, &mut file)?;
        finish(&file, &source, found, MODE_BITS & !SET_ID)?;
        file.sync_all()?;
        if found.st_nlink > 1 && place.above.len() <= MAX_DIRECTORY_BYTES {
            let made = fstat(&file)?;
            let made = Made {
                above: place.above.to_vec(),
                name: place.new.to_owned(),
                number: (made.st_dev, made.st_ino),
            };
            self.linked.insert(known, made);
        }
        Ok(())
    }

    /// Whether a file has been made, of which this is a further name now. On another file system, or on one without links, it is a file of its own.
    fn link(&self, known: (u64, u64), place: &Place<'_>) -> io::Result<bool> {
        let Some(made) = self.linked.get(&known) else { return Ok(false) };
        let Ok(parent) = self.host.directory(&made.above) else { return Ok(false) };
        if linkat(parent, &made.name, place.to, place.new, AtFlags::empty()).is_err() {
            return Ok(false);
        }
        if tree::status(place.to, place.new)?.is_some_and(|found| (found.st_dev, found.st_ino) == made.number)
        {
            return Ok(true);
        }
        // Somebody has put another one there meanwhile.
        rustix::fs::unlinkat(place.to, place.new, AtFlags::empty())?;
        Ok(false)
    }
}

/// Copies what a file holds. Where it holds nothing, neither does the new one (lseek(2), "Seeking file data and holes").
fn content(source: &mut File, new: &mut File) -> io::Result<()> {
    let mut at = 0;
    loop {
        // Asked first: what is written behind it from now on is not taken for a hole.
        let end = source.metadata()?.len();
        let data = match seek(&*source, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => return new.set_len(end),
            data => data.and_then(|data| Ok((data, seek(&*source, SeekFrom::Hole(data))?))),
        };
        let from = data.map_or(at, |(data, _)| data);
        seek(&*source, SeekFrom::Start(from))?;
        seek(&*new, SeekFrom::Start(from))?;
        let Ok((_, hole)) = data else {
            // A file system that cannot tell.
            return io::copy(source, new).map(drop);
        };
        at = from + io::copy(&mut (&*source).take(hole - from), new)?;
    }
}

/// Owner, mode, attributes and times, in the order in which none undoes another.
fn finish(new: impl AsFd, source: impl AsFd, found: &Stat, bits: u32) -> io::Result<()> {
    Owner::of(found).give(&fstat(&new)?, |uid, gid| fchown(&new, uid, gid))?;
    for (name, value) in attributes(&source)? {
        fsetxattr(&new, &name, &value, XattrFlags::empty())?;
    }
    fchmod(&new, Mode::from_bits_truncate(found.st_mode & bits))?;
    Ok(futimens(&new, &tree::times(found))?)
}

/// The same of what cannot be opened.
fn own(place: &Place<'_>, found: &Stat) -> io::Result<()> {
    let Some(made) = tree::status(place.to, place.new)? else { return Err(io::ErrorKind::NotFound.into()) };
    let given = |uid, gid| chownat(place.to, place.new, uid, gid, AtFlags::SYMLINK_NOFOLLOW);
    Owner::of(found).give(&made, given)?;
    Ok(utimensat(place.to, place.new, &tree::times(found), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// A name as bytes, for the journal.
pub(super) fn name(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}
