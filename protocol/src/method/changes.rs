//! Changes that commands made in a copy: what they are, and what becomes of them.
//!
//! A copy belongs to one directory, its root, and to one user. Nothing here names a place to keep one: that is the exec-server's.

use serde::{Deserialize, Serialize};

use super::policy::Standpoint;
use crate::bytes::ByteString;
use crate::path::AbsPath;

/// Most changes that one answer lists; how many there are besides is said.
pub const MAX_LISTED: usize = 10_000;

/// Most bytes of a file that is compared line by line.
pub const MAX_COMPARED_BYTES: u64 = 1 << 20;

/// Most bytes of all differences of one answer.
pub const MAX_DIFF_BYTES: usize = 4 << 20;

/// Which changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Where the caller stands.
    pub standpoint: Standpoint,
    /// What is at or below these paths; all of the copies around the working directory and below it where there are none.
    #[serde(default)]
    pub paths: Vec<AbsPath>,
}

/// Parameters of `changes/list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListChanges {
    /// Which.
    pub which: Which,
    /// Whether files are compared line by line.
    #[serde(default)]
    pub diff: bool,
}

/// Parameters of `changes/apply`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// Which.
    pub which: Which,
    /// Whether what was changed on the host meanwhile is overwritten.
    #[serde(default)]
    pub force: bool,
}

/// Parameters of `changes/discard`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Discard {
    /// Which.
    pub which: Which,
}

/// What has become of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// It was made.
    Added,
    /// Its content, target, mode, owner or attributes are others.
    Modified,
    /// It is gone.
    Removed,
    /// It is something else now, or a directory that was made anew.
    Replaced,
    /// A directory has another mode, owner or other attributes.
    Mode,
}

/// What something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A unix socket.
    Socket,
    /// A device.
    Device,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyChange {
    /// Where, below the root of the copy.
    pub path: ByteString,
    /// What has become of it.
    pub change: ChangeKind,
    /// What it is now; what it was, where it is gone.
    pub what: What,
    /// Its mode now; what it was, where it is gone.
    pub mode: u32,
    /// The change that this one is a part of: they are applied together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_of: Option<ByteString>,
    /// Whether it was changed on the host since the copy was begun.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub conflict: bool,
    /// What should be known before it is applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The difference, where it was asked for and there is one to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}

/// The changes in one copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// The directory that was copied.
    pub root: AbsPath,
    /// What is changed, by path.
    pub changes: Vec<CopyChange>,
    /// How many changes are not listed.
    #[serde(default)]
    pub more: u64,
    /// Whether applying was interrupted: `changes/apply` finishes it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unfinished: bool,
}

/// Result of `changes/list`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedChanges {
    /// The copies with changes, by root.
    pub copies: Vec<Copied>,
}

/// Something that stays as it is, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// Where, below the root of the copy.
    pub path: ByteString,
    /// Whether it was changed on the host since the copy was begun.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub conflict: bool,
    /// Why.
    pub because: String,
}

/// What was done in one copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The directory that was copied.
    pub root: AbsPath,
    /// What was applied or discarded.
    pub done: Vec<ByteString>,
    /// What was not.
    pub left: Vec<Left>,
}

/// Result of `changes/apply` and `changes/discard`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// By root.
    pub copies: Vec<Outcome>,
}

/// What is asked about copies, as the exec-server carries it out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// `changes/list`.
    List(ListChanges),
    /// `changes/apply`.
    Apply(Apply),
    /// `changes/discard`.
    Discard(Discard),
}

impl Ask {
    /// Which changes it is about.
    #[must_use]
    pub const fn which(&self) -> &Which {
        match self {
            Self::List(ListChanges { which, .. })
            | Self::Apply(Apply { which, .. })
            | Self::Discard(Discard { which }) => which,
        }
    }
}
