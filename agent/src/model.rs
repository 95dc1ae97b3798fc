//! Models, behind one trait: what a turn asks of a provider, and what comes back.
//!
//! A provider is one file that makes a request of a [`Prompt`] and events of what is answered; `http` carries both, for all
//! of them. Nothing here runs anything, keeps a conversation or decides what a model may do. Callers: [`crate::turn`], `weir
//! models`.

mod anthropic;
mod bedrock;
mod chat;
pub mod config;
mod error;
mod http;
mod keyed;
mod ollama;
mod openai;
mod price;
mod reader;
mod replay;
mod retry;
mod secret;
mod telling;

use futures_util::future::LocalBoxFuture;
use futures_util::stream::LocalBoxStream;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::item::{Item, Usage};
use crate::tool::ToolSchema;

pub use config::{ConfigError, Providers};
pub use error::{Again, FrameError, ModelError};
pub use price::{Price, Prices};
pub use replay::{Recorded, Replay, ReplayError};
pub use retry::{Backoff, Came, Retries};

/// What is answered, as it comes. Ends after [`Event::Done`] or the first error.
pub type Events = LocalBoxStream<'static, Result<Event, ModelError>>;

/// One provider: whom it is asked of, what it offers, how it answers.
pub trait Provider {
    /// Its id in the configuration.
    fn id(&self) -> &str;

    /// How often it may be asked again, and how.
    fn retries(&self) -> Retries;

    /// TCP ports that its requests go to, a proxy's included: the agent can reach no others. None where it asks nobody.
    fn ports(&self) -> Vec<u16> {
        Vec::new()
    }

    /// The models that may be used with this key, in this place. Asks the provider; no list of our own.
    ///
    /// # Errors
    /// As for [`Provider::respond`].
    fn models(&self) -> LocalBoxFuture<'_, Result<Vec<Model>, ModelError>>;

    /// Who pays, as far as it can be told.
    ///
    /// # Errors
    /// As for [`Provider::respond`].
    fn account(&self) -> LocalBoxFuture<'_, Result<Account, ModelError>>;

    /// Asks once. Dropping the events ends the request.
    ///
    /// # Errors
    /// Every [`ModelError`]; those in the stream come as its last event.
    fn respond<'a>(&'a self, prompt: &'a Prompt<'a>) -> LocalBoxFuture<'a, Result<Events, ModelError>>;
}

/// What a model is asked.
#[derive(Debug, Clone, Copy)]
pub struct Prompt<'a> {
    /// The model's name at the provider.
    pub model: &'a str,
    /// What it is to be and to keep to.
    pub instructions: &'a str,
    /// The conversation, from the last compaction on.
    pub items: &'a [Item],
    /// What it may call.
    pub tools: &'a [ToolSchema],
    /// What its last message must be an instance of (JSON Schema).
    pub output_schema: Option<&'a Value>,
    /// How much it is to reason.
    pub effort: Option<Effort>,
    /// What requests of one conversation have in common, for the provider's cache.
    pub cache_key: &'a str,
}

#[cfg(test)]
impl<'a> Prompt<'a> {
    /// One that says nothing beyond its conversation.
    pub(crate) const fn plain(items: &'a [Item]) -> Self {
        let (tools, output_schema, effort) = (&[], None, None);
        Self { model: "m", instructions: "be", items, tools, output_schema, effort, cache_key: "t" }
    }
}

/// How much a model is to reason. Providers that know other words are told the nearest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    /// Not at all.
    None,
    /// As little as it can.
    Minimal,
    /// Little.
    Low,
    /// As usual.
    Medium,
    /// Much.
    High,
    /// As much as it can.
    XHigh,
}

impl Effort {
    /// The word of the configuration and of the Responses API.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::XHigh => "xhigh",
        }
    }
}

/// One piece of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Text of a message, as it is written. Comes again, whole, as [`Event::Item`].
    Text(String),
    /// Reasoning that may be shown, as it is written.
    Reasoning(String),
    /// A message, reasoning or a call, complete.
    Item(Item),
    /// What this request cost. The last one counts.
    Usage(Usage),
    /// The answer is complete.
    Done {
        /// Why nothing more is written.
        stop: Stop,
    },
}

/// Why a model wrote nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It had said what it had to say, or waits for results.
    End,
    /// The provider's limit of output was reached.
    Length,
    /// The provider, or the model, would not.
    Refused,
}

/// A model that may be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Model {
    /// Its name in a request.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Tokens that a request and its answer may have together, where the provider says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_window: Option<u64>,
    /// Whether it may be used now, where the provider says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

impl Model {
    /// A model of which only the name is known.
    pub(crate) fn named(id: &str) -> Self {
        Self { id: id.to_owned(), name: id.to_owned(), context_window: None, state: None }
    }
}

/// Who pays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Account {
    /// Nobody: the models are on this machine, or recorded.
    Local,
    /// Whom the key belongs to; the provider says no more.
    Key {
        /// Where the key is from: a variable or a file, never the key.
        from: String,
        /// Whether the provider took it.
        accepted: bool,
    },
    /// An account with Amazon.
    Aws {
        /// Where the credentials are from.
        from: String,
        /// The region that is asked.
        region: String,
        /// Models that may be used there, of those that are offered.
        usable: usize,
        /// Models that are offered there.
        offered: usize,
    },
}
