//! Patterns over absolute paths, the form in which a rule denies files that do not exist yet.
//!
//! `?` is one character and `*` any run of characters inside one component, `[a-z]` and `[!a-z]` one character of a set
//! (ASCII), `**` as a whole component is any number of components (none, except at the end, where it is one or more), and
//! `\` takes the next character as it is. A pattern that matches a directory covers everything below it.
//!
//! The pattern is parsed once into components, from which every back-end (the verdict, Seatbelt, the live index) is
//! derived; matching itself is left to the `regex` crate.

use std::fmt;

use regex_automata::Anchored;
use regex_automata::dfa::{Automaton, dense};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::bytes::ByteText;
use crate::path::{AbsPath, MAX_PATH_BYTES, PathError};

/// Most bytes that the automaton of one pattern may take while two patterns are compared.
const MAX_COMPARE_BYTES: usize = 1 << 20;

/// Most pairs of automaton states visited while two patterns are compared; beyond it the answer is "not covered".
const MAX_COMPARE_STATES: usize = 1 << 16;

/// Most `*` in one component: more say nothing that fewer do not, and cost the matcher.
pub const MAX_STARS_PER_COMPONENT: usize = 8;

/// Most `**` in one pattern.
pub const MAX_DOUBLE_STARS: usize = 4;

/// Why some text is not a pattern. `at` counts bytes from the start of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// The literal part is not a proper path.
    #[error("{0}")]
    Path(#[from] PathError),
    /// `**` beside other characters in one component.
    #[error("`**` must stand alone between slashes")]
    DoubleStarInComponent {
        /// Byte offset.
        at: usize,
    },
    /// Two `**` components in a row.
    #[error("`**/**` says no more than `**`")]
    RepeatedDoubleStar {
        /// Byte offset.
        at: usize,
    },
    /// `[` without `]`.
    #[error("`[` is not closed; write `[[]` for the character itself")]
    UnclosedClass {
        /// Byte offset.
        at: usize,
    },
    /// `[]` or `[!]`.
    #[error("the set of characters is empty")]
    EmptyClass {
        /// Byte offset.
        at: usize,
    },
    /// `[z-a]`.
    #[error("the range of characters runs backwards")]
    BackwardRange {
        /// Byte offset.
        at: usize,
    },
    /// A slash, a control character or a character outside ASCII between brackets.
    #[error("only printable ASCII characters other than `/` can stand between brackets")]
    BadClassCharacter {
        /// Byte offset.
        at: usize,
    },
    /// `\` as the last character.
    #[error("`\\` takes the next character as it is, and none follows")]
    TrailingBackslash {
        /// Byte offset.
        at: usize,
    },
    /// `{a,b}`, which other tools expand.
    #[error("alternatives in braces are not supported: write one rule for each")]
    Braces {
        /// Byte offset.
        at: usize,
    },
    /// More than [`MAX_STARS_PER_COMPONENT`] or [`MAX_DOUBLE_STARS`].
    #[error("too many wildcards in one pattern")]
    TooManyWildcards {
        /// Byte offset.
        at: usize,
    },
}

impl GlobError {
    /// Byte offset in the text at which the fault stands, where one place can be named.
    #[must_use]
    pub fn at(&self) -> Option<usize> {
        match self {
            Self::Path(_) => None,
            Self::DoubleStarInComponent { at }
            | Self::RepeatedDoubleStar { at }
            | Self::UnclosedClass { at }
            | Self::EmptyClass { at }
            | Self::BackwardRange { at }
            | Self::BadClassCharacter { at }
            | Self::TrailingBackslash { at }
            | Self::Braces { at }
            | Self::TooManyWildcards { at } => Some(*at),
        }
    }
}

/// One element inside a component.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Token {
    /// A byte that stands for itself.
    Byte(u8),
    /// `?`: one character, or one byte of a name that is not UTF-8.
    AnyCharacter,
    /// `*`: any run of bytes other than `/`.
    AnyRun,
    /// `[…]`: one ASCII character inside, or outside, the ranges (inclusive).
    Class {
        /// `[!…]` or `[^…]`.
        negated: bool,
        /// Inclusive ranges of ASCII bytes, in the order written.
        ranges: Vec<(u8, u8)>,
    },
}

/// One component of a pattern.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// A name without wildcards.
    Literal(Vec<u8>),
    /// A name with at least one wildcard.
    Pattern(Vec<Token>),
    /// `**`.
    AnyDepth,
}

/// A pattern anchored at the root of the tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glob {
    components: Vec<Component>,
}

/// Whether a key is meant as a pattern: it holds one of `*`, `?` or `[`.
#[must_use]
pub fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

impl Glob {
    /// Reads `pattern` (relative, components separated by `/`) below the literal directory `base`.
    ///
    /// # Errors
    /// [`GlobError`] with the byte offset of the fault.
    pub fn below(base: &AbsPath, pattern: impl AsRef<[u8]>) -> Result<Self, GlobError> {
        let pattern = pattern.as_ref();
        let mut components: Vec<_> =
            base.components().map(|name| Component::Literal(name.to_vec())).collect();
        let mut at = 0;
        for text in pattern.split(|byte| *byte == b'/') {
            let component = parse_component(text, at)?;
            if component == Component::AnyDepth && components.last() == Some(&Component::AnyDepth) {
                return Err(GlobError::RepeatedDoubleStar { at });
            }
            components.push(component);
            at += text.len() + 1;
        }
        let deep = components.iter().filter(|component| **component == Component::AnyDepth).count();
        if deep > MAX_DOUBLE_STARS {
            return Err(GlobError::TooManyWildcards { at: 0 });
        }
        let length = base.as_bytes().len() + pattern.len() + 1;
        if length > MAX_PATH_BYTES {
            return Err(PathError::TooLong { length }.into());
        }
        Ok(Self { components })
    }

    /// Reads an absolute pattern.
    ///
    /// # Errors
    /// [`GlobError`]; [`PathError::NotAbsolute`] when it does not start with `/`.
    pub fn absolute(pattern: impl AsRef<[u8]>) -> Result<Self, GlobError> {
        let relative = pattern.as_ref().strip_prefix(b"/").ok_or(PathError::NotAbsolute)?;
        Self::below(&AbsPath::root(), relative)
    }

    /// The components from the root down.
    #[must_use]
    pub fn components(&self) -> &[Component] {
        &self.components
    }

    /// The deepest directory that every match lies in: the literal components before the first wildcard.
    #[must_use]
    pub fn base(&self) -> AbsPath {
        let mut bytes = Vec::new();
        for component in &self.components {
            let Component::Literal(name) = component else { break };
            bytes.push(b'/');
            bytes.extend_from_slice(name);
        }
        AbsPath::parse(&bytes).unwrap_or_else(|_| AbsPath::root())
    }

    /// The same pattern with another directory in place of its [`base`](Self::base).
    ///
    /// # Errors
    /// [`GlobError`] when the result is too long.
    pub fn moved(&self, base: &AbsPath) -> Result<Self, GlobError> {
        let wild = |component: &Component| !matches!(component, Component::Literal(_));
        let from = self.components.iter().position(wild).unwrap_or(self.components.len());
        let names = base.components().map(|name| Component::Literal(name.to_vec()));
        let moved = Self { components: names.chain(self.components[from..].iter().cloned()).collect() };
        match moved.to_bytes().len() {
            length if length > MAX_PATH_BYTES => Err(PathError::TooLong { length }.into()),
            _ => Ok(moved),
        }
    }

    /// A regular expression over the bytes of an absolute path that matches what the pattern covers: its matches and all
    /// below them. Anchored at both ends; wants `unicode(false)` and `dot_matches_new_line(true)`.
    #[must_use]
    pub fn to_regex(&self) -> String {
        let mut out = String::from("^");
        for (index, component) in self.components.iter().enumerate() {
            let last = index + 1 == self.components.len();
            match component {
                Component::AnyDepth if last => out.push_str("(?:/[^/]+)+"),
                Component::AnyDepth => out.push_str("(?:/[^/]+)*"),
                Component::Literal(name) => {
                    out.push('/');
                    name.iter().for_each(|byte| push_byte(&mut out, *byte));
                }
                Component::Pattern(tokens) if tokens == &[Token::AnyRun] => out.push_str("/[^/]+"),
                Component::Pattern(tokens) => {
                    out.push('/');
                    tokens.iter().for_each(|token| push_token(&mut out, token));
                }
            }
        }
        out.push_str("(?:/.*)?$");
        out
    }

    /// Whether everything that `other` covers is covered by this pattern too.
    ///
    /// Exact up to fixed bounds on the size of the comparison; beyond them the answer is `false`.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self == other || includes(&self.to_regex(), &other.to_regex()).unwrap_or(false)
    }
}

fn parse_component(text: &[u8], start: usize) -> Result<Component, GlobError> {
    match text {
        b"**" => return Ok(Component::AnyDepth),
        b"" => return Err(if start == 0 { PathError::Empty } else { PathError::EmptyComponent }.into()),
        b"." => return Err(PathError::DotComponent.into()),
        b".." => return Err(PathError::ParentComponent.into()),
        _ => {}
    }
    let mut tokens = Vec::new();
    let mut rest = text.iter().copied().enumerate().peekable();
    let mut stars = 0;
    while let Some((index, byte)) = rest.next() {
        let at = start + index;
        match byte {
            0 => return Err(PathError::Nul.into()),
            b'*' if rest.peek().is_some_and(|(_, next)| *next == b'*') => {
                return Err(GlobError::DoubleStarInComponent { at });
            }
            b'*' => {
                stars += 1;
                tokens.push(Token::AnyRun);
            }
            b'?' => tokens.push(Token::AnyCharacter),
            b'[' => tokens.push(parse_class(&mut rest, at)?),
            b'{' | b'}' => return Err(GlobError::Braces { at }),
            b'\\' => match rest.next() {
                Some((_, next)) => tokens.push(Token::Byte(next)),
                None => return Err(GlobError::TrailingBackslash { at }),
            },
            byte => tokens.push(Token::Byte(byte)),
        }
    }
    if stars > MAX_STARS_PER_COMPONENT {
        return Err(GlobError::TooManyWildcards { at: start });
    }
    let literal: Option<Vec<u8>> = tokens
        .iter()
        .map(|token| match token {
            Token::Byte(byte) => Some(*byte),
            _ => None,
        })
        .collect();
    Ok(literal.map_or(Component::Pattern(tokens), Component::Literal))
}

fn parse_class(
    rest: &mut std::iter::Peekable<impl Iterator<Item = (usize, u8)>>,
    at: usize,
) -> Result<Token, GlobError> {
    let negated = rest.next_if(|(_, byte)| matches!(byte, b'!' | b'^')).is_some();
    let mut ranges: Vec<(u8, u8)> = Vec::new();
    loop {
        let Some((_, low)) = rest.next() else { return Err(GlobError::UnclosedClass { at }) };
        if low == b']' {
            if ranges.is_empty() {
                return Err(GlobError::EmptyClass { at });
            }
            return Ok(Token::Class { negated, ranges });
        }
        let high = match rest.peek() {
            Some((_, b'-')) => {
                rest.next();
                match rest.peek() {
                    Some((_, b']')) | None => {
                        ranges.push((b'-', b'-'));
                        low
                    }
                    Some((_, high)) => {
                        let high = *high;
                        rest.next();
                        high
                    }
                }
            }
            _ => low,
        };
        if [low, high].iter().any(|byte| !matches!(byte, b' '..=b'~') || *byte == b'/') {
            return Err(GlobError::BadClassCharacter { at });
        }
        if low > high {
            return Err(GlobError::BackwardRange { at });
        }
        ranges.push((low, high));
    }
}

/// One character of UTF-8, or one byte where the name is none; never `/`.
const ANY_CHARACTER: &str =
    r"(?:[\xC2-\xDF][\x80-\xBF]|[\xE0-\xEF][\x80-\xBF]{2}|[\xF0-\xF4][\x80-\xBF]{3}|[^/])";

fn push_token(out: &mut String, token: &Token) {
    match token {
        Token::Byte(byte) => push_byte(out, *byte),
        Token::AnyCharacter => out.push_str(ANY_CHARACTER),
        Token::AnyRun => out.push_str("[^/]*"),
        Token::Class { negated: false, ranges } => {
            out.push('[');
            push_ranges(out, ranges);
            out.push(']');
        }
        Token::Class { negated: true, ranges } => {
            // The many-byte alternatives of ANY_CHARACTER lie outside ASCII, so outside every range.
            out.push_str(ANY_CHARACTER.strip_suffix("[^/])").unwrap_or_default());
            out.push_str("[^/");
            push_ranges(out, ranges);
            out.push_str("])");
        }
    }
}

fn push_ranges(out: &mut String, ranges: &[(u8, u8)]) {
    for (low, high) in ranges {
        push_byte(out, *low);
        out.push('-');
        push_byte(out, *high);
    }
}

fn push_byte(out: &mut String, byte: u8) {
    if byte.is_ascii_alphanumeric() {
        out.push(char::from(byte));
    } else {
        out.push_str(&format!("\\x{byte:02X}"));
    }
}

/// Whether every path that `small` matches is matched by `large`; `None` when a bound was reached.
fn includes(large: &str, small: &str) -> Option<bool> {
    let large = automaton(large)?;
    let small = automaton(small)?;
    let start = |dfa: &dense::DFA<Vec<u32>>| dfa.universal_start_state(Anchored::Yes);
    let first = (start(&large)?, start(&small)?);
    let mut seen = std::collections::HashSet::from([first]);
    let mut open = vec![first];
    while let Some((large_state, small_state)) = open.pop() {
        let small_ends = small.is_match_state(small.next_eoi_state(small_state));
        if small_ends && !large.is_match_state(large.next_eoi_state(large_state)) {
            return Some(false);
        }
        for byte in 0..=u8::MAX {
            let next = (large.next_state(large_state, byte), small.next_state(small_state, byte));
            if !small.is_dead_state(next.1) && seen.insert(next) {
                if seen.len() > MAX_COMPARE_STATES {
                    return None;
                }
                open.push(next);
            }
        }
    }
    Some(true)
}

fn automaton(pattern: &str) -> Option<dense::DFA<Vec<u32>>> {
    dense::Builder::new()
        .configure(
            dense::Config::new()
                .start_kind(regex_automata::dfa::StartKind::Anchored)
                .dfa_size_limit(Some(MAX_COMPARE_BYTES))
                .determinize_size_limit(Some(MAX_COMPARE_BYTES)),
        )
        .syntax(
            regex_automata::util::syntax::Config::new().unicode(false).utf8(false).dot_matches_new_line(true),
        )
        .thompson(regex_automata::nfa::thompson::Config::new().utf8(false))
        .build(pattern.trim_start_matches('^'))
        .ok()
}

impl Glob {
    /// The pattern as written, absolute, with literal wildcard characters behind `\`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for component in &self.components {
            out.push(b'/');
            match component {
                Component::AnyDepth => out.extend_from_slice(b"**"),
                Component::Literal(name) => name.iter().for_each(|byte| write_byte(&mut out, *byte)),
                Component::Pattern(tokens) => tokens.iter().for_each(|token| write_token(&mut out, token)),
            }
        }
        out
    }
}

fn write_token(out: &mut Vec<u8>, token: &Token) {
    match token {
        Token::Byte(byte) => write_byte(out, *byte),
        Token::AnyCharacter => out.push(b'?'),
        Token::AnyRun => out.push(b'*'),
        Token::Class { negated, ranges } => {
            out.extend_from_slice(if *negated { b"[!" } else { b"[" });
            for (low, high) in ranges {
                out.push(*low);
                if low != high {
                    out.extend_from_slice(&[b'-', *high]);
                }
            }
            out.push(b']');
        }
    }
}

fn write_byte(out: &mut Vec<u8>, byte: u8) {
    if matches!(byte, b'*' | b'?' | b'[' | b']' | b'{' | b'}' | b'\\') {
        out.push(b'\\');
    }
    out.push(byte);
}

impl fmt::Display for Glob {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&crate::path::display_bytes(&self.to_bytes()))
    }
}

impl Serialize for Glob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ByteText::from(self.to_bytes()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Glob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes: Vec<u8> = ByteText::deserialize(deserializer)?.try_into().map_err(D::Error::custom)?;
        Self::absolute(bytes).map_err(D::Error::custom)
    }
}

#[cfg(test)]
#[path = "glob_tests.rs"]
mod tests;
