//! A policy of path rules and denying patterns alone, for the survey's tests and its benchmark.

use std::collections::BTreeMap;

use weir_protocol::AbsPath;
use weir_protocol::policy::{
    Access, Confinement, Environment, Filesystem, FilesystemParts, Glob, GlobRule, Network, NetworkParts,
    Origin, PathRule, Policy, PolicyParts, Resources, Sourced,
};

/// The policy of these rules.
pub(crate) fn of_rules(rules: &[(&AbsPath, Access)], patterns: impl IntoIterator<Item = Glob>) -> Policy {
    let origin = || Origin::implied("a test");
    let rule = |(path, access): &(&AbsPath, Access)| PathRule {
        path: (*path).clone(),
        access: *access,
        origin: origin(),
        via: None,
        overruled: Vec::new(),
    };
    let patterns = patterns.into_iter();
    let parts = FilesystemParts {
        rules: rules.iter().map(rule).collect(),
        globs: patterns.map(|pattern| GlobRule { pattern, origin: origin() }).collect(),
        ..FilesystemParts::default()
    };
    PolicyParts {
        profile: "test".to_owned(),
        confinement: Sourced { value: Confinement::Managed, origin: origin() },
        filesystem: Filesystem::new(parts),
        network: Network::new(NetworkParts::default()),
        resources: Resources::default(),
        environment: Environment::default(),
        degradations: BTreeMap::new(),
        kernel: BTreeMap::new(),
        background: weir_protocol::policy::background_ends(),
    }
    .into()
}
