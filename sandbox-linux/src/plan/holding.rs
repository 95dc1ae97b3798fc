//! What of a plan holds the policy's answer to one question: by which mechanism an act is refused or let through, what stands behind that,
//! and what tells of a refusal.
//!
//! Pure: read off the plan alone, step by step as the kernel and init would come to each. Nothing here decides anything: where the policy
//! refuses what nothing in the plan does, that is the answer, and a law says when that may be. Called by the launcher for `policy/explain`.

mod files;
mod network;
mod shown;

use weir_protocol::AbsPath;
use weir_protocol::denial::Mechanism;
use weir_protocol::held::{Does, Held, Holding};
use weir_protocol::policy::{Policy, Request};

use super::{Confinement, Plan};
use shown::{Shown, There};

impl Plan {
    /// What holds the answer of `policy`, for which this plan was compiled, to `request`.
    #[must_use]
    pub fn held(&self, policy: &Policy, request: &Request<'_>) -> Held {
        let Some(held) = &self.confinement else {
            return Held::Nothing { because: "the profile confines nothing".to_owned() };
        };
        let word = Word::of(policy, request);
        let found = match request {
            Request::Path { path, operation } => files::holdings(self, held, (path, *operation), word),
            Request::Connect { host, .. } => network::connection(self, held, host, word),
            Request::UnixSocket { path } => network::unix_socket(self, held, path),
            Request::Environment { name } => environment(self, policy, name, word),
        };
        if found.0.is_empty() || word == Word::Denied && found.first().is_none() {
            return Held::Nothing { because: self.unheld(request, word) };
        }
        let mechanisms = found.into_list(word);
        Held::By { way: self.way.name().to_owned(), mechanisms }
    }

    /// Whether a command can begin in a directory that the policy does not let it read, and what it finds there.
    #[must_use]
    pub fn enters(&self, directory: &AbsPath) -> Option<&'static str> {
        if self.mounts.is_empty() {
            return Some(
                "it can be entered all the same, and not listed: without mounts nothing refuses that",
            );
        }
        match shown::shown(&self.mounts, directory) {
            Shown::Private(_, There::Yes) => {
                Some("the command begins in a private directory of the sandbox's own")
            }
            Shown::Passage(_) => Some("it leads to what is granted, and can be entered"),
            Shown::Host(..) | Shown::Copied(..) | Shown::Proc(_) | Shown::Terminals => {
                Some("it can be entered all the same")
            }
            Shown::Private(_, There::No) | Shown::Absent | Shown::Covered(_) | Shown::Content => None,
        }
    }

    /// Whether a symbolic link of the host's is seen inside, whatever may be read.
    #[must_use]
    pub fn leads(&self, link: &AbsPath) -> bool {
        let shown = || shown::shown(&self.mounts, link);
        self.mounts.is_empty() || matches!(shown(), Shown::Host(..) | Shown::Copied(..) | Shown::Passage(_))
    }

    /// Why nothing holds an answer.
    fn unheld(&self, request: &Request<'_>, word: Word) -> String {
        match request {
            Request::Connect { .. } => {
                return "the command shares the host's network, where nothing is held".to_owned();
            }
            _ if word == Word::Allowed => return "nothing stands between the command and this".to_owned(),
            _ => {}
        }
        let given_up: Vec<String> = self
            .degradations
            .iter()
            .map(|one| format!("{} ({}): {}", one.name.word(), one.origin.whence(), one.lost))
            .collect();
        match given_up.as_slice() {
            [] => "no mechanism of this plan refuses it".to_owned(),
            given_up => format!("the profile gives that up: {}", given_up.join("; ")),
        }
    }
}

/// The policy's word about an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Allowed,
    Denied,
}

impl Word {
    fn of(policy: &Policy, request: &Request<'_>) -> Self {
        if policy.verdict(request).allowed { Self::Allowed } else { Self::Denied }
    }
}

/// What an act comes to, in order.
#[derive(Debug, Default)]
struct Found(Vec<Holding>);

impl Found {
    /// Something that refuses the act.
    fn refuses(&mut self, mechanism: Mechanism, how: impl Into<String>) {
        let first = self.0.iter().all(|holding| holding.does == Does::Admits);
        let does = if first { Does::Refuses } else { Does::Backs };
        self.0.push(Holding { mechanism, does, how: how.into() });
    }

    /// Something that could refuse the act and does not.
    fn admits(&mut self, mechanism: Mechanism, how: impl Into<String>) {
        self.0.push(Holding { mechanism, does: Does::Admits, how: how.into() });
    }

    /// Something that sees a refusal that is another's.
    fn tells(&mut self, mechanism: Mechanism, how: impl Into<String>) {
        self.0.push(Holding { mechanism, does: Does::Tells, how: how.into() });
    }

    /// What refuses first.
    fn first(&self) -> Option<Mechanism> {
        self.0.iter().find(|holding| holding.does == Does::Refuses).map(|holding| holding.mechanism)
    }

    /// What matters: who lets something through is of no interest where another refuses it. What refuses an act that the policy allows
    /// stays in the list, and whoever asks says so.
    fn into_list(self, word: Word) -> Vec<Holding> {
        let is_refused = self.first().is_some();
        let matters = |holding: &Holding| !is_refused || holding.does != Does::Admits;
        let told = |holding: &Holding| is_refused && word == Word::Denied || holding.does != Does::Tells;
        self.0.into_iter().filter(|holding| matters(holding) && told(holding)).collect()
    }
}

fn environment(plan: &Plan, policy: &Policy, name: &str, word: Word) -> Found {
    let mut found = Found::default();
    let is_proxy =
        crate::gate::variables::names_proxy(name.as_bytes()) && !policy.environment().set.contains_key(name);
    let is_gated = plan.gate.is_some() || plan.proxies.is_some();
    if word == Word::Denied {
        found.refuses(Mechanism::Environment, "the server leaves it out of what the command is started with");
    } else if is_gated && is_proxy {
        let how = "no proxy of the caller's is reached from behind the network gate, so that the variable is left out";
        found.refuses(Mechanism::Environment, how);
    } else {
        found.admits(Mechanism::Environment, "the server puts it into what the command is started with");
    }
    found
}

/// Whether the filter lets a socket be made (socket(2)).
fn makes_socket(held: &Confinement, [family, kind]: [u64; 2]) -> bool {
    let Some(call) = crate::seccomp::by_name("socket") else { return false };
    let data = crate::bpf::SeccompData {
        nr: call.number(held.arch).map_or(u32::MAX, u32::from),
        arch: held.arch.audit(),
        instruction_pointer: 0,
        args: [family, kind, 0, 0, 0, 0],
    };
    held.filter.evaluate(&data).is_ok_and(|found| found.action == crate::bpf::Action::Allow)
}

#[cfg(test)]
mod tests;
