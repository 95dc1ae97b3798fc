//! Hosts that no rule covers, put to whoever answers for the command; the connection waits meanwhile.
//!
//! What a rule denies is not asked about, nor is an address that needs a rule of its own. A name is looked up by nobody before its
//! question is answered. Without an answer the refusal stands. What is granted is a lease of the gate's policy, so that
//! [`Policy::verdict`] goes on deciding. Callers: the gate's connections; the other side is the part that speaks with the client.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use weir_protocol::Policy;
use weir_protocol::audit::since_1970_ms;
use weir_protocol::method::network::{Asking, MAX_WAITING_QUESTIONS};
use weir_protocol::policy::lease::{Lease, LeaseError};
use weir_protocol::policy::{DomainPattern, Host, Origin};

use super::Core;
use super::decision::{Grant, decide, is_open};
use super::own::is_own;
use super::refusal::{Reason, Refusal};

/// A question, for whoever speaks with the client.
#[derive(Debug)]
pub struct Asked {
    /// The host, as a program names it.
    pub host: Host,
    /// The port.
    pub port: u16,
    /// The rule that states the default, where one does.
    pub rule: Option<Box<Origin>>,
    /// Where the answer goes. Closed when the time is over.
    pub reply: oneshot::Sender<Reply>,
}

/// What comes of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Granted to the connections that wait for it.
    Once,
    /// Granted from now on.
    Always,
    /// Denied, by the client's word.
    Denied,
    /// Above the administrator's ceiling.
    Above(String),
}

/// Who is asked, and within which bounds.
#[derive(Debug, Clone)]
pub struct Asks {
    to: mpsc::Sender<Asked>,
    bounds: Asking,
}

impl Asks {
    /// Questions within these bounds, and where they come out.
    #[must_use]
    pub fn within(bounds: Asking) -> (Self, mpsc::Receiver<Asked>) {
        let (to, asked) = mpsc::channel(MAX_WAITING_QUESTIONS);
        (Self { to, bounds }, asked)
    }
}

/// A reply that others wait for as well.
type Awaited = watch::Receiver<Option<Reply>>;

/// The questions of one gate.
#[derive(Debug)]
pub(super) struct Questions {
    asks: Asks,
    /// How many were asked.
    count: Cell<u32>,
    /// Under way; whoever asks the same hears the same answer.
    waiting: RefCell<HashMap<(Host, u16), Awaited>>,
    /// Denied by the client: not asked again. Bounded by how many are asked.
    denied: RefCell<HashSet<(Host, u16)>>,
}

/// Why there is no reply.
enum Unanswered {
    /// Nobody was asked.
    NotAsked,
    /// Nobody answered in time.
    InTime,
}

impl Questions {
    pub(super) fn new(asks: Asks) -> Self {
        Self { asks, count: Cell::new(0), waiting: RefCell::default(), denied: RefCell::default() }
    }

    async fn ask(&self, host: &Host, port: u16, rule: Option<Box<Origin>>) -> Result<Reply, Unanswered> {
        let key = (host.clone(), port);
        if self.denied.borrow().contains(&key) {
            return Ok(Reply::Denied);
        }
        let asked = self.waiting.borrow().get(&key).cloned();
        if let Some(mut asked) = asked {
            let heard = asked.wait_for(Option::is_some).await;
            return heard.ok().and_then(|reply| reply.clone()).ok_or(Unanswered::InTime);
        }
        let may_ask = self.waiting.borrow().len() < MAX_WAITING_QUESTIONS;
        if !may_ask || self.count.get() >= self.asks.bounds.most {
            return Err(Unanswered::NotAsked);
        }
        self.count.set(self.count.get() + 1);
        let (tell, told) = watch::channel(None);
        self.waiting.borrow_mut().insert(key.clone(), told);
        let _over = Over { questions: self, key: &key };
        let (reply, heard) = oneshot::channel();
        let question = Asked { host: host.clone(), port, rule, reply };
        self.asks.to.try_send(question).map_err(|_| Unanswered::NotAsked)?;
        let time = Duration::from_millis(self.asks.bounds.answer_ms);
        let reply = match timeout(time, heard).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) => return Err(Unanswered::NotAsked),
            Err(_) => return Err(Unanswered::InTime),
        };
        if reply == Reply::Denied {
            self.denied.borrow_mut().insert(key.clone());
        }
        tell.send_replace(Some(reply.clone()));
        Ok(reply)
    }
}

/// A question that is under way until this goes, however it ends.
struct Over<'a> {
    questions: &'a Questions,
    key: &'a (Host, u16),
}

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.questions.waiting.borrow_mut().remove(self.key);
    }
}

/// The policy with this host besides.
///
/// # Errors
/// [`LeaseError`]: a rule denies it.
pub(crate) fn widened(policy: &Policy, host: &Host, port: u16) -> Result<Policy, LeaseError> {
    let now_ms = since_1970_ms(SystemTime::now());
    let pattern = DomainPattern::one(host.clone(), port);
    let lease = Lease::of_host(policy, pattern, now_ms, "answered by the client");
    lease.policy_at(policy, now_ms)
}

impl Core {
    /// The policy that holds now.
    pub(crate) fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.borrow())
    }

    /// As [`Core::grant`]; what no rule covers is asked about, where somebody answers.
    pub(crate) async fn granted(&self, host: &Host, port: u16) -> Result<Grant, Refusal> {
        let refusal = match self.grant(host, port) {
            Ok(grant) => return Ok(grant),
            Err(refusal) => refusal,
        };
        let (Some(questions), Some(host)) = (&self.questions, self.meant(host)) else { return Err(refusal) };
        if !is_open(&self.policy(), &host, port) {
            return Err(refusal);
        }
        if let Host::Address(address) = host
            && is_own(SocketAddr::new(address, port))
        {
            return Err(Refusal { reason: Reason::OwnAddress(address), ..refusal });
        }
        let asked = self.ending.bounded(pin!(questions.ask(&host, port, refusal.origin.clone()))).await;
        let reason = match asked.unwrap_or(Err(Unanswered::InTime)) {
            Ok(Reply::Once) => {
                return widened(&self.policy(), &host, port)
                    .map_or(Err(refusal), |policy| decide(&policy, &host, port));
            }
            Ok(Reply::Always) if self.widen(&host, port).is_ok() => {
                return decide(&self.policy(), &host, port);
            }
            Ok(Reply::Always) | Err(Unanswered::NotAsked) => return Err(refusal),
            Ok(Reply::Denied) => Reason::AnsweredNo,
            Ok(Reply::Above(why)) => Reason::AboveCeiling(why),
            Err(Unanswered::InTime) => Reason::NotAnswered,
        };
        Err(Refusal { reason, ..refusal })
    }

    /// From now on this host may be reached as well.
    pub(super) fn widen(&self, host: &Host, port: u16) -> Result<(), LeaseError> {
        if self.grant(host, port).is_ok() {
            return Ok(());
        }
        let policy = widened(&self.policy(), host, port)?;
        self.policy.replace(Arc::new(policy));
        Ok(())
    }

    /// Whether a name that no rule allows gets an address all the same, for a connection to it is asked about.
    pub(super) fn may_ask_for(&self, host: &Host) -> bool {
        let may_ask = |questions: &Questions| questions.count.get() < questions.asks.bounds.most;
        self.questions.as_ref().is_some_and(may_ask)
            && is_open(&self.policy(), host, super::decision::NO_PORT)
    }
}
