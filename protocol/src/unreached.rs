//! Hosts that the policy allows and that could not be reached: an error of the network, and so no denial.
//!
//! No rule stands behind it and no edit would help; it is told apart, so that nobody is sent to change a profile. The network gate tells
//! of them, for a program that it connects for hears no more than that its connection ended.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::denial::Act;

/// Most hosts of one run that are told one by one: what nobody would read to the end.
pub const MAX_UNREACHED: usize = 64;

/// What one run did not reach, the same told once with its number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreached {
    /// In the order in which they came first.
    pub hosts: Vec<UnreachedHost>,
    /// How many more there were that have no room here.
    pub left_out: u64,
}

impl Unreached {
    /// Whether everything was reached.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.left_out == 0
    }
}

/// A host that could not be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreachedHost {
    /// What was tried: [`Act::Resolve`] or [`Act::Connect`].
    pub operation: Act,
    /// Its name or address, with the port where one was meant.
    pub host: String,
    /// The address that was tried last, where it came to that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// Why not, for people; it names the address as well.
    pub reason: String,
    /// How often.
    pub count: u64,
    /// When first, in RFC 3339, UTC.
    pub time: String,
}

impl fmt::Display for UnreachedHost {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}: {}", self.operation, self.host, self.reason)?;
        if self.count > 1 { write!(out, ", {} times", self.count) } else { Ok(()) }
    }
}
