//! One table of `[model_providers]`: its keys, and what of them excludes what.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::super::http::{Http, HttpError};
use super::super::retry::Retries;
use super::{ConfigError, Secret, SecretError, Surroundings};

/// How long nothing may come, where the table does not say, in milliseconds.
const IDLE_MS: u64 = 300_000;

/// Variables for the key of a provider with `requires_openai_auth`, the first that is set. The first is what programs set that
/// drive the command line.
const OPENAI_VARIABLES: [&str; 2] = ["CODEX_API_KEY", "OPENAI_API_KEY"];

/// What a provider speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WireApi {
    /// OpenAI's Responses.
    #[default]
    Responses,
    /// Chat completions, as most servers have them.
    Chat,
    /// Anthropic's Messages.
    Anthropic,
    /// Amazon's Converse.
    Bedrock,
    /// Ollama's own.
    Ollama,
    /// A recorded session.
    Replay,
}

/// One table. Has no `Debug`: there may be keys in it.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Definition {
    name: Option<String>,
    base_url: Option<String>,
    env_key: Option<String>,
    env_key_instructions: Option<String>,
    experimental_bearer_token: Option<SecretString>,
    key_file: Option<PathBuf>,
    auth: Option<IgnoredAny>,
    pub(crate) aws: Option<Aws>,
    pub(crate) wire_api: WireApi,
    query_params: BTreeMap<String, String>,
    http_headers: BTreeMap<String, SecretString>,
    env_http_headers: BTreeMap<String, String>,
    request_max_retries: Option<u32>,
    stream_max_retries: Option<u32>,
    stream_idle_timeout_ms: Option<u64>,
    requires_openai_auth: bool,
    /// The most that a model may write, where a request must say so, in tokens.
    pub(crate) max_output_tokens: Option<u32>,
    /// What is recorded.
    pub(crate) file: Option<PathBuf>,
    /// Of other programs: Weir speaks HTTP.
    #[serde(rename = "websocket_connect_timeout_ms")]
    _websocket_connect_timeout_ms: Option<IgnoredAny>,
    #[serde(rename = "supports_websockets")]
    _supports_websockets: Option<IgnoredAny>,
}

/// `aws` of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Aws {
    /// The profile in the shared credentials file.
    pub(crate) profile: Option<String>,
    /// The region.
    pub(crate) region: Option<String>,
}

impl Definition {
    /// Whether what is written goes together.
    pub(super) fn check(&self, id: &str) -> Result<(), ConfigError> {
        if self.auth.is_some() {
            return Err(ConfigError::AuthCommand { id: id.to_owned() });
        }
        let places = [
            ("env_key", self.env_key.is_some()),
            ("experimental_bearer_token", self.experimental_bearer_token.is_some()),
            ("key_file", self.key_file.is_some()),
            ("aws.profile", self.aws.as_ref().is_some_and(|aws| aws.profile.is_some())),
        ];
        let keys: Vec<_> = places.iter().filter(|(_, written)| *written).map(|(key, _)| *key).collect();
        if keys.len() > 1 {
            return Err(ConfigError::Contradiction { id: id.to_owned(), keys });
        }
        Ok(())
    }

    /// Its name for people.
    pub(crate) fn name<'a>(&'a self, id: &'a str) -> &'a str {
        self.name.as_deref().unwrap_or(id)
    }

    /// The variables that it reads keys from.
    pub(super) fn secret_variables(&self) -> impl Iterator<Item = String> {
        self.env_key.iter().chain(self.env_http_headers.values()).cloned()
    }

    /// How often it is asked again.
    pub(crate) fn retries(&self) -> Retries {
        let default = Retries::default();
        let bounded = |written: Option<u32>, default| written.unwrap_or(default).min(Retries::MAX);
        Retries {
            request: bounded(self.request_max_retries, default.request),
            stream: bounded(self.stream_max_retries, default.stream),
        }
    }

    /// Its key, where it has one. A local server needs none.
    pub(crate) fn key(&self, id: &str, around: &Surroundings<'_>) -> Result<Option<Secret>, ConfigError> {
        self.find_key(around).map_err(|source| ConfigError::Secret { id: id.to_owned(), source })
    }

    fn find_key(&self, around: &Surroundings<'_>) -> Result<Option<Secret>, SecretError> {
        if let Some(variable) = &self.env_key {
            let found = Secret::of_variable(variable, around.variable)?;
            return found.map(Some).ok_or_else(|| self.unset(variable));
        }
        if let Some(token) = &self.experimental_bearer_token {
            return Secret::new(token.expose_secret(), "experimental_bearer_token").map(Some);
        }
        if let Some(path) = &self.key_file {
            return Secret::of_file(&around.home.join(path)).map(Some);
        }
        if !self.requires_openai_auth {
            return Ok(None);
        }
        for variable in OPENAI_VARIABLES {
            if let Some(found) = Secret::of_variable(variable, around.variable)? {
                return Ok(Some(found));
            }
        }
        Err(self.unset("OPENAI_API_KEY"))
    }

    fn unset(&self, variable: &str) -> SecretError {
        SecretError::Unset { variable: variable.to_owned(), instructions: self.env_key_instructions.clone() }
    }

    /// Its address, headers and parameters, without the key.
    pub(crate) fn http(&self, id: &str, around: &Surroundings<'_>) -> Result<Http, ConfigError> {
        let missing = || ConfigError::Missing { id: id.to_owned(), key: "base_url" };
        let base = self.base_url.as_deref().ok_or_else(missing)?;
        self.http_at(id, base, around)
    }

    /// The same at another address, unless the table names one.
    pub(crate) fn http_at(
        &self,
        id: &str,
        base: &str,
        around: &Surroundings<'_>,
    ) -> Result<Http, ConfigError> {
        let base = self.base_url.as_deref().unwrap_or(base);
        self.assemble(base, around).map_err(|source| ConfigError::Http { id: id.to_owned(), source })
    }

    fn assemble(&self, base: &str, around: &Surroundings<'_>) -> Result<Http, HttpError> {
        let idle = Duration::from_millis(self.stream_idle_timeout_ms.unwrap_or(IDLE_MS));
        let mut http = Http::new(base, idle)?;
        for (name, value) in &self.http_headers {
            http.secret_header(name, value.expose_secret())?;
        }
        for (name, variable) in &self.env_http_headers {
            // As with other programs: what is not set, or empty, is not sent.
            if let Some(value) = (around.variable)(variable).filter(|value| !value.trim().is_empty()) {
                http.secret_header(name, &value)?;
            }
        }
        for (name, value) in &self.query_params {
            http.query(name, value);
        }
        Ok(http)
    }
}
