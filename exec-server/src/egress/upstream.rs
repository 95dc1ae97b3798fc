//! The host's own proxy, where the profile lets it be used: names are then looked up by the proxy, which is all that knows them in
//! such a network, and reached with HTTP CONNECT.
//!
//! The gate decides by name and port as ever. Where a name leads is the proxy's affair; what the proxy's own address is, the host's.

use std::io;
use std::net::IpAddr;

use data_encoding::BASE64;
use httparse::{EMPTY_HEADER, Response, Status};
use ipnet::IpNet;
use tokio::net::TcpStream;
use weir_protocol::policy::{DomainPattern, Host};

use super::decision::Grant;
use super::failure::Failure;
use super::opening::http::{authority, end};
use super::relay::send;

/// Most bytes of the proxy's answer.
const MAX_ANSWER_BYTES: usize = 16 << 10;

/// Headers of the proxy's answer.
const MAX_HEADERS: usize = 64;

/// A proxy of the host's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Its name or address.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// The value of `Proxy-Authorization`, where it wants one.
    pub authorization: Option<String>,
    /// What is reached without it.
    pub direct: Vec<Direct>,
}

/// What is reached without the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Direct {
    /// Hosts by name or address.
    Hosts(DomainPattern),
    /// Addresses.
    Range(IpNet),
}

impl Upstream {
    /// Reads the values of `https_proxy` and `no_proxy` as programs understand them; `None` where there is no proxy of this kind.
    #[must_use]
    pub fn read(proxy: &str, no_proxy: &str) -> Option<Self> {
        let rest = match proxy.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some(_) => return None,
            None => proxy,
        };
        let place = rest.split('/').next()?;
        let (user, place) = place.rsplit_once('@').map_or((None, place), |(user, place)| (Some(user), place));
        let host = authority(place)?;
        let port = match place.rsplit_once(':') {
            Some((_, port)) if !port.contains(']') => port.parse().ok()?,
            _ => 80,
        };
        let authorization = user.map(|user| format!("Basic {}", BASE64.encode(&unescape(user))));
        let direct = no_proxy.split([',', ' ']).map(str::trim).filter_map(direct).collect();
        Some(Self { host, port, authorization, direct })
    }

    /// Whether this host is reached through the proxy.
    #[must_use]
    pub fn serves(&self, host: &Host, port: u16) -> bool {
        !self.direct.iter().any(|direct| match (direct, host) {
            (Direct::Hosts(pattern), host) => pattern.matches(host, port),
            (Direct::Range(range), Host::Address(address)) => range.contains(address),
            (Direct::Range(_), Host::Name(_)) => false,
        })
    }
}

/// One entry of `no_proxy`: a name means its sub-domains as well.
fn direct(entry: &str) -> Option<Direct> {
    if let Ok(range) = entry.parse::<IpNet>() {
        return Some(Direct::Range(range));
    }
    if let Ok(address) = entry.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Some(Direct::Range(address.into()));
    }
    let name = entry.strip_prefix("*.").or_else(|| entry.strip_prefix('.')).unwrap_or(entry);
    let pattern = if name == "*" { name.to_owned() } else { format!("**.{name}") };
    DomainPattern::parse(&pattern).ok().map(Direct::Hosts)
}

/// Percent-encoded bytes as they are (RFC 3986, 2.1).
fn unescape(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, behind)) = rest.split_first() {
        let digits =
            behind.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    bytes
}

/// Asks the proxy behind `stream` for a tunnel.
///
/// # Errors
/// Why there is none.
pub(crate) async fn tunnel(stream: &TcpStream, upstream: &Upstream, grant: &Grant) -> Result<(), Failure> {
    let target = grant.target();
    let authorization = upstream.authorization.as_ref();
    let credentials =
        authorization.map(|value| format!("Proxy-Authorization: {value}\r\n")).unwrap_or_default();
    let asked = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{credentials}\r\n");
    send(stream, asked.as_bytes()).await.map_err(|_| Failure::ProxyAnswer)?;
    let head = answer(stream).await?;
    match status(&head) {
        Some(200..=299) => Ok(()),
        Some(code) => Err(Failure::ProxyStatus(code)),
        None => Err(Failure::ProxyAnswer),
    }
}

/// Reads the head of the proxy's answer and nothing behind it, which is the server's already.
async fn answer(stream: &TcpStream) -> Result<Vec<u8>, Failure> {
    let mut head = Vec::new();
    loop {
        let mut byte = [0];
        stream.readable().await.map_err(|_| Failure::ProxyAnswer)?;
        match stream.try_read(&mut byte) {
            Ok(1) => head.extend(byte),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            _ => return Err(Failure::ProxyAnswer),
        }
        if byte == *b"\n" && end(&head, head.len().saturating_sub(1)).is_some() {
            return Ok(head);
        }
        if head.len() > MAX_ANSWER_BYTES {
            return Err(Failure::ProxyAnswer);
        }
    }
}

/// The status of a whole head. Pure.
#[must_use]
pub fn status(head: &[u8]) -> Option<u16> {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut response = Response::new(&mut headers);
    match response.parse(head) {
        Ok(Status::Complete(_)) => response.code,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_as_programs_read_them() {
        let read = |text| {
            Upstream::read(text, "").map(|read| (read.host.to_string(), read.port, read.authorization))
        };
        let cases = [
            ("http://proxy.corp:3128", Some(("proxy.corp", 3128, None))),
            ("HTTP://proxy.corp/", Some(("proxy.corp", 80, None))),
            ("10.0.0.1:8080", Some(("10.0.0.1", 8080, None))),
            ("http://[::1]:8080/", Some(("[::1]", 8080, None))),
            ("http://us%65r:p%40ss@proxy:1", Some(("proxy", 1, Some("Basic dXNlcjpwQHNz")))),
            ("https://proxy.corp:443", None),
            ("socks5://proxy.corp", None),
            ("", None),
            ("http://proxy:x", None),
        ];
        for (text, expect) in cases {
            let expect = expect
                .map(|(host, port, credentials)| (host.to_owned(), port, credentials.map(str::to_owned)));
            assert_eq!(read(text), expect, "{text}");
        }
    }

    #[test]
    fn exceptions_are_reached_directly() {
        let read = Upstream::read(
            "proxy:1",
            "corp.example, .other.example,10.0.0.0/8,*.star.example ::1, nonsense:,",
        )
        .unwrap();
        let cases = [
            ("corp.example", false),
            ("a.corp.example", false),
            ("xcorp.example", true),
            ("a.other.example", false),
            ("a.star.example", false),
            ("10.1.2.3", false),
            ("11.0.0.1", true),
            ("::1", false),
            ("example.org", true),
        ];
        for (host, expect) in cases {
            assert_eq!(read.serves(&Host::parse(host).unwrap(), 443), expect, "{host}");
        }
        assert!(!Upstream::read("proxy:1", "*").unwrap().serves(&Host::parse("a.b").unwrap(), 1));
    }
}
