//! Looking allowed names up on the host's side: `hosts`, then the host's name servers, over UDP and, where an answer is cut, TCP.
//!
//! No path is opened: both files come as bytes. Answers are kept for as long as they say, within bounds, and a question that is
//! under way is asked once. What comes back is a list of addresses and no more; whether one of them may be connected to is
//! asked when it is. Caller: the resolver inside and what dials.

pub mod config;
pub mod exchange;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{OnceCell, Semaphore};
use tokio::time::Instant;

use weir_protocol::policy::{DomainRule, Origin};

use config::Servers;

/// Names whose answers are kept at a time.
const MAX_KEPT: usize = 4096;

/// Shortest and longest time for which an answer is kept.
const KEPT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// How long it is kept that the servers failed: long enough to bear a program that asks again and again.
const KEPT_FAILED: Duration = Duration::from_secs(2);

/// Questions that are with the name servers at a time.
const MAX_ASKED: usize = 64;

/// Addresses of one name and family that are kept.
pub const MAX_ADDRESSES: usize = 32;

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Why there is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The servers say so.
    #[error("the name does not exist")]
    NoSuchName,
    /// The host has none.
    #[error("the host names no name server")]
    NoServer,
    /// It is another name's, which a rule denies: that one is not asked for.
    #[error("the name is an alias of {alias}, which a rule denies")]
    DeniedAlias {
        /// The other name.
        alias: String,
        /// The rule.
        rule: Box<Origin>,
    },
    /// It is another name's, which no rule could name.
    #[error("the name is an alias of one that is no host name")]
    BadAlias,
    /// In time.
    #[error("no name server answered in time")]
    Timeout,
    /// All servers failed or refused.
    #[error("the name servers could not answer")]
    Failed,
}

/// Addresses, none where the name has none of the family, and how long they hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// In the order of the answer.
    pub addresses: Rc<[IpAddr]>,
    /// How long they hold, as the servers say.
    pub lasts: Duration,
}

type Answer = Result<Found, LookupError>;

/// Looks names up.
#[derive(Debug)]
pub struct Lookup {
    servers: Servers,
    hosts: HashMap<String, Vec<IpAddr>>,
    kept: RefCell<HashMap<(Rc<str>, Family), Kept>>,
    /// Names that nobody is asked for, also where an allowed name leads there.
    denied: Vec<DomainRule>,
    turns: Semaphore,
    swept: Cell<Option<Instant>>,
}

#[derive(Debug, Clone)]
struct Kept {
    answer: Rc<OnceCell<(Answer, Instant)>>,
}

impl Lookup {
    /// Reads the host's files.
    #[must_use]
    pub fn new(resolv_conf: &[u8], hosts: &[u8]) -> Self {
        Self::with(Servers::read(resolv_conf), hosts)
    }

    /// Asks these servers.
    #[must_use]
    pub fn with(servers: Servers, hosts: &[u8]) -> Self {
        Self {
            servers,
            hosts: config::hosts(hosts),
            kept: RefCell::new(HashMap::new()),
            denied: Vec::new(),
            turns: Semaphore::new(MAX_ASKED),
            swept: Cell::new(None),
        }
    }

    /// Asks for no name that one of these denies.
    #[must_use]
    pub fn denying(self, denied: impl Iterator<Item = DomainRule>) -> Self {
        Self { denied: denied.collect(), ..self }
    }

    /// The addresses of a name: lower case, without a trailing dot.
    ///
    /// # Errors
    /// [`LookupError`].
    pub async fn addresses(&self, name: &str, family: Family) -> Answer {
        if let Some(listed) = self.hosts.get(name) {
            let of_family =
                listed.iter().copied().filter(|address| address.is_ipv6() == (family == Family::V6));
            return Ok(Found { addresses: of_family.collect(), lasts: KEPT.1 });
        }
        let kept = self.keep(name, family);
        let asked = kept.answer.get_or_init(|| async {
            let answer = self.ask(name, family).await;
            let lasts = match &answer {
                Ok(found) => found.lasts,
                Err(LookupError::NoSuchName) => KEPT.0,
                Err(_) => KEPT_FAILED,
            };
            (answer, Instant::now() + lasts)
        });
        asked.await.0.clone()
    }

    async fn ask(&self, name: &str, family: Family) -> Answer {
        let _turn = self.turns.acquire().await.map_err(|_| LookupError::Failed)?;
        let mut found = exchange::ask(&self.servers, name, family, &self.denied).await?;
        found.lasts = found.lasts.clamp(KEPT.0, KEPT.1);
        Ok(found)
    }

    /// The place of an answer, which is there already where the question was asked and the answer still holds.
    fn keep(&self, name: &str, family: Family) -> Kept {
        let now = Instant::now();
        let holds = |kept: &Kept| kept.answer.get().is_none_or(|(_, until)| *until > now);
        let mut all = self.kept.borrow_mut();
        let key = (Rc::from(name), family);
        if let Some(kept) = all.get(&key).filter(|kept| holds(kept)) {
            return kept.clone();
        }
        // Not for each new name: what holds now holds for a while.
        if all.len() >= MAX_KEPT && self.swept.get().is_none_or(|swept| now >= swept + KEPT.0) {
            self.swept.set(Some(now));
            all.retain(|_, kept| holds(kept));
        }
        let fresh = Kept { answer: Rc::new(OnceCell::new()) };
        if all.len() < MAX_KEPT {
            all.insert(key, fresh.clone());
        }
        fresh
    }
}
