//! The administrator's ceiling as it stands, for whoever holds a privilege: read once, checked against every policy, whoever decided it.
//!
//! [`load`] imposes the ceiling while it puts a policy together, with the caller's rights. This is the other side: a policy
//! that came from a part that could have been talked into anything.

use std::path::Path;

use weir_protocol::policy::{Access, Layer, Network, NetworkParts, Origin, PolicyParts};
use weir_protocol::profile::document::{Base, Below, PathEntry};
use weir_protocol::profile::{Document, Profile};
use weir_protocol::{AbsPath, Policy};

use super::ceiling::{self, Caller, Refusal};
use super::load;
use super::resolve::{ETC_WEIR, ResolveError, resolve};
use super::surroundings::{Host, Surroundings};
use super::{LoadError, builtin};

/// Stands for a profile where changes of a copy are applied.
const APPLYING: &str = "apply";

/// Stands for a profile that grants what a denial could advise.
const ASKED: &str = "asked";

/// The requirements, or why they cannot be used.
#[derive(Debug)]
pub struct Standing(Result<Document, LoadError>);

/// Why a policy is not enforced for this caller.
#[derive(Debug, thiserror::Error)]
pub enum Above<'standing> {
    /// The requirements cannot be used, so nothing may run.
    #[error("{0}")]
    Unusable(&'standing LoadError),
    /// The ceiling itself cannot be resolved here.
    #[error("the ceiling cannot be resolved: {0}")]
    Resolve(#[from] ResolveError),
    /// It refuses.
    #[error("refused by the requirements:{}", lines(.0))]
    Refused(Vec<Refusal>),
    /// A denial that holds for everyone is missing.
    #[error("the policy lacks a denial that holds for everyone: {0}")]
    Lacks(String),
}

/// A profile of nothing but one grant.
fn granting(path: &AbsPath, access: Access, why: &str) -> Profile {
    let entry = PathEntry { access, origin: Origin::implied(why) };
    let filesystem = [((Base::Path(path.clone()), Below::Path(String::new())), entry)].into();
    Profile { filesystem, ..Profile::default() }
}

fn lines(refusals: &[Refusal]) -> String {
    refusals.iter().map(|refusal| format!("\n  - {refusal}")).collect()
}

impl Standing {
    /// Reads the requirements.
    #[must_use]
    pub fn read() -> Self {
        Self::read_from(Path::new(ETC_WEIR), 0)
    }

    /// As [`Self::read`], with another directory and owner, which only tests name.
    #[must_use]
    pub fn read_from(etc: &Path, administrator: u32) -> Self {
        Self(load::requirements(etc, administrator))
    }

    /// Why they cannot be used, if so: then nothing may run.
    #[must_use]
    pub const fn unusable(&self) -> Option<&LoadError> {
        match &self.0 {
            Ok(_) => None,
            Err(error) => Some(error),
        }
    }

    /// Moves it out, for a process that will not need it again.
    #[must_use]
    pub fn take(&mut self) -> Self {
        std::mem::replace(self, Self(Ok(Document::default())))
    }

    /// Whether `caller` may be held by `policy`.
    ///
    /// # Errors
    /// [`Above`] with everything that is above the ceiling.
    pub fn check(&self, policy: &Policy, caller: &Caller, around: &Surroundings) -> Result<(), Above<'_>> {
        let requirements = self.0.as_ref().map_err(Above::Unusable)?;
        let Some(ceiling) = &requirements.ceiling else { return Ok(()) };
        let (ceiling, around) = &caller.below(ceiling, around);
        let refused = ceiling::refusals(policy.profile(), policy, ceiling, caller, around, &Host::default())?;
        if !refused.is_empty() {
            return Err(Above::Refused(refused));
        }
        let denials = Profile { filesystem: ceiling.deny_read.clone(), ..Profile::default() };
        let denials = resolve("ceiling", &denials, around, &Host::default())?.policy;
        for rule in denials.filesystem().rules() {
            let imposed = rule.access == Access::None && rule.origin.layer == Layer::Requirements;
            let held = || {
                policy
                    .filesystem()
                    .rules()
                    .iter()
                    .any(|other| other.path == rule.path && other.access == Access::None)
            };
            if imposed && !held() {
                return Err(Above::Lacks(rule.origin.to_string()));
            }
        }
        for pattern in denials.filesystem().globs() {
            if !policy.filesystem().globs().iter().any(|other| other.pattern == pattern.pattern) {
                return Err(Above::Lacks(pattern.origin.to_string()));
            }
        }
        let beyond = ceiling::beyond_its_name(policy, requirements, ceiling, around, &Host::default())?;
        if beyond.is_empty() { Ok(()) } else { Err(Above::Refused(beyond)) }
    }

    /// Whether `caller` may be given a profile that writes to `root`: what a command changed in a copy must not come there either way
    /// where it may not be changed.
    ///
    /// # Errors
    /// [`Above`].
    pub fn check_write(
        &self,
        root: &AbsPath,
        caller: &Caller,
        around: &Surroundings,
    ) -> Result<(), Above<'_>> {
        let requirements = self.0.as_ref().map_err(Above::Unusable)?;
        let Some(ceiling) = &requirements.ceiling else { return Ok(()) };
        let (ceiling, around) = &caller.below(ceiling, around);
        let asked = granting(root, Access::Write, "applying changes writes there");
        let asked = resolve(APPLYING, &asked, around, &Host::default())?.policy;
        let refused = ceiling::refusals(APPLYING, &asked, ceiling, caller, around, &Host::default())?;
        // Nobody asks for a profile: whether one that the caller may have writes there is asked below.
        let (names, refused): (Vec<Refusal>, Vec<Refusal>) = refused.into_iter().partition(Refusal::is_name);
        if !refused.is_empty() {
            return Err(Above::Refused(refused));
        }
        let writes = |name: &String| self.writes(requirements, name, root, caller, around);
        if names.is_empty()
            || requirements.profiles.keys().chain(builtin::document().profiles.keys()).any(writes)
        {
            Ok(())
        } else {
            Err(Above::Refused(names))
        }
    }

    /// Whether there is a ceiling at all.
    #[must_use]
    pub fn has_ceiling(&self) -> bool {
        self.0.as_ref().is_ok_and(|requirements| requirements.ceiling.is_some())
    }

    /// The file in which the ceiling's rules for paths stand.
    pub(crate) fn file(&self) -> Option<&str> {
        let ceiling = self.0.as_ref().ok()?.ceiling.as_ref()?;
        let mut origins = ceiling.limits.filesystem.values().map(|entry| &entry.origin);
        origins.find_map(|origin| origin.place.as_ref().map(|place| place.file.as_str()))
    }

    /// Why no profile of `caller`'s may grant so much at a path; nothing also where that cannot be told here.
    #[must_use]
    pub fn forbids(
        &self,
        path: &AbsPath,
        access: Access,
        caller: &Caller,
        around: &Surroundings,
    ) -> Option<Refusal> {
        let ceiling = self.0.as_ref().ok()?.ceiling.as_ref()?;
        let (ceiling, around) = &caller.below(ceiling, around);
        let asked = granting(path, access, "it is asked for");
        let overridden = ceiling::overridden(&asked, ceiling);
        let asked = resolve(ASKED, &ceiling::impose(&asked, ceiling), around, &Host::default()).ok()?.policy;
        let refused = ceiling::refusals(ASKED, &asked, ceiling, caller, around, &Host::default()).ok()?;
        overridden.into_iter().chain(refused).find(|refusal| !refusal.is_name())
    }

    /// Why no policy of `caller`'s, such as this one, may have this network; nothing also where that cannot be told here.
    #[must_use]
    pub fn forbids_network(
        &self,
        policy: &Policy,
        network: NetworkParts,
        caller: &Caller,
        around: &Surroundings,
    ) -> Option<Refusal> {
        let ceiling = self.0.as_ref().ok()?.ceiling.as_ref()?;
        let parts = PolicyParts { network: Network::new(network), ..policy.parts().clone() };
        let asked = Policy::from(parts);
        let refused = ceiling::refusals(ASKED, &asked, ceiling, caller, around, &Host::default()).ok()?;
        refused.into_iter().find(|refusal| !refusal.is_name())
    }

    /// The file in which the ceiling's rules for the network stand.
    pub(crate) fn network_file(&self) -> Option<&str> {
        let network = &self.0.as_ref().ok()?.ceiling.as_ref()?.limits.network;
        let hosts = network.domains.iter().flatten().map(|(_, rule)| &rule.origin);
        let sockets = network.unix_sockets.values().map(|rule| &rule.origin);
        let mut origins = hosts.chain(sockets).chain(network.enabled.iter().map(|rule| &rule.origin));
        origins.find_map(|origin| origin.place.as_ref().map(|place| place.file.as_str()))
    }

    /// Whether `caller` may have the administrator's profile of this name, and it writes to `root`.
    fn writes(
        &self,
        requirements: &Document,
        name: &str,
        root: &AbsPath,
        caller: &Caller,
        around: &Surroundings,
    ) -> bool {
        let Some(ceiling) = &requirements.ceiling else { return true };
        let (ceiling, around) = &caller.below(ceiling, around);
        let found = ceiling::administered(name, requirements, ceiling, around, &Host::default());
        let Ok(Some(policy)) = found else { return false };
        policy.access(root) == Access::Write && self.check(&policy, caller, around).is_ok()
    }
}
