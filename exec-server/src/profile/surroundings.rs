//! What a profile is resolved against: directories of the caller and the symbolic links of the host.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ffi::{CString, OsString};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use nix::fcntl::OFlag;
use rustix::fs::{CWD, Mode, OFlags, open, readlinkat};
use rustix::io::Errno;
use weir_protocol::AbsPath;

/// Most symbolic links followed in one path, as the kernel does (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// The path without symbolic links; components that do not exist are kept as written.
    pub real: AbsPath,
    /// The symbolic links on the way, by their own resolved names.
    pub links: Vec<AbsPath>,
}

/// The part of the file system that resolving asks about, one name at a time.
pub trait Terrain {
    /// What is at `name`, whose parent holds no links.
    fn look(&self, name: &AbsPath) -> Look;

    /// Whether there is something at `name`.
    fn exists(&self, name: &AbsPath) -> bool;

    /// Whether there is a directory at `name` itself, not behind a link.
    fn is_directory(&self, name: &AbsPath) -> bool;

    /// The content of the regular file at `name` itself, not behind a link, if it has at most [`MAX_SMALL_FILE_BYTES`].
    fn read_small(&self, name: &AbsPath) -> Option<Vec<u8>>;

    /// The directories in the directory `name` itself, not behind a link, in order; of more than [`MAX_LISTED`] names some are left out. None where
    /// that cannot be asked.
    fn directories(&self, name: &AbsPath) -> Vec<AbsPath> {
        let _ = name;
        Vec::new()
    }
}

/// Most names of a directory that are looked at while resolving.
pub const MAX_LISTED: usize = 1024;

/// What is at a name, as far as following paths goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// A symbolic link, and what it holds.
    Link(PathBuf),
    /// Something else, or something that cannot be looked at.
    Other,
    /// Nothing, so that nothing can be below it.
    Missing,
}

/// Most bytes of a file that is read while resolving: a path, and a word before it.
pub const MAX_SMALL_FILE_BYTES: u64 = 4200;

/// The caller's directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// The home directory.
    pub home: AbsPath,
    /// The working directory.
    pub cwd: AbsPath,
    /// Directories named as project roots; the working directory where none is named.
    pub project_roots: Vec<AbsPath>,
    /// What `TMPDIR` names, if it is set and absolute.
    pub tmpdir: Option<AbsPath>,
    /// Weir's own directory, out of reach for every command.
    pub weir_home: AbsPath,
    /// Home directories of others that the caller's rights may reach; only for root.
    pub other_homes: Vec<AbsPath>,
}

/// Home directories other than `home` that the caller's rights reach: for root those of all users; for everyone else, whom the files' own modes
/// hold back from those, the user's own, where `HOME` names another.
#[must_use]
pub fn other_homes(home: &AbsPath) -> Vec<AbsPath> {
    let uid = nix::unistd::geteuid();
    let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of = |line: &str| {
        let mut fields = line.split(':').skip(2);
        let owner = fields.next()?.parse::<u32>().ok()?;
        let at = AbsPath::parse(fields.nth(2)?).ok()?;
        let is_home = at.as_bytes().starts_with(b"/home/") || at.as_bytes() == b"/root";
        (if uid.is_root() { is_home } else { owner == uid.as_raw() }).then_some(at)
    };
    let mut homes: Vec<_> = text.lines().filter_map(of).filter(|other| other != home).collect();
    homes.sort();
    homes.dedup();
    homes
}

/// The real file system. Most rules name many things in few directories: one of which two are asked for is kept open for the next.
#[derive(Debug, Default)]
pub struct Host {
    last: RefCell<Option<Last>>,
}

/// A directory that names are looked up in need not be readable, where there is a word for that.
#[cfg(target_os = "linux")]
const LOOKED_UP: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const LOOKED_UP: OFlags = OFlags::RDONLY;

/// The directory of the name that was looked at last.
#[derive(Debug)]
struct Last {
    path: AbsPath,
    open: Option<OwnedFd>,
}

impl Host {
    /// What the link `name` holds, asked of its directory where that is known.
    fn link(&self, name: &AbsPath) -> Result<CString, Errno> {
        let whole = || readlinkat(CWD, name.as_path(), Vec::new());
        let (Some(parent), Some(own)) = (name.parent(), name.file_name()) else { return whole() };
        let mut last = self.last.borrow_mut();
        let Some(last) = last.as_mut().filter(|last| last.path == parent) else {
            *last = Some(Last { path: parent, open: None });
            return whole();
        };
        if last.open.is_none() {
            let flags = LOOKED_UP | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            last.open = open(parent.as_path(), flags, Mode::empty()).ok();
        }
        last.open.as_ref().map_or_else(whole, |open| readlinkat(open, own, Vec::new()))
    }
}

impl Terrain for Host {
    fn look(&self, name: &AbsPath) -> Look {
        match self.link(name) {
            Ok(target) => Look::Link(OsString::from_vec(target.into_bytes()).into()),
            Err(Errno::NOENT) => Look::Missing,
            Err(_) => Look::Other,
        }
    }

    fn exists(&self, name: &AbsPath) -> bool {
        name.as_path().symlink_metadata().is_ok()
    }

    fn is_directory(&self, name: &AbsPath) -> bool {
        name.as_path().symlink_metadata().is_ok_and(|found| found.is_dir())
    }

    fn read_small(&self, name: &AbsPath) -> Option<Vec<u8>> {
        // A pipe must not hang the resolver, nor a link lead it astray, whenever it came.
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file =
            std::fs::File::options().read(true).custom_flags(flags.bits()).open(name.as_path()).ok()?;
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        let mut text = Vec::new();
        let read = file.take(MAX_SMALL_FILE_BYTES + 1).read_to_end(&mut text).ok()?;
        (read as u64 <= MAX_SMALL_FILE_BYTES).then_some(text)
    }

    fn directories(&self, name: &AbsPath) -> Vec<AbsPath> {
        if !self.is_directory(name) {
            return Vec::new();
        }
        let entries = std::fs::read_dir(name.as_path()).into_iter().flatten().flatten().take(MAX_LISTED);
        let entries = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let mut found: Vec<_> =
            entries.filter_map(|entry| name.join(entry.file_name().as_bytes()).ok()).collect();
        found.sort();
        found
    }
}

/// A file system made of symbolic links and directories alone, for tests and for answers about another host.
#[derive(Debug, Clone, Default)]
pub struct Links(pub BTreeMap<AbsPath, PathBuf>);

impl Terrain for Links {
    fn look(&self, name: &AbsPath) -> Look {
        self.0.get(name).cloned().map_or(Look::Other, Look::Link)
    }

    fn exists(&self, _: &AbsPath) -> bool {
        true
    }

    fn is_directory(&self, _: &AbsPath) -> bool {
        true
    }

    fn read_small(&self, _: &AbsPath) -> Option<Vec<u8>> {
        None
    }
}

/// Follows paths, asking about each name once.
#[derive(Debug)]
pub struct Walker<'t, T> {
    terrain: &'t T,
    /// By real names: what is above each holds no link. Rules share most of their way.
    known: HashMap<Box<[u8]>, Look>,
}

impl<'t, T: Terrain> Walker<'t, T> {
    /// A walker that knows nothing yet.
    #[must_use]
    pub fn new(terrain: &'t T) -> Self {
        Self { terrain, known: HashMap::new() }
    }

    /// Whether there is something at the end of `path`.
    pub fn exists(&mut self, path: &AbsPath) -> bool {
        let found = self.follow(path);
        self.terrain.exists(&found.real)
    }

    /// What the walker asks.
    #[must_use]
    pub fn terrain(&self) -> &'t T {
        self.terrain
    }

    /// Follows every symbolic link in `path`.
    pub fn follow(&mut self, path: &AbsPath) -> Followed {
        let (real, rest) = self.start(path);
        self.go(real, rest).unwrap_or_else(|| Followed { real: path.clone(), links: Vec::new() })
    }

    /// Follows a name as a file at `from` states it: absolute, or relative to the directory `from`, which holds no links.
    pub fn follow_from(&mut self, from: &AbsPath, name: &[u8]) -> Option<Followed> {
        let start = if name.starts_with(b"/") { AbsPath::root() } else { from.clone() };
        if name.is_empty() || name.contains(&0) { None } else { self.go(start, name) }
    }

    /// Goes from `real`, which holds no links, along `rest`; nothing where no kernel resolves such a path (ENAMETOOLONG).
    fn go(&mut self, mut real: AbsPath, rest: &[u8]) -> Option<Followed> {
        let mut links = Vec::new();
        let mut open: Vec<Cow<'_, [u8]>> = names(rest).map(Cow::Borrowed).collect();
        while let Some(name) = open.pop() {
            match name.as_ref() {
                b"" | b"." => continue,
                b".." => {
                    real = real.parent().unwrap_or_else(AbsPath::root);
                    continue;
                }
                _ => {}
            }
            let next = real.join(&name).ok()?;
            match self.link(&real, &next).filter(|_| links.len() < MAX_LINKS) {
                None => real = next,
                Some(target) => {
                    links.push(next);
                    if target.is_absolute() {
                        real = AbsPath::root();
                    }
                    open.extend(names(target.as_os_str().as_bytes()).map(|name| Cow::Owned(name.to_vec())));
                }
            }
        }
        Some(Followed { real, links })
    }

    /// The longest beginning of `path` that is known to hold no link, and what follows it.
    fn start<'p>(&self, path: &'p AbsPath) -> (AbsPath, &'p [u8]) {
        let bytes = path.as_bytes();
        let plain = |end: usize| matches!(self.known.get(&bytes[..end]), Some(Look::Other | Look::Missing));
        let mut end = bytes.len();
        while end > 0 && !plain(end) {
            end = bytes[..end].iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        }
        let known = AbsPath::parse(&bytes[..end]).unwrap_or_else(|_| AbsPath::root());
        (known, &bytes[end..])
    }

    /// What the symbolic link `name` in the directory `above` holds, if it is one.
    fn link(&mut self, above: &AbsPath, name: &AbsPath) -> Option<&PathBuf> {
        if !self.known.contains_key(name.as_bytes()) {
            // Nobody need be asked about what is below nothing.
            let found = match self.known.get(above.as_bytes()) {
                Some(Look::Missing) => Look::Missing,
                _ => self.terrain.look(name),
            };
            self.known.insert(name.as_bytes().into(), found);
        }
        match self.known.get(name.as_bytes())? {
            Look::Link(target) => Some(target),
            Look::Other | Look::Missing => None,
        }
    }
}

/// The names in a path, the last first.
fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').rev()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> AbsPath {
        AbsPath::parse(text).unwrap()
    }

    #[test]
    fn follows_links_like_the_kernel() {
        let links = [("/bin", "usr/bin"), ("/a/up", "../b"), ("/loop", "/loop"), ("/b/abs", "/bin/x")];
        let terrain = Links(links.iter().map(|(from, to)| (path(from), PathBuf::from(to))).collect());
        let cases = [
            ("/bin/sh", "/usr/bin/sh", 1),
            ("/a/up/c", "/b/c", 1),
            ("/a/up/abs/y", "/usr/bin/x/y", 3),
            ("/plain", "/plain", 0),
            ("/loop", "/loop", MAX_LINKS),
        ];
        for (name, real, count) in cases {
            let found = Walker::new(&terrain).follow(&path(name));
            assert_eq!((found.real, found.links.len()), (path(real), count), "{name}");
        }
    }
}
