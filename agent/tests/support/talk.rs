//! Threads with something in them, for tests and benchmarks.

use std::path::Path;

use weir_agent::approval::Approval;
use weir_agent::item::{Item, Usage};
use weir_agent::thread::{
    Bound, Counted, ItemId, Keeping, NewThread, Record, Said, Settings, Source, Store, Thread, ThreadError,
    TurnEnded, TurnId, TurnStarted, TurnStatus,
};
use weir_protocol::policy::{
    Access, Confinement, Environment, Filesystem, FilesystemParts, Network, Origin, PathRule, PolicyParts,
    Resources, Sourced, background_ends,
};
use weir_protocol::{AbsPath, Policy};

pub(crate) fn path(text: &str) -> AbsPath {
    AbsPath::parse(text).unwrap()
}

/// A policy that lets these directories be read.
pub(crate) fn policy(readable: &[&str]) -> Policy {
    let origin = Origin::implied("the test's");
    let rules = readable.iter().map(|readable| PathRule {
        path: path(readable),
        access: Access::Read,
        origin: origin.clone(),
        via: None,
        overruled: Vec::new(),
    });
    PolicyParts {
        profile: ":test".to_owned(),
        confinement: Sourced::default_of(Confinement::Managed, "the test's"),
        filesystem: Filesystem::new(FilesystemParts { rules: rules.collect(), ..FilesystemParts::default() }),
        network: Network::default(),
        resources: Resources::default(),
        environment: Environment::default(),
        degradations: Default::default(),
        kernel: Default::default(),
        background: background_ends(),
    }
    .into()
}

pub(crate) fn bound(readable: &[&str]) -> Bound {
    let policy = policy(readable);
    Bound { profile: ":test".to_owned(), digest: policy.digest(), policy }
}

pub(crate) fn new(cwd: &str, keeping: Keeping) -> NewThread {
    NewThread {
        cwd: path(cwd),
        model: "model".to_owned(),
        provider: "replay".to_owned(),
        source: Source::Exec,
        bound: bound(&["/usr", "/work"]),
        keeping,
    }
}

pub(crate) fn store(home: &Path) -> Store {
    Store::open(home)
}

pub(crate) fn begin(thread: &mut Thread) -> TurnId {
    let turn = TurnId::new();
    let settings = Settings {
        cwd: thread.meta().cwd.clone(),
        model: "model".to_owned(),
        provider: "replay".to_owned(),
        effort: None,
        approval: Approval::OnRequest,
        digest: thread.bound().digest,
    };
    thread.append(Record::TurnStarted(TurnStarted { turn, settings })).unwrap();
    turn
}

pub(crate) fn say(thread: &mut Thread, turn: TurnId, item: Item) -> Result<u64, ThreadError> {
    thread.append(Record::Item(Said { turn, id: ItemId::new(), item }))
}

pub(crate) fn end(thread: &mut Thread, turn: TurnId) {
    let usage = Usage { input: 10, output: 2, ..Usage::default() };
    let total = thread.usage() + usage;
    thread.append(Record::Usage(Counted { turn, usage, total })).unwrap();
    thread.append(Record::TurnEnded(TurnEnded { turn, status: TurnStatus::Completed })).unwrap();
}

pub(crate) fn user(text: &str) -> Item {
    Item::UserMessage { text: text.to_owned() }
}

pub(crate) fn agent(text: &str) -> Item {
    Item::AgentMessage { text: text.to_owned() }
}

/// A whole turn: a question and its answer.
pub(crate) fn turn(thread: &mut Thread, question: &str) -> TurnId {
    let turn = begin(thread);
    say(thread, turn, user(question)).unwrap();
    say(thread, turn, agent(&format!("re: {question}"))).unwrap();
    end(thread, turn);
    turn
}
