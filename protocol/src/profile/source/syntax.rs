//! What is wrong with the notation, in words for whoever wrote the file.
//!
//! The parsers' own sentences name their grammar; these name what a person did. It must never decide whether a text is
//! valid: only [`toml_depth`] refuses by itself, because the TOML parser's tree of a long dotted key is as deep as the key
//! is long, and freeing it would exhaust the stack. Called by [`super::Source::tree`].

use std::collections::BTreeSet;
use std::ops::Range;

use crate::profile::MAX_DEPTH;
use crate::profile::diagnostic::visible;

/// Most characters of a word that are repeated in a message.
const MAX_WORD: usize = 40;

/// What is wrong and what to do about it.
pub(super) struct Fault {
    pub(super) reason: String,
    pub(super) help: &'static str,
}

/// A problem that the TOML parser found at `span` of `text`; `named` is what stands there, where it may be repeated.
pub(super) fn toml_fault(message: &str, named: Option<&str>, text: &str, span: &Range<usize>) -> Fault {
    let word: String =
        text.get(span.clone()).unwrap_or_default().chars().take(MAX_WORD).map(visible).collect();
    let fault = |reason: &str, help| Fault { reason: format!("not valid TOML: {reason}"), help };
    if message.starts_with("duplicate key") {
        let key = named.map(|_| word.trim_matches(['"', '\'']));
        let reason = key
            .map_or_else(|| "a key stands twice".to_owned(), |key| format!("the key `{key}` stands twice"));
        return Fault { reason, help: "remove one" };
    }
    if message.contains("recursion limit") {
        return Fault { reason: format!("nested more than {MAX_DEPTH} levels deep"), help: "" };
    }
    let bare_text =
        message.starts_with("string values must be quoted") || message.starts_with("invalid float");
    if bare_text && word.is_empty() {
        return fault("a value is missing after `=`", "");
    }
    if bare_text {
        return fault("a text must stand between quotes", "put it between double quotes");
    }
    if message.starts_with("invalid basic string") || message.starts_with("invalid literal string") {
        return match word.chars().next() {
            Some('\u{fffd}') => {
                fault("a control character in a text", "write it as an escape, for instance `\\u001b`")
            }
            _ => fault("the text is not closed with a quote on its line", ""),
        };
    }
    if message.starts_with("invalid unquoted key") {
        return fault(
            "a key with other characters than letters, digits, `-` and `_` stands between quotes",
            "",
        );
    }
    if message.starts_with("missing escaped value") {
        return fault(
            "unknown escape",
            "write `\\\\` for a backslash, or put the text between single quotes",
        );
    }
    fault(message.trim_end_matches(", expected nothing"), "")
}

/// A problem that the JSON parser found just before `rest`.
pub(super) fn json_fault(message: &str, rest: &str) -> Fault {
    let reason = message.rsplit_once(" at line").map_or(message, |(head, _)| head);
    if reason.contains("recursion limit") || reason.starts_with("nested") {
        return Fault { reason: format!("nested more than {MAX_DEPTH} levels deep"), help: "" };
    }
    let help = match rest.chars().next() {
        Some('/' | '#') => "JSON has no comments",
        Some('\'') => "JSON wants double quotes",
        Some('}' | ']') if reason.contains("key must be") || reason.contains("trailing comma") => {
            "remove the comma before it"
        }
        _ => "",
    };
    let reason = match reason.strip_prefix("EOF while parsing ") {
        Some("a value") if rest.is_empty() => "there is nothing in it".to_owned(),
        Some(what) => format!("the text ends inside {what}"),
        None => reason.to_owned(),
    };
    Fault { reason: format!("not valid JSON: {reason}"), help }
}

/// Which duplicate keys only follow from a table header that stands twice: those inside that table.
pub(super) fn follows_from_header(text: &str, duplicates: &[Range<usize>]) -> BTreeSet<usize> {
    let mut out = BTreeSet::new();
    let mut header: Option<usize> = None;
    for span in duplicates {
        let line = text.get(..span.start).unwrap_or_default();
        let start = line.rfind('\n').map_or(0, |at| at + 1);
        if text.get(start..).is_some_and(|line| line.trim_start().starts_with('[')) {
            header = Some(start);
        } else if let Some(from) = header {
            let between = text.get(from..start).unwrap_or_default();
            let another = between.lines().skip(1).any(|line| line.trim_start().starts_with('['));
            if !another {
                out.insert(span.start);
            }
        }
    }
    out
}

/// Where a TOML text first goes deeper than the tree may be, by brackets or by the dots of a key.
///
/// Reads the text once, knows strings and comments, and needs no memory. Brackets may be twice as many as levels, since
/// headers have them too; the exact bound is checked on the tree.
pub(super) fn toml_depth(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut dots, mut brackets, mut at) = (0, 0_usize, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' | b'\'' => {
                at = end_of_string(bytes, at);
                continue;
            }
            b'#' => {
                at += bytes[at..].iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len() - at);
                continue;
            }
            b'.' => dots += 1,
            b'[' | b'{' => (dots, brackets) = (0, brackets + 1),
            b']' | b'}' => (dots, brackets) = (0, brackets.saturating_sub(1)),
            b'=' | b',' | b'\n' => dots = 0,
            _ => {}
        }
        if dots > MAX_DEPTH || brackets > 2 * MAX_DEPTH {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// The offset behind a string that starts at `at`; a string on one line ends with the line if it is not closed.
fn end_of_string(bytes: &[u8], at: usize) -> usize {
    let quote = bytes[at];
    let long = bytes[at..].starts_with(&[quote; 3]);
    let mut at = at + if long { 3 } else { 1 };
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' if quote == b'"' => at += 1,
            b'\n' if !long => return at,
            _ if *byte == quote && !long => return at + 1,
            _ if long && bytes[at..].starts_with(&[quote; 3]) => {
                // Up to two quotes may stand directly before the closing three.
                let run = bytes[at..].iter().take_while(|byte| **byte == quote).count();
                return at + run.min(5);
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}
