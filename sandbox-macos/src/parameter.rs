//! Parameters of a profile: the only way in which a path enters one.
//!
//! `sandbox-exec -D NAME=VALUE` hands each value over beside the profile's text, so that no byte of a path can be read as
//! part of the program. Names are made here and nowhere else. Caller: [`mod@crate::compile`].

use std::collections::HashMap;
use std::fmt;

/// Most parameters of one profile: each is an argument, and a policy of ten thousand rules still fits.
pub const MAX_PARAMETERS: usize = 40_000;

/// Most bytes of all parameters together, in bytes: a quarter below `ARG_MAX` of macOS (1 MiB, sys/syslimits.h), which the
/// environment and the command have to share.
pub const MAX_PARAMETER_BYTES: usize = 768 << 10;

/// What a parameter holds; the first part of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A path.
    Path,
    /// A regular expression over paths.
    Pattern,
}

/// The name of a parameter: `PATH_3`, `PATTERN_0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    kind: Kind,
    number: usize,
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Path => "PATH",
            Kind::Pattern => "PATTERN",
        };
        write!(out, "{kind}_{}", self.number)
    }
}

/// One parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in the profile.
    pub name: Name,
    /// What it stands for; UTF-8 without NUL.
    pub value: String,
}

/// Why a value cannot be a parameter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// macOS file names are UTF-8, so such a rule names nothing there.
    #[error("{shown}: the bytes are not UTF-8, and no file of macOS has such a name")]
    NotUtf8 {
        /// The value, escaped.
        shown: String,
    },
    /// An argument ends at a NUL.
    #[error("{shown}: a NUL byte cannot be passed to the profile")]
    Nul {
        /// The value, escaped.
        shown: String,
    },
    /// More than [`MAX_PARAMETERS`] or [`MAX_PARAMETER_BYTES`].
    #[error(
        "the policy has too many rules for macOS: its paths take more than {MAX_PARAMETER_BYTES} bytes of arguments"
    )]
    TooMany,
}

/// All parameters of a profile, numbered in the order of their first use; equal values share a name.
#[derive(Debug, Clone, Default)]
pub struct Parameters {
    list: Vec<Parameter>,
    known: HashMap<(Kind, String), Name>,
    counts: [usize; 2],
    bytes: usize,
}

impl Parameters {
    /// The name under which `value` is passed.
    ///
    /// # Errors
    /// [`ParameterError`] when the value cannot be an argument or there are too many.
    pub fn name(&mut self, kind: Kind, value: &[u8]) -> Result<Name, ParameterError> {
        let text = std::str::from_utf8(value)
            .map_err(|_| ParameterError::NotUtf8 { shown: value.escape_ascii().to_string() })?;
        if text.contains('\0') {
            return Err(ParameterError::Nul { shown: value.escape_ascii().to_string() });
        }
        if let Some(name) = self.known.get(&(kind, text.to_owned())) {
            return Ok(*name);
        }
        let count = &mut self.counts[usize::from(kind == Kind::Pattern)];
        let name = Name { kind, number: *count };
        *count += 1;
        self.bytes += text.len() + ARGUMENT_OVERHEAD_BYTES;
        if self.list.len() >= MAX_PARAMETERS || self.bytes > MAX_PARAMETER_BYTES {
            return Err(ParameterError::TooMany);
        }
        self.known.insert((kind, text.to_owned()), name);
        self.list.push(Parameter { name, value: text.to_owned() });
        Ok(name)
    }

    /// Every parameter, in order.
    #[must_use]
    pub fn into_list(self) -> Vec<Parameter> {
        self.list
    }
}

/// What one parameter costs beside its value: `-D`, name, `=`, two NULs and two pointers, rounded up.
const ARGUMENT_OVERHEAD_BYTES: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_a_name_and_kinds_count_apart() {
        let mut parameters = Parameters::default();
        let name = |parameters: &mut Parameters, kind, value: &str| {
            parameters.name(kind, value.as_bytes()).map(|name| name.to_string()).unwrap()
        };
        assert_eq!(name(&mut parameters, Kind::Path, "/a"), "PATH_0");
        assert_eq!(name(&mut parameters, Kind::Pattern, "/a"), "PATTERN_0");
        assert_eq!(name(&mut parameters, Kind::Path, "/b"), "PATH_1");
        assert_eq!(name(&mut parameters, Kind::Path, "/a"), "PATH_0");
        assert_eq!(parameters.into_list().len(), 3);
    }

    #[test]
    fn what_no_argument_can_hold_is_refused() {
        let mut parameters = Parameters::default();
        assert!(matches!(parameters.name(Kind::Path, b"/\xff"), Err(ParameterError::NotUtf8 { .. })));
        assert!(matches!(parameters.name(Kind::Path, b"/a\0b"), Err(ParameterError::Nul { .. })));
        let long = "/".repeat(MAX_PARAMETER_BYTES);
        assert_eq!(parameters.name(Kind::Path, long.as_bytes()), Err(ParameterError::TooMany));
    }
}
