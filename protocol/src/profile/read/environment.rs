//! The `environment` table.

use std::collections::HashSet;

use super::reader::{Reader, printable};
use crate::policy::Sourced;
use crate::policy::environment::{NamePattern, check_name};
use crate::policy::glob::has_wildcard;
use crate::profile::document::EnvironmentRules;
use crate::profile::schema;
use crate::profile::source::{Entry, Node, Value};

/// Most pairs of granted and denied names that are compared to warn: each builds two automata.
const MAX_COMPARED_PAIRS: usize = 1024;

pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> EnvironmentRules {
    let mut out = EnvironmentRules::default();
    for entry in reader.known_table::<schema::EnvironmentTable>(node, "`environment`") {
        match entry.key.as_str() {
            "inherit" => {
                let origin = reader.entry_origin(entry);
                out.inherit =
                    reader.word(&entry.node, "value of `inherit`").map(|value| Sourced { value, origin });
            }
            "allow" => out.allow = Some(read_names(reader, entry)),
            "deny" => out.deny = Some(read_names(reader, entry)),
            "set" => {
                for entry in reader.table(&entry.node, "`set`") {
                    reader.count_rule(&entry.key_span);
                    if let Err(error) = check_name(&entry.key) {
                        reader.fault(&entry.key_span, &entry.key, &error, "");
                    } else if has_wildcard(&entry.key) {
                        let reason =
                            format!("`{}` is a pattern, and one variable is set", printable(&entry.key));
                        reader.error(&entry.key_span, reason, "name the variable");
                    }
                    let Some(value) = reader.string(&entry.node) else { continue };
                    if value.contains('\0') {
                        reader.error(&entry.node.span, "a NUL byte cannot be part of a value".to_owned(), "");
                    }
                    // The name alone: a value may be a secret.
                    let origin = reader.origin(&entry.key_span, &entry.key_span);
                    out.set.insert(entry.key.clone(), Sourced { value: value.to_owned(), origin });
                }
            }
            _ => {}
        }
    }
    warn_denied(reader, node, &out);
    out
}

/// A grant that a denial covers whole can never match.
fn warn_denied(reader: &mut Reader<'_>, node: &Node, rules: &EnvironmentRules) {
    let (Some(allow), Some(deny)) = (&rules.allow, &rules.deny) else { return };
    if allow.len().saturating_mul(deny.len()) > MAX_COMPARED_PAIRS {
        return;
    }
    let items = match &node.value {
        Value::Table(entries) => {
            entries.iter().find(|entry| entry.key == "allow").map(|entry| &entry.node.value)
        }
        _ => None,
    };
    let Some(Value::Array(items)) = items else { return };
    for item in items {
        let Some(granted) = allow.iter().find(|rule| Some(rule.value.as_str()) == item.value.as_text())
        else {
            continue;
        };
        let covers = |rule: &&Sourced<NamePattern>| rule.value.covers(&granted.value);
        if let Some(denial) = deny.iter().find(covers) {
            let (name, pattern, whence) =
                (granted.value.as_str(), denial.value.as_str(), denial.origin.whence());
            let reason = format!("`{name}` can never match: the denial of `{pattern}` wins ({whence})");
            reader.warn(&item.span, reason, "remove one of the two");
        }
    }
}

fn read_names(reader: &mut Reader<'_>, entry: &Entry) -> Vec<Sourced<NamePattern>> {
    let mut out = Vec::new();
    let mut seen = HashSet::new();
    for item in reader.list(&entry.node) {
        reader.count_rule(&item.span);
        let Some(text) = reader.string(item) else { continue };
        if has_wildcard(text) {
            reader.count_pattern(&item.span);
        }
        match NamePattern::parse(text) {
            Ok(value) if !seen.insert(text) => {
                let reason = format!("`{}` stands twice", value.as_str());
                reader.warn(&item.span, reason, "remove one");
            }
            Ok(value) => out.push(Sourced { value, origin: reader.origin(&item.span, &item.span) }),
            Err(error) => reader.fault(&item.span, text, &error, ""),
        }
    }
    out
}
