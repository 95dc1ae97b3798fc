//! Which of the caller's environment variables a command sees.
//!
//! The order of decision is fixed: a variable that the profile sets hides the caller's; then explicit denials, explicit
//! grants, names that look like secrets, and last what `inherit` says.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::glob::Glob;
use super::network::Sourced;
use super::origin::Origin;
use crate::path::{AbsPath, PathError};

/// Which variables pass when no pattern names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Inherit {
    /// None.
    None,
    /// Those that a program needs to find its way: path, home, language, terminal, places of toolchains.
    Core,
    /// All, except names that look like secrets.
    All,
}

/// Variables that pass with `inherit = "core"`. Names only, no secrets among them.
pub const CORE_VARIABLES: [&str; 42] = [
    "CARGO_HOME",
    "CI",
    "CLICOLOR",
    "COLORTERM",
    "COLUMNS",
    "DEBIAN_FRONTEND",
    "EDITOR",
    "FORCE_COLOR",
    "GOPATH",
    "GOROOT",
    "HOME",
    "HOSTNAME",
    "JAVA_HOME",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "LINES",
    "LOGNAME",
    "LS_COLORS",
    "MANPATH",
    "NODE_PATH",
    "NO_COLOR",
    "NVM_DIR",
    "PAGER",
    "PATH",
    "PWD",
    "PYENV_ROOT",
    "PYTHONPATH",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "SHELL",
    "SHLVL",
    "TEMP",
    "TERM",
    "TERM_PROGRAM",
    "TMP",
    "TMPDIR",
    "TZ",
    "USER",
    "VIRTUAL_ENV",
    "VISUAL",
    "XDG_*",
];

/// Names that look like secrets: they pass only where a profile's own `allow` names them.
pub const SECRET_VARIABLES: [&str; 12] = [
    "*TOKEN*",
    "*SECRET*",
    "*PASSWORD*",
    "*PASSWD*",
    "*PASSPHRASE*",
    "*CREDENTIAL*",
    "*API_KEY*",
    "*APIKEY*",
    "*_KEY",
    "*PRIVATE_KEY*",
    "*_AUTH",
    "*COOKIE*",
];

/// A pattern over the names of variables: `*`, `?` and `[…]`, case-sensitive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamePattern(String);

impl TryFrom<String> for NamePattern {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl From<NamePattern> for String {
    fn from(pattern: NamePattern) -> Self {
        pattern.0
    }
}

/// Why some text is no pattern over variable names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was written.
    #[error("the name of a variable cannot be empty")]
    Empty,
    /// A character that no name can hold.
    #[error("a variable's name holds no `=`, slash, space or control character")]
    BadCharacter,
    /// Not a pattern.
    #[error("{0}")]
    Glob(#[from] super::glob::GlobError),
}

impl NamePattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`NameError`] when it is empty, holds a character that no name can, or is no pattern.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check_name(text)?;
        Glob::below(&AbsPath::root(), text)?;
        Ok(Self(text.to_owned()))
    }

    /// The pattern that stands for exactly this name, whatever characters it holds.
    ///
    /// # Errors
    /// [`NameError`] when no variable can have that name.
    pub fn of_name(name: &str) -> Result<Self, NameError> {
        let special = |c: char| "*?[]{}\\".contains(c) || name == "." || name == "..";
        Self::parse(
            &name.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect::<String>(),
        )
    }

    /// Whether the pattern stands for `name`.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        matches_name(&self.0, name)
    }

    /// Whether everything that `other` stands for is stood for by this pattern.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let glob = |pattern: &Self| Glob::below(&AbsPath::root(), &pattern.0).ok();
        match (glob(self), glob(other)) {
            (Some(large), Some(small)) => large.covers(&small),
            _ => false,
        }
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names one variable, without wildcards.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        is_plain(&self.0)
    }
}

/// Whether the text stands for itself: no wildcard and no `\\`, which takes the next character as it is.
fn is_plain(text: &str) -> bool {
    !super::glob::has_wildcard(text) && !text.contains('\\')
}

/// Checks the name of a variable, wildcards included.
///
/// # Errors
/// [`NameError`] when it is empty or holds a character that no name can.
pub fn check_name(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.contains(|c: char| c.is_control() || c.is_whitespace() || matches!(c, '=' | '/')) {
        return Err(NameError::BadCharacter);
    }
    Ok(())
}

/// Matches `*`, `?` and `[…]` against a whole name, through the same translation as path patterns.
fn matches_name(pattern: &str, name: &str) -> bool {
    if is_plain(pattern) {
        return pattern == name;
    }
    let Ok(glob) = Glob::below(&AbsPath::root(), pattern) else { return false };
    let path = [b"/", name.as_bytes()].concat();
    !name.contains('/') && regex(&glob).is_some_and(|regex| regex.is_match(&path))
}

fn regex(glob: &Glob) -> Option<regex::bytes::Regex> {
    regex::bytes::RegexBuilder::new(&glob.to_regex()).unicode(false).dot_matches_new_line(true).build().ok()
}

/// A pattern with where it stands.
pub type NameRule = Sourced<NamePattern>;

/// The environment rules of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// What passes when no pattern names a variable.
    pub inherit: Sourced<Inherit>,
    /// Names that pass.
    #[serde(default)]
    pub allow: Vec<NameRule>,
    /// Names that do not pass.
    #[serde(default)]
    pub deny: Vec<NameRule>,
    /// Variables that are set, whatever the caller has.
    #[serde(default)]
    pub set: BTreeMap<String, Sourced<String>>,
}

impl Default for Environment {
    fn default() -> Self {
        Self {
            inherit: Sourced::default_of(Inherit::Core, "`inherit` is \"core\" unless it is set"),
            allow: Vec::new(),
            deny: Vec::new(),
            set: BTreeMap::new(),
        }
    }
}

/// Why the caller's variable passes or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameVerdict<'p> {
    /// The profile sets the variable itself, so the caller's value is not seen.
    Replaced(&'p Sourced<String>),
    /// An explicit denial.
    Denied(&'p NameRule),
    /// An explicit grant.
    Allowed(&'p NameRule),
    /// The name looks like a secret.
    LooksSecret(&'static str),
    /// What `inherit` says.
    Inherited(&'p Origin, bool),
}

impl NameVerdict<'_> {
    /// Whether the caller's value is seen by the command.
    #[must_use]
    pub fn passes(&self) -> bool {
        matches!(self, Self::Allowed(_) | Self::Inherited(_, true))
    }
}

impl Environment {
    /// What happens to the caller's variable `name`.
    #[must_use]
    pub fn verdict(&self, name: &str) -> NameVerdict<'_> {
        if let Some(set) = self.set.get(name) {
            return NameVerdict::Replaced(set);
        }
        if let Some(rule) = self.deny.iter().find(|rule| rule.value.matches(name)) {
            return NameVerdict::Denied(rule);
        }
        if let Some(rule) = self.allow.iter().find(|rule| rule.value.matches(name)) {
            return NameVerdict::Allowed(rule);
        }
        if let Some(pattern) = looks_secret(name) {
            return NameVerdict::LooksSecret(pattern);
        }
        let passes = match self.inherit.value {
            Inherit::None => false,
            Inherit::Core => is_core(name),
            Inherit::All => true,
        };
        NameVerdict::Inherited(&self.inherit.origin, passes)
    }

    /// Whether this environment passes every variable that `pattern` stands for, denials aside.
    #[must_use]
    pub(crate) fn grants_all_of(&self, pattern: &NamePattern) -> bool {
        let inherited = pattern.is_literal()
            && looks_secret(pattern.as_str()).is_none()
            && match self.inherit.value {
                Inherit::None => false,
                Inherit::Core => is_core(pattern.as_str()),
                Inherit::All => true,
            };
        inherited || self.allow.iter().any(|rule| rule.value.covers(pattern))
    }

    /// Sorted and free of repetitions.
    #[must_use]
    pub fn normalised(mut self) -> Self {
        for list in [&mut self.allow, &mut self.deny] {
            list.sort_by(|a, b| (&a.value, &a.origin).cmp(&(&b.value, &b.origin)));
            list.dedup_by(|a, b| a.value == b.value);
        }
        self
    }
}

fn is_core(name: &str) -> bool {
    CORE_VARIABLES.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => *pattern == name,
    })
}

fn looks_secret(name: &str) -> Option<&'static str> {
    let upper = name.to_ascii_uppercase();
    SECRET_VARIABLES.into_iter().find(|pattern| {
        let word = pattern.trim_matches('*');
        match (pattern.starts_with('*'), pattern.ends_with('*')) {
            (_, true) => upper.contains(word),
            _ => upper.ends_with(word),
        }
    })
}

impl From<PathError> for NameError {
    fn from(error: PathError) -> Self {
        Self::Glob(error.into())
    }
}
