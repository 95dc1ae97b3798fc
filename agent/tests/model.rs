//! Providers over HTTP, against a server that answers what real ones were recorded to answer, and what none should.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

#[path = "support/script.rs"]
mod script;

#[path = "model/discovery.rs"]
mod discovery;
#[path = "model/faults.rs"]
mod faults;
#[path = "model/recorded.rs"]
mod recorded;

use std::path::Path;

use futures_util::StreamExt;
use serde_json::json;
use weir_agent::item::{CallId, Item};
use weir_agent::model::config::Surroundings;
use weir_agent::model::{ConfigError, Event, ModelError, Prompt, Provider, Providers};
use weir_agent::tool::ToolSchema;

/// The key of every test. It is looked for wherever it must not be.
const KEY: &str = "sk-test-0123456789";

/// The provider `x` of a configuration.
fn configured(table: &str) -> Result<Box<dyn Provider>, ConfigError> {
    let variable = |name: &str| match name {
        "KEY" => Some(KEY.to_owned()),
        "AWS_ACCESS_KEY_ID" => Some("AKIDEXAMPLE".to_owned()),
        "AWS_SECRET_ACCESS_KEY" => Some(KEY.to_owned()),
        "AWS_SESSION_TOKEN" => Some("session".to_owned()),
        _ => None,
    };
    let around = Surroundings { variable: &variable, home: Path::new("/nowhere") };
    Providers::read(&table.parse().unwrap())?.provider("x", &around)
}

fn at(url: &str, rest: &str) -> Box<dyn Provider> {
    configured(&format!("[model_providers.x]\nbase_url = \"{url}\"\n{rest}"))
        .unwrap_or_else(|error| panic!("{error}"))
}

fn on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Asks a question, with one call behind it, and takes everything that is answered.
fn ask(provider: &dyn Provider) -> Result<Vec<Event>, ModelError> {
    let items = [Item::UserMessage { text: "What is the weather?".to_owned() }];
    let parameters = json!({ "type": "object", "properties": { "city": { "type": "string" } } });
    let tools = [ToolSchema { name: "get_weather", description: "The weather", parameters }];
    let prompt = Prompt {
        model: "some-model:1",
        instructions: "Be brief.",
        items: &items,
        tools: &tools,
        output_schema: None,
        effort: None,
        cache_key: "thread",
    };
    on(async {
        let mut events = provider.respond(&prompt).await?;
        let mut all = Vec::new();
        while let Some(event) = events.next().await {
            all.push(event?);
        }
        Ok(all)
    })
}

fn call(id: &str, tool: &str, arguments: &str) -> Item {
    Item::ToolCall { call: CallId(id.to_owned()), tool: tool.to_owned(), arguments: arguments.to_owned() }
}
