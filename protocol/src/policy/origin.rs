//! Where a rule comes from: layer, profile, file and line, or the built-in or implied rule that stands behind it.
//!
//! Every grant and every denial of a [`Policy`](crate::Policy) carries an [`Origin`], so that any answer can name the line
//! that gave it. Origins never take part in a digest: moving a rule to another line changes no meaning.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The layers from which a policy is put together, weakest first; a later layer overrides the same key of an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// Follows from the profile's other rules or from Weir's own needs; nobody wrote it.
    Implied,
    /// A built-in profile such as `:workspace`.
    BuiltIn,
    /// The administrator's `/etc/weir/requirements.toml`.
    Requirements,
    /// The user's `config.toml`, or the file named by `--config`.
    User,
    /// A trusted project's `.weir/config.toml`, which may only narrow.
    Project,
    /// Options of one command line.
    CommandLine,
    /// A profile passed by value over the socket.
    Value,
    /// An escalation granted for a bounded scope.
    Lease,
}

/// A place in a text: line and column count from 1, the column in characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The file as the user would name it, or another name for the text (`command line`).
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.file, self.line)
    }
}

/// Where one rule comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The layer that holds the rule.
    pub layer: Layer,
    /// The profile in which it stands, for instance `team-standard` or `:workspace`; empty outside any profile.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub profile: String,
    /// File, line and column; absent for implied and built-in rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// The rule as written, or the reason why it is implied.
    pub rule: String,
}

impl Origin {
    /// A rule that nobody wrote, with the reason why it holds.
    #[must_use]
    pub fn implied(reason: impl Into<String>) -> Self {
        Self { layer: Layer::Implied, profile: String::new(), place: None, rule: reason.into() }
    }

    /// `file:line`, or `implied`, or `built-in :name`: short enough to stand behind a rule.
    #[must_use]
    pub fn whence(&self) -> String {
        match (&self.place, self.layer) {
            (Some(place), _) => place.to_string(),
            (None, Layer::Implied) => "implied".to_owned(),
            (None, Layer::BuiltIn) => format!("built-in {}", self.profile),
            (None, Layer::CommandLine) => "command line".to_owned(),
            (None, Layer::Lease) => "lease".to_owned(),
            (None, layer) => format!("{layer:?}").to_lowercase(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({})", self.rule, self.whence())
    }
}
