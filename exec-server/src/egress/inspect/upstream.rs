//! The server's side of an inspected connection: connected to when it is needed, and again when it was closed meanwhile.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::judge::Target;
use super::tasks::{Progress, Tasks, Watched};
use super::tls::{self, Version};
use super::{HEAD_BYTES, MAX_HEADERS, WINDOW_BYTES};

/// How long a server may take for its part of the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// How long a server may take until it begins to answer.
const ANSWER: Duration = Duration::from_secs(300);

/// How a connection to the server is made. One for each client's connection; it may be asked again.
pub trait Dial: 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + 'static;
    /// Why there is none.
    type Error: std::error::Error + 'static;

    /// Connects to the server that was decided about, within a time of its own.
    fn dial(&self) -> impl Future<Output = Result<Self::Stream, Self::Error>>;
}

/// Why the server gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Failure {
    /// No connection; in the words of what dials.
    #[error("{0}")]
    Dial(Rc<dyn std::error::Error>),
    /// TLS failed, most often for the certificate.
    #[error("TLS with the server failed: {0}")]
    Tls(String),
    /// The handshake took too long.
    #[error("the server did not finish the TLS handshake within {} seconds", HANDSHAKE.as_secs())]
    TlsTimeout,
    /// The server spoke another version than before.
    #[error("the server no longer speaks the version of HTTP that it spoke before")]
    OtherVersion,
    /// Broken HTTP, or a connection that ended too early.
    #[error("the server's answer cannot be read: {0}")]
    Http(Rc<hyper::Error>),
    /// No answer in time.
    #[error("the server did not begin to answer within {} seconds", ANSWER.as_secs())]
    Timeout,
    /// An answer that nobody asked for.
    #[error("the server changed the protocol without having been asked to")]
    Switched,
}

impl Failure {
    /// Whether it was the time that ran out.
    pub(super) const fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout)
    }
}

/// What of HTTP is asked for, without a body.
pub(super) type Asked = Request<Empty<Bytes>>;

/// The server, as one client's connection sees it.
pub(super) struct Upstream<D> {
    dial: D,
    target: Target,
    tls: Option<Arc<rustls::ClientConfig>>,
    tasks: Tasks,
    progress: Progress,
    state: Mutex<State>,
    version: RefCell<Option<Version>>,
}

/// The connection to the server.
enum State {
    None,
    Open(Sender),
    /// It could not be made; what was said then is said of every request of this client's connection.
    Failed(Failure),
}

#[derive(Clone)]
enum Sender {
    Http1(Rc<Mutex<http1::SendRequest<Empty<Bytes>>>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

impl Sender {
    async fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.lock().await.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }

    async fn send(&self, request: Asked) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::Http1(sender) => {
                let mut sender = sender.lock().await;
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::Http2(sender) => sender.clone().send_request(request).await,
        }
    }
}

impl<D: Dial> Upstream<D> {
    /// Without TLS, where `tls` is none; else the versions of HTTP in it are offered.
    pub(super) fn new(
        dial: D,
        target: Target,
        tls: Option<Arc<rustls::ClientConfig>>,
        tasks: Tasks,
        progress: Progress,
    ) -> Self {
        let state = Mutex::new(State::None);
        Self { dial, target, tls, tasks, progress, state, version: RefCell::new(None) }
    }

    /// Connects before there is a request, to learn what the server speaks. A failure is told to the requests that follow.
    pub(super) async fn connect_ahead(&self) -> Option<Version> {
        let mut state = self.state.lock().await;
        *state = match self.open().await {
            Ok(sender) => State::Open(sender),
            Err(failure) => State::Failed(failure),
        };
        *self.version.borrow()
    }

    /// Asks the server. A connection that was open before may have been closed by the server meanwhile, so then it is asked once
    /// more on another: what is asked for changes nothing there.
    pub(super) async fn send(&self, request: Asked) -> Result<Response<Incoming>, Failure> {
        let (sender, is_fresh) = self.sender().await?;
        let first = timeout(ANSWER, sender.send(request.clone())).await.map_err(|_| Failure::Timeout)?;
        let answer = match first {
            Err(_) if !is_fresh => {
                let (sender, _) = self.again().await?;
                timeout(ANSWER, sender.send(request)).await.map_err(|_| Failure::Timeout)?
            }
            first => first,
        };
        let answer = answer.map_err(|error| Failure::Http(Rc::new(error)))?;
        if answer.status().is_informational() { Err(Failure::Switched) } else { Ok(answer) }
    }

    /// A connection, and whether it was made just now.
    async fn sender(&self) -> Result<(Sender, bool), Failure> {
        let mut state = self.state.lock().await;
        match &*state {
            State::Failed(failure) => return Err(failure.clone()),
            State::Open(sender) if !sender.is_closed().await => return Ok((sender.clone(), false)),
            State::Open(_) | State::None => {}
        }
        let sender = self.open().await?;
        *state = State::Open(sender.clone());
        Ok((sender, true))
    }

    /// Another connection in place of one that failed; where several requests failed together, one for all of them.
    async fn again(&self) -> Result<(Sender, bool), Failure> {
        let mut state = self.state.lock().await;
        let is_gone = match &*state {
            State::Open(sender) => sender.is_closed().await,
            State::None | State::Failed(_) => true,
        };
        if is_gone {
            *state = State::None;
        }
        drop(state);
        self.sender().await
    }

    async fn open(&self) -> Result<Sender, Failure> {
        let stream = self.dial.dial().await.map_err(|error| Failure::Dial(Rc::new(error)))?;
        let stream = Watched::new(stream, self.progress.clone());
        let Some(tls) = &self.tls else {
            self.keep_version(Version::Http1)?;
            return self.speak(stream, Version::Http1).await;
        };
        let name = tls::server_name(&self.target.host).map_err(|error| Failure::Tls(error.to_string()))?;
        let handshake = TlsConnector::from(Arc::clone(tls)).connect(name, stream);
        let stream = match timeout(HANDSHAKE, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(Failure::Tls(tls::reason(&error))),
            Err(_) => return Err(Failure::TlsTimeout),
        };
        let version = Version::of(stream.get_ref().1.alpn_protocol());
        self.keep_version(version)?;
        self.speak(stream, version).await
    }

    /// The client was told once what is spoken.
    fn keep_version(&self, version: Version) -> Result<(), Failure> {
        let known = *self.version.borrow_mut().get_or_insert(version);
        if known == version { Ok(()) } else { Err(Failure::OtherVersion) }
    }

    async fn speak<S>(&self, stream: S, version: Version) -> Result<Sender, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let http = |error| Failure::Http(Rc::new(error));
        match version {
            Version::Http1 => {
                let mut builder = http1::Builder::new();
                builder.max_buf_size(HEAD_BYTES).max_headers(MAX_HEADERS).preserve_header_case(true);
                let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(http)?;
                self.drive(connection);
                Ok(Sender::Http1(Rc::new(Mutex::new(sender))))
            }
            Version::Http2 => {
                let mut builder = http2::Builder::new(self.tasks.clone());
                builder.timer(TokioTimer::new()).max_header_list_size(super::HEAD_LIST_BYTES);
                builder.initial_stream_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
                let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(http)?;
                self.drive(connection);
                Ok(Sender::Http2(sender))
            }
        }
    }

    /// A connection that fails is noticed by who asks on it.
    fn drive<C>(&self, connection: C)
    where
        C: Future<Output = hyper::Result<()>> + 'static,
    {
        self.tasks.spawn(async move {
            let _ = connection.await;
        });
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Dial(Rc::new(error))
    }
}
