//! The methods of the exec-server, each defined once: name, parameters, result. Carried as JSON-RPC 2.0.

pub mod changes;
pub mod context;
pub mod denial;
pub mod error;
pub mod file;
pub mod network;
pub mod output;
pub mod policy;
pub mod process;
pub mod server;
mod typed;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use error::{Error, code};
pub use typed::Asks;

/// The version that every message states.
pub const JSON_RPC: &str = "2.0";

/// A method with its parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", content = "params")]
pub enum Call {
    /// Agrees on a version.
    #[serde(rename = "server/hello")]
    Hello(server::Hello),
    /// Reads documents and reports what is wrong with them.
    #[serde(rename = "policy/check")]
    PolicyCheck(policy::Check),
    /// Resolves a profile to a policy.
    #[serde(rename = "policy/show")]
    PolicyShow(policy::Choice),
    /// Answers one question and says why.
    #[serde(rename = "policy/explain")]
    PolicyExplain(Box<policy::Explain>),
    /// Compares two profiles.
    #[serde(rename = "policy/diff")]
    PolicyDiff(Box<policy::Diff>),
    /// Tries what this host can enforce.
    #[serde(rename = "host/doctor")]
    HostDoctor,
    /// Decides a policy and keeps it.
    #[serde(rename = "context/open")]
    ContextOpen(Box<context::Open>),
    /// Opens another context with the same policy.
    #[serde(rename = "context/fork")]
    ContextFork(context::Fork),
    /// Gives a context a narrower policy.
    #[serde(rename = "context/narrow")]
    ContextNarrow(Box<context::Narrow>),
    /// Adds something for a stated scope and time; the context stays as it is.
    #[serde(rename = "context/lease")]
    ContextLease(Box<context::Escalate>),
    /// Closes a context. Its thread stays bound.
    #[serde(rename = "context/close")]
    ContextClose(context::Close),
    /// Lists the caller's open contexts.
    #[serde(rename = "context/list")]
    ContextList,
    /// Compiles a command's plan and prints it; nothing runs.
    #[serde(rename = "process/plan")]
    ProcessPlan(Box<process::Start>),
    /// Starts a command under a profile.
    #[serde(rename = "process/start")]
    ProcessStart(Box<process::Start>),
    /// Sends a signal to a running command.
    #[serde(rename = "process/signal")]
    ProcessSignal(process::Signal),
    /// Asks a command to end, and ends it when it does not.
    #[serde(rename = "process/kill")]
    ProcessKill(output::Kill),
    /// Ends a command's standard input behind all that was sent before.
    #[serde(rename = "process/close-input")]
    ProcessCloseInput(output::Of),
    /// Changes the size of a carried terminal.
    #[serde(rename = "process/resize")]
    ProcessResize(output::Resize),
    /// Answers when a command has ended.
    #[serde(rename = "process/wait")]
    ProcessWait(output::Of),
    /// Lists the caller's commands.
    #[serde(rename = "process/list")]
    ProcessList,
    /// Reads a command's output from an offset on, and hears of it.
    #[serde(rename = "process/attach")]
    ProcessAttach(output::Attach),
    /// Forgets a command that has ended, and what it wrote.
    #[serde(rename = "process/forget")]
    ProcessForget(output::Of),
    /// Answers a question about a host that a program of the caller's command tries to reach.
    #[serde(rename = "network/answer")]
    NetworkAnswer(network::Answer),
    /// Lists what was refused in runs that are over.
    #[serde(rename = "denial/list")]
    DenialList(denial::Asked),
    /// Lists what commands changed in a copy.
    #[serde(rename = "changes/list")]
    ChangesList(Box<changes::ListChanges>),
    /// Makes changes of a copy those of the place itself.
    #[serde(rename = "changes/apply")]
    ChangesApply(Box<changes::Apply>),
    /// Forgets changes of a copy.
    #[serde(rename = "changes/discard")]
    ChangesDiscard(Box<changes::Discard>),
    /// Reads a part of a file.
    #[serde(rename = "file/read")]
    FileRead(Box<file::Within<file::Read>>),
    /// Makes a file, or replaces or extends its content.
    #[serde(rename = "file/write")]
    FileWrite(Box<file::Within<file::Write>>),
    /// Changes files exactly, all or none.
    #[serde(rename = "file/patch")]
    FilePatch(Box<file::Within<file::Patch>>),
    /// Lists a directory.
    #[serde(rename = "file/list")]
    FileList(Box<file::Within<file::Directory>>),
    /// Tells what a file is.
    #[serde(rename = "file/stat")]
    FileStat(Box<file::Within<file::Stat>>),
    /// Copies a file or a tree.
    #[serde(rename = "file/copy")]
    FileCopy(Box<file::Within<file::Copy>>),
    /// Moves a file or a tree.
    #[serde(rename = "file/move")]
    FileMove(Box<file::Within<file::Move>>),
    /// Removes a file or a tree.
    #[serde(rename = "file/remove")]
    FileRemove(Box<file::Within<file::Remove>>),
    /// Finds files by name.
    #[serde(rename = "file/glob")]
    FileGlob(Box<file::Within<file::Glob>>),
    /// Finds lines that match.
    #[serde(rename = "file/search")]
    FileSearch(Box<file::Within<file::Search>>),
}

impl Call {
    /// A call on files as what a worker is asked; any other comes back.
    ///
    /// # Errors
    /// The call, where it is none on files.
    pub fn on_files(self) -> Result<file::Within<file::Ask>, Box<Self>> {
        Ok(match self {
            Self::FileRead(within) => within.map(file::Ask::Read),
            Self::FileWrite(within) => within.map(file::Ask::Write),
            Self::FilePatch(within) => within.map(file::Ask::Patch),
            Self::FileList(within) => within.map(file::Ask::List),
            Self::FileStat(within) => within.map(file::Ask::Stat),
            Self::FileCopy(within) => within.map(file::Ask::Copy),
            Self::FileMove(within) => within.map(file::Ask::Move),
            Self::FileRemove(within) => within.map(file::Ask::Remove),
            Self::FileGlob(within) => within.map(file::Ask::Glob),
            Self::FileSearch(within) => within.map(file::Ask::Search),
            other => return Err(Box::new(other)),
        })
    }
}

impl Call {
    /// A call about copies as what the launcher is asked; any other comes back.
    ///
    /// # Errors
    /// The call, where it is none about copies.
    pub fn on_copies(self) -> Result<changes::Ask, Box<Self>> {
        Ok(match self {
            Self::ChangesList(list) => changes::Ask::List(*list),
            Self::ChangesApply(apply) => changes::Ask::Apply(*apply),
            Self::ChangesDiscard(discard) => changes::Ask::Discard(*discard),
            other => return Err(Box::new(other)),
        })
    }
}

/// Result of `host/doctor`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Examined {
    /// Whether commands can be confined here at all.
    pub confines: bool,
    /// For people: what holds, what does not, why, and how to get it.
    pub text: String,
    /// The same as data, one entry for each feature.
    pub findings: Value,
    /// What was found by trying.
    pub host: Value,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Always [`JSON_RPC`].
    pub jsonrpc: String,
    /// Chosen by the client, returned with the answer.
    pub id: u64,
    /// What is asked.
    #[serde(flatten)]
    pub call: Call,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// Always [`JSON_RPC`].
    pub jsonrpc: String,
    /// The request's; absent where it could not be read.
    pub id: Option<u64>,
    /// The method's result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Error>,
}
