//! Amazon Bedrock: Converse, with a bearer token or signed requests; what the account may use in its region.

mod credentials;
mod discovery;
mod reader;
mod request;
mod sign;

use futures_util::future::LocalBoxFuture;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Request;

use super::config::{ConfigError, Definition, Surroundings};
use super::http::{Framing, Http};
use super::{Account, Events, Model, ModelError, Prompt, Provider, Retries};
use credentials::Credentials;

/// Variables that name the region, the first that is set.
const REGION_VARIABLES: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

/// What stands in a path as it is (RFC 3986, 2.3); names of models have colons and slashes.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A provider that speaks Converse.
pub(crate) struct Bedrock {
    id: String,
    /// Where models answer.
    runtime: Http,
    /// Where it is asked what there is.
    control: Http,
    credentials: Credentials,
    region: String,
    retries: Retries,
    max_output_tokens: Option<u32>,
}

impl Bedrock {
    pub(crate) fn new(
        id: &str,
        definition: &Definition,
        around: &Surroundings<'_>,
    ) -> Result<Self, ConfigError> {
        let written = definition.aws.as_ref().and_then(|aws| aws.region.clone());
        let set = |name: &&str| (around.variable)(name).filter(|region| !region.is_empty());
        let region = written
            .or_else(|| REGION_VARIABLES.iter().find_map(set))
            .ok_or_else(|| ConfigError::NoRegion { id: id.to_owned() })?;
        let credentials = Credentials::find(id, definition, around)?;
        let at = |service: &str| -> Result<Http, ConfigError> {
            let mut http =
                definition.http_at(id, &format!("https://{service}.{region}.amazonaws.com"), around)?;
            match &credentials {
                Credentials::Bearer(key) => {
                    http.bearer(key).map_err(|source| ConfigError::Http { id: id.to_owned(), source })?;
                }
                Credentials::Keys(keys) => keys.all().for_each(|key| http.conceal(key.expose())),
            }
            Ok(http)
        };
        let (runtime, control) = (at("bedrock-runtime")?, at("bedrock")?);
        Ok(Self {
            id: id.to_owned(),
            runtime,
            control,
            credentials,
            region,
            retries: definition.retries(),
            max_output_tokens: definition.max_output_tokens,
        })
    }

    /// A request as Amazon wants it: with a token it is ready, otherwise it is signed.
    fn authorized(&self, request: Request) -> Result<Request, ModelError> {
        match &self.credentials {
            Credentials::Bearer(_) => Ok(request),
            Credentials::Keys(keys) => {
                sign::signed(request, keys, &self.region, std::time::SystemTime::now())
            }
        }
    }
}

/// A name as one segment of a path.
fn segment(name: &str) -> String {
    utf8_percent_encode(name, PLAIN).to_string()
}

impl Provider for Bedrock {
    fn id(&self) -> &str {
        &self.id
    }

    fn ports(&self) -> Vec<u16> {
        [self.runtime.ports(), self.control.ports()].concat()
    }

    fn retries(&self) -> Retries {
        self.retries
    }

    fn models(&self) -> LocalBoxFuture<'_, Result<Vec<Model>, ModelError>> {
        Box::pin(async { Ok(self.discover().await?.into_iter().map(|found| found.model).collect()) })
    }

    fn account(&self) -> LocalBoxFuture<'_, Result<Account, ModelError>> {
        Box::pin(async {
            let found = self.discover().await?;
            Ok(Account::Aws {
                from: self.credentials.from().to_owned(),
                region: self.region.clone(),
                usable: found.iter().filter(|found| found.usable).count(),
                offered: found.len(),
            })
        })
    }

    fn respond<'a>(&'a self, prompt: &'a Prompt<'a>) -> LocalBoxFuture<'a, Result<Events, ModelError>> {
        Box::pin(async move {
            let path = format!("model/{}/converse-stream", segment(prompt.model));
            let body = request::body(prompt, &self.id, self.max_output_tokens);
            let request = self.authorized(self.runtime.post(&path, &body)?)?;
            self.runtime.events(request, Framing::Amazon, reader::ConverseReader::new(&self.id)).await
        })
    }
}
