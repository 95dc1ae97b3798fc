//! What neither mounts nor Landlock can hold, for init to hold: names that do not exist, and single unix sockets.

use weir_protocol::method::process::Mechanism;
use weir_protocol::policy::{Degradation, KernelFeature};

use super::Compiler;
use super::refusal::Lack;
use crate::bpf::Arch;
use crate::broker::{self, Guard, Roots, SocketGrant, SocketRules, Traps};
use crate::host::Way;
use crate::live::{LiveRules, Nodes};
use crate::plan::{Brokered, Confinement, Recording};
use crate::seccomp::Grant;

/// How what is to be read is opened under live rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opens {
    /// By init.
    Performed,
    /// By the kernel, where the command's own ruleset grants it; directories by init.
    Untold,
}

/// The broker's part, where there is one.
pub(super) fn compile(
    compiler: &mut Compiler<'_>,
    guards: Vec<Guard>,
    (sockets, opens): (bool, Opens),
    arch: Arch,
) -> Option<Brokered> {
    let live = live_rules(compiler);
    if guards.is_empty() && !sockets && live.is_none() {
        return None;
    }
    let listener = compiler.facts.host.seccomp.listener;
    if !listener.works() {
        if sockets {
            let rules = compiler.policy.network();
            let granted = rules.unix_sockets.iter().find(|rule| rule.allow).map(|rule| &rule.origin);
            let rule = granted.unwrap_or(&rules.loopback.origin).clone();
            compiler.lacks.push(Lack::UnixSockets { rule, fact: listener });
        }
        if !guards.is_empty() {
            compiler.give_up(Degradation::NoCarveOut, UNGUARDED, Lack::Names { fact: listener });
        }
        // Nothing gives it up: where the profile does so there are no such rules here.
        let rule = compiler.live_rule();
        compiler
            .lacks
            .extend(rule.filter(|_| live.is_some()).map(|rule| Lack::Live { rule, fact: listener }));
        if compiler.facts.recorded {
            compiler.lacks.push(Lack::Recording { fact: listener });
        }
        return None;
    }
    let nested = compiler.policy.kernel().get(&KernelFeature::NestedUserNamespaces);
    if let (Some(rule), false) = (nested.cloned(), guards.is_empty()) {
        compiler.give_up(Degradation::NoCarveOut, UNGUARDED, Lack::NestedOverlay { rule });
    }
    if let (Some(rule), true, false) =
        (nested.cloned(), live.is_some(), compiler.facts.host.landlock.restrict.works())
    {
        compiler.lacks.push(Lack::NestedMounts { rule });
    }
    let recorded = extent(compiler);
    let looks = recorded == Some(Recording::Whole);
    let reads_alone = opens == Opens::Untold;
    let traps =
        Traps { names: !guards.is_empty(), unix_connect: sockets, opens: live.is_some(), reads_alone, looks };
    let filter = match broker::filter(&traps, arch) {
        Ok(filter) => filter,
        Err(defect) => {
            compiler.lacks.push(Lack::Filter { defect });
            return None;
        }
    };
    let private = if compiler.way == Way::Bare { &[] } else { compiler.filesystem.private() };
    Some(Brokered {
        filter,
        guards,
        sockets: rules(compiler),
        live,
        recorded,
        private: private.iter().map(|private| private.path.clone()).collect(),
        roots: if nested.is_some() { Roots::Own } else { Roots::Same },
    })
}

/// For the report: that what is used is told.
pub(super) fn recording(confinement: &Confinement) -> Option<Mechanism> {
    let recorded = confinement.brokered.as_ref()?.recorded?;
    Some(Mechanism { name: "recording".to_owned(), detail: recorded.words().to_owned() })
}

/// How much of the run is recorded. Whether a call can be let go on (Linux 5.5) is not told by the kernel; openat2(2), which the broker
/// needs for whatever it performs, came one version later.
fn extent(compiler: &Compiler<'_>) -> Option<Recording> {
    let goes_on = compiler.facts.host.calls.openat2.works();
    let extent = if goes_on { Recording::Whole } else { Recording::Performed };
    compiler.facts.recorded.then_some(extent)
}

/// What must be held while files change, unless the profile is content with what was there. What is recorded has to be opened by init,
/// whatever there is to hold.
fn live_rules(compiler: &mut Compiler<'_>) -> Option<LiveRules> {
    if compiler.facts.recorded {
        return Some(rules_of(compiler));
    }
    let rule = compiler.live_rule()?;
    if compiler.policy.degradations().contains_key(&Degradation::SnapshotGlobs) {
        let lost = "patterns and `none` hold for what was there at the start";
        let fact = compiler.facts.host.seccomp.listener;
        compiler.give_up(Degradation::SnapshotGlobs, lost, Lack::Live { rule, fact });
        return None;
    }
    Some(rules_of(compiler))
}

fn rules_of(compiler: &Compiler<'_>) -> LiveRules {
    let survey = compiler.facts.survey;
    LiveRules {
        filesystem: compiler.filesystem.clone().into_owned(),
        aliases: survey.aliases.clone(),
        folding: survey.folding.clone(),
        closed_files: survey.closed_files.clone(),
        nodes: if compiler.way == Way::Bare { Nodes::Hosts } else { Nodes::Mounted },
        surveyed: compiler.facts.surveyed,
    }
}

const UNGUARDED: &str = "protected names that do not exist can be made";

fn rules(compiler: &Compiler<'_>) -> SocketRules {
    let network = compiler.policy.network();
    let grant = |allow| if allow { Grant::Allowed } else { Grant::Denied };
    let grants = network
        .unix_sockets
        .iter()
        .map(|rule| SocketGrant { path: rule.path.clone(), verdict: grant(rule.allow) })
        .collect();
    let own_network = compiler.way != Way::Bare && !network.enabled.value;
    SocketRules { grants, private_devices: Vec::new(), abstract_names: grant(own_network) }
}
