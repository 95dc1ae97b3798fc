//! Whether a host may be reached, and an address connected to: only [`Policy::verdict`] and [`AddressClass`] say so.
//!
//! Pure. Nothing here knows of sockets; what dials asks again for every address, at the time at which it connects.

use std::net::{IpAddr, SocketAddr};

use weir_protocol::Policy;
use weir_protocol::policy::address::{AddressClass, embedded_v4};
use weir_protocol::policy::host::HostPattern;
use weir_protocol::policy::{DomainPattern, DomainRule, Host, Layer, Origin, Request, RuleRef};

use super::failure::{Failed, Failure};
use super::refusal::{Attempt, Reason, Refusal};

/// A port that no pattern can name, for asking about a host as such.
pub(super) const NO_PORT: u16 = 0;

/// A host and port that may be reached, and what must hold of the addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
    /// Only GET, HEAD and OPTIONS.
    pub limited: bool,
    /// A rule names this very address: whose it is does not matter.
    by_address: bool,
    /// The rule that grants it.
    pub origin: Option<Box<Origin>>,
}

impl Grant {
    /// Host and port, as a person writes them.
    #[must_use]
    pub fn target(&self) -> String {
        target(&self.host, self.port)
    }

    /// A failure to reach what was granted.
    #[must_use]
    pub fn fail(&self, failure: Failure) -> Failed {
        Failed { attempt: Attempt::Connect, host: self.target(), failure }
    }

    /// A refusal of what was granted so far.
    #[must_use]
    pub fn refuse(&self, attempt: Attempt, reason: Reason) -> Refusal {
        let origin = match &reason {
            Reason::LeadsToDenied { rule, .. } | Reason::DeniedAlias { rule, .. } => Some(rule.clone()),
            _ => self.origin.clone(),
        };
        Refusal { attempt, target: self.target(), reason, origin }
    }
}

/// Host and port, as a person writes them.
#[must_use]
pub fn target(host: &Host, port: u16) -> String {
    format!("{host}:{port}")
}

/// Whether `host` may be reached on `port`.
///
/// # Errors
/// The refusal.
pub fn decide(policy: &Policy, host: &Host, port: u16) -> Result<Grant, Refusal> {
    let refuse =
        |reason, origin| Refusal { attempt: Attempt::Connect, target: target(host, port), reason, origin };
    if host.is_loopback() {
        let reason = if policy.network().loopback.value { Reason::Loopback } else { Reason::NoLoopback };
        return Err(refuse(reason, None));
    }
    let verdict = policy.verdict(&Request::Connect { host, port });
    let origin = verdict.rule.origin().cloned().map(Box::new);
    if verdict.allowed {
        let by_address = matches!(host, Host::Address(_)) && is_exact(&verdict.rule);
        let limited = verdict.conditions.limited_methods;
        return Ok(Grant { host: host.clone(), port, limited, by_address, origin });
    }
    let reason = match (verdict.conditions.address_class, &verdict.rule) {
        (Some(class), _) => Reason::Class(class),
        (None, RuleRef::Nothing) if name_allowed(policy, host) => Reason::OtherPort,
        (None, RuleRef::Nothing) => Reason::NotAllowed,
        _ => Reason::DeniedByRule,
    };
    Err(refuse(reason, origin))
}

/// Whether `name` may be resolved: whether it may be reached on any port.
///
/// # Errors
/// The refusal.
pub fn resolvable(policy: &Policy, host: &Host) -> Result<(), Refusal> {
    if name_allowed(policy, host) {
        return Ok(());
    }
    // A rule that names a port may be the one that denies it.
    let ports =
        std::iter::once(NO_PORT).chain(policy.network().denials().filter_map(|rule| rule.pattern.port));
    let rules = ports.map(|port| policy.verdict(&Request::Connect { host, port }).rule);
    let (reason, origin) = match rules.into_iter().find(|rule| *rule != RuleRef::Nothing) {
        Some(rule) => (Reason::DeniedByRule, rule.origin().cloned().map(Box::new)),
        None => (Reason::NotAllowed, None),
    };
    Err(Refusal { attempt: Attempt::Resolve, target: host.to_string(), reason, origin })
}

/// Whether nothing but the default refuses `host`: no rule covers it, or a bare `*` that is not the administrator's. An address must be
/// public.
#[must_use]
pub fn is_open(policy: &Policy, host: &Host, port: u16) -> bool {
    let network = policy.network();
    let is_public = match host {
        Host::Name(_) => !host.is_loopback(),
        Host::Address(address) => AddressClass::of(*address) == AddressClass::Public,
    };
    let verdict = policy.verdict(&Request::Connect { host, port });
    let by_default = match verdict.rule {
        RuleRef::Nothing => true,
        RuleRef::Domain(rule) => {
            rule.pattern == DomainPattern::ANY && rule.origin.layer != Layer::Requirements
        }
        _ => false,
    };
    is_public && !verdict.allowed && by_default && network.enabled.value && network.domains.is_some()
}

/// On every port that a rule about this host names, and on one that none names.
fn name_allowed(policy: &Policy, host: &Host) -> bool {
    let allowed = |port| policy.verdict(&Request::Connect { host, port }).allowed;
    let rules = policy.network().domains.as_deref().unwrap_or_default();
    let about =
        |rule: &&DomainRule| rule.allow && rule.pattern.matches(host, rule.pattern.port.unwrap_or(NO_PORT));
    allowed(NO_PORT) || rules.iter().filter(about).filter_map(|rule| rule.pattern.port).any(allowed)
}

fn is_exact(rule: &RuleRef<'_>) -> bool {
    matches!(rule, RuleRef::Domain(rule) if matches!(rule.pattern.host, HostPattern::Exact(_)))
}

/// Whether this address of a granted host may be connected to. `own` says whether an address is this machine's.
///
/// # Errors
/// Why not.
pub fn admit(
    policy: &Policy,
    grant: &Grant,
    address: IpAddr,
    own: impl FnOnce(SocketAddr) -> bool,
) -> Result<SocketAddr, Reason> {
    let address = address.to_canonical();
    let place = SocketAddr::new(address, grant.port);
    if let Some(rule) = denial_of(policy, address, grant.port) {
        return Err(Reason::LeadsToDenied { address, rule: Box::new(rule.origin.clone()) });
    }
    if grant.by_address || policy.network().covers_private(address) {
        return Ok(place);
    }
    let class = AddressClass::of(address);
    if class != AddressClass::Public {
        return Err(match grant.host {
            Host::Name(_) => Reason::LeadsTo { address, class },
            Host::Address(_) => Reason::Class(class),
        });
    }
    if own(place) { Err(Reason::OwnAddress(address)) } else { Ok(place) }
}

/// The rule that denies this address, or the one of version 4 to which it leads.
fn denial_of(policy: &Policy, address: IpAddr, port: u16) -> Option<&DomainRule> {
    let inner = match address {
        IpAddr::V6(address) => embedded_v4(address).map(IpAddr::V4),
        IpAddr::V4(_) => None,
    };
    let all: Vec<Host> = [Some(address), inner].into_iter().flatten().map(Host::Address).collect();
    policy.network().denials().find(|rule| all.iter().any(|host| rule.pattern.matches(host, port)))
}

/// Whether a client that was granted one host may name `named` in TLS or HTTP.
///
/// For a name that is the name itself. Behind an address anything may be named that could be reached by name; where a rule names
/// the address, anything that no rule denies.
#[must_use]
pub fn may_name(policy: &Policy, grant: &Grant, named: &Host) -> bool {
    if *named == grant.host {
        return true;
    }
    if matches!(grant.host, Host::Name(_)) || matches!(named, Host::Address(_)) {
        return false;
    }
    let verdict = policy.verdict(&Request::Connect { host: named, port: grant.port });
    verdict.allowed || grant.by_address && verdict.rule == RuleRef::Nothing
}
