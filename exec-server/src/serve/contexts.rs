//! Contexts of one user: what binds a thread, what a lease adds, and nothing wider.
//!
//! Policies come from the resolver, bounded by the ceiling in the launcher; here it is only decided which of them holds.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::SystemTime;

use weir_protocol::audit::since_1970_ms;
use weir_protocol::denial::Run;
use weir_protocol::method::context::{
    ContextId, Escalate, LeaseId, Leased, MAX_THREAD_BYTES, Opened, Under, Wider,
};
use weir_protocol::method::denial::{Asked, Refused};
use weir_protocol::method::{Error, code};
use weir_protocol::policy::lease::{Lease, LeaseError, MAX_LEASE_GRANTS, Scope, Use};
use weir_protocol::policy::{Digest, DomainPattern};
use weir_protocol::{ByteString, Policy};

use super::leases::{Base, Closing, Said, note};
use super::store::{Kept, Store, StoreError};
use crate::launch::{LeaseNote, LeaseTurn};

/// Most open contexts of one user.
const MAX_CONTEXTS: u64 = 10_000;

/// Contexts whose policies are kept as values, because reading one takes longer than most calls on files.
const READY: usize = 16;

/// A policy with its digest.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) policy: Policy,
    pub(super) digest: Digest,
}

/// The contexts.
#[derive(Debug)]
pub(super) struct Contexts {
    store: Store,
    /// What is stored, as values.
    ready: RefCell<HashMap<ContextId, Rc<Held>>>,
    /// The store's version as of which they are.
    version: Cell<i64>,
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self { code: code::STORE, message: error.to_string() }
    }
}

fn none(what: &str, id: u64) -> Error {
    Error { code: code::NO_CONTEXT, message: format!("there is no {what} {id}") }
}

fn opened(Kept { id, thread, policy }: Kept, remarks: Vec<String>) -> Opened {
    Opened { id, thread, profile: policy.profile().to_owned(), digest: policy.digest(), remarks }
}

/// What `asked` is within `bound`; what had to go is among the remarks.
///
/// # Errors
/// What somebody wrote that allows more.
pub(super) fn within(asked: Policy, bound: &Policy, remarks: &mut Vec<String>) -> Result<Policy, Error> {
    if asked.digest() == bound.digest() {
        return Ok(asked);
    }
    let digest = asked.digest();
    match asked.within(bound) {
        Ok(within) => {
            remarks.extend(within.remark());
            Ok(within.policy)
        }
        Err(excess) => {
            let wider = Wider { bound: bound.digest(), asked: digest, excess };
            Err(Error { code: code::WIDER, message: wider.to_string() })
        }
    }
}

impl Contexts {
    pub(super) fn new(store: Store) -> Self {
        Self { store, ready: RefCell::default(), version: Cell::new(0) }
    }

    /// A context with this policy; where the thread is bound already, only with the same or a narrower one. The thread that it was
    /// forked from binds one that is not.
    pub(super) fn open(
        &self,
        thread: Option<String>,
        forked_from: Option<&str>,
        mut policy: Policy,
        mut remarks: Vec<String>,
    ) -> Result<Opened, Error> {
        let bound = self.bound(thread.as_deref())?;
        if bound.is_none()
            && let Some(other) = self.bound(forked_from)?
        {
            policy = within(policy, &other.policy, &mut remarks)?;
        }
        let id = match bound {
            Some(bound) => {
                policy = within(policy, &bound.policy, &mut remarks)?;
                self.set(bound.id, &policy)?;
                bound.id
            }
            None if self.store.count()? >= MAX_CONTEXTS => {
                let message = format!("{MAX_CONTEXTS} contexts are open; close one");
                return Err(Error { code: code::QUOTA, message });
            }
            None => self.store.add(thread.as_deref(), &policy)?,
        };
        Ok(opened(Kept { id, thread, policy }, remarks))
    }

    /// What binds a thread.
    fn bound(&self, thread: Option<&str>) -> Result<Option<Kept>, Error> {
        let Some(thread) = thread else { return Ok(None) };
        let length = thread.len();
        if !(1..=MAX_THREAD_BYTES).contains(&length) {
            let message = format!("a thread's name has 1 to {MAX_THREAD_BYTES} bytes, not {length}");
            return Err(Error { code: code::QUESTION, message });
        }
        Ok(self.store.bound(thread)?)
    }

    pub(super) fn fork(&self, id: ContextId, thread: Option<String>) -> Result<Opened, Error> {
        self.open(thread, None, self.context(id)?.policy, Vec::new())
    }

    pub(super) fn narrow(
        &self,
        id: ContextId,
        policy: Policy,
        mut remarks: Vec<String>,
    ) -> Result<Opened, Error> {
        let context = self.context(id)?;
        let policy = within(policy, &context.policy, &mut remarks)?;
        self.set(id, &policy)?;
        Ok(opened(Kept { policy, ..context }, remarks))
    }

    pub(super) fn close(&self, id: ContextId) -> Result<(), Error> {
        self.context(id)?;
        self.ready.borrow_mut().remove(&id);
        Ok(self.store.close(id)?)
    }

    /// Keeps what was refused in a run. What cannot be kept is not kept: the run is over.
    pub(super) fn keep(&self, run: &Run) {
        if let Err(error) = self.store.keep(run) {
            crate::daemon::complain(&format!("denials could not be kept: {error}"));
        }
    }

    /// What was refused in runs that are over.
    pub(super) fn refused(&self, asked: &Asked) -> Result<Refused, Error> {
        Ok(Refused { runs: self.store.runs(asked)? })
    }

    fn set(&self, id: ContextId, policy: &Policy) -> Result<(), Error> {
        self.ready.borrow_mut().remove(&id);
        Ok(self.store.set(id, policy)?)
    }

    pub(super) fn list(&self) -> Result<Vec<Opened>, Error> {
        let all = self.store.open_contexts()?;
        Ok(all.into_iter().map(|context| opened(context, Vec::new())).collect())
    }

    /// A lease that may be given, or why not; either with what is to be recorded first.
    pub(super) fn weigh_lease(
        &self,
        asked: Escalate,
    ) -> Result<(Prospect, Box<LeaseNote>), (Error, Box<LeaseNote>)> {
        let Escalate { id, grants, scope, for_ms, reason } = asked;
        let issued_ms = since_1970_ms(SystemTime::now());
        let expires_ms = issued_ms.saturating_add(for_ms);
        let policy = match self.context(id) {
            Ok(context) => context.policy,
            Err(error) => {
                let why = error.message.clone();
                let said = (grants, scope, expires_ms);
                return Err((error, note(LeaseTurn::Refused, None, (id, None), said, why)));
            }
        };
        let base = Some((policy.profile().to_owned(), policy.digest()));
        let lease = Lease { base: policy.digest(), grants, scope, issued_ms, expires_ms, reason };
        let number = could_be_used(&lease, &policy).and_then(|()| Ok(self.store.reserve_lease(id)?));
        match number {
            Ok(number) => {
                let prospect = Prospect { number, context: id, base, lease };
                let note = prospect.note(LeaseTurn::Given, prospect.lease.reason.clone());
                Ok((prospect, note))
            }
            Err(error) => {
                let why = error.message.clone();
                Err((error, note(LeaseTurn::Refused, None, (id, base), said(lease), why)))
            }
        }
    }

    /// Gives a lease that is on record, where its context is still the same.
    pub(super) fn give(&self, prospect: &Prospect) -> Result<Leased, Error> {
        let Prospect { number, context, lease, .. } = prospect;
        could_be_used(lease, &self.context(*context)?.policy)?;
        self.store.lease(*number, *context, lease)?;
        Ok(Leased { lease: *number, expires_ms: lease.expires_ms })
    }

    /// Leases that are over, or are with `closing`, and of which that is not on record: of this context, or of all.
    pub(super) fn over(
        &self,
        context: Option<ContextId>,
        closing: Closing,
    ) -> Result<Vec<(LeaseId, Box<LeaseNote>)>, Error> {
        let now_ms = since_1970_ms(SystemTime::now());
        let mut of: Option<(ContextId, Base)> = None;
        let mut over = Vec::new();
        for (id, context, lease, used) in self.store.lasting(context)? {
            let base = match of {
                Some((known, base)) if known == context => base,
                _ => {
                    let policy = self.store.context(context)?.map(|found| found.policy);
                    policy.map(|policy| (policy.profile().to_owned(), policy.digest()))
                }
            };
            let why = match (&base, &lease.scope) {
                (_, Scope::Command { .. }) if used > 0 => Some("it is used: it was given for one start"),
                _ if lease.expires_ms <= now_ms => Some("its time is over"),
                (None, _) => Some("its context is closed"),
                (Some((_, digest)), _) if *digest != lease.base => Some("its context has another policy now"),
                _ if closing == Closing::Yes => Some("its context is closed"),
                _ => None,
            };
            if let Some(why) = why {
                let base = base.clone().map(|(profile, _)| (profile, lease.base));
                over.push((
                    id,
                    note(LeaseTurn::Over, Some(id), (context, base), said(lease), why.to_owned()),
                ));
            }
            of = Some((context, base));
        }
        Ok(over)
    }

    /// Milliseconds until the time of the next lease is over.
    pub(super) fn next_end(&self, now_ms: u64) -> Option<u64> {
        let lasting = self.store.lasting(None).unwrap_or_default().into_iter();
        lasting
            .filter_map(|(_, _, lease, _)| lease.expires_ms.checked_sub(now_ms).filter(|left| *left > 0))
            .min()
    }

    /// Marks a lease as over; whether that is still to be recorded.
    pub(super) fn mark_over(&self, id: LeaseId) -> bool {
        self.store.mark_over(id).unwrap_or(false)
    }

    /// The end of a lease could not be recorded, and is to be later.
    pub(super) fn unmark_over(&self, id: LeaseId) {
        if let Err(error) = self.store.unmark_over(id) {
            crate::daemon::complain(&format!("the end of a lease could not be recorded: {error}"));
        }
    }

    /// The policy under which a command with these words starts, or would start.
    pub(super) fn policy_for(
        &self,
        under: &Under,
        argv: &[ByteString],
        purpose: Purpose,
    ) -> Result<Policy, Error> {
        let context = self.context(under.context)?;
        let policy = self.leased(&context, under, argv, purpose)?;
        self.with_hosts(&context, policy)
    }

    fn leased(
        &self,
        context: &Kept,
        under: &Under,
        argv: &[ByteString],
        purpose: Purpose,
    ) -> Result<Policy, Error> {
        let Some(id) = under.lease else { return Ok(context.policy.clone()) };
        let (lease, used) = self.store.leased(under.context, id)?.ok_or_else(|| none("lease", id))?;
        // As they are, and not as they are shown: what is no text is no command that a lease can name.
        let argv: Result<Vec<String>, _> =
            argv.iter().map(|word| String::from_utf8(word.0.clone())).collect();
        let argv = match (argv, &lease.scope) {
            (Err(_), Scope::Command { .. }) => return Err(refused(&LeaseError::OutOfScope)),
            (argv, _) => argv.unwrap_or_default(),
        };
        let turn = context.thread.as_deref().zip(under.turn.as_deref());
        let policy = lease
            .policy_for(
                &context.policy,
                &Use { argv: &argv, turn, now_ms: since_1970_ms(SystemTime::now()), used },
            )
            .map_err(|error| refused(&error))?;
        match purpose {
            Purpose::Use => self.store.use_lease(id)?,
            Purpose::Look => {}
        }
        Ok(policy)
    }

    /// Grants a host to everything that starts under the context from now on.
    pub(super) fn lease_host(&self, id: ContextId, pattern: &DomainPattern) -> Result<(), Error> {
        let base = self.context(id)?.policy;
        let issued_ms = since_1970_ms(SystemTime::now());
        let leases = self.hosts(id, &base, issued_ms)?;
        if leases.iter().flat_map(|lease| &lease.grants).count() >= MAX_LEASE_GRANTS {
            let message = format!("{MAX_LEASE_GRANTS} hosts are granted to the context already");
            return Err(Error { code: code::QUOTA, message });
        }
        let lease = Lease::of_host(&base, pattern.clone(), issued_ms, "answered by the client");
        lease.policy_at(&base, issued_ms).map_err(|error| refused(&error))?;
        Ok(self.store.lease(self.store.reserve_lease(id)?, id, &lease)?)
    }

    /// Leases that hold for the whole of a context as it is now.
    fn hosts(&self, id: ContextId, base: &Policy, now_ms: u64) -> Result<Vec<Lease>, Error> {
        let mut leases = self.store.leases(id)?;
        leases.retain(|lease| lease.scope == Scope::Context && lease.policy_at(base, now_ms).is_ok());
        Ok(leases)
    }

    /// `policy`, which is the context's or a lease's of it, with the hosts that are granted to the whole context.
    fn with_hosts(&self, context: &Kept, policy: Policy) -> Result<Policy, Error> {
        let now_ms = since_1970_ms(SystemTime::now());
        let hosts = self.hosts(context.id, &context.policy, now_ms)?;
        hosts.into_iter().try_fold(policy, |policy, lease| {
            let lease = Lease { base: policy.digest(), ..lease };
            lease.policy_at(&policy, now_ms).map_err(|error| refused(&error))
        })
    }

    /// The policy under which a call without words is carried out, as [`Self::policy_for`].
    pub(super) fn held_for(&self, under: &Under) -> Result<Rc<Held>, Error> {
        self.forget_what_changed()?;
        if under.lease.is_none()
            && let Some(held) = self.ready.borrow().get(&under.context)
        {
            return Ok(Rc::clone(held));
        }
        let policy = self.leased(&self.context(under.context)?, under, &[], Purpose::Use)?;
        let held = Rc::new(Held { digest: policy.digest(), policy });
        if under.lease.is_none() {
            let mut ready = self.ready.borrow_mut();
            if ready.len() >= READY {
                ready.clear();
            }
            ready.insert(under.context, Rc::clone(&held));
        }
        Ok(held)
    }

    /// Another server of this user may have narrowed a context, or closed it.
    fn forget_what_changed(&self) -> Result<(), Error> {
        let version = self.store.version()?;
        if self.version.replace(version) != version {
            self.ready.borrow_mut().clear();
        }
        Ok(())
    }

    fn context(&self, id: ContextId) -> Result<Kept, Error> {
        self.store.context(id)?.ok_or_else(|| none("context", id))
    }
}

/// For what a policy is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Something is done under it: a lease counts as used from here on.
    Use,
    /// Nothing is done, and a lease is left as it is.
    Look,
}

/// A lease that may be given, and is not yet.
#[derive(Debug)]
pub(super) struct Prospect {
    number: LeaseId,
    context: ContextId,
    base: Base,
    lease: Lease,
}

impl Prospect {
    pub(super) fn note(&self, turn: LeaseTurn, reason: String) -> Box<LeaseNote> {
        note(turn, Some(self.number), (self.context, self.base.clone()), said(self.lease.clone()), reason)
    }
}

/// What is to be recorded of it.
fn said(lease: Lease) -> Said {
    (lease.grants, lease.scope, lease.expires_ms)
}

/// What could never be used is not given.
fn could_be_used(lease: &Lease, base: &Policy) -> Result<(), Error> {
    let (now_ms, used) = (lease.issued_ms, 0);
    let start = match &lease.scope {
        Scope::Command { argv } => Use { argv, turn: None, now_ms, used },
        Scope::Turn { thread, turn } => Use { argv: &[], turn: Some((thread, turn)), now_ms, used },
        Scope::Context => Use { argv: &[], turn: None, now_ms, used },
    };
    lease.policy_for(base, &start).map(drop).map_err(|error| refused(&error))
}

fn refused(error: &impl std::fmt::Display) -> Error {
    Error { code: code::LEASE, message: error.to_string() }
}

#[cfg(test)]
pub(crate) mod tests {
    use weir_protocol::method::policy::{Choice, Standpoint};
    use weir_protocol::method::process::{Start, Stdio};
    use weir_protocol::policy::lease::Grant;
    use weir_protocol::policy::{Access, Operation, Request};
    use weir_protocol::profile::Format;
    use weir_protocol::{AbsPath, policy};

    use super::*;
    use crate::answer::policy::around;
    use crate::profile::load;
    use crate::profile::resolve::resolve;
    use crate::profile::surroundings::Host;

    fn path(text: &str) -> AbsPath {
        AbsPath::parse(text).unwrap()
    }

    fn standpoint() -> Standpoint {
        Standpoint {
            cwd: path("/project"),
            project_roots: Vec::new(),
            home: path("/home/me"),
            weir_home: path("/home/me/.weir"),
            tmpdir: None,
        }
    }

    /// A policy that grants `granted` to be written, and nothing else.
    pub(crate) fn policy(granted: &[&str]) -> Policy {
        let mut text = "[permissions.test.filesystem]\n".to_owned();
        granted.iter().for_each(|granted| text.push_str(&format!("\"{granted}\" = \"write\"\n")));
        let reading = load::parse("test.toml", text.into(), Format::Toml, policy::Layer::User);
        let document = reading.document.unwrap();
        let profile = &document.profiles["test"];
        resolve("test", profile, &around(&standpoint()), &Host::default()).unwrap().policy
    }

    fn contexts() -> Contexts {
        Contexts::new(Store::in_memory().unwrap())
    }

    /// Gives a lease, as if it were on record.
    fn lease(contexts: &Contexts, asked: Escalate) -> Result<Leased, Error> {
        let (prospect, _) = contexts.weigh_lease(asked).map_err(|(error, _)| error)?;
        contexts.give(&prospect)
    }

    /// Why leases are over, by number.
    fn over(contexts: &Contexts, closing: Closing) -> Vec<(LeaseId, String)> {
        let over = contexts.over(None, closing).unwrap().into_iter();
        over.map(|(id, note)| (id, note.reason)).collect()
    }

    fn start(under: Under, argv: &[&str]) -> Start {
        let standpoint = standpoint();
        let [read, write, copy, deny] = [const { Vec::new() }; 4];
        Start {
            choice: Choice { standpoint, config: None, profile: None, read, write, copy, deny },
            argv: argv.iter().map(|word| ByteString::from(*word)).collect(),
            env: Vec::new(),
            set: Vec::new(),
            stdio: Stdio::Pipes { input: false },
            timeout_ms: None,
            user: None,
            output: Default::default(),
            umask: None,
            under: Some(under),
            asking: None,
            record: None,
        }
    }

    fn code(outcome: Result<Opened, Error>) -> i64 {
        outcome.unwrap_err().code
    }

    #[test]
    fn a_thread_keeps_its_policy_or_a_narrower_one() {
        let contexts = contexts();
        let open = |granted: &[&str]| contexts.open(Some("t".to_owned()), None, policy(granted), Vec::new());
        let first = open(&["/a", "/b"]).unwrap();
        assert_eq!(open(&["/a", "/b"]).unwrap(), first);
        let refused = open(&["/a", "/b", "/c"]).unwrap_err();
        assert_eq!(refused.code, code::WIDER);
        for part in
            [first.digest.to_string(), policy(&["/a", "/b", "/c"]).digest().to_string(), "/c".to_owned()]
        {
            assert!(refused.message.contains(&part), "{}", refused.message);
        }
        let narrower = open(&["/a"]).unwrap();
        assert_eq!((narrower.id, narrower.digest), (first.id, policy(&["/a"]).digest()));
        // What was given up does not come back, not even after the context was closed.
        assert_eq!(code(open(&["/a", "/b"])), code::WIDER);
        contexts.close(first.id).unwrap();
        assert!(contexts.list().unwrap().is_empty());
        assert_eq!(code(contexts.fork(first.id, None)), code::NO_CONTEXT);
        assert_eq!(code(open(&["/b"])), code::WIDER);
        assert_eq!(open(&["/a"]).unwrap().id, first.id);
    }

    #[test]
    fn a_fork_has_the_same_policy_and_narrowing_one_leaves_the_other() {
        let contexts = contexts();
        let one = contexts.open(None, None, policy(&["/a", "/b"]), Vec::new()).unwrap();
        let other = contexts.fork(one.id, Some("other".to_owned())).unwrap();
        assert_eq!((other.digest, other.id == one.id), (one.digest, false));
        contexts.narrow(other.id, policy(&["/a"]), Vec::new()).unwrap();
        assert_eq!(code(contexts.narrow(other.id, policy(&["/b"]), Vec::new())), code::WIDER);
        // A fork into a thread that is bound to less would widen it.
        assert_eq!(code(contexts.fork(one.id, Some("other".to_owned()))), code::WIDER);
        let list = contexts.list().unwrap();
        assert_eq!(
            list.iter().map(|context| context.digest).collect::<Vec<_>>(),
            [policy(&["/a", "/b"]).digest(), policy(&["/a"]).digest()]
        );
    }

    #[test]
    fn the_thread_that_one_was_forked_from_binds_it_the_first_time() {
        let contexts = contexts();
        let open = |thread: &str, from, granted: &[&str]| {
            contexts.open(Some(thread.to_owned()), from, policy(granted), Vec::new())
        };
        let other = open("other", None, &["/a", "/b"]).unwrap();
        assert_eq!(open("other", None, &["/a"]).unwrap().id, other.id);
        contexts.close(other.id).unwrap();
        assert_eq!(code(open("fork", Some("other"), &["/a", "/b"])), code::WIDER);
        assert_eq!(code(open("fork", Some(""), &["/a"])), code::QUESTION);
        let fork = open("fork", Some("other"), &["/a"]).unwrap();
        assert_eq!((fork.id == other.id, fork.digest), (false, policy(&["/a"]).digest()));
        // The other thread is left as it was, and what becomes of it later is not the fork's business.
        assert_eq!(open("other", None, &["/a"]).unwrap().id, other.id);
        open("other", None, &[]).unwrap();
        assert_eq!(open("fork", Some("other"), &["/a"]).unwrap().id, fork.id);
        // Of a thread that is not known nothing is known.
        assert!(open("another", Some("nobody"), &["/a", "/b"]).is_ok());
    }

    #[test]
    fn a_lease_holds_for_its_scope_alone_and_leaves_the_context() {
        let contexts = contexts();
        let opened = contexts.open(Some("t".to_owned()), None, policy(&["/a"]), Vec::new()).unwrap();
        let escalate = |scope, for_ms| {
            let grants = vec![Grant::Path { path: path("/c"), access: Access::Write }];
            let reason = "test".to_owned();
            lease(&contexts, Escalate { id: opened.id, grants, scope, for_ms, reason })
        };
        let under = |lease, turn: Option<&str>| Under {
            context: opened.id,
            lease,
            turn: turn.map(ToOwned::to_owned),
        };
        let writes = |policy: &Policy, at: &str| {
            let request = Request::Path { path: &path(at), operation: Operation::Write };
            policy.verdict(&request).allowed
        };
        let command = Scope::Command { argv: vec!["make".to_owned(), "x".to_owned()] };
        let leased = escalate(command, 60_000).unwrap();
        let start_of = |turn, argv: &[&str]| start(under(Some(leased.lease), turn), argv);
        let plain = start(under(None, None), &["make", "x"]);
        let asked =
            |start: &Start, purpose| contexts.policy_for(start.under.as_ref().unwrap(), &start.argv, purpose);
        let policy_for = |start: &Start| asked(start, Purpose::Use);
        assert!(!writes(&policy_for(&plain).unwrap(), "/c"));
        assert_eq!(policy_for(&start_of(None, &["make", "y"])).unwrap_err().code, code::LEASE);
        // Whoever only looks leaves it to be used, and nothing is over.
        for _ in 0..2 {
            assert!(writes(&asked(&start_of(None, &["make", "x"]), Purpose::Look).unwrap(), "/c"));
        }
        assert_eq!(over(&contexts, Closing::No), []);
        let widened = policy_for(&start_of(None, &["make", "x"])).unwrap();
        assert!(writes(&widened, "/c") && writes(&widened, "/a"));
        // It was given for one start.
        for purpose in [Purpose::Use, Purpose::Look] {
            assert_eq!(asked(&start_of(None, &["make", "x"]), purpose).unwrap_err().code, code::LEASE);
        }
        assert_eq!(policy_for(&plain).unwrap().digest(), opened.digest);

        let turn = Scope::Turn { thread: "t".to_owned(), turn: "1".to_owned() };
        let of_turn = escalate(turn, 60_000).unwrap();
        for _ in 0..2 {
            let start = start(under(Some(of_turn.lease), Some("1")), &["ls"]);
            assert!(writes(&policy_for(&start).unwrap(), "/c"));
        }
        let other = start(under(Some(of_turn.lease), Some("2")), &["ls"]);
        assert_eq!(policy_for(&other).unwrap_err().code, code::LEASE);
        let none = start(under(Some(77), None), &["ls"]);
        assert_eq!(policy_for(&none).unwrap_err().code, code::NO_CONTEXT);
        assert!(escalate(Scope::Command { argv: vec![] }, u64::MAX).is_err());
        assert_eq!(
            over(&contexts, Closing::No),
            [(leased.lease, "it is used: it was given for one start".to_owned())]
        );
        let whole = escalate(Scope::Context, 1);
        assert_eq!(whole.unwrap_err().code, code::LEASE, "hosts alone");
        // A narrower context is another base.
        contexts.narrow(opened.id, policy(&[]), Vec::new()).unwrap();
        let late = start(under(Some(of_turn.lease), Some("1")), &["ls"]);
        assert_eq!(policy_for(&late).unwrap_err().code, code::LEASE);
        assert!(contexts.mark_over(leased.lease) && !contexts.mark_over(leased.lease));
        let void = (of_turn.lease, "its context has another policy now".to_owned());
        assert_eq!(over(&contexts, Closing::No), [void]);
    }

    #[test]
    fn a_lease_for_a_command_is_for_its_very_words() {
        let contexts = contexts();
        let opened = contexts.open(None, None, policy(&["/a"]), Vec::new()).unwrap();
        for (leased, other) in [("a\nb", "a\\nb"), ("a\\nb", "a\nb"), ("a\u{200d}", "a\\u{200d}")] {
            let scope = Scope::Command { argv: vec!["sh".to_owned(), leased.to_owned()] };
            let grants = vec![Grant::Path { path: path("/c"), access: Access::Write }];
            let asked = Escalate { id: opened.id, grants, scope, for_ms: 60_000, reason: String::new() };
            let given = lease(&contexts, asked).unwrap().lease;
            let under = Under { context: opened.id, lease: Some(given), turn: None };
            let outcome = |word: &[u8]| {
                let argv = [ByteString::from("sh"), ByteString(word.to_vec())];
                contexts.policy_for(&under, &argv, Purpose::Use).map(drop).map_err(|error| error.code)
            };
            assert_eq!(outcome(other.as_bytes()), Err(code::LEASE), "{leased:?} {other:?}");
            assert_eq!(outcome(b"\xff"), Err(code::LEASE));
            assert_eq!(outcome(leased.as_bytes()), Ok(()), "{leased:?}");
        }
    }

    #[test]
    fn a_lease_that_waits_for_its_record_is_none_where_its_context_has_gone() {
        let contexts = contexts();
        let opened = contexts.open(Some("t".to_owned()), None, policy(&["/a"]), Vec::new()).unwrap();
        let asked = || Escalate {
            id: opened.id,
            grants: vec![Grant::Path { path: path("/c"), access: Access::Write }],
            scope: Scope::Turn { thread: "t".to_owned(), turn: "1".to_owned() },
            for_ms: 60_000,
            reason: String::new(),
        };
        let (first, _) = contexts.weigh_lease(asked()).unwrap();
        assert_eq!(over(&contexts, Closing::Yes), [], "it is not kept before it is on record");
        contexts.narrow(opened.id, policy(&[]), Vec::new()).unwrap();
        assert_eq!(contexts.give(&first).unwrap_err().code, code::LEASE);
        let (second, _) = contexts.weigh_lease(asked()).unwrap();
        assert_ne!(second.number, first.number);
        contexts.close(opened.id).unwrap();
        assert_eq!(contexts.give(&second).unwrap_err().code, code::NO_CONTEXT);
        assert_eq!(contexts.weigh_lease(asked()).unwrap_err().0.code, code::NO_CONTEXT);
        contexts.open(Some("t".to_owned()), None, policy(&[]), Vec::new()).unwrap();
        let given = lease(&contexts, asked()).unwrap();
        assert_eq!(over(&contexts, Closing::No), []);
        assert_eq!(over(&contexts, Closing::Yes), [(given.lease, "its context is closed".to_owned())]);
    }
}
