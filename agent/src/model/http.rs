//! HTTP for all providers: one client, requests with the configured headers, answers as frames.
//!
//! Sends a key to the configured host and to no other: it follows no redirect. Waits for nothing without a limit, holds no
//! answer without a bound. Knows nothing of what is in a request. Callers: the providers.

mod answer;
mod frames;

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use futures_util::stream::{self, LocalBoxStream};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Request, Response, Url};
use serde_json::Value;

use super::reader::{self, Reader};
use super::secret::{Secret, Secrets};
use super::{Events, ModelError};

pub(crate) use answer::failure_of;
pub(crate) use frames::{Frame, Frames, Framing};

/// Until a connection stands; a provider that is there takes a tenth of it.
const CONNECT: Duration = Duration::from_secs(15);

/// The longest answer to a question that is not streamed (a list of models, an error), in bytes.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// What stands escaped in the value of a parameter (`application/x-www-form-urlencoded`, WHATWG URL).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');

/// Variables that name proxies (curl(1)), which the client follows.
const PROXY_VARIABLES: [&str; 6] =
    ["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];

/// What is sent as `User-Agent`.
const AGENT: &str = concat!("weir/", env!("CARGO_PKG_VERSION"));

/// Where requests go, and what goes with each.
pub(crate) struct Http {
    client: Client,
    base: Url,
    headers: HeaderMap,
    query: Vec<(String, String)>,
    idle: Duration,
    /// What no error may repeat.
    secrets: Rc<Secrets>,
}

/// Why requests cannot be made as configured.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address is none.
    #[error("`base_url` {text:?} is no address: it needs http:// or https:// and a host")]
    Url {
        /// What is written.
        text: String,
    },
    /// A header's name is none.
    #[error("{name:?} is no name of a header")]
    HeaderName {
        /// What is written.
        name: String,
    },
    /// A header's value has characters that none has.
    #[error("the header {name:?} has a value with characters that no header has")]
    HeaderValue {
        /// The header.
        name: String,
    },
    /// No client can be made.
    #[error("no HTTP client can be made: {0}")]
    Client(reqwest::Error),
}

impl Http {
    /// Requests below `base`; with an idle time-out for every wait.
    ///
    /// # Errors
    /// Where the address is none, or the host's certificates cannot be read.
    pub(crate) fn new(base: &str, idle: Duration) -> Result<Self, HttpError> {
        let refused = || HttpError::Url { text: without_secrets(base) };
        let mut base: Url = base.parse().map_err(|_| refused())?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(refused());
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let client = client(&base).map_err(HttpError::Client)?;
        let mut http =
            Self { client, base, headers: HeaderMap::new(), query: Vec::new(), idle, secrets: Rc::default() };
        let password = http.base.password().map(str::to_owned).unwrap_or_default();
        http.conceal(&password);
        // The address's user and password travel as a header, in a form of their own.
        let travels = http.client.get(http.base.clone()).build().ok();
        let travels = travels.as_ref().and_then(|request| request.headers().get(AUTHORIZATION));
        let travels = travels.and_then(|value| value.to_str().ok()).map(str::to_owned);
        travels.iter().for_each(|value| http.conceal(value));
        Ok(http)
    }

    /// Adds a header to every request.
    ///
    /// # Errors
    /// Where name or value cannot be one.
    pub(crate) fn header(&mut self, name: &str, value: &str) -> Result<(), HttpError> {
        let key: HeaderName = name.parse().map_err(|_| HttpError::HeaderName { name: name.to_owned() })?;
        let mut value: HeaderValue =
            value.parse().map_err(|_| HttpError::HeaderValue { name: name.to_owned() })?;
        value.set_sensitive(true);
        self.headers.insert(key, value);
        Ok(())
    }

    /// Adds a header that shows whose the request is. What is in it is repeated by no error, though whoever answers repeats it.
    ///
    /// # Errors
    /// As for [`Http::header`].
    pub(crate) fn secret_header(&mut self, name: &str, value: &str) -> Result<(), HttpError> {
        self.conceal(value);
        self.header(name, value)
    }

    /// Takes note of what no error may repeat.
    pub(crate) fn conceal(&mut self, value: &str) {
        if let Some(secrets) = Rc::get_mut(&mut self.secrets) {
            secrets.add(value);
        }
    }

    /// Adds `Authorization: Bearer` with a key.
    ///
    /// # Errors
    /// As for [`Http::header`]; a [`Secret`] has none.
    pub(crate) fn bearer(&mut self, key: &Secret) -> Result<(), HttpError> {
        self.secret_header("authorization", &format!("Bearer {}", key.expose()))
    }

    /// Adds a parameter to every request. Some hold a key: what is no version is repeated by no error, as it is or as it travels.
    pub(crate) fn query(&mut self, name: &str, value: &str) {
        if !name.to_ascii_lowercase().ends_with("version") {
            self.conceal(value);
            self.conceal(&utf8_percent_encode(value, ESCAPED).to_string());
        }
        self.query.push((name.to_owned(), value.to_owned()));
    }

    /// Who is asked, for messages.
    pub(crate) fn host(&self) -> String {
        self.base.host_str().unwrap_or_default().to_owned()
    }

    /// Ports that requests go to: the host's own, and those of the proxies that the environment names.
    pub(crate) fn ports(&self) -> Vec<u16> {
        let proxies = PROXY_VARIABLES.into_iter().filter_map(|name| proxy_port(&std::env::var(name).ok()?));
        proxies.chain(self.base.port_or_known_default()).collect()
    }

    /// A request for `path`, with nothing in it.
    ///
    /// # Errors
    /// [`ModelError::Request`].
    pub(crate) fn get(&self, path: &str) -> Result<Request, ModelError> {
        self.request(self.client.get(self.url(path)))
    }

    /// A request for `path` with a body.
    ///
    /// # Errors
    /// [`ModelError::Request`].
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Request, ModelError> {
        self.request(self.client.post(self.url(path)).json(body))
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        url.set_path(&format!("{}{path}", self.base.path()));
        url.set_query(query);
        url
    }

    fn request(&self, builder: reqwest::RequestBuilder) -> Result<Request, ModelError> {
        let builder = if self.query.is_empty() { builder } else { builder.query(&self.query) };
        builder
            .headers(self.headers.clone())
            .build()
            .map_err(|source| ModelError::Request { source: bare(source) })
    }

    /// Sends a request and returns the whole answer, as JSON.
    ///
    /// # Errors
    /// Every [`ModelError`] of a request.
    pub(crate) async fn whole(&self, request: Request) -> Result<Value, ModelError> {
        let mut response = self.send(request).await?;
        let bytes = self.rest(&mut response).await?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Sends a request and returns the events that `reader` makes of the answer as it comes.
    ///
    /// # Errors
    /// Every [`ModelError`] of a request; what happens afterwards comes as the last event.
    pub(crate) async fn events(
        &self,
        request: Request,
        framing: Framing,
        reader: impl Reader + 'static,
    ) -> Result<Events, ModelError> {
        let response = self.send(request).await?;
        let events = reader::events(frames::read(self.chunks(response), framing), reader);
        let secrets = Rc::clone(&self.secrets);
        Ok(Box::pin(events.map_err(move |error| error.without(&secrets))))
    }

    /// Sends a request; what is no success is an error.
    async fn send(&self, request: Request) -> Result<Response, ModelError> {
        let sent = self.in_time(self.client.execute(request)).await?;
        let response = sent.map_err(|source| match source.is_connect() {
            true => ModelError::Unreachable { host: self.host(), source: bare(source) },
            false => self.broke(source),
        })?;
        let kind = answer::Kind::of(&response, self.host());
        if kind.is_answer() {
            return Ok(response);
        }
        let mut response = response;
        let body = self.rest(&mut response).await.unwrap_or_default();
        Err(kind.into_error(&body).without(&self.secrets))
    }

    /// What is left of an answer, bounded.
    async fn rest(&self, response: &mut Response) -> Result<Vec<u8>, ModelError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.in_time(response.chunk()).await?.map_err(|source| self.broke(source))? {
            if bytes.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
                return Err(ModelError::Frame(super::error::FrameError::TooLong { limit: ANSWER_BYTES_MAX }));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn chunks(&self, response: Response) -> LocalBoxStream<'static, Result<bytes::Bytes, ModelError>> {
        let (idle, host) = (self.idle, self.host());
        let next = move |mut response: Response| {
            let host = host.clone();
            async move {
                match tokio::time::timeout(idle, response.chunk()).await {
                    Err(_) => Err(ModelError::Idle { host, after: idle }),
                    Ok(Err(source)) => Err(ModelError::Disconnected { host, source: bare(source) }),
                    Ok(Ok(chunk)) => Ok(chunk.map(|chunk| (chunk, response))),
                }
            }
        };
        Box::pin(stream::try_unfold(response, next))
    }

    async fn in_time<T>(&self, wait: impl Future<Output = T>) -> Result<T, ModelError> {
        let late = |_| ModelError::Idle { host: self.host(), after: self.idle };
        tokio::time::timeout(self.idle, wait).await.map_err(late)
    }

    fn broke(&self, source: reqwest::Error) -> ModelError {
        ModelError::Disconnected { host: self.host(), source: bare(source) }
    }
}

/// The port of a proxy as a variable names it. Without a scheme it is one for HTTP, as for the client and curl(1).
fn proxy_port(text: &str) -> Option<u16> {
    let text = text.trim();
    let url: Url = if text.contains("://") { text.parse() } else { format!("http://{text}").parse() }.ok()?;
    url.port_or_known_default()
}

/// An address as it is written, without who asks there and without parameters.
fn without_secrets(text: &str) -> String {
    let text = text.split('?').next().unwrap_or_default();
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        (None, Some((_, host))) => format!("…@{host}"),
        (_, None) => text.to_owned(),
    }
}

/// An error without the address, which may have a key among its parameters.
fn bare(error: reqwest::Error) -> reqwest::Error {
    error.without_url()
}

/// A client that trusts what the host trusts, and asks a proxy for nothing on this machine.
fn client(base: &Url) -> Result<Client, reqwest::Error> {
    // Fails where one is installed, which is then used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .user_agent(AGENT)
        .connect_timeout(CONNECT)
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true);
    let host = base.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    if here { builder.no_proxy().build() } else { builder.build() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_needs_no_scheme() {
        let cases = [
            ("127.0.0.1:3128", Some(3128)),
            ("proxy.test:8080", Some(8080)),
            ("user:word@proxy.test:8080/", Some(8080)),
            ("proxy.test", Some(80)),
            ("http://proxy.test", Some(80)),
            ("https://proxy.test", Some(443)),
            ("http://[::1]:3128/", Some(3128)),
            ("", None),
        ];
        for (text, expect) in cases {
            assert_eq!(proxy_port(text), expect, "{text:?}");
        }
    }

    #[test]
    fn no_error_repeats_what_an_address_or_a_parameter_carries() {
        let mut http =
            Http::new("https://user:pass-word-1@provider.test/v1", Duration::from_secs(1)).unwrap();
        http.query("api-version", "2024-10-21");
        http.query("key", "a/secret+of.mine");
        let request = http.get("models").unwrap();
        let told = format!("{} {}", request.url(), request.headers()[AUTHORIZATION].to_str().unwrap());
        let told = http.secrets.conceal(told + " pass-word-1");
        assert_eq!(
            told,
            "https://provider.test/v1/models?api-version=2024-10-21&key=[concealed] Basic [concealed] [concealed]"
        );
    }
}
