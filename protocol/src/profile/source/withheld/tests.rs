//! What lines show, and the law: whatever is broken in a document, nothing secret of it is in what is said about that.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::policy::Layer;
use crate::profile::read::read;
use crate::profile::source::{Severity, Source};

/// What must not be seen. No part of it is a word of anything else here.
const SECRET: &str = "Zq7XvK3mWp9Td2RhY8";

/// How much of it is told from chance.
const TELLING: usize = 5;

fn source(text: &str, format: Format) -> Source {
    Source::new("f", text.as_bytes().to_vec(), format, Layer::User).unwrap()
}

/// The last line of a document, as it is shown.
fn last_line(text: &str) -> String {
    let at = text.rfind('\n').map_or(0, |at| at + 1);
    source(text, Format::Toml).diagnostic(Severity::Error, &(at..at), String::new()).line_text
}

#[test]
fn lines_of_a_broken_document_show_what_is_no_value() {
    let cases = [
        ("[model_providers.x]\nname = \"n\nbase_url = \"https://u:p@h", ""),
        ("[model_providers.x]\nbase_url = \"https://u:p@h", "base_url = …"),
        ("[ \"model_providers\".x]\nhttp_headers = { a = \"b", "http_headers = { a = …"),
        ("\"API_KEY\" = sk-1", "\"API_KEY\" = …"),
        ("set = { A = \"b\", GITHUB_TOKEN = \"g", "set = { A = …"),
        ("token = \"\"\"\nsk-1", ""),
        ("token = \"\"\"\nsk-1==", ""),
        ("token = \"=\"\n[sk-1]\n\"\"\"\nkey = 1\na = b", ""),
        ("[model_providers.x", "[model_providers.x"),
        ("args = [\n  [\"sk-1\"],\n  [sk-2", "  […"),
        ("args =\n[\"sk-1\" 2", "[…"),
        ("a = \"\n\"sk-1\" = \"b", ""),
        ("\"http://u:p@h\" = x", ""),
        ("\"/srv\" = read", "\"/srv\" = read"),
        (
            "\":project_roots\" = { \".\" = \"write\", \"x\" = none",
            "\":project_roots\" = { \".\" = \"write\", \"x\" = none",
        ),
        ("enabled = true # sk-1", "enabled = true …"),
        ("[projects.\"/home/me/x\"", "[projects.\"/home/me/x\""),
        ("model = gpt", "model = …"),
        ("", ""),
    ];
    for (text, expect) in cases {
        let at = text.rfind('\n').map_or(0, |at| at + 1);
        // Something that is wrong behind it.
        let text = format!("{text}\n]");
        let found = source(&text, Format::Toml).diagnostic(Severity::Error, &(at..at), String::new());
        assert_eq!(found.line_text, expect, "{text}");
    }
}

#[test]
fn lines_of_a_whole_document_show_values_of_permissions() {
    let cases = [
        ("[permissions.x.filesystem]\n\"~/secrets\" = \"nope\"", "\"~/secrets\" = \"nope\""),
        ("[permissions.x.filesystem]\nTOKEN = \"nope\"", "TOKEN = …"),
        ("[permissions.x.filesystem]\nFOO = \"sk-123\"", "FOO = …"),
        ("[permissions.x.environment]\nset = { A = \"b\" }", "set = { A = …"),
        ("[permissions.x.environment.set]\nA = \"b\"", "A = …"),
        ("[permissions.x.environment]\nallow = [\"A\"] # b", "allow = [\"A\"] …"),
        ("[permissions.x.network]\nproxy_url = 1", "proxy_url = …"),
        ("[permissions.x.network]\ndomains = [{ pattern = \"a?\" }]", "domains = [{ pattern = \"a?\" }]"),
        ("[permissions.x.network]\ndomains = [{ pattern = \"http://u:p@h\" }]", "domains = [{ pattern = …"),
        ("[permissions.x]\nenviron = { A = \"b\" }", "environ = { A = …"),
        ("[mcp_servers.x.env]\nA = \"b\"", "A = …"),
        ("[model_providers.x]\nwire_api = 1", "wire_api = …"),
    ];
    for (text, expect) in cases {
        assert_eq!(last_line(text), expect, "{text}");
    }
}

/// What is left out takes one column of the mark, and tells not how long it is.
#[test]
fn a_mark_stands_below_what_is_left_out() {
    let text = "[permissions.x.environment]\nset = { A = \"sk-123456\", \"B=\" = \"c\" }";
    let at = text.find("\"B=").unwrap();
    let found = source(text, Format::Toml).diagnostic(Severity::Error, &(at..at + 4), "r".to_owned());
    assert_eq!((found.place.column, found.width), (26, 1));
    assert_eq!(found.to_string(), "error: r\n --> f:2:26\n  |\n2 | set = { A = …\n  |             ^\n");
}

/// Parts of configurations, `@` standing for what is secret.
const PARTS: [&str; 16] = [
    "model = \"m\"\n",
    "default_permissions = \"p\"\n",
    "[permissions.p.filesystem]\n\"/srv\" = \"read\"\n\":project_roots\" = { \".\" = \"write\" }\n",
    "[permissions.p.network]\nenabled = true\nproxy_url = \"http://u:@@@h:1\"\n",
    "[permissions.p.network]\ndomains = [\n  { pattern = \"a.example\", allow = true },\n]\n",
    "[permissions.p.environment]\ninherit = \"core\"\nset = { A = \"@\", GH_PAT = '@' }\n",
    "[permissions.p.environment.set]\nFOO = \"@\"\nread = \"@\"\n",
    "[permissions.p]\ndescription = \"see https://h.example/?k=@\"\n",
    "[model_providers.x]\nbase_url = \"https://u:@@@h/v1?key=@&b=1\"\nexperimental_bearer_token = \"@\"\n",
    "[model_providers.y]\nhttp_headers = { Authorization = \"Bearer @\", X = \"@\" }\n",
    "[mcp_servers.s]\ncommand = \"c\"\nargs = [\n  \"--auth\",\n  \"@\", \"read\",\n  \"@\"\n]\n",
    "[mcp_servers.t]\nargs = [[\"@\", \"allow\"], [\"@\"]]\ncookie = '@'\n",
    "[mcp_servers.s.env]\nFOO = \"@\"\npasswd = \"@\"\nB = '@'\nread = \"@\"\n",
    "[mcp_servers.t.env]\nPEM = \"\"\"\n-----BEGIN-----\n@\n@==\n[@]\nA = @\n\"\"\"\n",
    "[mcp_servers.u]\nenv = { A = \"@\", B = \"x\", C = \"@=\" }\n",
    "[other]\nnested = [\n  { env = { A = \"@\" } },\n  [\n    \"@\",\n  ],\n] # was \"@\"\n",
];

/// The same of JSON, members of one object.
const MEMBERS: [&str; 5] = [
    r#""default_permissions": "p""#,
    r#""permissions": {"p": {"environment": {"set": {"A": "@", "PAT": "@"}}, "network": {"proxy_url": "http://u:@@@h"}}}"#,
    "\"mcp_servers\": {\n  \"s\": {\n    \"args\": [\"--auth\", \"@\", \"read\"],\n    \"env\": {\"A\": \"@\"}\n  }\n}",
    "\"model_providers\": {\"x\": {\"base_url\": \"https://u:@@@h/?k=@\",\n\"http_headers\": {\"Cookie\":\n\"@\"}}}",
    "\"other\": [\"@\", {\"read\": \"@\"},\n  \"@\",\n  true]",
];

/// What breaks a document.
const FAULTS: [&str; 26] = [
    "\"",
    "'",
    "\"\"\"",
    "'''",
    "[",
    "]",
    "{",
    "}",
    "=",
    "==",
    ",",
    "\n",
    "#",
    ".",
    ":",
    "\\",
    " ",
    "\r\n",
    "\0",
    "x",
    "[x]",
    "= 1",
    "\"x\" = 1\n",
    "\n\n",
    "é",
    "/",
];

fn told(text: &str, format: Format, layer: Layer) -> String {
    let source = Source::new("f", text.as_bytes().to_vec(), format, layer).unwrap();
    let report = read(&source).report;
    // Also of lines in which nothing was found.
    let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
    let lines = starts.map(|at| source.diagnostic(Severity::Error, &(at..at), String::new()).line_text);
    format!("{report}{report:?}{}", lines.collect::<Vec<_>>().join("\n"))
}

/// A telling part of the secret that is in `text`.
fn seen(text: &str) -> Option<&'static str> {
    (0..=SECRET.len() - TELLING).map(|at| &SECRET[at..at + TELLING]).find(|part| text.contains(part))
}

/// `@@@` is a secret with a real `@` behind it.
fn with_secret(parts: &[&str], between: &str) -> String {
    parts.join(between).replace("@@@", &format!("{SECRET}\u{1}")).replace('@', SECRET).replace('\u{1}', "@")
}

fn broken(text: &str, at: Index, fault: &str, taken: usize) -> String {
    let at = text.floor_char_boundary(at.index(text.len() + 1));
    let behind = text.ceil_char_boundary((at + taken).min(text.len()));
    format!("{}{fault}{}", &text[..at], &text[behind..])
}

#[test]
fn the_search_finds_what_is_told() {
    assert_eq!(seen(&format!("a{}b", &SECRET[3..9])), Some(&SECRET[3..8]));
    assert_eq!(seen("nothing"), None);
    assert_eq!(with_secret(&["u:@@@h?@"], ""), format!("u:{SECRET}@h?{SECRET}"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// A piece is put in or taken out anywhere, or the document is cut off.
    #[test]
    fn nothing_secret_is_told_of_a_broken_document(
        parts in proptest::collection::vec(select(&PARTS[..]), 1..6),
        at in any::<Index>(),
        fault in select(&FAULTS[..]),
        taken in 0_usize..3,
        is_cut in any::<bool>(),
    ) {
        let whole = with_secret(&parts, "");
        let mut text = broken(&whole, at, fault, taken);
        if is_cut {
            let end = text.floor_char_boundary(at.index(whole.len() + 1));
            text.truncate(end);
        }
        for layer in [Layer::User, Layer::Requirements] {
            let told = told(&text, Format::Toml, layer);
            prop_assert_eq!(seen(&told), None, "{}\n\n{}", text, told);
        }
    }

    #[test]
    fn nothing_secret_is_told_of_a_broken_document_in_json(
        parts in proptest::collection::vec(select(&MEMBERS[..]), 1..4),
        at in any::<Index>(),
        fault in select(&FAULTS[..]),
        taken in 0_usize..3,
    ) {
        let text = broken(&format!("{{{}}}", with_secret(&parts, ",\n")), at, fault, taken);
        let told = told(&text, Format::Json, Layer::User);
        prop_assert_eq!(seen(&told), None, "{}\n\n{}", text, told);
    }
}
