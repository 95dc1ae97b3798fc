//! What neither mounts nor Landlock can hold, for init to hold: names that do not exist, and single unix sockets.

use weir_protocol::policy::{Degradation, KernelFeature};

use super::Compiler;
use super::refusal::Lack;
use crate::bpf::Arch;
use crate::broker::{self, Guard, Roots, SocketGrant, SocketRules, Traps};
use crate::host::Way;
use crate::plan::Brokered;
use crate::seccomp::Grant;

/// The broker's part, where there is one.
pub(super) fn compile(
    compiler: &mut Compiler<'_>,
    guards: Vec<Guard>,
    sockets: bool,
    arch: Arch,
) -> Option<Brokered> {
    if guards.is_empty() && !sockets {
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
        return None;
    }
    let nested = compiler.policy.kernel().get(&KernelFeature::NestedUserNamespaces);
    if let (Some(rule), false) = (nested.cloned(), guards.is_empty()) {
        compiler.give_up(Degradation::NoCarveOut, UNGUARDED, Lack::NestedOverlay { rule });
    }
    let traps = Traps { names: !guards.is_empty(), unix_connect: sockets };
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
        private: private.iter().map(|private| private.path.clone()).collect(),
        roots: if nested.is_some() { Roots::Own } else { Roots::Same },
    })
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
