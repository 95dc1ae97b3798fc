//! What the file tree of a plan shows at a path: its mounts, followed in their order.

use weir_protocol::AbsPath;

use crate::plan::{MountStep, Owned, Writable};

/// What a command finds at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown<'p> {
    /// What the host has there, by the mount at this place.
    Host(&'p AbsPath, Writable),
    /// The same, with changes in a copy.
    Copied(&'p AbsPath, Writable),
    /// A private directory of the sandbox's own begins at this place, the path itself or above it; what is there at first.
    Private(&'p AbsPath, There),
    /// A directory or a link of the sandbox's own that leads to what is granted, and holds nothing else.
    Passage(Listed),
    /// Nothing.
    Absent,
    /// Something that cannot be read, over what the host has at this place, the path itself or above it.
    Covered(&'p AbsPath),
    /// The sandbox's own processes.
    Proc(Writable),
    /// The sandbox's own terminals.
    Terminals,
    /// A file of the sandbox's own in the host's place.
    Content,
}

/// Whether something is at a path when the command begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum There {
    /// A directory.
    Yes,
    /// Nothing; the command may make something.
    No,
}

/// Whether a directory can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listed {
    /// It can.
    Yes,
    /// It cannot.
    No,
}

/// Who may list a directory.
const READABLE: u32 = 0o004;

/// A file system in memory that an earlier step made, and whether something was made in it that leads to the path or is there.
struct Memory<'p> {
    at: &'p AbsPath,
    owned: Owned,
    there: There,
    listed: Listed,
}

impl<'p> Memory<'p> {
    fn new(at: &'p AbsPath, owned: Owned, mode: u32, path: &AbsPath) -> Self {
        let there = if path == at { There::Yes } else { There::No };
        let listed = if path == at && mode & READABLE != 0 { Listed::Yes } else { Listed::No };
        Self { at, owned, there, listed }
    }

    fn shown(self) -> Shown<'p> {
        match (self.owned, self.there) {
            (Owned::ByCommand, there) => Shown::Private(self.at, there),
            (Owned::ByMaker, There::Yes) => Shown::Passage(self.listed),
            (Owned::ByMaker, There::No) => Shown::Absent,
        }
    }
}

/// What the tree shows: the last step that covers the path says so.
pub(super) fn shown<'p>(steps: &'p [MountStep], path: &AbsPath) -> Shown<'p> {
    let mut now = Shown::Absent;
    let mut memory: Option<Memory<'p>> = None;
    for step in steps {
        let found = match step {
            MountStep::Tmpfs { at, owned, mode } if path.starts_with(at) => {
                memory = Some(Memory::new(at, *owned, *mode, path));
                continue;
            }
            MountStep::Bind { at, writable, .. } if path.starts_with(at) => Shown::Host(at, *writable),
            MountStep::Copied { at, .. } if path.starts_with(at) => Shown::Copied(at, Writable::Yes),
            MountStep::Again { at, writable } if path.starts_with(at) => match (now, &memory) {
                (Shown::Copied(..), None) => Shown::Copied(at, *writable),
                (_, None) => Shown::Host(at, *writable),
                (_, Some(_)) => continue,
            },
            MountStep::MaskFile { at } | MountStep::MaskDirectory { at } if path.starts_with(at) => {
                Shown::Covered(at)
            }
            MountStep::Proc { writable } if is_below(path, "/proc") => Shown::Proc(*writable),
            MountStep::ProcReadOnly { at } if path.starts_with(at) => Shown::Proc(Writable::No),
            MountStep::Terminals if is_below(path, "/dev/pts") => Shown::Terminals,
            MountStep::Content { at, .. } if path == at => Shown::Content,
            MountStep::Directory { at, .. } | MountStep::File { at } | MountStep::Link { at, .. }
                if at.starts_with(path) =>
            {
                memory.iter_mut().for_each(|memory| memory.there = There::Yes);
                continue;
            }
            _ => continue,
        };
        (now, memory) = (found, None);
    }
    memory.map_or(now, Memory::shown)
}

fn is_below(path: &AbsPath, top: &str) -> bool {
    AbsPath::parse(top).is_ok_and(|top| path.starts_with(&top))
}
