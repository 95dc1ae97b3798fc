//! Why a host that the policy allows is not reached: no refusal, for nothing decided it.
//!
//! It is told with host, address and reason, apart from what was refused, and no rule or edit is named.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use weir_protocol::audit::time;
use weir_protocol::unreached::{MAX_UNREACHED, Unreached, UnreachedHost};

use super::folded::{Folded, Kept};
use super::lookup::LookupError;
use super::refusal::{Attempt, Reason, shorten};

/// Why it is not reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Looking its name up failed.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The name has no address.
    #[error("the name has no address")]
    NoAddress,
    /// None of its addresses could be connected to.
    #[error("could not connect to {address}: {kind}")]
    Connect {
        /// The last one that failed.
        address: SocketAddr,
        /// How.
        kind: io::ErrorKind,
    },
    /// None of its addresses answered in time.
    #[error("{0} did not answer in time")]
    Timeout(SocketAddr),
    /// The time was over before one was tried.
    #[error("the time was over before one of its addresses could be tried")]
    NotTried,
    /// The host's proxy was not reached.
    #[error("the host's proxy {proxy}: {failure}")]
    Proxy {
        /// The proxy.
        proxy: String,
        /// Why.
        failure: Box<Self>,
    },
    /// The host's proxy did not lead there.
    #[error("the host's proxy answered {0}")]
    ProxyStatus(u16),
    /// The sandbox had ended, and what a program said last was not taken in time.
    #[error("the command had ended before all that it sent had gone out, and the rest is lost")]
    Cut,
    /// The sandbox had ended, and a request was not answered in time.
    #[error("the command had ended before its request was answered")]
    Unanswered,
    /// The answer of the host's proxy did not come, or cannot be read.
    #[error("the answer of the host's proxy cannot be read")]
    ProxyAnswer,
}

impl Failure {
    /// The address that was tried last, where it came to that.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Connect { address, .. } | Self::Timeout(address) => Some(*address),
            Self::Proxy { failure, .. } => failure.address(),
            _ => None,
        }
    }

    /// Whether it was the time that ran out.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::Timeout(_) | Self::NotTried | Self::Lookup(LookupError::Timeout) => true,
            Self::Proxy { failure, .. } => failure.is_timeout(),
            _ => false,
        }
    }
}

/// Why there is no connection to a host that was granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unconnected {
    /// It was refused after all: for where the name leads, or for what the client says.
    #[error(transparent)]
    Refused(#[from] Reason),
    /// It failed.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// That a rule denies where an alias leads is a decision.
impl From<LookupError> for Unconnected {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::DeniedAlias { alias, rule } => Self::Refused(Reason::DeniedAlias { alias, rule }),
            error => Self::Failed(error.into()),
        }
    }
}

/// One failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// What was tried.
    pub attempt: Attempt,
    /// The host, with its port where one was meant.
    pub host: String,
    /// Why not.
    pub failure: Failure,
}

impl fmt::Display for Failed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}: {}", self.attempt.act(), self.host, self.failure)
    }
}

/// All failures of one sandbox.
#[derive(Debug)]
pub struct Failures {
    kept: RefCell<Folded<Failed>>,
}

impl Default for Failures {
    fn default() -> Self {
        Self { kept: RefCell::new(Folded::new(MAX_UNREACHED)) }
    }
}

impl Failures {
    /// Adds one.
    pub fn record(&self, mut failed: Failed) {
        shorten(&mut failed.host);
        self.kept.borrow_mut().add(failed);
    }

    /// All so far.
    #[must_use]
    pub fn unreached(&self) -> Unreached {
        let kept = self.kept.borrow();
        Unreached { hosts: kept.list().iter().map(told).collect(), left_out: kept.beyond() }
    }
}

fn told(Kept { what, since_1970_ms, count }: &Kept<Failed>) -> UnreachedHost {
    let Failed { attempt, host, failure } = what;
    UnreachedHost {
        operation: attempt.act(),
        host: host.clone(),
        address: failure.address(),
        reason: failure.to_string(),
        count: *count,
        time: time(*since_1970_ms),
    }
}
