//! Chat completions, as OpenAI had them and most other servers have: vLLM, LM Studio, llama.cpp, routers.

mod reader;
mod request;

use futures_util::future::LocalBoxFuture;

use super::config::{ConfigError, Definition, Surroundings};
use super::http::{Framing, Http};
use super::openai::{self, Listed};
use super::reader::events;
use super::{Account, Events, Model, ModelError, Prompt, Provider, Retries};

/// A provider that speaks chat completions.
pub(crate) struct Chat {
    id: String,
    http: Http,
    from: Option<String>,
    retries: Retries,
}

impl Chat {
    pub(crate) fn new(
        id: &str,
        definition: &Definition,
        around: &Surroundings<'_>,
    ) -> Result<Self, ConfigError> {
        let Listed { http, from } = Listed::new(id, definition, around)?;
        Ok(Self { id: id.to_owned(), http, from, retries: definition.retries() })
    }
}

impl Provider for Chat {
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
        Box::pin(openai::models(&self.http))
    }

    fn account(&self) -> LocalBoxFuture<'_, Result<Account, ModelError>> {
        Box::pin(openai::account(&self.http, self.from.as_deref()))
    }

    fn respond<'a>(&'a self, prompt: &'a Prompt<'a>) -> LocalBoxFuture<'a, Result<Events, ModelError>> {
        Box::pin(async move {
            let request = self.http.post("chat/completions", &request::body(prompt, &self.id))?;
            let frames = self.http.frames(request, Framing::Events).await?;
            Ok(events(frames, reader::ChatReader::new(&self.id, prompt.items.len())))
        })
    }
}
