//! OpenAI's tongues, and servers that speak one of them: Responses here, chat completions in [`chat`].

mod listing;
mod reader;
mod request;

use futures_util::future::LocalBoxFuture;

use super::http::Framing;
use super::keyed::Keyed;
use super::{Account, Events, Model, ModelError, Prompt, Provider, Retries, chat};

pub(crate) use listing::models_of;

/// How it is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tongue {
    /// Responses.
    Responses,
    /// Chat completions.
    Chat,
}

/// A provider that speaks one of OpenAI's tongues.
pub(super) struct OpenAi {
    pub(super) server: Keyed,
    pub(super) tongue: Tongue,
}

impl Provider for OpenAi {
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
        Box::pin(listing::models(&self.server.http))
    }

    fn account(&self) -> LocalBoxFuture<'_, Result<Account, ModelError>> {
        Box::pin(self.server.account(listing::models(&self.server.http)))
    }

    fn respond<'a>(&'a self, prompt: &'a Prompt<'a>) -> LocalBoxFuture<'a, Result<Events, ModelError>> {
        match self.tongue {
            Tongue::Responses => Box::pin(respond(&self.server, prompt)),
            Tongue::Chat => Box::pin(chat::respond(&self.server, prompt)),
        }
    }
}

/// Asks once.
async fn respond(server: &Keyed, prompt: &Prompt<'_>) -> Result<Events, ModelError> {
    let request = server.http.post("responses", &request::body(prompt, &server.id))?;
    server.http.events(request, Framing::Events, reader::ResponsesReader::new(&server.id)).await
}
