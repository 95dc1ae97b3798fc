//! A Rust file as a flat list of tokens with their lines: no comments, and string literals that cannot be taken for code.
//!
//! Lexing is `proc-macro2`'s. Doc comments arrive as `# [ doc = "…" ]`, groups as an opening and a closing token, and
//! every character of an operator as a token of its own. Callers: the rules that judge code.

use std::iter::Peekable;

use proc_macro2::token_stream::IntoIter;
use proc_macro2::{Delimiter, Group, LexError, Span, TokenStream, TokenTree};

use super::{Finding, Source};

/// What kind of token it is, as far as the rules tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An identifier or keyword.
    Word,
    /// One character of punctuation, or a delimiter.
    Mark,
    /// A literal of any type, with its quotes.
    Literal,
}

/// A token and the line on which it starts, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its kind.
    pub kind: Kind,
    /// Its text.
    pub text: String,
    /// Its line.
    pub line: usize,
}

impl Token {
    /// Whether this is the word `word`.
    pub fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text == word
    }

    /// Whether this is the mark `mark`.
    pub fn is_mark(&self, mark: char) -> bool {
        self.kind == Kind::Mark && self.text.chars().eq([mark])
    }
}

/// Which parts of a file a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All of it.
    Everything,
    /// What is built outside tests: items under `#[cfg(test)]` and `#[test]` are left out.
    Product,
}

/// The tokens of `source`, or the finding that it cannot be read as Rust.
///
/// # Errors
/// When the text does not lex: unbalanced delimiters, an unterminated literal.
pub fn read(source: &Source, scope: Scope) -> Result<Vec<Token>, Finding> {
    let stream: TokenStream = source.text.parse().map_err(|error: LexError| {
        Finding::new(source, error.span().start().line, "cannot be read as Rust, so no rule can judge it")
    })?;
    let mut tokens = Vec::new();
    flatten(stream, scope, &mut tokens);
    Ok(tokens)
}

/// Whether `tokens` starts with these texts. Literals never match.
pub fn starts_with(tokens: &[Token], texts: &[&str]) -> bool {
    tokens.len() >= texts.len()
        && tokens.iter().zip(texts).all(|(token, text)| token.kind != Kind::Literal && token.text == *text)
}

fn flatten(stream: TokenStream, scope: Scope, tokens: &mut Vec<Token>) {
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        if scope == Scope::Product && is_mark(&tree, '#') && trees.peek().is_some_and(is_test_attribute) {
            skip_item(&mut trees);
            continue;
        }
        match tree {
            TokenTree::Group(group) => flatten_group(&group, scope, tokens),
            TokenTree::Ident(word) => push(tokens, Kind::Word, word.to_string(), word.span()),
            TokenTree::Punct(mark) => push(tokens, Kind::Mark, mark.as_char().to_string(), mark.span()),
            TokenTree::Literal(literal) => push(tokens, Kind::Literal, literal.to_string(), literal.span()),
        }
    }
}

fn flatten_group(group: &Group, scope: Scope, tokens: &mut Vec<Token>) {
    let (open, close) = match group.delimiter() {
        Delimiter::Parenthesis => ("(", ")"),
        Delimiter::Brace => ("{", "}"),
        Delimiter::Bracket => ("[", "]"),
        Delimiter::None => return flatten(group.stream(), scope, tokens),
    };
    push(tokens, Kind::Mark, open.to_owned(), group.span_open());
    flatten(group.stream(), scope, tokens);
    push(tokens, Kind::Mark, close.to_owned(), group.span_close());
}

fn push(tokens: &mut Vec<Token>, kind: Kind, text: String, span: Span) {
    tokens.push(Token { kind, text, line: span.start().line });
}

/// Leaves out the rest of an item whose `#` has been read: its attributes and all up to its body or semicolon.
fn skip_item(trees: &mut Peekable<IntoIter>) {
    for tree in trees.by_ref() {
        let ends = match &tree {
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            other => is_mark(other, ';'),
        };
        if ends {
            return;
        }
    }
}

/// Whether a bracket group is `[test]`, `[cfg(test)]` or `[cfg(all(test, …))]`.
fn is_test_attribute(tree: &TokenTree) -> bool {
    let TokenTree::Group(group) = tree else { return false };
    let mut tokens = Vec::new();
    flatten(group.stream(), Scope::Everything, &mut tokens);
    let is = |texts: &[&str]| starts_with(&tokens, texts) && group.delimiter() == Delimiter::Bracket;
    (is(&["test"]) && tokens.len() == 1)
        || is(&["cfg", "(", "test", ")"])
        || is(&["cfg", "(", "all", "(", "test", ","])
}

fn is_mark(tree: &TokenTree, mark: char) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == mark)
}

#[cfg(test)]
mod tests {
    use super::{Kind, Scope, Token, read, starts_with};
    use crate::tidy::Source;

    fn texts(scope: Scope, text: &str) -> Vec<String> {
        let tokens = read(&Source::new("a.rs", text), scope).unwrap();
        tokens.into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_vanish_and_literals_stay_whole() {
        let cases: [(&str, &[&str]); 6] = [
            ("a // unsafe\nb", &["a", "b"]),
            ("a /* unsafe /* nested */ unsafe */ b", &["a", "b"]),
            (r#""unsafe { }""#, &[r#""unsafe { }""#]),
            ("r#\"un\"safe\"#", &["r#\"un\"safe\"#"]),
            ("'\"' // \"", &["'\"'"]),
            ("&'a b::c(1)", &["&", "'", "a", "b", ":", ":", "c", "(", "1", ")"]),
        ];
        for (text, expect) in cases {
            assert_eq!(texts(Scope::Everything, text), expect, "{text}");
        }
    }

    #[test]
    fn lines_count_from_one() {
        let tokens = read(&Source::new("a.rs", "\n/* two\nlines */ a\nb"), Scope::Everything).unwrap();
        let word = |text: &str, line| Token { kind: Kind::Word, text: text.to_owned(), line };
        assert_eq!(tokens, [word("a", 3), word("b", 4)]);
    }

    #[test]
    fn tests_are_no_part_of_the_product() {
        let cases: [(&str, &[&str]); 7] = [
            ("#[cfg(test)] mod tests { a } b", &["b"]),
            ("#[cfg(test)] use a::{b}; c", &[";", "c"]),
            ("#[cfg(test)] mod tests; b", &["b"]),
            ("#[cfg(all(test, unix))] #[allow(dead_code)] fn f() { a } b", &["b"]),
            ("mod m { #[test] fn f() { a } b }", &["mod", "m", "{", "b", "}"]),
            ("#[cfg(not(test))] a", &["#", "[", "cfg", "(", "not", "(", "test", ")", ")", "]", "a"]),
            ("#[tested] a", &["#", "[", "tested", "]", "a"]),
        ];
        for (text, expect) in cases {
            assert_eq!(texts(Scope::Product, text), expect, "{text}");
        }
    }

    #[test]
    fn what_does_not_lex_is_a_finding() {
        for text in ["fn f() {", "\"open", "a }"] {
            assert!(read(&Source::new("a.rs", text), Scope::Everything).is_err(), "{text}");
        }
    }

    #[test]
    fn a_literal_is_not_the_code_it_spells() {
        let tokens = read(&Source::new("a.rs", "\"x\" x"), Scope::Everything).unwrap();
        assert!(!starts_with(&tokens, &["\"x\""]));
        assert!(starts_with(&tokens[1..], &["x"]));
    }
}
