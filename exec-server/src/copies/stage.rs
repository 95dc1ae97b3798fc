//! What a place is to become, made anew beside it: content, mode, owner, times, attributes. Nothing is visible under its own name yet.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, XattrFlags, chownat, fchmod, fchown, flistxattr, fsetxattr, fstat,
    futimens, linkat, mkdirat, mknodat, openat, readlinkat, symlinkat, utimensat,
};

use super::look::{MODE_BITS, SET_ID};
use super::tree::{self, MAX_DEPTH, Owner};

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
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
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
#[derive(Debug, Default)]
pub(super) struct Staging {
    /// Files with several names, by what they are in the copy, and where the first was made.
    linked: HashMap<(u64, u64), (OwnedFd, OsString)>,
}

/// A place of a copy, and where it is made anew.
struct Place<'a> {
    from: BorrowedFd<'a>,
    name: &'a OsStr,
    to: BorrowedFd<'a>,
    new: &'a OsStr,
}

impl Staging {
    /// Makes what is at `name` in a directory of the copy at `new` in another directory, and sees that it is on the disk.
    pub(super) fn make(
        &mut self,
        from: BorrowedFd<'_>,
        name: &OsStr,
        to: BorrowedFd<'_>,
        new: &OsStr,
    ) -> io::Result<()> {
        self.place(&Place { from, name, to, new }, 0)
    }

    fn place(&mut self, place: &Place<'_>, depth: usize) -> io::Result<()> {
        let Some(found) = tree::status(place.from, place.name)? else {
            return Err(io::ErrorKind::NotFound.into());
        };
        match tree::kind(&found) {
            FileType::RegularFile => self.file(place, &found),
            FileType::Directory if depth < MAX_DEPTH => self.directory(place, depth),
            FileType::Symlink => {
                let target = readlinkat(place.from, place.name, Vec::new())?;
                symlinkat(target.as_c_str(), place.to, place.new)?;
                own(place, &found)
            }
            FileType::Fifo => {
                let mode = Mode::from_bits_truncate(found.st_mode & MODE_BITS);
                mknodat(place.to, place.new, FileType::Fifo, mode, 0)?;
                rustix::fs::chmodat(place.to, place.new, mode, AtFlags::empty())?;
                own(place, &found)
            }
            _ => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "it is a socket or a device, which is not applied",
            )),
        }
    }

    fn file(&mut self, place: &Place<'_>, found: &Stat) -> io::Result<()> {
        let known = (found.st_dev, found.st_ino);
        if let Some((parent, name)) = self.linked.get(&known).filter(|_| found.st_nlink > 1) {
            // Another file system, or one without links: then it is a file of its own.
            if linkat(parent, name, place.to, place.new, AtFlags::empty()).is_ok() {
                return Ok(());
            }
        }
        let mut source = tree::file(place.from, place.name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(place.to, place.new, flags, Mode::RUSR | Mode::WUSR)?);
        io::copy(&mut source, &mut file)?;
        finish(&file, &source, found, MODE_BITS & !SET_ID)?;
        file.sync_all()?;
        if found.st_nlink > 1 {
            let parent = place.to.try_clone_to_owned()?;
            self.linked.insert(known, (parent, place.new.to_owned()));
        }
        Ok(())
    }

    fn directory(&mut self, place: &Place<'_>, depth: usize) -> io::Result<()> {
        let from = tree::directory(place.from, place.name)?;
        mkdirat(place.to, place.new, Mode::RWXU)?;
        let to = tree::directory(place.to, place.new)?;
        for name in tree::names(&from)? {
            let Some(found) = tree::status(&from, &name)? else { continue };
            if !tree::is_whiteout(&found) {
                self.place(
                    &Place { from: from.as_fd(), name: &name, to: to.as_fd(), new: &name },
                    depth + 1,
                )?;
            }
        }
        finish(&to, &from, &fstat(&from)?, MODE_BITS)?;
        Ok(rustix::fs::fsync(&to)?)
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
