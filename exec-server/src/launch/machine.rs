//! What the launcher takes the machine for: presumed at first, tried once a sandbox could not be entered.
//!
//! A launch that goes well has tried everything it needs by itself; trying it before, too, would take many times as long as
//! the launch. Nothing is ever less confined for it: what is presumed and not there makes a step fail, and then nothing runs.
//! Only the launcher uses this.

use weir_protocol::Policy;
use weir_protocol::policy::Resource;
use weir_sandbox_linux::host::Host;

/// Limits that are held by means which entering does not try.
const OF_THE_TREE: [Resource; 3] = [Resource::Memory, Resource::Processes, Resource::Cpu];

/// The machine, and how it is known.
#[derive(Debug)]
pub(super) struct Machine {
    host: Host,
    basis: Basis,
}

/// How something is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Basis {
    /// By what the machine says of itself.
    Presumed,
    /// By trying.
    Probed,
}

impl Machine {
    /// The machine as it presents itself.
    pub(super) fn presumed() -> Self {
        Self { host: Host::presumed(), basis: Basis::Presumed }
    }

    /// The machine as it has been found, from now on.
    pub(super) fn probed(&mut self) -> &Host {
        if self.basis == Basis::Presumed {
            *self = Self { host: Host::probe(), basis: Basis::Probed };
        }
        &self.host
    }

    /// What a launch under this policy is compiled against.
    pub(super) fn host_for(&mut self, policy: &Policy) -> &Host {
        if OF_THE_TREE.iter().any(|resource| policy.resources().limit(*resource).is_some()) {
            return self.probed();
        }
        &self.host
    }

    pub(super) const fn basis(&self) -> Basis {
        self.basis
    }
}
