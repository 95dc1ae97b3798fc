//! The `environment` table.

use std::collections::HashSet;

use super::reader::{Reader, printable};
use crate::policy::Sourced;
use crate::policy::environment::{NamePattern, check_name};
use crate::policy::glob::has_wildcard;
use crate::profile::document::EnvironmentRules;
use crate::profile::schema;
use crate::profile::source::{Entry, Node};

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
                    let origin = reader.entry_origin(entry);
                    out.set.insert(entry.key.clone(), Sourced { value: value.to_owned(), origin });
                }
            }
            _ => {}
        }
    }
    out
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
