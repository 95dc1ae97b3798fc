//! The widest policy inside two others, and what had to go.

use ipnet::IpNet;

use super::environment::{Environment, Inherit};
use super::excess::{Excess, all_paths};
use super::filesystem::{Filesystem, FilesystemParts, PathRule};
use super::network::{DomainRule, Network, NetworkParts, Sourced};
use super::publish::PublishRule;
use super::resources::{Resource, Resources};
use super::{Access, DomainPattern, Policy, PolicyParts};

/// A policy cut down to a ceiling, with everything that the ceiling refused.
#[derive(Debug, Clone)]
pub struct Intersection {
    /// Allows only what both allow.
    pub policy: Policy,
    /// What the request asked for beyond the ceiling, each with the ceiling's rule. A caller that must not substitute
    /// one profile for another refuses when this is not empty.
    pub refused: Vec<Excess>,
}

impl Policy {
    /// Cuts this policy down to `ceiling`. The result is narrower than both.
    #[must_use]
    pub fn intersect(&self, ceiling: &Self) -> Intersection {
        let refused = self.excess_over(ceiling);
        if refused.is_empty() {
            return Intersection { policy: self.clone(), refused };
        }
        if self.is_unrestricted() {
            return Intersection { policy: ceiling.clone(), refused };
        }
        let (own, bound) = (self.parts(), ceiling.parts());
        let parts = PolicyParts {
            profile: own.profile.clone(),
            confinement: own.confinement.clone(),
            filesystem: filesystem(&own.filesystem, &bound.filesystem),
            network: network(&own.network, &bound.network),
            resources: resources(&own.resources, &bound.resources),
            environment: environment(&own.environment, &bound.environment),
            degradations: own
                .degradations
                .iter()
                .filter(|(name, _)| bound.degradations.contains_key(name))
                .map(|(name, origin)| (*name, origin.clone()))
                .collect(),
            kernel: own
                .kernel
                .iter()
                .filter(|(name, _)| bound.kernel.contains_key(name))
                .map(|(name, origin)| (*name, origin.clone()))
                .collect(),
            background: if own.background.value <= bound.background.value {
                own.background.clone()
            } else {
                bound.background.clone()
            },
        };
        Intersection { policy: parts.into(), refused }
    }
}

fn filesystem(own: &Filesystem, bound: &Filesystem) -> Filesystem {
    let mut parts = FilesystemParts {
        private: own.private().to_vec(),
        globs: own.globs().iter().chain(bound.globs()).cloned().collect(),
        glob_scan_max_depth: own.glob_scan_max_depth(),
        rules: Vec::new(),
    };
    for path in all_paths(own, bound) {
        let (mine, theirs) = (own.covering(&path), bound.covering(&path));
        let access = |rule: Option<&PathRule>| rule.map_or(Access::None, |rule| rule.access);
        let Some(winner) = (if access(mine) <= access(theirs) { mine.or(theirs) } else { theirs.or(mine) })
        else {
            continue;
        };
        parts.rules.push(PathRule {
            path: path.clone(),
            access: access(mine).min(access(theirs)),
            origin: winner.origin.clone(),
            via: winner.via.clone(),
            overruled: Vec::new(),
        });
    }
    Filesystem::new(parts)
}

fn both(own: &Sourced<bool>, bound: &Sourced<bool>) -> Sourced<bool> {
    if own.value { bound.clone() } else { own.clone() }
}

fn network(own: &Network, bound: &Network) -> Network {
    let private = match (&own.allow_private, &bound.allow_private) {
        (Some(mine), Some(theirs)) => {
            Some(Sourced { value: common_ranges(&mine.value, &theirs.value), origin: mine.origin.clone() })
        }
        _ => None,
    };
    let domains = match (&own.domains, &bound.domains) {
        (None, None) => None,
        _ => Some(common_domains(own, bound)),
    };
    let mut sockets = Vec::new();
    for rule in own.unix_sockets.iter().chain(&bound.unix_sockets) {
        let allows = |network: &Network| network.socket_rule(&rule.path).is_some_and(|found| found.allow);
        let mut rule = rule.clone();
        rule.allow = allows(own) && allows(bound);
        sockets.push(rule);
    }
    Network::new(NetworkParts {
        enabled: both(&own.enabled, &bound.enabled),
        mode: if own.mode.value <= bound.mode.value { own.mode.clone() } else { bound.mode.clone() },
        domains,
        unix_sockets: sockets,
        loopback: both(&own.loopback, &bound.loopback),
        allow_private: private,
        allow_upstream_proxy: both(&own.allow_upstream_proxy, &bound.allow_upstream_proxy),
        publish: common_ports(&own.publish, &bound.publish),
    })
}

/// What both publish.
fn common_ports(own: &[PublishRule], bound: &[PublishRule]) -> Vec<PublishRule> {
    let covered = |small: &[PublishRule], large: &[PublishRule]| -> Vec<PublishRule> {
        let is_covered = |rule: &&PublishRule| large.iter().any(|other| other.what.covers(rule.what));
        small.iter().filter(is_covered).cloned().collect()
    };
    [covered(own, bound), covered(bound, own)].concat()
}

fn common_ranges(one: &[IpNet], other: &[IpNet]) -> Vec<IpNet> {
    let inside = |small: &[IpNet], large: &[IpNet]| -> Vec<IpNet> {
        small.iter().filter(|range| super::network::opens_range(large, range)).copied().collect()
    };
    [inside(one, other), inside(other, one)].concat()
}

/// The live grants as rules; a missing list grants every host.
fn domain_grants(network: &Network) -> impl Iterator<Item = DomainRule> + '_ {
    super::excess::grants(network).map(|(pattern, origin)| DomainRule {
        pattern,
        allow: true,
        origin: origin.clone(),
    })
}

/// Grants that lie in a grant of the other side, and the denials of both.
fn common_domains(own: &Network, bound: &Network) -> Vec<DomainRule> {
    let inside = |small: &Network, large: &Network| -> Vec<DomainRule> {
        let granted = |rule: &DomainRule| super::excess::is_granted(large, &rule.pattern);
        domain_grants(small).filter(granted).collect()
    };
    let mut rules = [inside(own, bound), inside(bound, own)].concat();
    for (small, large) in [(own, bound), (bound, own)] {
        rules.extend(narrowed_ports(small, large));
    }
    rules.extend(own.denials().chain(bound.denials()).cloned());
    rules
}

/// `a.example` beside `*.example:443` meet in `a.example:443`, which neither lists.
fn narrowed_ports<'p>(one: &'p Network, other: &'p Network) -> impl Iterator<Item = DomainRule> + 'p {
    domain_grants(one).filter(|rule| rule.pattern.port.is_none()).flat_map(move |rule| {
        domain_grants(other).filter(|near| near.pattern.port.is_some()).filter_map(move |near| {
            let pattern = DomainPattern { host: rule.pattern.host.clone(), port: near.pattern.port };
            let candidate = DomainRule { pattern, allow: true, origin: rule.origin.clone() };
            super::excess::is_granted(other, &candidate.pattern).then_some(candidate)
        })
    })
}

fn resources(own: &Resources, bound: &Resources) -> Resources {
    let mut out = Resources::default();
    for resource in Resource::ALL {
        let limits = [own.limit(resource), bound.limit(resource)];
        if let Some(least) = limits.into_iter().flatten().min_by_key(|limit| limit.value) {
            out.set(resource, least.clone());
        }
    }
    out
}

fn environment(own: &Environment, bound: &Environment) -> Environment {
    let inherit = if own.inherit.value <= bound.inherit.value { &own.inherit } else { &bound.inherit };
    let mut allow: Vec<_> =
        own.allow.iter().filter(|rule| bound.grants_all_of(&rule.value)).cloned().collect();
    allow.extend(bound.allow.iter().filter(|rule| own.grants_all_of(&rule.value)).cloned());
    if inherit.value == Inherit::None {
        allow.retain(|rule| own.grants_all_of(&rule.value) && bound.grants_all_of(&rule.value));
    }
    let mut deny = [own.deny.clone(), bound.deny.clone()].concat();
    for (name, value) in own.set.iter().chain(&bound.set) {
        let hidden = super::environment::NamePattern::of_name(name).ok();
        if let Some(pattern) = hidden.filter(|_| !own.set.contains_key(name)) {
            deny.push(Sourced { value: pattern, origin: value.origin.clone() });
        }
    }
    Environment { inherit: inherit.clone(), allow, deny, set: own.set.clone() }.normalised()
}
