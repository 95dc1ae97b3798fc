//! Words that no Rust file contains: sleeps, placeholders, debugging output, ignored tests. Callers: [`super::RULES`].

use super::tokens::{self, Scope};
use super::{Finding, Source};

/// A banned sequence of tokens, and what to write instead.
const BANNED: [(&[&str], &str); 8] = [
    (&["thread", ":", ":", "sleep"], "wait for the event: a pipe, a pidfd, a barrier, paused time"),
    (&["thread", ":", ":", "sleep_ms"], "wait for the event: a pipe, a pidfd, a barrier, paused time"),
    (&["time", ":", ":", "sleep"], "wait for the event: a pipe, a pidfd, a barrier, paused time"),
    (&["todo", "!"], "write it, or say in the documents that it is missing"),
    (&["unimplemented", "!"], "write it, or return an error"),
    (&["dbg", "!"], "remove it"),
    (&["#", "[", "ignore"], "a test that cannot run here calls `weir_tests::skip`"),
    (&["#", "!", "[", "ignore"], "a test that cannot run here calls `weir_tests::skip`"),
];

/// Functions that a `use` may bring in under their bare name.
const BANNED_IMPORTS: [&[&str]; 3] =
    [&["std", "thread", "sleep"], &["std", "thread", "sleep_ms"], &["tokio", "time", "sleep"]];

/// No banned word stands in the code, product or test.
pub fn check(source: &Source) -> Vec<Finding> {
    if !source.is_rust() {
        return Vec::new();
    }
    let tokens = match tokens::read(source, Scope::Everything) {
        Ok(tokens) => tokens,
        Err(finding) => return vec![finding],
    };
    let mut findings = Vec::new();
    for (start, token) in tokens.iter().enumerate() {
        for (words, instead) in &BANNED {
            if tokens::starts_with(&tokens[start..], words) {
                findings.push(Finding::new(source, token.line, format!("`{}`: {instead}", words.concat())));
            }
        }
    }
    let imported = super::paths::read(&tokens).into_iter().filter(|path| {
        path.is_grouped && BANNED_IMPORTS.iter().any(|banned| path.names.iter().eq(banned.iter()))
    });
    findings.extend(imported.map(|path| Finding::new(source, path.line, "no sleeps: wait for the event")));
    findings.extend(conditional_ignores(source, &tokens));
    findings
}

/// `#[cfg_attr(…, ignore)]`: the word `ignore` inside a `cfg_attr`.
fn conditional_ignores(source: &Source, tokens: &[tokens::Token]) -> Vec<Finding> {
    let starts = (0..tokens.len()).filter(|&at| tokens::starts_with(&tokens[at..], &["[", "cfg_attr", "("]));
    starts
        .filter_map(|start| {
            let attribute = tokens[start..].iter().take_while(|token| !token.is_mark(']'));
            attribute.into_iter().find(|token| token.is_word("ignore"))
        })
        .map(|token| Finding::new(source, token.line, "an ignored test: call `weir_tests::skip` instead"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::check::lines;

    #[test]
    fn banned_words_are_found_in_code_alone() {
        let cases: [(&str, &[usize]); 14] = [
            ("std::thread::sleep(d);", &[1]),
            ("\nthread::sleep(d);", &[2]),
            ("use std::thread::{self, sleep};", &[1]),
            ("tokio::time::sleep(d).await;", &[1]),
            ("use tokio::time::{sleep, Duration};", &[1]),
            ("a(todo!())", &[1]),
            ("unimplemented!(\"x\")", &[1]),
            ("dbg!(a)", &[1]),
            ("#[test]\n#[ignore = \"slow\"]\nfn f() {}", &[2]),
            ("#[cfg_attr(miri, ignore)] fn f() {}", &[1]),
            ("// thread::sleep todo! dbg! #[ignore]", &[]),
            ("let a = \"thread::sleep(1); todo!() #[ignore]\";", &[]),
            ("let todo = ignore; sleep(todo); a.ignore(); #[ignored] fn f() {}", &[]),
            ("#[cfg_attr(miri, allow(x))] fn ignore() {}", &[]),
        ];
        for (text, expect) in cases {
            assert_eq!(lines(check, "tests/src/a.rs", text), expect, "{text}");
        }
        assert_eq!(lines(check, "README.md", "todo!"), []);
    }
}
