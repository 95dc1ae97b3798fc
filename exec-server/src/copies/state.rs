//! Where a copy is kept: `copies/KEY` in Weir's directory, with `root`, `lock`, `begun`, `upper`, `work`, and what applying leaves there.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown,
};
use std::path::PathBuf;

use rustix::fs::{FlockOperation, OFlags, flock};
use weir_protocol::AbsPath;
use weir_protocol::method::policy::Standpoint;
use weir_sandbox_linux::mounts::Mounts;
use weir_sandbox_linux::survey::Kind;

use super::tree::{self, Tree};
use super::{CopyError, Of as _, journal, known};

/// The directory of all copies, in Weir's own.
const COPIES: &str = "copies";

/// Digits of a copy's name.
const KEY_DIGITS: usize = 32;

/// Files and directories of one copy.
const ROOT: &str = "root";
const LOCK: &str = "lock";
const BEGUN: &str = "begun";
const UPPER: &str = "upper";
const WORK: &str = "work";

/// What is to be removed; a name that no copy has.
const TRASH: &str = "trash";

/// The attribute of a directory that hides what the host has below it.
const OPAQUE: &str = "user.overlay.opaque";

/// A copy, and the paths in it that are meant; all where there are none.
pub(super) type Chosen = (State, Vec<AbsPath>);

/// All copies of one user.
#[derive(Debug)]
pub(super) struct Store {
    path: AbsPath,
}

/// One copy, held by this process alone.
#[derive(Debug)]
pub(super) struct State {
    root: AbsPath,
    path: AbsPath,
    _lock: File,
}

/// What was changed before is no change since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Begun(i64, i64);

impl Begun {
    pub(super) fn is_before(self, changed: (i64, u64)) -> bool {
        self < Self(changed.0, i64::try_from(changed.1).unwrap_or(i64::MAX))
    }
}

impl Store {
    /// Below Weir's directory, by its final name.
    pub(super) fn of(standpoint: &Standpoint) -> Self {
        let named = &standpoint.weir_home;
        let real = fs::canonicalize(named.as_path()).ok().and_then(|real| AbsPath::from_host(&real));
        let home = real.unwrap_or_else(|| named.clone());
        Self { path: home.join(COPIES).unwrap_or(home) }
    }

    pub(super) fn path(&self) -> &AbsPath {
        &self.path
    }

    /// Where the copy of a directory is kept.
    pub(super) fn place(&self, root: &AbsPath) -> AbsPath {
        let key: String = blake3::hash(root.as_bytes()).to_hex().chars().take(KEY_DIGITS).collect();
        self.path.join(&key).unwrap_or_else(|_| self.path.clone())
    }

    /// Makes the directory of all copies, where only this user may.
    pub(super) fn make(&self) -> Result<(), CopyError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(self.path.as_path()).of(&self.path)?;
        self.check()
    }

    /// Nobody else can have put something there.
    fn check(&self) -> Result<(), CopyError> {
        let own = rustix::process::geteuid().as_raw();
        for place in [self.path.parent(), Some(self.path.clone())].into_iter().flatten() {
            let found = fs::symlink_metadata(place.as_path()).of(&place)?;
            if !found.is_dir() || found.uid() != own || found.mode() & 0o022 != 0 {
                return Err(CopyError::NotOwn { place });
            }
        }
        Ok(())
    }

    /// Takes the copy of a directory, and begins it where there is none, or nothing in it.
    pub(super) fn begin(&self, root: &AbsPath) -> Result<State, CopyError> {
        let path = self.place(root);
        let inside = |name: &str| path.as_path().join(name);
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        for directory in [path.as_path().to_owned(), inside(UPPER), inside(WORK)] {
            match builder.create(directory) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made.of(root)?,
            }
        }
        let state = State::lock(root, &path)?;
        if journal::recover(&state)? {
            return Err(CopyError::Unfinished { root: root.clone() });
        }
        if state.is_empty().of(root)? {
            state.renew().of(root)?;
        }
        Ok(state)
    }

    /// The roots of all copies.
    fn roots(&self) -> Vec<AbsPath> {
        let entries = fs::read_dir(self.path.as_path()).into_iter().flatten().flatten();
        let texts = entries.filter_map(|entry| fs::read(entry.path().join(ROOT)).ok());
        let mut roots: Vec<AbsPath> = texts.filter_map(|bytes| AbsPath::parse(bytes).ok()).collect();
        roots.sort();
        roots
    }

    /// The copies that are meant, each with the paths in it.
    pub(super) fn choose(&self, cwd: &AbsPath, paths: &[AbsPath]) -> Result<Vec<Chosen>, CopyError> {
        let roots = self.roots();
        if !roots.is_empty() {
            self.check()?;
        }
        let around = |root: &AbsPath, path: &AbsPath| path.starts_with(root);
        if let Some(path) =
            paths.iter().find(|path| !roots.iter().any(|root| around(root, path) || around(path, root)))
        {
            return Err(CopyError::NoCopy { path: path.clone() });
        }
        let mut chosen = Vec::new();
        for root in roots {
            let inside: Vec<AbsPath> =
                paths.iter().filter(|path| around(&root, path) || around(path, &root)).cloned().collect();
            if if paths.is_empty() { around(&root, cwd) || around(cwd, &root) } else { !inside.is_empty() } {
                chosen.push((State::lock(&root, &self.place(&root))?, inside));
            }
        }
        Ok(chosen)
    }
}

impl State {
    fn lock(root: &AbsPath, path: &AbsPath) -> Result<Self, CopyError> {
        let flags = OFlags::NOFOLLOW.bits().cast_signed();
        let mut options = File::options();
        let lock = options.write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
        let lock = lock.open(path.as_path().join(LOCK)).of(root)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(CopyError::InUse { root: root.clone() }),
            locked => locked.of(root)?,
        }
        Ok(Self { root: root.clone(), path: path.clone(), _lock: lock })
    }

    pub(super) fn root(&self) -> &AbsPath {
        &self.root
    }

    /// What it says of itself makes no sense.
    pub(super) fn damaged(&self, source: serde_json::Error) -> CopyError {
        CopyError::Damaged { root: self.root.clone(), source }
    }

    pub(super) fn inside(&self, name: &str) -> PathBuf {
        self.path.as_path().join(name)
    }

    /// The upper layer.
    ///
    /// A command can have changed the mode of its top, which is never applied, so that its owner cannot look into it.
    pub(super) fn upper(&self) -> io::Result<Tree> {
        const LOOK: u32 = 0o500;
        let upper = self.inside(UPPER);
        let mode = fs::symlink_metadata(&upper)?.mode() & 0o7777;
        if mode & LOOK != LOOK {
            fs::set_permissions(&upper, fs::Permissions::from_mode(mode | LOOK))?;
        }
        Tree::open(&upper)
    }

    /// What the host has.
    pub(super) fn host(&self) -> io::Result<Tree> {
        Tree::open(self.root.as_path())
    }

    /// The copy's own directory.
    pub(super) fn own(&self) -> io::Result<Tree> {
        Tree::open(self.path.as_path())
    }

    /// When it was begun, by the clock of its file system.
    pub(super) fn begun(&self) -> io::Result<Begun> {
        let found = fs::symlink_metadata(self.inside(BEGUN))?;
        Ok(Begun(found.ctime(), found.ctime_nsec()))
    }

    fn is_empty(&self) -> io::Result<bool> {
        Ok(tree::names(self.upper()?)?.is_empty())
    }

    /// Begins it: from now on a change on the host is one that no command here has seen. The top of the upper layer is what a command
    /// sees as the root's mode and owner.
    fn renew(&self) -> io::Result<()> {
        let host = fs::symlink_metadata(self.root.as_path())?;
        let upper = self.inside(UPPER);
        let found = fs::symlink_metadata(&upper)?;
        if (host.uid(), host.gid()) != (found.uid(), found.gid()) {
            // Whoever may not give it away sees it as its own; what is inside keeps its owners.
            let _ = chown(&upper, Some(host.uid()), Some(host.gid()));
        }
        fs::set_permissions(&upper, fs::Permissions::from_mode(host.mode() & 0o7777))?;
        journal::forget_applied(self)?;
        known::forget(self)?;
        File::create(self.inside(ROOT))?.write_all(self.root.as_bytes())?;
        let _ = fs::remove_file(self.inside(BEGUN));
        File::create_new(self.inside(BEGUN))?;
        Ok(())
    }

    /// Whether there is something at a path on either side, as far as can be told.
    pub(super) fn has(&self, path: &AbsPath) -> bool {
        let Some(below) = super::look::below(&self.root, path) else { return self.root.starts_with(path) };
        let is_there = |side: io::Result<Tree>| {
            !side.and_then(|side| side.status(below)).is_ok_and(|found| found.is_none())
        };
        below.is_empty() || is_there(self.upper()) || is_there(self.host())
    }

    /// What a command sees at a path, where the upper layer says something about it.
    pub(super) fn kind(&self, path: &AbsPath) -> Option<Kind> {
        let upper = self.upper().ok()?;
        let below = super::look::below(&self.root, path)?;
        let mut hidden = None;
        for end in
            below.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at).chain([below.len()])
        {
            let Some(found) = upper.status(&below[..end]).ok()? else { return hidden };
            if tree::is_whiteout(&found) {
                return Some(Kind::Missing);
            }
            if end == below.len() {
                return Some(kind(&found));
            }
            if !tree::is_directory(&found) {
                return Some(if kind(&found) == Kind::Symlink { Kind::Symlink } else { Kind::Missing });
            }
            if is_opaque(&upper.directory(&below[..end]).ok()?) {
                hidden = Some(Kind::Missing);
            }
        }
        hidden
    }

    /// Removes it where nothing is changed.
    pub(super) fn forget_empty(self) -> io::Result<()> {
        if self.is_empty()? { self.forget() } else { Ok(()) }
    }

    /// Removes it: at once from among the copies, then whatever it holds.
    pub(super) fn forget(self) -> io::Result<()> {
        let Some(store) = self.path.parent() else { return Ok(()) };
        let store = Tree::open(store.as_path())?;
        let name = self.path.file_name().map(std::ffi::OsStr::from_bytes).unwrap_or_default();
        let trash = [name.as_bytes(), b".", TRASH.as_bytes()].concat();
        let trash = std::ffi::OsStr::from_bytes(&trash);
        tree::remove(store.as_fd(), trash)?;
        rustix::fs::renameat(store.as_fd(), name, store.as_fd(), trash)?;
        tree::remove(store.as_fd(), trash)
    }
}

pub(super) fn is_opaque(directory: impl std::os::fd::AsFd) -> bool {
    let mut value = [0; 1];
    rustix::fs::fgetxattr(directory, OPAQUE, &mut value).is_ok_and(|length| length == 1) && value == *b"y"
}

fn kind(found: &rustix::fs::Stat) -> Kind {
    use rustix::fs::FileType;
    match tree::kind(found) {
        FileType::Directory => Kind::Directory,
        FileType::RegularFile => Kind::File,
        FileType::Symlink => Kind::Symlink,
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        _ => Kind::Device,
    }
}

/// Nothing may be mounted inside a root: the overlay would show what lies beneath.
pub(super) fn check_mounts(root: &AbsPath) -> Result<(), CopyError> {
    let table = fs::read("/proc/self/mountinfo").of(root)?;
    match Mounts::of(&table).points().find(|place| place != root && place.starts_with(root)) {
        Some(below) => Err(CopyError::Mounted { root: root.clone(), below }),
        None => Ok(()),
    }
}
