//! How long the body of one HTTP/1 request is (RFC 9112, section 6), so that nothing behind it goes to the same server.
//!
//! Pure. What two readers could measure in two ways is an error.

use httparse::Header;

use crate::egress::refusal::Reason;

/// Most bytes of the line before a chunk, with its extensions.
const MAX_LINE_BYTES: usize = 4096;

/// Most bytes of the lines behind the last chunk.
const MAX_TRAILER_BYTES: usize = 16 << 10;

/// What is still to come of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// So many bytes.
    Bytes(u64),
    /// Chunks.
    Chunked(Chunk),
}

/// Where in its chunks a body stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// In the line before a chunk, of which this was read.
    Size(Vec<u8>),
    /// In a chunk of which, with the end of its line, so many bytes are missing.
    Bytes(u64),
    /// Behind the last chunk: bytes so far, bytes of this line.
    Trailer(usize, usize),
    /// At the end.
    End,
}

impl Body {
    /// The body that these headers announce.
    ///
    /// # Errors
    /// [`Reason::BrokenHttp`].
    pub fn announced(headers: &[Header<'_>]) -> Result<Self, Reason> {
        let values = |name: &'static str| {
            headers
                .iter()
                .filter(move |header| header.name.eq_ignore_ascii_case(name))
                .map(|header| header.value)
        };
        let (mut lengths, mut codings) = (values("content-length"), values("transfer-encoding"));
        match (lengths.next(), codings.next()) {
            (None, None) => Ok(Self::Bytes(0)),
            (Some(length), None) if lengths.next().is_none() => number(length, 10).map(Self::Bytes),
            (None, Some(coding)) if codings.next().is_none() && coding.eq_ignore_ascii_case(b"chunked") => {
                Ok(Self::Chunked(Chunk::Size(Vec::new())))
            }
            _ => Err(Reason::BrokenHttp),
        }
    }

    /// Whether nothing more belongs to it.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(self, Self::Bytes(0) | Self::Chunked(Chunk::End))
    }

    /// How many of `bytes` belong to the body, which then waits for the rest.
    ///
    /// # Errors
    /// [`Reason::BrokenHttp`].
    pub fn take(&mut self, bytes: &[u8]) -> Result<usize, Reason> {
        let mut at = 0;
        while at < bytes.len() && !self.is_whole() {
            let rest = bytes.get(at..).unwrap_or_default();
            at += match self {
                Self::Bytes(left) => skip(left, rest),
                Self::Chunked(chunk) => chunk.take(rest)?,
            };
        }
        Ok(at)
    }
}

impl Chunk {
    fn take(&mut self, bytes: &[u8]) -> Result<usize, Reason> {
        match self {
            Self::Size(line) => {
                let Some(byte) = bytes.first() else { return Ok(0) };
                line.push(*byte);
                if line.len() > MAX_LINE_BYTES {
                    return Err(Reason::BrokenHttp);
                }
                if *byte == b'\n' {
                    let line = line.strip_suffix(b"\r\n").ok_or(Reason::BrokenHttp)?;
                    let digits =
                        line.split(|byte| matches!(byte, b';' | b' ' | b'\t')).next().unwrap_or_default();
                    *self = match number(digits, 16)? {
                        0 => Self::Trailer(0, 0),
                        size => Self::Bytes(size.checked_add(2).ok_or(Reason::BrokenHttp)?),
                    };
                }
                Ok(1)
            }
            Self::Bytes(left) => {
                let taken = skip(left, bytes);
                if *left == 0 {
                    *self = Self::Size(Vec::new());
                }
                Ok(taken)
            }
            Self::Trailer(all, line) => {
                let Some(byte) = bytes.first() else { return Ok(0) };
                *all += 1;
                match byte {
                    b'\n' if *line == 0 => *self = Self::End,
                    b'\n' => *line = 0,
                    b'\r' => {}
                    _ if *all > MAX_TRAILER_BYTES => return Err(Reason::BrokenHttp),
                    _ => *line += 1,
                }
                Ok(1)
            }
            Self::End => Ok(0),
        }
    }
}

fn skip(left: &mut u64, bytes: &[u8]) -> usize {
    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    *left = left.saturating_sub(count as u64);
    count
}

fn number(digits: &[u8], radix: u32) -> Result<u64, Reason> {
    let text = std::str::from_utf8(digits).map_err(|_| Reason::BrokenHttp)?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Reason::BrokenHttp);
    }
    u64::from_str_radix(text, radix).map_err(|_| Reason::BrokenHttp)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(name: &str, value: &str) -> Result<Body, Reason> {
        Body::announced(&[Header { name, value: value.as_bytes() }])
    }

    #[test]
    fn what_is_ambiguous_is_refused() {
        let chunked = || Ok(Body::Chunked(Chunk::Size(Vec::new())));
        let cases = [
            ("x", "1", Ok(Body::Bytes(0))),
            ("Content-Length", "17", Ok(Body::Bytes(17))),
            ("Content-Length", "+17", Err(Reason::BrokenHttp)),
            ("Content-Length", "17, 17", Err(Reason::BrokenHttp)),
            ("Content-Length", "0x1", Err(Reason::BrokenHttp)),
            ("Content-Length", "99999999999999999999", Err(Reason::BrokenHttp)),
            ("Transfer-Encoding", "Chunked", chunked()),
            ("Transfer-Encoding", "gzip, chunked", Err(Reason::BrokenHttp)),
            ("Transfer-Encoding", "chunked, identity", Err(Reason::BrokenHttp)),
        ];
        for (name, value, expect) in cases {
            assert_eq!(body(name, value), expect, "{name}: {value}");
        }
        let both = [("content-length", "1"), ("transfer-encoding", "chunked")]
            .map(|(name, value)| Header { name, value: value.as_bytes() });
        assert_eq!(Body::announced(&both), Err(Reason::BrokenHttp));
        let twice = [("content-length", "1"), ("Content-Length", "1")]
            .map(|(name, value)| Header { name, value: value.as_bytes() });
        assert_eq!(Body::announced(&twice), Err(Reason::BrokenHttp));
    }

    #[test]
    fn a_body_ends_where_it_says_however_it_is_cut() {
        let cases = [
            ("Content-Length", "5", "helloGET / HTTP/1.1", Some(5)),
            ("Content-Length", "0", "GET /", Some(0)),
            ("Transfer-Encoding", "chunked", "5\r\nhello\r\n0\r\n\r\nGET", Some(15)),
            ("Transfer-Encoding", "chunked", "1;x=y\r\nh\r\n0\r\nA: b\r\n\r\nGET", Some(21)),
            ("Transfer-Encoding", "chunked", "5\nhello", None),
            ("Transfer-Encoding", "chunked", "x\r\n", None),
            ("Transfer-Encoding", "chunked", "ffffffffffffffff\r\n", None),
        ];
        for (name, value, text, expect) in cases {
            for piece in [1, 2, 3, text.len()] {
                let (mut body, mut taken) = (body(name, value).unwrap(), Ok(0));
                for bytes in text.as_bytes().chunks(piece) {
                    taken = taken.and_then(|sum| body.take(bytes).map(|count| sum + count));
                }
                assert_eq!(taken.clone().ok(), expect, "{text} by {piece}");
                assert!(taken.is_err() || body.is_whole(), "{text}");
            }
        }
    }
}
