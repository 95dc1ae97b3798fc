//! The first bytes that a client says on a granted connection, and whether they name another host than the one that was granted.
//!
//! Bytes are held back until they tell what they are: TLS, whose server name is compared; HTTP/1, whose host is compared; or
//! anything else, which is passed on as it is. A second hello that a server asks for is compared as well (`retry`). Nothing is passed on because time has gone by. The reading is pure
//! ([`Opening`]); `hear` feeds it. HTTP/2 without TLS (`PRI *`) names its hosts inside and is passed on.

pub mod http;
pub(crate) mod retry;
pub mod tls;

use std::io;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use weir_protocol::Policy;
use weir_protocol::policy::Host;

use super::Core;
use super::decision::{Grant, may_name};
use super::refusal::Reason;
use super::relay::Broken;

/// Most bytes of an HTTP head: what servers take, and more.
pub const MAX_HTTP_BYTES: usize = 64 << 10;

/// Most bytes of a TLS ClientHello with its records; the largest have some two thousand.
pub const MAX_TLS_BYTES: usize = 32 << 10;

/// Bytes that are read at once.
const READ_BYTES: usize = 8 << 10;

/// What a client begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// TLS, for the server name that it gives, if any.
    Tls(Option<String>),
    /// HTTP/1, for the host that it gives, if any.
    Http(Option<Host>),
    /// Anything else.
    Other,
}

/// The bytes so far, and what is known of them.
#[derive(Debug, Default)]
pub struct Opening {
    bytes: Vec<u8>,
    records: tls::Records,
    head: http::Head,
}

impl Opening {
    /// Takes more bytes; the kind as soon as it is certain.
    ///
    /// # Errors
    /// [`Reason::BrokenTls`] and [`Reason::BrokenHttp`]: what pretends to be one of them and cannot be read, or has no end.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<Kind>, Reason> {
        self.bytes.extend_from_slice(bytes);
        match tls::start(&self.bytes) {
            None => Ok(None),
            Some(tls::Start::Strange) => Err(Reason::BrokenTls),
            Some(tls::Start::Hello) => {
                let name = self.records.read(&self.bytes).map_err(|_| Reason::BrokenTls)?;
                match name {
                    None if self.bytes.len() > MAX_TLS_BYTES => Err(Reason::BrokenTls),
                    name => Ok(name.map(Kind::Tls)),
                }
            }
            Some(tls::Start::Other) => match self.head.read(&self.bytes)? {
                None if self.bytes.len() > MAX_HTTP_BYTES => Err(Reason::BrokenHttp),
                kind => Ok(kind),
            },
        }
    }

    /// No more bytes come.
    ///
    /// # Errors
    /// [`Reason::BrokenTls`] and [`Reason::BrokenHttp`]: what has begun and is not whole.
    pub fn end(&self) -> Result<Kind, Reason> {
        match tls::start(&self.bytes) {
            Some(tls::Start::Hello | tls::Start::Strange) => Err(Reason::BrokenTls),
            _ if self.head.has_begun() => Err(Reason::BrokenHttp),
            _ => Ok(Kind::Other),
        }
    }

    /// All bytes so far: those of the kind that was told, and what stands behind a hello.
    #[must_use]
    pub fn into_parts(mut self) -> (Vec<u8>, Vec<u8>) {
        let end = match self.records.end() {
            0 => self.bytes.len(),
            end => end.min(self.bytes.len()),
        };
        let behind = self.bytes.split_off(end);
        (self.bytes, behind)
    }
}

/// How a client begins, judged.
#[derive(Debug)]
pub(crate) struct Heard {
    /// What was judged of it.
    pub(crate) bytes: Vec<u8>,
    /// Of TLS: the server name, if it gives one, and what was read behind the hello.
    pub(crate) hello: Option<(Option<String>, Vec<u8>)>,
}

/// Reads from the client, behind what was read of it already, until its beginning is known and has been judged.
///
/// # Errors
/// Why the connection may not go on, or that it broke.
pub(crate) async fn hear(
    client: &TcpStream,
    read_before: Vec<u8>,
    core: &Core,
    grant: &Grant,
) -> Result<Heard, Broken> {
    let until_whole = || Instant::now() + core.limits.opening;
    let mut opening = Opening::default();
    let mut kind = opening.feed(&read_before)?;
    let mut until = (!read_before.is_empty()).then(until_whole);
    let mut buffer = [0; READ_BYTES];
    while kind.is_none() {
        let ready = client.readable();
        match until {
            None => ready.await,
            Some(until) => timeout_at(until, ready).await.map_err(|_| Reason::OpeningTimeout)?,
        }?;
        match client.try_read(&mut buffer) {
            Ok(0) => kind = Some(opening.end()?),
            Ok(count) => kind = opening.feed(buffer.get(..count).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error.into()),
        }
        until = until.or_else(|| Some(until_whole()));
    }
    let kind = kind.unwrap_or(Kind::Other);
    judge(&core.policy(), grant, &kind)?;
    let (bytes, behind) = opening.into_parts();
    let hello = if let Kind::Tls(name) = kind { Some((name, behind)) } else { None };
    Ok(Heard { bytes, hello })
}

/// Whether what a client begins with may be said to the granted host.
///
/// # Errors
/// Why not.
pub fn judge(policy: &Policy, grant: &Grant, kind: &Kind) -> Result<(), Reason> {
    match kind {
        Kind::Tls(Some(name)) => match Host::parse(name) {
            Ok(host) if may_name(policy, grant, &host) => Ok(()),
            _ => Err(Reason::OtherServerName(name.clone())),
        },
        // There is no server name for an address (RFC 6066, section 3).
        Kind::Tls(None) if matches!(grant.host, Host::Name(_)) => Err(Reason::NoServerName),
        Kind::Http(Some(host)) if !may_name(policy, grant, host) => Err(Reason::OtherHost(host.to_string())),
        Kind::Tls(None) | Kind::Http(_) | Kind::Other => Ok(()),
    }
}
