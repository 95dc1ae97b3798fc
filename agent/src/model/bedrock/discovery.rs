//! What the account may use in its region: asked of Bedrock, never a list of our own.
//!
//! Models that answer on demand go by their own name, others by that of an inference profile. Whether the account has the
//! agreement and the right is asked for each model.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryFutureExt, stream};
use serde_json::Value;

use super::super::{Model, ModelError};
use super::{Bedrock, segment};

/// Models that are asked about at once.
const AT_ONCE: usize = 8;

const MODELS: &str = "foundation-models?byOutputModality=TEXT";
const PROFILES: &str = "inference-profiles?maxResults=1000";

/// A model, and whether it may be used now.
pub(super) struct Found {
    pub(super) model: Model,
    pub(super) usable: bool,
}

impl Bedrock {
    /// All models that stream text in this region, with their state for this account.
    pub(super) async fn discover(&self) -> Result<Vec<Found>, ModelError> {
        let models = self.ask(MODELS).await?;
        // A token may be allowed to ask models and not to list profiles.
        let profiles = match self.ask(PROFILES).await {
            Err(ModelError::Key { .. }) => Value::Null,
            profiles => profiles?,
        };
        let profiles = profiles_of(&profiles);
        let offered = models.get("modelSummaries").and_then(Value::as_array).into_iter().flatten();
        let names: Vec<_> = offered.filter_map(|model| named(model, &profiles)).collect();
        let found = stream::iter(names).map(|(base, model)| self.with_state(base, model)).buffered(AT_ONCE);
        Ok(found.collect().await)
    }

    async fn ask(&self, path: &str) -> Result<Value, ModelError> {
        self.control.whole(self.authorized(self.control.get(path)?)?).await
    }

    async fn with_state(&self, base: String, mut model: Model) -> Found {
        let path = format!("foundation-model-availability/{}", segment(&base));
        let state = match self.ask(&path).map_ok(|said| state_of(&said)).await {
            Ok(state) => state,
            Err(error) => State { usable: false, text: format!("unknown: {error}") },
        };
        model.state = Some(state.text);
        Found { model, usable: state.usable }
    }
}

struct State {
    usable: bool,
    text: String,
}

/// What Bedrock says of a model, in a word; the first thing that stands in the way.
fn state_of(said: &Value) -> State {
    let is = |place: &str, word: &str| said.pointer(place).and_then(Value::as_str) == Some(word);
    let obstacles = [
        ("/regionAvailability", "AVAILABLE", "not in this region"),
        ("/entitlementAvailability", "AVAILABLE", "not open to this account"),
        ("/authorizationStatus", "AUTHORIZED", "not authorized"),
        ("/agreementAvailability/status", "AVAILABLE", "no agreement yet"),
    ];
    match obstacles.into_iter().find(|(place, word, _)| !is(place, word)) {
        None => State { usable: true, text: "usable".to_owned() },
        Some((_, _, text)) => State { usable: false, text: text.to_owned() },
    }
}

/// The first active profile for each model, by the model's name.
fn profiles_of(list: &Value) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let profiles = list.get("inferenceProfileSummaries").and_then(Value::as_array).into_iter().flatten();
    for profile in profiles {
        let text = |key: &str| profile.get(key).and_then(Value::as_str);
        let (Some(id), Some("ACTIVE")) = (text("inferenceProfileId"), text("status")) else { continue };
        for model in profile.get("models").and_then(Value::as_array).into_iter().flatten() {
            let arn = model.get("modelArn").and_then(Value::as_str).unwrap_or_default();
            if let Some((_, model)) = arn.rsplit_once('/') {
                found.entry(model.to_owned()).or_insert_with(|| id.to_owned());
            }
        }
    }
    found
}

/// A model's own name, and the model under the name that a request takes.
fn named(summary: &Value, profiles: &BTreeMap<String, String>) -> Option<(String, Model)> {
    let text = |key: &str| summary.get(key).and_then(Value::as_str);
    let id = text("modelId")?;
    let streams = summary.get("responseStreamingSupported").and_then(Value::as_bool) == Some(true);
    let current = summary.pointer("/modelLifecycle/status").and_then(Value::as_str) != Some("LEGACY");
    let ways = summary.get("inferenceTypesSupported").and_then(Value::as_array);
    let on_demand = ways.is_some_and(|ways| ways.iter().any(|way| way.as_str() == Some("ON_DEMAND")));
    let name = if on_demand { id } else { profiles.get(id)? };
    let title = [text("providerName"), text("modelName")].into_iter().flatten().collect::<Vec<_>>().join(" ");
    (streams && current).then(|| (id.to_owned(), Model { name: title, ..Model::named(name) }))
}
