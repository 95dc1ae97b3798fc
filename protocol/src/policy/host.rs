//! Host names and the patterns that allow or deny them.
//!
//! Names are compared after IDNA processing (UTS 46), lower-casing and dropping one trailing dot, so that one host has one
//! spelling. Addresses are compared as numbers, so that `127.1`, `0x7f.1` and `::ffff:127.0.0.1` are what they are.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why some text is no host or no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Nothing was written.
    #[error("the host is empty")]
    Empty,
    /// A URL or a path was written.
    #[error("write a host name alone, without scheme, user or path")]
    NotAHost,
    /// IDNA or DNS length rules refuse the name.
    #[error("not a valid host name")]
    BadName,
    /// Digits that some programs read as an address and others as a name.
    #[error("write an IPv4 address as four decimal numbers")]
    AmbiguousAddress,
    /// Broken brackets or a bad IPv6 address.
    #[error("not a valid IPv6 address; with a port it is written `[::1]:443`")]
    BadIpv6,
    /// A port outside 1 to 65535.
    #[error("a port is a number from 1 to 65535")]
    BadPort,
    /// A `*` anywhere but as `*`, `*.name` or `**.name`.
    #[error("`*` can only stand as `*`, `*.name` (sub-domains) or `**.name` (the name and its sub-domains)")]
    BadWildcard,
}

/// A host as a command names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A DNS name: ASCII, lower case, no trailing dot.
    Name(String),
    /// An address, IPv4-mapped IPv6 addresses as IPv4.
    Address(IpAddr),
}

impl Host {
    /// Reads a name or an address in any notation that the C library accepts (`127.1`, `0x7f000001`, `[::1]`).
    ///
    /// # Errors
    /// [`HostError`] for what is neither.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if text.is_empty() {
            return Err(HostError::Empty);
        }
        if text.contains(['/', '@', '\\', '?', '#']) || text.contains("://") {
            return Err(HostError::NotAHost);
        }
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(HostError::BadIpv6)?;
            return parse_v6(inner).map(Self::Address);
        }
        if text.contains(':') {
            return parse_v6(text).map(Self::Address);
        }
        let bare = text.strip_suffix('.').unwrap_or(text);
        let ascii = Uts46::new()
            .to_ascii(bare.as_bytes(), AsciiDenyList::URL, Hyphens::Allow, DnsLength::Verify)
            .map_err(|_| HostError::BadName)?;
        if ends_in_number(&ascii) {
            return parse_loose_v4(&ascii)
                .map(|address| Self::Address(IpAddr::V4(address)))
                .ok_or(HostError::AmbiguousAddress);
        }
        Ok(Self::Name(ascii.into_owned()))
    }

    /// Whether the name or address is this machine's loopback: `localhost`, its sub-domains (RFC 6761), 127/8, `::1`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Self::Address(address) => {
                super::address::AddressClass::of(*address) == super::address::AddressClass::Loopback
            }
        }
    }
}

fn parse_v6(text: &str) -> Result<IpAddr, HostError> {
    Ipv6Addr::from_str(text).map(|address| IpAddr::V6(address).to_canonical()).map_err(|_| HostError::BadIpv6)
}

/// Whether the last label is a number, which makes the whole an IPv4 address (WHATWG URL, "ends in a number").
fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    last.bytes().all(|byte| byte.is_ascii_digit()) || parse_number(last).is_some()
}

/// IPv4 in the forms of inet_aton(3): one to four decimal, octal or hexadecimal numbers.
fn parse_loose_v4(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u64> = text.split('.').map(parse_number).collect::<Option<_>>()?;
    let (last, head) = parts.split_last()?;
    if head.len() > 3 || head.iter().any(|part| *part > 255) {
        return None;
    }
    let room = 8 * (4 - head.len());
    if *last >= 1_u64 << room {
        return None;
    }
    let high = head.iter().enumerate().map(|(index, part)| part << (24 - 8 * index)).sum::<u64>();
    u32::try_from(high + last).ok().map(Ipv4Addr::from)
}

fn parse_number(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let (digits, radix) = match lower.strip_prefix("0x") {
        Some("") => return Some(0),
        Some(digits) => (digits, 16),
        None if lower.len() > 1 && lower.starts_with('0') => (&lower[1..], 8),
        None => (lower.as_str(), 10),
    };
    if digits.starts_with('+') {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

impl fmt::Display for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => out.write_str(name),
            Self::Address(IpAddr::V6(address)) => write!(out, "[{address}]"),
            Self::Address(address) => write!(out, "{address}"),
        }
    }
}

/// The hosts that a pattern stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// One host.
    Exact(Host),
    /// `*.x`: every sub-domain of `x`, at any depth, not `x`.
    Subdomains(String),
    /// `**.x`: `x` and every sub-domain.
    ApexAndSubdomains(String),
    /// `*`: every host.
    Any,
}

/// A host pattern with an optional port: `registry.example.org`, `*.example.org:443`, `[::1]:8080`, `*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainPattern {
    /// Which hosts.
    pub host: HostPattern,
    /// Which port; every port where absent.
    pub port: Option<u16>,
}

impl DomainPattern {
    /// Every host on every port.
    pub const ANY: Self = Self { host: HostPattern::Any, port: None };

    /// One host on one port.
    #[must_use]
    pub const fn one(host: Host, port: u16) -> Self {
        Self { host: HostPattern::Exact(host), port: Some(port) }
    }

    /// Reads a pattern.
    ///
    /// # Errors
    /// [`HostError`], also for spellings of an address that are not its usual one.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let (host, port) = split_port(text)?;
        let host = match host {
            "*" => HostPattern::Any,
            _ if host.starts_with("**.") => HostPattern::ApexAndSubdomains(parse_suffix(&host[3..])?),
            _ if host.starts_with("*.") => HostPattern::Subdomains(parse_suffix(&host[2..])?),
            _ if host.contains('*') => return Err(HostError::BadWildcard),
            _ => HostPattern::Exact(parse_strict(host)?),
        };
        Ok(Self { host, port })
    }

    /// Whether the pattern stands for this host and port.
    #[must_use]
    pub fn matches(&self, host: &Host, port: u16) -> bool {
        self.port.is_none_or(|own| own == port) && self.host.matches(host)
    }

    /// Whether everything that `other` stands for is stood for by this pattern.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let ports = self.port.is_none() || self.port == other.port;
        ports && self.host.covers(&other.host)
    }

    /// Whether some host and port are stood for by both.
    #[must_use]
    pub fn intersects(&self, other: &Self) -> bool {
        let ports = self.port.is_none() || other.port.is_none() || self.port == other.port;
        ports && (self.host.covers(&other.host) || other.host.covers(&self.host))
    }
}

impl HostPattern {
    /// Whether all hosts of the pattern are the sandbox's own loopback.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Any => false,
            Self::Exact(host) => host.is_loopback(),
            Self::Subdomains(suffix) | Self::ApexAndSubdomains(suffix) => {
                Host::Name(suffix.clone()).is_loopback()
            }
        }
    }

    fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Exact(own), host) => own == host,
            (Self::Subdomains(suffix), Host::Name(name)) => is_below(name, suffix),
            (Self::ApexAndSubdomains(suffix), Host::Name(name)) => name == suffix || is_below(name, suffix),
            (_, Host::Address(_)) => false,
        }
    }

    /// Two of these sets are nested or disjoint, except `*.x` beside `**.x`, where the former is inside the latter.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (_, Self::Any) => false,
            (_, Self::Exact(host)) => self.matches(host),
            (Self::Exact(_), _) => false,
            (Self::Subdomains(own), Self::Subdomains(suffix)) => own == suffix || is_below(suffix, own),
            (Self::Subdomains(own), Self::ApexAndSubdomains(suffix)) => is_below(suffix, own),
            (Self::ApexAndSubdomains(own), Self::Subdomains(suffix) | Self::ApexAndSubdomains(suffix)) => {
                own == suffix || is_below(suffix, own)
            }
        }
    }
}

fn is_below(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).is_some_and(|head| head.len() > 1 && head.ends_with('.'))
}

fn parse_suffix(text: &str) -> Result<String, HostError> {
    if text.contains('*') {
        return Err(HostError::BadWildcard);
    }
    match parse_strict(text)? {
        Host::Name(name) => Ok(name),
        Host::Address(_) => Err(HostError::BadWildcard),
    }
}

fn parse_strict(text: &str) -> Result<Host, HostError> {
    let host = Host::parse(text)?;
    match host {
        Host::Address(IpAddr::V4(address)) if !text.contains(':') && address.to_string() != text => {
            Err(HostError::AmbiguousAddress)
        }
        host => Ok(host),
    }
}

fn split_port(text: &str) -> Result<(&str, Option<u16>), HostError> {
    let (host, port) = if let Some(inner) = text.strip_prefix('[') {
        let end = inner.find(']').ok_or(HostError::BadIpv6)? + 2;
        match text[end..].strip_prefix(':') {
            Some(port) => (&text[..end], port),
            None if text.len() == end => return Ok((text, None)),
            None => return Err(HostError::BadIpv6),
        }
    } else {
        match text.split_once(':') {
            None => return Ok((text, None)),
            Some((_, rest)) if rest.contains(':') && !text.contains('/') => return Ok((text, None)),
            Some(_) if text.contains('/') => return Err(HostError::NotAHost),
            Some((host, port)) => (host, port),
        }
    };
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse() {
        Ok(number) if number != 0 && digits => Ok((host, Some(number))),
        _ => Err(HostError::BadPort),
    }
}

impl fmt::Display for DomainPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            HostPattern::Any => out.write_str("*")?,
            HostPattern::Exact(host) => write!(out, "{host}")?,
            HostPattern::Subdomains(suffix) => write!(out, "*.{suffix}")?,
            HostPattern::ApexAndSubdomains(suffix) => write!(out, "**.{suffix}")?,
        }
        self.port.map_or(Ok(()), |port| write!(out, ":{port}"))
    }
}

impl Serialize for DomainPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DomainPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_one_spelling() {
        let cases = [
            ("Registry.Example.ORG.", Ok("registry.example.org")),
            ("bücher.example", Ok("xn--bcher-kva.example")),
            ("XN--BCHER-KVA.example", Ok("xn--bcher-kva.example")),
            ("my_host.example", Ok("my_host.example")),
            ("127.1", Ok("127.0.0.1")),
            ("2130706433", Ok("127.0.0.1")),
            ("0x7f.1", Ok("127.0.0.1")),
            ("0177.0.0.1", Ok("127.0.0.1")),
            ("[::ffff:127.0.0.1]", Ok("127.0.0.1")),
            ("::1", Ok("[::1]")),
            ("", Err(HostError::Empty)),
            (".", Err(HostError::BadName)),
            ("a..b", Err(HostError::BadName)),
            ("a.example..", Err(HostError::BadName)),
            ("user@host", Err(HostError::NotAHost)),
            ("https://x.example", Err(HostError::NotAHost)),
            ("a b", Err(HostError::BadName)),
            ("1.2.3.4.5", Err(HostError::AmbiguousAddress)),
            ("999.1.1.1", Err(HostError::AmbiguousAddress)),
            ("[::1", Err(HostError::BadIpv6)),
        ];
        for (text, expect) in cases {
            assert_eq!(Host::parse(text).map(|host| host.to_string()), expect.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn patterns_are_strict() {
        let cases = [
            ("*", Ok("*")),
            ("*:443", Ok("*:443")),
            ("*.Example.org", Ok("*.example.org")),
            ("**.example.org:8443", Ok("**.example.org:8443")),
            ("[::1]:80", Ok("[::1]:80")),
            ("2001:db8::1", Ok("[2001:db8::1]")),
            ("10.0.0.5:5432", Ok("10.0.0.5:5432")),
            ("a*.example", Err(HostError::BadWildcard)),
            ("**", Err(HostError::BadWildcard)),
            ("*.*.example", Err(HostError::BadWildcard)),
            ("*.10.0.0.5", Err(HostError::BadWildcard)),
            ("127.1", Err(HostError::AmbiguousAddress)),
            ("host:0", Err(HostError::BadPort)),
            ("host:65536", Err(HostError::BadPort)),
            ("host:+80", Err(HostError::BadPort)),
            ("host:", Err(HostError::BadPort)),
            ("https://host", Err(HostError::NotAHost)),
            ("[::1]x", Err(HostError::BadIpv6)),
        ];
        for (text, expect) in cases {
            assert_eq!(
                DomainPattern::parse(text).map(|pattern| pattern.to_string()),
                expect.map(str::to_owned),
                "{text}"
            );
        }
    }

    #[test]
    fn patterns_match_whole_labels() {
        let cases = [
            ("registry.example.org", "registry.example.org", true),
            ("registry.example.org", "evil-registry.example.org", false),
            ("registry.example.org", "registry.example.org.evil.example", false),
            ("*.example.org", "a.b.example.org", true),
            ("*.example.org", "example.org", false),
            ("*.example.org", "evilexample.org", false),
            ("**.example.org", "example.org", true),
            ("*", "10.0.0.1", true),
            ("*.0.0.1.example", "10.0.0.1", false),
            ("10.0.0.1", "0xa.1", true),
        ];
        for (pattern, host, expect) in cases {
            let pattern = DomainPattern::parse(pattern).unwrap();
            assert_eq!(pattern.matches(&Host::parse(host).unwrap(), 443), expect, "{pattern} {host}");
        }
    }

    #[test]
    fn coverage_is_inclusion() {
        let pattern = |text| DomainPattern::parse(text).unwrap();
        let cases = [
            ("*", "*.x.y", true),
            ("*.x.y", "*", false),
            ("**.x.y", "*.x.y", true),
            ("*.x.y", "**.x.y", false),
            ("*.x.y", "**.a.x.y", true),
            ("*.x.y", "a.x.y:443", true),
            ("*.x.y:443", "a.x.y", false),
            ("a.x.y", "a.x.y", true),
        ];
        for (large, small, expect) in cases {
            assert_eq!(pattern(large).covers(&pattern(small)), expect, "{large} {small}");
        }
        assert!(pattern("*.x.y:443").intersects(&pattern("a.x.y")));
        assert!(!pattern("*.x.y:443").intersects(&pattern("a.x.y:80")));
        assert!(!pattern("*.x.y").intersects(&pattern("x.y")));
    }
}
