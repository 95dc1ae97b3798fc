//! Files inside a context's profile: read, written, patched, listed, copied, moved, removed and searched without a command of its own.
//!
//! A call is carried out in a sandbox of the context's policy, by a worker that stays there from call to call: what a command
//! under the context may not do, a call may not do either. The calls of one connection are carried out one after another.
//! Symbolic links are followed as a command follows them. Like a command's, a place that the profile stands a private directory in
//! for (`/tmp`, an ungranted home) is the worker's own, and is seen by no command.
//!
//! The content of `file/read` travels as data frames of [`Stream::Content`](crate::frame::Stream::Content) under the request's
//! number, all of them before the answer. Every answer is bounded; what goes beyond a bound is said, never left out in silence.

use serde::{Deserialize, Serialize};

use super::context::Under;
use super::policy::Standpoint;
use crate::bytes::ByteString;
use crate::path::AbsPath;

/// Most bytes that one `file/read` brings.
pub const MAX_READ_BYTES: u64 = 1 << 20;

/// Most bytes that one `file/write` takes, and one new file of `file/patch`; more is appended by further calls. A control frame
/// holds them as text or as digits, unless that text is mostly control characters, of which each takes six bytes there.
pub const MAX_WRITE_BYTES: usize = 4 << 20;

/// Most changes of one `file/patch`.
pub const MAX_CHANGES: usize = 256;

/// Most bytes of all files of one `file/patch` together, before as after: they are held in memory.
pub const MAX_PATCHED_BYTES: u64 = 32 << 20;

/// Most entries of one answer of `file/list`, and paths of one of `file/glob`.
pub const MAX_ENTRIES: u32 = 10_000;

/// Most matching lines of one answer of `file/search`.
pub const MAX_MATCHES: u32 = 10_000;

/// Most lines around a match.
pub const MAX_CONTEXT_LINES: u32 = 20;

/// Most bytes of one line that are told; a longer one is cut.
pub const MAX_LINE_BYTES: usize = 1024;

/// Most bytes of names and lines in one answer of `file/list`, `file/glob` and `file/search`: a control frame holds them however they
/// are escaped.
pub const MAX_FOUND_BYTES: usize = 2 << 20;

/// Most directories and files that one call visits.
pub const MAX_VISITED: u64 = 1_000_000;

/// Most patterns of one call.
pub const MAX_PATTERNS: usize = 64;
/// Most bytes of one pattern.
pub const MAX_PATTERN_BYTES: usize = 4096;

/// A call on files, and under what it is carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Within<T> {
    /// The context. A lease for a turn counts here as for a command; one for a command does not.
    pub under: Under,
    /// Where the caller stands: what the ceiling's special paths mean.
    pub standpoint: Standpoint,
    /// What is asked.
    pub file: T,
}

impl<T> Within<T> {
    /// The same with something made of what is asked.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Within<U> {
        Within { under: self.under, standpoint: self.standpoint, file: make(self.file) }
    }
}

/// Parameters of `file/read`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Read {
    /// A regular file.
    pub path: AbsPath,
    /// Bytes to pass over.
    #[serde(default)]
    pub offset: u64,
    /// Most bytes to bring; at most [`MAX_READ_BYTES`], and so many where it is absent.
    #[serde(default)]
    pub length: Option<u64>,
}

/// Result of `file/read`; the bytes were sent before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Bytes that were sent.
    pub bytes: u64,
    /// The file's size, as it says itself.
    pub size: u64,
    /// Whether the file ends behind them.
    pub ends: bool,
    /// BLAKE3 of the bytes, in hexadecimal digits.
    pub blake3: String,
}

/// What a write does with what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Writing {
    /// Makes a file that must not exist.
    Create,
    /// Makes a file or replaces its content.
    Replace,
    /// Makes a file or adds behind its end.
    Append,
}

/// Parameters of `file/write`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Write {
    /// The file; its directory must exist.
    pub path: AbsPath,
    /// What is written, at most [`MAX_WRITE_BYTES`].
    pub content: ByteString,
    /// What becomes of what is there.
    pub writing: Writing,
    /// Permission bits (`0o777` at most) that the file has in the end; where they are absent, those that it had, or those
    /// that the process's umask leaves a new one.
    #[serde(default)]
    pub permissions: Option<u32>,
}

/// How content got into its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Manner {
    /// Written beside it and renamed over it: who reads sees the old content or the new one.
    Renamed,
    /// Written into the file itself: a new file, an appended one, one with several names or of another owner, or one in a
    /// directory where the profile lets no name be made.
    InPlace,
}

/// Result of `file/write`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The file's size in the end.
    pub size: u64,
    /// How.
    pub manner: Manner,
}

/// Parameters of `file/patch`: all of it is done, or nothing. Everything is tried in memory first; where writing fails half-way, what
/// was written is put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    /// At most [`MAX_CHANGES`], each of another file.
    pub changes: Vec<Change>,
}

/// A change to one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The file.
    pub path: AbsPath,
    /// The change.
    pub by: By,
}

/// What is changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// Pieces are replaced, one after another.
    Edits(Vec<Replacement>),
    /// Hunks of a unified diff of this one file. Their lines must be there exactly; line numbers may be off.
    Diff(ByteString),
    /// The file, which must not exist, is made.
    Create(ByteString),
    /// The file is removed.
    Remove,
}

/// A piece to be replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replacement {
    /// What is there, byte for byte.
    pub old: ByteString,
    /// What takes its place.
    pub new: ByteString,
    /// How often it must occur; each occurrence is replaced.
    #[serde(default = "once")]
    pub times: u32,
}

const fn once() -> u32 {
    1
}

/// Result of `file/patch`: the sizes in the order of the changes, none for a removed file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patched {
    /// Bytes of each file in the end.
    pub sizes: Vec<Option<u64>>,
}

/// Parameters of `file/list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// The directory.
    pub path: AbsPath,
    /// The last name of the answer before, to go on behind it.
    #[serde(default)]
    pub after: Option<ByteString>,
    /// Most entries; at most [`MAX_ENTRIES`], and so many where it is absent.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// Result of `file/list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entries {
    /// In the order of their bytes.
    pub entries: Vec<Entry>,
    /// Whether there are more behind the last.
    pub more: bool,
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: ByteString,
    /// What it is; absent where that cannot be found out inside.
    pub attributes: Option<Attributes>,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device, pipe or socket.
    Special,
}

/// What is told of a file, as stat(2) does inside: result of `file/stat`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// What it is.
    pub kind: Kind,
    /// Bytes.
    pub size: u64,
    /// Permission bits, with set-user-id, set-group-id and sticky.
    pub permissions: u32,
    /// The owner, by its number inside.
    pub uid: u32,
    /// The group, by its number inside.
    pub gid: u32,
    /// Names.
    pub links: u64,
    /// When its content was changed, in nanoseconds since 1970 (UTC).
    pub modified_ns: i64,
    /// What a symbolic link says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<ByteString>,
}

/// What a symbolic link at the end of a path stands for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Links {
    /// What it leads to.
    #[default]
    Follow,
    /// Itself.
    Keep,
}

/// Parameters of `file/stat`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stat {
    /// The file.
    pub path: AbsPath,
    /// Whether a link is followed.
    #[serde(default)]
    pub links: Links,
}

/// What becomes of a file that is there already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Existing {
    /// It stays, and the call is refused.
    #[default]
    Keep,
    /// It is replaced. A directory never is.
    Replace,
}

/// How far a call goes down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Extent {
    /// A file, or an empty directory.
    #[default]
    One,
    /// A directory with all that it holds.
    Tree,
}

/// Parameters of `file/copy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Copy {
    /// What is copied. Symbolic links below it are copied as links; devices, pipes and sockets are refused.
    pub from: AbsPath,
    /// The copy's own name, not the directory for it.
    pub to: AbsPath,
    /// What becomes of files that are there.
    #[serde(default)]
    pub existing: Existing,
    /// Whether a directory is copied. What was copied before a failure stays.
    #[serde(default)]
    pub extent: Extent,
}

/// Parameters of `file/move`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// What is moved. Where the kernel cannot rename it (another mount of the sandbox), it is copied and then removed; where a
    /// directory cannot be removed whole, its copy stays.
    pub from: AbsPath,
    /// Its new name, not the directory for it.
    pub to: AbsPath,
    /// What becomes of a file that is there.
    #[serde(default)]
    pub existing: Existing,
}

/// Parameters of `file/remove`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remove {
    /// What is removed; a symbolic link itself.
    pub path: AbsPath,
    /// Whether a directory goes with what it holds. What was removed before a failure is gone.
    #[serde(default)]
    pub extent: Extent,
}

/// Result of `file/copy`, `file/move` and `file/remove`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {}

/// What a walk through directories passes over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PassedOver {
    /// Hidden names, and what `.gitignore` and `.ignore` name.
    #[default]
    Visible,
    /// What `.gitignore` and `.ignore` name.
    Hidden,
    /// Nothing.
    All,
}

/// Parameters of `file/glob`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Glob {
    /// Where the walk begins.
    pub root: AbsPath,
    /// Patterns, of which one must match the path below the root: `*` and `?` stay in a component, `**` crosses.
    pub patterns: Vec<String>,
    /// What is passed over.
    #[serde(default)]
    pub scope: PassedOver,
    /// Most paths; at most [`MAX_ENTRIES`], and so many where it is absent.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// Why an answer does not hold everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cut {
    /// As many were found as were asked for.
    Limit,
    /// The answer has [`MAX_FOUND_BYTES`].
    Bytes,
    /// The walk has visited [`MAX_VISITED`].
    Visited,
}

/// Result of `file/glob`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Globbed {
    /// Paths below the root, in the order of their bytes.
    pub paths: Vec<ByteString>,
    /// Directories that could not be read inside.
    pub unreadable: u64,
    /// Why there may be more.
    pub cut: Option<Cut>,
}

/// How a pattern is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Syntax {
    /// A regular expression of the `regex` crate.
    #[default]
    Regex,
    /// Itself.
    Literal,
}

/// What letters are the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Case {
    /// None but themselves.
    #[default]
    Sensitive,
    /// Those that differ in case.
    Insensitive,
    /// As `insensitive` where the pattern has no upper case.
    Smart,
}

/// Parameters of `file/search`: lines that match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// A file, or the directory where the walk begins. Files with a NUL byte are passed over.
    pub root: AbsPath,
    /// What a line must hold.
    pub pattern: String,
    /// How it is read.
    #[serde(default)]
    pub syntax: Syntax,
    /// What letters are the same.
    #[serde(default)]
    pub case: Case,
    /// Patterns as in [`Glob`], of which one must match the file; every file where there are none.
    #[serde(default)]
    pub files: Vec<String>,
    /// What is passed over.
    #[serde(default)]
    pub scope: PassedOver,
    /// Lines before and behind each match, at most [`MAX_CONTEXT_LINES`].
    #[serde(default)]
    pub context: u32,
    /// Most matching lines; at most [`MAX_MATCHES`], and so many where it is absent.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// Result of `file/search`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Searched {
    /// Files with matches, in the order of their paths.
    pub files: Vec<Matches>,
    /// Files and directories that could not be read inside.
    pub unreadable: u64,
    /// Why there may be more.
    pub cut: Option<Cut>,
}

/// Matches of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matches {
    /// The file below the root; empty where the root is the file.
    pub path: ByteString,
    /// Matching lines and those around them, from the first to the last.
    pub lines: Vec<Line>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its number, from 1.
    pub number: u64,
    /// Where the first match begins in it, in bytes from 1; absent for a line around a match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
    /// The line without its end, at most [`MAX_LINE_BYTES`] from its beginning.
    pub text: ByteString,
}

/// Any call on files: what the worker is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// `file/read`.
    Read(Read),
    /// `file/write`.
    Write(Write),
    /// `file/patch`.
    Patch(Patch),
    /// `file/list`.
    List(Directory),
    /// `file/stat`.
    Stat(Stat),
    /// `file/copy`.
    Copy(Copy),
    /// `file/move`.
    Move(Move),
    /// `file/remove`.
    Remove(Remove),
    /// `file/glob`.
    Glob(Glob),
    /// `file/search`.
    Search(Search),
}

impl Ask {
    /// Whether it leaves everything as it is, so that it may be asked twice.
    #[must_use]
    pub const fn only_looks(&self) -> bool {
        matches!(self, Self::Read(_) | Self::List(_) | Self::Stat(_) | Self::Glob(_) | Self::Search(_))
    }

    /// The files and directories that it names.
    #[must_use]
    pub fn paths(&self) -> Vec<&AbsPath> {
        match self {
            Self::Read(Read { path, .. })
            | Self::Write(Write { path, .. })
            | Self::List(Directory { path, .. })
            | Self::Stat(Stat { path, .. })
            | Self::Remove(Remove { path, .. })
            | Self::Glob(Glob { root: path, .. })
            | Self::Search(Search { root: path, .. }) => vec![path],
            Self::Copy(Copy { from, to, .. }) | Self::Move(Move { from, to, .. }) => vec![from, to],
            Self::Patch(patch) => patch.changes.iter().map(|change| &change.path).collect(),
        }
    }
}
