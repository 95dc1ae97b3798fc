//! What happens in a conversation, once: kept by threads, told to models again, shown to people.
//!
//! Every other form, an event of `weir exec --json`, a provider's message, a line on a screen, is made from an [`Item`]. Pure
//! data: nothing here reads, asks or decides. Unknown fields are ignored, for a newer version may have written them.

use std::fmt;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_protocol::denial::Denial;
use weir_protocol::method::context::LeaseId;
use weir_protocol::method::output::Account;
use weir_protocol::method::process::{End, ProcessId};

use crate::thread::{ThreadId, TurnStatus};

/// One thing that was said or done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Item {
    /// What the person wrote: a prompt, or a word to a turn that runs.
    UserMessage {
        /// The text.
        text: String,
    },
    /// What the model said.
    AgentMessage {
        /// The text.
        text: String,
    },
    /// What the model told of its reasoning.
    Reasoning {
        /// What may be shown; often empty.
        text: String,
        /// What the provider wants back with the next request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        opaque: Option<Opaque>,
    },
    /// What the model asks to be done.
    ToolCall {
        /// The call, for its result.
        call: CallId,
        /// The tool, which may not exist.
        tool: String,
        /// Exactly as the model wrote them: JSON or not.
        arguments: String,
    },
    /// What became of a call.
    ToolResult {
        /// The call.
        call: CallId,
        /// What it came to.
        outcome: ToolOutcome,
    },
    /// Stands for everything before it when a model is told the conversation.
    Compaction {
        /// The summary.
        summary: String,
    },
    /// Something went wrong that the person should know of.
    Error {
        /// What, in a sentence.
        message: String,
    },
}

impl Item {
    /// The id of the call that this is.
    #[must_use]
    pub const fn calls(&self) -> Option<&CallId> {
        match self {
            Self::ToolCall { call, .. } => Some(call),
            _ => None,
        }
    }
}

/// What a provider wants back as it was: encrypted reasoning, signatures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Opaque {
    /// The provider's id; no other is given it.
    pub provider: String,
    /// Its own words.
    pub value: Value,
}

/// Names one call of a tool; the provider gives it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(pub String);

impl fmt::Display for CallId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl From<&str> for CallId {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// What a call came to: the text that the model is told, and the same as data for people and programs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolOutcome {
    /// For the model.
    pub told: String,
    /// For everyone else.
    pub did: Did,
}

impl ToolOutcome {
    /// A call that could not be carried out: the model is told why.
    #[must_use]
    pub fn failed(reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { told: reason.clone(), did: Did::Failed { reason } }
    }
}

/// What a call did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Did {
    /// Ran a command, or spoke to one that runs.
    Command {
        /// Its number at the exec-server; none where it was not started.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        process: Option<ProcessId>,
        /// Its words.
        argv: Vec<String>,
        /// How it stands.
        status: CommandStatus,
        /// The end of what it wrote, as text.
        output_tail: String,
        /// Every stream, once it is closed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        streams: Vec<Account>,
        /// What it was refused.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        denials: Vec<Denial>,
    },
    /// Changed files.
    Files {
        /// Which, and how.
        changes: Vec<FileChange>,
    },
    /// Read, listed or searched, and changed nothing.
    Read,
    /// Wrote down a plan, in place of the one before.
    Plan {
        /// Its steps.
        steps: Vec<Step>,
    },
    /// Asked for a permission.
    Permission {
        /// Whether it was given.
        granted: bool,
        /// The lease that it came to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lease: Option<LeaseId>,
    },
    /// Gave work to another thread.
    Delegated {
        /// The thread.
        thread: ThreadId,
        /// How its turn ended.
        #[serde(flatten)]
        status: TurnStatus,
        /// Tokens that it has used, those of its own helpers included.
        usage: Usage,
    },
    /// Nothing, because it could not be done.
    Failed {
        /// Why.
        reason: String,
    },
    /// Something that a newer version can do.
    #[serde(other)]
    Other,
}

/// How a command stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum CommandStatus {
    /// It runs.
    Running,
    /// It has ended.
    Ended {
        /// How.
        end: End,
    },
    /// It was not allowed to start, by a rule or by the person.
    Declined {
        /// Why.
        reason: String,
    },
    /// The exec-server did not start it.
    NotStarted {
        /// Why.
        reason: String,
    },
}

/// One file that was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// The file.
    pub path: String,
    /// How.
    pub kind: ChangeKind,
}

/// How a file was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is new.
    Add,
    /// It is gone.
    Delete,
    /// Its content is another.
    Update,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What is to be done.
    pub text: String,
    /// How far it is.
    pub status: StepStatus,
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// Not begun.
    Pending,
    /// Begun.
    InProgress,
    /// Done.
    Completed,
}

/// Tokens, of one request or of many. `cached_input` and `cache_write_input` are parts of `input`, `reasoning_output` is one of `output`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Read by the model.
    pub input: u64,
    /// Of these, found in the provider's cache.
    #[serde(default)]
    pub cached_input: u64,
    /// Of these, written to the provider's cache.
    #[serde(default)]
    pub cache_write_input: u64,
    /// Written by the model.
    pub output: u64,
    /// Of these, spent on reasoning.
    #[serde(default)]
    pub reasoning_output: u64,
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            cached_input: self.cached_input.saturating_add(other.cached_input),
            cache_write_input: self.cache_write_input.saturating_add(other.cache_write_input),
            output: self.output.saturating_add(other.output),
            reasoning_output: self.reasoning_output.saturating_add(other.reasoning_output),
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_newer_version_writes_can_be_read() {
        let line = r#"{"type":"tool_result","call":"c","outcome":{"told":"t","did":{"kind":"painted","with":7},"more":1}}"#;
        let item: Item = serde_json::from_str(line).unwrap();
        let outcome = ToolOutcome { told: "t".to_owned(), did: Did::Other };
        assert_eq!(item, Item::ToolResult { call: "c".into(), outcome });
    }

    #[test]
    fn a_command_keeps_its_account() {
        let did = Did::Command {
            process: Some(7),
            argv: vec!["true".to_owned()],
            status: CommandStatus::Ended { end: End::Signalled { signal: 9 } },
            output_tail: "…".to_owned(),
            streams: Vec::new(),
            denials: Vec::new(),
        };
        let text = serde_json::to_string(&did).unwrap();
        assert!(
            text.contains(r#""status":{"state":"ended","end":{"reason":"signalled","signal":9}}"#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Did>(&text).unwrap(), did);
    }
}
