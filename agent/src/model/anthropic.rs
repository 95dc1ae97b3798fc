//! Anthropic's Messages.

mod reader;
mod request;

use futures_util::future::LocalBoxFuture;

use super::config::{ConfigError, Definition, Surroundings};
use super::http::{Framing, Http, HttpError};
use super::keyed::Keyed;
use super::openai::models_of;
use super::secret::Secret;
use super::{Account, Events, Model, ModelError, Prompt, Provider, Retries};

/// The version of the API that is spoken.
const VERSION: &str = "2023-06-01";

/// Models that are asked for at once; the API gives no more.
const PAGE: &str = "models?limit=1000";

/// A provider that speaks Messages.
pub(crate) struct Anthropic {
    server: Keyed,
    max_output_tokens: u32,
}

impl Anthropic {
    pub(crate) fn new(
        id: &str,
        definition: &Definition,
        around: &Surroundings<'_>,
    ) -> Result<Self, ConfigError> {
        let show = |http: &mut Http, key: &Secret| http.secret_header("x-api-key", key.expose());
        let mut server = Keyed::new(id, definition, around, show)?;
        let failed = |source: HttpError| ConfigError::Http { id: id.to_owned(), source };
        server.http.header("anthropic-version", VERSION).map_err(failed)?;
        let max_output_tokens = definition.max_output_tokens.unwrap_or(request::OUTPUT_TOKENS);
        Ok(Self { server, max_output_tokens })
    }

    async fn list(&self) -> Result<Vec<Model>, ModelError> {
        let Keyed { http, .. } = &self.server;
        Ok(models_of(&http.whole(http.get(PAGE)?).await?))
    }
}

impl Provider for Anthropic {
    fn id(&self) -> &str {
        &self.server.id
    }

    fn ports(&self) -> Vec<u16> {
        self.server.http.ports()
    }

    fn retries(&self) -> Retries {
        self.server.retries
    }

    fn models(&self) -> LocalBoxFuture<'_, Result<Vec<Model>, ModelError>> {
        Box::pin(self.list())
    }

    fn account(&self) -> LocalBoxFuture<'_, Result<Account, ModelError>> {
        Box::pin(self.server.account(self.list()))
    }

    fn respond<'a>(&'a self, prompt: &'a Prompt<'a>) -> LocalBoxFuture<'a, Result<Events, ModelError>> {
        Box::pin(async move {
            let Keyed { id, http, .. } = &self.server;
            let body = request::body(prompt, id, self.max_output_tokens);
            let request = http.post("messages", &body)?;
            http.events(request, Framing::Events, reader::MessagesReader::new(id)).await
        })
    }
}
