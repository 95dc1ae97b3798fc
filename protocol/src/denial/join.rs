//! What a mechanism saw, joined to the policy: the rule, the edit, the option.

use super::{Act, Denial, Mechanism, Process, RunOption};
use crate::bytes::ByteString;
use crate::path::AbsPath;
use crate::policy::explain::Explanation;
use crate::policy::{Access, Host, Operation, Policy, Request, RuleRef};
use crate::profile::read::key_of;

/// What a mechanism tells of one refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// What was tried.
    pub operation: Act,
    /// The path or address.
    pub target: ByteString,
    /// Who tells.
    pub mechanism: Mechanism,
    /// When, in RFC 3339, UTC.
    pub time: String,
    /// Who tried it.
    pub process: Option<Process>,
    /// Why, where the rule alone does not say it.
    pub reason: Option<String>,
}

/// What the policy says.
enum Word {
    /// It refuses.
    Refused(Box<Explanation>, Option<RunOption>),
    /// It allows.
    Allowed,
    /// It does not speak of such things.
    Silent,
}

impl Observed {
    /// The denial, where it is the policy's. Where the policy allows what failed, or does not speak of it, it failed for other reasons:
    /// nothing.
    #[must_use]
    pub fn joined(self, policy: &Policy) -> Option<Denial> {
        match self.word(policy) {
            Word::Refused(why, option) => Some(self.denial(Some(*why), option)),
            Word::Allowed | Word::Silent => None,
        }
    }

    /// The denial, whatever the policy says: the mechanism refuses nothing of its own accord. Where the policy names no rule, none is
    /// named.
    #[must_use]
    pub fn certain(self, policy: &Policy) -> Denial {
        match self.word(policy) {
            Word::Refused(why, option) => self.denial(Some(*why), option),
            Word::Allowed | Word::Silent => self.denial(None, None),
        }
    }

    fn denial(self, why: Option<Explanation>, option: Option<RunOption>) -> Denial {
        let Self { operation, target, mechanism, time, process, reason } = self;
        let (origin, edit) = why.map(|why| (why.origin, why.edit)).unwrap_or_default();
        let access = if target.0.first() == Some(&b'/') { operation.access() } else { None };
        Denial { operation, target, access, mechanism, origin, count: 1, time, process, edit, option, reason }
    }

    fn word(&self, policy: &Policy) -> Word {
        let path = AbsPath::parse(&self.target.0).ok();
        match (self.operation, self.operation.access(), path) {
            (_, Some(operation), Some(path)) => {
                let above = self.directory(policy, &path, operation);
                of_path(policy, above.as_ref().unwrap_or(&path), operation)
            }
            (Act::Connect, _, Some(path)) => of_request(policy, &Request::UnixSocket { path: &path }),
            (Act::Connect | Act::Resolve | Act::Send, _, None) => self.of_address(policy),
            _ => Word::Silent,
        }
    }

    /// The directory, where that is what a rule would have to grant: what does not exist yet cannot be granted. Landlock names the
    /// directory by itself, and Seatbelt goes by names.
    fn directory(&self, policy: &Policy, path: &AbsPath, operation: Operation) -> Option<AbsPath> {
        let verdict = policy.verdict(&Request::Path { path, operation });
        let is_own = match verdict.rule {
            RuleRef::Glob(_) => true,
            RuleRef::Path(rule) => rule.path == *path,
            _ => false,
        };
        let by_init = matches!(self.mechanism, Mechanism::Broker | Mechanism::Live);
        let by_directory = by_init && self.operation.needs_directory();
        if verdict.allowed || is_own || !by_directory {
            return None;
        }
        let above = path.parent()?;
        let request = Request::Path { path: &above, operation };
        (!policy.verdict(&request).allowed).then_some(above)
    }

    fn of_address(&self, policy: &Policy) -> Word {
        let Some((host, port)) = address(&self.target) else { return Word::Silent };
        of_request(policy, &Request::Connect { host: &host, port })
    }
}

/// The host and port that the target of a denial names. A name is asked for before any port is known; the usual one stands for it.
#[must_use]
pub fn address(target: &ByteString) -> Option<(Host, u16)> {
    let text = std::str::from_utf8(&target.0).ok()?;
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let host = Host::parse(host.trim_matches(['[', ']'])).ok()?;
    Some((host, port.parse().unwrap_or(HTTPS)))
}

/// The port that an edit names where only a name was asked for.
const HTTPS: u16 = 443;

fn of_request(policy: &Policy, request: &Request<'_>) -> Word {
    if policy.verdict(request).allowed {
        return Word::Allowed;
    }
    Word::Refused(Box::new(policy.explain(request)), None)
}

fn of_path(policy: &Policy, path: &AbsPath, operation: Operation) -> Word {
    let request = Request::Path { path, operation };
    let verdict = policy.verdict(&request);
    if verdict.allowed {
        return Word::Allowed;
    }
    // A pattern wins over whatever is granted, and so does `none` for the very same path.
    let is_firm = match verdict.rule {
        RuleRef::Glob(_) => true,
        RuleRef::Path(rule) => rule.path == *path && rule.access == Access::None,
        _ => false,
    };
    let name = if operation.needs() == Access::Write { "--write" } else { "--read" };
    let value = key_of(path).filter(|_| !is_firm);
    let option = value.map(|value| RunOption { name: name.to_owned(), value: value.as_str().into() });
    Word::Refused(Box::new(policy.explain(&request)), option)
}
