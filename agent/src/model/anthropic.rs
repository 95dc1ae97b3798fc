//! Anthropic's Messages.

mod reader;
mod request;

use futures_util::future::LocalBoxFuture;

use super::config::{ConfigError, Definition, Surroundings};
use super::http::{Framing, Http, HttpError};
use super::openai::models_of;
use super::reader::events;
use super::{Account, Events, Model, ModelError, Prompt, Provider, Retries};

/// The version of the API that is spoken.
const VERSION: &str = "2023-06-01";

/// Models that are asked for at once; the API gives no more.
const PAGE: &str = "models?limit=1000";

/// A provider that speaks Messages.
pub(crate) struct Anthropic {
    id: String,
    http: Http,
    from: Option<String>,
    retries: Retries,
    max_output_tokens: u32,
}

impl Anthropic {
    pub(crate) fn new(
        id: &str,
        definition: &Definition,
        around: &Surroundings<'_>,
    ) -> Result<Self, ConfigError> {
        let failed = |source: HttpError| ConfigError::Http { id: id.to_owned(), source };
        let mut http = definition.http(id, around)?;
        http.header("anthropic-version", VERSION).map_err(failed)?;
        let key = definition.key(id, around)?;
        if let Some(key) = &key {
            http.header("x-api-key", key.expose()).map_err(failed)?;
        }
        let max_output_tokens = definition.max_output_tokens.unwrap_or(request::OUTPUT_TOKENS);
        let from = key.map(|key| key.from().to_owned());
        Ok(Self { id: id.to_owned(), http, from, retries: definition.retries(), max_output_tokens })
    }

    async fn list(&self) -> Result<Vec<Model>, ModelError> {
        Ok(models_of(&self.http.whole(self.http.get(PAGE)?).await?))
    }
}

impl Provider for Anthropic {
    fn id(&self) -> &str {
        &self.id
    }

    fn ports(&self) -> Vec<u16> {
        self.http.ports()
    }

    fn retries(&self) -> Retries {
        self.retries
    }

    fn models(&self) -> LocalBoxFuture<'_, Result<Vec<Model>, ModelError>> {
        Box::pin(self.list())
    }

    fn account(&self) -> LocalBoxFuture<'_, Result<Account, ModelError>> {
        Box::pin(async {
            let Some(from) = self.from.clone() else { return Ok(Account::Local) };
            match self.list().await {
                Ok(_) => Ok(Account::Key { from, accepted: true }),
                Err(ModelError::Key { .. }) => Ok(Account::Key { from, accepted: false }),
                Err(error) => Err(error),
            }
        })
    }

    fn respond<'a>(&'a self, prompt: &'a Prompt<'a>) -> LocalBoxFuture<'a, Result<Events, ModelError>> {
        Box::pin(async move {
            let body = request::body(prompt, &self.id, self.max_output_tokens);
            let frames = self.http.frames(self.http.post("messages", &body)?, Framing::Events).await?;
            Ok(events(frames, reader::MessagesReader::new(&self.id)))
        })
    }
}
