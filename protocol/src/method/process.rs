//! Starting, signalling and ending commands.
//!
//! `process/start` travels with descriptors (`SCM_RIGHTS` on the frame's first byte): those that [`Start::stdio`] names, in
//! order; `process/plan` travels with none. Its answer comes when the command has been executed or the sandbox has failed; a
//! terminal's controlling side comes back with the answer. What happens later arrives as an [`Event`], a JSON-RPC
//! notification; the first one follows the answer.
//!
//! # The terminal
//!
//! It is the controlling terminal of the command's session. The server keeps its other side open until the tree has ended and
//! has closed it when [`Event::Exited`] is sent: end-of-file on the controlling side then says that every byte was read. The
//! client sets its size with the controlling side itself (ioctl_tty(2), `TIOCSWINSZ`); no method is needed.
//!
//! # Stopping
//!
//! The kernel drops `SIGTSTP`, `SIGTTIN` and `SIGTTOU` for a process group of which no member has its parent in another group of
//! the same session (setpgid(2), "orphaned"). So that a command can be stopped as a shell's job can, its first process's parent
//! leads the session, and the command has a process group of its own there, in the foreground where there is a terminal. With
//! [`Receivers::Group`], job control's own signals `SIGTSTP` and `SIGCONT` mean that group. An [`Event::Stopped`] that was
//! caused before a `SIGCONT` of the client is sent before the answer to that signal.

use serde::{Deserialize, Serialize};

use super::context::Under;
use super::network::{Asking, HostQuestion};
use super::output::{Closed, Gap, Output};
use super::policy::Choice;
use crate::bytes::ByteString;
use crate::denial::{Denial, Sight};
use crate::policy::{Degradation, Digest, Origin};
use crate::recorded::Recorded;
use crate::unreached::Unreached;

/// Most arguments of one command.
pub const MAX_ARGUMENTS: usize = 65_536;

/// Most bytes of arguments and environment together: what Linux takes with its default stack (execve(2)).
pub const MAX_ARGUMENT_BYTES: usize = 2 << 20;

/// Parameters of `process/start` and `process/plan`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// The profile, and where the caller stands; the command starts in the caller's working directory.
    pub choice: Choice,
    /// The command and its arguments; the first is looked up in `PATH` where it holds no slash.
    pub argv: Vec<ByteString>,
    /// The caller's environment, before the profile's rules.
    pub env: Vec<(ByteString, ByteString)>,
    /// Variables set for this run whatever the profile says.
    #[serde(default)]
    pub set: Vec<(ByteString, ByteString)>,
    /// Where input and output go.
    pub stdio: Stdio,
    /// Milliseconds until the command is ended; the profile's limit holds as well.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// Another user to run as; root's alone to choose, and never through a server that several users share.
    #[serde(default)]
    pub user: Option<String>,
    /// What happens to output that the server carries.
    #[serde(default)]
    pub output: Output,
    /// Permission bits that new files of the command do not have (umask(2)), 0o777 at most; where it is absent, those that the server was
    /// started with. Limits of resources and the nice value are always the server's.
    #[serde(default)]
    pub umask: Option<u32>,
    /// A context, whose policy holds; of [`Self::choice`] only where the caller stands counts then.
    #[serde(default)]
    pub under: Option<Under>,
    /// Whether the client answers questions about hosts that no rule covers; otherwise they are refused.
    #[serde(default)]
    pub asking: Option<Asking>,
    /// Whether what is used is recorded; nothing is where it is absent.
    #[serde(default)]
    pub record: Option<Recording>,
}

/// How a run is recorded, so that a profile can be proposed from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    /// Whether the hosts that are asked for are to be known: a network that the profile leaves out is the gate's then, with no host
    /// allowed. What is asked for there is refused as a denial that names it, or put to the client ([`Start::asking`]).
    pub hosts: bool,
    /// Whether the sandbox has a loopback of its own, so that what listens inside is known.
    #[serde(default)]
    pub loopback: bool,
    /// Whether unix sockets of the host may be connected to, so that those that are needed are known; never those behind which somebody
    /// acts for whoever speaks to them (container daemons, message buses, agents).
    #[serde(default)]
    pub sockets: bool,
}

/// Where a command's input and output go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Stdio {
    /// The caller's own descriptors, nothing in between.
    Descriptors {
        /// Which of standard input, output and error are open and travel along, in that order.
        open: [bool; 3],
    },
    /// A new pseudo-terminal, whose controlling side comes back with the answer.
    Terminal {
        /// Rows and columns.
        size: [u16; 2],
        /// Which of standard input, output and error are the caller's own descriptors all the same and travel along, in that
        /// order; the others are the terminal. So `2>log` stays a file.
        #[serde(default)]
        own: [bool; 3],
    },
    /// Pipes of the server's, carried as data frames.
    Pipes {
        /// Whether standard input is one; otherwise it is empty.
        input: bool,
    },
    /// A new pseudo-terminal of the server's, carried as data frames of [`Stream::Output`](crate::frame::Stream).
    Carried {
        /// Rows and columns.
        size: [u16; 2],
    },
}

/// Names a command within its connection.
pub type ProcessId = u64;

/// Result of `process/start`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The command.
    pub id: ProcessId,
    /// Its first process, as the host numbers it.
    pub pid: i32,
    /// How the profile is enforced.
    pub enforcement: Enforcement,
}

/// Result of `process/plan`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// How the profile would be enforced.
    pub enforcement: Enforcement,
    /// Every step, for people.
    pub listing: String,
}

/// How a profile is enforced on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enforcement {
    /// The profile.
    pub profile: String,
    /// The digest of the policy that is enforced.
    pub digest: Digest,
    /// `direct`, `user-namespace` or `bare` on Linux, `seatbelt` on macOS; `unrestricted` where no rule holds.
    pub way: String,
    /// What holds the rules.
    pub mechanisms: Vec<Mechanism>,
    /// Guarantees that this host cannot keep and the profile gives up by name.
    pub degradations: Vec<Degraded>,
    /// What should be known besides, for people.
    pub remarks: Vec<String>,
}

/// One mechanism at work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mechanism {
    /// Its name, such as `landlock` or `pid-namespace`.
    pub name: String,
    /// Version, size or extent, for people.
    pub detail: String,
}

/// One guarantee given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Degraded {
    /// Its name in the profile.
    pub name: Degradation,
    /// The rule that gives it up.
    pub origin: Origin,
    /// What is lost, for people.
    pub lost: String,
}

/// Parameters of `process/signal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signal {
    /// The command.
    pub id: ProcessId,
    /// The signal's number (signal(7)).
    pub signal: i32,
    /// Who gets it.
    pub to: Receivers,
}

/// Who gets a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Receivers {
    /// The command's process group: as a terminal sends them.
    Group,
    /// The command's first process.
    Leader,
    /// Everything in the sandbox.
    All,
}

/// What happens to a command after it has started. Carried as a JSON-RPC notification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", content = "params")]
pub enum Event {
    /// Its first process was stopped by a signal.
    #[serde(rename = "process/stopped")]
    Stopped {
        /// The command.
        id: ProcessId,
        /// The signal.
        signal: i32,
    },
    /// The command itself has ended, and what it has started goes on, as its profile lets it. Once at most, before the end.
    #[serde(rename = "process/background")]
    Background {
        /// The command.
        id: ProcessId,
        /// How the command itself ended.
        end: End,
    },
    /// A program tries to reach a host that no rule covers, and waits for the client's word.
    #[serde(rename = "network/question")]
    Question(Box<HostQuestion>),
    /// It has ended, and everything it started with it. Once, and the last event where the server carries no stream.
    #[serde(rename = "process/exited")]
    Exited(Box<Exited>),
    /// Bytes that were dropped, before the first one behind them.
    #[serde(rename = "process/gap")]
    Gap(Gap),
    /// Every byte has been sent. Once, the last event.
    #[serde(rename = "process/closed")]
    Closed(Closed),
}

/// A notification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// Always [`super::JSON_RPC`].
    pub jsonrpc: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// How a command ended: result of `process/wait`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exited {
    /// The command.
    pub id: ProcessId,
    /// Why it ended.
    pub end: End,
    /// What it used.
    pub usage: Usage,
    /// What was refused, as far as it can be seen; the same is told once, with its number.
    pub denials: Vec<Denial>,
    /// Which denials can be seen on this host in this way, and which not.
    #[serde(default)]
    pub sight: Sight,
    /// Hosts that the policy allows and that could not be reached all the same; absent where there are none.
    #[serde(default, skip_serializing_if = "Unreached::is_empty")]
    pub unreached: Unreached,
    /// Repositories made below a writable root during the run, by their directory, for people: a host-side git will run
    /// their hooks and read their configuration.
    pub new_repositories: Vec<ByteString>,
    /// What was used, where that was asked for and could be recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Box<Recorded>>,
    /// Processes of it that the kernel has not ended, by the numbers that they have outside: they wait for a file system or a device that does not
    /// answer, and run nothing any more. Absent where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stuck: Vec<i32>,
}

/// Why a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum End {
    /// By itself.
    Exited {
        /// Its exit code.
        code: i32,
    },
    /// By a signal.
    Signalled {
        /// The signal.
        signal: i32,
    },
    /// Its time was over.
    TimedOut {
        /// The limit, in milliseconds.
        limit_ms: u64,
    },
    /// It and all it started were ended by the kernel, for together they had more memory than the profile's limit.
    Memory {
        /// The limit, in bytes.
        limit_bytes: u64,
    },
    /// It and all it started wrote more than the profile's limit; what was written has been kept.
    Output {
        /// The limit, in bytes, of standard output and standard error together.
        limit_bytes: u64,
    },
    /// The server stopped, and ended it for that.
    ServerStopping,
    /// The sandbox was ended from outside: the client went, or the launcher or init died.
    Cancelled,
}

/// What a command and everything it started used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Time from start to end, in microseconds.
    pub wall_us: u64,
    /// Processor time in user mode, in microseconds.
    pub user_us: u64,
    /// Processor time in the kernel, in microseconds.
    pub system_us: u64,
    /// Largest resident set of any one process, in KiB.
    pub max_rss_kib: u64,
}
