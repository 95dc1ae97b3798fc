//! What the gate refuses, and why: kept folded and bounded for the run's report.
//!
//! A refusal is a decision; that a server cannot be reached is told in the same place, for whoever looks for the reason why a
//! program failed finds it there.

use std::cell::RefCell;
use std::fmt;
use std::net::IpAddr;

use weir_protocol::gate::MECHANISM;
use weir_protocol::method::process::Denial;
use weir_protocol::policy::Origin;
use weir_protocol::policy::address::AddressClass;

use super::inspect::Why;

/// Most refusals told one by one; what is beyond is counted together, so that no flood of names grows the report.
pub const MAX_RECORDS: usize = 256;

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
    /// The word in a record.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Request => "request",
            Self::Send => "send",
        }
    }
}

/// Why something was refused or failed.
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
    /// The name leads to this machine.
    #[error("it leads to {0}, an address of this machine that `allow_private` does not open")]
    OwnAddress(IpAddr),
    /// The sandbox's own loopback was asked for through a proxy endpoint.
    #[error("the sandbox's own loopback is not reached through the gate: connect without a proxy")]
    Loopback,
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
    /// The name does not exist.
    #[error("the name does not exist")]
    NoSuchName,
    /// The name has no address.
    #[error("the name has no address")]
    NoAddress,
    /// No name server answered in time.
    #[error("no name server answered in time")]
    LookupTimeout,
    /// The name servers could not answer.
    #[error("the name servers could not answer")]
    LookupFailed,
    /// The host has no name servers.
    #[error("the host names no name server")]
    NoNameServer,
    /// No address could be connected to.
    #[error("could not connect: {0}")]
    Unreachable(std::io::ErrorKind),
    /// No address answered in time.
    #[error("no address answered in time")]
    ConnectTimeout,
    /// The first bytes did not come whole in time.
    #[error("the first bytes did not come in time")]
    OpeningTimeout,
    /// TLS for another server name.
    #[error("TLS for the server name {0}, which is not the name that was resolved")]
    OtherServerName(String),
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
    /// The upstream proxy refused.
    #[error("the upstream proxy answered {0}")]
    Upstream(u16),
    /// The upstream proxy's answer cannot be read.
    #[error("the upstream proxy's answer cannot be read")]
    BrokenUpstream,
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
        write!(out, "{} {}: {}", self.attempt.word(), self.target, self.reason)?;
        self.origin.as_ref().map_or(Ok(()), |origin| write!(out, " ({origin})"))
    }
}

/// All refusals of one sandbox.
#[derive(Debug, Default)]
pub struct Refusals {
    kept: RefCell<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    told: Vec<(Refusal, u64)>,
    beyond: u64,
}

impl Refusals {
    /// Adds one.
    pub fn record(&self, mut refusal: Refusal) {
        shorten(&mut refusal.target);
        let mut kept = self.kept.borrow_mut();
        if let Some((_, count)) = kept.told.iter_mut().find(|(known, _)| *known == refusal) {
            *count = count.saturating_add(1);
        } else if kept.told.len() < MAX_RECORDS {
            kept.told.push((refusal, 1));
        } else {
            kept.beyond = kept.beyond.saturating_add(1);
        }
    }

    /// All so far, in the order in which they came first.
    #[must_use]
    pub fn denials(&self) -> Vec<Denial> {
        let kept = self.kept.borrow();
        let mut denials: Vec<Denial> =
            kept.told.iter().map(|(refusal, count)| denial(refusal, *count)).collect();
        if kept.beyond > 0 {
            denials.push(Denial {
                operation: Attempt::Connect.word().to_owned(),
                target: "others".into(),
                mechanism: MECHANISM.to_owned(),
                origin: None,
                count: kept.beyond,
                reason: None,
            });
        }
        denials
    }
}

fn denial(refusal: &Refusal, count: u64) -> Denial {
    Denial {
        operation: refusal.attempt.word().to_owned(),
        target: refusal.target.as_str().into(),
        mechanism: MECHANISM.to_owned(),
        origin: refusal.origin.as_deref().cloned(),
        count,
        reason: Some(refusal.reason.to_string()),
    }
}

fn shorten(target: &mut String) {
    if target.len() > MAX_TARGET_BYTES {
        let end = (0..=MAX_TARGET_BYTES).rev().find(|at| target.is_char_boundary(*at)).unwrap_or_default();
        target.truncate(end);
        target.push('…');
    }
}
