//! Questions about hosts: what no rule covers is put to the client that started the command, where it says that it answers.
//!
//! A client that starts a command with [`Asking`] hears [`HostQuestion`]s as `network/question` and answers each with `network/answer`. The
//! connection of the program waits meanwhile, and its host's name is looked up by nobody. Without an answer in time the host stays refused.
//! What a rule denies is not asked about, and no answer goes above the administrator's ceiling.

use serde::{Deserialize, Serialize};

use super::context::ContextId;
use super::process::ProcessId;
use crate::policy::Origin;

/// Names a question within its command.
pub type QuestionId = u64;

/// Most questions of one command that wait for an answer at a time: more than a person reads. What is beyond is refused.
pub const MAX_WAITING_QUESTIONS: usize = 16;

/// Most questions that a command may give rise to, so that a flood of names ends.
pub const MAX_QUESTIONS: u32 = 256;

/// Longest time for an answer, in milliseconds: few programs wait longer for a server's first word.
pub const MAX_ANSWER_MS: u64 = 10 * 60 * 1000;

/// That the client answers questions, and how many for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asking {
    /// Milliseconds that a question waits for its answer, up to [`MAX_ANSWER_MS`].
    pub answer_ms: u64,
    /// Questions that are asked in all, up to [`MAX_QUESTIONS`]; what is beyond is refused.
    pub most: u32,
}

/// A host that a program tries to reach and that no rule covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostQuestion {
    /// The command.
    pub id: ProcessId,
    /// Names the question.
    pub question: QuestionId,
    /// The context under which the command runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<ContextId>,
    /// The host, as the program names it.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The rule that states the default, where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Origin>,
    /// Milliseconds until it is refused.
    pub answer_ms: u64,
}

/// Parameters of `network/answer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The command.
    pub id: ProcessId,
    /// The question.
    pub question: QuestionId,
    /// The answer.
    pub answer: Decision,
}

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// The connections that wait for this answer are made, and no other.
    Once,
    /// This host on this port, for everything that runs or starts under the context, as a lease of it; without a context for the
    /// rest of the command.
    Context,
    /// It stays refused, and is not asked about again for this command.
    Deny,
}
