//! Escalation as a value: a bounded widening of one policy that never changes it.

use serde::{Deserialize, Serialize};

use super::access::Access;
use super::digest::Digest;
use super::filesystem::{Filesystem, FilesystemParts, Overruled, PathRule};
use super::host::DomainPattern;
use super::network::{DomainRule, Network, NetworkParts, Sourced};
use super::origin::{Layer, Origin};
use super::{Policy, PolicyParts};
use crate::members;
use crate::path::AbsPath;
use crate::profile::read::{PROTECTED_NAMES, REPOSITORY_NAME};

/// Longest time a lease may run, in milliseconds: one day.
pub const MAX_LEASE_MS: u64 = 24 * 60 * 60 * 1000;

/// Most grants in one lease: a person must be able to read what they approve.
pub const MAX_LEASE_GRANTS: usize = 64;

/// One thing that a lease adds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Grant {
    /// Access to a path and all below it.
    Path {
        /// The path, final.
        path: AbsPath,
        /// `read` or `write`.
        access: Access,
    },
    /// A host.
    Domain {
        /// Host and port.
        pattern: DomainPattern,
    },
    /// A unix socket.
    UnixSocket {
        /// The socket, final.
        path: AbsPath,
    },
}

/// For what a lease may be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Scope {
    /// One start of exactly this command.
    Command {
        /// Its arguments, the program first.
        argv: Vec<String>,
    },
    /// Every start within one turn of one thread.
    Turn {
        /// The thread.
        thread: String,
        /// The turn.
        turn: String,
    },
    /// Every start within its context, without being presented. Hosts alone are granted so.
    #[serde(deserialize_with = "members::none")]
    Context,
}

/// A start for which a lease is presented.
#[derive(Debug, Clone, Copy)]
pub struct Use<'a> {
    /// The command's arguments.
    pub argv: &'a [String],
    /// The thread and turn in which it starts, if any.
    pub turn: Option<(&'a str, &'a str)>,
    /// Now, in milliseconds since 1970 (UTC).
    pub now_ms: u64,
    /// How often this lease has been used before.
    pub used: u32,
}

/// A widening of one policy, for a stated scope, until a stated time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// The policy it widens; it is void for every other.
    pub base: Digest,
    /// What it adds.
    pub grants: Vec<Grant>,
    /// For what.
    pub scope: Scope,
    /// When it was given, in milliseconds since 1970 (UTC).
    pub issued_ms: u64,
    /// When it ends, in milliseconds since 1970 (UTC).
    pub expires_ms: u64,
    /// Why it was given, for the audit log.
    pub reason: String,
}

/// Why a lease yields no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// It was given for another policy.
    #[error("the lease was given for policy {expected}, not for {found}")]
    WrongBase {
        /// The policy it was given for.
        expected: Digest,
        /// The policy it was presented with.
        found: Digest,
    },
    /// Its time is over, or not yet come.
    #[error("the lease is valid from {issued_ms} to {expires_ms} ms and it is {now_ms} ms")]
    OutOfTime {
        /// Start.
        issued_ms: u64,
        /// End.
        expires_ms: u64,
        /// Now.
        now_ms: u64,
    },
    /// It would run longer than any lease may.
    #[error("a lease may run for {MAX_LEASE_MS} ms at most")]
    TooLong,
    /// Nothing, or too much, is granted.
    #[error("a lease grants between 1 and {MAX_LEASE_GRANTS} things, not {count}")]
    GrantCount {
        /// How many.
        count: usize,
    },
    /// It was given for something else.
    #[error("the lease was given for another command or turn")]
    OutOfScope,
    /// For a whole context hosts alone are granted.
    #[error("a lease for a whole context grants hosts alone")]
    HostsAlone,
    /// It was given for one start and has been used.
    #[error("the lease was given for one start and has been used")]
    Used,
    /// A pattern denies what it would grant; patterns win over everything.
    #[error("{path} is denied by the pattern {pattern}, which no lease can lift")]
    DeniedByPattern {
        /// What would be granted.
        path: AbsPath,
        /// The pattern.
        pattern: String,
    },
    /// A rule denies the host that it would grant.
    #[error("the host is denied by the rule {pattern}, which no lease can lift")]
    DeniedHost {
        /// The rule.
        pattern: DomainPattern,
    },
    /// The administrator denies the place that it would open.
    #[error("{path} is denied by {rule}, which no lease can lift")]
    DeniedByRequirements {
        /// What would be granted.
        path: AbsPath,
        /// The administrator's rule.
        rule: Box<Origin>,
    },
    /// A grant of `none`.
    #[error("a lease can only grant read or write on {path}")]
    NotAGrant {
        /// Where.
        path: AbsPath,
    },
}

impl Lease {
    /// One host, for a whole context, as long as a lease may run.
    #[must_use]
    pub fn of_host(base: &Policy, pattern: DomainPattern, issued_ms: u64, reason: &str) -> Self {
        Self {
            base: base.digest(),
            grants: vec![Grant::Domain { pattern }],
            scope: Scope::Context,
            issued_ms,
            expires_ms: issued_ms.saturating_add(MAX_LEASE_MS),
            reason: reason.to_owned(),
        }
    }

    /// As [`Self::policy_for`], for a lease that is not presented with a start.
    ///
    /// # Errors
    /// [`LeaseError`].
    pub fn policy_at(&self, base: &Policy, now_ms: u64) -> Result<Policy, LeaseError> {
        self.policy_for(base, &Use { argv: &[], turn: None, now_ms, used: 0 })
    }

    /// The policy for one start: `base` and the grants. `base` itself is not changed.
    ///
    /// # Errors
    /// [`LeaseError`] when the lease is for another policy, scope or time, or grants what a pattern denies.
    pub fn policy_for(&self, base: &Policy, start: &Use<'_>) -> Result<Policy, LeaseError> {
        self.check(base, start)?;
        let mut parts: PolicyParts = base.parts().clone();
        let mut rules = parts.filesystem.to_parts();
        let mut network: NetworkParts = parts.network.clone().into();
        for grant in &self.grants {
            let origin = self.origin(grant);
            match grant {
                Grant::Path { path, access } => {
                    let above = parts.filesystem.access(path).max(*access);
                    raise(&mut rules.rules, path, above, &origin);
                }
                Grant::Domain { pattern } => allow_host(&mut network, pattern, &origin),
                Grant::UnixSocket { path } => {
                    network.unix_sockets.retain(|rule| rule.path != *path);
                    network.unix_sockets.push(super::SocketRule { path: path.clone(), allow: true, origin });
                }
            }
        }
        self.protect(&parts.filesystem, &mut rules);
        parts.filesystem = Filesystem::new(rules);
        parts.network = Network::new(network);
        Ok(parts.into())
    }

    /// A directory that a lease makes writable holds its metadata read-only, as any writable root does.
    fn protect(&self, base: &Filesystem, rules: &mut FilesystemParts) {
        let raised = Filesystem::new(rules.clone());
        for grant in &self.grants {
            let Grant::Path { path: root, access: Access::Write } = grant else { continue };
            if base.access(root).writes() {
                continue;
            }
            // Whether there is a repository is not known here.
            let names = PROTECTED_NAMES.iter().filter(|name| **name != REPOSITORY_NAME);
            for path in names.filter_map(|name| root.join(name).ok()) {
                if raised.covering(&path).is_some_and(|rule| rule.path == *root) {
                    let origin = Origin::implied("metadata in a writable root is protected");
                    rules.rules.push(PathRule {
                        path,
                        access: Access::Read,
                        origin,
                        via: None,
                        overruled: Vec::new(),
                    });
                }
            }
        }
    }

    fn check(&self, base: &Policy, start: &Use<'_>) -> Result<(), LeaseError> {
        let found = base.digest();
        if found != self.base {
            return Err(LeaseError::WrongBase { expected: self.base, found });
        }
        if self.expires_ms.saturating_sub(self.issued_ms) > MAX_LEASE_MS {
            return Err(LeaseError::TooLong);
        }
        if start.now_ms < self.issued_ms || start.now_ms >= self.expires_ms {
            let Self { issued_ms, expires_ms, .. } = *self;
            return Err(LeaseError::OutOfTime { issued_ms, expires_ms, now_ms: start.now_ms });
        }
        if self.grants.is_empty() || self.grants.len() > MAX_LEASE_GRANTS {
            return Err(LeaseError::GrantCount { count: self.grants.len() });
        }
        match &self.scope {
            Scope::Command { argv } if argv != start.argv => return Err(LeaseError::OutOfScope),
            Scope::Command { .. } if start.used > 0 => return Err(LeaseError::Used),
            Scope::Turn { thread, turn } if start.turn != Some((thread, turn)) => {
                return Err(LeaseError::OutOfScope);
            }
            Scope::Context if !self.grants.iter().all(|grant| matches!(grant, Grant::Domain { .. })) => {
                return Err(LeaseError::HostsAlone);
            }
            _ => {}
        }
        self.grants.iter().try_for_each(|grant| check_grant(base, grant))
    }

    fn origin(&self, grant: &Grant) -> Origin {
        let rule = match grant {
            Grant::Path { path, access } => format!("\"{path}\" = \"{access}\""),
            Grant::Domain { pattern } => format!("\"{pattern}\" = \"allow\""),
            Grant::UnixSocket { path } => format!("\"{path}\" = \"allow\""),
        };
        let reason = if self.reason.is_empty() { String::new() } else { format!(" # {}", self.reason) };
        Origin { layer: Layer::Lease, profile: String::new(), place: None, rule: rule + &reason }
    }
}

fn check_grant(base: &Policy, grant: &Grant) -> Result<(), LeaseError> {
    match grant {
        Grant::Path { path, access: Access::None } => Err(LeaseError::NotAGrant { path: path.clone() }),
        Grant::Path { path, .. } => {
            let request = super::Request::Path { path, operation: super::Operation::Read };
            match base.verdict(&request).rule {
                super::RuleRef::Glob(rule) => {
                    Err(LeaseError::DeniedByPattern { path: path.clone(), pattern: rule.pattern.to_string() })
                }
                super::RuleRef::Path(rule)
                    if rule.access == Access::None && rule.origin.layer == Layer::Requirements =>
                {
                    Err(LeaseError::DeniedByRequirements {
                        path: path.clone(),
                        rule: Box::new(rule.origin.clone()),
                    })
                }
                _ => Ok(()),
            }
        }
        Grant::Domain { pattern } => {
            match base.network().denials().find(|deny| deny.pattern.intersects(pattern)) {
                Some(deny) => Err(LeaseError::DeniedHost { pattern: deny.pattern.clone() }),
                None => Ok(()),
            }
        }
        Grant::UnixSocket { .. } => Ok(()),
    }
}

/// Replaces the rule for exactly this path; rules below it keep their meaning.
fn raise(rules: &mut Vec<PathRule>, path: &AbsPath, access: Access, origin: &Origin) {
    let overruled = rules
        .iter()
        .filter(|rule| rule.path == *path)
        .map(|rule| Overruled { access: rule.access, origin: rule.origin.clone() })
        .collect();
    rules.retain(|rule| rule.path != *path);
    rules.push(PathRule { path: path.clone(), access, origin: origin.clone(), via: None, overruled });
}

fn allow_host(network: &mut NetworkParts, pattern: &DomainPattern, origin: &Origin) {
    if !network.enabled.value {
        network.enabled = Sourced { value: true, origin: origin.clone() };
        network.domains = Some(Vec::new());
    }
    // Where every host is granted, an address that needs a rule of its own still needs one.
    let every =
        DomainRule { pattern: DomainPattern::ANY, allow: true, origin: network.enabled.origin.clone() };
    let domains = network.domains.get_or_insert_with(|| vec![every]);
    domains.push(DomainRule { pattern: pattern.clone(), allow: true, origin: origin.clone() });
}
