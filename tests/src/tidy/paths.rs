//! The paths that code names: `a::b::c` in expressions and types, and every leaf of a `use` tree.
//!
//! Aliases are not followed: `use std as s` yields the path `std`. Callers: [`super::purity`], [`super::words`].

use super::tokens::{Kind, Token};

/// A path of at least one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPath {
    /// Its names from the left; a glob import ends in `*`.
    pub names: Vec<String>,
    /// The line of the last name.
    pub line: usize,
    /// Whether it is a leaf of a `{…}` group, so that its names do not stand side by side in the text.
    pub is_grouped: bool,
}

/// Keywords that may stand before a path, and so are no part of it.
const KEYWORDS: [&str; 20] = [
    "as", "async", "await", "break", "const", "dyn", "else", "extern", "for", "if", "impl", "in", "let",
    "match", "move", "mut", "pub", "return", "use", "while",
];

/// All paths in `tokens`, in order.
pub fn read(tokens: &[Token]) -> Vec<NamedPath> {
    let mut paths = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_name(&tokens[at]) && !follows_name(tokens, at) {
            at = path(tokens, at, &NamedPath { names: Vec::new(), line: 0, is_grouped: false }, &mut paths);
        } else {
            at += 1;
        }
    }
    paths
}

fn is_name(token: &Token) -> bool {
    token.kind == Kind::Word && !KEYWORDS.contains(&token.text.as_str())
}

/// Whether the word at `at` continues a path or is a field or method.
fn follows_name(tokens: &[Token], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).map(|index| &tokens[index]);
    let after_dot = before(1).is_some_and(|token| token.is_mark('.'))
        && !before(2).is_some_and(|token| token.is_mark('.'));
    let after_colons = before(1).is_some_and(|token| token.is_mark(':'))
        && before(2).is_some_and(|token| token.is_mark(':'));
    let continues = before(3).is_some_and(|token| is_name(token) || token.is_mark('>'));
    after_dot || (after_colons && continues)
}

/// Reads one path, or the tree below one, that starts at `at`; returns the index behind it.
fn path(tokens: &[Token], mut at: usize, prefix: &NamedPath, paths: &mut Vec<NamedPath>) -> usize {
    let mut named = prefix.clone();
    while let Some(token) = tokens.get(at) {
        if token.is_mark('{') {
            return group(tokens, at + 1, &named, paths);
        }
        if token.kind != Kind::Word && !token.is_mark('*') {
            break;
        }
        named.names.push(token.text.clone());
        named.line = token.line;
        at += 1;
        if !colons(tokens, at) {
            break;
        }
        at += 2;
    }
    paths.push(named);
    at
}

/// Reads the members of a group whose `{` has been read; returns the index behind its `}`.
fn group(tokens: &[Token], mut at: usize, prefix: &NamedPath, paths: &mut Vec<NamedPath>) -> usize {
    let prefix = NamedPath { is_grouped: true, ..prefix.clone() };
    while let Some(token) = tokens.get(at) {
        if token.is_mark('}') {
            return at + 1;
        }
        if token.is_word("self") {
            paths.push(NamedPath { line: token.line, ..prefix.clone() });
            at += 1;
        } else if token.is_word("as") {
            at += 2;
        } else if token.kind == Kind::Word || token.is_mark('*') {
            at = path(tokens, at, &prefix, paths);
        } else {
            at += 1;
        }
    }
    at
}

fn colons(tokens: &[Token], at: usize) -> bool {
    tokens.get(at).is_some_and(|token| token.is_mark(':'))
        && tokens.get(at + 1).is_some_and(|token| token.is_mark(':'))
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::tidy::Source;
    use crate::tidy::tokens::{self, Scope};

    fn paths(text: &str) -> Vec<String> {
        let tokens = tokens::read(&Source::new("a.rs", text), Scope::Everything).unwrap();
        let paths = read(&tokens).into_iter().map(|path| path.names.join("::"));
        paths.filter(|path| path.contains("::")).collect()
    }

    #[test]
    fn paths_are_read_whole() {
        let cases: [(&str, &[&str]); 11] = [
            ("use std::fs;", &["std::fs"]),
            (
                "use std::{fs, io::{self, Read as R}, net::*};",
                &["std::fs", "std::io", "std::io::Read", "std::net::*"],
            ),
            ("use ::std::fs;", &["std::fs"]),
            ("return ::std::fs::read(a) as ::std::net::B", &["std::fs::read", "std::net::B"]),
            ("let a = std::fs::read(b);", &["std::fs::read"]),
            ("fn f(a: std::net::IpAddr) {}", &["std::net::IpAddr"]),
            ("a.b::<std::fs::File>()", &["std::fs::File"]),
            ("Vec::<u8>::new()", &[]),
            ("m!(std::env::args())", &["std::env::args"]),
            ("for a in ..std::env::b {}", &["std::env::b"]),
            ("use {std::fs, a::b};", &["std::fs", "a::b"]),
        ];
        for (text, expect) in cases {
            assert_eq!(paths(text), expect, "{text}");
        }
    }

    #[test]
    fn text_that_is_no_rust_ends_all_the_same() {
        for text in ["a::", "use a::{b", "a::{", "::", "use a::{}; {}"] {
            let closed =
                format!("{text}{}", if text.contains('{') && !text.contains('}') { "}" } else { "" });
            paths(&closed);
        }
    }
}
