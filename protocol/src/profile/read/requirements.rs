//! The administrator's requirements: defaults and the ceiling. Every key is known; a stranger is an error.

use super::filesystem;
use super::reader::Reader;
use super::{network, read_profiles, resources};
use crate::policy::explain::CEILING;
use crate::policy::{Access, DomainPattern, Sourced};
use crate::profile::document::{Ceiling, Document, PathEntry, Who};
use crate::profile::schema;
use crate::profile::source::{Entry, Node};

pub(super) fn read(reader: &mut Reader<'_>, tree: &Node, document: &mut Document) {
    for entry in reader.known_table::<schema::Requirements>(tree, "the requirements") {
        match entry.key.as_str() {
            "default_permissions" => document.default_permissions = reader.name(entry),
            "permissions" => document.profiles = read_profiles(reader, entry),
            "ceiling" => document.ceiling = Some(read_ceiling(reader, &entry.node)),
            _ => {}
        }
    }
    super::check_default(reader, tree, document);
}

fn read_ceiling(reader: &mut Reader<'_>, node: &Node) -> Ceiling {
    let mut out = Ceiling::default();
    reader.profile = CEILING.to_owned();
    for entry in reader.known_table::<schema::CeilingTable>(node, "`ceiling`") {
        match entry.key.as_str() {
            "profiles" => out.profiles = Some(profiles(reader, entry)),
            "filesystem" => {
                out.has_filesystem = true;
                filesystem::read(reader, &entry.node, &mut out.limits);
            }
            "network" => {
                out.has_network = true;
                out.limits.network = network::read(reader, &entry.node);
            }
            "background" => out.limits.background = super::read_background(reader, entry),
            "resources" => out.limits.resources = resources::read(reader, &entry.node),
            "deny" => read_deny(reader, &entry.node, &mut out),
            "who" => {
                out.who = reader.list(&entry.node).iter().filter_map(|item| read_who(reader, item)).collect()
            }
            _ => {}
        }
    }
    reader.profile.clear();
    out
}

fn read_deny(reader: &mut Reader<'_>, node: &Node, out: &mut Ceiling) {
    for entry in reader.known_table::<schema::DenyTable>(node, "`deny`") {
        if !matches!(entry.key.as_str(), "read" | "domains") {
            continue;
        }
        for item in reader.list(&entry.node) {
            reader.count_rule(&item.span);
            let Some(text) = reader.string(item) else { continue };
            let origin = reader.origin(&item.span, &item.span);
            if entry.key == "read" {
                if let Some(key) = filesystem::path_key(reader, text, &item.span, Access::None) {
                    out.deny_read.insert(key, PathEntry { access: Access::None, origin });
                }
                continue;
            }
            match DomainPattern::parse(text) {
                Ok(pattern) => drop(out.deny_domains.insert(pattern, Sourced { value: false, origin })),
                Err(error) => reader.fault(&item.span, text, &error, ""),
            }
        }
    }
}

fn read_who(reader: &mut Reader<'_>, node: &Node) -> Option<Who> {
    let origin = reader.origin(&node.span, &node.span);
    let mut out = Who { users: Vec::new(), groups: Vec::new(), profiles: Vec::new(), origin };
    let told = reader.report.diagnostics.len();
    let plain = |names: Vec<Sourced<String>>| names.into_iter().map(|name| name.value).collect();
    for entry in reader.known_table::<schema::WhoTable>(node, "`who`") {
        match entry.key.as_str() {
            "users" => out.users = plain(names(reader, entry)),
            "groups" => out.groups = plain(names(reader, entry)),
            "profiles" => out.profiles = profiles(reader, entry),
            _ => {}
        }
    }
    if reader.report.diagnostics.len() > told {
        return None;
    }
    if out.users.is_empty() && out.groups.is_empty() {
        reader.error(
            &node.span,
            "`who` names neither users nor groups".to_owned(),
            "add `users = […]` or `groups = […]`",
        );
        return None;
    }
    if out.profiles.is_empty() {
        let help = "add `profiles = […]`";
        reader.error(&node.span, "`who` names no profiles".to_owned(), help);
        return None;
    }
    Some(out)
}

/// Names of profiles; one that starts with a colon must be built in.
fn profiles(reader: &mut Reader<'_>, entry: &Entry) -> Vec<Sourced<String>> {
    let names = names(reader, entry);
    if let crate::profile::source::Value::Array(items) = &entry.node.value {
        for (node, text) in items.iter().filter_map(|node| Some((node, node.value.as_text()?))) {
            reader.check_built_in(text, &node.span);
        }
    }
    names
}

fn names(reader: &mut Reader<'_>, entry: &Entry) -> Vec<Sourced<String>> {
    let mut out = Vec::new();
    for item in reader.list(&entry.node) {
        match reader.string(item) {
            Some("") => reader.error(&item.span, "an empty name".to_owned(), ""),
            Some(text) => {
                let origin = reader.origin(&item.span, &item.span);
                out.push(Sourced { value: text.to_owned(), origin });
            }
            None => {}
        }
    }
    out
}
