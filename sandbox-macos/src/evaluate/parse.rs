//! Reads the notation of profiles: lists, words, numbers, texts and comments.
//!
//! Bounded in size and depth; anything else than the notation is an error with its place. Callers: [`super::Program`] and
//! the fuzz target, which prints what was read and reads it again.

use crate::sexpr::{Sexpr, is_symbol};

/// Longest text read, in bytes: ten times what Weir hands to `sandbox-exec`.
pub const MAX_TEXT_BYTES: usize = 10 << 20;

/// Deepest nesting of lists.
pub const MAX_DEPTH: usize = 64;

/// Why a text is not the notation. `at` counts bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Longer than [`MAX_TEXT_BYTES`].
    #[error("longer than {MAX_TEXT_BYTES} bytes")]
    TooLong,
    /// Deeper than [`MAX_DEPTH`].
    #[error("at byte {at}: nested deeper than {MAX_DEPTH}")]
    TooDeep {
        /// Byte offset.
        at: usize,
    },
    /// `(` without `)`.
    #[error("a list is not closed")]
    OpenList,
    /// `)` without `(`.
    #[error("at byte {at}: `)` closes nothing")]
    StrayParenthesis {
        /// Byte offset.
        at: usize,
    },
    /// `"` without its fellow.
    #[error("at byte {at}: the text is not closed")]
    OpenText {
        /// Byte offset.
        at: usize,
    },
    /// `\x` without two digits, or a backslash before a character that means nothing.
    #[error("at byte {at}: no such escape")]
    BadEscape {
        /// Byte offset.
        at: usize,
    },
    /// A character that starts nothing.
    #[error("at byte {at}: unexpected character")]
    BadCharacter {
        /// Byte offset.
        at: usize,
    },
}

/// Reads every value of `text`.
///
/// # Errors
/// [`ParseError`] at the first place that is not the notation.
pub fn read(text: &[u8]) -> Result<Vec<Sexpr>, ParseError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(ParseError::TooLong);
    }
    let mut reader = Reader { text, at: 0 };
    // The last list is the innermost one that is open; the first holds the whole text.
    let mut open: Vec<Vec<Sexpr>> = vec![Vec::new()];
    while let Some(byte) = reader.next_byte() {
        let at = reader.at;
        let value = match byte {
            b'(' => {
                if open.len() > MAX_DEPTH {
                    return Err(ParseError::TooDeep { at });
                }
                reader.at += 1;
                open.push(Vec::new());
                continue;
            }
            b')' => {
                reader.at += 1;
                match open.pop() {
                    Some(items) if !open.is_empty() => Sexpr::List(items),
                    _ => return Err(ParseError::StrayParenthesis { at }),
                }
            }
            b'"' => reader.quoted()?,
            b'#' => reader.raw()?,
            _ => reader.word()?,
        };
        if let Some(innermost) = open.last_mut() {
            innermost.push(value);
        }
    }
    match (open.pop(), open.is_empty()) {
        (Some(items), true) => Ok(items),
        _ => Err(ParseError::OpenList),
    }
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
}

impl Reader<'_> {
    /// The next byte that is neither white space nor in a comment, without taking it.
    fn next_byte(&mut self) -> Option<u8> {
        while let Some(byte) = self.text.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                b';' => {
                    let rest = &self.text[self.at..];
                    self.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                }
                byte => return Some(*byte),
            }
        }
        None
    }

    fn quoted(&mut self) -> Result<Sexpr, ParseError> {
        let start = self.at;
        self.at += 1;
        let mut out = Vec::new();
        loop {
            let at = self.at;
            let byte = *self.text.get(at).ok_or(ParseError::OpenText { at: start })?;
            self.at += 1;
            match byte {
                b'"' => return Ok(Sexpr::Text(out)),
                b'\\' => out.push(self.escape(at)?),
                byte => out.push(byte),
            }
        }
    }

    fn escape(&mut self, at: usize) -> Result<u8, ParseError> {
        let byte = *self.text.get(self.at).ok_or(ParseError::BadEscape { at })?;
        self.at += 1;
        match byte {
            b'"' | b'\\' | b'/' => Ok(byte),
            b'n' => Ok(b'\n'),
            b't' => Ok(b'\t'),
            b'r' => Ok(b'\r'),
            b'x' => {
                let digits = self.text.get(self.at..self.at + 2).ok_or(ParseError::BadEscape { at })?;
                self.at += 2;
                let digits = std::str::from_utf8(digits)
                    .ok()
                    .filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
                digits.and_then(|text| u8::from_str_radix(text, 16).ok()).ok_or(ParseError::BadEscape { at })
            }
            _ => Err(ParseError::BadEscape { at }),
        }
    }

    /// `#"…"`: a text in which a backslash is only a backslash.
    fn raw(&mut self) -> Result<Sexpr, ParseError> {
        let start = self.at;
        let rest = &self.text[start + 1..];
        let body = rest.strip_prefix(b"\"").ok_or(ParseError::BadCharacter { at: start })?;
        let end = body.iter().position(|byte| *byte == b'"').ok_or(ParseError::OpenText { at: start })?;
        self.at = start + 2 + end + 1;
        Ok(Sexpr::text(&body[..end]))
    }

    fn word(&mut self) -> Result<Sexpr, ParseError> {
        let at = self.at;
        let rest = &self.text[at..];
        let end = rest
            .iter()
            .position(|byte| byte.is_ascii_whitespace() || b"()\";".contains(byte))
            .unwrap_or(rest.len());
        let word = &rest[..end];
        self.at += end;
        let text = std::str::from_utf8(word).map_err(|_| ParseError::BadCharacter { at })?;
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(number) = text.parse::<u64>().ok().filter(|_| digits) {
            return Ok(Sexpr::Integer(number));
        }
        if is_symbol(word) { Ok(Sexpr::symbol(text)) } else { Err(ParseError::BadCharacter { at }) }
    }
}
