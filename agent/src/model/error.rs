//! Why a model did not answer, and whether it is worth asking again.

use std::time::Duration;

use super::Stop;
use super::replay::ReplayError;
use super::secret::{SecretError, Secrets};

/// Why a model did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The request could not be made of what it is to carry.
    #[error("the request cannot be made: {source}")]
    Request {
        /// Why.
        source: reqwest::Error,
    },
    /// Nobody answers.
    #[error("{host} cannot be reached: {}", cause(.source))]
    Unreachable {
        /// Whom was asked.
        host: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The connection broke.
    #[error("the connection to {host} broke: {}", cause(.source))]
    Disconnected {
        /// Whom was asked.
        host: String,
        /// Why.
        source: reqwest::Error,
    },
    /// Nothing came for too long.
    #[error("{host} has sent nothing for {} s", .after.as_secs_f32())]
    Idle {
        /// Whom was asked.
        host: String,
        /// How long was waited.
        after: Duration,
    },
    /// The answer ended before it was complete.
    #[error("the answer ended before it was complete")]
    CutShort,
    /// The answer does not end.
    #[error("the answer is longer than {} MiB and was not read to its end", .limit >> 20)]
    Endless {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A conversation that is too long was to be summarized.
    #[error("the conversation is too long, and {}", unsummarized(*.stop))]
    NoSummary {
        /// How the answer ended that was to be the summary.
        stop: Stop,
    },
    /// The key was not taken.
    #[error("the provider did not take the key ({status}): {message}")]
    Key {
        /// HTTP's status.
        status: u16,
        /// What the provider said.
        message: String,
    },
    /// The account may ask no more: not for a while, or not before it is paid.
    #[error("the provider's quota is used up: {message}")]
    Quota {
        /// What the provider said.
        message: String,
    },
    /// Too many requests.
    #[error("the provider asks to wait (429): {message}")]
    Throttled {
        /// What the provider said.
        message: String,
        /// How long, where it said so.
        after: Option<Duration>,
    },
    /// The provider failed.
    #[error("the provider failed ({status}): {message}")]
    Server {
        /// HTTP's status, or the one that its own code stands for.
        status: u16,
        /// What the provider said.
        message: String,
        /// How long to wait, where it said so.
        after: Option<Duration>,
    },
    /// The provider does not know what was asked for, most often the model.
    #[error("the provider does not know this: {message}")]
    Unknown {
        /// What the provider said.
        message: String,
    },
    /// The provider refused the request.
    #[error("the provider refused the request ({status}): {message}")]
    Refused {
        /// HTTP's status.
        status: u16,
        /// What the provider said.
        message: String,
    },
    /// The conversation is longer than the model can read.
    #[error("the conversation is longer than the model can read: {message}")]
    ContextOverflow {
        /// What the provider said.
        message: String,
    },
    /// Who answers is no provider: a login page, a proxy.
    #[error(
        "{host} answered {status} with {content_type} where an answer of a model was expected: {begins:?}; is `base_url` right?"
    )]
    NotAnApi {
        /// Who answered.
        host: String,
        /// HTTP's status.
        status: u16,
        /// What it calls its answer.
        content_type: String,
        /// How it begins.
        begins: String,
    },
    /// A piece of the answer is no JSON, or not of the form that is documented.
    #[error("the answer is malformed: {source}")]
    Malformed {
        /// Why.
        source: serde_json::Error,
    },
    /// A piece of the answer is no frame.
    #[error("the answer is malformed: {0}")]
    Frame(FrameError),
    /// The provider says that it refers elsewhere.
    #[error(
        "{host} refers to another address ({status}); Weir sends a key nowhere else: is `base_url` right?"
    )]
    Elsewhere {
        /// Who answered.
        host: String,
        /// HTTP's status.
        status: u16,
    },
    /// There is no key.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A request for Amazon cannot be signed.
    #[error("the request cannot be signed: {0}")]
    Sign(Box<dyn std::error::Error + Send + Sync>),
    /// What is recorded does not go on.
    #[error(transparent)]
    Replay(#[from] ReplayError),
}

/// Why bytes are no frames.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// An event that never ends.
    #[error("one piece is longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// Not UTF-8.
    #[error("text is not UTF-8")]
    NotText,
    /// Not a message of Amazon's event stream.
    #[error("{0}")]
    EventStream(#[from] aws_smithy_eventstream::error::Error),
}

/// Whether it is worth asking again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// No: the same will come.
    No,
    /// Yes, after a pause; no earlier than this, where the provider said so.
    After(Option<Duration>),
}

impl ModelError {
    /// Whether it is worth asking again.
    #[must_use]
    pub fn again(&self) -> Again {
        match self {
            Self::Throttled { after, .. } | Self::Server { after, .. } => Again::After(*after),
            Self::Unreachable { .. }
            | Self::Disconnected { .. }
            | Self::Idle { .. }
            | Self::CutShort
            | Self::Malformed { .. }
            | Self::Frame(_) => Again::After(None),
            Self::Request { .. }
            | Self::Key { .. }
            | Self::Quota { .. }
            | Self::Unknown { .. }
            | Self::Refused { .. }
            | Self::ContextOverflow { .. }
            | Self::Endless { .. }
            | Self::NoSummary { .. }
            | Self::NotAnApi { .. }
            | Self::Elsewhere { .. }
            | Self::Secret(_)
            | Self::Sign(_)
            | Self::Replay(_) => Again::No,
        }
    }
}

/// What became of a summary, for people.
const fn unsummarized(stop: Stop) -> &'static str {
    match stop {
        Stop::End => "the model wrote no summary of it",
        Stop::Length => "the summary of it reached the model's limit of output, a shorter one too",
        Stop::Refused => "the model, or its provider, would not summarize it",
    }
}

impl ModelError {
    /// The same where nothing of what was answered repeats a secret.
    pub(super) fn without(mut self, secrets: &Secrets) -> Self {
        match &mut self {
            Self::Key { message, .. }
            | Self::Quota { message }
            | Self::Throttled { message, .. }
            | Self::Server { message, .. }
            | Self::Unknown { message }
            | Self::Refused { message, .. }
            | Self::ContextOverflow { message }
            | Self::NotAnApi { begins: message, .. } => *message = secrets.conceal(std::mem::take(message)),
            Self::Malformed { source } => {
                let said = source.to_string();
                let told = secrets.conceal(said.clone());
                if told != said {
                    *source = serde::de::Error::custom(told);
                }
            }
            Self::Request { .. }
            | Self::Unreachable { .. }
            | Self::Disconnected { .. }
            | Self::Idle { .. }
            | Self::CutShort
            | Self::Endless { .. }
            | Self::NoSummary { .. }
            | Self::Frame(_)
            | Self::Elsewhere { .. }
            | Self::Secret(_)
            | Self::Sign(_)
            | Self::Replay(_) => {}
        }
        self
    }
}

impl From<serde_json::Error> for ModelError {
    fn from(source: serde_json::Error) -> Self {
        Self::Malformed { source }
    }
}

/// The innermost reason: what is around it says "error sending request" and no more.
fn cause(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
