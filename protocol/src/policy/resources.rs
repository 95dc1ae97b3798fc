//! Limits on what one command and all it starts may use.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::network::Sourced;

/// A thing that can be limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Memory of the whole tree, in bytes.
    Memory,
    /// Processes and threads of the whole tree.
    Processes,
    /// Processor share, in thousandths of one core.
    Cpu,
    /// Open files of each process.
    OpenFiles,
    /// Size of any one file written, in bytes.
    FileSize,
    /// Time from start to end, in milliseconds.
    WallTime,
    /// Bytes written to standard output and standard error together.
    Output,
}

impl Resource {
    /// Every resource, in canonical order.
    pub const ALL: [Self; 7] = [
        Self::Memory,
        Self::Processes,
        Self::Cpu,
        Self::OpenFiles,
        Self::FileSize,
        Self::WallTime,
        Self::Output,
    ];

    /// The key in a profile's `resources` table.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Processes => "processes",
            Self::Cpu => "cpu",
            Self::OpenFiles => "open_files",
            Self::FileSize => "file_size",
            Self::WallTime => "wall_time",
            Self::Output => "output",
        }
    }
}

/// Limits; a resource that is absent is not limited by the profile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Resources(std::collections::BTreeMap<Resource, Sourced<u64>>);

impl Resources {
    /// The limit on `resource`, in the unit that [`Resource`] states.
    #[must_use]
    pub fn limit(&self, resource: Resource) -> Option<&Sourced<u64>> {
        self.0.get(&resource)
    }

    /// Sets or replaces a limit.
    pub fn set(&mut self, resource: Resource, limit: Sourced<u64>) {
        self.0.insert(resource, limit);
    }

    /// Every limit, in canonical order.
    pub fn iter(&self) -> impl Iterator<Item = (Resource, &Sourced<u64>)> {
        self.0.iter().map(|(resource, limit)| (*resource, limit))
    }
}
