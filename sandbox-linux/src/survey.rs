//! What is in the file tree where rules speak of it, looked up once before a launch.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileTypeExt as _;

use weir_protocol::{AbsPath, Policy};

/// What is at a path, its own last link not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the file type of its name (inode(7))")]
pub enum Kind {
    Directory,
    File,
    Symlink,
    Fifo,
    Socket,
    Device,
    Missing,
    /// It could not be looked at, with the error number.
    Unreadable(i32),
}

/// An existing thing that a denying pattern matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    pub path: AbsPath,
    pub kind: Kind,
    pub rule: usize,
}

/// The answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    pub places: BTreeMap<AbsPath, Kind>,
    pub matches: Vec<Match>,
    pub repositories: Vec<AbsPath>,
    pub unreadable: Vec<(AbsPath, i32)>,
    pub looked_at: u64,
    /// Symbolic links on the way to the places of rules, with what they hold.
    pub links: BTreeMap<AbsPath, Vec<u8>>,
}

impl Survey {
    pub fn take(policy: &Policy) -> Result<Self, std::io::Error> {
        let fs = policy.filesystem();
        let mut survey = Self::default();
        for path in fs.rules().iter().map(|rule| &rule.path).chain(fs.private().iter().map(|p| &p.path)) {
            survey.places.insert(path.clone(), kind(path));
        }
        survey.links = links(survey.places.keys());
        Ok(survey)
    }

    /// Whether a symbolic link lies on the way to `path`.
    pub fn is_behind_link(&self, path: &AbsPath) -> bool {
        let mut next = path.parent();
        while let Some(above) = next {
            if self.links.contains_key(&above) {
                return true;
            }
            next = above.parent();
        }
        false
    }

    pub fn protected(&self, _policy: &Policy) -> Vec<weir_protocol::policy::PathRule> {
        Vec::new()
    }
}

/// The links among these paths and the directories above them.
fn links<'p>(paths: impl Iterator<Item = &'p AbsPath>) -> BTreeMap<AbsPath, Vec<u8>> {
    let mut seen = std::collections::BTreeSet::new();
    let mut out = BTreeMap::new();
    for path in paths {
        let mut next = Some(path.clone());
        while let Some(path) = next.filter(|path| seen.insert(path.clone())) {
            if let Ok(target) = std::fs::read_link(path.as_path()) {
                out.insert(path.clone(), target.as_os_str().as_bytes().to_vec());
            }
            next = path.parent();
        }
    }
    out
}

fn kind(path: &AbsPath) -> Kind {
    match path.as_path().symlink_metadata() {
        Err(e) => match e.raw_os_error() {
            Some(2 | 20) => Kind::Missing,
            e => Kind::Unreadable(e.unwrap_or(0)),
        },
        Ok(m) => {
            let t = m.file_type();
            if t.is_dir() {
                Kind::Directory
            } else if t.is_symlink() {
                Kind::Symlink
            } else if t.is_fifo() {
                Kind::Fifo
            } else if t.is_socket() {
                Kind::Socket
            } else if t.is_file() {
                Kind::File
            } else {
                Kind::Device
            }
        }
    }
}
