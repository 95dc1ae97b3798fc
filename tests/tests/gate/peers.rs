//! The servers of the other network namespace: DNS, HTTP/1.1 and HTTP/2, plain and with TLS.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs::{self, File};
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::interval;
use tokio_rustls::TlsAcceptor;
use weir_exec_server::egress::authority::Authority;
use weir_protocol::policy::Host;

use super::dns::{self, Asked};
use super::wires::{NOBODY, PEERS, PEERS_V6, PRIVATE};

/// Names that lead to the peers over both versions, and have a certificate that "the host" trusts.
pub(crate) const NAMES: [&str; 5] =
    ["allowed.example", "denied.example", "git.example", "ssh.example", "db.example"];

/// A name that leads to version 6 alone.
pub(crate) const SIX: &str = "six.example";

/// A name whose server has a certificate that nobody trusts.
pub(crate) const UNTRUSTED: &str = "untrusted.example";

/// A name that leads to a private address.
pub(crate) const INNER: &str = "inner.example";

/// A name whose first address is nobody's.
pub(crate) const LATE: &str = "late.example";

/// A name about which the DNS server says nothing.
pub(crate) const SILENT: &str = "silent.example";

/// A port on which somebody speaks who is no HTTP server, and speaks first.
pub(crate) const GREETING_PORT: u16 = 2525;

/// A port on which somebody reads, steadily and slowly, and says nothing.
pub(crate) const SLOW_PORT: u16 = 2526;

/// What the peers heard, one line a request: `HTTP/2.0 GET https allowed.example /path`.
type Heard = Arc<Mutex<Vec<String>>>;

/// The running servers.
pub(crate) struct Peers {
    authority_pem: String,
    asked: Asked,
    heard: Heard,
    files: Arc<Mutex<Option<PathBuf>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Peers {
    /// Starts them within this network namespace.
    pub(crate) fn start(namespace: File) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, told) = mpsc::channel();
        let (asked, heard, files) = (Asked::default(), Heard::default(), Arc::default());
        let servers =
            Servers { asked: Arc::clone(&asked), heard: Arc::clone(&heard), files: Arc::clone(&files) };
        let thread = std::thread::spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            LocalSet::new().block_on(&runtime, async move {
                ready.send(servers.serve().await).unwrap();
                let _ = stopped.await;
            });
        });
        let authority_pem = told.recv().expect("the peers start");
        Self { authority_pem, asked, heard, files, stop: Some(stop), thread: Some(thread) }
    }

    /// The certificate of those who signed the peers' certificates.
    pub(crate) fn authority(&self) -> &str {
        &self.authority_pem
    }

    /// Names that the DNS server was asked for since the last call.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    /// Requests that the HTTP servers heard since the last call.
    pub(crate) fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }

    /// Serves the files below a directory, at `/files/`.
    pub(crate) fn serve_files(&self, directory: PathBuf) {
        *self.files.lock().unwrap() = Some(directory);
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Clone)]
struct Servers {
    asked: Asked,
    heard: Heard,
    files: Arc<Mutex<Option<PathBuf>>>,
}

impl Servers {
    async fn serve(self) -> String {
        let (v4, v6, private): (IpAddr, IpAddr, IpAddr) =
            (PEERS.parse().unwrap(), PEERS_V6.parse().unwrap(), PRIVATE.parse().unwrap());
        let mut zone: Vec<(&str, Vec<IpAddr>)> = NAMES.iter().map(|name| (*name, vec![v4, v6])).collect();
        zone.extend([(SIX, vec![v6]), (UNTRUSTED, vec![v4]), (INNER, vec![private])]);
        zone.push((LATE, vec![NOBODY.parse().unwrap(), v4]));
        let socket = Rc::new(UdpSocket::bind((v4, 53)).await.unwrap());
        spawn_local(dns::serve(socket, zone, Arc::clone(&self.asked)));
        let (authority, stranger) = (Authority::new().unwrap(), Authority::new().unwrap());
        let acceptor = acceptor(&authority, &stranger);
        for address in [v4, v6, private] {
            let listener = TcpListener::bind((address, 80)).await.unwrap();
            spawn_local(self.clone().plain(listener));
            let listener = TcpListener::bind((address, 443)).await.unwrap();
            spawn_local(self.clone().tls(listener, acceptor.clone()));
        }
        spawn_local(greet(TcpListener::bind((v4, GREETING_PORT)).await.unwrap()));
        spawn_local(read_slowly(TcpListener::bind((v4, SLOW_PORT)).await.unwrap()));
        authority.certificate_pem().to_owned()
    }

    async fn plain(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            spawn_local(self.clone().speak(stream, "http", Version::HTTP_11));
        }
    }

    async fn tls(self, listener: TcpListener, acceptor: TlsAcceptor) {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, own) = (acceptor.clone(), self.clone());
            spawn_local(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    let is_second = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    let version = if is_second { Version::HTTP_2 } else { Version::HTTP_11 };
                    own.speak(stream, "https", version).await;
                }
            });
        }
    }

    async fn speak<S>(self, stream: S, scheme: &'static str, version: Version)
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let service = service_fn(move |request| self.clone().answer(scheme, request));
        let io = TokioIo::new(stream);
        if version == Version::HTTP_2 {
            let _ = hyper::server::conn::http2::Builder::new(Here).serve_connection(io, service).await;
        } else {
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
        }
    }

    async fn answer(
        self,
        scheme: &'static str,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let named = request.headers().get("host").and_then(|value| value.to_str().ok());
        let host = request.uri().authority().map_or(named.unwrap_or("-"), |authority| authority.as_str());
        let path = request.uri().path().to_owned();
        let line = format!("{:?} {} {scheme} {host} {path}", request.version(), request.method());
        self.heard.lock().unwrap().push(line.clone());
        let length = request.into_body().collect().await.map_or(0, |body| body.to_bytes().len());
        if let Some(count) = path.strip_prefix("/bytes/").and_then(|count| count.parse().ok()) {
            return Ok(Response::new(Full::from(vec![b'x'; count])));
        }
        let (status, body) = match path.strip_prefix("/files/") {
            Some(name) => {
                self.file(name).map_or((StatusCode::NOT_FOUND, Vec::new()), |body| (StatusCode::OK, body))
            }
            None => (StatusCode::OK, format!("heard: {line} {length}\n").into_bytes()),
        };
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = status;
        Ok(response)
    }

    fn file(&self, name: &str) -> Option<Vec<u8>> {
        let directory = self.files.lock().unwrap().clone()?;
        (!name.contains("..")).then(|| fs::read(directory.join(name)).ok())?
    }
}

/// Runs what HTTP/2 spawns on this thread.
#[derive(Clone)]
struct Here;

impl<F: Future + 'static> hyper::rt::Executor<F> for Here {
    fn execute(&self, task: F) {
        spawn_local(async move {
            task.await;
        });
    }
}

async fn greet(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let _ = stream.write_all(b"220 greetings\r\n").await;
    }
}

async fn read_slowly(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        spawn_local(async move {
            let (mut buffer, mut pace) = (vec![0; 16 << 10], interval(Duration::from_millis(100)));
            while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                pace.tick().await;
            }
        });
    }
}

/// One certificate for each name.
#[derive(Debug)]
struct ByName(HashMap<String, Arc<CertifiedKey>>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.get(hello.server_name()?).cloned()
    }
}

fn acceptor(authority: &Authority, stranger: &Authority) -> TlsAcceptor {
    let signed = |authority: &Authority, name: &str| {
        (name.to_owned(), authority.leaf(&Host::parse(name).unwrap()).unwrap())
    };
    let trusted = NAMES.iter().chain([&SIX, &INNER]).map(|name| signed(authority, name));
    let by_name = ByName(trusted.chain([signed(stranger, UNTRUSTED)]).collect());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(by_name));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}
