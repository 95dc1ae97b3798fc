//! Where the files of threads lie, and how they are named. Makes directories, for their owner alone.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::ThreadId;

/// Permission bits of directories.
const DIRECTORY_MODE: u32 = 0o700;

/// Begins the name of every rollout.
const PREFIX: &str = "rollout-";

/// Ends it.
const SUFFIX: &str = ".jsonl";

/// The directory of what commands wrote.
const OUTPUTS: &str = "outputs";

/// Letters of a date and time in a name: `2026-01-31T08-15-00`.
const TIME_LETTERS: usize = 19;

/// In which part of Weir's directory a rollout lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shelf {
    /// It can be resumed.
    Live,
    /// It was put away.
    Archived,
    /// It was deleted, and forks need what is left of it.
    Retained,
}

impl Shelf {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Live, Self::Archived, Self::Retained];

    /// The directory's name.
    pub(super) const fn directory(self) -> &'static str {
        match self {
            Self::Live => "sessions",
            Self::Archived => "archived_sessions",
            Self::Retained => "retained_sessions",
        }
    }

    /// The shelf of a path from Weir's directory on.
    pub(super) fn of(relative: &str) -> Option<Self> {
        let first = relative.split('/').next()?;
        Self::ALL.into_iter().find(|shelf| shelf.directory() == first)
    }

    /// The path of a rollout of this name, from Weir's directory on.
    pub(super) fn path(self, name: &str) -> Option<String> {
        let (time, _) = parse(name)?;
        let directory = self.directory();
        match self {
            Self::Live => Some(format!("{directory}/{}/{name}", time.get(..10)?.replace('-', "/"))),
            Self::Archived | Self::Retained => Some(format!("{directory}/{name}")),
        }
    }
}

/// The name of a new rollout; `timestamp` is RFC 3339 in UTC.
pub(super) fn name(timestamp: &str, thread: ThreadId) -> String {
    let time: String = timestamp.chars().take(TIME_LETTERS).map(|c| if c == ':' { '-' } else { c }).collect();
    format!("{PREFIX}{time}-{thread}{SUFFIX}")
}

/// The time and thread of a rollout's name.
pub(super) fn parse(name: &str) -> Option<(&str, ThreadId)> {
    let rest = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let (time, thread) = rest.split_at_checked(TIME_LETTERS)?;
    let shape = |(at, byte): (usize, u8)| match at {
        4 | 7 | 13 | 16 => byte == b'-',
        10 => byte == b'T',
        _ => byte.is_ascii_digit(),
    };
    let thread = thread.strip_prefix('-')?.parse().ok()?;
    time.bytes().enumerate().all(shape).then_some((time, thread))
}

/// Where all that a thread's commands write is kept, below Weir's directory.
pub(super) fn outputs(home: &Path, thread: ThreadId) -> PathBuf {
    home.join(OUTPUTS).join(thread.to_string())
}

/// The last part of a path.
pub(super) fn file_name(relative: &str) -> &str {
    relative.rsplit('/').next().unwrap_or(relative)
}

/// Makes a directory and those above it, where they are missing.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path)
}

/// Puts the entries of the directory, and its own entry, on the disk.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Moves a rollout to another shelf. Returns where it lies then.
pub(super) fn shift(home: &Path, relative: &str, to: Shelf) -> io::Result<String> {
    let target = to.path(file_name(relative)).ok_or(io::ErrorKind::InvalidFilename)?;
    let (old, new): (PathBuf, PathBuf) = (home.join(relative), home.join(&target));
    if new.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let parent = |path: &Path| path.parent().unwrap_or(home).to_owned();
    make_directory(&parent(&new))?;
    fs::rename(&old, &new)?;
    sync_directory(&parent(&new))?;
    sync_directory(&parent(&old))?;
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_where_the_file_belongs() {
        let thread = ThreadId::new();
        let name = name("2026-01-31T08:15:00.123Z", thread);
        assert_eq!(name, format!("rollout-2026-01-31T08-15-00-{thread}.jsonl"));
        assert_eq!(parse(&name), Some(("2026-01-31T08-15-00", thread)));
        for shelf in Shelf::ALL {
            assert_eq!(Shelf::of(&shelf.path(&name).unwrap()), Some(shelf));
        }
        assert_eq!(Shelf::Live.path(&name), Some(format!("sessions/2026/01/31/{name}")));
        let other = [
            format!("rollout-2026-01-31T08:15:00-{thread}.jsonl"),
            format!("rollout-2026-01-31T08-15-00-{thread}.jsonl.gz"),
            format!("rollout-{thread}.jsonl"),
            "rollout-2026-01-31T08-15-00-../../../x.jsonl".to_owned(),
        ];
        assert!(other.iter().all(|name| parse(name).is_none()));
    }
}
