//! TLS on both sides of an inspected connection: taken off with a certificate of the sandbox's own authority, put on again with the
//! host's roots.
//!
//! The server is verified as any client would: by its chain, its name and the time. Nothing that a sandbox does changes that.

use std::io;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use weir_protocol::policy::Host;

use super::judge::Why;

/// HTTP/2 as ALPN names it.
pub(super) const H2: &[u8] = b"h2";

/// HTTP/1.1 as ALPN names it.
pub(super) const HTTP_11: &[u8] = b"http/1.1";

/// Servers of whom the key of a session is kept, so that the next connection is cheaper.
const KEPT_SESSIONS: usize = 64;

/// What of HTTP is spoken on a connection; the same on both sides of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

impl Version {
    pub(super) fn of(alpn: Option<&[u8]>) -> Self {
        if alpn == Some(H2) { Self::Http2 } else { Self::Http1 }
    }

    fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http1 => HTTP_11,
            Self::Http2 => H2,
        }
    }
}

/// Why the host's roots cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// There is no certificate among them that can be used.
    #[error("the host's bundle of root certificates holds none that can be used")]
    Empty,
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// What a client wants, from its ClientHello.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The name of the server, where it says one.
    name: Option<String>,
    /// Which versions of HTTP it speaks, none if it does not say.
    alpn: Vec<&'static [u8]>,
    /// Whether it says what it speaks, and none of it is HTTP.
    is_foreign: bool,
}

impl Wanted {
    pub(super) fn read(hello: &ClientHello<'_>) -> Self {
        let offered: Vec<&[u8]> = hello.alpn().into_iter().flatten().collect();
        let alpn: Vec<_> = [H2, HTTP_11].into_iter().filter(|known| offered.contains(known)).collect();
        let is_foreign = !offered.is_empty() && alpn.is_empty();
        Self { name: hello.server_name().map(str::to_owned), alpn, is_foreign }
    }

    /// Whether the client means `host` and speaks HTTP. A name must be said; an address cannot be (RFC 6066).
    pub(super) fn check(&self, host: &Host) -> Result<(), Why> {
        let said = self.name.as_deref().map(Host::parse);
        match (host, said) {
            (_, Some(Ok(said))) if said == *host => {}
            (Host::Address(_), None) => {}
            _ => {
                let name = self
                    .name
                    .clone()
                    .map_or("no server name".to_owned(), |name| format!("the server name {name}"));
                return Err(Why::OtherServerName(name));
            }
        }
        if self.is_foreign { Err(Why::NotHttp) } else { Ok(()) }
    }

    /// The ALPN names to offer to the server.
    pub(super) fn offer(&self) -> Vec<Vec<u8>> {
        self.alpn.iter().map(|name| name.to_vec()).collect()
    }

    /// What is spoken with the client when no server says otherwise.
    pub(super) fn fallback(&self) -> Version {
        if self.alpn == [H2] { Version::Http2 } else { Version::Http1 }
    }
}

/// What both sides of TLS need, made once for a sandbox.
#[derive(Debug)]
pub(super) struct Tls {
    provider: Arc<CryptoProvider>,
    client: ClientConfig,
}

impl Tls {
    pub(super) fn new(roots_pem: &[u8]) -> Result<Self, RootsError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(roots_pem).filter_map(Result::ok));
        if roots.is_empty() {
            return Err(RootsError::Empty);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.resumption = Resumption::in_memory_sessions(KEPT_SESSIONS);
        Ok(Self { provider, client })
    }

    /// As a client that offers these versions of HTTP.
    pub(super) fn client(&self, alpn: Vec<Vec<u8>>) -> Arc<ClientConfig> {
        let mut config = self.client.clone();
        config.alpn_protocols = alpn;
        Arc::new(config)
    }

    /// As the server that holds `key` and speaks `version`; without a key, as one that refuses the handshake.
    pub(super) fn server(
        &self,
        key: Option<Arc<CertifiedKey>>,
        version: Version,
    ) -> Result<Arc<ServerConfig>, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Only(key)));
        config.alpn_protocols = vec![version.alpn().to_vec()];
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }
}

/// The one certificate of a connection.
#[derive(Debug)]
struct Only(Option<Arc<CertifiedKey>>);

impl ResolvesServerCert for Only {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }
}

/// The name that a server's certificate must hold.
pub(super) fn server_name(host: &Host) -> Result<ServerName<'static>, InvalidDnsNameError> {
    match host {
        Host::Name(name) => ServerName::try_from(name.clone()),
        Host::Address(address) => Ok(ServerName::from(*address)),
    }
}

/// What a handshake failed of, in words, without rustls's own name before it.
pub(super) fn reason(error: &io::Error) -> String {
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .map_or_else(|| error.to_string(), ToString::to_string)
}

/// Whether the other side ended the handshake because it does not trust the certificate.
pub(super) fn is_distrust(error: &io::Error) -> bool {
    use rustls::AlertDescription as Alert;
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let distrust =
        [Alert::UnknownCA, Alert::BadCertificate, Alert::CertificateUnknown, Alert::UnsupportedCertificate];
    matches!(inner, Some(rustls::Error::AlertReceived(alert)) if distrust.contains(alert))
}
