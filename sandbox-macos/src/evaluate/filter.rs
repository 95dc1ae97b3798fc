//! Filters of Seatbelt, read from the notation and asked about a [`Subject`].

use std::collections::BTreeMap;

use regex::bytes::{Regex, RegexBuilder};

use super::{Endpoint, LoadError, Subject};
use crate::sexpr::Sexpr;

/// Most bytes that one compiled expression may take.
const MAX_REGEX_BYTES: usize = 8 << 20;

/// Which addresses and transports an endpoint filter means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointTest {
    localhost_only: bool,
    port: Option<u16>,
    tcp: Option<bool>,
}

/// One filter, ready to be asked.
#[derive(Debug, Clone)]
pub enum Test {
    /// The file's path is exactly this.
    Literal(Vec<u8>),
    /// The file is this or lies below it.
    Subpath(Vec<u8>),
    /// The file's path holds a match.
    Regex(Box<Regex>),
    /// The file is a directory above this.
    Ancestors(Vec<u8>),
    /// The file is of this kind.
    VnodeType(String),
    /// The name is exactly this.
    Name(String),
    /// The name begins so.
    NamePrefix(String),
    /// The far end.
    Remote(EndpointTest),
    /// The near end.
    Local(EndpointTest),
    /// The unix socket at the far end.
    RemoteSocket(Option<Box<Test>>),
    /// The unix socket at the near end.
    LocalSocket(Option<Box<Test>>),
    /// The socket's family.
    SocketDomain(String),
    /// The socket's protocol.
    SocketProtocol(u64),
    /// The other process is of the same sandbox.
    SameSandbox,
    /// The process holds an extension.
    Extension,
    /// All of these.
    All(Vec<Test>),
    /// Any of these.
    AnyOf(Vec<Test>),
    /// Not this.
    Not(Box<Test>),
}

impl Test {
    /// Whether the filter matches.
    #[must_use]
    pub fn holds(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::Literal(_) | Self::Subpath(_) | Self::Regex(_) | Self::Ancestors(_) => {
                subject.path.is_some_and(|path| self.holds_for_path(path))
            }
            Self::VnodeType(kind) => subject.vnode_type == Some(kind.as_str()),
            Self::Name(name) => subject.name == Some(name.as_str()),
            Self::NamePrefix(prefix) => subject.name.is_some_and(|name| name.starts_with(prefix.as_str())),
            Self::Remote(test) => subject.remote.is_some_and(|end| test.holds(end)),
            Self::Local(test) => subject.local.is_some_and(|end| test.holds(end)),
            Self::RemoteSocket(test) => holds_for_socket(subject.remote_socket, test.as_deref()),
            Self::LocalSocket(test) => holds_for_socket(subject.local_socket, test.as_deref()),
            Self::SocketDomain(domain) => subject.socket.is_some_and(|(found, _)| found == domain),
            Self::SocketProtocol(number) => subject.socket.is_some_and(|(_, found)| found == *number),
            Self::SameSandbox => subject.same_sandbox,
            Self::Extension => subject.extension,
            Self::All(tests) => tests.iter().all(|test| test.holds(subject)),
            Self::AnyOf(tests) => tests.iter().any(|test| test.holds(subject)),
            Self::Not(test) => !test.holds(subject),
        }
    }

    fn holds_for_path(&self, path: &[u8]) -> bool {
        match self {
            Self::Literal(literal) => path == literal.as_slice(),
            Self::Subpath(root) => is_within(path, root),
            Self::Regex(regex) => regex.is_match(path),
            Self::Ancestors(below) => path != below.as_slice() && is_within(below, path),
            _ => false,
        }
    }
}

fn holds_for_socket(socket: Option<&[u8]>, test: Option<&Test>) -> bool {
    socket.is_some_and(|path| test.is_none_or(|test| test.holds_for_path(path)))
}

fn is_within(path: &[u8], root: &[u8]) -> bool {
    let root = root.strip_suffix(b"/").unwrap_or(root);
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

impl EndpointTest {
    fn holds(&self, end: Endpoint) -> bool {
        (!self.localhost_only || end.loopback)
            && self.port.is_none_or(|port| port == end.port)
            && self.tcp.is_none_or(|tcp| tcp == end.tcp)
    }
}

/// Reads one filter.
pub(super) fn read(
    form: &Sexpr,
    parameters: &BTreeMap<String, Vec<u8>>,
    depth: usize,
) -> Result<Test, LoadError> {
    let unknown = || LoadError::UnknownFilter { form: form.to_string() };
    let Sexpr::List(items) = form else { return Err(unknown()) };
    let Some((Sexpr::Symbol(word), arguments)) = items.split_first() else { return Err(unknown()) };
    if depth == 0 {
        return Err(unknown());
    }
    let each =
        || arguments.iter().map(|item| read(item, parameters, depth - 1)).collect::<Result<Vec<_>, _>>();
    let one = || match arguments {
        [argument] => Ok(argument),
        _ => Err(unknown()),
    };
    let bytes = || value(one()?, parameters);
    let text = || String::from_utf8(bytes()?).map_err(|_| unknown());
    let symbol = || match one()? {
        Sexpr::Symbol(word) => Ok(word.clone()),
        _ => Err(unknown()),
    };
    match word.as_str() {
        "literal" | "path" | "path-literal" => bytes().map(Test::Literal),
        "subpath" => bytes().map(Test::Subpath),
        "regex" | "path-regex" => expression(&bytes()?),
        "path-ancestors" => bytes().map(Test::Ancestors),
        "vnode-type" => symbol().map(Test::VnodeType),
        "extension" => text().map(|_| Test::Extension),
        "global-name"
        | "local-name"
        | "sysctl-name"
        | "ipc-posix-name"
        | "iokit-registry-entry-class"
        | "iokit-user-client-class" => text().map(Test::Name),
        "global-name-prefix" | "sysctl-name-prefix" | "ipc-posix-name-prefix" => text().map(Test::NamePrefix),
        "remote" | "local" => end(word, arguments, parameters, depth).ok_or_else(unknown)?,
        "socket-domain" => symbol().map(Test::SocketDomain),
        "socket-protocol" => match one()? {
            Sexpr::Integer(number) => Ok(Test::SocketProtocol(*number)),
            _ => Err(unknown()),
        },
        "target" => (symbol()? == "same-sandbox").then_some(Test::SameSandbox).ok_or_else(unknown),
        "require-all" => each().map(Test::All),
        "require-any" => each().map(Test::AnyOf),
        "require-not" => read(one()?, parameters, depth - 1).map(|test| Test::Not(Box::new(test))),
        _ => Err(unknown()),
    }
}

/// A text, a parameter, or several put together.
fn value(form: &Sexpr, parameters: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u8>, LoadError> {
    let unknown = || LoadError::UnknownFilter { form: form.to_string() };
    match form {
        Sexpr::Text(bytes) => Ok(bytes.clone()),
        Sexpr::List(items) => match items.as_slice() {
            [Sexpr::Symbol(word), Sexpr::Text(name)] if word == "param" => {
                let name = String::from_utf8_lossy(name).into_owned();
                parameters.get(&name).cloned().ok_or(LoadError::NoParameter { name })
            }
            _ => Err(unknown()),
        },
        Sexpr::Symbol(_) | Sexpr::Integer(_) => Err(unknown()),
    }
}

fn expression(text: &[u8]) -> Result<Test, LoadError> {
    let bad = || LoadError::BadRegex { text: text.escape_ascii().to_string() };
    let pattern = std::str::from_utf8(text).map_err(|_| bad())?;
    // Seatbelt works on bytes: `[^…]` stands for one of them.
    let built = RegexBuilder::new(pattern)
        .unicode(false)
        .dot_matches_new_line(true)
        .size_limit(MAX_REGEX_BYTES)
        .build();
    built.map(|regex| Test::Regex(Box::new(regex))).map_err(|_| bad())
}

/// `(remote ip "localhost:80")`, `(local tcp "*:*")`, `(remote unix-socket (subpath "/run"))`.
fn end(
    side: &str,
    arguments: &[Sexpr],
    parameters: &BTreeMap<String, Vec<u8>>,
    depth: usize,
) -> Option<Result<Test, LoadError>> {
    let remote = side == "remote";
    let (Sexpr::Symbol(transport), rest) = arguments.split_first()? else { return None };
    if transport == "unix-socket" {
        let path = match rest {
            [] => Ok(None),
            [path] => read(path, parameters, depth - 1).map(|test| Some(Box::new(test))),
            _ => return None,
        };
        return Some(
            path.map(|test| if remote { Test::RemoteSocket(test) } else { Test::LocalSocket(test) }),
        );
    }
    let tcp = match transport.as_str() {
        "ip" => None,
        "tcp" => Some(true),
        "udp" => Some(false),
        _ => return None,
    };
    let (localhost_only, port) = match rest {
        [] => (false, None),
        [Sexpr::Text(text)] => address(text)?,
        _ => return None,
    };
    let test = EndpointTest { localhost_only, port, tcp };
    Some(Ok(if remote { Test::Remote(test) } else { Test::Local(test) }))
}

/// `localhost` or `*`, a colon, and a port or `*`. The system takes no other host.
fn address(text: &[u8]) -> Option<(bool, Option<u16>)> {
    let (host, port) = std::str::from_utf8(text).ok()?.rsplit_once(':')?;
    let localhost = match host {
        "localhost" => true,
        "*" => false,
        _ => return None,
    };
    Some((localhost, if port == "*" { None } else { Some(port.parse().ok()?) }))
}
