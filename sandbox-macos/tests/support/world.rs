//! The small world of the tests: policies built by hand, the questions they raise, and what an exception excuses.

use std::collections::BTreeMap;

use weir_protocol::AbsPath;
use weir_protocol::policy::{
    Access, Confinement, DomainPattern, DomainRule, Environment, Filesystem, FilesystemParts, Glob, GlobRule,
    Host as HostName, Network, NetworkParts, Operation, Origin, PathRule, Policy, PolicyParts, Request,
    Resources, RuleRef, SocketRule, Sourced,
};
use weir_sandbox_macos::compile::{Compiled, Gate, Host, LetterCase, Run, RunTag, compile};
use weir_sandbox_macos::evaluate::{Endpoint, Precedence, Program, Subject};
use weir_sandbox_macos::exception::{self, Difference, Exception, Extent};

/// The ports of the gate in every test.
pub(crate) const GATE: Gate = Gate { http: 3128, socks: 1080 };

/// A case-sensitive volume.
pub(crate) const EXACT: Host = Host { letter_case: LetterCase::Distinct };

/// A volume as macOS formats it.
pub(crate) const USUAL: Host = Host { letter_case: LetterCase::Ignored };

/// Both readings of the order of rules.
pub(crate) const READINGS: [Precedence; 2] = [Precedence::SpecificFirst, Precedence::LastOnly];

pub(crate) fn path(text: &str) -> AbsPath {
    AbsPath::parse(text).unwrap()
}

pub(crate) fn run() -> Run {
    Run { tag: RunTag::parse("weir-test").unwrap(), gate: Some(GATE), scratch: None, terminal: None }
}

pub(crate) fn origin() -> Origin {
    Origin::implied("written in a test")
}

/// What a policy of the tests consists of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sketch {
    pub(crate) rules: Vec<(String, Access)>,
    pub(crate) globs: Vec<String>,
    pub(crate) sockets: Vec<(String, bool)>,
    pub(crate) network: bool,
    pub(crate) loopback: bool,
    pub(crate) domains: Option<Vec<(String, bool)>>,
}

impl Sketch {
    pub(crate) fn files(rules: &[(&str, Access)], globs: &[&str]) -> Self {
        Self {
            rules: rules.iter().map(|(path, access)| ((*path).to_owned(), *access)).collect(),
            globs: globs.iter().map(|glob| (*glob).to_owned()).collect(),
            ..Self::default()
        }
    }

    pub(crate) fn policy(&self) -> Policy {
        let rule = |(text, access): &(String, Access)| PathRule {
            path: path(text),
            access: *access,
            origin: origin(),
            via: None,
            overruled: Vec::new(),
        };
        let glob = |text: &String| GlobRule { pattern: Glob::absolute(text).unwrap(), origin: origin() };
        let socket =
            |(text, allow): &(String, bool)| SocketRule { path: path(text), allow: *allow, origin: origin() };
        let domain = |(text, allow): &(String, bool)| DomainRule {
            pattern: DomainPattern::parse(text).unwrap(),
            allow: *allow,
            origin: origin(),
        };
        let switch = |value| Sourced { value, origin: origin() };
        PolicyParts {
            profile: "test".to_owned(),
            confinement: switch_to(Confinement::Managed),
            filesystem: Filesystem::new(FilesystemParts {
                rules: self.rules.iter().map(rule).collect(),
                globs: self.globs.iter().map(glob).collect(),
                ..FilesystemParts::default()
            }),
            network: Network::new(NetworkParts {
                enabled: switch(self.network),
                loopback: switch(self.loopback),
                domains: self.domains.as_ref().map(|domains| domains.iter().map(domain).collect()),
                unix_sockets: self.sockets.iter().map(socket).collect(),
                ..NetworkParts::default()
            }),
            resources: Resources::default(),
            environment: Environment::default(),
            degradations: BTreeMap::new(),
            kernel: BTreeMap::new(),
            background: weir_protocol::policy::background_ends(),
        }
        .into()
    }
}

fn switch_to<T>(value: T) -> Sourced<T> {
    Sourced { value, origin: origin() }
}

/// A compiled profile, loaded from its text and its parameters alone.
pub(crate) struct Loaded {
    pub(crate) compiled: Compiled,
    pub(crate) program: Program,
}

pub(crate) fn parameters(compiled: &Compiled) -> BTreeMap<String, Vec<u8>> {
    let pair = |parameter: &weir_sandbox_macos::parameter::Parameter| {
        (parameter.name.to_string(), parameter.value.clone().into_bytes())
    };
    compiled.parameters.iter().map(pair).collect()
}

pub(crate) fn load(policy: &Policy, host: Host, run: &Run) -> Loaded {
    let compiled = compile(policy, host, run).unwrap();
    let text = compiled.profile.to_string();
    let program = Program::load(text.as_bytes(), &parameters(&compiled))
        .unwrap_or_else(|error| panic!("{error}\n{text}"));
    Loaded { compiled, program }
}

/// What may be asked about a path, and which operation of a policy it is.
pub(crate) const FILE_OPERATIONS: [(&str, Operation); 7] = [
    ("file-read-data", Operation::Read),
    ("process-exec", Operation::Execute),
    ("file-map-executable", Operation::Execute),
    ("file-write-data", Operation::Write),
    ("file-write-create", Operation::Write),
    ("file-write-unlink", Operation::Write),
    ("network-bind", Operation::Write),
];

impl Loaded {
    /// The answer for a path, the same under both readings.
    pub(crate) fn allows(&self, operation: &str, path: &[u8]) -> bool {
        let subject = if operation == "network-bind" {
            Subject { local_socket: Some(path), ..Subject::default() }
        } else {
            Subject { path: Some(path), ..Subject::default() }
        };
        self.agreed(operation, &subject)
    }

    pub(crate) fn agreed(&self, operation: &str, subject: &Subject<'_>) -> bool {
        let [specific, last] = READINGS.map(|reading| self.program.allows(operation, subject, reading));
        assert_eq!(specific, last, "{operation} {subject:?} hangs on the order\n{}", self.compiled.profile);
        specific
    }

    pub(crate) fn connects(&self, loopback: bool, port: u16, tcp: bool) -> bool {
        let remote = Some(Endpoint { loopback, port, tcp });
        self.agreed("network-outbound", &Subject { remote, ..Subject::default() })
    }

    pub(crate) fn socket(&self, path: &[u8]) -> bool {
        self.agreed("network-outbound", &Subject { remote_socket: Some(path), ..Subject::default() })
    }

    /// Whether the declared list excuses that the profile answers `found` where the policy does not.
    pub(crate) fn excuses(&self, found: bool, operation: &str, asked: Operation, path: &AbsPath) -> bool {
        self.compiled.exceptions.iter().any(|exception| {
            let differs = match exception.difference {
                Difference::Grants(access) => found && access.permits(asked),
                Difference::GrantsMetadata => found && operation == "file-read-metadata",
                Difference::Refuses => !found,
                Difference::RefusesWrite => !found && asked == Operation::Write,
                Difference::RefusesRename => {
                    !found && ["file-write-create", "file-write-unlink"].contains(&operation)
                }
            };
            differs && applies(exception, path)
        })
    }
}

fn applies(exception: &Exception, path: &AbsPath) -> bool {
    // A `?` is only ever wider over bytes that are not printable ASCII.
    if exception.reason == exception::WIDE_CHARACTER
        && path.as_bytes().iter().all(|byte| matches!(byte, b' '..=b'~'))
    {
        return false;
    }
    let lower = |path: &AbsPath| AbsPath::parse(path.as_bytes().to_ascii_lowercase()).unwrap();
    match &exception.extent {
        Extent::Node(node) => path == node,
        Extent::Subtree(root) => path.starts_with(root),
        Extent::Ancestors(below) => below != path && below.starts_with(path),
        Extent::Pattern(glob) => covers(glob, path, ""),
        Extent::AnyCase(root) => lower(path).starts_with(&lower(root)),
        Extent::AnyCasePattern(glob) => covers(glob, path, "(?i)"),
        Extent::LoopbackPort(_) => false,
    }
}

fn covers(glob: &Glob, path: &AbsPath, flags: &str) -> bool {
    let text = format!("{flags}{}", glob.to_regex());
    let mut builder = regex::bytes::RegexBuilder::new(&text);
    builder.unicode(false).dot_matches_new_line(true).build().unwrap().is_match(path.as_bytes())
}

/// What the policy says of the place that the kernel knows by this name, where it may have two.
///
/// A policy that says `/tmp` means `/private/tmp`; a pattern that matches either name denies it.
pub(crate) fn expected(policy: &Policy, name: &AbsPath, operation: Operation) -> bool {
    let request = |path| policy.verdict(&Request::Path { path, operation });
    let canonical = weir_sandbox_macos::compile::canonical(name);
    let by_pattern = matches!(request(&canonical).rule, RuleRef::Glob(_));
    request(name).allowed && !by_pattern
}

/// Paths near a rule: itself, above, below, beside.
pub(crate) fn near(path: &AbsPath) -> Vec<AbsPath> {
    let mut out = vec![path.clone()];
    out.extend(path.parent());
    for child in ["a", "b/x.env", ".git/hooks/pre-commit", ".secrets/key", "a/é", "A"] {
        out.extend(path.join(child));
    }
    if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
        out.extend(parent.join([name, b"2"].concat()));
    }
    out
}

/// A host as a command names it.
pub(crate) fn host(text: &str) -> HostName {
    HostName::parse(text).unwrap()
}
