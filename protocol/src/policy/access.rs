//! What may be done to a path, and what a command tries to do.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a rule grants on a path and everything below it. Each implies the ones before; the order is the order of permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Nothing: the place does not exist for the command. `deny` is the same word.
    #[serde(alias = "deny")]
    None,
    /// Reading, listing and executing.
    Read,
    /// As `Write` to the command, whose changes land in a copy beside the place: nothing of the place itself changes.
    Copy,
    /// Reading, and creating, changing, renaming and removing.
    Write,
}

impl Access {
    /// Whether this much access lets `operation` through.
    #[must_use]
    pub fn permits(self, operation: Operation) -> bool {
        match operation {
            Operation::Read | Operation::Execute => self >= Self::Read,
            Operation::Write => self.writes(),
        }
    }

    /// Whether a command may change what it sees there, be it the place itself or a copy.
    #[must_use]
    pub const fn writes(self) -> bool {
        matches!(self, Self::Copy | Self::Write)
    }

    /// Which of two rules for the same path wins: none over copy over write over read. Larger is stronger: who asks for a copy
    /// wants the place itself left alone.
    #[must_use]
    pub fn precedence(self) -> u8 {
        match self {
            Self::Read => 0,
            Self::Write => 1,
            Self::Copy => 2,
            Self::None => 3,
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Copy => "copy",
            Self::Write => "write",
        })
    }
}

/// What a command tries to do to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Open for reading, list, or read attributes that need permission.
    Read,
    /// Create, change, truncate, rename or remove.
    Write,
    /// Execute as a program.
    Execute,
}

impl Operation {
    /// The access that an edit grants for this operation.
    #[must_use]
    pub fn needs(self) -> Access {
        match self {
            Self::Read | Self::Execute => Access::Read,
            Self::Write => Access::Write,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Execute => "exec",
        })
    }
}
