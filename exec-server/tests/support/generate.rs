//! Random profiles as documents, and random things to add to them.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

const NAMES: [&str; 8] = ["a", "b", "l", ".git", "hooks", "x.env", ".secrets", ".ssh"];
const TOPS: [&str; 6] = ["/p", "/home/u", "/srv", "/tmp", "/data/real", "/etc"];
const TOKENS: [&str; 9] = [
    ":root",
    ":minimal",
    ":project_roots",
    ":cwd",
    ":tmpdir",
    ":slash_tmp",
    ":home",
    ":toolchains",
    ":secrets",
];
const PATTERNS: [&str; 9] =
    ["**/*.env", "**/.secrets", "*", "a/*", "?", "b/**/x*", "[ab]/.git", ".g?t/[!a]*", "**/a/**"];
const HOST_PATTERNS: [&str; 13] = [
    "*",
    "*:443",
    "example.org",
    "example.org:443",
    "*.example.org",
    "*.example.org:80",
    "**.example.org",
    "a.example.org",
    "*.a.example.org:443",
    "10.0.0.1",
    "10.0.0.1:80",
    "169.254.169.254",
    "evil.test",
];
const RANGES: [&str; 5] = ["10.0.0.0/8", "10.0.0.0/24", "169.254.0.0/16", "169.254.169.254/32", "0.0.0.0/0"];
const NAME_PATTERNS: [&str; 9] = ["FOO", "F*", "*TOKEN*", "PATH", "A?C", "[AB]*", "*", "A\\B", "SECRET_FOO"];

fn relative(most: usize) -> impl Strategy<Value = String> {
    vec(select(&NAMES[..]), 1..=most).prop_map(|names| names.join("/"))
}

/// A path of the small world.
pub(crate) fn path() -> impl Strategy<Value = String> {
    (select(&TOPS[..]), option::of(relative(3)))
        .prop_map(|(top, below)| below.map_or(top.to_owned(), |below| format!("{top}/{below}")))
}

/// An absolute pattern.
pub(crate) fn pattern() -> impl Strategy<Value = String> {
    (select(&TOPS[..]), select(&PATTERNS[..])).prop_map(|(top, pattern)| format!("{top}/{pattern}"))
}

fn access() -> impl Strategy<Value = Value> {
    select(&["read", "copy", "write", "none", "deny"][..]).prop_map(Value::from)
}

fn nested() -> impl Strategy<Value = Value> {
    let entry = prop_oneof![
        (Just(".".to_owned()), access()),
        (relative(2), access()),
        (select(&PATTERNS[..]).prop_map(str::to_owned), Just(Value::from("none"))),
    ];
    vec(entry, 1..4).prop_map(|entries| Value::Object(entries.into_iter().collect()))
}

fn filesystem() -> impl Strategy<Value = Value> {
    // Nested tables stand under other keys than literal paths, so that no document names one key twice.
    let entry = prop_oneof![
        4 => (path(), access()),
        1 => (relative(2).prop_map(|below| format!("~/{below}")), access()),
        3 => (select(&TOKENS[..]).prop_map(str::to_owned), access()),
        2 => (pattern(), Just(Value::from("none"))),
        2 => (select(&[":project_roots", ":cwd", ":root"][..]).prop_map(str::to_owned), nested()),
    ];
    (vec(entry, 0..9), option::of(1_u32..9)).prop_map(|(entries, depth)| {
        let mut table: Map<String, Value> = entries.into_iter().collect();
        if let Some(depth) = depth {
            table.insert("glob_scan_max_depth".to_owned(), depth.into());
        }
        Value::Object(table)
    })
}

/// `domains` as a map.
pub(crate) fn domains() -> impl Strategy<Value = Value> {
    let permission = select(&["allow", "allow", "deny"][..]).prop_map(Value::from);
    btree_map(select(&HOST_PATTERNS[..]).prop_map(str::to_owned), permission, 0..6)
        .prop_map(|map| Value::Object(map.into_iter().collect()))
}

fn network() -> impl Strategy<Value = Value> {
    let private = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        vec(select(&RANGES[..]), 0..4).prop_map(Value::from),
    ];
    let sockets = vec((path(), select(&["allow", "deny"][..]).prop_map(Value::from)), 0..4)
        .prop_map(|rules| Value::Object(rules.into_iter().collect()));
    let mode = option::of(select(&["limited", "full"][..]));
    let switches = (
        option::weighted(0.9, proptest::bool::weighted(0.8)),
        option::of(any::<bool>()),
        option::of(any::<bool>()),
    );
    let ports = option::of(vec(select(&["8080", "8080:80", "443:8443", "*"][..]), 0..3));
    (switches, mode, option::weighted(0.8, domains()), private, sockets, ports).prop_map(
        |((enabled, loopback, upstream), mode, domains, private, sockets, ports)| {
            // A port takes a loopback, and stands once.
            let ports = ports.filter(|_| loopback == Some(true)).map(|mut ports| {
                ports.sort_unstable();
                ports.dedup_by_key(|port| port.split(':').next());
                ports
            });
            without_nulls(json!({
                "publish": ports,
                "enabled": enabled, "loopback": loopback, "allow_upstream_proxy": upstream, "mode": mode,
                "domains": domains, "allow_private": private, "unix_sockets": sockets,
            }))
        },
    )
}

fn environment() -> impl Strategy<Value = Value> {
    let names = || option::of(vec(select(&NAME_PATTERNS[..]), 0..3));
    let inherit = option::of(select(&["none", "core", "all"][..]));
    let set = vec((select(&["FOO", "PATH", "ABC"][..]), select(&["1", "2"][..])), 0..2).prop_map(|pairs| {
        Value::Object(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect())
    });
    (inherit, names(), names(), set).prop_map(|(inherit, allow, deny, set)| {
        without_nulls(json!({ "inherit": inherit, "allow": allow, "deny": deny, "set": set }))
    })
}

fn without_nulls(mut value: Value) -> Value {
    if let Some(table) = value.as_object_mut() {
        table.retain(|_, value| !value.is_null());
    }
    value
}

/// One profile as a table.
pub(crate) fn profile() -> impl Strategy<Value = Value> {
    let resources = (option::of(1_u64..9), option::of(1_u64..9))
        .prop_map(|(memory, processes)| without_nulls(json!({ "memory": memory, "processes": processes })));
    let protected = vec((select(&[".git", ".git/hooks", ".git/config", ".weir"][..]), any::<bool>()), 0..2)
        .prop_map(|names| {
            Value::Object(names.into_iter().map(|(name, on)| (name.to_owned(), on.into())).collect())
        });
    let kernel = option::of(any::<bool>()).prop_map(|on| without_nulls(json!({ "io_uring": on })));
    let degrade =
        proptest::sample::subsequence(vec!["snapshot-globs", "no-stand-ins", "shared-signals"], 0..=3);
    let background = select(&["end", "keep"][..]);
    (filesystem(), network(), environment(), resources, protected, kernel, degrade, background).prop_map(
        |(filesystem, network, environment, resources, protected, kernel, degrade, background)| {
            json!({
                "filesystem": filesystem, "network": network, "environment": environment, "resources": resources,
                "protected": protected, "kernel": kernel, "degrade": degrade,
                "background": background,
            })
        },
    )
}

/// Symbolic links of the small world.
pub(crate) fn link_pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    vec((path(), path()), 0..4)
}

/// A document that holds the profile `x`.
pub(crate) fn document(profile: &Value) -> String {
    json!({ "default_permissions": "x", "permissions": { "x": profile } }).to_string()
}

/// The same document as TOML.
pub(crate) fn toml(profile: &Value) -> String {
    format!("default_permissions = \"x\"\n[permissions]\nx = {}\n", toml_value(profile))
}

fn toml_value(value: &Value) -> String {
    match value {
        Value::Object(table) => {
            let entries: Vec<_> = table
                .iter()
                .map(|(key, value)| format!("{} = {}", Value::from(key.as_str()), toml_value(value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(toml_value).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// The same document with the keys of every table in the opposite order.
pub(crate) fn reversed(value: &Value) -> String {
    match value {
        Value::Object(table) => {
            let entries: Vec<_> = table
                .iter()
                .rev()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), reversed(value)))
                .collect();
            format!("{{{}}}", entries.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(reversed).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

/// The profile with `domains` as a list, where it has any.
pub(crate) fn with_domain_list(profile: &Value) -> Value {
    let mut out = profile.clone();
    if let Some(Value::Object(map)) = out.pointer("/network/domains").cloned() {
        let list: Vec<_> = map
            .iter()
            .map(|(pattern, word)| json!({ "pattern": pattern, "allow": word == "allow" }))
            .collect();
        out["network"]["domains"] = list.into();
    }
    out
}

/// Something that only takes away.
#[derive(Debug, Clone)]
pub(crate) enum Denial {
    Path(String),
    Pattern(String),
    Host(String),
    Variable(String),
    Socket(String),
}

pub(crate) fn denial() -> impl Strategy<Value = Denial> {
    prop_oneof![
        path().prop_map(Denial::Path),
        pattern().prop_map(Denial::Pattern),
        select(&HOST_PATTERNS[..]).prop_map(|text| Denial::Host(text.to_owned())),
        select(&NAME_PATTERNS[..]).prop_map(|text| Denial::Variable(text.to_owned())),
        path().prop_map(Denial::Socket),
    ]
}

impl Denial {
    /// The profile with this denial added. A grant with the very same key is replaced by it only for hosts and sockets.
    pub(crate) fn added_to(&self, profile: &Value) -> Option<Value> {
        let mut out = profile.clone();
        let (table, key, word): (_, &str, _) = match self {
            Self::Path(path) if profile["filesystem"].get(path).is_some() => return None,
            Self::Path(text) | Self::Pattern(text) => (&mut out["filesystem"], text, "none"),
            Self::Host(text) => (&mut out["network"]["domains"], text, "deny"),
            Self::Socket(text) => (&mut out["network"]["unix_sockets"], text, "deny"),
            Self::Variable(text) => {
                let mut names = out["environment"]["deny"].as_array().cloned().unwrap_or_default();
                names.push(text.as_str().into());
                out["environment"]["deny"] = names.into();
                return Some(out);
            }
        };
        table[key] = word.into();
        Some(out)
    }
}
