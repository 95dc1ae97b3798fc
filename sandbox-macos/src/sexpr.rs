//! S-expressions, the notation of Seatbelt profiles: one value, one text, and back.
//!
//! The printer never yields text that reads as anything else than the value it was given; `evaluate::parse` reads it back.
//! Callers: [`crate::sbpl`] prints, [`crate::evaluate`] reads.

use std::fmt::{self, Write as _};

/// One value of the notation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sexpr {
    /// A bare word, such as `file-read*`.
    Symbol(String),
    /// A text between double quotes, as bytes.
    Text(Vec<u8>),
    /// A whole number.
    Integer(u64),
    /// Values between parentheses.
    List(Vec<Sexpr>),
}

impl Sexpr {
    /// A bare word.
    #[must_use]
    pub fn symbol(word: &str) -> Self {
        Self::Symbol(word.to_owned())
    }

    /// A text.
    #[must_use]
    pub fn text(text: impl AsRef<[u8]>) -> Self {
        Self::Text(text.as_ref().to_vec())
    }

    /// A list that starts with a bare word.
    #[must_use]
    pub fn call(word: &str, arguments: impl IntoIterator<Item = Sexpr>) -> Self {
        Self::List(std::iter::once(Self::symbol(word)).chain(arguments).collect())
    }
}

/// Whether `word` reads back as a bare word: letters, digits and the punctuation of operation names, and no number.
#[must_use]
pub fn is_symbol(word: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-*_:.+!?/<>=%&~^$@".contains(byte);
    !word.is_empty() && word.iter().all(plain) && !word.iter().all(u8::is_ascii_digit)
}

impl fmt::Display for Sexpr {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Symbol(word) => out.write_str(word),
            Self::Text(bytes) => write_text(out, bytes),
            Self::Integer(number) => write!(out, "{number}"),
            Self::List(items) => {
                out.write_char('(')?;
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.write_char(' ')?;
                    }
                    item.fmt(out)?;
                }
                out.write_char(')')
            }
        }
    }
}

/// A text between quotes: printable ASCII as it is, quotes and backslashes behind a backslash, every other byte as `\xHH`.
fn write_text(out: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    out.write_char('"')?;
    for byte in bytes {
        match byte {
            b'"' | b'\\' => write!(out, "\\{}", char::from(*byte))?,
            b' '..=b'~' => out.write_char(char::from(*byte))?,
            _ => write!(out, "\\x{byte:02x}")?,
        }
    }
    out.write_char('"')
}
