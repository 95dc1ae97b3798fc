//! Policy to profile: pure, the same input gives the same bytes.
//!
//! The order of the text is the order of strength, for of the rules that match the last counts: paths from the root
//! down, then patterns, then what keeps a rule from being moved away. Allowing and refusing rules name the same
//! operations, so that the meaning does not hang on whether a specific operation outranks a family of them (it does on
//! macOS; `tests/differential.rs` asks under both readings). Nothing that a person wrote stands in the text. Caller:
//! [`crate::launch`].

mod network;
mod paths;
mod pattern;
mod place;

use weir_protocol::AbsPath;
use weir_protocol::policy::{Access, Degradation, Origin, Policy, Published};

pub use place::{canonical, linked};

use crate::base::{self, Reach};
use crate::exception::Exception;
use crate::gap;
use crate::parameter::{Parameter, ParameterError, Parameters};
use crate::sbpl::{Action, Filter, Operation, Profile, Rule, Section};

/// Longest word that a run's denials carry, in bytes: the system's log cuts long messages.
pub const MAX_TAG_BYTES: usize = 64;

/// Whether the volume takes `A` and `a` for the same name. APFS and HFS+ do so unless formatted otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LetterCase {
    /// Two names.
    Distinct,
    /// One name.
    Ignored,
}

/// What is known of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host {
    /// How its volumes compare names; `Ignored` where any granted one does.
    pub letter_case: LetterCase,
}

/// The word by which a run's denials are found in the system's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunTag(String);

impl RunTag {
    /// Reads a tag: letters, digits, `_` and `-`, at most [`MAX_TAG_BYTES`].
    ///
    /// # Errors
    /// [`CompileError::BadTag`].
    pub fn parse(text: &str) -> Result<Self, CompileError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if text.is_empty() || text.len() > MAX_TAG_BYTES || !text.bytes().all(plain) {
            return Err(CompileError::BadTag);
        }
        Ok(Self(text.to_owned()))
    }

    /// The word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where the network gate listens, on the loopback of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate {
    /// TCP port of the HTTP proxy.
    pub http: u16,
    /// TCP port of the SOCKS proxy; may be the same.
    pub socks: u16,
}

/// What belongs to one run. The exec-server makes all of it; nothing comes from a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The word that its denials carry.
    pub tag: RunTag,
    /// Where the gate listens for this run alone; only where the policy grants a network.
    pub gate: Option<Gate>,
    /// The empty directory that stands in for the home and temporary directories, where the policy wants one.
    pub scratch: Option<AbsPath>,
    /// The pseudo-terminal made for this run.
    pub terminal: Option<AbsPath>,
}

/// A profile with all that goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// The profile.
    pub profile: Profile,
    /// What its parameters stand for.
    pub parameters: Vec<Parameter>,
    /// Where it differs from the policy's verdict.
    pub exceptions: Vec<Exception>,
}

/// Why a policy has no profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// A path or pattern that cannot be passed.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// The policy grants a network, and there is no gate to hold it to its hosts.
    #[error("the profile grants a network, and on macOS that needs the gate, which is not there")]
    NoGate,
    /// A published port that would have to lead elsewhere.
    #[error(
        "{rule}: on macOS the loopback inside is the host's own, so that a port leads to itself alone: write the port of the server"
    )]
    Published {
        /// The rule.
        rule: Origin,
    },
    /// Changes would have to land in a copy.
    #[error("{rule}: `copy` needs an overlay file system, which macOS does not have")]
    Copy {
        /// The rule.
        rule: Box<weir_protocol::policy::Origin>,
    },
    /// Port 0.
    #[error("port 0 cannot be the gate's")]
    BadGate,
    /// Not a [`RunTag`].
    #[error("a tag is 1 to {MAX_TAG_BYTES} letters, digits, `_` and `-`")]
    BadTag,
    /// A guarantee that macOS cannot give and that the profile does not give up by name.
    #[error("macOS cannot hold this: {}; the profile can give it up with `degrade = [\"{}\"]`", .gap.says, .degradation.word())]
    Unenforceable {
        /// What cannot be held.
        gap: &'static gap::Gap,
        /// The name under which it is given up.
        degradation: Degradation,
    },
}

/// Compiles the profile of one run.
///
/// # Errors
/// [`CompileError`] when the policy names what no profile can express, or asks for what macOS cannot hold.
pub fn compile(policy: &Policy, host: Host, run: &Run) -> Result<Compiled, CompileError> {
    if policy.is_unrestricted() {
        return Ok(unrestricted(run));
    }
    if let Some(rule) = policy.filesystem().copies().next() {
        return Err(CompileError::Copy { rule: Box::new(rule.origin.clone()) });
    }
    if let Some((gap, degradation)) = gap::unmet(policy) {
        return Err(CompileError::Unenforceable { gap, degradation });
    }
    if let Some(rule) = policy.network().publish.iter().find(|rule| !leads_to_itself(rule.what)) {
        return Err(CompileError::Published { rule: rule.origin.clone() });
    }
    let mut output = Output { parameters: Parameters::default(), exceptions: Vec::new() };
    let places = place::places(policy, run);
    let reach = if policy.network().enabled.value { Reach::Outside } else { Reach::Inside };
    let mut sections = base::sections(reach);
    let mut files = paths::sections(policy, host, &places, &mut output)?;
    // After the places, which may close all devices; before the patterns, which win over everything.
    files.insert(1, terminal(run, &mut output)?);
    sections.extend(files);
    sections.extend(network::sections(policy, run, &mut output)?);
    Ok(Compiled {
        profile: Profile { default: Action::Deny, tag: run.tag.as_str().to_owned(), sections },
        parameters: output.parameters.into_list(),
        exceptions: output.exceptions,
    })
}

/// A server inside is reached at its own port from outside as well.
fn leads_to_itself(what: Published) -> bool {
    matches!(what, Published::Port { host, inside } if host == inside)
}

/// What is gathered while sections are made.
struct Output {
    parameters: Parameters,
    exceptions: Vec<Exception>,
}

/// No rule holds, and the profile says so in one line.
fn unrestricted(run: &Run) -> Compiled {
    Compiled {
        profile: Profile { default: Action::Allow, tag: run.tag.as_str().to_owned(), sections: Vec::new() },
        parameters: Vec::new(),
        exceptions: Vec::new(),
    }
}

/// A terminal is usable where the kernel itself gave it to this process, or where it was made for this run; those of
/// other programs of the user, into which characters could be typed, are not.
fn terminal(run: &Run, output: &mut Output) -> Result<Section, CompileError> {
    let mut rules = vec![
        Rule {
            action: Action::Allow,
            operations: vec![Operation::PseudoTty],
            filters: Vec::new(),
            reason: "script, expect and test suites make terminals of their own",
        },
        Rule {
            action: Action::Allow,
            operations: vec![Operation::FileRead, Operation::FileWrite, Operation::FileIoctl],
            filters: vec![Filter::Literal(crate::sbpl::Value::Fixed("/dev/ptmx"))],
            reason: "the device from which terminals are made",
        },
        Rule {
            action: Action::Allow,
            operations: vec![Operation::FileRead, Operation::FileWrite, Operation::FileIoctl],
            filters: vec![Filter::All(vec![
                Filter::Regex(crate::sbpl::Value::Fixed("^/dev/ttys[0-9]+$")),
                Filter::Extension("com.apple.sandbox.pty"),
            ])],
            reason: "terminals that this process made, by the extension that grantpt leaves",
        },
    ];
    let device = AbsPath::parse("/dev/ptmx").map(crate::exception::Extent::Node);
    output.exceptions.extend(device.ok().map(|extent| Exception {
        extent,
        difference: crate::exception::Difference::Grants(Access::Write),
        reason: "the device from which terminals are made",
    }));
    if let Some(path) = &run.terminal {
        let name = output.parameters.name(crate::parameter::Kind::Path, path.as_bytes())?;
        rules.push(Rule {
            action: Action::Allow,
            operations: vec![Operation::FileIoctl],
            filters: vec![Filter::Literal(crate::sbpl::Value::Parameter(name))],
            reason: crate::exception::TERMINAL,
        });
    }
    Ok(Section { heading: "Terminals", rules })
}
