//! Patterns as regular expressions of Seatbelt.
//!
//! Seatbelt's expressions are searched for in the path, know `^ $ [ ] ( ) * + ? |` and a backslash, and work on bytes. Only
//! what every reading of that language agrees on is used: no escapes inside brackets, no counted repetitions, no `.`, no
//! names of classes. An expression ends in `(/|$)`, which takes in everything below a match. Caller: [`super::paths`].

use weir_protocol::AbsPath;
use weir_protocol::policy::Glob;
use weir_protocol::policy::glob::{Component, Token};

use super::LetterCase;
use super::place::LINKED;

/// One byte outside printable ASCII.
const WIDE: &str = "[^ -~]";

/// `^…(/|$)`: the pattern's matches and everything below them.
pub(super) fn of_glob(glob: &Glob, case: LetterCase) -> Vec<u8> {
    let mut out = b"^".to_vec();
    let components = glob.components();
    for (index, component) in components.iter().enumerate() {
        let last = index + 1 == components.len();
        match component {
            Component::AnyDepth if last => out.extend(b"(/[^/]+)+"),
            Component::AnyDepth => out.extend(b"(/[^/]+)*"),
            Component::Literal(name) => {
                out.push(b'/');
                push_name(&mut out, name, case);
            }
            Component::Pattern(tokens) if tokens == &[Token::AnyRun] => out.extend(b"/[^/]+"),
            Component::Pattern(tokens) => {
                out.push(b'/');
                tokens.iter().for_each(|token| push_token(&mut out, token, case));
            }
        }
    }
    out.extend(b"(/|$)");
    out
}

/// `^…(/|$)`: the path and everything below it.
pub(super) fn of_path(path: &AbsPath, case: LetterCase) -> Vec<u8> {
    let mut out = b"^".to_vec();
    for name in path.components() {
        out.push(b'/');
        push_name(&mut out, name, case);
    }
    out.extend(b"(/|$)");
    out
}

/// Whether the pattern has an element that bytes cannot express exactly.
pub(super) fn is_wide(glob: &Glob) -> bool {
    let wide = |token: &Token| matches!(token, Token::AnyCharacter | Token::Class { negated: true, .. });
    glob.components()
        .iter()
        .any(|component| matches!(component, Component::Pattern(tokens) if tokens.iter().any(wide)))
}

/// The pattern under the canonical names of what it matches in `/tmp`, `/var` and `/etc`.
pub(super) fn canonical(glob: &Glob) -> Vec<Glob> {
    let Some(first) = glob.components().first() else { return Vec::new() };
    let hit = |name: &&&str| match first {
        Component::Literal(literal) => literal == name.as_bytes(),
        Component::Pattern(tokens) => matches_name(tokens, name.as_bytes()),
        Component::AnyDepth => false,
    };
    let bytes = glob.to_bytes();
    let rest = bytes.iter().skip(1).position(|byte| *byte == b'/').map_or(&[][..], |at| &bytes[at + 1..]);
    LINKED
        .iter()
        .filter(hit)
        .filter_map(|name| Glob::absolute([b"/private/", name.as_bytes(), rest].concat()).ok())
        .collect()
}

/// The pattern under another directory, at any depth below it; only for those that hold at any depth already.
pub(super) fn carried(glob: &Glob, root: &AbsPath) -> Option<Glob> {
    let literal = |component: &&Component| matches!(component, Component::Literal(_));
    let base = glob.components().iter().take_while(literal).count();
    let (first, tail) = glob.components().get(base..)?.split_first()?;
    if *first != Component::AnyDepth || tail.is_empty() || root.starts_with(&glob.base()) {
        return None;
    }
    glob.moved(root).ok()
}

fn matches_name(tokens: &[Token], name: &[u8]) -> bool {
    let Some((first, rest)) = tokens.split_first() else { return name.is_empty() };
    let next = |matched: bool| matched && matches_name(rest, &name[1..]);
    match (first, name.first()) {
        (Token::AnyRun, _) => (0..=name.len()).any(|at| matches_name(rest, &name[at..])),
        (_, None) => false,
        (Token::Byte(byte), Some(found)) => next(byte == found),
        (Token::AnyCharacter, Some(_)) => next(true),
        (Token::Class { negated, ranges }, Some(found)) => {
            next(ranges.iter().any(|(low, high)| (low..=high).contains(&found)) != *negated)
        }
    }
}

fn push_name(out: &mut Vec<u8>, name: &[u8], case: LetterCase) {
    name.iter().for_each(|byte| push_byte(out, *byte, case));
}

/// A byte that stands for itself, in either case where case counts for nothing. Two letters have further forms: the Kelvin
/// sign is another `k`, the long s another `s` (Unicode CaseFolding).
fn push_byte(out: &mut Vec<u8>, byte: u8, case: LetterCase) {
    let (lower, upper) = (byte.to_ascii_lowercase(), byte.to_ascii_uppercase());
    match (case, lower) {
        (LetterCase::Ignored, b'k') => out.extend("([kK]|\u{212a})".bytes()),
        (LetterCase::Ignored, b's') => out.extend("([sS]|\u{17f})".bytes()),
        (LetterCase::Ignored, _) if lower != upper => out.extend([b'[', lower, upper, b']']),
        _ => push_exact(out, byte),
    }
}

fn push_exact(out: &mut Vec<u8>, byte: u8) {
    if b"\\.^$|()[]{}*+?".contains(&byte) {
        out.push(b'\\');
    }
    out.push(byte);
}

fn push_token(out: &mut Vec<u8>, token: &Token, case: LetterCase) {
    match token {
        Token::Byte(byte) => push_byte(out, *byte, case),
        Token::AnyRun => out.extend(b"[^/]*"),
        Token::AnyCharacter => push_alternatives(out, "[^/]", &[]),
        Token::Class { negated, ranges } => {
            let within = |byte: &u8| ranges.iter().any(|(low, high)| (low..=high).contains(&byte));
            let chosen: Vec<u8> = (b' '..=b'~')
                .filter(|byte| *byte != b'/' && within(byte) != *negated)
                // `[!b]` already matches `B`, and must go on leaving `b` alone.
                .flat_map(|byte| either_case(byte, if *negated { LetterCase::Distinct } else { case }))
                .collect();
            if *negated { push_alternatives(out, WIDE, &chosen) } else { push_set(out, &chosen) }
        }
    }
}

fn either_case(byte: u8, case: LetterCase) -> Vec<u8> {
    match case {
        LetterCase::Distinct => vec![byte],
        LetterCase::Ignored => vec![byte.to_ascii_lowercase(), byte.to_ascii_uppercase()],
    }
}

/// One of `chosen`, or `single`, or two to four bytes outside printable ASCII, which are one character or at most four.
fn push_alternatives(out: &mut Vec<u8>, single: &str, chosen: &[u8]) {
    out.push(b'(');
    if !chosen.is_empty() {
        push_set(out, chosen);
        out.push(b'|');
    }
    out.extend(single.bytes());
    out.extend(format!("|{WIDE}{WIDE}{WIDE}?{WIDE}?)").bytes());
}

/// One of these printable bytes. Only letters and digits stand in brackets, where nothing else would be safe.
fn push_set(out: &mut Vec<u8>, chosen: &[u8]) {
    let mut chosen = chosen.to_vec();
    chosen.sort_unstable();
    chosen.dedup();
    let (plain, other): (Vec<u8>, Vec<u8>) = chosen.iter().partition(|byte| byte.is_ascii_alphanumeric());
    out.push(b'(');
    if !plain.is_empty() {
        out.push(b'[');
        out.extend(&plain);
        out.push(b']');
    }
    for (at, byte) in other.iter().enumerate() {
        if at > 0 || !plain.is_empty() {
            out.push(b'|');
        }
        push_exact(out, *byte);
    }
    out.push(b')');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, case: LetterCase, expect: &str) {
        let glob = Glob::absolute(pattern).unwrap();
        assert_eq!(String::from_utf8(of_glob(&glob, case)).unwrap(), expect, "{pattern}");
    }

    #[test]
    fn patterns_become_plain_expressions() {
        check("/p/**/*.env", LetterCase::Distinct, r"^/p(/[^/]+)*/[^/]*\.env(/|$)");
        check("/p/**", LetterCase::Distinct, "^/p(/[^/]+)+(/|$)");
        check("/p/*", LetterCase::Distinct, "^/p/[^/]+(/|$)");
        check("/p/[a-c_]x", LetterCase::Distinct, "^/p/([abc]|_)x(/|$)");
        check("/p/?", LetterCase::Distinct, "^/p/([^/]|[^ -~][^ -~][^ -~]?[^ -~]?)(/|$)");
        check("/a+b/\\*(c)/*\"", LetterCase::Distinct, "^/a\\+b/\\*\\(c\\)/[^/]*\"(/|$)");
        check("/p/*.git", LetterCase::Ignored, r"^/[pP]/[^/]*\.[gG][iI][tT](/|$)");
        check("/p/*k", LetterCase::Ignored, "^/[pP]/[^/]*([kK]|\u{212a})(/|$)");
    }

    #[test]
    fn canonical_names_are_covered_too() {
        let of = |pattern: &str| -> Vec<String> {
            canonical(&Glob::absolute(pattern).unwrap()).iter().map(ToString::to_string).collect()
        };
        assert_eq!(of("/tmp/**/x*"), ["/private/tmp/**/x*"]);
        assert_eq!(of("/t?p/x"), ["/private/tmp/x"]);
        assert_eq!(of("/*/x"), ["/private/tmp/x", "/private/var/x", "/private/etc/x"]);
        assert_eq!(of("/*"), ["/private/tmp", "/private/var", "/private/etc"]);
        assert_eq!(of("/[!t]*/x"), ["/private/var/x", "/private/etc/x"]);
        assert!(of("/**/x").is_empty());
        assert!(of("/p/*").is_empty());
    }

    #[test]
    fn patterns_of_any_depth_follow_what_is_moved() {
        let of = |pattern: &str, root: &str| {
            carried(&Glob::absolute(pattern).unwrap(), &AbsPath::parse(root).unwrap())
                .map(|glob| glob.to_string())
        };
        assert_eq!(of("/p/**/*.env", "/w").as_deref(), Some("/w/**/*.env"));
        assert_eq!(of("/p/**/*.env", "/").as_deref(), Some("/**/*.env"));
        assert_eq!(of("/p/**/*.env", "/p/a"), None);
        assert_eq!(of("/p/*.env", "/w"), None);
        assert_eq!(of("/p/**", "/w"), None);
    }
}
