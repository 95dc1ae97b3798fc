//! The keys that leave a command to itself, in what is typed.
//!
//! Only [`attend`](super::attend) and the command line use it.

use std::str::FromStr;

/// Most keys of one sequence.
const MAX_KEYS: usize = 8;

/// Why a text names no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DetachError {
    /// Not a key.
    #[error(
        "`{key}` is no key: write ctrl-] or ctrl-a, one character, several after each other with commas, or none"
    )]
    Key {
        /// The text.
        key: String,
    },
    /// Too many of them.
    #[error("at most {MAX_KEYS} keys")]
    TooMany,
}

/// A sequence of keys that is looked for and passed to nobody. Empty: nothing is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys {
    keys: Vec<u8>,
    /// How many of them were typed last.
    matched: usize,
}

/// What was typed, without the sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Typed {
    /// All of it is for the command.
    All,
    /// The sequence came, and what is behind it is nobody's.
    Detach,
}

impl FromStr for DetachKeys {
    type Err = DetachError;

    fn from_str(text: &str) -> Result<Self, DetachError> {
        if text == "none" {
            return Ok(Self { keys: Vec::new(), matched: 0 });
        }
        let keys: Vec<u8> = text.split(',').map(key).collect::<Result<_, _>>()?;
        if keys.len() > MAX_KEYS { Err(DetachError::TooMany) } else { Ok(Self { keys, matched: 0 }) }
    }
}

/// A control key is its character without the upper three bits (ECMA-48, C0).
fn key(text: &str) -> Result<u8, DetachError> {
    let wrong = || DetachError::Key { key: text.to_owned() };
    match (text.strip_prefix("ctrl-").map(str::as_bytes), text.as_bytes()) {
        (Some([letter @ (b'@'..=b'_' | b'a'..=b'z')]), _) => Ok(letter & 0x1f),
        (None, [character @ b'!'..=b'~']) => Ok(*character),
        _ => Err(wrong()),
    }
}

impl DetachKeys {
    /// Adds to `out` what is the command's. The beginning of the sequence waits for its end, or for another key.
    pub(super) fn pass(&mut self, typed: &[u8], out: &mut Vec<u8>) -> Typed {
        for byte in typed {
            // Falls back to the longest beginning that the last keys still are.
            while self.matched > 0 && self.keys.get(self.matched) != Some(byte) {
                let shorter = (0..self.matched).rev().find(|length| self.is_end(*length)).unwrap_or(0);
                out.extend(self.keys.iter().take(self.matched - shorter));
                self.matched = shorter;
            }
            if self.keys.get(self.matched) != Some(byte) {
                out.push(*byte);
                continue;
            }
            self.matched += 1;
            if self.matched == self.keys.len() {
                self.matched = 0;
                return Typed::Detach;
            }
        }
        Typed::All
    }

    /// Whether the first `length` keys are also the last ones of those that were typed.
    fn is_end(&self, length: usize) -> bool {
        let typed = self.keys.get(..self.matched).unwrap_or_default();
        self.keys.get(..length).is_some_and(|beginning| length < self.matched && typed.ends_with(beginning))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_named() {
        let keys = |text: &str| text.parse::<DetachKeys>().map(|keys| keys.keys).ok();
        let cases: [(&str, Option<&[u8]>); 9] = [
            ("ctrl-]", Some(&[0x1d])),
            ("ctrl-p,ctrl-q", Some(&[0x10, 0x11])),
            ("ctrl-@", Some(&[0])),
            ("~,.", Some(b"~.")),
            ("none", Some(b"")),
            ("", None),
            ("ctrl-", None),
            ("escape", None),
            ("a,b,c,d,e,f,g,h,i", None),
        ];
        for (text, expect) in cases {
            assert_eq!(keys(text).as_deref(), expect, "{text}");
        }
    }

    #[test]
    fn the_sequence_is_found_wherever_it_is_cut_and_nothing_else_is_kept() {
        let cases: [(&str, &str, &str, Typed); 7] = [
            ("ctrl-]", "abc", "abc", Typed::All),
            ("ctrl-]", "ab\u{1d}c", "ab", Typed::Detach),
            ("x,y", "axbxy", "axb", Typed::Detach),
            ("x,x,y", "xxxy", "x", Typed::Detach),
            ("a,b,a,c", "ababac", "ab", Typed::Detach),
            ("x,y", "axxb", "axxb", Typed::All),
            ("none", "\u{1d}", "\u{1d}", Typed::All),
        ];
        for (keys, typed, expect, outcome) in cases {
            for cut in 0..=typed.len() {
                let (mut keys, mut out) = (keys.parse::<DetachKeys>().unwrap(), Vec::new());
                let (one, two) = typed.as_bytes().split_at(cut);
                let mut found = keys.pass(one, &mut out);
                if found == Typed::All {
                    found = keys.pass(two, &mut out);
                }
                assert_eq!((out.as_slice(), found), (expect.as_bytes(), outcome), "{typed} cut at {cut}");
            }
        }
    }
}
