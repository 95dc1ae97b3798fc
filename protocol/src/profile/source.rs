//! A text with its name, and the tree that TOML and JSON both become.

mod syntax;
mod withheld;

use std::ops::Range;
use std::sync::OnceLock;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Severity, visible};
use super::{MAX_DEPTH, MAX_DIAGNOSTICS, MAX_DOCUMENT_BYTES};
use crate::policy::{Layer, Place};
use withheld::Withheld;
pub(super) use withheld::{LEFT_OUT, is_word, without_more};

/// Beyond this length of a line columns count bytes, so that finding a place stays cheap.
const MAX_CHARACTER_COLUMNS: usize = 64 << 10;

/// What some editors put at the start of a file.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The notation of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// TOML 1.1.
    Toml,
    /// JSON (RFC 8259), by value.
    Json,
}

/// A document's text with its name and the layer it belongs to.
#[derive(Debug, Clone)]
pub struct Source {
    name: String,
    text: String,
    format: Format,
    layer: Layer,
    lines: Vec<usize>,
    /// What no message repeats of it, once somebody has asked.
    withheld: OnceLock<Withheld>,
}

impl Source {
    /// Takes the bytes of a document; a byte order mark at its start is dropped.
    ///
    /// # Errors
    /// A [`Diagnostic`] when they are too many or not UTF-8.
    pub fn new(name: &str, bytes: Vec<u8>, format: Format, layer: Layer) -> Result<Self, Box<Diagnostic>> {
        if bytes.len() > MAX_DOCUMENT_BYTES {
            return Err(Box::new(Diagnostic {
                severity: Severity::Error,
                place: Place { file: name.to_owned(), line: 1, column: 1 },
                width: 1,
                line_text: String::new(),
                reason: format!("the file has {} bytes and may have {MAX_DOCUMENT_BYTES}", bytes.len()),
                help: Some("use directories or patterns instead of single files".to_owned()),
            }));
        }
        let with = |text: String| {
            let text = text.strip_prefix(BYTE_ORDER_MARK).map(str::to_owned).unwrap_or(text);
            let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
            Self { name: name.to_owned(), text, format, layer, lines, withheld: OnceLock::new() }
        };
        String::from_utf8(bytes).map(with).map_err(|error| {
            let mark = if error.as_bytes().starts_with("\u{feff}".as_bytes()) {
                BYTE_ORDER_MARK.len_utf8()
            } else {
                0
            };
            let at = error.utf8_error().valid_up_to();
            let lossy = with(String::from_utf8_lossy(error.as_bytes()).into_owned());
            let reason = format!("the file is not UTF-8 (byte {at} from its start)");
            let help = Some("save it as UTF-8".to_owned());
            Box::new(Diagnostic {
                help,
                ..lossy.diagnostic(Severity::Error, &(at - mark..at - mark + 1), reason)
            })
        })
    }

    /// The name under which it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The layer that the document belongs to.
    #[must_use]
    pub fn layer(&self) -> Layer {
        self.layer
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Line and column of a byte offset.
    #[must_use]
    pub fn place(&self, at: usize) -> Place {
        let at = self.floor(at);
        let line = self.lines.partition_point(|start| *start <= at).max(1);
        let before = &self.text[self.lines[line - 1]..at];
        let column = if before.len() > MAX_CHARACTER_COLUMNS { before.len() } else { before.chars().count() };
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        Place { file: self.name.clone(), line: number(line), column: number(column + 1) }
    }

    /// A problem at a byte range. Of its line what may hold a secret is not repeated, nor what stands behind that.
    #[must_use]
    pub fn diagnostic(&self, severity: Severity, span: &Range<usize>, reason: String) -> Diagnostic {
        let place = self.place(span.start);
        let line = self.line(place.line);
        let shown = line.start + self.shown(&line);
        let raw = self.text.get(line.start..shown).unwrap_or_default();
        let is_whole = shown >= line.end;
        let last = self.floor(span.end.min(if is_whole { line.end } else { shown }));
        let width = self.text.get(self.floor(span.start)..last).map_or(1, |part| part.chars().count().max(1));
        let mut line_text: String = raw.chars().map(visible).collect();
        if !is_whole && line_text.trim().is_empty() {
            line_text.clear();
        } else if !is_whole {
            line_text.push(LEFT_OUT);
        }
        Diagnostic {
            severity,
            place,
            width: u32::try_from(width).unwrap_or(1),
            line_text,
            reason,
            help: None,
        }
    }

    /// Where a line stands, without its end.
    fn line(&self, number: u32) -> Range<usize> {
        let index = (number as usize).clamp(1, self.lines.len()) - 1;
        let start = self.lines[index];
        let end = self.lines.get(index + 1).map_or(self.text.len(), |next| next - 1);
        start..start + self.text[start..end].trim_end_matches('\r').len()
    }

    /// How many bytes of a line may be repeated.
    fn shown(&self, line: &Range<usize>) -> usize {
        let withheld = self.withheld.get_or_init(|| Withheld::of(self.well_formed().as_ref()));
        withheld.shown(&self.text, line, self.format)
    }

    /// A part of the text, for a message; `None` where it may hold a secret.
    fn repeatable(&self, span: &Range<usize>) -> Option<&str> {
        let line = self.line(self.place(span.start).line);
        self.text.get(span.clone()).filter(|_| span.end <= line.start + self.shown(&line))
    }

    /// The tree of a text whose notation is right.
    fn well_formed(&self) -> Option<Node> {
        match self.format {
            Format::Toml if syntax::toml_depth(&self.text).is_none() => {
                let table = DeTable::parse(&self.text).ok()?;
                Some(Node { span: table.span(), value: toml_table(table.get_ref()) })
            }
            Format::Toml => None,
            Format::Json => {
                let raw: &RawValue = serde_json::from_str(&self.text).ok()?;
                self.json_node(raw, 0).ok()
            }
        }
    }

    /// A problem at a place that an origin names.
    #[must_use]
    pub fn diagnostic_at(&self, severity: Severity, place: &Place, reason: String) -> Diagnostic {
        let line = (place.line as usize).clamp(1, self.lines.len()) - 1;
        let text = &self.text[self.lines[line]..];
        let column = place.column.saturating_sub(1) as usize;
        let start = self.lines[line] + text.char_indices().nth(column).map_or(0, |(at, _)| at);
        let end =
            self.text[start..].find([' ', '\n', ',', '}']).map_or(self.text.len(), |length| start + length);
        self.diagnostic(severity, &(start..end), reason)
    }

    /// The text of a range, on one line, nothing hidden in it.
    #[must_use]
    pub fn excerpt(&self, span: &Range<usize>) -> String {
        let text = self.text.get(span.clone()).unwrap_or_default();
        text.split_whitespace().collect::<Vec<_>>().join(" ").chars().map(visible).collect()
    }

    fn floor(&self, at: usize) -> usize {
        self.text.floor_char_boundary(at)
    }

    /// Reads the text into a tree. All syntax errors that can be told apart are returned together.
    ///
    /// # Errors
    /// The problems of syntax: bad notation, duplicated keys, nesting beyond [`MAX_DEPTH`].
    pub fn tree(&self) -> Result<Node, Vec<Diagnostic>> {
        let tree = match self.format {
            Format::Toml => self.toml_tree(),
            Format::Json => self.json_tree(),
        }?;
        match too_deep(&tree, 0) {
            Some(span) => {
                let reason = format!("nested more than {MAX_DEPTH} levels deep");
                Err(vec![self.diagnostic(Severity::Error, &span, reason)])
            }
            None => Ok(tree),
        }
    }

    fn toml_tree(&self) -> Result<Node, Vec<Diagnostic>> {
        if let Some(at) = syntax::toml_depth(&self.text) {
            let reason = format!("nested more than {MAX_DEPTH} levels deep");
            return Err(vec![self.diagnostic(Severity::Error, &(at..at + 1), reason)]);
        }
        let (table, errors) = DeTable::parse_recoverable(&self.text);
        if errors.is_empty() {
            return Ok(Node { span: table.span(), value: toml_table(table.get_ref()) });
        }
        let end = self.text.len();
        let mut problems: Vec<(Range<usize>, &str)> =
            errors.iter().map(|error| (error.span().unwrap_or(end..end), error.message())).collect();
        problems.sort_by_key(|(span, _)| span.start);
        let duplicates = problems.iter().filter(|(_, message)| message.starts_with("duplicate key"));
        let duplicates: Vec<_> = duplicates.map(|(span, _)| span.clone()).take(MAX_DIAGNOSTICS).collect();
        let follows = syntax::follows_from_header(&self.text, &duplicates);
        let told = problems.iter().filter(|(span, _)| !follows.contains(&span.start)).take(MAX_DIAGNOSTICS);
        Err(told
            .map(|(span, message)| {
                self.fault(span, syntax::toml_fault(message, self.repeatable(span), &self.text, span))
            })
            .collect())
    }

    fn fault(&self, span: &Range<usize>, fault: syntax::Fault) -> Diagnostic {
        let help = Some(fault.help.to_owned()).filter(|help| !help.is_empty());
        Diagnostic { help, ..self.diagnostic(Severity::Error, span, fault.reason) }
    }

    fn json_tree(&self) -> Result<Node, Vec<Diagnostic>> {
        let fail = |error: serde_json::Error, offset: usize| {
            let at = self.json_offset(&error, offset);
            let rest = self.text.get(at..).unwrap_or_default();
            vec![self.fault(&(at..at + 1), syntax::json_fault(&error.to_string(), rest))]
        };
        let raw: &RawValue = serde_json::from_str(&self.text).map_err(|error| fail(error, 0))?;
        self.json_node(raw, 0).map_err(|(error, offset)| fail(error, offset))
    }

    /// The byte offset of an error that serde_json found in the part of the text that starts at `offset`.
    fn json_offset(&self, error: &serde_json::Error, offset: usize) -> usize {
        let part = &self.text[offset..];
        let start = match error.line() {
            0 | 1 => 0,
            line => part.match_indices('\n').nth(line - 2).map_or(part.len(), |(at, _)| at + 1),
        };
        (offset + start + error.column().saturating_sub(1)).min(self.text.len().saturating_sub(1))
    }

    fn json_node(&self, raw: &RawValue, depth: usize) -> Result<Node, (serde_json::Error, usize)> {
        let text = raw.get();
        let span = self.span_of(text);
        let here = |error| (error, span.start);
        if depth > MAX_DEPTH {
            return Err(here(serde_json::Error::custom(format!("nested more than {MAX_DEPTH} levels deep"))));
        }
        let value = match text.as_bytes().first() {
            Some(b'{') => {
                let pairs: Pairs<'_> = serde_json::from_str(text).map_err(here)?;
                let mut entries = Vec::with_capacity(pairs.0.len());
                for (key, value) in pairs.0 {
                    let key_span = self.span_of(key.get());
                    let key: String =
                        serde_json::from_str(key.get()).map_err(|error| (error, key_span.start))?;
                    entries.push(Entry { key, key_span, node: self.json_node(value, depth + 1)? });
                }
                Value::Table(entries)
            }
            Some(b'[') => {
                let items: Items<'_> = serde_json::from_str(text).map_err(here)?;
                let nodes = items.0.into_iter().map(|item| self.json_node(item, depth + 1));
                Value::Array(nodes.collect::<Result<_, _>>()?)
            }
            Some(b'"') => Value::String(serde_json::from_str(text).map_err(here)?),
            Some(b't' | b'f') => Value::Boolean(text == "true"),
            Some(b'n') => Value::Null,
            _ => text.parse().map_or_else(|_| Value::Float(text.parse().unwrap_or(f64::NAN)), Value::Integer),
        };
        Ok(Node { span, value })
    }

    /// Where a part borrowed from this text stands in it.
    fn span_of(&self, part: &str) -> Range<usize> {
        let start = (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        start..start + part.len()
    }
}

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Bytes of the text that the value takes.
    pub span: Range<usize>,
    /// The value.
    pub value: Value,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_span: Range<usize>,
    /// The value.
    pub node: Node,
}

/// A value of TOML or JSON.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// JSON's `null`.
    Null,
    /// A truth value.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// A text.
    String(String),
    /// A date or time, which no key here wants.
    Datetime,
    /// A list.
    Array(Vec<Node>),
    /// A table. A key may stand twice only in JSON.
    Table(Vec<Entry>),
}

impl Value {
    /// The text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The kind of value, with its article.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number",
            Self::String(_) => "a string",
            Self::Datetime => "a date",
            Self::Array(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

fn toml_table(table: &DeTable<'_>) -> Value {
    let entry = |(key, value): (&toml::Spanned<toml::de::DeString<'_>>, &toml::Spanned<DeValue<'_>>)| Entry {
        key: key.get_ref().to_string(),
        key_span: key.span(),
        node: toml_node(value),
    };
    let mut entries: Vec<Entry> = table.iter().map(entry).collect();
    // The parser sorts by key; problems such as "stands twice" are told at the later one.
    entries.sort_by_key(|entry| entry.key_span.start);
    Value::Table(entries)
}

fn toml_node(value: &toml::Spanned<DeValue<'_>>) -> Node {
    let tree = match value.get_ref() {
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::String(value) => Value::String(value.to_string()),
        DeValue::Integer(value) => {
            i64::from_str_radix(value.as_str(), value.radix()).map_or(Value::Float(f64::NAN), Value::Integer)
        }
        DeValue::Float(value) => Value::Float(value.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Datetime(_) => Value::Datetime,
        DeValue::Array(items) => Value::Array(items.iter().map(toml_node).collect()),
        DeValue::Table(table) => toml_table(table),
    };
    Node { span: value.span(), value: tree }
}

fn too_deep(node: &Node, depth: usize) -> Option<Range<usize>> {
    if depth > MAX_DEPTH {
        return Some(node.span.clone());
    }
    match &node.value {
        Value::Array(items) => items.iter().find_map(|item| too_deep(item, depth + 1)),
        Value::Table(entries) => entries.iter().find_map(|entry| too_deep(&entry.node, depth + 1)),
        _ => None,
    }
}

/// All pairs of a JSON object as they stand, repeated keys included.
struct Pairs<'a>(Vec<(&'a RawValue, &'a RawValue)>);

/// All items of a JSON list as they stand.
struct Items<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Pairs<'de>;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

impl<'de> Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Items<'de>;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Items(items))
            }
        }
        deserializer.deserialize_seq(Collect)
    }
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
