//! What a profile means on one host: absolute, sorted, every grant with its origin, and one verdict for every question.
//!
//! [`Policy::verdict`] is the executable specification: Landlock rules, mounts, filters, Seatbelt profiles, the network gate
//! and every denial are tested against it. A policy is a value: it never changes, and everything that widens or narrows it
//! yields another one with another [`Digest`].

pub mod access;
pub mod address;
pub mod digest;
pub mod environment;
pub mod excess;
pub mod explain;
pub mod filesystem;
pub mod glob;
pub mod host;
pub mod intersect;
pub mod lease;
pub mod network;
pub mod origin;
pub mod publish;
pub mod resources;
pub mod verdict;
pub mod within;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

pub use access::{Access, Operation};
pub use digest::Digest;
pub use environment::{Environment, Inherit};
pub use excess::{Excess, Subject};
pub use filesystem::{Filesystem, FilesystemParts, GlobRule, PathRule, PrivateDirectory, StandIn};
pub use glob::Glob;
pub use host::{DomainPattern, Host};
pub use lease::Lease;
pub use network::{DomainRule, Network, NetworkMode, NetworkParts, SocketRule, Sourced};
pub use origin::{Layer, Origin, Place};
pub use publish::{PublishRule, Published};
pub use resources::{Resource, Resources};
pub use verdict::{Request, RuleRef, Verdict};
pub use within::Within;

/// Whether a policy confines at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confinement {
    /// The rules hold.
    Managed,
    /// No rule holds: only the profile `:danger-full-access` and what is made to equal it.
    Unrestricted,
}

/// A guarantee that a profile gives up by name where a host cannot keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Degradation {
    /// Patterns hold for the files present at start only.
    SnapshotGlobs,
    /// A denial inside a grant is dropped where the host cannot carve it out (no user namespace, no live rules).
    NoCarveOut,
    /// The home and temporary directories get no stand-in: they are out of reach instead.
    NoStandIns,
    /// Processes of the host can be seen, though not touched.
    SharedProcesses,
    /// Processes of the host can be signalled.
    SharedSignals,
    /// Mode, times and attributes of files that the user owns can be changed, whatever is granted.
    SharedMetadata,
    /// Domain rules hold through proxy endpoints only.
    ProxyOnlyNetwork,
    /// Limits hold for each process, not for the tree.
    ProcessLimits,
    /// Mounts alone hold the files where the kernel has Landlock and its calls fail.
    NoLandlock,
    /// Readings that are refused are not told, where the kernel holds them by itself; nothing that was refused is allowed for it.
    UntoldReadings,
}

impl Degradation {
    /// The word that stands for it in a profile.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::SnapshotGlobs => "snapshot-globs",
            Self::NoCarveOut => "no-carve-out",
            Self::NoStandIns => "no-stand-ins",
            Self::SharedProcesses => "shared-processes",
            Self::SharedSignals => "shared-signals",
            Self::SharedMetadata => "shared-metadata",
            Self::ProxyOnlyNetwork => "proxy-only-network",
            Self::ProcessLimits => "process-limits",
            Self::NoLandlock => "no-landlock",
            Self::UntoldReadings => "untold-readings",
        }
    }
}

/// A kernel feature that is closed unless the profile opens it by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KernelFeature {
    /// Creating user namespaces inside, as rootless containers and browsers do.
    NestedUserNamespaces,
    /// The io_uring system calls.
    IoUring,
}

impl KernelFeature {
    /// The key that stands for it in a profile.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NestedUserNamespaces => "nested_user_namespaces",
            Self::IoUring => "io_uring",
        }
    }
}

/// What becomes of what a command has started and left running when it ends itself.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Background {
    /// It is ended with the command.
    #[default]
    End,
    /// It goes on until it ends by itself or is ended from outside, under the same policy.
    Keep,
}

impl Background {
    /// The word in a profile.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Keep => "keep",
        }
    }
}

/// The parts of a [`Policy`], for building one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyParts {
    /// The profile it was resolved from; a label, not part of the meaning.
    pub profile: String,
    /// Whether rules hold at all.
    pub confinement: Sourced<Confinement>,
    /// File-system rules.
    pub filesystem: Filesystem,
    /// Network rules.
    pub network: Network,
    /// Limits.
    #[serde(default)]
    pub resources: Resources,
    /// Environment rules.
    pub environment: Environment,
    /// Guarantees given up by name.
    #[serde(default)]
    pub degradations: BTreeMap<Degradation, Origin>,
    /// Kernel features opened by name.
    #[serde(default)]
    pub kernel: BTreeMap<KernelFeature, Origin>,
    /// What becomes of what the command leaves running.
    #[serde(default = "background_ends")]
    pub background: Sourced<Background>,
}

/// What holds where no profile says otherwise.
#[must_use]
pub fn background_ends() -> Sourced<Background> {
    Sourced::default_of(
        Background::End,
        "what a command leaves running ends with it unless `background = \"keep\"`",
    )
}

/// What a profile means on one host, in normal form.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "PolicyParts")]
pub struct Policy {
    parts: PolicyParts,
    index: OnceLock<verdict::Index>,
}

/// As its parts, which need not be copied for it.
impl Serialize for Policy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.parts.serialize(serializer)
    }
}

impl From<PolicyParts> for Policy {
    fn from(mut parts: PolicyParts) -> Self {
        parts.environment = parts.environment.normalised();
        Self { parts, index: OnceLock::new() }
    }
}

impl From<Policy> for PolicyParts {
    fn from(policy: Policy) -> Self {
        policy.parts
    }
}

/// Two policies are equal when they mean the same, wherever their rules stand.
impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        self.digest() == other.digest()
    }
}

impl Eq for Policy {}

impl Policy {
    /// The profile it was resolved from.
    #[must_use]
    pub fn profile(&self) -> &str {
        &self.parts.profile
    }

    /// Whether rules hold at all.
    #[must_use]
    pub fn confinement(&self) -> Confinement {
        self.parts.confinement.value
    }

    /// Whether this is a policy under which no rule holds.
    #[must_use]
    pub fn is_unrestricted(&self) -> bool {
        self.confinement() == Confinement::Unrestricted
    }

    /// File-system rules.
    #[must_use]
    pub fn filesystem(&self) -> &Filesystem {
        &self.parts.filesystem
    }

    /// The same where a network that is left out is the gate's, with no host allowed: nothing more is reached, and what is asked for is known.
    #[must_use]
    pub fn with_gate(self) -> Self {
        let mut parts = PolicyParts::from(self);
        if !parts.network.enabled.value {
            let origin = Origin::implied("what is asked for is recorded");
            let enabled = Sourced { value: true, origin };
            let network: NetworkParts = parts.network.into();
            parts.network = Network::new(NetworkParts { enabled, domains: Some(Vec::new()), ..network });
        }
        parts.into()
    }

    /// The same with the sandbox's own loopback: nothing more is reached outside, and what listens inside is known.
    #[must_use]
    pub fn with_loopback(self) -> Self {
        let mut parts = PolicyParts::from(self);
        if !parts.network.loopback.value {
            let origin = Origin::implied("what listens inside is recorded");
            let network: NetworkParts = parts.network.into();
            let loopback = Sourced { value: true, origin };
            parts.network = Network::new(NetworkParts { loopback, ..network });
        }
        parts.into()
    }

    /// Network rules.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.parts.network
    }

    /// Limits.
    #[must_use]
    pub fn resources(&self) -> &Resources {
        &self.parts.resources
    }

    /// Environment rules.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.parts.environment
    }

    /// Guarantees given up by name.
    #[must_use]
    pub fn degradations(&self) -> &BTreeMap<Degradation, Origin> {
        &self.parts.degradations
    }

    /// Kernel features opened by name.
    #[must_use]
    pub fn kernel(&self) -> &BTreeMap<KernelFeature, Origin> {
        &self.parts.kernel
    }

    /// What becomes of what the command leaves running.
    #[must_use]
    pub fn background(&self) -> &Sourced<Background> {
        &self.parts.background
    }

    /// All parts, to build a changed policy from.
    #[must_use]
    pub fn parts(&self) -> &PolicyParts {
        &self.parts
    }

    /// Whether everything this policy allows is allowed by `other`.
    ///
    /// Sound: `true` is never wrong. For patterns it is exact up to the bounds of [`Glob::covers`].
    #[must_use]
    pub fn narrower_than(&self, other: &Self) -> bool {
        self.excess_over(other).is_empty()
    }
}
