//! Ollama's own API: what it can say of models and windows, its other tongue cannot.

mod reader;
mod request;

use futures_util::future::LocalBoxFuture;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::config::{ConfigError, Definition, Surroundings};
use super::http::{Framing, Http, HttpError};
use super::reader::events;
use super::{Account, Events, Model, ModelError, Prompt, Provider, Retries};

/// Models that are asked about at once.
const AT_ONCE: usize = 4;

/// A provider that speaks Ollama's API.
pub(crate) struct Ollama {
    id: String,
    http: Http,
    from: Option<String>,
    retries: Retries,
}

impl Ollama {
    pub(crate) fn new(
        id: &str,
        definition: &Definition,
        around: &Surroundings<'_>,
    ) -> Result<Self, ConfigError> {
        let mut http = definition.http(id, around)?;
        let key = definition.key(id, around)?;
        if let Some(key) = &key {
            http.bearer(key).map_err(|source: HttpError| ConfigError::Http { id: id.to_owned(), source })?;
        }
        let from = key.map(|key| key.from().to_owned());
        Ok(Self { id: id.to_owned(), http, from, retries: definition.retries() })
    }

    async fn list(&self) -> Result<Vec<Model>, ModelError> {
        let list = self.http.whole(self.http.get("api/tags")?).await?;
        let names = list.get("models").and_then(Value::as_array).into_iter().flatten();
        let names: Vec<_> = names.filter_map(|model| Some(model.get("name")?.as_str()?.to_owned())).collect();
        let described = stream::iter(names).map(|name| self.described(name)).buffered(AT_ONCE);
        Ok(described.collect().await)
    }

    /// A model with its window, where the server says what it is.
    async fn described(&self, name: String) -> Model {
        let mut model = Model::named(&name);
        let Ok(request) = self.http.post("api/show", &json!({ "model": name })) else { return model };
        if let Ok(shown) = self.http.whole(request).await {
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
            let listed = self.http.whole(self.http.get("api/tags")?).await;
            match (self.from.clone(), listed) {
                (None, Ok(_)) => Ok(Account::Local),
                (Some(from), Ok(_)) => Ok(Account::Key { from, accepted: true }),
                (Some(from), Err(ModelError::Key { .. })) => Ok(Account::Key { from, accepted: false }),
                (_, Err(error)) => Err(error),
            }
        })
    }

    fn respond<'a>(&'a self, prompt: &'a Prompt<'a>) -> LocalBoxFuture<'a, Result<Events, ModelError>> {
        Box::pin(async move {
            let request = self.http.post("api/chat", &request::body(prompt, &self.id))?;
            let frames = self.http.frames(request, Framing::Lines).await?;
            Ok(events(frames, reader::OllamaReader::new(prompt.items.len())))
        })
    }
}
