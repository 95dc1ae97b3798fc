//! Keys: where they are from, and never what they are.
//!
//! A key is read when a provider is made, is in no message (not in those of whoever answers either), no log and no `Debug`, and is wiped when it goes. Caller:
//! [`super::config`].

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

/// The longest key file that is read, in bytes; keys and tokens are below 16 KiB everywhere.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// A key, and where it is from. Has no `Debug` and no `Display`.
#[derive(Clone)]
pub(crate) struct Secret {
    value: SecretString,
    from: String,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set, or empty.
    #[error("the key is expected in the variable {variable}, which is not set{}", hint(.instructions.as_deref()))]
    Unset {
        /// The variable.
        variable: String,
        /// What the configuration says to do.
        instructions: Option<String>,
    },
    /// The file cannot be read.
    #[error("the key file {} cannot be read: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others may read the file.
    #[error("the key file {} may be read by others (mode {mode:03o}); `chmod 600` closes it", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// What was found cannot stand in a header.
    #[error("the key from {from} is empty or has characters that no key has")]
    NoKey {
        /// Where it is from.
        from: String,
    },
}

fn hint(instructions: Option<&str>) -> String {
    instructions.map(|text| format!(": {text}")).unwrap_or_default()
}

impl Secret {
    /// From a variable, where it is set.
    pub(crate) fn of_variable(
        variable: &str,
        get: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, SecretError> {
        match get(variable) {
            Some(value) if !value.trim().is_empty() => Self::new(&value, variable).map(Some),
            _ => Ok(None),
        }
    }

    /// From a file that only its owner may read: its first line.
    pub(crate) fn of_file(path: &Path) -> Result<Self, SecretError> {
        use std::io::Read as _;
        use std::os::unix::fs::MetadataExt as _;
        let failed = |source| SecretError::File { path: path.to_owned(), source };
        let file = std::fs::File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(SecretError::Open { path: path.to_owned(), mode });
        }
        let mut text = zeroize::Zeroizing::new(String::new());
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
        Self::new(text.lines().next().unwrap_or_default(), &path.display().to_string())
    }

    /// A key that was written down in the configuration.
    pub(crate) fn new(value: &str, from: &str) -> Result<Self, SecretError> {
        let value = value.trim();
        if value.is_empty() || value.bytes().any(|byte| !(b' '..=b'~').contains(&byte)) {
            return Err(SecretError::NoKey { from: from.to_owned() });
        }
        Ok(Self { value: SecretString::from(value), from: from.to_owned() })
    }

    /// The key itself, for a header of a request and for nothing else.
    pub(crate) fn expose(&self) -> &str {
        self.value.expose_secret()
    }

    /// Where it is from.
    pub(crate) fn from(&self) -> &str {
        &self.from
    }
}

/// Letters of the shortest text that is taken for a secret: what is shorter (`none`, `ollama`) is written down where a server wants any key.
const SECRET_LETTERS_MIN: usize = 8;

/// What stands in the place of a secret.
const CONCEALED: &str = "[concealed]";

/// What no message may repeat, whoever wrote it.
#[derive(Default)]
pub(crate) struct Secrets(Vec<SecretString>);

impl Secrets {
    /// Adds each word of a text: of `Bearer sk-…` the key is repeated without the word before it.
    pub(crate) fn add(&mut self, text: &str) {
        let words = text.split_whitespace().filter(|word| word.len() >= SECRET_LETTERS_MIN);
        self.0.extend(words.map(SecretString::from));
    }

    /// The text without them, and without the beginning of one at its end, where it was cut.
    pub(crate) fn conceal(&self, mut text: String) -> String {
        for secret in self.0.iter().map(ExposeSecret::expose_secret) {
            if text.contains(secret) {
                text = text.replace(secret, CONCEALED);
            }
            // Keys are ASCII.
            let lengths = (SECRET_LETTERS_MIN..secret.len()).rev();
            let mut beginnings = lengths.filter_map(|length| secret.get(..length));
            if let Some(beginning) = beginnings.find(|beginning| text.ends_with(beginning)) {
                text.truncate(text.len() - beginning.len());
                text += CONCEALED;
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_file_is_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, "sk-1\nmore\n").unwrap();
        let set = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        set(0o640);
        assert!(matches!(Secret::of_file(&path), Err(SecretError::Open { mode: 0o640, .. })));
        set(0o600);
        assert_eq!(Secret::of_file(&path).map(|key| key.expose().to_owned()).ok(), Some("sk-1".to_owned()));
    }

    #[test]
    fn what_is_repeated_is_concealed() {
        let mut secrets = Secrets::default();
        secrets.add("Bearer sk-0123456789");
        secrets.add("ollama");
        let cases = [
            ("Invalid key: Bearer sk-0123456789!", "Invalid key: Bearer [concealed]!"),
            ("{\"authorization\":\"Bearer sk-01234", "{\"authorization\":\"Bearer [concealed]"),
            ("ollama has no model sk-0123", "ollama has no model sk-0123"),
        ];
        for (text, expect) in cases {
            assert_eq!(secrets.conceal(text.to_owned()), expect);
        }
    }

    #[test]
    fn what_cannot_stand_in_a_header_is_no_key() {
        for text in ["", "  ", "a\nb", "schlüssel", "a\u{0}"] {
            let error = Secret::new(text, "K").err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains("from K"), "{text:?}: {error}");
        }
    }
}
