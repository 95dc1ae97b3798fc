//! What a host cannot hold: the rule, the missing feature, and what can be done.

use std::fmt;

use weir_protocol::AbsPath;
use weir_protocol::policy::{Degradation, Origin, Resource};

use super::copied::NoCopy;
use crate::bpf::ProgramError;
use crate::doctor::{Cause, Finding};
use crate::host::Fact;
use crate::seccomp::Unfiltered;

/// Why a policy cannot be compiled for this host. Nothing was started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("profile `{profile}` cannot be enforced on this host:{}{}{}", list(.lacks), without(.obstacle.as_ref()), offer(.lacks))]
pub struct Refusal {
    /// The profile.
    pub profile: String,
    /// Everything that is lacking.
    pub lacks: Vec<Lack>,
    /// What keeps the host from namespaces, which hold most; nothing where they are there.
    pub obstacle: Option<Finding>,
}

/// One thing that cannot be held.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lack {
    /// No system call filters.
    #[error("no system call filter can be installed ({fact:?}), and no command runs without one")]
    Seccomp {
        /// What the probe found.
        fact: Fact,
    },
    /// No filters for this processor.
    #[error("Weir has no system call filter for this processor")]
    Architecture,
    /// The filter compiler failed.
    #[error("the system call filter has a defect: {defect}")]
    Filter {
        /// The defect.
        defect: ProgramError,
    },
    /// Another user inside a user namespace.
    #[error(
        "running a command as another user (uid {uid}) needs namespaces made as root; here they are made in a user namespace, which knows the caller alone"
    )]
    AnotherUser {
        /// Who was asked for.
        uid: u32,
    },
    /// Without namespaces, Landlock must hold the files.
    #[error(
        "without namespaces the file rules need Landlock ABI {needed} (Linux 6.2), and this kernel has {found}; `weir doctor` says how to get either"
    )]
    Landlock {
        /// The ABI found; 0 for none.
        found: u32,
        /// The ABI needed.
        needed: u32,
    },
    /// Landlock is there, and mounts would hold the files without it: less than was asked.
    #[error("this kernel has Landlock and it fails ({}), so that mounts alone would hold the files", failure(*.fact))]
    LandlockFails {
        /// What the probe found.
        fact: Fact,
    },
    /// A denial inside a grant to write, and no mounts to carve it out.
    #[error("{rule}: {path} lies inside what may be written, and closing it needs a mount namespace")]
    CarveOut {
        /// The place.
        path: AbsPath,
        /// The rule.
        rule: Origin,
    },
    /// The machine's settings inside what uid 0 may write, and no mounts to make them read-only.
    #[error(
        "{rule}: uid 0 could set the machine through {path}, and making it read-only needs a mount namespace; grant less, or run as another user"
    )]
    Settings {
        /// The place.
        path: AbsPath,
        /// The rule.
        rule: Origin,
    },
    /// A rule that would let a mount be written through which the machine is set.
    #[error("{rule}: {path} cannot be written: the kernel is set through what is mounted on {at}")]
    KernelTree {
        /// The place.
        path: AbsPath,
        /// Where the mount is.
        at: AbsPath,
        /// The rule.
        rule: Origin,
    },
    /// A pattern, and no mounts to carve its matches out.
    #[error("{rule}: {path} lies inside what may be written, and closing it needs a mount namespace")]
    Pattern {
        /// What it matches.
        path: AbsPath,
        /// The rule.
        rule: Origin,
    },
    /// Private directories need mounts.
    #[error("a private {path} needs a mount namespace")]
    StandIn {
        /// The directory.
        path: AbsPath,
    },
    /// Processes outside would be seen.
    #[error("hiding the processes of the host needs a PID namespace")]
    Processes,
    /// Landlock holds no change of mode, times or attributes.
    #[error("keeping the mode, times and attributes of ungranted files needs a mount namespace")]
    Metadata,
    /// Processes outside could be signalled.
    #[error("keeping signals inside needs a PID namespace or Landlock ABI 6 (Linux 6.12)")]
    Signals,
    /// Abstract sockets of the host would be reachable.
    #[error(
        "{rule}: sharing the host's network without its abstract unix sockets needs Landlock ABI 6 (Linux 6.12)"
    )]
    AbstractSockets {
        /// The rule that shares the network.
        rule: Origin,
    },
    /// An own loopback needs a network namespace.
    #[error("{rule}: a loopback of the sandbox's own needs a network namespace")]
    Loopback {
        /// The rule.
        rule: Origin,
    },
    /// Nothing listens on every port.
    #[error("{rule}: `*` publishes nothing by itself, it is for a ceiling: name the ports")]
    EveryPort {
        /// The rule.
        rule: Origin,
    },
    /// The sandbox has no loopback of its own.
    #[error(
        "{rule}: nothing is to be published: without `domains` the command shares the host's network, and its servers listen there"
    )]
    PublishedHost {
        /// The rule.
        rule: Origin,
    },
    /// Rules for single hosts hold for every program, or the command does not run.
    #[error(
        "{rule}: {what} needs the network gate: a network namespace with a table of nf_tables, which this host does not give{}",
        reason(*.fact)
    )]
    NetworkGate {
        /// What was asked.
        what: &'static str,
        /// The rule.
        rule: Origin,
        /// What the probe found.
        fact: Fact,
        /// What could be given up for it.
        instead: Option<Degradation>,
    },
    /// A granted socket cannot be told from others.
    #[error(
        "{rule}: granting single unix sockets needs a seccomp listener, which this host does not give ({fact:?})"
    )]
    UnixSockets {
        /// The rule.
        rule: Origin,
        /// What the probe found.
        fact: Fact,
    },
    /// Names that do not exist yet cannot be kept from being made.
    #[error(
        "keeping protected names from being made needs a seccomp listener, which this host does not give ({fact:?})"
    )]
    Names {
        /// What the probe found.
        fact: Fact,
    },
    /// Files that appear later cannot be judged.
    #[error(
        "{rule}: holding it for files that appear later needs a seccomp listener, which this host does not give ({fact:?})"
    )]
    Live {
        /// The rule.
        rule: Origin,
        /// What the probe found.
        fact: Fact,
    },
    /// Nobody would see what is used.
    #[error(
        "recording what a command uses needs a seccomp listener, which this host does not give ({fact:?})"
    )]
    Recording {
        /// What the probe found.
        fact: Fact,
    },
    /// What is closed could be mounted elsewhere.
    #[error(
        "{rule}: in a nested user namespace, without Landlock, what is closed could be mounted under a path that is not"
    )]
    NestedMounts {
        /// The rule.
        rule: Origin,
    },
    /// An overlay in a nested namespace makes names that no filter sees.
    #[error(
        "{rule}: in a nested user namespace an overlay can make protected names that do not exist yet; open those names in `protected`"
    )]
    NestedOverlay {
        /// The rule.
        rule: Origin,
    },
    /// io_uring would open what the filter refuses.
    #[error(
        "{rule}: io_uring makes sockets that no filter sees ({opens:?}); grant the network and sockets too, or leave io_uring closed"
    )]
    IoUring {
        /// The rule.
        rule: Origin,
        /// What it opens.
        opens: Vec<Unfiltered>,
    },
    /// A limit on the tree needs a control group.
    #[error("{rule}: limiting {} for the whole tree needs a version 2 control group with that controller", .resource.key())]
    Limit {
        /// What is limited.
        resource: Resource,
        /// The rule.
        rule: Origin,
    },
    /// The control groups inside what may be written.
    #[error(
        "{rule}: {path} holds the control groups, and what writes there could lift the limit of {limit}; grant less, or set no limit for the tree"
    )]
    GroupsWritable {
        /// Where the hierarchy is.
        path: AbsPath,
        /// The rule that grants it.
        rule: Origin,
        /// The limit.
        limit: Origin,
    },
    /// Changes cannot be kept in a copy.
    #[error("{rule}: `copy` on {path} {why}")]
    Copy {
        /// The place.
        path: AbsPath,
        /// The rule.
        rule: Origin,
        /// Why.
        why: NoCopy,
    },
    /// A rule in a place that the sandbox makes for itself.
    #[error(
        "{rule}: {path} cannot be granted by itself; grant /proc, which holds the sandbox's own processes only"
    )]
    InsideProc {
        /// The place.
        path: AbsPath,
        /// The rule.
        rule: Origin,
    },
}

impl Lack {
    /// The word with which a profile gives the guarantee up, where it may.
    #[must_use]
    pub const fn degradation(&self) -> Option<Degradation> {
        match self {
            Self::CarveOut { .. }
            | Self::Pattern { .. }
            | Self::Names { .. }
            | Self::NestedOverlay { .. } => Some(Degradation::NoCarveOut),
            Self::NetworkGate { instead, .. } => *instead,
            Self::Live { .. } | Self::NestedMounts { .. } => Some(Degradation::SnapshotGlobs),
            Self::Metadata => Some(Degradation::SharedMetadata),
            Self::LandlockFails { .. } => Some(Degradation::NoLandlock),
            Self::StandIn { .. } => Some(Degradation::NoStandIns),
            Self::Processes => Some(Degradation::SharedProcesses),
            Self::Signals => Some(Degradation::SharedSignals),
            Self::Limit { resource: Resource::Memory | Resource::Processes, .. } => {
                Some(Degradation::ProcessLimits)
            }
            _ => None,
        }
    }
}

/// Most lacks that are shown one by one.
const SHOWN: usize = 12;

fn list(lacks: &[Lack]) -> String {
    use fmt::Write as _;
    let mut out = String::new();
    for lack in lacks.iter().take(SHOWN) {
        let _ = write!(out, "\n  - {lack}");
    }
    if lacks.len() > SHOWN {
        let _ = write!(out, "\n  - and {} more", lacks.len() - SHOWN);
    }
    out
}

/// Which step failed, and how.
pub(super) fn failure(fact: Fact) -> String {
    Cause::of(fact).map(|cause| cause.to_string()).unwrap_or_default()
}

/// The same behind what it explains; nothing where it was not tried, for then something before it is missing.
pub(super) fn reason(fact: Fact) -> String {
    if fact == Fact::Untried { String::new() } else { format!(" ({})", failure(fact)) }
}

/// Why there are no namespaces, where there are none.
fn without(obstacle: Option<&Finding>) -> String {
    let Some(Finding { feature, missing: Some(cause), remedies }) = obstacle else { return String::new() };
    let remedy = remedies.first().map_or_else(String::new, |remedy| format!("; get it: {remedy}"));
    format!("\nWhy there are no namespaces here: {}: {cause}{remedy}", feature.name())
}

fn offer(lacks: &[Lack]) -> String {
    let mut words: Vec<String> = Vec::new();
    for name in lacks.iter().map(Lack::degradation) {
        let Some(name) = name else { return String::new() };
        let word = format!("\"{}\"", name.word());
        if !words.contains(&word) {
            words.push(word);
        }
    }
    if words.is_empty() {
        return String::new();
    }
    format!("\nTo run without these guarantees, add to the profile: degrade = [{}]", words.join(", "))
}
