//! Which denials a host can tell, and which it cannot: silence means nothing where nobody looks.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Mechanism;

/// What could be seen of a run's denials.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// Where denials come from, and where none can.
    pub sources: Vec<Source>,
    /// Denials that were seen and have no room in the report.
    pub left_out: u64,
    /// Records that the kernel could not deliver, as far as it counts them; each may have been a denial of this run.
    pub lost: u64,
}

/// One source of denials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// What would tell.
    pub mechanism: Mechanism,
    /// Which refusals are meant, for people.
    pub of: String,
    /// Why they are not told; absent where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
}

/// Why refusals are not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// The kernel has no Landlock, or it is not used.
    NoLandlock,
    /// The kernel's Landlock is older than its records (ABI 7, Linux 6.15).
    OldLandlock,
    /// The kernel's audit records cannot be read.
    NotPermitted,
    /// The kernel's audit is switched off.
    AuditOff,
    /// Whether the kernel's audit is on cannot be told.
    AuditUnknown,
    /// Records name processes by numbers of the machine's first PID namespace, and this is another.
    OtherNumbers,
    /// The kernel makes no record.
    NoRecord,
    /// Nothing performs the calls that would tell.
    NoBroker,
    /// The profile gives it up.
    GivenUp,
}

impl fmt::Display for Missing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::NoLandlock => "Landlock is not used",
            Self::OldLandlock => "the kernel's Landlock makes no records (ABI 7, Linux 6.15, does)",
            Self::NotPermitted => "the kernel's audit records cannot be read without CAP_AUDIT_READ",
            Self::AuditOff => {
                "the kernel's audit is switched off (a server started with `--kernel-audit enable` switches it on)"
            }
            Self::AuditUnknown => "whether the kernel's audit is on cannot be told without CAP_AUDIT_CONTROL",
            Self::OtherNumbers => "this is not the machine's first PID namespace, whose numbers records bear",
            Self::NoRecord => "the kernel makes no record of them",
            Self::GivenUp => "the profile gives that up (`degrade`)",
            Self::NoBroker => "no rule of this profile lets init perform the calls that make names",
        })
    }
}

impl Source {
    /// One that tells.
    #[must_use]
    pub fn present(mechanism: Mechanism, of: &str) -> Self {
        Self { mechanism, of: of.to_owned(), missing: None }
    }

    /// One that does not.
    #[must_use]
    pub fn missing(mechanism: Mechanism, of: &str, missing: Missing) -> Self {
        Self { mechanism, of: of.to_owned(), missing: Some(missing) }
    }
}

impl Sight {
    /// Sources of which nothing is told.
    pub fn blind(&self) -> impl Iterator<Item = (&Source, Missing)> {
        self.sources.iter().filter_map(|source| Some((source, source.missing?)))
    }
}
