//! The reader's small steps: expect a kind of value, keep the place, report and go on.

use std::collections::HashSet;
use std::ops::Range;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::policy::{Origin, Sourced};
use crate::profile::diagnostic::{Report, Severity, nearest, offer};
use crate::profile::schema::{self, Table};
use crate::profile::source::{Entry, LEFT_OUT, Node, Source, Value, is_word, without_more};
use crate::profile::{MAX_PATTERNS, MAX_RULES, document};
use crate::unseen::is_unseen;

/// Longest name of a profile, in characters.
const MAX_PROFILE_NAME: usize = 64;

/// Reads one document and collects what is wrong with it.
pub(super) struct Reader<'s> {
    source: &'s Source,
    pub(super) report: Report,
    pub(super) profile: String,
    rules: usize,
    patterns: usize,
    told: HashSet<(usize, usize)>,
}

impl<'s> Reader<'s> {
    pub(super) fn new(source: &'s Source) -> Self {
        Self {
            source,
            report: Report::default(),
            profile: String::new(),
            rules: 0,
            patterns: 0,
            told: HashSet::new(),
        }
    }

    pub(super) fn error(&mut self, span: &Range<usize>, reason: String, help: &str) {
        self.say(Severity::Error, span, reason, help);
    }

    pub(super) fn warn(&mut self, span: &Range<usize>, reason: String, help: &str) {
        self.say(Severity::Warning, span, reason, help);
    }

    fn say(&mut self, severity: Severity, span: &Range<usize>, reason: String, help: &str) {
        // One place has one error: what follows from it would only hide it. And beyond the report's room a diagnostic is
        // not even built, since each costs its line.
        if severity == Severity::Error && !self.told.insert((span.start, span.end)) {
            return;
        }
        if self.report.only_counts(severity) {
            self.report.omitted += 1;
            return;
        }
        let mut diagnostic = self.source.diagnostic(severity, span, reason);
        diagnostic.help = (!help.is_empty()).then(|| help.to_owned());
        self.report.push(diagnostic);
    }

    /// The origin of an item of a list that stands under the key `key`: the item's place, and both as the rule where they
    /// are near each other.
    pub(super) fn origin(&self, key: &Range<usize>, item: &Range<usize>) -> Origin {
        let whole = key.start.min(item.start)..item.end.max(key.end);
        let near = whole.len() <= MAX_RULE_TEXT;
        self.origin_at(item.start, if near { &whole } else { item })
    }

    pub(super) fn entry_origin(&self, entry: &Entry) -> Origin {
        let whole = entry.key_span.start..entry.node.span.end.max(entry.key_span.end);
        self.origin_at(entry.key_span.start, &whole)
    }

    fn origin_at(&self, at: usize, rule: &Range<usize>) -> Origin {
        let mut text = self.source.excerpt(rule);
        if let Some((cut, _)) = text.char_indices().nth(MAX_RULE_TEXT) {
            text.truncate(cut);
            text.push('…');
        }
        let place = Some(self.source.place(at));
        Origin { layer: self.source.layer(), profile: self.profile.clone(), place, rule: text }
    }

    /// A value as it stands in the text, short enough for a message.
    pub(super) fn shown(&self, span: &Range<usize>) -> String {
        printable(&self.source.excerpt(span))
    }

    /// Counts a rule; the one beyond the limit is an error, and further ones are not reported again.
    pub(super) fn count_rule(&mut self, span: &Range<usize>) {
        self.rules += 1;
        if self.rules == MAX_RULES + 1 {
            let reason = format!("more than {MAX_RULES} rules in one document");
            self.error(span, reason, "use patterns or directories instead of single files");
        }
    }

    /// Counts a pattern in the same way.
    pub(super) fn count_pattern(&mut self, span: &Range<usize>) {
        self.patterns += 1;
        if self.patterns == MAX_PATTERNS + 1 {
            self.error(
                span,
                format!("more than {MAX_PATTERNS} patterns in one document"),
                "join patterns where they overlap",
            );
        }
    }

    /// The entries of a table; a key that stands twice (possible in JSON) is an error.
    pub(super) fn table<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Entry] {
        let Value::Table(entries) = &node.value else {
            self.error(&node.span, format!("{what} must be a table, not {}", node.value.kind()), "");
            return &[];
        };
        let mut seen = HashSet::new();
        for entry in entries {
            if !seen.insert(entry.key.as_str()) {
                self.error(
                    &entry.key_span,
                    format!("the key `{}` stands twice", printable(&entry.key)),
                    "remove one",
                );
            }
        }
        entries
    }

    /// The entries of a table whose keys are those of `T`; any other key is an error.
    pub(super) fn known_table<'n, T: Table>(&mut self, node: &'n Node, what: &str) -> &'n [Entry] {
        let entries = self.table(node, what);
        let known = T::KEYS;
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            // The nearest word is looked for only while it would be told.
            let told = !self.report.only_counts(Severity::Error);
            let help = if told { offer(&entry.key, known) } else { String::new() };
            self.error(&entry.key_span, format!("unknown key `{}` in {what}", printable(&entry.key)), &help);
        }
        entries
    }

    pub(super) fn list<'n>(&mut self, node: &'n Node) -> &'n [Node] {
        match &node.value {
            Value::Array(items) => items,
            other => {
                self.error(&node.span, format!("a list is expected here, not {}", other.kind()), "");
                &[]
            }
        }
    }

    pub(super) fn string<'n>(&mut self, node: &'n Node) -> Option<&'n str> {
        match &node.value {
            Value::String(text) => Some(text),
            other => {
                self.error(&node.span, format!("a string is expected here, not {}", other.kind()), "");
                None
            }
        }
    }

    pub(super) fn boolean(&mut self, entry: &Entry) -> Option<Sourced<bool>> {
        match &entry.node.value {
            Value::Boolean(value) => Some(Sourced { value: *value, origin: self.entry_origin(entry) }),
            other => {
                let reason =
                    format!("`{}` is `true` or `false`, not {}", printable(&entry.key), other.kind());
                let quoted = matches!(other.as_text(), Some("true" | "false"));
                self.error(&entry.node.span, reason, if quoted { "write it without quotes" } else { "" });
                None
            }
        }
    }

    /// A word of an enumeration that serde knows.
    pub(super) fn word<T: DeserializeOwned + JsonSchema>(&mut self, node: &Node, what: &str) -> Option<T> {
        let text = self.string(node)?;
        if let Ok(value) = serde_json::from_value(serde_json::Value::String(text.to_owned())) {
            return Some(value);
        }
        let known = words::<T>();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        self.error(&node.span, format!("unknown {what} `{}`", printable_word(text)), &offer(text, &known));
        None
    }

    /// A non-empty name of a profile.
    pub(super) fn name(&mut self, entry: &Entry) -> Option<Sourced<String>> {
        let text = self.string(&entry.node)?;
        if text.is_empty() {
            self.error(
                &entry.node.span,
                "the name of a profile is empty".to_owned(),
                "name a profile, or remove the key",
            );
            return None;
        }
        Some(Sourced { value: text.to_owned(), origin: self.entry_origin(entry) })
    }

    pub(super) fn extends(&mut self, entry: &Entry) -> Option<Sourced<String>> {
        let name = self.name(entry)?;
        if name.value == ":danger-full-access" {
            let help =
                "extend another profile; to run without restriction choose `:danger-full-access` itself";
            self.error(&entry.node.span, "`:danger-full-access` cannot be extended".to_owned(), help);
            return None;
        }
        self.check_built_in(&name.value, &entry.node.span);
        Some(name)
    }

    /// Says so when a name that must be a built-in profile's is not.
    pub(super) fn check_built_in(&mut self, name: &str, span: &Range<usize>) {
        if name.starts_with(':') && !document::is_built_in(name) {
            let help = offer(name, &document::BUILT_IN_NAMES);
            self.error(span, format!("there is no built-in profile `{}`", printable(name)), &help);
        }
    }

    /// A problem with something that was written: the text, unless it is empty, and what is wrong with it.
    pub(super) fn fault(
        &mut self,
        span: &Range<usize>,
        text: &str,
        error: &impl std::fmt::Display,
        help: &str,
    ) {
        let reason =
            if text.is_empty() { error.to_string() } else { format!("`{}`: {error}", printable(text)) };
        self.error(span, reason, help);
    }

    pub(super) fn check_profile_name(&mut self, entry: &Entry) {
        let name = entry.key.as_str();
        let reserved = name.starts_with(':') && self.source.layer() != crate::policy::Layer::BuiltIn;
        let proper = !name.is_empty()
            && name.chars().count() <= MAX_PROFILE_NAME
            && name.chars().all(|c| c.is_alphanumeric() || "-_.:".contains(c));
        if reserved {
            let reason = format!(
                "`{}`: names that start with `:` are reserved for built-in profiles",
                printable(name)
            );
            let bare = printable(name.trim_start_matches(':'));
            let help = if bare.is_empty() {
                "give it a name of your own".to_owned()
            } else {
                format!("call it `{bare}`")
            };
            self.error(&entry.key_span, reason, &help);
        } else if !proper {
            let shown =
                if name.is_empty() { "an empty text".to_owned() } else { format!("`{}`", printable(name)) };
            let reason = format!("{shown} cannot be the name of a profile");
            let help = format!("use up to {MAX_PROFILE_NAME} letters, digits, `-`, `_` and `.`");
            self.error(&entry.key_span, reason, &help);
        }
    }

    /// A top-level key that is not ours but nearly is.
    pub(super) fn warn_near_miss(&mut self, key: &str, entry: &Entry) {
        let known = schema::Config::KEYS.iter().copied();
        if let Some(near) = nearest(key, known).filter(|near| near.len() > 8) {
            let reason = format!("`{}` is not about permissions and is ignored here", printable(key));
            self.warn(&entry.key_span, reason, &format!("did you mean `{near}`?"));
        }
    }

    pub(super) fn span_of_key(&self, table: &Node, key: &str) -> Range<usize> {
        let Value::Table(entries) = &table.value else { return table.span.clone() };
        entries
            .iter()
            .find(|entry| entry.key == key)
            .map_or(table.span.clone(), |entry| entry.node.span.clone())
    }
}

/// Longest rule text kept in an origin, in characters.
const MAX_RULE_TEXT: usize = 200;

/// The words that an enumeration takes, from its schema.
fn words<T: JsonSchema>() -> Vec<String> {
    let schema: serde_json::Value = schema::document_schema::<T>();
    let mut out = Vec::new();
    let mut take = |value: &serde_json::Value| {
        out.extend(
            value
                .get("enum")
                .and_then(|list| list.as_array())
                .into_iter()
                .flatten()
                .filter_map(|word| word.as_str().map(str::to_owned)),
        );
        out.extend(value.get("const").and_then(|word| word.as_str().map(str::to_owned)));
    };
    take(&schema);
    schema.get("oneOf").and_then(|list| list.as_array()).into_iter().flatten().for_each(take);
    out
}

/// A text of the document inside a message: control characters made visible, not endless, and nothing secret of an address.
pub(super) fn printable(text: &str) -> String {
    const MAX_SHOWN: usize = 80;
    let text = &without_more(text);
    let mut out: String = text.chars().take(MAX_SHOWN).flat_map(escape).collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        out.push('…');
    }
    out
}

/// The same of what stands in place of one of the format's words: what is no word may be a secret whose table has lost its header.
pub(super) fn printable_word(text: &str) -> String {
    if is_word(text) { printable(text) } else { LEFT_OUT.to_string() }
}

fn escape(c: char) -> Vec<char> {
    if is_unseen(c) { c.escape_default().collect() } else { vec![c] }
}
