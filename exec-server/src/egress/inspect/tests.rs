//! Inspected connections between a client and a server that are made here: what reaches the server, and what the client is told.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use weir_protocol::policy::Host;

use super::judge::{Target, Why, Wire};
use super::{Dial, Inspector, Law, Progress, Refused, tasks};
use crate::egress::authority::Authority;

mod mutation;
mod peers;
mod plain;
mod tls;

/// Bytes that a pipe between two ends holds.
const PIPE: usize = 64 * 1024;

/// A server that is made anew for each connection: it gets the server's end.
type Serve = Rc<dyn Fn(DuplexStream)>;

/// What both ends of the inspected connections of a test share.
struct World {
    inspector: Rc<Inspector>,
    /// The authority of the sandbox, as PEM.
    trusted_inside: String,
    /// The authority that the host trusts.
    host_authority: Rc<Authority>,
    refused: Rc<RefCell<Vec<Refused>>>,
    dialed: Rc<Cell<usize>>,
}

impl World {
    fn new() -> Self {
        let (authority, host_authority) = (Authority::new().unwrap(), Authority::new().unwrap());
        let trusted_inside = authority.certificate_pem().to_owned();
        let law = Law { profile: "team-standard".to_owned(), whence: "config.toml:12".to_owned() };
        let roots = host_authority.certificate_pem().as_bytes().to_vec();
        Self {
            inspector: Rc::new(Inspector::new(law, authority, &roots).unwrap()),
            trusted_inside,
            host_authority: Rc::new(host_authority),
            refused: Rc::default(),
            dialed: Rc::default(),
        }
    }

    /// A client's connection to `target`, which `serve` plays.
    fn connect(&self, target: Target, serve: Serve) -> DuplexStream {
        self.connect_by(target, Dialer { serve: Ok(serve), dialed: Rc::clone(&self.dialed) })
    }

    fn connect_by(&self, target: Target, dial: Dialer) -> DuplexStream {
        let (client, ours) = duplex(PIPE);
        let (inspector, refused) = (Rc::clone(&self.inspector), Rc::clone(&self.refused));
        spawn_local(async move {
            let record = move |refusal| refused.borrow_mut().push(refusal);
            inspector.serve(ours, target, dial, record, Progress::new()).await;
        });
        client
    }

    fn refusals(&self) -> Vec<(String, Why)> {
        self.refused.borrow_mut().drain(..).map(|refused| (refused.target, refused.why)).collect()
    }

    /// Connects TLS inside, as a client that trusts the sandbox's authority and speaks `alpn`.
    async fn tls(&self, stream: DuplexStream, name: &str, alpn: &[&[u8]]) -> io::Result<ClientTls> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.trusted_inside.as_bytes()).unwrap()).unwrap();
        let mut config = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// A server with a certificate that the host's authority made for `name`; it speaks `alpn`, and `serve` what is inside.
    fn tls_server(&self, name: &str, alpn: &'static [&'static [u8]], serve: Rc<dyn Fn(ServerTls)>) -> Serve {
        tls_server_of(&self.host_authority, name, alpn, serve)
    }
}

type ClientTls = tokio_rustls::client::TlsStream<DuplexStream>;
type ServerTls = tokio_rustls::server::TlsStream<DuplexStream>;

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn tls_server_of(
    authority: &Authority,
    name: &str,
    alpn: &'static [&'static [u8]],
    serve: Rc<dyn Fn(ServerTls)>,
) -> Serve {
    let key = authority.leaf(&Host::parse(name).unwrap()).unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key)));
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Rc::new(move |stream| {
        let (acceptor, serve) = (acceptor.clone(), Rc::clone(&serve));
        spawn_local(async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream);
            }
        });
    })
}

/// Leads to the server of a test, or to an error.
struct Dialer {
    serve: Result<Serve, io::ErrorKind>,
    dialed: Rc<Cell<usize>>,
}

impl Dial for Dialer {
    type Stream = DuplexStream;
    type Error = io::Error;

    async fn dial(&self) -> io::Result<DuplexStream> {
        self.dialed.set(self.dialed.get() + 1);
        let serve = self.serve.as_ref().map_err(|kind| io::Error::from(*kind))?;
        let (ours, server) = duplex(PIPE);
        serve(server);
        Ok(ours)
    }
}

/// Runs a test where tasks can be spawned.
async fn within<F: Future>(test: F) -> F::Output {
    LocalSet::new().run_until(test).await
}

fn target(wire: Wire) -> Target {
    let port = if wire == Wire::Tls { 443 } else { 80 };
    Target { host: Host::parse("a.example").unwrap(), port, wire }
}

/// What an HTTP server of a test was asked: method, URI and headers that matter.
type Seen = Rc<RefCell<Vec<String>>>;

/// Answers every request with what it was asked for.
fn echo(
    seen: &Seen,
) -> impl Fn(Request<Incoming>) -> std::future::Ready<Result<Response<Full<Bytes>>, Infallible>> + Clone + use<>
{
    let seen = Rc::clone(seen);
    move |request| {
        let host = request.headers().get("host").map_or("", |value| value.to_str().unwrap());
        let what = format!("{:?} {} {} {host}", request.version(), request.method(), request.uri());
        seen.borrow_mut().push(what.clone());
        let response = Response::builder().header("alt-svc", "h3=\":443\"").header("x-kept", "1");
        let body =
            if request.method() == "HEAD" { Full::default() } else { Full::from(format!("seen: {what}")) };
        std::future::ready(Ok(response.body(body).unwrap()))
    }
}

/// An HTTP/1.1 server that answers as [`echo`] does.
fn http1_echo<S>(seen: &Seen) -> Rc<dyn Fn(S)>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
{
    let echo = echo(seen);
    Rc::new(move |stream| {
        let service = service_fn(echo.clone());
        spawn_local(async move {
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    })
}

/// An HTTP/2 server that answers as [`echo`] does.
fn http2_echo(seen: &Seen) -> Rc<dyn Fn(ServerTls)> {
    let echo = echo(seen);
    Rc::new(move |stream| {
        let service = service_fn(echo.clone());
        spawn_local(async move {
            let tasks = tasks::Tasks::default();
            let builder = hyper::server::conn::http2::Builder::new(tasks);
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    })
}

/// Sends `text` and reads to the end.
async fn say(stream: &mut DuplexStream, text: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Status and body of one answer.
async fn read(response: Response<Incoming>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// An HTTP/2 client on an open stream.
async fn http2(stream: ClientTls) -> hyper::client::conn::http2::SendRequest<Full<Bytes>> {
    let builder = hyper::client::conn::http2::Builder::new(tasks::Tasks::default());
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    spawn_local(async move {
        let _ = connection.await;
    });
    sender
}

/// An HTTP/1.1 client on an open stream.
async fn http1<S>(stream: S) -> hyper::client::conn::http1::SendRequest<Full<Bytes>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
{
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    spawn_local(async move {
        let _ = connection.await;
    });
    sender
}

fn request(method: &str, uri: &str, version: Version) -> Request<Full<Bytes>> {
    let builder = Request::builder().method(method).uri(uri).version(version);
    let builder = if version == Version::HTTP_11 { builder.header("host", "a.example") } else { builder };
    builder.body(Full::default()).unwrap()
}
