//! OpenAI's Responses, and servers that speak it.

mod listing;
mod reader;
mod request;

use futures_util::future::LocalBoxFuture;

use super::config::{ConfigError, Definition, Surroundings};
use super::http::{Framing, Http};
use super::reader::events;
use super::{Account, Events, Model, ModelError, Prompt, Provider, Retries};

pub(crate) use listing::{Listed, account, models, models_of};

/// A provider that speaks Responses.
pub(crate) struct Responses {
    id: String,
    http: Http,
    from: Option<String>,
    retries: Retries,
}

impl Responses {
    pub(crate) fn new(
        id: &str,
        definition: &Definition,
        around: &Surroundings<'_>,
    ) -> Result<Self, ConfigError> {
        let Listed { http, from } = Listed::new(id, definition, around)?;
        Ok(Self { id: id.to_owned(), http, from, retries: definition.retries() })
    }
}

impl Provider for Responses {
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
        Box::pin(listing::models(&self.http))
    }

    fn account(&self) -> LocalBoxFuture<'_, Result<Account, ModelError>> {
        Box::pin(listing::account(&self.http, self.from.as_deref()))
    }

    fn respond<'a>(&'a self, prompt: &'a Prompt<'a>) -> LocalBoxFuture<'a, Result<Events, ModelError>> {
        Box::pin(async move {
            let request = self.http.post("responses", &request::body(prompt, &self.id))?;
            let frames = self.http.frames(request, Framing::Events).await?;
            Ok(events(frames, reader::ResponsesReader::new(&self.id)))
        })
    }
}
