//! What of a document no message may repeat: values in which a key, a password or a token may stand.
//!
//! A configuration is one file for several programs, and most of it is not about permissions: keys of providers, variables of servers. So
//! nothing is looked for that might be a secret; a value is repeated where it is known to be none. In a document whose notation is right
//! the tree says which values those are ([`tree`]). Where it is wrong nothing says for certain what is a key, a value or a table, and only
//! words of the format's own are repeated ([`written`]). Called by [`super::Source`]; it must never decide whether a text is valid.

mod tree;
mod written;

use std::ops::Range;

use super::{Format, Node};

/// What stands where something is not repeated.
pub(in crate::profile) const LEFT_OUT: char = '…';

/// What may be repeated of one document.
#[derive(Debug, Clone)]
pub(super) enum Withheld {
    /// All but these places, the notation being right.
    Places(Vec<Range<usize>>),
    /// What each line shows by itself.
    Unread,
}

impl Withheld {
    /// Of a document with this tree, if it has one.
    pub(super) fn of(tree: Option<&Node>) -> Self {
        tree.map_or(Self::Unread, |tree| Self::Places(tree::places(tree)))
    }

    /// How many bytes of a line may be repeated, from its start.
    pub(super) fn shown(&self, text: &str, line: &Range<usize>, format: Format) -> usize {
        let end = match self {
            Self::Places(places) => {
                let first = places.iter().filter(|place| place.start < line.end && place.end > line.start);
                let first = first.map(|place| place.start.max(line.start)).min().unwrap_or(line.end);
                first.min(line.start + written::comment(text.get(line.clone()).unwrap_or_default(), format))
            }
            Self::Unread => line.start + written::shown(text, line, format),
        };
        end.saturating_sub(line.start)
    }
}

/// Whether an address has a user or a query in it.
pub(in crate::profile) fn is_address_with_more(text: &str) -> bool {
    authority(text).is_some_and(|at| text.get(at..).unwrap_or_default().contains(['@', '?']))
        || text.find('@').is_some_and(|at| {
            !text.starts_with(['/', '~']) && text.get(..at).unwrap_or_default().contains(':')
        })
}

/// A text without what may be secret in an address.
pub(in crate::profile) fn without_more(text: &str) -> String {
    if !is_address_with_more(text) {
        return text.to_owned();
    }
    let scheme = text.get(..authority(text).unwrap_or_default()).unwrap_or_default();
    format!("{scheme}{LEFT_OUT}")
}

/// Longest word that may stand where one of the format's is expected, in letters.
const MAX_WORD: usize = 16;

/// Whether something is a word, as people misspell them, and no more.
pub(in crate::profile) fn is_word(text: &str) -> bool {
    text.len() <= MAX_WORD && text.chars().all(|c| c.is_ascii_alphabetic() || matches!(c, '-' | '_'))
}

/// Where what follows a scheme begins.
fn authority(text: &str) -> Option<usize> {
    const BEHIND_SCHEME: &str = "://";
    text.find(BEHIND_SCHEME).map(|at| at + BEHIND_SCHEME.len())
}

#[cfg(test)]
mod tests;
