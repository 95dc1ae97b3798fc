//! Questions to a plan: what holds the answers of a policy on this machine, without anything being made.

use serde::{Deserialize, Serialize};
use weir_protocol::AbsPath;
use weir_protocol::Policy;
use weir_protocol::held::Held;
use weir_protocol::policy::explain::Explanation;
use weir_protocol::policy::{Host, Operation, Request};

use super::Launch;

/// Questions about one launch.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inquiry {
    /// What would be launched: its policy and where it stands. Nothing of it is executed.
    pub launch: Launch,
    /// What is asked.
    pub asked: Vec<Asked>,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Asked {
    /// An operation on a final path.
    Path {
        /// The path.
        path: AbsPath,
        /// What is tried.
        operation: Operation,
    },
    /// A connection.
    Connect {
        /// The host, as its type prints it.
        host: String,
        /// The port.
        port: u16,
    },
    /// A connection to a unix socket.
    UnixSocket {
        /// Its final path.
        path: AbsPath,
    },
    /// A variable of the caller's.
    Environment {
        /// Its name.
        name: String,
    },
    /// Whether a command can begin in this directory.
    Enter {
        /// The directory.
        path: AbsPath,
    },
    /// Whether this symbolic link leads on.
    Pass {
        /// The link itself.
        path: AbsPath,
    },
}

/// An answer: the policy's, as it holds in the file tree of this machine, and what holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// The policy's word.
    pub explanation: Explanation,
    /// What holds it.
    pub held: Held,
}

impl Asked {
    /// Puts the question to whoever takes a request.
    pub(super) fn put<T>(&self, to: impl FnOnce(&Request<'_>) -> T) -> T {
        match self {
            Self::Path { path, operation } => to(&Request::Path { path, operation: *operation }),
            Self::Enter { path } | Self::Pass { path } => {
                to(&Request::Path { path, operation: Operation::Read })
            }
            Self::Connect { host, port } => {
                let host = Host::parse(host).unwrap_or_else(|_| Host::Name(host.clone()));
                to(&Request::Connect { host: &host, port: *port })
            }
            Self::UnixSocket { path } => to(&Request::UnixSocket { path }),
            Self::Environment { name } => to(&Request::Environment { name }),
        }
    }

    fn explained(&self, policy: &Policy) -> Explanation {
        let explanation = self.put(|request| policy.explain(request));
        let question = match self {
            Self::Enter { path } => format!("begin in {path}"),
            Self::Pass { path } => format!("follow the symbolic link {path}"),
            _ => return explanation,
        };
        Explanation { question, ..explanation }
    }
}

impl Inquiry {
    /// The answers where no command runs under the policy.
    #[must_use]
    pub fn unenforceable(&self, reason: &str) -> Vec<Answered> {
        self.answered(&self.launch.policy, |_, _| Held::Unenforceable { reason: reason.to_owned() })
    }

    /// The answers of a policy, with what holds each. That may turn the answer about a directory or a link on the way.
    pub(super) fn answered(
        &self,
        policy: &Policy,
        held: impl Fn(&Asked, &mut Explanation) -> Held,
    ) -> Vec<Answered> {
        let one = |asked: &Asked| {
            let mut explanation = asked.explained(policy);
            let held = held(asked, &mut explanation);
            Answered { explanation, held }
        };
        self.asked.iter().map(one).collect()
    }
}
