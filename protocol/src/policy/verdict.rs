//! The one verdict for every question: may this command do that?

use std::collections::HashMap;

use regex::bytes::{RegexSet, RegexSetBuilder};

use super::Policy;
use super::access::{Access, Operation};
use super::address::AddressClass;
use super::environment::NameVerdict;
use super::filesystem::{Filesystem, GlobRule, PathRule, PrivateDirectory};
use super::host::{Host, HostPattern};
use super::network::{DomainRule, Network, NetworkMode, SocketRule};
use super::origin::Origin;
use crate::path::{AbsPath, ancestor_slices};

/// Most bytes that the compiled patterns of one policy may take.
pub const MAX_PATTERN_BYTES: usize = 64 << 20;

/// A question to a policy. Paths are final: symbolic links are resolved before asking, as the kernel does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<'a> {
    /// An operation on a path.
    Path {
        /// The final path.
        path: &'a AbsPath,
        /// What is tried.
        operation: Operation,
    },
    /// A connection to a host.
    Connect {
        /// The host as the command names it.
        host: &'a Host,
        /// The port.
        port: u16,
    },
    /// A connection to a unix socket.
    UnixSocket {
        /// The socket's final path.
        path: &'a AbsPath,
    },
    /// Seeing the caller's value of an environment variable.
    Environment {
        /// The variable.
        name: &'a str,
    },
}

/// The rule that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleRef<'p> {
    /// A path rule.
    Path(&'p PathRule),
    /// A denying pattern.
    Glob(&'p GlobRule),
    /// A host pattern.
    Domain(&'p DomainRule),
    /// A unix-socket rule.
    Socket(&'p SocketRule),
    /// A switch such as `network.enabled`, by its key.
    Switch(&'static str, &'p Origin),
    /// A name that looks like a secret, by the built-in pattern.
    LooksSecret(&'static str),
    /// No rule covers the request, so it is denied.
    Nothing,
}

impl<'p> RuleRef<'p> {
    /// Where the rule stands; `None` where no written rule decided.
    #[must_use]
    pub fn origin(&self) -> Option<&'p Origin> {
        match self {
            Self::Path(rule) => Some(&rule.origin),
            Self::Glob(rule) => Some(&rule.origin),
            Self::Domain(rule) => Some(&rule.origin),
            Self::Socket(rule) => Some(&rule.origin),
            Self::Switch(_, origin) => Some(origin),
            Self::LooksSecret(_) | Self::Nothing => None,
        }
    }
}

/// What must still hold when an allowed request is carried out, or what stands in for a denied one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Conditions<'p> {
    /// Only GET, HEAD and OPTIONS.
    pub limited_methods: bool,
    /// The name must lead to a public address, or to one that `allow_private` covers.
    pub checked_address: bool,
    /// The change lands in a copy, and the place itself stays as it is.
    pub copied: bool,
    /// The real place stays out of reach; the command finds this private directory instead.
    pub stand_in: Option<&'p PrivateDirectory>,
    /// The address is of a kind that needs a rule of its own.
    pub address_class: Option<AddressClass>,
}

/// The answer to a [`Request`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict<'p> {
    /// Whether the request is allowed.
    pub allowed: bool,
    /// The rule that decided.
    pub rule: RuleRef<'p>,
    /// What else holds.
    pub conditions: Conditions<'p>,
}

impl<'p> Verdict<'p> {
    fn new(allowed: bool, rule: RuleRef<'p>) -> Self {
        Self { allowed, rule, conditions: Conditions::default() }
    }
}

/// Look-up tables made once for a policy.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    paths: HashMap<Box<[u8]>, usize>,
    globs: Globs,
}

/// The compiled patterns; a set too large to compile denies everything, so that no pattern is ever lost.
#[derive(Debug, Clone)]
enum Globs {
    None,
    Set(RegexSet),
    TooLarge,
}

impl Index {
    fn new(fs: &Filesystem) -> Self {
        let paths =
            fs.rules().iter().enumerate().map(|(at, rule)| (rule.path.as_bytes().into(), at)).collect();
        let globs = if fs.globs().is_empty() { Globs::None } else { Globs::compile(fs.globs()) };
        Self { paths, globs }
    }
}

impl Globs {
    fn compile(rules: &[GlobRule]) -> Self {
        RegexSetBuilder::new(rules.iter().map(|rule| rule.pattern.to_regex()))
            .unicode(false)
            .dot_matches_new_line(true)
            .size_limit(MAX_PATTERN_BYTES)
            .dfa_size_limit(MAX_PATTERN_BYTES)
            .build()
            .map_or(Self::TooLarge, Self::Set)
    }

    /// The first pattern that covers `path`, by its position.
    fn covering(&self, path: &[u8]) -> Option<usize> {
        match self {
            Self::None => None,
            Self::TooLarge => Some(0),
            Self::Set(set) if set.is_match(path) => set.matches(path).iter().next(),
            Self::Set(_) => None,
        }
    }
}

impl Policy {
    /// Whether `request` is allowed, and by which rule.
    ///
    /// Paths: a denying pattern wins over everything; else the rule with most components that covers the path (for one
    /// path none over copy over write over read); a path that nothing covers is denied. Hosts: a denial wins, except a bare `*`,
    /// which states the default; nothing listed means nothing allowed.
    #[must_use]
    pub fn verdict(&self, request: &Request<'_>) -> Verdict<'_> {
        if self.is_unrestricted() {
            return Verdict::new(true, RuleRef::Switch("profile", &self.parts.confinement.origin));
        }
        match request {
            Request::Path { path, operation } => self.path_verdict(path, *operation),
            Request::Connect { host, port } => connect_verdict(self.network(), host, *port),
            Request::UnixSocket { path } => self.socket_verdict(path),
            Request::Environment { name } => self.environment_verdict(name),
        }
    }

    /// The access that `verdict` lets through on a path.
    #[must_use]
    pub fn access(&self, path: &AbsPath) -> Access {
        if self.is_unrestricted() {
            return Access::Write;
        }
        match self.path_rule(path) {
            RuleRef::Path(rule) => rule.access,
            _ => Access::None,
        }
    }

    pub(crate) fn index(&self) -> &Index {
        self.index.get_or_init(|| Index::new(self.filesystem()))
    }

    fn path_rule(&self, path: &AbsPath) -> RuleRef<'_> {
        let index = self.index();
        if let Some(rule) =
            index.globs.covering(path.as_bytes()).and_then(|at| self.filesystem().globs().get(at))
        {
            return RuleRef::Glob(rule);
        }
        ancestor_slices(path.as_bytes())
            .find_map(|prefix| index.paths.get(prefix))
            .and_then(|at| self.filesystem().rules().get(*at))
            .map_or(RuleRef::Nothing, RuleRef::Path)
    }

    fn path_verdict(&self, path: &AbsPath, operation: Operation) -> Verdict<'_> {
        let rule = self.path_rule(path);
        let allowed = matches!(rule, RuleRef::Path(rule) if rule.access.permits(operation));
        let mut verdict = Verdict::new(allowed, rule);
        verdict.conditions.copied = allowed
            && operation == Operation::Write
            && matches!(rule, RuleRef::Path(rule) if rule.access == Access::Copy);
        if !allowed && !matches!(rule, RuleRef::Glob(_)) {
            verdict.conditions.stand_in = self.filesystem().stand_in(path);
        }
        verdict
    }

    fn socket_verdict(&self, path: &AbsPath) -> Verdict<'_> {
        match self.network().socket_rule(path) {
            Some(rule) => Verdict::new(rule.allow, RuleRef::Socket(rule)),
            None => Verdict::new(false, RuleRef::Nothing),
        }
    }

    fn environment_verdict(&self, name: &str) -> Verdict<'_> {
        let found = self.environment().verdict(name);
        let rule = match found {
            NameVerdict::Replaced(set) => RuleRef::Switch("environment.set", &set.origin),
            NameVerdict::Denied(rule) => RuleRef::Switch("environment.deny", &rule.origin),
            NameVerdict::Allowed(rule) => RuleRef::Switch("environment.allow", &rule.origin),
            NameVerdict::LooksSecret(pattern) => RuleRef::LooksSecret(pattern),
            NameVerdict::Inherited(origin, _) => RuleRef::Switch("environment.inherit", origin),
        };
        Verdict::new(found.passes(), rule)
    }
}

fn connect_verdict<'p>(network: &'p Network, host: &Host, port: u16) -> Verdict<'p> {
    let enabled = RuleRef::Switch("network.enabled", &network.enabled.origin);
    if network.is_hosts() {
        return Verdict::new(true, enabled);
    }
    if host.is_loopback() {
        return Verdict::new(
            network.loopback.value,
            RuleRef::Switch("network.loopback", &network.loopback.origin),
        );
    }
    if !network.enabled.value {
        return Verdict::new(false, enabled);
    }
    let rule = if network.domains.is_none() { enabled } else { domain_rule(network, host, port) };
    let listed = match rule {
        RuleRef::Domain(rule) => rule.allow,
        RuleRef::Switch(..) => true,
        _ => false,
    };
    let mut verdict = Verdict::new(listed, rule);
    if !listed {
        return verdict;
    }
    verdict.conditions.limited_methods = network.mode.value == NetworkMode::Limited;
    match host {
        Host::Name(_) => verdict.conditions.checked_address = true,
        Host::Address(address) => {
            let class = AddressClass::of(*address);
            let by_name =
                matches!(rule, RuleRef::Domain(rule) if matches!(rule.pattern.host, HostPattern::Exact(_)));
            if class != AddressClass::Public && !by_name {
                let covered = network.covers_private(*address);
                let rule = network.allow_private.as_ref().map_or(RuleRef::Nothing, |private| {
                    RuleRef::Switch("network.allow_private", &private.origin)
                });
                verdict = Verdict::new(covered, rule);
                verdict.conditions.address_class = Some(class);
                verdict.conditions.limited_methods = covered && network.mode.value == NetworkMode::Limited;
            }
        }
    }
    verdict
}

/// The denial that matches, else the grant, else a bare `*` denial, else nothing.
fn domain_rule<'p>(network: &'p Network, host: &Host, port: u16) -> RuleRef<'p> {
    let rules = network.domains.as_deref().unwrap_or_default();
    let grants = || rules.iter().filter(|rule| rule.allow && rule.pattern.matches(host, port));
    let default_denied = rules.iter().find(|rule| !rule.allow && rule.pattern == super::DomainPattern::ANY);
    network
        .denials()
        .find(|rule| rule.pattern.matches(host, port))
        .or_else(|| grants().find(|rule| matches!(rule.pattern.host, HostPattern::Exact(_))))
        .or_else(|| grants().next())
        .or(default_denied)
        .map_or(RuleRef::Nothing, RuleRef::Domain)
}

impl Network {
    /// Whether `allow_private` opens this address. Metadata services, loopback and unspecified addresses must be named by
    /// a range of that one address.
    #[must_use]
    pub fn covers_private(&self, address: std::net::IpAddr) -> bool {
        let named = AddressClass::of(address).must_be_named();
        let ranges = self.allow_private.as_ref().map(|private| private.value.as_slice()).unwrap_or_default();
        ranges
            .iter()
            .any(|range| range.contains(&address) && (!named || range.prefix_len() == range.max_prefix_len()))
    }
}
