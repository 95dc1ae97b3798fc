//! The `filesystem` table: paths, tokens and patterns.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use super::reader::{Reader, printable, printable_word};
use crate::path::{AbsPath, PathError};
use crate::policy::glob::{Component, Glob, GlobError, has_wildcard};
use crate::policy::{Access, Sourced};
use crate::profile::diagnostic::offer;
use crate::profile::document::{Base, Below, PathEntry, PathKey, Profile, Token};
use crate::profile::source::{Entry, Node, Value};

/// Largest `glob_scan_max_depth`.
const MAX_SCAN_DEPTH: i64 = 255;

const ACCESS_WORDS: [&str; 5] = ["read", "copy", "write", "none", "deny"];

pub(super) fn read(reader: &mut Reader<'_>, node: &Node, out: &mut Profile) {
    for entry in reader.table(node, "`filesystem`") {
        match (entry.key.as_str(), &entry.node.value) {
            ("glob_scan_max_depth", Value::Integer(depth @ 1..=MAX_SCAN_DEPTH)) => {
                let value = u32::try_from(*depth).unwrap_or(u32::MAX);
                out.glob_scan_max_depth = Some(Sourced { value, origin: reader.entry_origin(entry) });
            }
            ("glob_scan_max_depth", _) => reader.error(
                &entry.node.span,
                format!("`glob_scan_max_depth` is a number from 1 to {MAX_SCAN_DEPTH}"),
                "patterns hold at any depth; this only bounds how far a report looks",
            ),
            (_, Value::Table(_)) => read_nested(reader, entry, out),
            _ => read_entry(reader, entry, out),
        }
    }
}

fn read_entry(reader: &mut Reader<'_>, entry: &Entry, out: &mut Profile) {
    let Some(access) = read_access(reader, &entry.node) else { return };
    reader.count_rule(&entry.key_span);
    if let Some(key) = path_key(reader, &entry.key, &entry.key_span, access) {
        let origin = reader.entry_origin(entry);
        insert(reader, out, key, PathEntry { access, origin }, &entry.key_span);
    }
}

fn read_nested(reader: &mut Reader<'_>, entry: &Entry, out: &mut Profile) {
    let entries = reader.table(&entry.node, "a nested table of paths");
    let relative = entry.key.trim_start_matches("~/").trim_start_matches('/');
    if literal(relative).is_none() && !entry.key.starts_with(':') {
        let help = "write the whole pattern as one key";
        reader.error(&entry.key_span, "a pattern cannot have a nested table".to_owned(), help);
        return;
    }
    let Some((base, Below::Path(outer))) = path_key(reader, &entry.key, &entry.key_span, Access::Read) else {
        return;
    };
    if entries.is_empty() {
        reader.warn(
            &entry.key_span,
            format!("`{}` grants and denies nothing", printable(&entry.key)),
            "name a sub-path, or `.` for the path itself",
        );
    }
    for nested in entries {
        let Some(access) = read_access(reader, &nested.node) else { continue };
        reader.count_rule(&nested.key_span);
        let Some(below) = nested_below(reader, nested, access) else { continue };
        let below = match below {
            Below::Path(path) if path.is_empty() => Below::Path(outer.clone()),
            Below::Path(path) if outer.is_empty() => Below::Path(path),
            Below::Path(path) => Below::Path(format!("{outer}/{path}")),
            Below::Pattern(pattern) if outer.is_empty() => Below::Pattern(pattern),
            Below::Pattern(pattern) => Below::Pattern(format!("{}/{pattern}", escaped(&outer))),
        };
        let origin = reader.entry_origin(nested);
        insert(reader, out, joined(base.clone(), below), PathEntry { access, origin }, &nested.key_span);
    }
}

/// Reads a key of a nested table: relative, and no special path of its own.
fn nested_below(reader: &mut Reader<'_>, entry: &Entry, access: Access) -> Option<Below> {
    let (text, span) = (entry.key.as_str(), &entry.key_span);
    let (reason, help) = match text {
        _ if text.starts_with('/') => {
            (PathError::NotRelative.to_string(), "give it a key of its own, outside this table")
        }
        _ if text.starts_with(':') => {
            ("a special path cannot stand inside another".to_owned(), "give it a key of its own")
        }
        _ if text == "~" || text.starts_with("~/") => (
            "`~` has no meaning inside a nested table".to_owned(),
            "give it a key of its own, outside this table",
        ),
        "" => (PathError::Empty.to_string(), "write `.` for the path itself"),
        _ => return below(reader, text, text, span, access),
    };
    reader.fault(span, text, &reason, help);
    None
}

/// One identity for each path, however it is nested: `/srv` with `a` inside is `/srv/a`, and so is `:root` with `srv/a`.
fn joined(base: Base, below: Below) -> PathKey {
    let path = match &base {
        Base::Path(path) => path.clone(),
        Base::Token(Token::Root) => AbsPath::root(),
        Base::Token(_) => return (base, below),
    };
    match below {
        Below::Path(relative) if relative.is_empty() => (base, Below::Path(relative)),
        Below::Path(relative) => match path.join(&relative) {
            Ok(path) => (Base::Path(path), Below::Path(String::new())),
            Err(_) => (base, Below::Path(relative)),
        },
        Below::Pattern(pattern) if path.is_root() => (Base::Path(path), Below::Pattern(pattern)),
        Below::Pattern(pattern) => {
            // As it is, and not as it is shown: documents are text, so nothing is lost.
            let prefix = String::from_utf8_lossy(path.as_bytes());
            let prefix = escaped(prefix.trim_start_matches('/'));
            (Base::Path(AbsPath::root()), Below::Pattern(format!("{prefix}/{pattern}")))
        }
    }
}

fn insert(reader: &mut Reader<'_>, out: &mut Profile, key: PathKey, entry: PathEntry, span: &Range<usize>) {
    if let Some(first) = out.filesystem.get(&key) {
        let place = first.origin.whence();
        reader.error(span, format!("the same path has a rule already ({place})"), "keep one of the two");
        return;
    }
    out.filesystem.insert(key, entry);
}

fn read_access(reader: &mut Reader<'_>, node: &Node) -> Option<Access> {
    let text = match &node.value {
        Value::String(text) => text.as_str(),
        other => {
            let reason =
                format!("access is one of the words `read`, `copy`, `write`, `none`, not {}", other.kind());
            reader.error(&node.span, reason, "for instance \"read\"");
            return None;
        }
    };
    match text {
        "read" => Some(Access::Read),
        "copy" => Some(Access::Copy),
        "write" => Some(Access::Write),
        "none" | "deny" => Some(Access::None),
        other => {
            reader.error(
                &node.span,
                format!("unknown access `{}`", printable_word(other)),
                &offer(other, &ACCESS_WORDS),
            );
            None
        }
    }
}

/// Reads a key of the table: an absolute path, a path below home, a token, or a pattern.
pub(super) fn path_key(
    reader: &mut Reader<'_>,
    text: &str,
    span: &Range<usize>,
    access: Access,
) -> Option<PathKey> {
    if text.starts_with(':') {
        return token_key(reader, text, span);
    }
    if text == "~" || text == "~/" {
        return Some((Base::Token(Token::Home), Below::Path(String::new())));
    }
    if let Some(rest) = text.strip_prefix("~/") {
        return Some((Base::Token(Token::Home), below(reader, rest, text, span, access)?));
    }
    if text == "/" || text == "/**" && access != Access::None {
        return Some((Base::Token(Token::Root), Below::Path(String::new())));
    }
    let Some(rest) = text.strip_prefix('/') else {
        let help = match text {
            _ if text.starts_with('~') => "only `~/…` is supported, not another user's home",
            "" => "name a path",
            _ => "write an absolute path or `~/…`; in `filesystem`, a nested table under `:project_roots`",
        };
        let error = if text.is_empty() { PathError::Empty } else { PathError::NotAbsolute };
        reader.fault(span, text, &error, help);
        return None;
    };
    if rest.starts_with('/') {
        reader.fault(span, text, &PathError::EmptyComponent, path_help(&PathError::EmptyComponent));
        return None;
    }
    match below(reader, rest, text, span, access)? {
        Below::Path(path) => match AbsPath::parse(format!("/{path}")) {
            Ok(path) => Some((Base::Path(path), Below::Path(String::new()))),
            Err(error) => {
                reader.error(span, format!("`{}`: {error}", printable(text)), "");
                None
            }
        },
        pattern @ Below::Pattern(_) => Some((Base::Path(AbsPath::root()), pattern)),
    }
}

fn token_key(reader: &mut Reader<'_>, text: &str, span: &Range<usize>) -> Option<PathKey> {
    if let Some(token) = Token::parse(text) {
        return Some((Base::Token(token), Below::Path(String::new())));
    }
    let words = Token::WORDS.map(|(word, _)| word);
    let (word, rest) = text.split_once('/').unwrap_or((text, ""));
    if Token::parse(word).is_some() && !rest.is_empty() {
        let help = format!("write `\"{word}\" = {{ \"{}\" = … }}`", printable(rest));
        reader.error(span, format!("a path below `{word}` goes into a nested table"), &help);
    } else {
        reader.error(span, format!("unknown special path `{}`", printable(text)), &offer(word, &words));
    }
    None
}

/// Reads a relative path or pattern; `shown` is the whole key as it was written.
fn below(
    reader: &mut Reader<'_>,
    text: &str,
    shown: &str,
    span: &Range<usize>,
    access: Access,
) -> Option<Below> {
    if text == "." || text == "./" {
        return Some(Below::Path(String::new()));
    }
    if text.chars().any(char::is_control) {
        let help = "in a denial, `?` can stand for an unusual character of a name";
        reader.fault(span, shown, &"a control character in a path", help);
        return None;
    }
    // A grant on `dir/**` is a grant on `dir`, as existing files write it.
    let text = if access == Access::None { text } else { text.strip_suffix("/**").unwrap_or(text) };
    if let Some(path) = literal(text) {
        return match AbsPath::root().join(path.as_ref()) {
            Ok(_) => {
                if first_braces(shown).is_some() {
                    let reason = format!("`{}` is one name: braces stand for themselves", printable(shown));
                    let each = each_alternative(shown).map(|each| format!(": {each}")).unwrap_or_default();
                    let help = format!("where alternatives are meant, write a rule for each{each}");
                    reader.warn(span, reason, &help);
                }
                Some(Below::Path(path.trim_end_matches('/').to_owned()))
            }
            Err(error) => {
                reader.fault(span, shown, &error, path_help(&error));
                None
            }
        };
    }
    read_pattern(reader, text, shown, span, access)
}

fn read_pattern(
    reader: &mut Reader<'_>,
    text: &str,
    shown: &str,
    span: &Range<usize>,
    access: Access,
) -> Option<Below> {
    reader.count_pattern(span);
    if access != Access::None {
        let help = match text.contains(['*', '?']) {
            true => "grant the directory and deny what must stay closed inside it",
            false => "for a bracket itself write `\\\\[`, or `\\[` between single quotes",
        };
        reader.fault(span, shown, &format!("a pattern can only deny, not grant {access}"), help);
        return None;
    }
    if text.ends_with('/') {
        let help = "remove it: a pattern that matches a directory covers what is below it";
        reader.fault(span, shown, &"a pattern cannot end with a slash", help);
        return None;
    }
    match Glob::below(&AbsPath::root(), text) {
        Ok(_) => Some(Below::Pattern(text.to_owned())),
        Err(error) => {
            let each = each_alternative(shown).filter(|_| matches!(error, GlobError::Braces { .. }));
            let help = match &error {
                GlobError::Path(error) => path_help(error),
                GlobError::DoubleStarInComponent { .. } => "for instance `**/*.key`",
                GlobError::EmptyClass { .. } => "write `[[]` for a bracket itself",
                _ => each.as_deref().unwrap_or_default(),
            };
            reader.fault(span, shown, &error, help);
            None
        }
    }
}

/// Most alternatives that are written out.
const MAX_ALTERNATIVES: usize = 8;

/// What `{a,b}` would stand for in a shell, one after another; nothing where it would stand for itself as well, or for too many.
fn each_alternative(text: &str) -> Option<String> {
    let mut all = vec![text.to_owned()];
    while let Some(at) = all.iter().position(|text| first_braces(text).is_some()) {
        let text = all.remove(at);
        let (range, words) = first_braces(&text)?;
        if all.len() + words.len() > MAX_ALTERNATIVES {
            return None;
        }
        let with = |word: &&str| format!("{}{word}{}", &text[..range.start], &text[range.end..]);
        all.splice(at..at, words.iter().map(with));
    }
    let each: Vec<String> = all.iter().map(|text| format!("`{}`", printable(text))).collect();
    (each.len() > 1).then(|| each.join(", "))
}

/// The first braces that hold several words and no other braces, and these words.
fn first_braces(text: &str) -> Option<(Range<usize>, Vec<&str>)> {
    text.match_indices('{').find_map(|(open, _)| {
        let close = open + text[open..].find('}')?;
        let inner = &text[open + 1..close];
        let words: Vec<&str> = inner.split(',').collect();
        (words.len() > 1 && !inner.contains('{')).then_some((open..close + 1, words))
    })
}

/// What to do about a path that is not normal.
fn path_help(error: &PathError) -> &'static str {
    match error {
        PathError::ParentComponent => "write the path that is meant",
        PathError::DotComponent => "leave it out",
        PathError::EmptyComponent => "write one slash",
        _ => "",
    }
}

/// The path that a key names when it is no pattern: it holds no wildcard, or each is escaped (`app/\[id]`).
fn literal(text: &str) -> Option<Cow<'_, str>> {
    if !has_wildcard(text) {
        return Some(Cow::Borrowed(text));
    }
    let glob = Glob::below(&AbsPath::root(), text).ok()?;
    let name = |component: &Component| match component {
        Component::Literal(name) => String::from_utf8(name.clone()).ok(),
        Component::Pattern(_) | Component::AnyDepth => None,
    };
    let names: Option<Vec<String>> = glob.components().iter().map(name).collect();
    names.map(|names| Cow::Owned(names.join("/")))
}

/// The key of a rule for exactly this path, whatever its characters mean in a pattern; `None` where no rule can name it, which is where
/// it is not UTF-8 or holds a control character.
#[must_use]
pub fn key_of(path: &AbsPath) -> Option<String> {
    let text = std::str::from_utf8(path.as_bytes()).ok()?;
    let key = || if has_wildcard(text) { escaped(text) } else { text.to_owned() };
    (!text.contains(char::is_control)).then(key)
}

/// A literal path inside a pattern.
pub(super) fn escaped(path: &str) -> String {
    path.chars().flat_map(|c| if "*?[]{}\\".contains(c) { vec!['\\', c] } else { vec![c] }).collect()
}

pub(super) fn read_roots(reader: &mut Reader<'_>, entry: &Entry) -> BTreeMap<String, Sourced<bool>> {
    let mut out = BTreeMap::new();
    for root in reader.table(&entry.node, "`workspace_roots`") {
        reader.count_rule(&root.key_span);
        check_root(reader, root);
        if let Some(value) = reader.boolean(root) {
            out.insert(root.key.clone(), value);
        }
    }
    out
}

/// A workspace root is one directory: absolute, below home, or relative to the working directory.
fn check_root(reader: &mut Reader<'_>, root: &Entry) {
    let (text, span) = (root.key.as_str(), &root.key_span);
    let relative = text.strip_prefix("~/").or_else(|| text.strip_prefix('/')).unwrap_or(text);
    if has_wildcard(text) || text.starts_with(':') {
        reader.fault(span, text, &"a workspace root is one directory", "name one directory");
    } else if text.starts_with('~') && text != "~" && !text.starts_with("~/") {
        reader.fault(span, text, &PathError::NotAbsolute, "only `~/…` is supported, not another user's home");
    } else if text.chars().any(char::is_control) {
        reader.fault(span, text, &"a control character in a path", "");
    } else if relative.is_empty() && !text.is_empty() {
        // `/` and `~/` are directories.
    } else if let Err(error) = AbsPath::root().join(relative) {
        reader.fault(span, text, &error, path_help(&error));
    }
}
