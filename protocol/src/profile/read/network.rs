//! The `network` table.

use std::collections::{BTreeMap, btree_map};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::filesystem;
use super::reader::{Reader, printable, printable_word};
use crate::policy::glob::has_wildcard;
use crate::policy::{Access, DomainPattern, Origin, Sourced};
use crate::profile::diagnostic::offer;
use crate::profile::document::{Base, Below, NetworkRules, Token};
use crate::profile::schema;
use crate::profile::source::{Entry, Node, Value};

const PERMISSION_WORDS: [&str; 3] = ["allow", "deny", "none"];

pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> NetworkRules {
    let mut out = NetworkRules::default();
    let entries = reader.known_table::<schema::NetworkTable>(node, "`network`");
    for entry in entries {
        match entry.key.as_str() {
            "enabled" => out.enabled = reader.boolean(entry),
            "mode" => {
                let origin = reader.entry_origin(entry);
                out.mode = reader.word(&entry.node, "mode").map(|value| Sourced { value, origin });
            }
            "domains" => out.domains = Some(read_domains(reader, &entry.node)),
            "unix_sockets" => out.unix_sockets.extend(read_sockets(reader, &entry.node)),
            "loopback" | "allow_local_binding" => read_loopback(reader, entry, &mut out),
            "allow_private" => out.allow_private = read_private(reader, entry),
            "publish" => out.publish = super::publish::read(reader, &entry.node),
            "allow_upstream_proxy" => out.allow_upstream_proxy = reader.boolean(entry),
            "dangerously_allow_all_unix_sockets" => {
                if let Some(all) = reader.boolean(entry).filter(|all| all.value) {
                    out.unix_sockets.insert((Base::Token(Token::Root), String::new()), all);
                }
            }
            "proxy_url" | "socks_url" => drop(reader.string(&entry.node)),
            "enable_socks5" => drop(reader.boolean(entry)),
            "enable_socks5_udp" | "dangerously_allow_non_loopback_proxy" => refuse_true(reader, entry),
            _ => {}
        }
    }
    warn_without_effect(reader, entries, &out);
    out
}

fn read_loopback(reader: &mut Reader<'_>, entry: &Entry, out: &mut NetworkRules) {
    let value = reader.boolean(entry);
    if let (Some(first), Some(second)) = (&out.loopback, &value)
        && first.value != second.value
    {
        let reason = "`loopback` and `allow_local_binding` are one switch and say opposite things".to_owned();
        reader.error(&entry.key_span, reason, "keep `loopback`");
    }
    out.loopback = value.or_else(|| out.loopback.take());
}

fn refuse_true(reader: &mut Reader<'_>, entry: &Entry) {
    if reader.boolean(entry).is_some_and(|value| value.value) {
        let reason = format!("`{} = true` cannot be kept: the gate has no such opening", entry.key);
        reader.error(&entry.node.span, reason, "remove the key");
    }
}

/// Says so where the network is off and rules for it stand beside: they can never match.
fn warn_without_effect(reader: &mut Reader<'_>, entries: &[Entry], rules: &NetworkRules) {
    if rules.enabled.as_ref().is_some_and(|enabled| !enabled.value) {
        for entry in
            entries.iter().filter(|entry| matches!(entry.key.as_str(), "domains" | "mode" | "allow_private"))
        {
            let reason = format!("`{}` has no effect while `enabled = false`", entry.key);
            reader.warn(&entry.key_span, reason, "set `enabled = true`, or remove it");
        }
    }
}

/// Host rules with where each pattern stands.
type Domains = BTreeMap<DomainPattern, (Sourced<bool>, std::ops::Range<usize>)>;

fn read_domains(reader: &mut Reader<'_>, node: &Node) -> BTreeMap<DomainPattern, Sourced<bool>> {
    let mut out = Domains::new();
    match &node.value {
        Value::Array(items) => {
            for item in items {
                read_domain_entry(reader, item, &mut out);
            }
        }
        Value::Table(_) => {
            for entry in reader.table(node, "`domains`") {
                reader.count_rule(&entry.key_span);
                let origin = reader.entry_origin(entry);
                if let Some(allow) = read_permission(reader, &entry.node) {
                    add_domain(
                        reader,
                        &entry.key,
                        &entry.key_span,
                        Sourced { value: allow, origin },
                        &mut out,
                    );
                }
            }
        }
        other => {
            let reason = format!("`domains` is a list or a table, not {}", other.kind());
            reader.error(
                &node.span,
                reason,
                "for instance `domains = { \"registry.example.org\" = \"allow\" }`",
            );
        }
    }
    warn_shadowed(reader, &out);
    out.into_iter().map(|(pattern, (rule, _))| (pattern, rule)).collect()
}

fn read_domain_entry(reader: &mut Reader<'_>, item: &Node, out: &mut Domains) {
    reader.count_rule(&item.span);
    if let Some(text) = item.value.as_text() {
        let help = format!("write `{{ pattern = \"{}\", allow = true }}`", printable(text));
        reader.error(&item.span, "a domain rule must be a table, not a string".to_owned(), &help);
        return;
    }
    let (mut pattern, mut allow) = (None, None);
    let before = reader.report.diagnostics.len();
    for entry in reader.known_table::<schema::DomainEntry>(item, "a domain rule") {
        match entry.key.as_str() {
            "pattern" => pattern = reader.string(&entry.node).map(|text| (text, entry.node.span.clone())),
            "allow" => allow = reader.boolean(entry),
            _ => {}
        }
    }
    match (pattern, allow) {
        (Some((text, span)), Some(allow)) => {
            let origin = Origin { rule: String::new(), ..reader.origin(&item.span, &item.span) };
            let rule = format!("{{ pattern = \"{}\", allow = {} }}", printable(text), allow.value);
            add_domain(
                reader,
                text,
                &span,
                Sourced { value: allow.value, origin: Origin { rule, ..origin } },
                out,
            );
        }
        _ if reader.report.diagnostics.len() > before => {}
        _ => reader.error(
            &item.span,
            "a domain rule needs `pattern` and `allow`".to_owned(),
            "for instance `{ pattern = \"*.example.org\", allow = true }`",
        ),
    }
}

fn add_domain(
    reader: &mut Reader<'_>,
    text: &str,
    span: &std::ops::Range<usize>,
    rule: Sourced<bool>,
    out: &mut Domains,
) {
    match DomainPattern::parse(text) {
        Err(error) => reader.fault(span, text, &error, ""),
        Ok(pattern) if rule.value && pattern.host.is_loopback() => {
            let reason = format!("`{pattern}` is the sandbox's own loopback, which no rule for hosts opens");
            reader.error(span, reason, "write `loopback = true` under `network` instead");
        }
        Ok(pattern) => match out.get(&pattern) {
            Some((first, _)) if first.value != rule.value => {
                let whence = first.origin.whence();
                let reason = format!("`{pattern}` is both allowed and denied (see {whence})");
                reader.error(span, reason, "keep one of the two");
            }
            Some((first, _)) => {
                let whence = first.origin.whence();
                reader.warn(span, format!("`{pattern}` stands twice (see {whence})"), "remove one");
            }
            None => drop(out.insert(pattern, (rule, span.clone()))),
        },
    }
}

/// A grant that a denial covers whole can never match.
fn warn_shadowed(reader: &mut Reader<'_>, rules: &Domains) {
    if reader.report.has_errors() {
        return;
    }
    let denials =
        || rules.iter().filter(|(pattern, (rule, _))| !rule.value && **pattern != DomainPattern::ANY);
    for (pattern, (_, span)) in rules.iter().filter(|(_, (rule, _))| rule.value) {
        if let Some((deny, (rule, _))) = denials().find(|(deny, _)| deny.covers(pattern)) {
            let whence = rule.origin.whence();
            let reason = format!("`{pattern}` can never match: the denial of `{deny}` wins ({whence})");
            reader.warn(span, reason, "remove one of the two");
        }
    }
}

fn read_permission(reader: &mut Reader<'_>, node: &Node) -> Option<bool> {
    if let Value::Boolean(_) = node.value {
        reader.error(
            &node.span,
            "write \"allow\" or \"deny\" in this form".to_owned(),
            "`true` and `false` belong to the list form",
        );
        return None;
    }
    match reader.string(node)? {
        "allow" => Some(true),
        "deny" | "none" => Some(false),
        other => {
            let reason = format!("unknown permission `{}`", printable_word(other));
            reader.error(&node.span, reason, &offer(other, &PERMISSION_WORDS));
            None
        }
    }
}

fn read_sockets(reader: &mut Reader<'_>, node: &Node) -> BTreeMap<(Base, String), Sourced<bool>> {
    let mut out = BTreeMap::new();
    let mut add = |reader: &mut Reader<'_>,
                   text: &str,
                   span: &std::ops::Range<usize>,
                   rule: Sourced<bool>| {
        reader.count_rule(span);
        if has_wildcard(text) {
            let help = "name the socket, or the directory that holds it";
            reader.error(span, format!("`{}`: a socket rule cannot be a pattern", printable(text)), help);
            return;
        }
        let Some((base, Below::Path(below))) = filesystem::path_key(reader, text, span, Access::Read) else {
            return;
        };
        match out.entry((base, below)) {
            btree_map::Entry::Vacant(free) => drop(free.insert(rule)),
            btree_map::Entry::Occupied(first) if first.get().value == rule.value => {
                let reason = format!("the socket stands twice (see {})", first.get().origin.whence());
                reader.warn(span, reason, "remove one");
            }
            btree_map::Entry::Occupied(first) => {
                let reason =
                    format!("the socket is both allowed and denied (see {})", first.get().origin.whence());
                reader.error(span, reason, "keep one of the two");
            }
        }
    };
    match &node.value {
        Value::Array(items) => {
            for item in items {
                let Some(text) = reader.string(item) else { continue };
                let origin = reader.origin(&item.span, &item.span);
                add(reader, text, &item.span, Sourced { value: true, origin });
            }
        }
        Value::Table(_) => {
            for entry in reader.table(node, "`unix_sockets`") {
                let origin = reader.entry_origin(entry);
                if let Some(value) = read_permission(reader, &entry.node) {
                    add(reader, &entry.key, &entry.key_span, Sourced { value, origin });
                }
            }
        }
        other => {
            reader.error(&node.span, format!("`unix_sockets` is a list or a table, not {}", other.kind()), "")
        }
    }
    out
}

fn read_private(reader: &mut Reader<'_>, entry: &Entry) -> Option<Sourced<Vec<IpNet>>> {
    let origin = reader.entry_origin(entry);
    let value = match &entry.node.value {
        Value::Boolean(false) => Vec::new(),
        Value::Boolean(true) => vec![Ipv4Net::default().into(), Ipv6Net::default().into()],
        Value::Array(items) => {
            let mut ranges = Vec::new();
            for item in items {
                reader.count_rule(&item.span);
                let Some(text) = reader.string(item) else { continue };
                match text.parse::<IpNet>().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from)) {
                    Ok(range) => ranges.push(range.trunc()),
                    Err(_) => reader.error(
                        &item.span,
                        format!("`{}` is not an address range", printable(text)),
                        "for instance \"10.0.0.0/8\" or \"fd00::/8\"",
                    ),
                }
            }
            ranges
        }
        other => {
            let reason =
                format!("`allow_private` is `true`, `false` or a list of ranges, not {}", other.kind());
            reader.error(&entry.node.span, reason, "");
            return None;
        }
    };
    Some(Sourced { value, origin })
}
