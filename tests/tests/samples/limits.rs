//! Documents that are too large to be kept as files: each is refused with its reason, in bounded time and memory.

use weir_protocol::policy::Layer;
use weir_protocol::profile::{
    Format, MAX_DEPTH, MAX_DIAGNOSTICS, MAX_DOCUMENT_BYTES, MAX_PATTERNS, MAX_RULES,
};

use crate::sample::read_bytes;

/// Brackets in the deepest documents.
const MANY_BRACKETS: usize = 100_000;

/// A refused document gives this first line.
fn check(name: &str, text: String, format: Format, expect: &str) {
    let outcome = read_bytes(name, text.into_bytes(), format, Layer::User);
    let first = outcome.message.lines().next().unwrap_or_default();
    assert_eq!((outcome.document.is_some(), first), (false, expect), "{name}");
    assert!(
        outcome.message.len() < MAX_MESSAGE_BYTES,
        "{name}: a message of {} bytes",
        outcome.message.len()
    );
}

/// Longest message for a document: every problem shows at most a window of its line.
const MAX_MESSAGE_BYTES: usize = MAX_DIAGNOSTICS * 4096;

fn accepted(name: &str, text: String, format: Format) {
    let outcome = read_bytes(name, text.into_bytes(), format, Layer::User);
    assert_eq!((outcome.document.is_some(), outcome.message.as_str()), (true, ""), "{name}");
}

/// A table of `count` paths with one access.
fn rules(count: usize) -> String {
    let entries: String = (0..count).map(|n| format!("\"/{n}\"=\"read\"\n")).collect();
    format!("[permissions.p.filesystem]\n{entries}")
}

#[test]
fn a_file_has_a_largest_size() {
    let expect = format!("error: the file has 10485760 bytes and may have {MAX_DOCUMENT_BYTES}");
    check("10mb.toml", "#".repeat(10 << 20), Format::Toml, &expect);
    check("10mb.json", " ".repeat(10 << 20), Format::Json, &expect);
    let comment = |bytes: usize| format!("{}\n", "#".repeat(bytes - 1));
    accepted("largest.toml", comment(MAX_DOCUMENT_BYTES), Format::Toml);
    let over =
        format!("error: the file has {} bytes and may have {MAX_DOCUMENT_BYTES}", MAX_DOCUMENT_BYTES + 1);
    check("one-more.toml", comment(MAX_DOCUMENT_BYTES + 1), Format::Toml, &over);
}

#[test]
fn rules_are_counted() {
    // The profile itself is one.
    accepted("most-rules.toml", rules(MAX_RULES - 1), Format::Toml);
    let expect = format!("error: more than {MAX_RULES} rules in one document");
    check("one-rule-more.toml", rules(MAX_RULES), Format::Toml, &expect);
    check("50000-rules.toml", rules(50_000), Format::Toml, &expect);
    let expect = format!("error: the file has 1588917 bytes and may have {MAX_DOCUMENT_BYTES}");
    check("100000-rules.toml", rules(100_000), Format::Toml, &expect);
}

/// The place of a rule costs little even where all rules stand on one line.
#[test]
fn rules_may_stand_on_one_line() {
    let entries: String = (1..MAX_RULES).map(|n| format!("\"/directory/{n}\":\"read\",")).collect();
    let json =
        format!("{{\"permissions\":{{\"p\":{{\"filesystem\":{{{}}}}}}}}}", entries.trim_end_matches(','));
    accepted("one-line.json", json, Format::Json);
}

#[test]
fn rules_of_every_table_are_counted() {
    let expect = format!("error: more than {MAX_RULES} rules in one document");
    let names = |count: usize| (0..count).map(|n| format!("\"n{n}\",")).collect::<String>();
    let many = names(MAX_RULES + 1);
    check("variables", format!("[permissions.p.environment]\nallow=[{many}]"), Format::Toml, &expect);
    let sockets: String = (0..=MAX_RULES).map(|n| format!("\"/{n}\",")).collect();
    check("sockets", format!("[permissions.p.network]\nunix_sockets=[{sockets}]"), Format::Toml, &expect);
    let hosts: String = (0..=MAX_RULES).map(|n| format!("\"h{n}\"=\"allow\"\n")).collect();
    check("hosts", format!("[permissions.p.network.domains]\n{hosts}"), Format::Toml, &expect);
    let roots: String = (0..=MAX_RULES).map(|n| format!("\"/{n}\"=true\n")).collect();
    check("roots", format!("[permissions.p.workspace_roots]\n{roots}"), Format::Toml, &expect);
    let ranges: String = (0..=MAX_RULES).map(|_| "\"10.0.0.1\",".to_owned()).collect();
    check("ranges", format!("[permissions.p.network]\nallow_private=[{ranges}]"), Format::Toml, &expect);
    let profiles: String = (0..=MAX_RULES).map(|n| format!("[permissions.p{n}]\n")).collect();
    check("profiles", profiles, Format::Toml, &expect);
}

#[test]
fn patterns_are_counted() {
    let patterns = |count: usize| -> String {
        let entries: String = (0..count).map(|n| format!("\"/{n}/*\"=\"none\"\n")).collect();
        format!("[permissions.p.filesystem]\n{entries}")
    };
    accepted("most-patterns.toml", patterns(MAX_PATTERNS), Format::Toml);
    let expect = format!("error: more than {MAX_PATTERNS} patterns in one document");
    check("one-pattern-more.toml", patterns(MAX_PATTERNS + 1), Format::Toml, &expect);
    let names: String = (0..=MAX_PATTERNS).map(|n| format!("\"n{n}*\",")).collect();
    check("name-patterns", format!("[permissions.p.environment]\nallow=[{names}]"), Format::Toml, &expect);
}

#[test]
fn nesting_is_bounded_and_never_exhausts_the_stack() {
    let ours = format!("error: nested more than {MAX_DEPTH} levels deep");
    let toml_arrays = |depth: usize| format!("x = {}{}", "[".repeat(depth), "]".repeat(depth));
    accepted("arrays", toml_arrays(MAX_DEPTH), Format::Toml);
    check("arrays", toml_arrays(MAX_DEPTH + 1), Format::Toml, &ours);
    check("arrays", toml_arrays(MANY_BRACKETS), Format::Toml, &ours);
    check("open arrays", format!("x = {}", "[".repeat(MANY_BRACKETS)), Format::Toml, &ours);
    let syntax = "error: not valid TOML: missing array opening, expected `[`";
    check("closing arrays", format!("x = {}", "]".repeat(MANY_BRACKETS)), Format::Toml, syntax);
    let inline = |depth: usize| format!("x = {}1{}", "{a=".repeat(depth), "}".repeat(depth));
    accepted("inline tables", inline(MAX_DEPTH - 1), Format::Toml);
    check("inline tables", inline(MANY_BRACKETS), Format::Toml, &ours);
    check("dotted key", format!("{}a = 1", "a.".repeat(MANY_BRACKETS)), Format::Toml, &ours);
    check("dotted header", format!("[{}a]", "a.".repeat(MANY_BRACKETS)), Format::Toml, &ours);
    check("dotted list header", format!("[[{}a]]", "a.".repeat(MANY_BRACKETS)), Format::Toml, &ours);
    check("spaced dotted key", format!("{}a = 1", "\"a\" . ".repeat(MANY_BRACKETS)), Format::Toml, &ours);
    let json = |open: &str, close: &str, depth: usize| {
        format!("{{\"x\":{}1{}}}", open.repeat(depth), close.repeat(depth))
    };
    accepted("json arrays", json("[", "]", MAX_DEPTH - 1), Format::Json);
    check("json arrays", json("[", "]", MAX_DEPTH + 1), Format::Json, &ours);
    check("json arrays", json("[", "]", MANY_BRACKETS), Format::Json, &ours);
    check("json objects", json("{\"a\":", "}", MANY_BRACKETS), Format::Json, &ours);
    let syntax = "error: not valid JSON: the text ends inside a list";
    check("json open", "[".repeat(MANY_BRACKETS), Format::Json, syntax);
}

/// Every problem costs the same, however many there are and however long their line is.
#[test]
fn very_many_problems_are_counted_and_fifty_are_told() {
    let keys: String = (0..60_000).map(|n| format!("k{n}=1,")).collect();
    let expect = "error: unknown key `k0` in a profile";
    check("unknown keys", format!("permissions.p = {{ {keys} }}"), Format::Toml, expect);
    let bad: String = (0..60_000).map(|n| format!("k{n}=x\n")).collect();
    check("syntax", bad, Format::Toml, "error: not valid TOML: a text must stand between quotes");
    let twice = "a=1\n".repeat(60_000);
    check("duplicates", twice, Format::Toml, "error: the key `a` stands twice");
}

/// Warnings that fill the report cannot push an error out of it.
#[test]
fn an_error_after_many_warnings_refuses_the_document() {
    let empty: String = (0..MAX_DIAGNOSTICS + 10).map(|n| format!("\"/{n}\" = {{}}\n")).collect();
    let text = format!("[permissions.p.filesystem]\n{empty}\"/srv\" = \"reed\"\n");
    let outcome = read_bytes("warnings.toml", text.into_bytes(), Format::Toml, Layer::User);
    assert!(outcome.document.is_none());
    assert!(outcome.message.contains("error: unknown access `reed`"), "{}", outcome.message);
    assert!(outcome.message.contains("and 11 more"), "{}", outcome.message);
}
