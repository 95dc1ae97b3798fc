//! `file/copy` and `file/move`.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use rustix::fs::{CWD, Mode, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;
use weir_protocol::AbsPath;
use weir_protocol::method::file::{Copy, Done, Existing, Extent, MAX_VISITED, Move};
use weir_protocol::policy::Operation;

use super::worker::{Worker, too_large};
use super::write::{create, replace};
use super::{Fault, On as _, Outcome, failure};

/// Bytes copied before it is looked whether the call was called off.
const STEP_BYTES: u64 = 64 << 20;

/// Permission bits that are copied.
const PERMISSIONS: u32 = 0o777;

/// One copy under way.
struct Copying<'a> {
    existing: Existing,
    /// Permission bits that a copy has where its source has them.
    kept: u32,
    visited: u64,
    worker: &'a Worker,
    /// Directories whose permissions are set when everything is in them.
    directories: Vec<(AbsPath, u32)>,
}

pub(super) fn copy(ask: &Copy, worker: &Worker) -> Outcome<Done> {
    let (from, to) = (&ask.from, &ask.to);
    let found = fs::metadata(from.as_path()).reading(from)?;
    let mut copying = Copying::new(ask.existing, PERMISSIONS & !umask(), worker);
    if found.is_dir() {
        if ask.extent == Extent::One {
            return Err(Fault::System(libc::EISDIR)).reading(from);
        }
        copying.tree(from, to)?;
    } else {
        copying.file(from, to)?;
    }
    Ok(Done {})
}

/// The process's own, which can only be read by setting it; nothing else runs meanwhile.
fn umask() -> u32 {
    let now = rustix::process::umask(Mode::from_bits_truncate(0o077));
    rustix::process::umask(now);
    now.bits()
}

pub(super) fn rename(ask: &Move, worker: &Worker) -> Outcome<Done> {
    let (from, to) = (&ask.from, &ask.to);
    let found = fs::symlink_metadata(from.as_path()).writing(from)?;
    if fs::symlink_metadata(to.as_path()).is_ok_and(|there| there.is_dir()) {
        return Err(Fault::System(libc::EISDIR)).writing(to);
    }
    worker.check_name(from).writing(from)?;
    worker.check_name(to).writing(to)?;
    match move_name(ask) {
        Ok(()) => return Ok(Done {}),
        Err(Errno::XDEV) => {}
        Err(errno) => {
            // The kernel does not say which of the two it means.
            let mut failure = failure(errno.into(), to, Operation::Write);
            failure.also = vec![super::real(from)];
            return Err(failure);
        }
    }
    let is_new = fs::symlink_metadata(to.as_path()).is_err();
    let mut copying = Copying::new(ask.existing, PERMISSIONS, worker);
    let copied = copying.entry(from, to).and_then(|()| remove(from, found.is_dir()).writing(from));
    if copied.is_err() && is_new && !found.is_dir() {
        // The failure that led here is told. A tree that was removed in part is nowhere else, and stays.
        let _ = remove(to, false);
    }
    copied.map(|()| Done {})
}

fn remove(path: &AbsPath, is_directory: bool) -> io::Result<()> {
    if is_directory { fs::remove_dir_all(path.as_path()) } else { fs::remove_file(path.as_path()) }
}

fn move_name(ask: &Move) -> Result<(), Errno> {
    let (from, to) = (ask.from.as_path(), ask.to.as_path());
    let flags = match ask.existing {
        Existing::Keep => RenameFlags::NOREPLACE,
        Existing::Replace => RenameFlags::empty(),
    };
    match renameat_with(CWD, from, CWD, to, flags) {
        // A file system that cannot do so at once.
        Err(Errno::INVAL) if ask.existing == Existing::Keep => match fs::symlink_metadata(to) {
            Ok(_) => Err(Errno::EXIST),
            Err(_) => rustix::fs::rename(from, to),
        },
        moved => moved,
    }
}

impl<'a> Copying<'a> {
    const fn new(existing: Existing, kept: u32, worker: &'a Worker) -> Self {
        Self { existing, kept, visited: 0, worker, directories: Vec::new() }
    }

    /// Whatever it is, itself.
    fn entry(&mut self, from: &AbsPath, to: &AbsPath) -> Outcome<()> {
        self.visit(from)?;
        let kind = fs::symlink_metadata(from.as_path()).reading(from)?.file_type();
        if kind.is_dir() {
            self.tree(from, to)
        } else if kind.is_symlink() {
            self.symlink(from, to)
        } else {
            self.file(from, to)
        }
    }

    fn visit(&mut self, path: &AbsPath) -> Outcome<()> {
        self.worker.check().reading(path)?;
        self.visited += 1;
        if self.visited > MAX_VISITED {
            return Err(too_large(self.visited, "files and directories", MAX_VISITED)).reading(path);
        }
        Ok(())
    }

    fn tree(&mut self, from: &AbsPath, to: &AbsPath) -> Outcome<()> {
        if super::real(to).starts_with(&super::real(from)) {
            // A copy inside itself has no end.
            return Err(Fault::System(libc::EINVAL)).writing(to);
        }
        let mut waiting = vec![(from.clone(), to.clone())];
        while let Some((from, to)) = waiting.pop() {
            self.directory(&from, &to)?;
            for entry in fs::read_dir(from.as_path()).reading(&from)? {
                let name = entry.reading(&from)?.file_name();
                let join = |path: &AbsPath| {
                    path.join(name.as_bytes()).map_err(|_| Fault::System(libc::ENAMETOOLONG))
                };
                let pair = (join(&from).reading(&from)?, join(&to).writing(&to)?);
                let is_directory = fs::symlink_metadata(pair.0.as_path()).is_ok_and(|found| found.is_dir());
                if is_directory {
                    self.visit(&pair.0)?;
                    waiting.push(pair);
                } else {
                    self.entry(&pair.0, &pair.1)?;
                }
            }
        }
        while let Some((directory, mode)) = self.directories.pop() {
            let permissions = Permissions::from_mode(mode & self.kept);
            fs::set_permissions(directory.as_path(), permissions).writing(&directory)?;
        }
        Ok(())
    }

    fn directory(&mut self, from: &AbsPath, to: &AbsPath) -> Outcome<()> {
        let mode = fs::metadata(from.as_path()).reading(from)?.mode();
        match fs::create_dir(to.as_path()) {
            Ok(()) => self.directories.push((to.clone(), mode)),
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists
                    && self.existing == Existing::Replace
                    && fs::symlink_metadata(to.as_path()).is_ok_and(|there| there.is_dir()) => {}
            Err(error) => return Err(error).writing(to),
        }
        Ok(())
    }

    fn symlink(&self, from: &AbsPath, to: &AbsPath) -> Outcome<()> {
        let target = fs::read_link(from.as_path()).reading(from)?;
        let there = fs::symlink_metadata(to.as_path()).ok().filter(|there| !there.is_dir());
        if self.existing == Existing::Replace && there.is_some() {
            fs::remove_file(to.as_path()).writing(to)?;
        }
        symlink(target, to.as_path()).writing(to)
    }

    fn file(&self, from: &AbsPath, to: &AbsPath) -> Outcome<()> {
        let source = self.worker.open(from, OFlags::RDONLY).reading(from)?;
        let mode = source.metadata().reading(from)?.mode() & self.kept;
        let fill = |target: &File| self.fill(&source, target);
        match (self.existing, fs::metadata(to.as_path())) {
            (Existing::Replace, Ok(_)) => replace(self.worker, to, None, fill).map(drop),
            _ => create(self.worker, to, Some(mode), fill),
        }
        .writing(to)
    }

    fn fill(&self, source: &File, mut target: &File) -> Result<(), Fault> {
        loop {
            self.worker.check()?;
            if io::copy(&mut source.take(STEP_BYTES), &mut target)? < STEP_BYTES {
                return Ok(());
            }
        }
    }
}
