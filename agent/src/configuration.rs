//! The agent's part of the configuration: `$WEIR_HOME/config.toml`, with what the command line says in its place.
//!
//! Profiles are no part of it: the exec-server reads them from the files itself, and nothing said here changes what they allow.

use std::path::{Path, PathBuf};

use toml::{Table, Value};
use weir_protocol::method::output::WhenLeft;
use weir_protocol::policy::Layer;
use weir_protocol::profile::{Diagnostic, Format, Severity, Source};

use crate::approval::Approval;
use crate::model::config::DEFAULT_PROVIDER;
use crate::model::{ConfigError, Effort, Prices, Providers};

/// The name of the file.
const FILE: &str = "config.toml";

/// The longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Of a model's window, how many percent a conversation may fill before it is summarized: the rest is for an answer.
const COMPACT_AT_PERCENT: u64 = 85;

/// Tables and keys that only files can say.
const FILES_ALONE: [&str; 2] = ["permissions", "requirements"];

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// The file cannot be read.
    #[error("{}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is too long to be one.
    #[error("{} is longer than {limit} bytes", .path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// The file is no TOML.
    #[error("{}", .0.to_string().trim_end())]
    Toml(Box<Diagnostic>),
    /// An option is no key with a value.
    #[error("`--config {text}` must be KEY=VALUE, with a dotted key")]
    Override {
        /// What was said.
        text: String,
    },
    /// An option that would change what is allowed.
    #[error("`--config {key}` cannot be said on the command line: profiles are read from files")]
    FilesAlone {
        /// The key.
        key: String,
    },
    /// A value of another kind.
    #[error("`{key}` must be {expected}")]
    Kind {
        /// The key.
        key: &'static str,
        /// What is expected.
        expected: &'static str,
    },
    /// Providers.
    #[error(transparent)]
    Providers(#[from] ConfigError),
}

/// What is configured.
#[derive(Debug, Clone, Default)]
pub struct Configuration {
    table: Table,
}

impl Configuration {
    /// Reads the file below `home`, where there is one, and puts `overrides` in its place key by key.
    ///
    /// # Errors
    /// Where a file or an override cannot be read.
    pub fn read(home: &Path, overrides: &[String]) -> Result<Self, ConfigurationError> {
        let path = home.join(FILE);
        let mut table = match std::fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Table::new(),
            Err(source) => return Err(ConfigurationError::Read { path, source }),
            Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
                return Err(ConfigurationError::TooLong { path, limit: FILE_BYTES_MAX });
            }
            Ok(_) => read(&path)?,
        };
        for text in overrides {
            let over = read_override(text)?;
            if let Some(key) = FILES_ALONE.iter().find(|key| over.contains_key(**key)) {
                return Err(ConfigurationError::FilesAlone { key: (*key).to_owned() });
            }
            put(&mut table, over);
        }
        Ok(Self { table })
    }

    /// All providers.
    ///
    /// # Errors
    /// Where a table of one cannot be read.
    pub fn providers(&self) -> Result<Providers, ConfigError> {
        Providers::read(&self.table)
    }

    /// The id of the provider, where nothing else says it.
    ///
    /// # Errors
    /// Where it is of another kind.
    pub fn provider(&self) -> Result<&str, ConfigurationError> {
        Ok(self.text("model_provider")?.unwrap_or(DEFAULT_PROVIDER))
    }

    /// The model.
    ///
    /// # Errors
    /// Where it is of another kind.
    pub fn model(&self) -> Result<Option<&str>, ConfigurationError> {
        self.text("model")
    }

    /// The profile.
    ///
    /// # Errors
    /// Where it is of another kind.
    pub fn profile(&self) -> Result<Option<&str>, ConfigurationError> {
        self.text("default_permissions")
    }

    /// How much a model is to reason.
    ///
    /// # Errors
    /// Where it is no such word.
    pub fn effort(&self) -> Result<Option<Effort>, ConfigurationError> {
        self.word("model_reasoning_effort", "none, minimal, low, medium, high or xhigh")
    }

    /// When the person is asked.
    ///
    /// # Errors
    /// Where it is no such word.
    pub fn approval(&self) -> Result<Option<Approval>, ConfigurationError> {
        // A word of other programs for what is asked when a command fails; here that is a request.
        if self.table.get("approval_policy").and_then(Value::as_str) == Some("on-failure") {
            return Ok(Some(Approval::OnRequest));
        }
        // A table says which questions are asked: it is read with the rules.
        if self.table.get("approval_policy").is_some_and(Value::is_table) {
            return Ok(None);
        }
        self.word("approval_policy", "untrusted, on-request, never or granular")
    }

    /// Tokens above which a conversation is summarized, where the configuration knows.
    ///
    /// # Errors
    /// Where a number is none.
    pub fn compact_above(&self) -> Result<Option<u64>, ConfigurationError> {
        let limit = self.number("model_auto_compact_token_limit")?;
        let window = self.number("model_context_window")?;
        Ok(limit.or_else(|| window.map(|window| window.saturating_mul(COMPACT_AT_PERCENT) / 100)))
    }

    /// What tokens cost, by model.
    ///
    /// # Errors
    /// Where a price is none.
    pub fn prices(&self) -> Result<Prices, ConfigurationError> {
        let expected =
            "tables with input, output and currency; cached_input and cache_write_input may be there";
        Ok(self.word("model_prices", expected)?.unwrap_or_default())
    }

    /// What becomes of a command that runs when its agent goes without a word; where a server runs that goes on.
    ///
    /// # Errors
    /// Where it is no such word.
    pub fn left_commands(&self) -> Result<WhenLeft, ConfigurationError> {
        Ok(self.word("left_commands", "end or stay")?.unwrap_or_default())
    }

    fn text(&self, key: &'static str) -> Result<Option<&str>, ConfigurationError> {
        let wrong = ConfigurationError::Kind { key, expected: "text" };
        self.table.get(key).map(|value| value.as_str().ok_or(wrong)).transpose()
    }

    fn number(&self, key: &'static str) -> Result<Option<u64>, ConfigurationError> {
        let read = |value: &Value| value.as_integer().and_then(|number| u64::try_from(number).ok());
        let wrong = ConfigurationError::Kind { key, expected: "a number of tokens" };
        self.table.get(key).map(|value| read(value).ok_or(wrong)).transpose()
    }

    fn word<T: serde::de::DeserializeOwned>(
        &self,
        key: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, ConfigurationError> {
        let wrong = |_| ConfigurationError::Kind { key, expected };
        self.table.get(key).map(|value| value.clone().try_into().map_err(wrong)).transpose()
    }
}

fn read(path: &Path) -> Result<Table, ConfigurationError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigurationError::Read { path: path.to_owned(), source })?;
    text.parse().map_err(|error| ConfigurationError::Toml(Box::new(fault(path, text.clone(), &error))))
}

/// Where the notation is wrong, shown as in any document: without a line in which a key may stand.
fn fault(path: &Path, text: String, error: &toml::de::Error) -> Diagnostic {
    let name = path.display().to_string();
    let document = match Source::new(&name, text.into_bytes(), Format::Toml, Layer::User) {
        Ok(document) => document,
        Err(diagnostic) => return *diagnostic,
    };
    let span = error.span().unwrap_or_default();
    document.diagnostic(Severity::Error, &span, format!("not valid TOML: {}", error.message()))
}

/// `KEY=VALUE` as a table. A value that is no TOML is text.
fn read_override(text: &str) -> Result<Table, ConfigurationError> {
    let wrong = || ConfigurationError::Override { text: text.to_owned() };
    let (key, value) = text.split_once('=').ok_or_else(wrong)?;
    if key.contains(['\n', '\r']) {
        return Err(wrong());
    }
    let one = |value: &str| format!("{key} = {value}").parse::<Table>().ok().filter(|table| table.len() == 1);
    if let Some(table) = one(value) {
        return Ok(table);
    }
    let mut table = one("\"\"").ok_or_else(wrong)?;
    fill(&mut table, value);
    Ok(table)
}

/// Puts text where a table of one dotted key has its value.
fn fill(table: &mut Table, text: &str) {
    for (_, value) in table.iter_mut() {
        match value {
            Value::Table(inner) => fill(inner, text),
            value => *value = Value::String(text.to_owned()),
        }
    }
}

fn put(table: &mut Table, over: Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(over)) => put(inner, over),
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(overrides: &[&str]) -> Result<Configuration, ConfigurationError> {
        let overrides: Vec<_> = overrides.iter().map(|text| (*text).to_owned()).collect();
        Configuration::read(Path::new("/nowhere"), &overrides)
    }

    #[test]
    fn options_stand_in_place_of_the_file() {
        let home = tempfile::tempdir().unwrap();
        let text = "model = \"a\"\nmodel_context_window = 1000\n[model_providers.x]\nbase_url = \"http://h\"\nname = \"X\"";
        std::fs::write(home.path().join(FILE), text).unwrap();
        let overrides =
            ["model=b", "model_providers.x.base_url=http://i/v1", "model_reasoning_effort=\"high\""];
        let overrides: Vec<_> = overrides.iter().map(|text| (*text).to_owned()).collect();
        let read = Configuration::read(home.path(), &overrides).unwrap();
        assert_eq!(read.model().unwrap(), Some("b"));
        assert_eq!(read.effort().unwrap(), Some(Effort::High));
        assert_eq!(read.compact_above().unwrap(), Some(850));
        let provider = read.table["model_providers"]["x"].as_table().unwrap();
        assert_eq!(provider["base_url"].as_str(), Some("http://i/v1"));
        assert_eq!(provider["name"].as_str(), Some("X"));
    }

    #[test]
    fn values_are_toml_or_text() {
        let cases = [
            ("a=1", Value::Integer(1)),
            ("a=true", Value::Boolean(true)),
            ("a=\"x\"", Value::String("x".to_owned())),
            ("a=x y", Value::String("x y".to_owned())),
            ("a=http://h/v1?b=c", Value::String("http://h/v1?b=c".to_owned())),
            ("a=", Value::String(String::new())),
        ];
        for (text, expect) in cases {
            assert_eq!(read_override(text).unwrap()["a"], expect, "{text}");
        }
        for text in ["a", "=1", "a b=1", "a\nb=1"] {
            assert!(read_override(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_allowed_is_no_option() {
        for text in ["permissions.x.filesystem.\"/\"=write", "requirements.a=1"] {
            assert!(matches!(with(&[text]), Err(ConfigurationError::FilesAlone { .. })), "{text}");
        }
    }

    #[test]
    fn values_of_another_kind_are_refused() {
        assert!(with(&["model=1"]).unwrap().model().is_err());
        assert!(with(&["model_reasoning_effort=hard"]).unwrap().effort().is_err());
        assert!(with(&["model_prices.m.input=1"]).unwrap().prices().is_err());
        assert!(with(&["left_commands=perhaps"]).unwrap().left_commands().is_err());
        assert_eq!(with(&["left_commands=stay"]).unwrap().left_commands().unwrap(), WhenLeft::Stay);
        assert!(with(&["approval_policy=perhaps"]).unwrap().approval().is_err());
        assert!(with(&["model_context_window=-1"]).unwrap().compact_above().is_err());
    }
}
