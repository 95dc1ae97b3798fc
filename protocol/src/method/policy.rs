//! Questions about profiles and policies.

use serde::{Deserialize, Serialize};

use crate::bytes::ByteString;
use crate::held::Held;
use crate::path::AbsPath;
use crate::policy::explain::Explanation;
use crate::policy::{Digest, Excess, Operation, Policy};
use crate::profile::Report;

/// Where the caller stands. Home and Weir's directory are the caller's own unless they are named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standpoint {
    /// The working directory.
    pub cwd: AbsPath,
    /// Directories named as project roots; the working directory where there are none.
    #[serde(default)]
    pub project_roots: Vec<AbsPath>,
    /// The home directory.
    pub home: AbsPath,
    /// Weir's directory.
    pub weir_home: AbsPath,
    /// What `TMPDIR` names.
    #[serde(default)]
    pub tmpdir: Option<AbsPath>,
}

/// Which profile, from which files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// Where the caller stands.
    pub standpoint: Standpoint,
    /// A file instead of the user's `config.toml`.
    #[serde(default)]
    pub config: Option<String>,
    /// The profile; the default one where absent.
    #[serde(default)]
    pub profile: Option<String>,
    /// More paths to read.
    #[serde(default)]
    pub read: Vec<String>,
    /// More paths to write.
    #[serde(default)]
    pub write: Vec<String>,
    /// More paths to write in a copy.
    #[serde(default)]
    pub copy: Vec<String>,
    /// Paths to close.
    #[serde(default)]
    pub deny: Vec<String>,
}

/// Parameters of `policy/check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Where the caller stands.
    pub standpoint: Standpoint,
    /// The files.
    pub files: Vec<String>,
    /// Whether they are requirements, not configurations.
    #[serde(default)]
    pub requirements: bool,
}

/// Result of `policy/check`, one for each file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// The file as it was named.
    pub file: String,
    /// Whether it can be used.
    pub ok: bool,
    /// The profiles that it defines.
    pub profiles: Vec<String>,
    /// What is to be said about it.
    pub report: Report,
    /// Remarks about how its profiles fit this host.
    #[serde(default)]
    pub remarks: Vec<String>,
}

/// Result of `policy/show`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Shown {
    /// The digest of the policy.
    pub digest: Digest,
    /// The policy.
    pub policy: Policy,
    /// Warnings about the documents.
    #[serde(default)]
    pub report: Report,
    /// Remarks about how the profile fits this host.
    #[serde(default)]
    pub remarks: Vec<String>,
}

/// Parameters of `policy/explain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explain {
    /// The profile.
    pub choice: Choice,
    /// The question.
    pub question: Question,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Question {
    /// An operation on a path; relative to the working directory, `~/` allowed.
    Path {
        /// The path.
        path: String,
        /// What is tried.
        access: Operation,
    },
    /// A connection: `host` or `host:port`; port 443 where absent.
    Host {
        /// Host and port.
        host: String,
    },
    /// A connection to a unix socket.
    UnixSocket {
        /// The path.
        path: String,
    },
    /// The caller's value of an environment variable.
    Environment {
        /// The variable.
        name: String,
    },
    /// The start of a command in the working directory: everything that has to be executed for it.
    Command {
        /// Its program and arguments, of which the program alone is looked for.
        argv: Vec<ByteString>,
        /// The caller's `PATH`, where there is one; the command has it as far as the profile lets it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<ByteString>,
    },
}

/// Result of `policy/explain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// The profile that answered.
    pub profile: String,
    /// Its digest.
    pub digest: Digest,
    /// Where the path leads, where symbolic links change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leads_to: Option<AbsPath>,
    /// The answer.
    pub explanation: Explanation,
    /// What holds it on this host; absent where the server does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
    /// What a command cannot start without, in the order in which it is needed; empty for other questions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needed: Vec<Needed>,
}

/// Something that a command cannot start without. Only where all of it is allowed does the command start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needed {
    /// What it is to the command.
    pub need: Need,
    /// By which name it is asked for, where symbolic links change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<AbsPath>,
    /// The answer.
    pub explanation: Explanation,
    /// What holds it on this host; absent where the server does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
}

/// What something is to a command that needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// The directory in which it starts.
    WorkingDirectory,
    /// A symbolic link on the way to a program, which has to be seen.
    Link,
    /// A program: its own, or the one that `env` executes for it.
    Program,
    /// What the first line of a script names.
    Interpreter,
    /// What loads a program and its libraries (`PT_INTERP`, elf(5)).
    Loader,
}

impl Need {
    /// For people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::WorkingDirectory => "working directory",
            Self::Link => "link",
            Self::Program => "program",
            Self::Interpreter => "interpreter",
            Self::Loader => "loader",
        }
    }
}

/// Parameters of `policy/diff`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diff {
    /// One profile.
    pub one: Choice,
    /// The other.
    pub other: Choice,
}

/// Result of `policy/diff`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differences {
    /// Digests of both.
    pub digests: [Digest; 2],
    /// What the first allows and the second does not.
    pub only_one: Vec<Excess>,
    /// What the second allows and the first does not.
    pub only_other: Vec<Excess>,
}
