//! The `environment` table.

use super::reader::{Reader, printable};
use crate::policy::Sourced;
use crate::policy::environment::{NamePattern, check_name};
use crate::profile::document::EnvironmentRules;
use crate::profile::schema;
use crate::profile::source::{Entry, Node};

pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> EnvironmentRules {
    let mut out = EnvironmentRules::default();
    for entry in reader.known_table::<schema::EnvironmentTable>(node, "`environment`") {
        match entry.key.as_str() {
            "inherit" => {
                let origin = reader.entry_origin(entry);
                out.inherit = reader.word(&entry.node, "word").map(|value| Sourced { value, origin });
            }
            "allow" => out.allow = Some(read_names(reader, entry)),
            "deny" => out.deny = Some(read_names(reader, entry)),
            "set" => {
                for entry in reader.table(&entry.node, "`set`") {
                    reader.count_rule(&entry.key_span);
                    if let Err(error) = check_name(&entry.key) {
                        reader.error(&entry.key_span, format!("`{}`: {error}", printable(&entry.key)), "");
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
    for item in reader.list(&entry.node) {
        reader.count_rule(&item.span);
        let Some(text) = reader.string(item) else { continue };
        match NamePattern::parse(text) {
            Ok(value) => out.push(Sourced { value, origin: reader.origin(&item.span, &item.span) }),
            Err(error) => reader.error(&item.span, format!("`{}`: {error}", printable(text)), ""),
        }
    }
    out
}
