//! What the launcher takes the machine for: presumed at first, tried once a sandbox could not be entered.
//!
//! A launch that goes well has tried everything it needs by itself; trying it before, too, would take many times as long as
//! the launch. Nothing is ever less confined for it: what is presumed and not there makes a step fail, and then nothing runs.
//! Only the launcher uses this.

use weir_protocol::Policy;
use weir_protocol::policy::Resource;
use weir_sandbox_linux::host::Host;

/// Limits that are held by a control group, which has to be found first.
const OF_THE_TREE: [Resource; 3] = [Resource::Memory, Resource::Processes, Resource::Cpu];

/// The machine, and how it is known.
#[derive(Debug)]
pub(super) struct Machine {
    host: Host,
    basis: Basis,
    groups: Groups,
}

/// Whether control groups are known: only few profiles need them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Groups {
    Found,
    Unknown,
}

/// How something is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Basis {
    /// By what the machine says of itself.
    Presumed,
    /// By trying what sandboxes are made of.
    Tried,
    /// By trying everything.
    Probed,
}

impl Machine {
    /// The machine as it presents itself.
    pub(super) fn presumed() -> Self {
        Self { host: Host::presumed(), basis: Basis::Presumed, groups: Groups::Unknown }
    }

    /// The machine as far as entering goes, known at least so well from now on.
    pub(super) fn tried(&mut self) -> &Host {
        self.known_by(Basis::Tried, Host::tried)
    }

    /// The machine in all respects, from now on.
    pub(super) fn probed(&mut self) -> &Host {
        self.known_by(Basis::Probed, Host::probe)
    }

    fn known_by(&mut self, basis: Basis, find: fn() -> Host) -> &Host {
        if self.basis < basis {
            *self = Self { host: find(), basis, ..*self };
            if basis == Basis::Probed {
                self.groups = Groups::Found;
            } else if self.groups == Groups::Found {
                self.host = self.host.clone().with_groups();
            }
        }
        &self.host
    }

    /// What a launch under this policy is compiled against.
    pub(super) fn host_for(&mut self, policy: &Policy) -> &Host {
        if OF_THE_TREE.iter().any(|resource| policy.resources().limit(*resource).is_some()) {
            self.find_groups();
        }
        &self.host
    }

    fn find_groups(&mut self) {
        if self.groups == Groups::Unknown {
            self.host = self.host.clone().with_groups();
            self.groups = Groups::Found;
        }
    }

    pub(super) const fn basis(&self) -> Basis {
        self.basis
    }
}
