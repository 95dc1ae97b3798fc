//! Leases and the record: one that is given is on record before it can be used, one that is not given before that is told, and its end
//! with what ends it, or as soon as a server part of its user runs.
//!
//! The server part has no log: it asks for a launcher, which writes what this part tells as its claim.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use weir_protocol::ByteString;
use weir_protocol::audit::{LeaseRecord, MAX_ARGUMENT_BYTES, MAX_ARGUMENTS, Reach, since_1970_ms, time};
use weir_protocol::method::Error;
use weir_protocol::method::context::{ContextId, Escalate, LeaseId, Leased};
use weir_protocol::policy::Digest;
use weir_protocol::policy::lease::{Grant, Scope};

use super::Server;
use super::launcher::{order, unexpected};
use super::wire::{Incoming, Wire};
use crate::launch::{LeaseNote, LeaseTurn, Order, Told};

/// Longest time between two looks for leases whose time is over; the clock may have been set meanwhile.
const LOOK: Duration = Duration::from_secs(60 * 60);

/// The profile and the digest of a context's policy.
pub(super) type Base = Option<(String, Digest)>;

/// What a lease grants, for what, and when its time is over, in milliseconds since 1970 (UTC).
pub(super) type Said = (Vec<Grant>, Scope, u64);

/// What is to be recorded of a lease of this context.
pub(super) fn note(
    turn: LeaseTurn,
    id: Option<LeaseId>,
    (context, base): (ContextId, Base),
    (grants, scope, expires_ms): Said,
    reason: String,
) -> Box<LeaseNote> {
    let (reach, thread, of_turn, argv) = match scope {
        Scope::Command { argv } => (Reach::Command, None, None, argv),
        Scope::Turn { thread, turn } => (Reach::Turn, Some(thread), Some(turn), Vec::new()),
        Scope::Context => (Reach::Context, None, None, Vec::new()),
    };
    // One more than is recorded, so that it is seen to be cut.
    let argv = argv.into_iter().take(MAX_ARGUMENTS + 1).map(|word| {
        let mut word = word.into_bytes();
        word.truncate(MAX_ARGUMENT_BYTES + 1);
        ByteString(word)
    });
    let lease = LeaseRecord { id, context, reach, thread, turn: of_turn, grants, until: time(expires_ms) };
    Box::new(LeaseNote { turn, base, lease, argv: argv.collect(), reason })
}

async fn record(launcher: &Wire, note: Box<LeaseNote>) -> Result<(), Error> {
    match order(launcher, &mut Incoming::default(), &Order::Lease(note), &[]).await? {
        Told::Recorded => Ok(()),
        _ => Err(unexpected()),
    }
}

/// Gives a lease, or says why not. Goes on to its end even where whoever asked is gone.
pub(super) async fn escalate(server: &Rc<Server>, asked: Escalate) -> Result<Leased, Error> {
    let this = Rc::clone(server);
    let given = tokio::task::spawn_local(async move {
        let launcher = this.launcher().await?;
        let weighed = this.contexts.weigh_lease(asked);
        let (prospect, note) = match weighed {
            Ok(weighed) => weighed,
            Err((error, note)) => {
                record(&launcher, note).await?;
                return Err(error);
            }
        };
        record(&launcher, note).await?;
        let given = this.contexts.give(&prospect);
        if let Err(error) = &given {
            let over = prospect.note(LeaseTurn::Over, error.message.clone());
            let _ = record(&launcher, over).await;
        }
        this.leased.notify_one();
        given
    });
    given.await.unwrap_or_else(|_| Err(unexpected()))
}

/// Records that leases are over which are, or will be with `closing`. What cannot be recorded is left for later: it is over all the same.
pub(super) async fn settle(server: &Rc<Server>, context: Option<ContextId>, closing: Closing) {
    let Ok(over) = server.contexts.over(context, closing) else { return };
    if over.is_empty() {
        return;
    }
    if let Ok(launcher) = server.launcher().await {
        record_over(server, &launcher, over).await;
    }
}

/// Whether the leases of a context end now, whatever else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    Yes,
    No,
}

/// As [`settle`], by the launcher that is to start a command under a lease of this context.
pub(super) async fn settle_by(server: &Rc<Server>, launcher: &Wire, context: ContextId) {
    if let Ok(over) = server.contexts.over(Some(context), Closing::No) {
        record_over(server, launcher, over).await;
    }
}

async fn record_over(server: &Rc<Server>, launcher: &Wire, over: Vec<(LeaseId, Box<LeaseNote>)>) {
    for (id, note) in over {
        if server.contexts.mark_over(id) && record(launcher, note).await.is_err() {
            server.contexts.unmark_over(id);
        }
    }
}

/// Records the end of each lease when its time is over.
pub(super) async fn watch(server: Rc<Server>) {
    loop {
        settle(&server, None, Closing::No).await;
        let left_ms = server.contexts.next_end(since_1970_ms(SystemTime::now()));
        let left = left_ms.map_or(LOOK, |left_ms| Duration::from_millis(left_ms).min(LOOK));
        let _ = tokio::time::timeout(left, server.leased.notified()).await;
    }
}
