//! Trust in projects: what the user has decided about a directory, and for which content of its configuration.
//!
//! A decision with a content holds for that directory alone and for no other content; one without holds for everything below as well.
//! The exec-server reads a project's configuration by it, and the agent asks the person by it: there is no other rule.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use super::document::Document;
use crate::path::AbsPath;
use crate::policy::Sourced;

/// Path of a project's configuration below its root.
pub const PROJECT_CONFIG: &str = ".weir/config.toml";

/// The table of decisions in the user's configuration, and its keys.
pub const PROJECTS: &str = "projects";
/// See [`PROJECTS`].
pub const TRUST_LEVEL: &str = "trust_level";
/// See [`PROJECTS`].
pub const CONFIG_SHA256: &str = "config_sha256";

/// SHA-256 of a project's configuration, byte for byte; of nothing where there is none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ContentDigest([u8; 32]);

impl ContentDigest {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentDigest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// Text that is not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("64 hexadecimal digits are expected")]
pub struct ContentDigestError;

impl FromStr for ContentDigest {
    type Err = ContentDigestError;

    fn from_str(text: &str) -> Result<Self, ContentDigestError> {
        let bytes = crate::bytes::decode_hex(text).ok_or(ContentDigestError)?;
        bytes.try_into().map(Self).map_err(|_| ContentDigestError)
    }
}

/// What the user has decided about a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Its configuration is read, whatever it says.
    Trusted,
    /// Its configuration is read as long as it is this.
    TrustedAs(ContentDigest),
    /// Its configuration is never read.
    Untrusted,
}

/// How a project stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing was decided: its configuration is not read.
    Undecided,
    /// Its configuration is read.
    Trusted,
    /// Another content was trusted: nothing goes on until the user decides again.
    Changed,
    /// It was decided that its configuration is not read.
    Untrusted,
}

impl Document {
    /// What was decided about a project: at its root, or at the nearest directory above it where that holds for everything below.
    #[must_use]
    pub fn trust_of(&self, root: &AbsPath) -> Option<&Sourced<Trust>> {
        let decided = |path: &AbsPath| {
            let mut all = self.trust.iter();
            all.find(|(name, _)| AbsPath::parse(name.as_str()).is_ok_and(|name| name == *path))
        };
        let mut next = Some(root.clone());
        while let Some(path) = next {
            let found = decided(&path).map(|(_, trust)| trust);
            if let Some(trust) =
                found.filter(|trust| path == *root || !matches!(trust.value, Trust::TrustedAs(_)))
            {
                return Some(trust);
            }
            next = path.parent();
        }
        None
    }

    /// How a project stands whose configuration has this content; none where it has no configuration.
    #[must_use]
    pub fn standing(&self, root: &AbsPath, content: Option<&[u8]>) -> Standing {
        match self.trust_of(root).map(|trust| trust.value) {
            None => Standing::Undecided,
            Some(Trust::Untrusted) => Standing::Untrusted,
            Some(Trust::Trusted) => Standing::Trusted,
            Some(Trust::TrustedAs(trusted)) => {
                let same = ContentDigest::of(content.unwrap_or_default()) == trusted;
                if same { Standing::Trusted } else { Standing::Changed }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Source, read};
    use super::*;
    use crate::policy::Layer;

    fn document(text: &str) -> Document {
        let source = Source::new("config.toml", text.as_bytes().to_vec(), Format::Toml, Layer::User).unwrap();
        let reading = read::read(&source);
        assert!(!reading.report.has_errors(), "{}", reading.report);
        reading.document.unwrap()
    }

    #[test]
    fn a_decision_is_about_a_place_and_a_content() {
        let text = format!(
            "[projects.\"/a\"]\ntrust_level = \"trusted\"\n\
             [projects.\"/a/no\"]\ntrust_level = \"untrusted\"\n\
             [projects.\"/a/no/as\"]\ntrust_level = \"trusted\"\nconfig_sha256 = \"{}\"\n\
             [projects.\"/b\"]\ntrust_level = \"trusted\"\nconfig_sha256 = \"{}\"\n",
            ContentDigest::of(b"known"),
            ContentDigest::of(b""),
        );
        let document = document(&text);
        let cases = [
            ("/a", Some("any"), Standing::Trusted),
            ("/a/deep/er", None, Standing::Trusted),
            ("/a/no", None, Standing::Untrusted),
            ("/a/no/below", None, Standing::Untrusted),
            ("/a/no/as", Some("known"), Standing::Trusted),
            ("/a/no/as", Some("known "), Standing::Changed),
            ("/a/no/as", None, Standing::Changed),
            ("/a/no/as/below", Some("known"), Standing::Untrusted),
            ("/b", None, Standing::Trusted),
            ("/b", Some("new"), Standing::Changed),
            ("/b/below", None, Standing::Undecided),
            ("/c", None, Standing::Undecided),
        ];
        for (root, content, expect) in cases {
            let root = AbsPath::parse(root).unwrap();
            assert_eq!(document.standing(&root, content.map(str::as_bytes)), expect, "{root:?} {content:?}");
        }
    }

    #[test]
    fn a_content_that_means_nothing_is_an_error() {
        for entry in [
            "trust_level = \"trusted\"\nconfig_sha256 = \"abc\"",
            "trust_level = \"untrusted\"\nconfig_sha256 = \"\"",
            "config_sha256 = 3",
        ] {
            let text = format!("[projects.\"/a\"]\n{entry}\n");
            let source = Source::new("config.toml", text.into_bytes(), Format::Toml, Layer::User).unwrap();
            let report = read::read(&source).report;
            assert!(report.has_errors(), "{entry}: {report}");
        }
    }
}
