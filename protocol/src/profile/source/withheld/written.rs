//! What a line of a document may show of which no more is known than what is written: the format's own words, and names before a `=`
//! where nothing above makes it doubtful that they are names.
//!
//! A fault may stand anywhere: a quote that is missing above makes a value look like a key, a bracket a list like a table. So a name that is
//! no word of the format is shown only where every text above is closed on its line and no text over several lines has begun.

use std::ops::Range;
use std::sync::LazyLock;

use super::is_address_with_more;
use crate::profile::document::{BUILT_IN_NAMES, Token};
use crate::profile::read::{PROTECTED_NAMES, SANDBOX_MODES};
use crate::profile::schema::{
    CeilingTable, Config, DenyTable, DomainEntry, EnvironmentTable, KernelTable, NetworkTable,
    Profile as ProfileTable, Requirements, ResourcesTable, Table as _, WhoTable, WorkspaceWrite,
};
use crate::profile::source::Format;
use crate::profile::trust::{CONFIG_SHA256, TRUST_LEVEL};

/// Most bytes of a name that is shown.
const MAX_NAME_BYTES: usize = 80;

/// Words that values are.
const WORDS: [&str; 18] = [
    "true",
    "false",
    "null",
    "read",
    "write",
    "copy",
    "none",
    "deny",
    "allow",
    "limited",
    "full",
    "end",
    "keep",
    "core",
    "all",
    "trusted",
    "untrusted",
    ".",
];

/// All words of the format.
static KNOWN: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let keys = [
        Config::KEYS,
        ProfileTable::KEYS,
        KernelTable::KEYS,
        WorkspaceWrite::KEYS,
        EnvironmentTable::KEYS,
        DomainEntry::KEYS,
        NetworkTable::KEYS,
        Requirements::KEYS,
        CeilingTable::KEYS,
        DenyTable::KEYS,
        WhoTable::KEYS,
        ResourcesTable::KEYS,
        &[TRUST_LEVEL, CONFIG_SHA256],
        &WORDS,
        &BUILT_IN_NAMES,
        &PROTECTED_NAMES,
    ];
    let words = keys.into_iter().flatten().copied();
    let words = words.chain(SANDBOX_MODES.map(|(mode, _)| mode)).chain(Token::WORDS.map(|(word, _)| word));
    let mut words: Vec<&str> = words.collect();
    words.sort_unstable();
    words.dedup();
    words
});

fn is_known(word: &str) -> bool {
    KNOWN.binary_search(&word).is_ok()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Blank,
    Comment,
    /// Anything that is not between quotes.
    Word,
    /// Between quotes; whether they are closed on the line, and are single ones of their kind.
    Text {
        is_whole: bool,
    },
    Mark(u8),
}

/// The part of a line that begins at `at`: its kind, and how long it is.
fn part(line: &str, at: usize, format: Format) -> (Kind, usize) {
    let rest = line.as_bytes().get(at..).unwrap_or_default();
    let until =
        |is_end: &dyn Fn(u8) -> bool| rest.iter().position(|byte| is_end(*byte)).unwrap_or(rest.len());
    let is_mark = |byte: u8| b"[]{},=".contains(&byte) || (format == Format::Json && byte == b':');
    match rest.first() {
        Some(b' ' | b'\t' | b'\r') => (Kind::Blank, until(&|byte| !matches!(byte, b' ' | b'\t' | b'\r'))),
        Some(b'#') => (Kind::Comment, rest.len()),
        Some(quote @ (b'"' | b'\'')) => text(rest, *quote),
        Some(mark) if is_mark(*mark) => (Kind::Mark(*mark), 1),
        _ => (Kind::Word, until(&|byte| b" \t\r#\"'".contains(&byte) || is_mark(byte))),
    }
}

/// A text that ends with its line at the latest.
fn text(rest: &[u8], quote: u8) -> (Kind, usize) {
    if rest.starts_with(&[quote; 3]) {
        return (Kind::Text { is_whole: false }, rest.len());
    }
    let mut at = 1;
    while let Some(byte) = rest.get(at) {
        match byte {
            b'\\' if quote == b'"' => at += 1,
            byte if *byte == quote => return (Kind::Text { is_whole: true }, at + 1),
            _ => {}
        }
        at += 1;
    }
    (Kind::Text { is_whole: false }, rest.len())
}

/// The parts of a line with their places.
fn parts(line: &str, format: Format) -> Vec<(Kind, Range<usize>)> {
    let (mut out, mut at) = (Vec::new(), 0);
    while at < line.len() {
        let (kind, length) = part(line, at, format);
        out.push((kind, at..at + length));
        at += length;
    }
    out
}

/// Where a comment begins, or the line ends.
pub(super) fn comment(line: &str, format: Format) -> usize {
    if format == Format::Json {
        return line.len();
    }
    // A text over several lines may end on this one.
    if line.contains("\"\"\"") || line.contains("'''") {
        return line.find('#').unwrap_or(line.len());
    }
    let parts = parts(line, format);
    parts.iter().find(|(kind, _)| *kind == Kind::Comment).map_or(line.len(), |(_, place)| place.start)
}

/// What the lines above make of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Above {
    /// It begins outside of every list and inline table.
    Outside,
    /// It begins inside of one.
    Inside,
    /// It may begin inside a text.
    Doubtful,
}

fn above(before: &str, format: Format) -> Above {
    let (mut depth, mut last) = (0_usize, Kind::Blank);
    for line in before.lines() {
        for (kind, _) in parts(line, format) {
            last = if matches!(kind, Kind::Blank | Kind::Comment) { last } else { kind };
            match kind {
                Kind::Text { is_whole: false } => return Above::Doubtful,
                Kind::Mark(b'[' | b'{') => depth += 1,
                Kind::Mark(b']' | b'}') if depth == 0 => return Above::Doubtful,
                Kind::Mark(b']' | b'}') => depth -= 1,
                _ => {}
            }
        }
    }
    match (last, depth) {
        // A value that is not there may have slipped onto the next line.
        (Kind::Mark(b'='), _) => Above::Doubtful,
        (_, 0) => Above::Outside,
        _ => Above::Inside,
    }
}

/// How many bytes of a line may be repeated.
pub(super) fn shown(text: &str, line: &Range<usize>, format: Format) -> usize {
    // Two quotes beside each other may be what is left of three, here or further down: a text over several lines.
    let is_clear = !text.contains("\"\"") && !text.contains("''");
    let before = text.get(..line.start).unwrap_or_default();
    let above = if is_clear { above(before, format) } else { Above::Doubtful };
    let line = text.get(line.clone()).unwrap_or_default();
    let parts = parts(line, format);
    let significant: Vec<_> = parts.into_iter().filter(|(kind, _)| *kind != Kind::Blank).collect();
    let line = Line { line, above, format, parts: significant };
    let mut open = Vec::new();
    for (index, (kind, place)) in line.parts.iter().enumerate() {
        match kind {
            Kind::Mark(mark @ (b'[' | b'{')) => open.push(*mark),
            Kind::Mark(b']' | b'}') => drop(open.pop()),
            Kind::Mark(_) | Kind::Blank => {}
            Kind::Word | Kind::Text { .. } if line.may_show(index, open.last().copied()) => {}
            Kind::Word | Kind::Text { .. } | Kind::Comment => return place.start,
        }
    }
    line.line.len()
}

struct Line<'l> {
    line: &'l str,
    above: Above,
    format: Format,
    parts: Vec<(Kind, Range<usize>)>,
}

impl Line<'_> {
    fn kind(&self, index: usize) -> Option<Kind> {
        self.parts.get(index).map(|(kind, _)| *kind)
    }

    /// What is written there, without quotes.
    fn content(&self, index: usize) -> &str {
        let Some((_, place)) = self.parts.get(index) else { return "" };
        let content = self.line.get(place.clone()).unwrap_or_default();
        content.trim_matches(['"', '\''])
    }

    /// Whether a word or text may be repeated, the innermost bracket on the line before it being `open`.
    fn may_show(&self, index: usize, open: Option<u8>) -> bool {
        let content = self.content(index);
        if is_known(content) {
            return true;
        }
        let is_plain = content.len() <= MAX_NAME_BYTES && !is_address_with_more(content);
        self.above != Above::Doubtful && is_plain && (self.is_header(index) || self.is_name(index, open))
    }

    /// Part of a table's header: `[a.b]`, `[[a.b]]`, `[a."b"]`.
    fn is_header(&self, index: usize) -> bool {
        if self.format == Format::Json || self.above != Above::Outside {
            return false;
        }
        let before = |at: usize| self.parts.get(at).map(|(kind, place)| (*kind, place));
        let first = if self.kind(1) == Some(Kind::Mark(b'[')) { 2 } else { 1 };
        if self.kind(0) != Some(Kind::Mark(b'[')) || index < first {
            return false;
        }
        match (before(index), index.checked_sub(1).and_then(before)) {
            (Some((Kind::Word, _)), Some((Kind::Mark(b'['), _))) => !self.content(index).starts_with('.'),
            (Some((Kind::Text { is_whole: true }, place)), Some((Kind::Word, word))) => {
                word.end == place.start && self.content(index - 1).ends_with('.') && index == first + 1
            }
            _ => false,
        }
    }

    /// A name before `=`, with a value behind it.
    fn is_name(&self, index: usize, open: Option<u8>) -> bool {
        let sign = if self.format == Format::Json { b':' } else { b'=' };
        let before = index.checked_sub(1).and_then(|before| self.kind(before));
        let is_in_place = match before {
            None => self.above == Above::Outside && self.format == Format::Toml,
            Some(Kind::Mark(b'{')) => true,
            Some(Kind::Mark(b',')) => open == Some(b'{'),
            _ => false,
        };
        let behind = self.kind(index + 2);
        let is_value = matches!(behind, Some(Kind::Word | Kind::Text { .. } | Kind::Mark(b'{' | b'[')));
        let is_whole = self.kind(index) != Some(Kind::Text { is_whole: false });
        is_in_place && is_whole && self.kind(index + 1) == Some(Kind::Mark(sign)) && is_value
    }
}
