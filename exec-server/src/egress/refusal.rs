//! What the gate refuses, and why: kept folded and bounded for the run's report.
//!
//! A refusal is a decision. That a server cannot be reached is none, and is told apart ([`super::failure`]).

use std::cell::RefCell;
use std::fmt;
use std::net::IpAddr;

use weir_protocol::Policy;
use weir_protocol::audit::time;
use weir_protocol::denial::{Act, Denial, Ledger, MAX_DENIALS, Mechanism, Observed};
use weir_protocol::policy::Origin;
use weir_protocol::policy::address::AddressClass;

use super::folded::{Folded, Kept};
use super::inspect::Why;

/// Most bytes of a target in a record.
const MAX_TARGET_BYTES: usize = 300;

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Attempt {
    /// A name was asked for.
    Resolve,
    /// A connection.
    Connect,
    /// A request within a connection.
    Request,
    /// A datagram.
    Send,
}

impl Attempt {
    /// What a record calls it.
    #[must_use]
    pub const fn act(self) -> Act {
        match self {
            Self::Resolve => Act::Resolve,
            Self::Connect => Act::Connect,
            Self::Request => Act::Request,
            Self::Send => Act::Send,
        }
    }
}

/// Why something was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// A rule denies the host.
    #[error("a rule denies it")]
    DeniedByRule,
    /// No rule allows the host.
    #[error("no rule allows it")]
    NotAllowed,
    /// The client was asked, and denied it.
    #[error("no rule allows it, and it was denied when asked about")]
    AnsweredNo,
    /// The client was asked, and did not answer in time.
    #[error("no rule allows it, and nobody answered the question in time")]
    NotAnswered,
    /// The client may not grant it.
    #[error("no rule allows it, and the ceiling lets nobody grant it: {0}")]
    AboveCeiling(String),
    /// The host is allowed on other ports.
    #[error("allowed, but not on this port")]
    OtherPort,
    /// The address itself is of a kind that needs a rule of its own.
    #[error("a {0} address, which only a rule of its own or `allow_private` opens")]
    Class(AddressClass),
    /// The name leads to an address of a kind that needs a rule of its own.
    #[error("the name leads to {address}, a {class} address that `allow_private` does not open")]
    LeadsTo {
        /// Where it leads.
        address: IpAddr,
        /// The kind.
        class: AddressClass,
    },
    /// The host leads to an address that a rule denies.
    #[error("it leads to {address}, which a rule denies")]
    LeadsToDenied {
        /// Where it leads.
        address: IpAddr,
        /// The rule.
        rule: Box<Origin>,
    },
    /// The name is another one's, which a rule denies.
    #[error("it is an alias of {alias}, which a rule denies")]
    DeniedAlias {
        /// The other name.
        alias: String,
        /// The rule.
        rule: Box<Origin>,
    },
    /// The name leads to this machine.
    #[error("it leads to {0}, an address of this machine that `allow_private` does not open")]
    OwnAddress(IpAddr),
    /// The sandbox's own loopback was asked for through a proxy endpoint.
    #[error("the sandbox's own loopback is not reached through the gate: connect without a proxy")]
    Loopback,
    /// The sandbox's own loopback was asked for, and there is none.
    #[error("the sandbox has no loopback: `loopback = true` under `network` gives it one of its own")]
    NoLoopback,
    /// A datagram to anybody but the resolver.
    #[error("UDP and QUIC are refused; TCP passes, and questions to the resolver")]
    Datagram,
    /// An address of the synthetic range that stands for no name (any more).
    #[error("the address stands for no name: look the name up again")]
    Stale,
    /// An address that belongs to the gate itself.
    #[error("nothing listens on this port of the gate")]
    NoSuchPort,
    /// Not a host name.
    #[error("not a valid host name")]
    BadName,
    /// A kind of DNS record that the gate does not tell.
    #[error("the gate answers questions for addresses alone")]
    RecordType,
    /// The first bytes did not come whole in time.
    #[error(
        "the first bytes did not come whole in time: a line's end, or what else shows that they are no HTTP request"
    )]
    OpeningTimeout,
    /// TLS for another server name.
    #[error("TLS for the server name {0}, which is not the name that was resolved")]
    OtherServerName(String),
    /// TLS that says for no server name that it is.
    #[error("TLS without a server name, which must be the name that was resolved")]
    NoServerName,
    /// TLS that cannot be read.
    #[error("a broken TLS ClientHello")]
    BrokenTls,
    /// An HTTP request for another host.
    #[error("an HTTP request for the host {0}, which is not the name that was resolved")]
    OtherHost(String),
    /// An HTTP request that cannot be read.
    #[error("a broken HTTP request")]
    BrokenHttp,
    /// A proxy request that cannot be read or that the endpoint does not know.
    #[error("a broken or unknown request to the proxy endpoint")]
    BrokenProxy,
    /// Limited mode without what it takes.
    #[error("`mode = \"limited\"` cannot be kept here")]
    NoInspection,
    /// What limited mode does not let through.
    #[error(transparent)]
    Limited(Why),
    /// Too many connections at once.
    #[error("more than {0} connections at once")]
    TooMany(usize),
    /// Too many names with open connections at once.
    #[error("open connections to {0} names at once")]
    TooManyNames(usize),
}

impl Reason {
    /// Whether another rule for the host would have turned the answer.
    const fn is_of_rules(&self) -> bool {
        matches!(
            self,
            Self::DeniedByRule
                | Self::NotAllowed
                | Self::AnsweredNo
                | Self::NotAnswered
                | Self::OtherPort
                | Self::Class(_)
                | Self::NoLoopback
        )
    }
}

/// One refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What was tried.
    pub attempt: Attempt,
    /// The host with its port, or the request.
    pub target: String,
    /// Why.
    pub reason: Reason,
    /// The rule, where one decided.
    pub origin: Option<Box<Origin>>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}: {}", self.attempt.act(), self.target, self.reason)?;
        self.origin.as_ref().map_or(Ok(()), |origin| write!(out, " ({origin})"))
    }
}

/// All refusals of one sandbox.
#[derive(Debug)]
pub struct Refusals {
    kept: RefCell<Folded<Refusal>>,
}

impl Default for Refusals {
    fn default() -> Self {
        Self { kept: RefCell::new(Folded::new(MAX_DENIALS)) }
    }
}

impl Refusals {
    /// Adds one.
    pub fn record(&self, mut refusal: Refusal) {
        shorten(&mut refusal.target);
        self.kept.borrow_mut().add(refusal);
    }

    /// All so far, in the order in which they came first, with what the policy says of each.
    #[must_use]
    pub fn denials(&self, policy: &Policy) -> Ledger {
        let kept = self.kept.borrow();
        let mut ledger = Ledger::default();
        kept.list().iter().for_each(|one| ledger.add(denial(one, policy)));
        ledger.leave_out(kept.beyond());
        ledger
    }
}

fn denial(Kept { what, since_1970_ms, count }: &Kept<Refusal>, policy: &Policy) -> Denial {
    let Refusal { attempt, target, reason, origin } = what;
    let observed = Observed {
        operation: attempt.act(),
        target: target.as_str().into(),
        mechanism: Mechanism::NetworkGate,
        time: time(*since_1970_ms),
        process: None,
        reason: Some(reason.to_string()),
    };
    let mut denial = observed.certain(policy);
    if !reason.is_of_rules() {
        (denial.edit, denial.option) = (None, None);
    }
    Denial { origin: origin.as_deref().cloned(), count: *count, ..denial }
}

/// Cuts what a program named to what a record holds.
pub(super) fn shorten(target: &mut String) {
    if target.len() > MAX_TARGET_BYTES {
        let end = (0..=MAX_TARGET_BYTES).rev().find(|at| target.is_char_boundary(*at)).unwrap_or_default();
        target.truncate(end);
        target.push('…');
    }
}
