//! The methods of the exec-server, each defined once: name, parameters, result. Carried as JSON-RPC 2.0.

pub mod context;
pub mod output;
pub mod policy;
pub mod process;
pub mod server;

use serde::{Deserialize, Serialize};
use serde_json::Value;

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

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// The kind of failure.
    pub code: i64,
    /// For people: what, where, and what to do.
    pub message: String,
}

/// Codes of [`Error`]. Those below -32000 are the ones that JSON-RPC fixes.
pub mod code {
    /// Not JSON, or not a request.
    pub const BAD_REQUEST: i64 = -32600;
    /// Not a method of this version, or not its parameters.
    pub const BAD_CALL: i64 = -32602;
    /// A document has errors.
    pub const DOCUMENT: i64 = -32010;
    /// A file cannot be read or is not trusted.
    pub const FILE: i64 = -32011;
    /// A profile does not exist, or cannot be put together or resolved.
    pub const PROFILE: i64 = -32012;
    /// A layer that may only narrow would widen.
    pub const WIDENED: i64 = -32013;
    /// The administrator's ceiling refuses.
    pub const CEILING: i64 = -32014;
    /// The question itself makes no sense.
    pub const QUESTION: i64 = -32015;
    /// This host cannot hold the policy, and the profile does not give the guarantee up by name.
    pub const UNENFORCEABLE: i64 = -32020;
    /// The sandbox could not be made; nothing ran.
    pub const LAUNCH: i64 = -32021;
    /// The command was not found.
    pub const COMMAND_NOT_FOUND: i64 = -32022;
    /// The command was found and cannot be executed.
    pub const COMMAND_NOT_EXECUTABLE: i64 = -32023;
    /// The server is busy, or the call does not fit what has happened so far.
    pub const STATE: i64 = -32024;
    /// There is no such command, or it is another user's.
    pub const NO_COMMAND: i64 = -32025;
    /// The caller has as many as it may have.
    pub const QUOTA: i64 = -32026;
    /// There is no such context or lease, or it is another user's.
    pub const NO_CONTEXT: i64 = -32028;
    /// A policy would be wider than the one that binds.
    pub const WIDER: i64 = -32029;
    /// A lease gives nothing here.
    pub const LEASE: i64 = -32030;
    /// What the server keeps could not be read or written.
    pub const STORE: i64 = -32031;
    /// No version in common.
    pub const VERSION: i64 = -32027;
    /// What was asked could not be recorded, so it was not done.
    pub const AUDIT: i64 = -32028;
}
