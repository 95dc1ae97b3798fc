//! A server that is asked over HTTP with one key at most: what providers that speak to one have in common.

use super::config::{ConfigError, Definition, Surroundings};
use super::http::{Http, HttpError};
use super::secret::Secret;
use super::{Account, ModelError, Retries};

/// Where a provider asks, and with whose key.
pub(super) struct Keyed {
    pub(super) id: String,
    pub(super) http: Http,
    pub(super) retries: Retries,
    /// Where the key is from.
    from: Option<String>,
}

impl Keyed {
    /// A server that takes the key as a bearer token.
    pub(super) fn bearer(
        id: &str,
        definition: &Definition,
        around: &Surroundings<'_>,
    ) -> Result<Self, ConfigError> {
        Self::new(id, definition, around, Http::bearer)
    }

    /// A server that is shown the key by `show`.
    pub(super) fn new(
        id: &str,
        definition: &Definition,
        around: &Surroundings<'_>,
        show: impl FnOnce(&mut Http, &Secret) -> Result<(), HttpError>,
    ) -> Result<Self, ConfigError> {
        let mut http = definition.http(id, around)?;
        let key = definition.key(id, around)?;
        if let Some(key) = &key {
            show(&mut http, key).map_err(|source| ConfigError::Http { id: id.to_owned(), source })?;
        }
        let from = key.map(|key| key.from().to_owned());
        Ok(Self { id: id.to_owned(), http, retries: definition.retries(), from })
    }

    pub(super) const fn has_key(&self) -> bool {
        self.from.is_some()
    }

    /// Whose key it is, as far as an answer to it tells; without a key nobody is asked.
    pub(super) async fn account<T>(
        &self,
        asked: impl Future<Output = Result<T, ModelError>>,
    ) -> Result<Account, ModelError> {
        let Some(from) = self.from.clone() else { return Ok(Account::Local) };
        match asked.await {
            Ok(_) => Ok(Account::Key { from, accepted: true }),
            Err(ModelError::Key { .. }) => Ok(Account::Key { from, accepted: false }),
            Err(error) => Err(error),
        }
    }
}
