//! Contexts: a policy that is decided once and holds for everything that a thread of work starts.
//!
//! The server keeps a context's policy under the digest that it had when it was opened. A thread's name binds: who opens it again
//! gets the same policy or a narrower one, whatever the files say by then, and never a wider one; that holds over the
//! server's restart as well. An escalation is a lease beside the context; the context stays as it is.

use serde::{Deserialize, Serialize};

use super::policy::Choice;
use crate::policy::lease::{Grant, Scope};
use crate::policy::{Digest, Excess, Policy};

/// Names a context of one user.
pub type ContextId = u64;

/// Names a lease of one user.
pub type LeaseId = u64;

/// Longest name of a thread, in bytes.
pub const MAX_THREAD_BYTES: usize = 256;

/// Parameters of `context/open`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Open {
    /// The profile.
    pub choice: Choice,
    /// The thread of work that is bound to it; nothing is bound where it is absent.
    #[serde(default)]
    pub thread: Option<String>,
    /// The thread of work whose history this one begins with. Where nothing binds `thread` yet, what binds that one does: the policy must
    /// allow nothing more. A server that does not know it is told nothing by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<String>,
    /// The policy that binds the thread as the client knows it, by value: the context allows nothing beyond that either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Box<Policy>>,
}

/// Parameters of `context/narrow`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Narrow {
    /// The context.
    pub id: ContextId,
    /// The profile that holds from now on; it must allow nothing more.
    pub choice: Choice,
}

/// Parameters of `context/fork`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fork {
    /// The context whose policy the new one has.
    pub id: ContextId,
    /// The thread that is bound to the new one.
    #[serde(default)]
    pub thread: Option<String>,
}

/// Parameters of `context/lease`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Escalate {
    /// The context, which stays as it is.
    pub id: ContextId,
    /// What is added.
    pub grants: Vec<Grant>,
    /// For what.
    pub scope: Scope,
    /// Milliseconds until it ends.
    pub for_ms: u64,
    /// Why, for the record.
    #[serde(default)]
    pub reason: String,
}

/// Parameters of `context/close`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Close {
    /// The context. Its thread stays bound.
    pub id: ContextId,
}

/// A context: result of `context/open`, `context/fork` and `context/narrow`, and an entry of `context/list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// The context.
    pub id: ContextId,
    /// The thread that is bound to it.
    pub thread: Option<String>,
    /// The profile.
    pub profile: String,
    /// The digest of its policy.
    pub digest: Digest,
    /// What should be said about documents and profile.
    #[serde(default)]
    pub remarks: Vec<String>,
}

/// Result of `context/list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contexts {
    /// The caller's open contexts, by number.
    pub contexts: Vec<Opened>,
}

/// Result of `context/lease`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leased {
    /// The lease, for [`Under::lease`].
    pub lease: LeaseId,
    /// When it ends, in milliseconds since 1970 (UTC).
    pub expires_ms: u64,
}

/// Under what a command starts, in place of a profile that is named for it alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Under {
    /// The context.
    pub context: ContextId,
    /// A lease of that context.
    #[serde(default)]
    pub lease: Option<LeaseId>,
    /// The turn of the context's thread in which it starts.
    #[serde(default)]
    pub turn: Option<String>,
}

/// Why a thread does not get the policy that was asked for: it is wider than the one that binds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}", self.text())]
pub struct Wider {
    /// The policy that binds.
    pub bound: Digest,
    /// The policy that was asked for.
    pub asked: Digest,
    /// What the second allows beyond the first.
    pub excess: Vec<Excess>,
}

/// Most differing rules that are named in one message.
const MAX_NAMED: usize = 20;

impl Wider {
    fn text(&self) -> String {
        let mut text = format!(
            "policy {} allows more than {}, which binds the thread; keep to what binds it, or begin another thread:",
            self.asked, self.bound
        );
        for excess in self.excess.iter().take(MAX_NAMED) {
            text.push_str(&format!("\n  - {excess}"));
        }
        if self.excess.len() > MAX_NAMED {
            text.push_str(&format!("\n  - and {} more", self.excess.len() - MAX_NAMED));
        }
        text
    }
}
