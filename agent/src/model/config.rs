//! `[model_providers.X]` of the configuration, as people have it, and the providers that need none.
//!
//! A table of an id that Weir knows changes what is written of it. Reads keys from variables and files; asks nobody.

mod built_in;
mod definition;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::http::HttpError;
use super::keyed::Keyed;
use super::ollama::Ollama;
use super::openai::{OpenAi, Tongue};
use super::secret::{Secret, SecretError};
use super::{Provider, ReplayError, anthropic, bedrock, replay};

pub(crate) use definition::{Definition, WireApi};

/// The provider where nothing says otherwise.
pub const DEFAULT_PROVIDER: &str = "openai";

/// Why a provider cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key that is not a table.
    #[error("`{key}` must be a table")]
    NotATable {
        /// The key.
        key: String,
    },
    /// A table that cannot be read.
    #[error("[model_providers.{id}]: {}", without_value(.source.message()))]
    Table {
        /// The provider.
        id: String,
        /// Why.
        source: toml::de::Error,
    },
    /// Nobody of that name.
    #[error("there is no model provider {id:?}; there are {}", .known.join(", "))]
    UnknownProvider {
        /// What was asked for.
        id: String,
        /// What there is.
        known: Vec<String>,
    },
    /// What the table must say and does not.
    #[error("[model_providers.{id}] needs `{key}`")]
    Missing {
        /// The provider.
        id: String,
        /// The key.
        key: &'static str,
    },
    /// Keys from two places.
    #[error("[model_providers.{id}] names more than one place for the key: {}", .keys.join(", "))]
    Contradiction {
        /// The provider.
        id: String,
        /// The keys of the table that exclude each other.
        keys: Vec<&'static str>,
    },
    /// A program that is to say the key.
    #[error(
        "[model_providers.{id}]: `auth.command` is not run, for the agent starts no program; put the key into a variable \
         (`env_key`) or a file of mode 600 (`key_file`) before weir starts"
    )]
    AuthCommand {
        /// The provider.
        id: String,
    },
    /// No region.
    #[error("[model_providers.{id}] needs `aws.region`, or the variable AWS_REGION")]
    NoRegion {
        /// The provider.
        id: String,
    },
    /// No credentials of Amazon.
    #[error(
        "[model_providers.{id}] finds no credentials: AWS_BEARER_TOKEN_BEDROCK, AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY, \
         or the profile {profile:?} in {}", .file.display()
    )]
    NoCredentials {
        /// The provider.
        id: String,
        /// The profile that was looked for.
        profile: String,
        /// Where it was looked for.
        file: PathBuf,
    },
    /// A key.
    #[error("[model_providers.{id}]: {source}")]
    Secret {
        /// The provider.
        id: String,
        /// Why.
        source: SecretError,
    },
    /// Address or headers.
    #[error("[model_providers.{id}]: {source}")]
    Http {
        /// The provider.
        id: String,
        /// Why.
        source: HttpError,
    },
    /// What is recorded.
    #[error("[model_providers.{id}]: {source}")]
    Replay {
        /// The provider.
        id: String,
        /// Why.
        source: ReplayError,
    },
}

/// A message about a value of another kind, without the value: it may be a key that stands in the wrong place.
fn without_value(message: &str) -> String {
    match (message.split_once("string \""), message.rsplit_once("\", expected ")) {
        (Some((before, _)), Some((_, expected))) => format!("{before}text, expected {expected}"),
        _ => message.to_owned(),
    }
}

/// What surrounds the configuration: variables, and where relative paths begin.
pub struct Surroundings<'a> {
    /// A variable's value.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Where the configuration lies.
    pub home: &'a Path,
}

/// All providers that are configured or known.
pub struct Providers {
    definitions: BTreeMap<String, Definition>,
}

impl Providers {
    /// Reads `[model_providers]`, and `openai_base_url` for the provider that needs no table.
    ///
    /// # Errors
    /// Where a table cannot be read; unknown keys are errors.
    pub fn read(config: &Table) -> Result<Self, ConfigError> {
        let mut tables = built_in::tables();
        if let Some(Value::String(url)) = config.get("openai_base_url")
            && let Some(table) = tables.get_mut(DEFAULT_PROVIDER)
        {
            table.insert("base_url".to_owned(), Value::String(url.clone()));
        }
        for (id, table) in table_of(config, "model_providers")? {
            let Value::Table(table) = table else {
                return Err(ConfigError::NotATable { key: format!("model_providers.{id}") });
            };
            tables.entry(id.clone()).or_default().extend(table.clone());
        }
        let read = |(id, table): (String, Table)| {
            let definition =
                table.try_into().map_err(|source| ConfigError::Table { id: id.clone(), source })?;
            Ok((id, definition))
        };
        Ok(Self { definitions: tables.into_iter().map(read).collect::<Result<_, _>>()? })
    }

    /// The ids.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.definitions.keys().map(String::as_str)
    }

    /// A provider's name for people.
    #[must_use]
    pub fn name<'a>(&'a self, id: &'a str) -> &'a str {
        self.definitions.get(id).map_or(id, |definition| definition.name(id))
    }

    /// The variables in which keys are: whoever starts a command keeps them from it.
    #[must_use]
    pub fn secret_variables(&self) -> Vec<String> {
        let written = self.definitions.values().flat_map(Definition::secret_variables);
        let mut all: Vec<_> = written.chain(built_in::SECRET_VARIABLES.map(str::to_owned)).collect();
        all.sort();
        all.dedup();
        all
    }

    /// A provider, with its key.
    ///
    /// # Errors
    /// Every [`ConfigError`].
    pub fn provider(&self, id: &str, around: &Surroundings<'_>) -> Result<Box<dyn Provider>, ConfigError> {
        let Some(definition) = self.definitions.get(id) else {
            let known = self.ids().map(str::to_owned).collect();
            return Err(ConfigError::UnknownProvider { id: id.to_owned(), known });
        };
        definition.check(id)?;
        let server = || Keyed::bearer(id, definition, around);
        let open_ai = |tongue| server().map(|server| OpenAi { server, tongue });
        Ok(match definition.wire_api {
            WireApi::Responses => Box::new(open_ai(Tongue::Responses)?),
            WireApi::Chat => Box::new(open_ai(Tongue::Chat)?),
            WireApi::Anthropic => Box::new(anthropic::Anthropic::new(id, definition, around)?),
            WireApi::Bedrock => Box::new(bedrock::Bedrock::new(id, definition, around)?),
            WireApi::Ollama => Box::new(Ollama { server: server()? }),
            WireApi::Replay => Box::new(replay::Replay::new(id, definition, around)?),
        })
    }
}

fn table_of(config: &Table, key: &str) -> Result<Table, ConfigError> {
    match config.get(key) {
        None => Ok(Table::new()),
        Some(Value::Table(table)) => Ok(table.clone()),
        Some(_) => Err(ConfigError::NotATable { key: key.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn providers(text: &str) -> Result<Providers, String> {
        Providers::read(&text.parse::<Table>().unwrap()).map_err(|error| error.to_string())
    }

    fn made(text: &str, id: &str, variables: &[(&str, &str)]) -> Result<(), String> {
        let variable =
            |name: &str| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
        let around = Surroundings { variable: &variable, home: Path::new("/nowhere") };
        providers(text)?.provider(id, &around).map(|_| ()).map_err(|error| error.to_string())
    }

    #[test]
    fn tables_as_people_have_them_are_taken() {
        let azure = r#"
            [model_providers.azure]
            name = "Azure"
            base_url = "https://project.example.net/openai"
            env_key = "AZURE_OPENAI_API_KEY"
            wire_api = "responses"
            query_params = { api-version = "2025-04-01-preview" }
            http_headers = { "X-Example-Header" = "example-value" }
            env_http_headers = { "X-Example-Features" = "EXAMPLE_FEATURES" }
            request_max_retries = 4
            stream_max_retries = 10
            stream_idle_timeout_ms = 300000
            requires_openai_auth = false
            supports_websockets = false
        "#;
        assert_eq!(made(azure, "azure", &[("AZURE_OPENAI_API_KEY", "k")]), Ok(()));
        let local = "[model_providers.local]\nname = \"vLLM\"\nbase_url = \"http://localhost:8000/v1\"\nwire_api = \"chat\"";
        assert_eq!(made(local, "local", &[]), Ok(()));
        for id in ["ollama", "lmstudio"] {
            assert_eq!(made("", id, &[]), Ok(()), "{id}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_said() {
        let table = |rest: &str| format!("[model_providers.x]\nbase_url = \"http://127.0.0.1:1\"\n{rest}");
        let cases = [
            (table("base_ulr = \"y\""), "base_ulr"),
            (table("wire_api = \"smoke\""), "smoke"),
            (
                table("env_key = \"NOT_SET\"\nenv_key_instructions = \"ask Bob\""),
                "NOT_SET, which is not set: ask Bob",
            ),
            (table("env_key = \"A\"\nexperimental_bearer_token = \"b\""), "more than one place"),
            (table("auth = { command = \"get-token\" }"), "starts no program"),
            (table("http_headers = { \"a b\" = \"c\" }"), "no name of a header"),
            ("[model_providers.x]\nbase_url = \"ftp://h\"".to_owned(), "no address"),
            ("[model_providers.x]\nwire_api = \"chat\"".to_owned(), "needs `base_url`"),
            ("[model_providers.x]\nwire_api = \"replay\"".to_owned(), "needs `file`"),
            ("[model_providers.x]\nwire_api = \"bedrock\"".to_owned(), "AWS_REGION"),
            ("model_providers = 1".to_owned(), "must be a table"),
            ("[model_providers]\nx = 1".to_owned(), "must be a table"),
            (table("http_headers = \"sk-SECRET\""), "invalid type: text, expected a map"),
            (
                "[model_providers.x]\nbase_url = \"ht!tp://user:sk-SECRET@h/v1?key=sk-SECRET\"".to_owned(),
                "`base_url` \"ht!tp://…@h/v1\" is no address",
            ),
            ("[model_providers.x]\nbase_url = \"http://user:sk/SECRET@h\"".to_owned(), "\"http://…@h\""),
        ];
        for (text, expect) in cases {
            let error = made(&text, "x", &[]).expect_err(&text);
            assert!(error.contains(expect) && !error.contains("SECRET"), "{text}\n{error}");
        }
        let error = made("", "opnai", &[]).expect_err("unknown");
        assert!(error.contains("amazon-bedrock, anthropic"), "{error}");
        assert!(made("", "openai", &[]).expect_err("no key").contains("OPENAI_API_KEY"));
        assert_eq!(made("", "openai", &[("CODEX_API_KEY", "k")]), Ok(()));
    }

    #[test]
    fn variables_with_keys_are_known() {
        let names =
            providers("[model_providers.x]\nenv_key = \"MINE\"\nenv_http_headers = { A = \"ALSO_MINE\" }")
                .map(|providers| providers.secret_variables())
                .unwrap();
        for name in ["MINE", "ALSO_MINE", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "CODEX_API_KEY"] {
            assert!(names.iter().any(|found| found == name), "{name}");
        }
    }
}
