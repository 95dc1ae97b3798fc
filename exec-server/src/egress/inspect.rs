//! Limited mode: serves one connection of a sandbox, lets GET, HEAD and OPTIONS through and nothing else.
//!
//! Plain HTTP/1.1, or TLS, which is taken off with a certificate of the sandbox's own [`Authority`] and put on again towards the server,
//! whose certificate is verified against the host's roots. HTTP/1.1 and HTTP/2, the same on both sides.
//!
//! What it decides: a request passes when its method is one of the three, it names the host and port of the connection and no other, it
//! has no body, asks for no other protocol and for no other method by a header. It is then written anew ([`judge`]); how the
//! client framed it does not go on. Everything else is answered in words, and told to the gate. It never decides which hosts may be reached.
//!
//! What it does not claim: a GET carries data out in its path and its headers, bounded by [`HEAD_BYTES`] a request, to a host that the
//! profile allows. Limited mode keeps a command from changing things there, not from saying something.
//!
//! Caller: the gate.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::LazyConfigAcceptor;

use super::authority::Authority;
use exchange::Exchange;
use tasks::{Tasks, Watched};
use tls::{Tls, Version, Wanted};
use upstream::Upstream;

mod answer;
mod exchange;
pub mod judge;
mod tasks;
mod tls;
mod upstream;

pub use answer::Law;
pub use judge::{Target, Why, Wire};
pub use tasks::Progress;
pub use tls::RootsError;
pub use upstream::Dial;

/// Most bytes of the head of one request or answer, and of what is read ahead of a body.
pub const HEAD_BYTES: usize = 64 * 1024;

/// The same, as HTTP/2 says it.
const HEAD_LIST_BYTES: u32 = 64 * 1024;

/// Most headers of one request or answer.
const MAX_HEADERS: usize = 200;

/// Most requests at once on one connection of HTTP/2.
const MAX_STREAMS: u32 = 100;

/// Most bytes of answers that a server sends ahead, for a stream of HTTP/2 and for a connection.
const WINDOW_BYTES: u32 = 1024 * 1024;

/// Most bytes of bodies that a client sends ahead, likewise. They are thrown away.
const CLIENT_WINDOW_BYTES: u32 = 64 * 1024;

/// Most bytes of answers kept for one stream of HTTP/2 while the client does not take them.
const KEPT_ANSWER_BYTES: usize = 16 * 1024;

/// Connections that are inspected at a time. Each may hold some 3 MiB where a client takes no answers: a window, and what is kept for each
/// stream.
pub const MAX_CONNECTIONS: usize = 512;

/// How long a client may take for the head of a request, and may keep a connection without one.
const HEAD_TIME: Duration = Duration::from_secs(60);

/// How long a client may take for its part of the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// How long a connection may stand still.
const IDLE: Duration = Duration::from_secs(300);

/// Something that limited mode refused, for the gate's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Method and URL without its query, which may hold secrets; for what is no request the URL of the host.
    pub target: String,
    /// Why.
    pub why: Why,
}

/// What serving takes, made once for a sandbox.
#[derive(Debug)]
pub struct Inspector {
    authority: Authority,
    tls: Tls,
    law: Law,
    turns: Semaphore,
}

impl Inspector {
    /// With what refusals are told to come from, the sandbox's authority, and the root certificates (PEM) that the host trusts.
    ///
    /// # Errors
    /// [`RootsError`] when there is none among them.
    pub fn new(law: Law, authority: Authority, roots_pem: &[u8]) -> Result<Self, RootsError> {
        Ok(Self { authority, tls: Tls::new(roots_pem)?, law, turns: Semaphore::new(MAX_CONNECTIONS) })
    }

    /// One of [`MAX_CONNECTIONS`], for as long as it is held; nothing where all are taken.
    #[must_use]
    pub fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.try_acquire().ok()
    }

    /// Serves one connection until either side ends it. Must run within a `LocalSet`; whatever it starts ends with the future.
    ///
    /// `dial` connects to the target, and may be asked again. `record` hears of each refusal; `progress` tells of all that moves.
    pub async fn serve<S, D>(
        &self,
        client: S,
        target: Target,
        dial: D,
        record: impl Fn(Refused) + 'static,
        progress: Progress,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
        D: Dial,
    {
        let tasks = Tasks::default();
        let _ended = tasks.guard();
        let client = Watched::new(client, progress.clone());
        let record: Rc<dyn Fn(Refused)> = Rc::new(record);
        let connection = Connection { inspector: self, target, tasks, progress: progress.clone(), record };
        tokio::select! {
            () = connection.serve(client, dial) => {}
            () = progress.stalled(IDLE) => {}
        }
    }
}

/// One connection.
struct Connection<'i> {
    inspector: &'i Inspector,
    target: Target,
    tasks: Tasks,
    progress: Progress,
    record: Rc<dyn Fn(Refused)>,
}

impl Connection<'_> {
    async fn serve<S, D>(&self, client: S, dial: D)
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
        D: Dial,
    {
        match self.target.wire {
            Wire::Plain => {
                let upstream = self.upstream(dial, None);
                self.converse(client, Version::Http1, upstream).await;
            }
            Wire::Tls => self.serve_tls(client, dial).await,
        }
    }

    /// The server is connected to between the client's first message and the answer to it: what is spoken with the client is what
    /// the server speaks.
    async fn serve_tls<S, D>(&self, client: S, dial: D)
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
        D: Dial,
    {
        let acceptor = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), client);
        let start = match timeout_at(Instant::now() + HANDSHAKE, acceptor).await {
            Ok(Ok(start)) => start,
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => return self.refuse(Why::NotHttp),
            Ok(Err(_)) | Err(_) => return,
        };
        let wanted = Wanted::read(&start.client_hello());
        let tls = &self.inspector.tls;
        if let Err(why) = wanted.check(&self.target.host) {
            self.refuse(why);
            if let Ok(config) = tls.server(None, wanted.fallback()) {
                let _ = timeout_at(Instant::now() + HANDSHAKE, start.into_stream(config)).await;
            }
            return;
        }
        let upstream = self.upstream(dial, Some(tls.client(wanted.offer())));
        let version = upstream.connect_ahead().await.unwrap_or(wanted.fallback());
        let Ok(key) = self.inspector.authority.leaf(&self.target.host) else {
            return self.refuse(Why::Broken("its host is no name that a certificate can hold"));
        };
        let Ok(config) = tls.server(Some(key), version) else { return };
        match timeout_at(Instant::now() + HANDSHAKE, start.into_stream(config)).await {
            Ok(Ok(stream)) => self.converse(stream, version, upstream).await,
            Ok(Err(error)) if tls::is_distrust(&error) => self.refuse(Why::NotTrusted(tls::reason(&error))),
            Ok(Err(_)) | Err(_) => {}
        }
    }

    fn upstream<D: Dial>(&self, dial: D, tls: Option<Arc<rustls::ClientConfig>>) -> Upstream<D> {
        Upstream::new(dial, self.target.clone(), tls, self.tasks.clone(), self.progress.clone())
    }

    fn refuse(&self, why: Why) {
        (self.record)(Refused { target: self.target.url(), why });
    }

    /// Requests and answers, until either side has enough.
    async fn converse<S, D>(&self, client: S, version: Version, upstream: Upstream<D>)
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
        D: Dial,
    {
        let exchange = Rc::new(Exchange {
            target: self.target.clone(),
            upstream,
            law: self.inspector.law.clone(),
            tasks: self.tasks.clone(),
            record: Rc::clone(&self.record),
        });
        let service = service_fn(move |request| Exchange::answer(Rc::clone(&exchange), request));
        let io = TokioIo::new(client);
        let ended = match version {
            Version::Http1 => {
                let mut builder = http1::Builder::new();
                builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).half_close(true);
                builder.max_buf_size(HEAD_BYTES).max_headers(MAX_HEADERS);
                builder.preserve_header_case(true).auto_date_header(false);
                builder.serve_connection(io, service).await
            }
            Version::Http2 => {
                let mut builder = http2::Builder::new(self.tasks.clone());
                builder.timer(TokioTimer::new()).auto_date_header(false);
                builder.max_header_list_size(HEAD_LIST_BYTES).max_concurrent_streams(MAX_STREAMS);
                builder.initial_stream_window_size(CLIENT_WINDOW_BYTES);
                builder.initial_connection_window_size(CLIENT_WINDOW_BYTES);
                builder.max_send_buf_size(KEPT_ANSWER_BYTES);
                builder.serve_connection(io, service).await
            }
        };
        if ended.is_err_and(|error| error.is_parse()) {
            self.refuse(Why::NotHttp);
        }
    }
}

#[cfg(test)]
mod tests;
