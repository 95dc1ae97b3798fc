//! The shape of a Rust file: its size, its first line, and its name. Callers: [`super::RULES`].

use super::tokens::{self, Kind, Scope};
use super::{Finding, Source};

/// Lines that a Rust file may have. Files of 80 to 300 lines are the aim; this is the hard stop.
pub const MAX_LINES: usize = 800;

/// Module names that name a layer or nothing at all, where a concept of the domain belongs.
pub const BANNED_NAMES: [&str; 10] =
    ["utils", "util", "helpers", "helper", "common", "manager", "managers", "handler", "handlers", "misc"];

/// No Rust file has more than [`MAX_LINES`] lines.
pub fn check_size(source: &Source) -> Vec<Finding> {
    let lines = source.text.lines().count();
    if !source.is_rust() || lines <= MAX_LINES {
        return Vec::new();
    }
    vec![Finding::new(source, 0, format!("{lines} lines; split it by concept to stay within {MAX_LINES}"))]
}

/// Every Rust file starts with its module doc.
pub fn check_module_doc(source: &Source) -> Vec<Finding> {
    if !source.is_rust() || source.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![Finding::new(source, 1, "must start with `//! `: what it is, what it must never do, who calls it")]
}

/// No `mod.rs`, and no module, file or directory of sources with a banned name.
pub fn check_names(source: &Source) -> Vec<Finding> {
    if !source.is_rust() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    if source.path.rsplit('/').next() == Some("mod.rs") {
        findings.push(Finding::new(source, 0, "use `name.rs` beside the directory `name`, not `mod.rs`"));
    }
    for component in source.path.trim_end_matches(".rs").split('/').filter(|part| is_banned(part)) {
        findings.push(banned(source, 0, component));
    }
    findings.extend(inline_modules(source));
    findings
}

fn inline_modules(source: &Source) -> Vec<Finding> {
    // A file that does not lex is reported by the rules about its words.
    let tokens = tokens::read(source, Scope::Everything).unwrap_or_default();
    let pairs = tokens.windows(2).filter(|pair| pair[0].is_word("mod"));
    let names = pairs.map(|pair| &pair[1]).filter(|name| name.kind == Kind::Word && is_banned(&name.text));
    names.map(|name| banned(source, name.line, &name.text)).collect()
}

fn is_banned(name: &str) -> bool {
    BANNED_NAMES.contains(&name)
}

fn banned(source: &Source, line: usize, name: &str) -> Finding {
    Finding::new(source, line, format!("`{name}` names a layer; name the concept"))
}

#[cfg(test)]
mod tests {
    use super::{MAX_LINES, check_module_doc, check_names, check_size};
    use crate::tidy::check::lines;

    #[test]
    fn size_has_a_hard_stop() {
        let text = |count: usize| "x\n".repeat(count);
        assert_eq!(lines(check_size, "a.rs", &text(MAX_LINES)), []);
        assert_eq!(lines(check_size, "a.rs", &text(MAX_LINES + 1)), [0]);
        assert_eq!(lines(check_size, "a.md", &text(MAX_LINES + 1)), []);
    }

    #[test]
    fn the_first_line_is_the_module_doc() {
        assert_eq!(lines(check_module_doc, "a.rs", "//! What it is.\n"), []);
        for text in ["", "use a;\n//! late\n", "/// An item.\n", "// plain\n", "//!\n", "\n//! What it is.\n"]
        {
            assert_eq!(lines(check_module_doc, "a.rs", text), [1], "{text:?}");
        }
        assert_eq!(lines(check_module_doc, "a.toml", "[a]\n"), []);
    }

    #[test]
    fn names_are_concepts() {
        let cases: [(&str, &str, &[usize]); 9] = [
            ("agent/src/link.rs", "", &[]),
            ("agent/src/common_name.rs", "", &[]),
            ("agent/src/link/mod.rs", "", &[0]),
            ("tests/tests/common/mod.rs", "", &[0, 0]),
            ("agent/src/utils.rs", "", &[0]),
            ("agent/src/handler/a.rs", "", &[0]),
            ("agent/src/a.rs", "mod a;\nmod helpers;\nmod b { mod manager {} }", &[2, 3]),
            ("agent/src/a.rs", "// mod utils;\nlet a = \"mod utils;\";", &[]),
            ("docs/common/a.md", "", &[]),
        ];
        for (path, text, expect) in cases {
            assert_eq!(lines(check_names, path, text), expect, "{path} {text}");
        }
    }
}
