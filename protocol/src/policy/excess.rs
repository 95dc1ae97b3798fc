//! What one policy allows beyond another: the one comparison behind `narrower_than`, `intersect` and `policy diff`.
//!
//! Path and socket rules are compared exactly: both policies are constant between the paths that either names. Patterns
//! are compared by inclusion. Hosts and variables are compared pattern by pattern, so a difference may be reported where
//! several rules of one side only together equal one of the other; never the reverse.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::access::Access;
use super::address::AddressClass;
use super::environment::Inherit;
use super::filesystem::{Filesystem, GlobRule};
use super::glob::Glob;
use super::host::{DomainPattern, Host, HostPattern};
use super::network::{Network, NetworkMode, opens_range};
use super::origin::Origin;
use super::publish::Published;
use super::resources::Resource;
use super::{Degradation, KernelFeature, Policy};
use crate::path::AbsPath;

/// What is allowed beyond the limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Subject {
    /// No rule holds at all.
    Unrestricted,
    /// More access to a path.
    Path {
        /// The path.
        path: AbsPath,
        /// What is allowed.
        access: Access,
        /// What the limit allows.
        limit: Access,
    },
    /// Files that a pattern of the limit denies.
    Glob {
        /// The pattern of the limit.
        pattern: Glob,
    },
    /// Any network at all.
    Network,
    /// The host's own network, past the network gate: its loopback, private addresses, datagrams and abstract sockets too.
    HostNetwork,
    /// Methods other than GET, HEAD and OPTIONS.
    Mode,
    /// Hosts.
    Domain {
        /// The hosts that are allowed.
        pattern: DomainPattern,
    },
    /// Hosts that the limit denies.
    DeniedDomain {
        /// The pattern of the limit.
        pattern: DomainPattern,
    },
    /// A unix socket.
    Socket {
        /// The socket or directory.
        path: AbsPath,
    },
    /// The sandbox's own loopback.
    Loopback,
    /// Ports of the host's loopback that lead to servers inside.
    Publish {
        /// Which.
        what: Published,
    },
    /// Addresses outside the public network.
    Private {
        /// The range.
        range: String,
    },
    /// The host's upstream proxy.
    UpstreamProxy,
    /// More of a resource.
    Limit {
        /// The resource.
        resource: Resource,
        /// What is allowed; absent means no limit.
        value: Option<u64>,
        /// What the limit allows.
        limit: u64,
    },
    /// Environment variables.
    Variable {
        /// The variables, as a pattern or as an `inherit` word.
        names: String,
    },
    /// A guarantee given up.
    Degradation {
        /// Which.
        name: Degradation,
    },
    /// A kernel feature.
    Kernel {
        /// Which.
        name: KernelFeature,
    },
    /// Processes that go on after the command.
    Background,
}

impl fmt::Display for Subject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unrestricted => out.write_str("running without restriction"),
            Self::Path { path, access, limit } => write!(out, "{access} on {path} (limit: {limit})"),
            Self::Glob { pattern } => write!(out, "files matching {pattern}"),
            Self::Network => out.write_str("network access"),
            Self::HostNetwork => out.write_str("the host's own network, where no rule for hosts holds"),
            Self::Mode => out.write_str("network methods other than GET, HEAD and OPTIONS"),
            Self::Domain { pattern } => write!(out, "host {pattern}"),
            Self::DeniedDomain { pattern } => write!(out, "hosts matching the denied {pattern}"),
            Self::Socket { path } => write!(out, "unix sockets at {path}"),
            Self::Loopback => out.write_str("loopback inside the sandbox"),
            Self::Publish { what: Published::Every } => out.write_str("every published port"),
            Self::Publish { what } => write!(out, "the published port {what}"),
            Self::Private { range } => write!(out, "addresses in {range}"),
            Self::UpstreamProxy => out.write_str("the host's upstream proxy"),
            Self::Limit { resource, value: Some(value), limit } => {
                write!(out, "{} of {value} (limit: {limit})", resource.key())
            }
            Self::Limit { resource, value: None, limit } => {
                write!(out, "unlimited {} (limit: {limit})", resource.key())
            }
            Self::Variable { names } => write!(out, "environment variables {names}"),
            Self::Degradation { name } => write!(out, "giving up `{}`", name.word()),
            Self::Kernel { name } => write!(out, "kernel feature `{}`", name.word()),
            Self::Background => out.write_str("processes that go on after the command"),
        }
    }
}

/// One thing that a policy allows and its limit does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excess {
    /// What.
    pub subject: Subject,
    /// The rule that allows it.
    pub granted: Origin,
    /// The rule of the limit that does not; absent where the limit has no rule about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Origin>,
}

impl fmt::Display for Excess {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: granted by {}", self.subject, self.granted)?;
        match &self.limit {
            Some(limit) => write!(out, ", limited by {limit}"),
            None => out.write_str(", for which the limit has no rule"),
        }
    }
}

/// Collects the differences of two policies.
struct Comparison<'p> {
    wide: &'p Policy,
    limit: &'p Policy,
    found: Vec<Excess>,
}

impl Policy {
    /// Everything that this policy allows and `limit` does not, each with the rules of both sides. Empty exactly when
    /// [`Policy::narrower_than`] holds.
    #[must_use]
    pub fn excess_over(&self, limit: &Self) -> Vec<Excess> {
        if limit.is_unrestricted() {
            return Vec::new();
        }
        let mut comparison = Comparison { wide: self, limit, found: Vec::new() };
        if self.is_unrestricted() {
            let (granted, limit) = (&self.parts.confinement.origin, &limit.parts.confinement.origin);
            comparison.push(Subject::Unrestricted, granted, Some(limit));
            return comparison.found;
        }
        comparison.paths();
        comparison.globs();
        comparison.switches();
        comparison.domains();
        comparison.sockets();
        comparison.private();
        comparison.publish();
        comparison.resources();
        comparison.environment();
        comparison.names();
        comparison.found
    }
}

impl Comparison<'_> {
    fn push(&mut self, subject: Subject, granted: &Origin, limit: Option<&Origin>) {
        self.found.push(Excess { subject, granted: granted.clone(), limit: limit.cloned() });
    }

    fn paths(&mut self) {
        let (wide, limit) = (self.wide.filesystem(), self.limit.filesystem());
        for path in all_paths(wide, limit) {
            let Some(rule) = wide.covering(&path) else { continue };
            let bound = limit.covering(&path);
            let allowed = bound.map_or(Access::None, |bound| bound.access);
            if rule.access > allowed {
                let subject = Subject::Path { path, access: rule.access, limit: allowed };
                self.push(subject, &rule.origin, bound.map(|bound| &bound.origin));
            }
        }
    }

    fn globs(&mut self) {
        let (wide, limit) = (self.wide.filesystem(), self.limit.filesystem());
        for bound in limit.globs() {
            if wide.globs().iter().any(|own| own.pattern.covers(&bound.pattern)) {
                continue;
            }
            if let Some(grant) = grant_near(wide, bound) {
                self.push(Subject::Glob { pattern: bound.pattern.clone() }, grant, Some(&bound.origin));
            }
        }
    }

    fn switches(&mut self) {
        let (wide, limit) = (self.wide.network(), self.limit.network());
        let mut check = |subject, own: &super::Sourced<bool>, bound: &super::Sourced<bool>| {
            if own.value && !bound.value {
                self.push(subject, &own.origin, Some(&bound.origin));
            }
        };
        check(Subject::Network, &wide.enabled, &limit.enabled);
        check(Subject::Loopback, &wide.loopback, &limit.loopback);
        if wide.enabled.value {
            check(Subject::UpstreamProxy, &wide.allow_upstream_proxy, &limit.allow_upstream_proxy);
            if (wide.mode.value, limit.mode.value) == (NetworkMode::Full, NetworkMode::Limited) {
                self.push(Subject::Mode, &wide.mode.origin, Some(&limit.mode.origin));
            }
        }
    }

    fn domains(&mut self) {
        let (wide, limit) = (self.wide.network(), self.limit.network());
        if !wide.enabled.value || !limit.enabled.value {
            return;
        }
        if wide.is_hosts() && limit.is_gated() {
            let bound = closest_domain(limit).unwrap_or(&limit.mode.origin);
            self.push(Subject::HostNetwork, &wide.enabled.origin, Some(bound));
        }
        for (pattern, origin) in grants(wide) {
            if !is_granted(limit, &pattern) {
                self.push(
                    Subject::Domain { pattern },
                    origin,
                    closest_domain(limit).or(Some(&limit.enabled.origin)),
                );
            }
        }
        for bound in limit.denials() {
            let kept = wide.denials().any(|own| own.pattern.covers(&bound.pattern));
            let grant = grants(wide).find(|(pattern, _)| pattern.intersects(&bound.pattern));
            if let (false, Some((_, origin))) = (kept, grant) {
                self.push(
                    Subject::DeniedDomain { pattern: bound.pattern.clone() },
                    origin,
                    Some(&bound.origin),
                );
            }
        }
    }

    fn sockets(&mut self) {
        let (wide, limit) = (self.wide.network(), self.limit.network());
        let paths: BTreeSet<_> =
            wide.unix_sockets.iter().chain(&limit.unix_sockets).map(|rule| rule.path.clone()).collect();
        for path in paths {
            let bound = limit.socket_rule(&path);
            if let Some(rule) = wide.socket_rule(&path).filter(|rule| rule.allow)
                && !bound.is_some_and(|bound| bound.allow)
            {
                self.push(Subject::Socket { path }, &rule.origin, bound.map(|bound| &bound.origin));
            }
        }
    }

    fn publish(&mut self) {
        let (wide, limit) = (self.wide.network(), self.limit.network());
        for rule in &wide.publish {
            if !limit.publish.iter().any(|bound| bound.what.covers(rule.what)) {
                let bound = limit.publish.first().map_or(&limit.loopback.origin, |bound| &bound.origin);
                self.push(Subject::Publish { what: rule.what }, &rule.origin, Some(bound));
            }
        }
    }

    fn private(&mut self) {
        let (wide, limit) = (self.wide.network(), self.limit.network());
        let Some(own) = wide.allow_private.as_ref().filter(|_| wide.enabled.value) else { return };
        let bound = limit.allow_private.as_ref();
        for range in &own.value {
            if !bound.is_some_and(|bound| opens_range(&bound.value, range)) {
                let subject = Subject::Private { range: range.to_string() };
                self.push(subject, &own.origin, bound.map(|bound| &bound.origin));
            }
        }
    }

    fn resources(&mut self) {
        for (resource, bound) in self.limit.resources().iter() {
            let own = self.wide.resources().limit(resource);
            if own.is_none_or(|own| own.value > bound.value) {
                let subject =
                    Subject::Limit { resource, value: own.map(|own| own.value), limit: bound.value };
                let granted =
                    own.map_or_else(|| Origin::implied("no limit is set"), |own| own.origin.clone());
                self.push(subject, &granted, Some(&bound.origin));
            }
        }
    }

    fn environment(&mut self) {
        let (wide, limit) = (self.wide.environment(), self.limit.environment());
        if wide.inherit.value > limit.inherit.value {
            let names = format!("inherit = {:?}", wide.inherit.value).to_lowercase();
            self.push(Subject::Variable { names }, &wide.inherit.origin, Some(&limit.inherit.origin));
        }
        for rule in &wide.allow {
            if !limit.grants_all_of(&rule.value) {
                let names = rule.value.as_str().to_owned();
                self.push(Subject::Variable { names }, &rule.origin, Some(&limit.inherit.origin));
            }
        }
        let passes_some = wide.inherit.value > Inherit::None || !wide.allow.is_empty();
        for bound in limit.deny.iter().filter(|_| passes_some) {
            let passes = !bound.value.is_literal() || wide.verdict(bound.value.as_str()).passes();
            if passes && !wide.deny.iter().any(|own| own.value.covers(&bound.value)) {
                let names = bound.value.as_str().to_owned();
                self.push(Subject::Variable { names }, &wide.inherit.origin, Some(&bound.origin));
            }
        }
        for (name, bound) in &limit.set {
            if wide.verdict(name).passes() {
                self.push(
                    Subject::Variable { names: name.clone() },
                    &wide.inherit.origin,
                    Some(&bound.origin),
                );
            }
        }
    }

    fn names(&mut self) {
        for (name, origin) in self.wide.degradations() {
            if !self.limit.degradations().contains_key(name) {
                self.push(Subject::Degradation { name: *name }, origin, None);
            }
        }
        for (name, origin) in self.wide.kernel() {
            if !self.limit.kernel().contains_key(name) {
                self.push(Subject::Kernel { name: *name }, origin, None);
            }
        }
        let (own, bound) = (self.wide.background(), self.limit.background());
        if own.value > bound.value {
            self.push(Subject::Background, &own.origin, Some(&bound.origin));
        }
    }
}

/// Every path that either side names: between them both are constant.
pub(super) fn all_paths(one: &Filesystem, other: &Filesystem) -> BTreeSet<AbsPath> {
    one.rules().iter().chain(other.rules()).map(|rule| rule.path.clone()).collect()
}

/// A grant under which the pattern can match something, if there is one.
fn grant_near<'p>(fs: &'p Filesystem, bound: &GlobRule) -> Option<&'p Origin> {
    let base = bound.pattern.base();
    let above = fs.covering(&base).filter(|rule| rule.access > Access::None);
    let below = || fs.rules().iter().find(|rule| rule.access > Access::None && rule.path.starts_with(&base));
    above.or_else(below).map(|rule| &rule.origin)
}

/// The live grants; a missing list grants every host.
pub(super) fn grants(network: &Network) -> Box<dyn Iterator<Item = (DomainPattern, &Origin)> + '_> {
    match &network.domains {
        None => Box::new(std::iter::once((DomainPattern::ANY, &network.enabled.origin))),
        Some(_) => Box::new(network.grants().map(|rule| (rule.pattern.clone(), &rule.origin))),
    }
}

/// Whether the limit grants all of `pattern`, also where it names an address that needs a rule of its own.
pub(super) fn is_granted(limit: &Network, pattern: &DomainPattern) -> bool {
    let special = match &pattern.host {
        HostPattern::Exact(Host::Address(address)) if AddressClass::of(*address) != AddressClass::Public => {
            Some(*address)
        }
        _ => None,
    };
    grants(limit).any(|(own, _)| {
        let named = matches!(own.host, HostPattern::Exact(_));
        own.covers(pattern) && special.is_none_or(|address| named || limit.covers_private(address))
    })
}

fn closest_domain(network: &Network) -> Option<&Origin> {
    network.domains.as_ref().and_then(|rules| rules.first()).map(|rule| &rule.origin)
}
