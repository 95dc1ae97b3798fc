//! Ollama's own API: what it can say of models and windows, its other tongue cannot.

mod reader;
mod request;

use futures_util::future::LocalBoxFuture;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::http::Framing;
use super::keyed::Keyed;
use super::{Account, Events, Model, ModelError, Prompt, Provider, Retries};

/// Models that are asked about at once.
const AT_ONCE: usize = 4;

/// A provider that speaks Ollama's API.
pub(super) struct Ollama {
    pub(super) server: Keyed,
}

impl Ollama {
    /// What the server has, as it tells it.
    async fn tags(&self) -> Result<Value, ModelError> {
        self.server.http.whole(self.server.http.get("api/tags")?).await
    }

    async fn list(&self) -> Result<Vec<Model>, ModelError> {
        let list = self.tags().await?;
        let names = list.get("models").and_then(Value::as_array).into_iter().flatten();
        let names: Vec<_> = names.filter_map(|model| Some(model.get("name")?.as_str()?.to_owned())).collect();
        let described = stream::iter(names).map(|name| self.described(name)).buffered(AT_ONCE);
        Ok(described.collect().await)
    }

    /// A model with its window, where the server says what it is.
    async fn described(&self, name: String) -> Model {
        let mut model = Model::named(&name);
        let Ok(request) = self.server.http.post("api/show", &json!({ "model": name })) else { return model };
        if let Ok(shown) = self.server.http.whole(request).await {
            let facts = shown.get("model_info").and_then(Value::as_object);
            let window =
                facts.and_then(|facts| facts.iter().find(|(key, _)| key.ends_with(".context_length")));
            model.context_window = window.and_then(|(_, value)| value.as_u64());
        }
        model
    }
}

impl Provider for Ollama {
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
        Box::pin(async {
            if self.server.has_key() {
                return self.server.account(self.tags()).await;
            }
            // One that does not run is nobody's.
            self.tags().await.map(|_| Account::Local)
        })
    }

    fn respond<'a>(&'a self, prompt: &'a Prompt<'a>) -> LocalBoxFuture<'a, Result<Events, ModelError>> {
        Box::pin(async move {
            let Keyed { id, http, .. } = &self.server;
            let request = http.post("api/chat", &request::body(prompt, id))?;
            http.events(request, Framing::Lines, reader::OllamaReader::new(prompt.items.len())).await
        })
    }
}
