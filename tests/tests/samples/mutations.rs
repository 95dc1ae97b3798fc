//! Whatever the bytes are, the reader answers: a document or a message, never a panic, and never both an error and a document.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use weir_protocol::policy::Layer;
use weir_protocol::profile::Format;

use crate::sample::{self, read_bytes};

/// Longest arbitrary text.
const MAX_BYTES: usize = 512;

/// Most changes to one sample.
const MAX_CHANGES: usize = 8;

/// Pieces of the language, so that arbitrary text gets past the notation more often.
const PIECES: [&str; 44] = [
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    ",",
    ".",
    ":",
    "\"",
    "\"\"\"",
    "'",
    "\n",
    "#",
    " ",
    "\t",
    "\r\n",
    "permissions",
    "p",
    "filesystem",
    "network",
    "domains",
    "pattern",
    "allow",
    "true",
    "none",
    "\":root\"",
    "\"~/x\"",
    "\"/srv/**\"",
    "\\u0000",
    "\u{feff}",
    "\u{202e}",
    "é",
    "9999999999999999999",
    "-0",
    "1e400",
    "nan",
    "2026-01-01",
    "null",
    "extends",
    "resources",
    "memory",
    "sandbox_workspace_write",
];

/// One change to the bytes of a sample.
#[derive(Debug, Clone)]
enum Change {
    Flip(Index, u8),
    Delete(Index, usize),
    Duplicate(Index, usize),
    Insert(Index, &'static str),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let range = |at: &Index, length: usize| {
            let start = at.index(bytes.len());
            start..(start + length).min(bytes.len())
        };
        match self {
            Self::Flip(at, mask) => {
                let at = at.index(bytes.len());
                bytes[at] ^= mask;
            }
            Self::Delete(at, length) => drop(bytes.drain(range(at, *length))),
            Self::Duplicate(at, length) => {
                let range = range(at, *length);
                let copy = bytes[range.clone()].to_vec();
                bytes.splice(range.end..range.end, copy);
            }
            Self::Insert(at, piece) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, piece.bytes());
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let length = 1..40_usize;
    prop_oneof![
        (any::<Index>(), 1..=255_u8).prop_map(|(at, mask)| Change::Flip(at, mask)),
        (any::<Index>(), length.clone()).prop_map(|(at, length)| Change::Delete(at, length)),
        (any::<Index>(), length).prop_map(|(at, length)| Change::Duplicate(at, length)),
        (any::<Index>(), select(PIECES.as_slice())).prop_map(|(at, piece)| Change::Insert(at, piece)),
    ]
}

/// The reader's promise for any bytes in any notation and layer.
fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    for format in [Format::Toml, Format::Json] {
        for layer in [Layer::User, Layer::Requirements] {
            let outcome = read_bytes("any", bytes.to_vec(), format, layer);
            let refused = outcome.message.lines().any(|line| line.starts_with("error: "));
            prop_assert_eq!(outcome.document.is_none(), refused, "{}", outcome.message);
            let again = read_bytes("any", bytes.to_vec(), format, layer);
            prop_assert_eq!(outcome.message, again.message);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..MAX_BYTES)) {
        check(&bytes)?;
    }

    #[test]
    fn any_pieces_get_an_answer(pieces in proptest::collection::vec(select(PIECES.as_slice()), 0..60)) {
        check(pieces.concat().as_bytes())?;
    }

    #[test]
    fn changed_samples_get_an_answer(
        sample in select(sample::group("valid")),
        changes in proptest::collection::vec(change(), 1..MAX_CHANGES),
    ) {
        let mut bytes = sample.bytes.clone();
        changes.iter().for_each(|change| change.apply(&mut bytes));
        check(&bytes)?;
    }
}
