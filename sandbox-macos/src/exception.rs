//! Where a compiled profile differs from [`Policy::verdict`](weir_protocol::Policy::verdict), as data.
//!
//! The list belongs to one compiled profile. The tests ask both for many requests and accept no difference that stands
//! not here; the report prints it. An exception that lets more through than the policy says carries a constant reason.

use weir_protocol::AbsPath;
use weir_protocol::policy::{Access, Glob};

/// To which paths an exception applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// This path alone.
    Node(AbsPath),
    /// This path and everything below it.
    Subtree(AbsPath),
    /// Every directory above this path.
    Ancestors(AbsPath),
    /// What the pattern covers.
    Pattern(Glob),
    /// What the path covers when the case of letters counts for nothing.
    AnyCase(AbsPath),
    /// What the pattern covers when the case of letters counts for nothing.
    AnyCasePattern(Glob),
    /// TCP to this port of the loopback.
    LoopbackPort(u16),
}

/// Which way the profile differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Difference {
    /// This much access, whatever the policy says.
    Grants(Access),
    /// Metadata can be read: that the place exists, its size and times; a symbolic link's target.
    GrantsMetadata,
    /// No access at all.
    Refuses,
    /// Neither writing nor removing.
    RefusesWrite,
    /// Neither creating nor removing the name; its contents may change.
    RefusesRename,
}

/// One exception.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// Where.
    pub extent: Extent,
    /// What.
    pub difference: Difference,
    /// Why.
    pub reason: &'static str,
}

/// A directory above a rule that takes something away.
pub const PINNED: &str = "a directory above a narrower rule cannot be made, moved or removed, or the rule would be moved away with it";
/// A pattern in another writable place.
pub const CARRIED: &str = "a directory could be moved there together with files that the pattern denies";
/// Names that differ in case only.
pub const ANY_CASE: &str = "the volume takes names that differ in the case of letters for one name";
/// The run's own directory.
pub const SCRATCH: &str =
    "the run's own empty directory, which stands in for the home and temporary directories";
/// The run's own terminal.
pub const TERMINAL: &str = "the command's own terminal";
/// Directories on the way.
pub const ON_THE_WAY: &str = "realpath and getcwd look at each directory above a granted place";
/// The gate's ports.
pub const GATE: &str = "the gate, which asks the policy about every host itself";
/// `?` over bytes.
pub const WIDE_CHARACTER: &str = "a `?` or `[!…]` may stand for two to four bytes outside printable ASCII, which can be more than one character";
