//! A Seatbelt profile as typed data: operations, filters, rules, sections, and its text.
//!
//! Every text that stands in a profile is either a constant of this crate or the name of a parameter: there is no way to
//! put a path, or anything else that a person wrote, into a [`Filter`]. Callers: [`crate::base`] and [`mod@crate::compile`].

mod operation;

use std::fmt;

pub use operation::Operation;

use crate::parameter::Name;
use crate::sexpr::Sexpr;

/// A text inside a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// A constant of this crate.
    Fixed(&'static str),
    /// Whatever the parameter stands for.
    Parameter(Name),
}

/// One side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Port {
    /// Every port.
    Any,
    /// This port.
    Number(u16),
}

/// Which addresses a network filter means. Seatbelt knows these two and no ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// The host's own loopback, `127.0.0.1` and `::1`.
    Localhost,
    /// Every address.
    Any,
}

/// What a rule is limited to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Filter {
    /// Exactly this path.
    Literal(Value),
    /// This path and everything below it.
    Subpath(Value),
    /// Paths in which the regular expression is found.
    Regex(Value),
    /// Every directory above this path.
    Ancestors(Value),
    /// Files that this process was given by an extension of the kernel.
    Extension(&'static str),
    /// A mach service.
    MachName(&'static str),
    /// A kernel variable.
    Sysctl(&'static str),
    /// Kernel variables that start so.
    SysctlPrefix(&'static str),
    /// A POSIX shared-memory object.
    SharedMemory(&'static str),
    /// The other end of an IP connection, of any transport.
    RemoteIp(Address, Port),
    /// The other end of a TCP connection.
    RemoteTcp(Address, Port),
    /// The own end of an IP socket.
    LocalIp(Address, Port),
    /// The other end is a unix socket at such a path.
    RemoteUnix(Box<Filter>),
    /// The own end is a unix socket at such a path.
    LocalUnix(Box<Filter>),
    /// A socket family.
    SocketDomain(&'static str),
    /// A protocol number inside a family.
    SocketProtocol(u32),
    /// A process of the same sandbox.
    SameSandbox,
    /// All of these.
    All(Vec<Filter>),
    /// Any of these.
    AnyOf(Vec<Filter>),
    /// Not this.
    Not(Box<Filter>),
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Lets through.
    Allow,
    /// Refuses.
    Deny,
}

/// One rule. Filters stand beside each other: the rule holds where any of them does, and everywhere where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What it does.
    pub action: Action,
    /// To which operations.
    pub operations: Vec<Operation>,
    /// Where.
    pub filters: Vec<Filter>,
    /// Why, as a comment; a constant, so that it cannot end its own line.
    pub reason: &'static str,
}

/// Rules under one heading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The heading, a constant of one line.
    pub heading: &'static str,
    /// The rules, in the order in which they count: of those that match, the last.
    pub rules: Vec<Rule>,
}

/// A whole profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// What holds where no rule says otherwise.
    pub default: Action,
    /// The word that every denial carries in the system's log; letters, digits, `_` and `-`.
    pub tag: String,
    /// The rules.
    pub sections: Vec<Section>,
}

impl Value {
    fn to_sexpr(self) -> Sexpr {
        match self {
            Self::Fixed(text) => Sexpr::text(text),
            Self::Parameter(name) => Sexpr::call("param", [Sexpr::text(name.to_string())]),
        }
    }
}

fn endpoint(side: &str, transport: &str, address: Address, port: Port) -> Sexpr {
    let host = match address {
        Address::Localhost => "localhost",
        Address::Any => "*",
    };
    let text = match port {
        Port::Any => format!("{host}:*"),
        Port::Number(port) => format!("{host}:{port}"),
    };
    Sexpr::call(side, [Sexpr::symbol(transport), Sexpr::text(text)])
}

/// A path filter as it stands inside `unix-socket`, where a regular expression goes by another name.
fn socket_path(filter: &Filter) -> Sexpr {
    match filter {
        Filter::Regex(value) => Sexpr::call("path-regex", [value.to_sexpr()]),
        other => other.to_sexpr(),
    }
}

impl Filter {
    /// The filter in the notation of profiles.
    #[must_use]
    pub fn to_sexpr(&self) -> Sexpr {
        let named = |word: &str, text: &str| Sexpr::call(word, [Sexpr::text(text)]);
        let unix =
            |side: &str, path: &Filter| Sexpr::call(side, [Sexpr::symbol("unix-socket"), socket_path(path)]);
        match self {
            Self::Literal(value) => Sexpr::call("literal", [value.to_sexpr()]),
            Self::Subpath(value) => Sexpr::call("subpath", [value.to_sexpr()]),
            Self::Regex(value) => Sexpr::call("regex", [value.to_sexpr()]),
            Self::Ancestors(value) => Sexpr::call("path-ancestors", [value.to_sexpr()]),
            Self::Extension(class) => named("extension", class),
            Self::MachName(name) => named("global-name", name),
            Self::Sysctl(name) => named("sysctl-name", name),
            Self::SysctlPrefix(name) => named("sysctl-name-prefix", name),
            Self::SharedMemory(name) => named("ipc-posix-name", name),
            Self::RemoteIp(address, port) => endpoint("remote", "ip", *address, *port),
            Self::RemoteTcp(address, port) => endpoint("remote", "tcp", *address, *port),
            Self::LocalIp(address, port) => endpoint("local", "ip", *address, *port),
            Self::RemoteUnix(path) => unix("remote", path),
            Self::LocalUnix(path) => unix("local", path),
            Self::SocketDomain(domain) => Sexpr::call("socket-domain", [Sexpr::symbol(domain)]),
            Self::SocketProtocol(number) => {
                Sexpr::call("socket-protocol", [Sexpr::Integer(u64::from(*number))])
            }
            Self::SameSandbox => Sexpr::call("target", [Sexpr::symbol("same-sandbox")]),
            Self::All(filters) => Sexpr::call("require-all", filters.iter().map(Self::to_sexpr)),
            Self::AnyOf(filters) => Sexpr::call("require-any", filters.iter().map(Self::to_sexpr)),
            Self::Not(filter) => Sexpr::call("require-not", [filter.to_sexpr()]),
        }
    }
}

impl Action {
    fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

fn message(tag: &str) -> Sexpr {
    Sexpr::call("with", [Sexpr::symbol("message"), Sexpr::text(tag)])
}

impl Rule {
    /// The rule in the notation of profiles; a denial carries `tag`.
    #[must_use]
    pub fn to_sexpr(&self, tag: &str) -> Sexpr {
        let operations = self.operations.iter().map(|operation| Sexpr::symbol(operation.name()));
        let filters = self.filters.iter().map(Filter::to_sexpr);
        let message = (self.action == Action::Deny).then(|| message(tag));
        Sexpr::call(self.action.word(), operations.chain(filters).chain(message))
    }

    /// The rule with each filter on a line of its own.
    fn write(&self, out: &mut fmt::Formatter<'_>, tag: &str) -> fmt::Result {
        if !self.reason.is_empty() {
            writeln!(out, "; {}", self.reason)?;
        }
        let Sexpr::List(items) = self.to_sexpr(tag) else { return Ok(()) };
        let words = items.iter().take_while(|item| matches!(item, Sexpr::Symbol(_))).count();
        let lines = items.len() - words;
        for (at, item) in items.iter().enumerate() {
            let before = match at {
                0 => "(",
                _ if at >= words && lines > 1 => "\n  ",
                _ => " ",
            };
            write!(out, "{before}{item}")?;
        }
        writeln!(out, ")")
    }
}

impl Profile {
    /// The values of which the text consists, in order.
    #[must_use]
    pub fn to_sexprs(&self) -> Vec<Sexpr> {
        let rules = self.sections.iter().flat_map(|section| &section.rules);
        let head = [Sexpr::call("version", [Sexpr::Integer(1)]), self.default_rule()];
        head.into_iter().chain(rules.map(|rule| rule.to_sexpr(&self.tag))).collect()
    }

    fn default_rule(&self) -> Sexpr {
        let message = (self.default == Action::Deny).then(|| message(&self.tag));
        Sexpr::call(self.default.word(), std::iter::once(Sexpr::symbol("default")).chain(message))
    }
}

/// The text that `sandbox-exec -p` is given.
impl fmt::Display for Profile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "(version 1)\n{}", self.default_rule())?;
        for section in self.sections.iter().filter(|section| !section.rules.is_empty()) {
            writeln!(out, "\n;; {}", section.heading)?;
            section.rules.iter().try_for_each(|rule| rule.write(out, &self.tag))?;
        }
        Ok(())
    }
}
