//! An evaluator of Seatbelt profiles: it loads a profile's text with its parameters and answers what it means.
//!
//! It shares nothing with the compiler but the notation. Operations form a tree. Of the rules for an operation that
//! match, the last counts; where none matches, the next larger family is asked, so that a rule for a specific operation
//! outranks any rule for a family, wherever they stand; at the root is `default`. Filters beside each other are
//! alternatives. Callers: tests and fuzz targets.

mod filter;
pub mod operation;
pub mod parse;

use std::collections::BTreeMap;

pub use filter::Test;
pub use parse::ParseError;

use crate::sbpl::Action;
use crate::sexpr::Sexpr;

/// Deepest nesting of filters.
const MAX_FILTER_DEPTH: usize = 32;

/// Which of several matching rules counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precedence {
    /// As macOS does: the most specific operation, then the last rule.
    SpecificFirst,
    /// The last rule, whichever operation it names.
    LastOnly,
}

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether the address is `127.0.0.1` or `::1`.
    pub loopback: bool,
    /// The port.
    pub port: u16,
    /// TCP rather than UDP.
    pub tcp: bool,
}

/// What an operation is about. What is not set is not there, and no filter matches it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject<'a> {
    /// The file.
    pub path: Option<&'a [u8]>,
    /// `vnode-type` of the file, for instance `DIRECTORY`.
    pub vnode_type: Option<&'a str>,
    /// The far end.
    pub remote: Option<Endpoint>,
    /// The near end.
    pub local: Option<Endpoint>,
    /// The unix socket at the far end.
    pub remote_socket: Option<&'a [u8]>,
    /// The unix socket at the near end.
    pub local_socket: Option<&'a [u8]>,
    /// The mach service, kernel variable, shared-memory object or extension class.
    pub name: Option<&'a str>,
    /// The socket family and protocol.
    pub socket: Option<(&'a str, u64)>,
    /// Whether the other process belongs to the same sandbox.
    pub same_sandbox: bool,
    /// Whether the process holds the extension that a filter asks for.
    pub extension: bool,
}

/// Why a profile is not understood. What is not understood is never guessed at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Not the notation.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// No `(version 1)` at the start.
    #[error("the profile does not start with (version 1)")]
    NoVersion,
    /// No `default` rule.
    #[error("the profile has no rule for `default`")]
    NoDefault,
    /// A form other than a rule.
    #[error("not a rule: {form}")]
    NotARule {
        /// The form.
        form: String,
    },
    /// An operation that no system knows.
    #[error("no operation is called {name}")]
    UnknownOperation {
        /// The word.
        name: String,
    },
    /// A filter that is not understood.
    #[error("not a filter: {form}")]
    UnknownFilter {
        /// The form.
        form: String,
    },
    /// A parameter that was not passed.
    #[error("no parameter is called {name}")]
    NoParameter {
        /// Its name.
        name: String,
    },
    /// A regular expression that does not compile.
    #[error("not a regular expression: {text}")]
    BadRegex {
        /// The expression.
        text: String,
    },
}

/// One rule, ready to be asked.
#[derive(Debug, Clone)]
struct Rule {
    action: Action,
    operations: Vec<String>,
    tests: Vec<Test>,
}

/// A loaded profile.
#[derive(Debug, Clone)]
pub struct Program {
    rules: Vec<Rule>,
}

impl Program {
    /// Loads a profile's text.
    ///
    /// # Errors
    /// [`LoadError`] for anything that is not understood in full.
    pub fn load(text: &[u8], parameters: &BTreeMap<String, Vec<u8>>) -> Result<Self, LoadError> {
        let forms = parse::read(text)?;
        let version = Sexpr::call("version", [Sexpr::Integer(1)]);
        let Some((first, rest)) = forms.split_first() else { return Err(LoadError::NoVersion) };
        if *first != version {
            return Err(LoadError::NoVersion);
        }
        let rules: Vec<Rule> = rest.iter().map(|form| rule(form, parameters)).collect::<Result<_, _>>()?;
        if !rules.iter().any(|rule| rule.operations.iter().any(|name| name == "default")) {
            return Err(LoadError::NoDefault);
        }
        Ok(Self { rules })
    }

    /// Whether `operation` on `subject` is let through. An operation that nobody knows is refused.
    #[must_use]
    pub fn allows(&self, operation: &str, subject: &Subject<'_>, precedence: Precedence) -> bool {
        let families = operation::chain(operation);
        let found = match precedence {
            Precedence::SpecificFirst => {
                families.iter().find_map(|family| self.last(subject, |name| name == *family))
            }
            Precedence::LastOnly => self.last(subject, |name| families.contains(&name)),
        };
        found == Some(Action::Allow)
    }

    fn last(&self, subject: &Subject<'_>, named: impl Fn(&str) -> bool) -> Option<Action> {
        let holds = |rule: &&Rule| {
            rule.operations.iter().any(|name| named(name))
                && (rule.tests.is_empty() || rule.tests.iter().any(|test| test.holds(subject)))
        };
        self.rules.iter().rev().find(holds).map(|rule| rule.action)
    }
}

fn rule(form: &Sexpr, parameters: &BTreeMap<String, Vec<u8>>) -> Result<Rule, LoadError> {
    let not_a_rule = || LoadError::NotARule { form: form.to_string() };
    let Sexpr::List(items) = form else { return Err(not_a_rule()) };
    let action = match items.first() {
        Some(Sexpr::Symbol(word)) if word == "allow" => Action::Allow,
        Some(Sexpr::Symbol(word)) if word == "deny" => Action::Deny,
        _ => return Err(not_a_rule()),
    };
    let mut rule = Rule { action, operations: Vec::new(), tests: Vec::new() };
    for item in &items[1..] {
        match item {
            Sexpr::Symbol(name) if operation::is_known(name) => rule.operations.push(name.clone()),
            Sexpr::Symbol(name) => return Err(LoadError::UnknownOperation { name: name.clone() }),
            Sexpr::List(_) if is_modifier(item) => {}
            Sexpr::List(_) => rule.tests.push(filter::read(item, parameters, MAX_FILTER_DEPTH)?),
            Sexpr::Text(_) | Sexpr::Integer(_) => return Err(not_a_rule()),
        }
    }
    if rule.operations.is_empty() { Err(not_a_rule()) } else { Ok(rule) }
}

/// `(with …)` says how a decision is told, not what it is.
fn is_modifier(form: &Sexpr) -> bool {
    matches!(form, Sexpr::List(items) if items.first() == Some(&Sexpr::symbol("with")))
}
