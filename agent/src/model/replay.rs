//! A recorded session instead of a provider: no key, no network, and calls that are really carried out.
//!
//! A recording is a file of JSON lines, one thing a line, by its `type`:
//!
//! | type | fields | is |
//! |---|---|---|
//! | `text`, `reasoning` | `text` | a delta, for the eye |
//! | `item` | `item` | a complete item, as threads keep it: `agent_message`, `reasoning`, `tool_call` |
//! | `usage` | `usage` | what the answer cost |
//! | `done` | | ends an answer |
//! | `thread` | `asked` | what follows is of a helper whose task contains this, and of no other thread |
//! | `expect` | `contains` | what the results that the model was told last must contain, one of them; before an answer |
//!
//! Which answer is next is read from the conversation itself: as many items of the model's as are in it have been given. So a
//! resumed thread goes on where it stood. What differs from the recording is an error, never an answer to something else.

mod recording;

use std::path::Path;

use futures_util::future::LocalBoxFuture;
use futures_util::stream;

use super::config::{ConfigError, Definition, Surroundings};
use super::{Account, Events, Model, ModelError, Prompt, Provider, Retries};

pub use recording::{Recorded, ReplayError};

/// The name of the only model.
const MODEL: &str = "recorded";

/// A provider that answers as recorded.
pub struct Replay {
    id: String,
    recorded: Recorded,
}

impl Replay {
    pub(crate) fn new(
        id: &str,
        definition: &Definition,
        around: &Surroundings<'_>,
    ) -> Result<Self, ConfigError> {
        let Some(file) = &definition.file else {
            return Err(ConfigError::Missing { id: id.to_owned(), key: "file" });
        };
        let failed = |source| ConfigError::Replay { id: id.to_owned(), source };
        let recorded = Recorded::read(&around.home.join(file)).map_err(failed)?;
        Ok(Self { id: id.to_owned(), recorded })
    }

    /// From the text of a recording.
    ///
    /// # Errors
    /// Where a line cannot be read.
    pub fn of(id: &str, text: &str) -> Result<Self, ReplayError> {
        Ok(Self { id: id.to_owned(), recorded: Recorded::parse(text, Path::new(id))? })
    }
}

impl Provider for Replay {
    fn id(&self) -> &str {
        &self.id
    }

    fn retries(&self) -> Retries {
        Retries::NONE
    }

    fn models(&self) -> LocalBoxFuture<'_, Result<Vec<Model>, ModelError>> {
        Box::pin(async { Ok(vec![Model::named(MODEL)]) })
    }

    fn account(&self) -> LocalBoxFuture<'_, Result<Account, ModelError>> {
        Box::pin(async { Ok(Account::Local) })
    }

    fn respond<'a>(&'a self, prompt: &'a Prompt<'a>) -> LocalBoxFuture<'a, Result<Events, ModelError>> {
        Box::pin(async move {
            let events = self.recorded.answer(prompt.items)?.to_vec();
            Ok(Box::pin(stream::iter(events.into_iter().map(Ok))) as Events)
        })
    }
}
