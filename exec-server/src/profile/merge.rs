//! Folding layers and extended profiles into one, key by key: the later layer, the extending profile wins.

use std::collections::BTreeMap;

use weir_protocol::policy::{Origin, Place, Sourced};
use weir_protocol::profile::document::{Base, Below, Document, Token};
use weir_protocol::profile::{Profile, diagnostic};

/// Longest chain of profiles that extend each other.
pub const MAX_EXTENDS: usize = 16;

/// Why profiles cannot be put together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// No layer defines the profile.
    #[error("there is no profile `{name}`; {offer}{}", from(.by.as_deref()))]
    Unknown {
        /// The name.
        name: String,
        /// The nearest names.
        offer: String,
        /// The rule that names it, if a rule does.
        by: Option<Box<Origin>>,
    },
    /// Profiles extend each other in a circle.
    #[error("profiles extend each other in a circle: {}{}", .chain.join(" -> "), from(Some(.by)))]
    Cycle {
        /// The circle.
        chain: Vec<String>,
        /// The rule that closes it.
        by: Box<Origin>,
    },
    /// The chain is too long.
    #[error("`{name}` extends a chain of more than {MAX_EXTENDS} profiles")]
    TooLong {
        /// Where it starts.
        name: String,
    },
}

impl MergeError {
    /// The place of the rule that is at fault.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Unknown { by, .. } => by.as_ref().and_then(|origin| origin.place.as_ref()),
            Self::Cycle { by, .. } => by.place.as_ref(),
            Self::TooLong { .. } => None,
        }
    }
}

fn from(by: Option<&Origin>) -> String {
    by.map(|origin| format!(" (named at {})", origin.whence())).unwrap_or_default()
}

/// Lays the profiles of `layers` over each other, weakest first.
#[must_use]
pub fn profiles<'d>(layers: impl IntoIterator<Item = &'d Document>) -> BTreeMap<String, Profile> {
    let mut out: BTreeMap<String, Profile> = BTreeMap::new();
    for layer in layers {
        for (name, profile) in &layer.profiles {
            let below = out.remove(name).unwrap_or_default();
            out.insert(name.clone(), over(below, profile));
        }
    }
    out
}

/// The profile `name` with everything that it extends.
///
/// # Errors
/// [`MergeError`] when it or one it extends does not exist, or the chain is circular or too long.
pub fn extended(
    profiles: &BTreeMap<String, Profile>,
    name: &str,
    by: Option<&Origin>,
) -> Result<Profile, MergeError> {
    let mut chain: Vec<(&str, &Profile)> = Vec::new();
    let mut next = Some((name, by));
    while let Some((name, by)) = next {
        if chain.iter().any(|(seen, _)| *seen == name) {
            let names = chain.iter().map(|(seen, _)| (*seen).to_owned()).chain([name.to_owned()]).collect();
            let by = by.cloned().unwrap_or_else(|| Origin::implied("extends"));
            return Err(MergeError::Cycle { chain: names, by: Box::new(by) });
        }
        if chain.len() == MAX_EXTENDS {
            return Err(MergeError::TooLong { name: chain[0].0.to_owned() });
        }
        let profile = profiles.get(name).ok_or_else(|| {
            let known: Vec<&str> = profiles.keys().map(String::as_str).collect();
            let by = by.map(|origin| Box::new(origin.clone()));
            MergeError::Unknown { name: name.to_owned(), offer: diagnostic::offer(name, &known), by }
        })?;
        chain.push((name, profile));
        next = profile.extends.as_ref().map(|extends| (extends.value.as_str(), Some(&extends.origin)));
    }
    Ok(chain.into_iter().rev().fold(Profile::default(), |below, (_, profile)| over(below, profile)))
}

/// One profile laid over another.
#[must_use]
pub fn over(mut below: Profile, above: &Profile) -> Profile {
    let above = above.clone();
    replace(&mut below.description, above.description);
    replace(&mut below.extends, above.extends);
    replace(&mut below.glob_scan_max_depth, above.glob_scan_max_depth);
    replace(&mut below.background, above.background);
    replace(&mut below.unrestricted, above.unrestricted);
    below.workspace_roots.extend(above.workspace_roots);
    below.filesystem.extend(above.filesystem);
    below.resources.extend(above.resources);
    below.protected.extend(above.protected);
    below.kernel.extend(above.kernel);
    below.degrade.extend(above.degrade);
    replace(&mut below.network.enabled, above.network.enabled);
    replace(&mut below.network.mode, above.network.mode);
    match (&mut below.network.domains, above.network.domains) {
        (Some(below), Some(above)) => below.extend(above),
        (below, Some(above)) => *below = Some(above),
        (_, None) => {}
    }
    below.network.unix_sockets.extend(above.network.unix_sockets);
    replace(&mut below.network.loopback, above.network.loopback);
    replace(&mut below.network.allow_private, above.network.allow_private);
    replace(&mut below.network.allow_upstream_proxy, above.network.allow_upstream_proxy);
    replace(&mut below.network.publish, above.network.publish);
    replace(&mut below.environment.inherit, above.environment.inherit);
    replace(&mut below.environment.allow, above.environment.allow);
    replace(&mut below.environment.deny, above.environment.deny);
    below.environment.set.extend(above.environment.set);
    below
}

fn replace<T>(below: &mut Option<T>, above: Option<T>) {
    if above.is_some() {
        *below = above;
    }
}

/// Whether the profile says anything about a token itself.
#[must_use]
pub fn sets_token(profile: &Profile, token: Token) -> bool {
    profile.filesystem.contains_key(&(Base::Token(token), Below::Path(String::new())))
}

/// Names that are switched on.
pub fn switched_on<K: Clone + Ord>(switches: &BTreeMap<K, Sourced<bool>>) -> BTreeMap<K, Origin> {
    let on = switches.iter().filter(|(_, switch)| switch.value);
    on.map(|(name, switch)| (name.clone(), switch.origin.clone())).collect()
}
