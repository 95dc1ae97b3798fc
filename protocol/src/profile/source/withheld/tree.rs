//! Which values of a document with a tree are repeated: those of permissions, of which the format knows what they are.

use std::ops::Range;

use super::{is_address_with_more, is_word};
use crate::profile::schema::{
    CeilingTable, Config, DenyTable, DomainEntry, EnvironmentTable, KernelTable, NetworkTable,
    Profile as ProfileTable, Requirements, ResourcesTable, Table as _, WhoTable, WorkspaceWrite,
};
use crate::profile::source::{Entry, Node, Value};
use crate::profile::trust::{CONFIG_SHA256, TRUST_LEVEL};

/// What kind of table a value stands in.
#[derive(Debug, Clone, Copy)]
enum Place {
    Root,
    Profiles,
    Profile,
    Ceiling,
    Network,
    Environment,
    Projects,
    /// Names that people choose: paths, hosts, protected metadata.
    Names,
    /// Those of one table of the format.
    Keys(&'static [&'static str]),
}

/// The key of a host in a rule.
const PATTERN: &str = "pattern";

/// Words in names of what is nobody's to see. A name of one word may be one.
const SECRET: [&str; 8] =
    ["token", "secret", "pass", "credential", "authorization", "cookie", "bearer", "pwd"];

/// Places whose values are not repeated.
pub(super) fn places(tree: &Node) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    look(tree, Some(Place::Root), &mut out);
    out
}

fn look(node: &Node, place: Option<Place>, out: &mut Vec<Range<usize>>) {
    match &node.value {
        Value::Table(entries) => entries.iter().for_each(|entry| look_at(entry, place, out)),
        Value::Array(items) => items.iter().for_each(|item| look(item, place, out)),
        Value::String(text) if is_address_with_more(text) => out.push(node.span.clone()),
        _ => {}
    }
}

fn look_at(entry: &Entry, place: Option<Place>, out: &mut Vec<Range<usize>>) {
    if is_address_with_more(&entry.key) {
        out.push(entry.key_span.clone());
    }
    match place.and_then(|place| place.below(&entry.key)) {
        // Lines that belong to a table whose header is not there.
        Some(Place::Names) if !is_word_of_names(entry, place) => values(&entry.node, out),
        Some(below) => look(&entry.node, Some(below), out),
        None => values(&entry.node, out),
    }
}

/// Whether what a path or a host is given may be repeated: a word, a pattern, or what is no text and no list of such.
fn is_word_of_names(entry: &Entry, place: Option<Place>) -> bool {
    match &entry.node.value {
        _ if entry.key == PATTERN => true,
        Value::String(text) => is_word(text),
        Value::Array(_) => !matches!(place, Some(Place::Names)),
        _ => true,
    }
}

/// The places of all that is in a value, but for names and truth values.
fn values(node: &Node, out: &mut Vec<Range<usize>>) {
    match &node.value {
        Value::Table(entries) => entries.iter().for_each(|entry| values(&entry.node, out)),
        Value::Array(items) => items.iter().for_each(|item| values(item, out)),
        Value::Boolean(_) | Value::Null => {}
        _ => out.push(node.span.clone()),
    }
}

impl Place {
    /// What stands below this key; `None` where nothing is known of it.
    fn below(self, key: &str) -> Option<Self> {
        const PLAIN: Place = Place::Keys(&[]);
        let known = |keys: &[&str]| keys.contains(&key).then_some(PLAIN);
        match (self, key) {
            // Texts that people choose, and that no rule is.
            (Self::Network, "proxy_url" | "socks_url")
            | (Self::Environment, "set")
            | (Self::Profile, "description") => None,
            (Self::Root, "permissions") => Some(Self::Profiles),
            (Self::Root, "projects") => Some(Self::Projects),
            (Self::Root, "ceiling") => Some(Self::Ceiling),
            (Self::Root, "sandbox_workspace_write") => Some(Self::Keys(WorkspaceWrite::KEYS)),
            (Self::Root, _) => known(Config::KEYS).or_else(|| known(Requirements::KEYS)),
            (Self::Profiles, _) => Some(Self::Profile),
            (Self::Projects, _) => Some(Self::Keys(&[TRUST_LEVEL, CONFIG_SHA256])),
            (Self::Profile | Self::Ceiling, "filesystem")
            | (Self::Profile, "workspace_roots" | "protected") => Some(Self::Names),
            (Self::Profile | Self::Ceiling, "network") => Some(Self::Network),
            (Self::Profile | Self::Ceiling, "resources") => Some(Self::Keys(ResourcesTable::KEYS)),
            (Self::Profile, "environment") => Some(Self::Environment),
            (Self::Profile, "kernel") => Some(Self::Keys(KernelTable::KEYS)),
            (Self::Profile, _) => known(ProfileTable::KEYS),
            (Self::Ceiling, "deny") => Some(Self::Keys(DenyTable::KEYS)),
            (Self::Ceiling, "who") => Some(Self::Keys(WhoTable::KEYS)),
            (Self::Ceiling, _) => known(CeilingTable::KEYS),
            (Self::Network, "domains" | "unix_sockets") => Some(Self::Names),
            (Self::Network, _) => known(NetworkTable::KEYS),
            (Self::Environment, _) => known(EnvironmentTable::KEYS),
            (Self::Names, _) => (DomainEntry::KEYS.contains(&key) || !is_secret(key)).then_some(Self::Names),
            (Self::Keys(keys), _) => known(keys),
        }
    }
}

/// Whether a name, which is no path and no host, is one of a secret.
fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    !key.contains(['/', '~', '*', '.', ':'])
        && (key.ends_with("key")
            || SECRET.iter().any(|word| key.contains(word))
            || key.split(['_', '-']).any(|word| matches!(word, "pat" | "auth")))
}
