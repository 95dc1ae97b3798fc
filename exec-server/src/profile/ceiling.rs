//! The administrator's ceiling: what is added to every policy, and what is refused, never substituted.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use weir_protocol::AbsPath;
use weir_protocol::policy::{
    Access, Degradation, DomainPattern, DomainRule, Excess, Layer, Network, NetworkParts, Origin, PathRule,
    Policy, PolicyParts, Sourced,
};
use weir_protocol::profile::Profile;
use weir_protocol::profile::document::{Base, Ceiling, Document, Token, Who};

use super::resolve::{ResolveError, resolve};
use super::surroundings::{Surroundings, Terrain};
use super::{builtin, merge};

/// Who asks, as the kernel and the user database say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// The user's name, or number where there is no name.
    pub user: String,
    /// Names of the user's groups.
    pub groups: Vec<String>,
    /// The user's home, whatever `HOME` says; absent where there is none.
    pub home: Option<AbsPath>,
}

impl Caller {
    /// For whom this process works, as the kernel and the user database say. Asked once.
    #[must_use]
    pub fn of_this_process() -> &'static Self {
        static CALLER: OnceLock<Caller> = OnceLock::new();
        CALLER.get_or_init(|| {
            let uid = nix::unistd::getuid();
            let user = nix::unistd::User::from_uid(uid).ok().flatten();
            let name = user.as_ref().map_or_else(|| uid.to_string(), |user| user.name.clone());
            let groups = rustix::process::getgroups().unwrap_or_default();
            let groups = groups.into_iter().map(|gid| nix::unistd::Gid::from_raw(gid.as_raw()));
            let group = |gid| nix::unistd::Group::from_gid(gid).ok().flatten().map(|group| group.name);
            let all = groups.chain([nix::unistd::getgid()]);
            let home = user.as_ref().and_then(|user| AbsPath::from_host(&user.dir));
            Self { user: name, groups: all.filter_map(group).collect(), home }
        })
    }

    /// The ceiling for this caller, and where the caller stands below it: what is denied in the home is denied in the one that `HOME` names and
    /// in the caller's own, and secrets are closed in both. A variable lifts nothing.
    #[must_use]
    pub fn below(&self, ceiling: &Ceiling, around: &Surroundings) -> (Ceiling, Surroundings) {
        let (mut bounded, mut stands) = (ceiling.clone(), around.clone());
        if let Some(home) = self.home.as_ref().filter(|home| **home != around.home) {
            let at_home = ceiling.deny_read.iter().filter(|((base, _), _)| *base == Base::Token(Token::Home));
            bounded.deny_read.extend(
                at_home.map(|((_, below), entry)| ((Base::Path(home.clone()), below.clone()), entry.clone())),
            );
            if !around.other_homes.contains(home) {
                stands.other_homes.push(home.clone());
            }
        }
        (bounded, stands)
    }

    /// Where the ceiling's grants are: what it grants in the home it grants in the caller's own alone.
    fn granted(&self, around: &Surroundings) -> Surroundings {
        let home = self.home.clone().unwrap_or_else(|| around.home.clone());
        Surroundings { home, ..around.clone() }
    }
}

/// One thing that the ceiling refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The profile may not be chosen.
    #[error("profile `{profile}` is not among the allowed profiles ({})", .rule.whence())]
    Profile {
        /// The profile.
        profile: String,
        /// The ceiling's rule.
        rule: Origin,
    },
    /// The administrator allows profiles by name, and has none of this name.
    #[error(
        "profile `{profile}` is allowed by name, and the requirements define none of that name; define it there"
    )]
    Undefined {
        /// The profile.
        profile: String,
    },
    /// The user may not use the profile.
    #[error("user `{user}` may not use profile `{profile}` ({})", .rule.whence())]
    User {
        /// The user.
        user: String,
        /// The profile.
        profile: String,
        /// The ceiling's rule.
        rule: Origin,
    },
    /// More is granted than the ceiling allows.
    #[error("{} is above the ceiling: {} exceeds {}", .0.subject, .0.granted, whence(.0.limit.as_ref()))]
    Excess(Box<Excess>),
    /// A rule would lift what nothing may lift.
    #[error("{granted} would lift {rule}, which nothing may lift")]
    Lifted {
        /// The rule of the profile.
        granted: Box<Origin>,
        /// The ceiling's rule.
        rule: Box<Origin>,
    },
}

impl Refusal {
    /// Whether it is about who may choose which profile, whatever that grants.
    #[must_use]
    pub const fn is_name(&self) -> bool {
        matches!(self, Self::Profile { .. } | Self::Undefined { .. } | Self::User { .. })
    }

    /// The ceiling's rule; nothing where it has none that grants as much.
    #[must_use]
    pub fn rule(&self) -> Option<&Origin> {
        match self {
            Self::Profile { rule, .. } | Self::User { rule, .. } => Some(rule),
            Self::Undefined { .. } => None,
            Self::Excess(excess) => excess.limit.as_ref(),
            Self::Lifted { rule, .. } => Some(rule),
        }
    }
}

fn whence(origin: Option<&Origin>) -> String {
    origin.map_or_else(|| "the ceiling, which has no such grant".to_owned(), ToString::to_string)
}

/// Adds the denials and limits that hold for everyone to a merged profile.
#[must_use]
pub fn impose(profile: &Profile, ceiling: &Ceiling) -> Profile {
    let mut out = profile.clone();
    for (key, entry) in &ceiling.deny_read {
        out.filesystem.insert(key.clone(), entry.clone());
    }
    // Also where the network is off: a lease that turns it on meets the denials.
    if !ceiling.deny_domains.is_empty() {
        let all = || {
            let origin = Origin::implied("every host, where `domains` is absent");
            BTreeMap::from([(DomainPattern::ANY, Sourced { value: true, origin })])
        };
        let domains = out.network.domains.get_or_insert_with(all);
        domains.extend(ceiling.deny_domains.iter().map(|(pattern, rule)| (pattern.clone(), rule.clone())));
    }
    for (resource, limit) in &ceiling.limits.resources {
        out.resources.entry(*resource).or_insert_with(|| limit.clone());
    }
    out
}

/// Grants of a profile that name a place or host which the ceiling denies by the same key, or hosts inside a denied
/// pattern. [`impose`] overrides them, so they are looked for before: what nothing may lift is refused, not dropped.
#[must_use]
pub fn overridden(profile: &Profile, ceiling: &Ceiling) -> Vec<Refusal> {
    let refusal = |granted: &Origin, rule: &Origin| Refusal::Lifted {
        granted: Box::new(granted.clone()),
        rule: Box::new(rule.clone()),
    };
    let paths = ceiling.deny_read.iter().filter_map(|(key, deny)| {
        let grant = profile.filesystem.get(key).filter(|entry| entry.access > Access::None)?;
        Some(refusal(&grant.origin, &deny.origin))
    });
    let granted = profile.network.domains.iter().flatten().filter(|(_, rule)| rule.value);
    let hosts = granted.filter_map(|(pattern, grant)| {
        let (_, deny) = ceiling.deny_domains.iter().find(|(deny, _)| deny.covers(pattern))?;
        Some(refusal(&grant.origin, &deny.origin))
    });
    paths.chain(hosts).collect()
}

/// Everything about `policy` that the ceiling refuses.
///
/// # Errors
/// [`ResolveError`] when the ceiling itself cannot be resolved here.
pub fn refusals(
    chosen: &str,
    policy: &Policy,
    ceiling: &Ceiling,
    caller: &Caller,
    around: &Surroundings,
    terrain: &impl Terrain,
) -> Result<Vec<Refusal>, ResolveError> {
    let mut out = names(chosen, ceiling, caller);
    out.extend(lifted(policy, ceiling, around, terrain)?);
    let limit = limit_policy(policy, ceiling, &caller.granted(around), terrain)?;
    let excess = policy.intersect(&limit).refused;
    out.extend(excess.into_iter().map(|excess| Refusal::Excess(Box::new(excess))));
    Ok(out)
}

/// What a policy allows beyond the administrator's profile of its name, where the ceiling goes by names: whoever may choose a name gets what
/// stands behind it.
///
/// # Errors
/// [`ResolveError`] when the administrator's profile cannot be resolved here.
pub fn beyond_its_name(
    policy: &Policy,
    requirements: &Document,
    ceiling: &Ceiling,
    around: &Surroundings,
    terrain: &impl Terrain,
) -> Result<Vec<Refusal>, ResolveError> {
    if ceiling.profiles.is_none() && ceiling.who.is_empty() {
        return Ok(Vec::new());
    }
    let name = policy.profile();
    let Some(limit) = administered(name, requirements, ceiling, around, terrain)? else {
        return Ok(vec![Refusal::Undefined { profile: name.to_owned() }]);
    };
    let excess = policy.excess_over(&limit).into_iter();
    Ok(excess.map(|excess| Refusal::Excess(Box::new(excess))).collect())
}

/// What the administrator's profile of this name, or the built-in one, means below the ceiling; nothing where there is none.
///
/// # Errors
/// [`ResolveError`] when it cannot be resolved here.
pub(super) fn administered(
    name: &str,
    requirements: &Document,
    ceiling: &Ceiling,
    around: &Surroundings,
    terrain: &impl Terrain,
) -> Result<Option<Policy>, ResolveError> {
    let profiles = merge::profiles([builtin::document(), requirements]);
    let Ok(profile) = merge::extended(&profiles, name, None) else { return Ok(None) };
    Ok(Some(resolve(name, &impose(&profile, ceiling), around, terrain)?.policy))
}

fn names(chosen: &str, ceiling: &Ceiling, caller: &Caller) -> Vec<Refusal> {
    let mut out = Vec::new();
    if let Some(allowed) = &ceiling.profiles
        && !allowed.iter().any(|name| name.value == chosen)
    {
        let rule = allowed
            .first()
            .map_or_else(|| Origin::implied("`profiles = []` allows none"), |name| name.origin.clone());
        out.push(Refusal::Profile { profile: chosen.to_owned(), rule });
    }
    let mine = |who: &&Who| {
        who.users.contains(&caller.user) || who.groups.iter().any(|group| caller.groups.contains(group))
    };
    let granted = |who: &Who| who.profiles.iter().any(|name| name.value == chosen);
    if let Some(first) = ceiling.who.first()
        && !ceiling.who.iter().filter(mine).any(granted)
    {
        let rule = ceiling.who.iter().find(mine).unwrap_or(first).origin.clone();
        out.push(Refusal::User { user: caller.user.clone(), profile: chosen.to_owned(), rule });
    }
    out
}

/// Rules of the policy at or below a denied path that grant something, however they are written.
fn lifted(
    policy: &Policy,
    ceiling: &Ceiling,
    around: &Surroundings,
    terrain: &impl Terrain,
) -> Result<Vec<Refusal>, ResolveError> {
    let profile = Profile { filesystem: ceiling.deny_read.clone(), ..Profile::default() };
    let denied = resolve("ceiling", &profile, around, terrain)?.policy;
    let imposed = |rule: &&PathRule| rule.access == Access::None && rule.origin.layer == Layer::Requirements;
    let mut out = Vec::new();
    for deny in denied.filesystem().rules().iter().filter(imposed) {
        for rule in policy.filesystem().rules() {
            if rule.access > Access::None && rule.path.starts_with(&deny.path) {
                let (granted, rule) = (Box::new(rule.origin.clone()), Box::new(deny.origin.clone()));
                out.push(Refusal::Lifted { granted, rule });
            }
            let same = rule.path == deny.path;
            for lost in rule.overruled.iter().filter(|lost| same && lost.access > Access::None) {
                let (granted, rule) = (Box::new(lost.origin.clone()), Box::new(deny.origin.clone()));
                out.push(Refusal::Lifted { granted, rule });
            }
        }
    }
    Ok(out)
}

/// The ceiling as a policy: where it states no maximum, the policy's own rules stand in, so that nothing is refused there.
fn limit_policy(
    policy: &Policy,
    ceiling: &Ceiling,
    around: &Surroundings,
    terrain: &impl Terrain,
) -> Result<Policy, ResolveError> {
    let stated = resolve("ceiling", &impose(&ceiling.limits, ceiling), around, terrain)?.policy;
    let mut parts: PolicyParts = policy.parts().clone();
    let (filesystem, network) = (ceiling.has_filesystem, ceiling.has_network);
    let silent = !filesystem
        && !network
        && ceiling.limits.resources.is_empty()
        && ceiling.limits.background.is_none()
        && ceiling.deny_read.is_empty()
        && ceiling.deny_domains.is_empty();
    if !silent {
        parts.confinement = stated.parts().confinement.clone();
    }
    if filesystem {
        parts.filesystem = stated.filesystem().clone();
    }
    parts.network = if network { stated.network().clone() } else { with_denials(policy.network(), ceiling) };
    if !ceiling.limits.resources.is_empty() {
        parts.resources = stated.resources().clone();
    }
    if ceiling.limits.background.is_some() {
        parts.background = stated.background().clone();
    }
    let is_lifting = |name: &Degradation| match name {
        Degradation::SnapshotGlobs | Degradation::NoCarveOut => !ceiling.deny_read.is_empty(),
        Degradation::ProxyOnlyNetwork => !ceiling.deny_domains.is_empty(),
        _ => false,
    };
    // What the administrator's own profile gives up is the administrator's to give.
    let is_administered = |origin: &Origin| matches!(origin.layer, Layer::Requirements | Layer::BuiltIn);
    parts.degradations.retain(|name, origin| is_administered(origin) || !is_lifting(name));
    Ok(parts.into())
}

fn with_denials(network: &Network, ceiling: &Ceiling) -> Network {
    let mut parts: NetworkParts = network.clone().into();
    if !ceiling.deny_domains.is_empty() {
        // The host's own network has no rules for hosts, and is past every denial.
        let all = || {
            let origin = network.enabled.origin.clone();
            vec![DomainRule { pattern: DomainPattern::ANY, allow: true, origin }]
        };
        parts.domains.get_or_insert_with(all).extend(ceiling.deny_domains.iter().map(|(pattern, rule)| {
            DomainRule { pattern: pattern.clone(), allow: false, origin: rule.origin.clone() }
        }));
    }
    Network::new(parts)
}
