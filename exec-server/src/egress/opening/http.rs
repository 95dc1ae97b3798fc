//! The host that an HTTP/1 request names, and whether bytes are the beginning of one at all (RFC 9110, RFC 9112).
//!
//! Pure. Whatever a lenient server could take for a request counts as one: a first line with `HTTP/` in it, behind empty lines and
//! white space too, or one that lacks that alone. It must then be one that nobody can read in two ways.

use httparse::{EMPTY_HEADER, Request, Status};
use weir_protocol::policy::Host;

use super::Kind;
use crate::egress::refusal::Reason;

/// Headers of one request.
const MAX_HEADERS: usize = 128;

/// Most bytes of a method; the longest that is registered has 16.
const MAX_METHOD_BYTES: usize = 64;

/// How far a head has been read.
#[derive(Debug, Default)]
pub struct Head {
    /// Where the request begins, behind empty lines.
    start: usize,
    /// Bytes in which no end of the head was found.
    searched: usize,
    /// Whether the first line is that of a request.
    is_request: bool,
    /// Whether bytes stand before it that only a lenient server leaves out.
    is_strange: bool,
}

impl Head {
    /// Whether there is a request of which a part is missing.
    pub(super) fn has_begun(&self) -> bool {
        self.is_request
    }

    /// Reads on in `bytes`, which are all bytes from the beginning.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Option<Kind>, Reason> {
        while let Some(byte) = bytes.get(self.start).filter(|byte| is_space(byte)) {
            self.is_strange |= !matches!(byte, b'\r' | b'\n');
            self.start += 1;
        }
        let request = bytes.get(self.start..).unwrap_or_default();
        if !self.is_request {
            match first_line(request, self.searched) {
                Line::Whole(line) if says_http(line) && !self.is_strange => self.is_request = true,
                Line::Whole(line) if says_http(line) || is_old(line) => return Err(Reason::BrokenHttp),
                Line::Whole(_) | Line::Other => return Ok(Some(Kind::Other)),
                Line::Part => {
                    self.searched = request.len();
                    return Ok(None);
                }
            }
            self.searched = 0;
        }
        match end(request, self.searched) {
            Some(end) => host(request.get(..end).unwrap_or_default()).map(Some),
            None => {
                self.searched = request.len();
                Ok(None)
            }
        }
    }
}

/// What the bytes up to the first line's end are.
enum Line<'a> {
    Whole(&'a [u8]),
    Part,
    Other,
}

fn first_line(bytes: &[u8], searched: usize) -> Line<'_> {
    let news = bytes.get(searched..).unwrap_or_default();
    let end = news.iter().position(|byte| *byte == b'\n').map(|at| searched + at);
    let line = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
    let text = |byte: &u8| matches!(byte, b'\t' | b'\r' | b' '..=b'~' | 0x80..);
    let unsearched = line.get(searched.min(line.len())..).unwrap_or_default();
    let method = line.iter().take(MAX_METHOD_BYTES + 1).position(|byte| matches!(byte, b' ' | b'\t'));
    let method = line.get(..method.unwrap_or(line.len())).unwrap_or_default();
    if !unsearched.iter().all(text) || method.len() > MAX_METHOD_BYTES || !method.iter().all(is_token) {
        return Line::Other;
    }
    if end.is_some() { Line::Whole(line) } else { Line::Part }
}

/// A character of a method (RFC 9110, 5.6.2).
fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

/// White space for some reader or other, such as one that takes bytes for Latin-1.
fn is_space(byte: &u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | 0x1c..=b' ' | 0x85 | 0xa0)
}

/// Methods of requests that a server may take without a version (RFC 1945, 4.1).
const OLD_METHODS: [&[u8]; 6] = [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS"];

/// Whether the line is a request but for its version.
fn is_old(line: &[u8]) -> bool {
    let mut words = line.split(is_space).filter(|word| !word.is_empty());
    let is_method = words.next().is_some_and(|word| OLD_METHODS.contains(&word));
    is_method && words.next().is_some_and(|word| word.starts_with(b"/") || word.starts_with(b"http"))
}

fn says_http(line: &[u8]) -> bool {
    line.windows(5).any(|part| part.eq_ignore_ascii_case(b"HTTP/"))
}

/// Where the head ends: behind the first empty line.
pub(crate) fn end(bytes: &[u8], searched: usize) -> Option<usize> {
    let from = searched.saturating_sub(3);
    let news = bytes.get(from..).unwrap_or_default();
    let mut newlines = news.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
    newlines.find_map(|at| match news.get(at + 1..)? {
        [b'\n', ..] => Some(from + at + 2),
        [b'\r', b'\n', ..] => Some(from + at + 3),
        _ => None,
    })
}

/// The host of a whole head.
fn host(head: &[u8]) -> Result<Kind, Reason> {
    if head.starts_with(b"PRI * HTTP/2.0\r\n") {
        return Ok(Kind::Other);
    }
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut request = Request::new(&mut headers);
    if !matches!(request.parse(head), Ok(Status::Complete(_))) {
        return Err(Reason::BrokenHttp);
    }
    let named = named(&request)?;
    let absolute = request.path.and_then(|target| target.split_once("://")).map(|(_, rest)| {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        authority(rest.get(..end).unwrap_or_default()).ok_or(Reason::BrokenHttp)
    });
    match (named, absolute.transpose()?) {
        (Some(named), Some(absolute)) if named != absolute => Err(Reason::BrokenHttp),
        (named, absolute) => Ok(Kind::Http(named.or(absolute))),
    }
}

/// What the `Host` header says; one alone may stand.
fn named(request: &Request<'_, '_>) -> Result<Option<Host>, Reason> {
    let mut all = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("host"));
    let Some(header) = all.next() else { return Ok(None) };
    let value = std::str::from_utf8(header.value).ok().and_then(authority);
    match (value, all.next()) {
        (Some(host), None) => Ok(Some(host)),
        _ => Err(Reason::BrokenHttp),
    }
}

/// A host with an optional port.
pub(crate) fn authority(text: &str) -> Option<Host> {
    let host = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            if host.contains(':') && !host.ends_with(']') || !port.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            host
        }
        _ => text,
    };
    Host::parse(host).ok()
}
