//! The small world in which the laws are tried: few names, so that rules meet, and every question that they raise.

use std::collections::BTreeSet;
use std::path::PathBuf;

use weir_exec_server::profile::load;
use weir_exec_server::profile::merge;
use weir_exec_server::profile::resolve::resolve;
use weir_exec_server::profile::surroundings::{Links, Surroundings};
use weir_protocol::AbsPath;
use weir_protocol::policy::{Host, Layer, Operation, Policy, Request};
use weir_protocol::profile::{Format, Profile};

/// Host names and addresses that the rules of the generator meet.
pub(crate) const HOSTS: [&str; 14] = [
    "example.org",
    "a.example.org",
    "b.a.example.org",
    "evilexample.org",
    "example.org.evil.test",
    "evil.test",
    "8.8.8.8",
    "10.0.0.1",
    "10.9.9.9",
    "169.254.169.254",
    "169.254.1.1",
    "::ffff:10.0.0.1",
    "127.0.0.1",
    "localhost",
];

/// Variables that the rules of the generator meet.
pub(crate) const VARIABLES: [&str; 12] =
    ["FOO", "FAR", "PATH", "HOME", "LC_ALL", "MY_TOKEN", "ABC", "AC", "BETA", "SECRET_FOO", "EDITOR", "A\\B"];

const PORTS: [u16; 3] = [443, 80, 22];

/// Most rules of which the surroundings are asked about in one policy; written rules come first.
const MAX_ASKED_RULES: usize = 60;

pub(crate) fn path(text: &str) -> AbsPath {
    AbsPath::parse(text).unwrap()
}

pub(crate) fn around() -> Surroundings {
    Surroundings {
        home: path("/home/u"),
        cwd: path("/p"),
        project_roots: vec![path("/p")],
        tmpdir: Some(path("/tmp/u")),
        weir_home: path("/home/u/.weir"),
        other_homes: vec![path("/home/other")],
    }
}

pub(crate) fn links(pairs: &[(String, String)]) -> Links {
    Links(pairs.iter().map(|(from, to)| (path(from), PathBuf::from(to))).collect())
}

/// The profile `x` of a document, with all that it extends. Panics with the full report when the document is refused.
pub(crate) fn profile(text: &str, format: Format) -> Profile {
    let reading = load::parse("test", text.as_bytes().to_vec(), format, Layer::User);
    let document = reading.document.unwrap_or_else(|| panic!("{}\n{text}", reading.report));
    let profiles = merge::profiles([weir_exec_server::profile::builtin::document(), &document]);
    merge::extended(&profiles, "x", None).unwrap()
}

pub(crate) fn policy_with(text: &str, format: Format, terrain: &Links) -> Policy {
    resolve("x", &profile(text, format), &around(), terrain).unwrap().policy
}

pub(crate) fn policy(text: &str, terrain: &Links) -> Policy {
    policy_with(text, Format::Json, terrain)
}

/// One question, owned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ask {
    Path(AbsPath, Operation),
    Connect(Host, u16),
    Socket(AbsPath),
    Variable(String),
}

impl Ask {
    pub(crate) fn request(&self) -> Request<'_> {
        match self {
            Self::Path(path, operation) => Request::Path { path, operation: *operation },
            Self::Connect(host, port) => Request::Connect { host, port: *port },
            Self::Socket(path) => Request::UnixSocket { path },
            Self::Variable(name) => Request::Environment { name },
        }
    }

    pub(crate) fn allowed_by(&self, policy: &Policy) -> bool {
        policy.verdict(&self.request()).allowed
    }
}

/// A path with its parent, two children and a sibling whose name starts with its own.
fn near(path: &AbsPath) -> Vec<AbsPath> {
    let mut out = vec![path.clone()];
    out.extend(path.parent());
    for child in ["a", "b/x.env", ".git/hooks/pre-commit", ".secrets/key"] {
        out.extend(path.join(child));
    }
    if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
        out.extend(parent.join([name, b"2"].concat()));
    }
    out
}

/// Every question that the rules of these policies raise.
pub(crate) fn questions(policies: &[&Policy]) -> Vec<Ask> {
    let mut paths =
        BTreeSet::from([AbsPath::root(), path("/p"), path("/home/u/.ssh/id"), path("/usr/bin/env")]);
    let mut sockets = BTreeSet::from([path("/run/docker.sock")]);
    for policy in policies {
        let (written, implied): (Vec<_>, Vec<_>) =
            policy.filesystem().rules().iter().partition(|rule| rule.origin.place.is_some());
        for rule in written.into_iter().chain(implied).take(MAX_ASKED_RULES) {
            paths.extend(near(&rule.path));
        }
        policy.filesystem().globs().iter().for_each(|rule| paths.extend(near(&rule.pattern.base())));
        policy.network().unix_sockets.iter().for_each(|rule| sockets.extend(near(&rule.path)));
    }
    let operations = [Operation::Read, Operation::Write, Operation::Execute];
    let paths = paths.iter().flat_map(|path| operations.map(|operation| Ask::Path(path.clone(), operation)));
    let hosts =
        HOSTS.iter().flat_map(|host| PORTS.map(|port| Ask::Connect(Host::parse(host).unwrap(), port)));
    let sockets = sockets.into_iter().map(Ask::Socket);
    let variables = VARIABLES.iter().map(|name| Ask::Variable((*name).to_owned()));
    paths.chain(hosts).chain(sockets).chain(variables).collect()
}

/// The questions that `one` allows and `other` does not.
pub(crate) fn beyond(one: &Policy, other: &Policy) -> Vec<Ask> {
    let mut asked = questions(&[one, other]);
    asked.retain(|ask| ask.allowed_by(one) && !ask.allowed_by(other));
    asked
}
