//! Network rules in normal form.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::address::AddressClass;
use super::host::DomainPattern;
use super::origin::Origin;
use super::publish::PublishRule;
use crate::path::AbsPath;

/// What may be said to an allowed host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkMode {
    /// Only GET, HEAD and OPTIONS, over plain HTTP or inspected HTTPS.
    Limited,
    /// Any method and any protocol.
    Full,
}

/// One host pattern, allowed or denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DomainRule {
    /// Hosts and port.
    pub pattern: DomainPattern,
    /// `true` allows, `false` denies; a denial wins over every grant, except a bare `*`, which states the default.
    pub allow: bool,
    /// Where the rule stands.
    pub origin: Origin,
}

/// One path at or below which unix sockets may, or may not, be connected to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SocketRule {
    /// The socket, or a directory of sockets.
    pub path: AbsPath,
    /// Whether connecting is allowed.
    pub allow: bool,
    /// Where the rule stands.
    pub origin: Origin,
}

/// A value together with where it was set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub origin: Origin,
}

impl<T> Sourced<T> {
    /// A value that holds because nobody said otherwise.
    pub fn default_of(value: T, reason: &str) -> Self {
        Self { value, origin: Origin::implied(reason) }
    }
}

/// All network rules. Built by [`Network::new`] only, so that the lists are sorted and free of repetitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "NetworkParts", into = "NetworkParts")]
pub struct Network(NetworkParts);

/// The parts of [`Network`], in any order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkParts {
    /// Whether there is any network beyond the sandbox's own loopback.
    pub enabled: Sourced<bool>,
    /// What may be said to allowed hosts.
    pub mode: Sourced<NetworkMode>,
    /// The hosts; absent means every host, empty means none.
    #[serde(default)]
    pub domains: Option<Vec<DomainRule>>,
    /// Unix sockets; nothing listed means none.
    #[serde(default)]
    pub unix_sockets: Vec<SocketRule>,
    /// Whether programs inside may listen on, and connect to, the sandbox's own loopback.
    pub loopback: Sourced<bool>,
    /// Address ranges outside the public network that an allowed name may lead to.
    #[serde(default)]
    pub allow_private: Option<Sourced<Vec<IpNet>>>,
    /// Whether the host's upstream proxy may be used.
    pub allow_upstream_proxy: Sourced<bool>,
    /// Ports of the host's loopback that lead to the sandbox's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<PublishRule>,
}

impl Default for NetworkParts {
    fn default() -> Self {
        Self {
            enabled: Sourced::default_of(false, "the network is off unless `enabled = true`"),
            mode: Sourced::default_of(NetworkMode::Full, "`mode` is \"full\" unless it is set"),
            domains: None,
            unix_sockets: Vec::new(),
            loopback: Sourced::default_of(false, "there is no loopback unless `loopback = true`"),
            allow_private: None,
            allow_upstream_proxy: Sourced::default_of(false, "upstream proxies are not used unless allowed"),
            publish: Vec::new(),
        }
    }
}

impl Default for Network {
    fn default() -> Self {
        Self::new(NetworkParts::default())
    }
}

impl From<NetworkParts> for Network {
    fn from(parts: NetworkParts) -> Self {
        Self::new(parts)
    }
}

impl From<Network> for NetworkParts {
    fn from(network: Network) -> Self {
        network.0
    }
}

impl std::ops::Deref for Network {
    type Target = NetworkParts;

    fn deref(&self) -> &NetworkParts {
        &self.0
    }
}

impl Network {
    /// Sorts the lists; a pattern or socket that is both allowed and denied is denied.
    #[must_use]
    pub fn new(mut parts: NetworkParts) -> Self {
        if let Some(domains) = &mut parts.domains {
            domains.sort_by(|a, b| (&a.pattern, a.allow, &a.origin).cmp(&(&b.pattern, b.allow, &b.origin)));
            domains.dedup_by(|a, b| a.pattern == b.pattern);
        }
        let sockets = &mut parts.unix_sockets;
        sockets.sort_by(|a, b| (&a.path, a.allow, &a.origin).cmp(&(&b.path, b.allow, &b.origin)));
        sockets.dedup_by(|a, b| a.path == b.path);
        if let Some(private) = &mut parts.allow_private {
            // A metadata service is opened by its own address alone, which a wider range must not swallow.
            let (named, ranges): (Vec<_>, Vec<_>) = private.value.iter().partition(|range| names_one(range));
            private.value = [IpNet::aggregate(&ranges), named].concat();
            private.value.sort();
            private.value.dedup();
        }
        parts.publish.sort_by(|a, b| (&a.what, &a.origin).cmp(&(&b.what, &b.origin)));
        parts.publish.dedup_by(|a, b| a.what == b.what);
        if !parts.loopback.value {
            // No server inside can listen.
            parts.publish.clear();
        }
        Self(parts)
    }

    /// Whether single hosts or methods are decided about, so that every connection goes through the network gate.
    #[must_use]
    pub fn is_gated(&self) -> bool {
        self.enabled.value && (self.domains.is_some() || self.mode.value == NetworkMode::Limited)
    }

    /// Whether the command is in the host's own network, where no rule for hosts holds: its loopback and private addresses are reached as well.
    #[must_use]
    pub fn is_hosts(&self) -> bool {
        self.enabled.value && !self.is_gated()
    }

    /// The socket rule with most components that covers `path`.
    #[must_use]
    pub fn socket_rule(&self, path: &AbsPath) -> Option<&SocketRule> {
        self.unix_sockets
            .iter()
            .filter(|rule| path.starts_with(&rule.path))
            .max_by_key(|rule| rule.path.depth())
    }

    /// Denials that take something away from grants: all but a bare `*`.
    pub fn denials(&self) -> impl Iterator<Item = &DomainRule> {
        let rules = self.domains.as_deref().unwrap_or_default();
        rules.iter().filter(|rule| !rule.allow && rule.pattern != DomainPattern::ANY)
    }

    /// Grants, without those that a denial covers whole.
    pub fn grants(&self) -> impl Iterator<Item = &DomainRule> {
        let rules = self.domains.as_deref().unwrap_or_default();
        rules
            .iter()
            .filter(|rule| rule.allow && !self.denials().any(|deny| deny.pattern.covers(&rule.pattern)))
    }
}

/// Whether the range is one address of a kind that must be named.
pub(super) fn names_one(range: &IpNet) -> bool {
    range.prefix_len() == range.max_prefix_len() && AddressClass::of(range.addr()).must_be_named()
}

/// Whether `limit` opens every address that `range` opens.
pub(super) fn opens_range(limit: &[IpNet], range: &IpNet) -> bool {
    if names_one(range) { limit.contains(range) } else { limit.iter().any(|outer| outer.contains(range)) }
}
