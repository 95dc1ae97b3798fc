//! Contexts of one user: what binds a thread, what a lease adds, and nothing wider.
//!
//! Policies come from the resolver, bounded by the ceiling in the launcher; here it is only decided which of them holds.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::SystemTime;

use weir_protocol::audit::since_1970_ms;
use weir_protocol::denial::Run;
use weir_protocol::method::context::{ContextId, Escalate, Leased, MAX_THREAD_BYTES, Opened, Under, Wider};
use weir_protocol::method::denial::{Asked, Refused};
use weir_protocol::method::{Error, code};
use weir_protocol::policy::lease::{Lease, MAX_LEASE_GRANTS, Scope, Use};
use weir_protocol::policy::{Digest, DomainPattern};
use weir_protocol::{ByteString, Policy};

use super::store::{Kept, Store, StoreError};

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

/// # Errors
/// What `asked` allows beyond `bound`.
fn check_narrower(asked: &Policy, bound: &Policy) -> Result<(), Error> {
    if asked.digest() == bound.digest() {
        return Ok(());
    }
    let excess = asked.excess_over(bound);
    if excess.is_empty() {
        return Ok(());
    }
    let wider = Wider { bound: bound.digest(), asked: asked.digest(), excess };
    Err(Error { code: code::WIDER, message: wider.to_string() })
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
        policy: Policy,
        remarks: Vec<String>,
    ) -> Result<Opened, Error> {
        let bound = self.bound(thread.as_deref())?;
        if bound.is_none()
            && let Some(other) = self.bound(forked_from)?
        {
            check_narrower(&policy, &other.policy)?;
        }
        let id = match bound {
            Some(bound) => {
                check_narrower(&policy, &bound.policy)?;
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
        remarks: Vec<String>,
    ) -> Result<Opened, Error> {
        let context = self.context(id)?;
        check_narrower(&policy, &context.policy)?;
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

    pub(super) fn lease(&self, asked: Escalate) -> Result<Leased, Error> {
        let Escalate { id, grants, scope, for_ms, reason } = asked;
        let base = self.context(id)?.policy;
        let (issued_ms, used) = (since_1970_ms(SystemTime::now()), 0);
        let expires_ms = issued_ms.saturating_add(for_ms);
        let lease = Lease { base: base.digest(), grants, scope, issued_ms, expires_ms, reason };
        // What could never be used is not given.
        let of = lease.scope.clone();
        let start = match &of {
            Scope::Command { argv } => Use { argv, turn: None, now_ms: issued_ms, used },
            Scope::Turn { thread, turn } => {
                Use { argv: &[], turn: Some((thread, turn)), now_ms: issued_ms, used }
            }
            Scope::Context => Use { argv: &[], turn: None, now_ms: issued_ms, used },
        };
        lease.policy_for(&base, &start).map_err(|error| refused(&error))?;
        Ok(Leased { lease: self.store.lease(id, &lease)?, expires_ms })
    }

    /// The policy under which a command with these words starts, or a call without any is carried out. A lease counts as used from
    /// here on.
    pub(super) fn policy_for(&self, under: &Under, argv: &[ByteString]) -> Result<Policy, Error> {
        let context = self.context(under.context)?;
        let policy = self.leased(&context, under, argv)?;
        self.with_hosts(&context, policy)
    }

    fn leased(&self, context: &Kept, under: &Under, argv: &[ByteString]) -> Result<Policy, Error> {
        let Some(id) = under.lease else { return Ok(context.policy.clone()) };
        let (lease, used) = self.store.leased(under.context, id)?.ok_or_else(|| none("lease", id))?;
        let argv: Vec<String> = argv.iter().map(ToString::to_string).collect();
        let turn = context.thread.as_deref().zip(under.turn.as_deref());
        let policy = lease
            .policy_for(
                &context.policy,
                &Use { argv: &argv, turn, now_ms: since_1970_ms(SystemTime::now()), used },
            )
            .map_err(|error| refused(&error))?;
        self.store.use_lease(id)?;
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
        self.store.lease(id, &lease)?;
        Ok(())
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
        let policy = self.leased(&self.context(under.context)?, under, &[])?;
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
            contexts.lease(Escalate { id: opened.id, grants, scope, for_ms, reason: "test".to_owned() })
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
        let policy_for = |start: &Start| contexts.policy_for(start.under.as_ref().unwrap(), &start.argv);
        assert!(!writes(&policy_for(&plain).unwrap(), "/c"));
        assert_eq!(policy_for(&start_of(None, &["make", "y"])).unwrap_err().code, code::LEASE);
        let widened = policy_for(&start_of(None, &["make", "x"])).unwrap();
        assert!(writes(&widened, "/c") && writes(&widened, "/a"));
        // It was given for one start.
        assert_eq!(policy_for(&start_of(None, &["make", "x"])).unwrap_err().code, code::LEASE);
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
        let whole = contexts.lease(Escalate {
            id: opened.id,
            grants: vec![Grant::Path { path: path("/c"), access: Access::Write }],
            scope: Scope::Context,
            for_ms: 1,
            reason: String::new(),
        });
        assert_eq!(whole.unwrap_err().code, code::LEASE, "hosts alone");
        // A narrower context is another base.
        contexts.narrow(opened.id, policy(&[]), Vec::new()).unwrap();
        let late = start(under(Some(of_turn.lease), Some("1")), &["ls"]);
        assert_eq!(policy_for(&late).unwrap_err().code, code::LEASE);
    }
}
