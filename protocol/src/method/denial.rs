//! Denials of runs that are over, as the server keeps them.

use serde::{Deserialize, Serialize};

use super::context::ContextId;
use crate::denial::Run;
use crate::since::Since;

/// Most runs with denials that a server keeps for one user; the oldest goes first.
pub const KEPT_RUNS: usize = 128;

/// Parameters of `denial/list`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Those that ended then or later: a time in RFC 3339, UTC, or the beginning of one (`2026-11-28T09:30`); one that there never is is refused.
    #[serde(default)]
    pub since: Option<Since>,
    /// Those of this context alone.
    #[serde(default)]
    pub context: Option<ContextId>,
}

/// Result of `denial/list`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The runs in which something was refused, the oldest first.
    pub runs: Vec<Run>,
}
