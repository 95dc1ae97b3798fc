//! Something that was refused: one record for every mechanism, with the rule behind it and the smallest edit that would allow it.
//!
//! A mechanism tells what it saw ([`Observed`]); the policy says which rule stands behind it, and [`Observed::joined`] puts the two
//! together. Nothing is guessed from what a program printed, and where the policy allows what failed, there is no denial: the
//! command failed for reasons of its own. Records are folded and bounded ([`Ledger`]), and what could not be seen is said
//! ([`Sight`]). Callers: the launcher, the network gate, the client.

mod join;
mod ledger;
mod run;
mod sight;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bytes::ByteString;
use crate::policy::explain::Edit;
use crate::policy::{Operation, Origin};

pub use join::{Observed, address};
pub use ledger::{Ledger, MAX_DENIAL_BYTES, MAX_DENIALS, MAX_TARGET_BYTES};
pub use run::{MAX_RUN_BYTES, MAX_WORDS_BYTES, Run};
pub use sight::{Missing, Sight, Source};

/// Something that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// What was tried.
    pub operation: Act,
    /// The path, the address, the system call or the limit. Where a name was to be made, and the mechanism knows only where, its directory.
    pub target: ByteString,
    /// What a rule would have to grant on a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Operation>,
    /// What refused it, or saw it refused.
    pub mechanism: Mechanism,
    /// The rule; absent where no rule covers it.
    pub origin: Option<Origin>,
    /// How often.
    pub count: u64,
    /// When first, in RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub time: String,
    /// Who tried it first, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// The smallest change to a file that would allow it; absent where the requirements would refuse that, which the reason says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit: Option<Edit>,
    /// The option of `weir run` that would allow it for one run; absent where the requirements would refuse it, which the reason says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub option: Option<RunOption>,
    /// Why, for people, where the rule alone does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An option of `weir run`, as two words of a command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunOption {
    /// The option, for instance `--read`.
    pub name: String,
    /// Its value.
    pub value: ByteString,
}

/// A process that was refused something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Who numbers it so.
    pub numbered: Numbered,
    /// Its program, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<ByteString>,
    /// Its name, of 15 bytes at most, where that is known (proc_pid_comm(5)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<ByteString>,
}

/// Who gives a process its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Numbered {
    /// The host.
    ByHost,
    /// The sandbox, where it has processes of its own.
    Inside,
}

/// Declares an enum of words and the word of each.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word in a record.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(self.word())
            }
        }
    };
}

words! {
    /// What was tried.
    Act {
        /// A file was opened for reading.
        Read = "read",
        /// A directory was listed.
        List = "list",
        /// A file was executed.
        Execute = "execute",
        /// It was looked whether something is there, or what it is.
        Look = "look",
        /// A file was opened for writing.
        Write = "write",
        /// A file was cut off.
        Truncate = "truncate",
        /// Mode, owner, times or extended attributes of a file were changed.
        Alter = "alter",
        /// A file was to be made, or another name for one.
        Create = "create",
        /// A directory was to be made.
        MakeDirectory = "make-directory",
        /// A symbolic link was to be made.
        MakeLink = "make-link",
        /// A socket, a fifo or a device was to be made.
        MakeNode = "make-node",
        /// A name of a file was to be removed, or moved away.
        Remove = "remove",
        /// A directory was to be removed, or moved away.
        RemoveDirectory = "remove-directory",
        /// A file was to be renamed or linked from one directory to another.
        Move = "move",
        /// A request to a device (ioctl(2)).
        Control = "control",
        /// A connection.
        Connect = "connect",
        /// A port was to be listened on.
        Bind = "bind",
        /// A name was asked for.
        Resolve = "resolve",
        /// A request within a connection.
        Request = "request",
        /// A datagram.
        Send = "send",
        /// A signal to a process outside.
        Signal = "signal",
        /// The file tree was to be changed (mount(2)).
        Mount = "mount",
        /// A process was to be looked into (ptrace(2)).
        Trace = "trace",
        /// A system call, or an operation of another name.
        Call = "call",
        /// A process was to be started.
        Fork = "fork",
        /// Something was used beyond its limit.
        Use = "use",
    }
}

impl Act {
    /// What a rule would have to grant on the path; nothing for what is done to no path.
    #[must_use]
    pub const fn access(self) -> Option<Operation> {
        Some(match self {
            Self::Read | Self::List | Self::Look => Operation::Read,
            Self::Execute => Operation::Execute,
            Self::Write
            | Self::Truncate
            | Self::Alter
            | Self::Create
            | Self::MakeDirectory
            | Self::MakeLink
            | Self::MakeNode
            | Self::Remove
            | Self::RemoveDirectory
            | Self::Move
            | Self::Control => Operation::Write,
            _ => return None,
        })
    }

    /// Whether it takes a grant on the directory, where that has none: what does not exist yet cannot be granted.
    #[must_use]
    pub const fn needs_directory(self) -> bool {
        matches!(
            self,
            Self::Create
                | Self::MakeDirectory
                | Self::MakeLink
                | Self::MakeNode
                | Self::Remove
                | Self::RemoveDirectory
                | Self::Move
        )
    }
}

words! {
    /// What refuses, or sees that something is refused.
    Mechanism {
        /// Landlock, by the kernel's audit records.
        Landlock = "landlock",
        /// Init, which performs the calls that bring names into being.
        Broker = "broker",
        /// The rules that hold while files change, by which init judges what it opens and names.
        Live = "live",
        /// Mounts: what is closed is covered, what nothing grants is absent.
        Mounts = "mounts",
        /// The network gate.
        NetworkGate = "network-gate",
        /// The system call filter.
        Seccomp = "seccomp",
        /// A limit.
        Resource = "resource",
        /// Seatbelt, on macOS.
        Seatbelt = "seatbelt",
        /// A network namespace from which nothing leads out. The kernel tells nothing of what fails there.
        NetworkNamespace = "network-namespace",
        /// What the server leaves out of a command's environment. Nobody asks for that, so nothing of it is told.
        Environment = "environment",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_records() {
        for act in Act::ALL {
            assert_eq!(serde_json::to_value(act).unwrap(), act.word());
        }
        for mechanism in Mechanism::ALL {
            assert_eq!(serde_json::to_value(mechanism).unwrap(), mechanism.word());
        }
    }
}
