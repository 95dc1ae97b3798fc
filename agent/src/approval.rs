//! Approvals: when the person is asked before something is done.

use serde::{Deserialize, Serialize};

/// When the person is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Approval {
    /// Before every command that no rule allows.
    Untrusted,
    /// When the model asks for more than the profile allows, or a rule says so.
    #[default]
    OnRequest,
    /// Never: what would have to be asked is refused.
    Never,
    /// As the table `[approvals.granular]` says, kind by kind.
    Granular,
}
