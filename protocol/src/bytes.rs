//! Bytes that are mostly text: arguments, variables and paths of Linux need not be UTF-8.
//!
//! In JSON they stand as text where they are UTF-8 and as hexadecimal digits where they are not, so that nothing is lost.
//! Everything that crosses a socket and may hold any byte is made of these.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How bytes that are mostly text stand in JSON: as text where they are UTF-8, as hexadecimal digits where they are not, so
/// that nothing is lost.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum ByteText {
    /// UTF-8.
    Text(String),
    /// Anything else.
    Bytes {
        /// Two digits for each byte.
        hex: String,
    },
}

/// `hex` is not pairs of hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("`hex` is not pairs of hexadecimal digits")]
pub(crate) struct BadHex;

impl From<Vec<u8>> for ByteText {
    fn from(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or_else(
            |error| Self::Bytes { hex: error.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect() },
            Self::Text,
        )
    }
}

impl TryFrom<ByteText> for Vec<u8> {
    type Error = BadHex;

    fn try_from(text: ByteText) -> Result<Self, BadHex> {
        match text {
            ByteText::Text(text) => Ok(text.into_bytes()),
            ByteText::Bytes { hex } => decode_hex(&hex).ok_or(BadHex),
        }
    }
}

pub(crate) fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect()
}

/// The first of these words, no more than so many of them and so many bytes together; the last one may be cut.
#[must_use]
pub fn first_words(argv: &[ByteString], bytes: usize) -> Vec<ByteString> {
    let mut left = bytes;
    let words = argv.iter().map_while(|word| {
        let part = word.0.get(..left).unwrap_or(&word.0);
        left -= part.len();
        (!part.is_empty() || word.0.is_empty()).then(|| ByteString(part.to_vec()))
    });
    words.take(bytes).collect()
}

/// Any bytes, usually text: an argument, the name or value of an environment variable.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "ByteText", into = "ByteText")]
pub struct ByteString(pub Vec<u8>);

impl From<ByteString> for ByteText {
    fn from(bytes: ByteString) -> Self {
        bytes.0.into()
    }
}

impl TryFrom<ByteText> for ByteString {
    type Error = BadHex;

    fn try_from(text: ByteText) -> Result<Self, BadHex> {
        text.try_into().map(Self)
    }
}

impl AsRef<[u8]> for ByteString {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for ByteString {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl fmt::Display for ByteString {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&crate::path::display_bytes(&self.0))
    }
}

impl fmt::Debug for ByteString {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", crate::path::display_bytes(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::ByteString;

    #[test]
    fn every_byte_survives_json() {
        for (bytes, json) in
            [(&b"plain"[..], "\"plain\""), (b"a\xffb", "{\"hex\":\"61ff62\"}"), (b"", "\"\"")]
        {
            let string = ByteString(bytes.to_vec());
            assert_eq!(serde_json::to_string(&string).unwrap(), json);
            assert_eq!(serde_json::from_str::<ByteString>(json).unwrap(), string);
        }
        assert!(serde_json::from_str::<ByteString>("{\"hex\":\"6\"}").is_err());
    }
}
