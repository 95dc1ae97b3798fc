//! Policies and hosts as literals, for the tests of the compiler.

use std::collections::BTreeMap;

use weir_protocol::policy::{
    Access, Confinement, Degradation, Environment, Filesystem, FilesystemParts, Network, NetworkParts,
    Origin, PathRule, Policy, PolicyParts, Resource, Resources, Sourced,
};

use super::refusal::Refusal;
use super::{Facts, compile, tree};
use crate::doctor::tests::{refused, user};
use crate::host::{Host, Namespaces, Step};
use crate::plan::{Credentials, Plan};
use crate::survey::Survey;

/// What has to be given up without namespaces, whatever else is asked.
pub(super) const WITHOUT_NAMESPACES: [Degradation; 2] =
    [Degradation::SharedProcesses, Degradation::SharedMetadata];

/// `/usr` readable, one place writable, with limits, and guarantees given up.
pub(super) fn policy(limits: &[(Resource, u64)], writable: Option<&str>, given_up: &[Degradation]) -> Policy {
    let origin = || Origin::implied("a test");
    let rule = |path: &str, access| PathRule {
        path: tree::path(path),
        access,
        origin: origin(),
        via: None,
        overruled: Vec::new(),
    };
    let mut rules = vec![rule("/usr", Access::Read)];
    rules.extend(writable.map(|path| rule(path, Access::Write)));
    let mut resources = Resources::default();
    for (resource, value) in limits {
        resources.set(*resource, Sourced { value: *value, origin: origin() });
    }
    PolicyParts {
        profile: "test".to_owned(),
        confinement: Sourced { value: Confinement::Managed, origin: origin() },
        filesystem: Filesystem::new(FilesystemParts { rules, ..FilesystemParts::default() }),
        network: Network::new(NetworkParts::default()),
        resources,
        environment: Environment::default(),
        degradations: given_up.iter().map(|name| (*name, origin())).collect(),
        kernel: BTreeMap::new(),
        background: weir_protocol::policy::background_ends(),
    }
    .into()
}

/// The plan for a host of which nothing of the file tree is known.
pub(super) fn planned(policy: &Policy, host: &Host) -> Result<Plan, Refusal> {
    let credentials = Credentials { uid: host.identity.uid, gid: host.identity.gid, groups: Vec::new() };
    let survey = Survey::default();
    compile(policy, &Facts::new(host, &survey, &credentials))
}

/// A user without namespaces.
pub(super) fn bare() -> Host {
    let user_namespace = refused(Step::UnshareUser, libc::EPERM);
    Host { user_namespace, nested: Namespaces::UNTRIED, ..user() }
}
