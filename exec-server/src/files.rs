//! Calls on files: what a worker inside a sandbox does, and what it and the server part say to each other.
//!
//! The worker is a function of this program that goes on where a command would be executed, held by the same plan, so that the
//! kernel decides about a call as it decides about a command. It knows nothing of the policy; which rule is behind a refusal, the server
//! part says, which has it. Standard input brings one call at a time, standard output takes content and one answer; anything
//! that arrives while a call is under way calls it off.

mod change;
mod copy;
mod find;
mod link;
mod list;
mod patch;
mod procfs;
mod read;
pub(crate) mod refusal;
mod search;
pub(crate) mod worker;
mod write;

use std::io;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_protocol::AbsPath;
use weir_protocol::policy::Operation;

use crate::profile::surroundings::{Host, Walker};

/// The name under which a worker's sandbox is recorded, where a command's words stand.
pub(crate) const NAME: &str = ":files";

/// What the worker answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Told {
    /// The method's result.
    Done(Value),
    /// Why there is none.
    Failed(Failure),
}

/// Why a call failed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// What stood in the way.
    pub(crate) fault: Fault,
    /// On which file.
    pub(crate) path: AbsPath,
    /// Where that path leads, as far as can be seen inside.
    pub(crate) real: AbsPath,
    /// What was tried.
    pub(crate) operation: Operation,
    /// Other files that it may have failed on, where they lead.
    #[serde(default)]
    pub(crate) also: Vec<AbsPath>,
}

/// What stood in the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fault {
    /// The kernel's error number.
    System(i32),
    /// A device, pipe or socket.
    Special,
    /// What a procfs shows of a process.
    OfAProcess,
    /// So much of a kind, and the most that is taken.
    TooLarge(String),
    /// A patch does not fit.
    Mismatch(String),
    /// A pattern cannot be read.
    Pattern(String),
    /// The call was called off.
    CalledOff,
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::System(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

impl From<rustix::io::Errno> for Fault {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::System(errno.raw_os_error())
    }
}

/// What a call comes to.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// Says on which file something failed.
trait On<T> {
    /// The failure of an attempt to read.
    fn reading(self, path: &AbsPath) -> Outcome<T>;
    /// The failure of an attempt to change.
    fn writing(self, path: &AbsPath) -> Outcome<T>;
}

impl<T, F: Into<Fault>> On<T> for Result<T, F> {
    fn reading(self, path: &AbsPath) -> Outcome<T> {
        self.map_err(|fault| failure(fault.into(), path, Operation::Read))
    }

    fn writing(self, path: &AbsPath) -> Outcome<T> {
        self.map_err(|fault| failure(fault.into(), path, Operation::Write))
    }
}

fn failure(fault: Fault, path: &AbsPath, operation: Operation) -> Failure {
    Failure { fault, path: path.clone(), real: real(path), operation, also: Vec::new() }
}

/// Where a path leads, as far as can be seen.
fn real(path: &AbsPath) -> AbsPath {
    Walker::new(&Host::default()).follow(path).real
}
