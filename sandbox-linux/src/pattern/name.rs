//! Whether one name matches one component of a pattern, as `Glob::to_regex` means it.
//!
//! The literal bytes at both ends are compared first; only names that pass are matched in full. Called by `automaton`.

use weir_protocol::policy::glob::Token;

/// A component with at least one wildcard, taken apart.
#[derive(Debug, Clone)]
pub(super) struct NamePattern {
    prefix: Vec<u8>,
    /// What stands between the literal ends.
    middle: Vec<Token>,
    suffix: Vec<u8>,
}

impl NamePattern {
    pub(super) fn new(tokens: &[Token]) -> Self {
        let literal = |token: &&Token| matches!(token, Token::Byte(_));
        let bytes = |tokens: &[Token]| {
            let byte = |token: &Token| if let Token::Byte(byte) = token { Some(*byte) } else { None };
            tokens.iter().filter_map(byte).collect()
        };
        let start = tokens.iter().take_while(literal).count();
        let end = tokens.len() - tokens[start..].iter().rev().take_while(literal).count();
        Self {
            prefix: bytes(&tokens[..start]),
            middle: tokens[start..end].to_vec(),
            suffix: bytes(&tokens[end..]),
        }
    }

    pub(super) fn matches(&self, name: &[u8]) -> bool {
        let middle = name
            .strip_suffix(self.suffix.as_slice())
            .and_then(|rest| rest.strip_prefix(self.prefix.as_slice()));
        match middle {
            None => false,
            // `*` alone as a component wants a name, which is never empty.
            Some(_) if self.middle == [Token::AnyRun] => true,
            Some(middle) => in_full(&self.middle, middle),
        }
    }
}

/// Follows every way of reading `name` at once: the set of offsets that the tokens so far can end at.
fn in_full(tokens: &[Token], name: &[u8]) -> bool {
    let mut ends = vec![false; name.len() + 1];
    ends[0] = true;
    for token in tokens {
        let mut next = vec![false; name.len() + 1];
        for start in (0..=name.len()).filter(|start| ends[*start]) {
            let rest = &name[start..];
            match token {
                Token::AnyRun => {
                    next[start..].fill(true);
                    break;
                }
                Token::Byte(byte) => step(&mut next, start, usize::from(rest.first() == Some(byte))),
                Token::AnyCharacter => {
                    step(&mut next, start, usize::from(!rest.is_empty()));
                    step(&mut next, start, character(rest));
                }
                Token::Class { negated, ranges } => {
                    let inside = rest.first().map(|byte| within(ranges, *byte));
                    step(&mut next, start, usize::from(inside == Some(!negated)));
                    step(&mut next, start, if *negated { character(rest) } else { 0 });
                }
            }
        }
        ends = next;
    }
    ends[name.len()]
}

fn step(next: &mut [bool], start: usize, length: usize) {
    if length > 0 {
        next[start + length] = true;
    }
}

fn within(ranges: &[(u8, u8)], byte: u8) -> bool {
    ranges.iter().any(|(low, high)| (*low..=*high).contains(&byte))
}

/// Length of the character of several bytes that `bytes` begins with, as the pattern's meaning knows characters; 0 where
/// there is none.
fn character(bytes: &[u8]) -> usize {
    let length = match bytes.first() {
        Some(0xC2..=0xDF) => 2,
        Some(0xE0..=0xEF) => 3,
        Some(0xF0..=0xF4) => 4,
        _ => return 0,
    };
    let continued = bytes.get(1..length).is_some_and(|rest| rest.iter().all(|byte| byte & 0xC0 == 0x80));
    if continued { length } else { 0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weir_protocol::AbsPath;
    use weir_protocol::policy::Glob;
    use weir_protocol::policy::glob::Component;

    use super::*;
    use crate::survey::tests::{denied_by, policy};

    fn pattern() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            4 => proptest::sample::select(vec!["a", "b", ".", "é", "-", " "]).prop_map(str::to_owned),
            2 => Just("*".to_owned()),
            2 => Just("?".to_owned()),
            1 => proptest::sample::select(vec!["[ab]", "[!a]", "[!.-~]", "[a-z]"]).prop_map(str::to_owned),
        ];
        proptest::collection::vec(piece, 1..7)
            .prop_map(|pieces| pieces.concat().replace("**", "*"))
            .prop_filter("one component", |text| text != "." && text != "..")
    }

    fn name() -> impl Strategy<Value = Vec<u8>> {
        let piece = proptest::sample::select(vec![
            b"a".as_slice(),
            b"b",
            b".",
            b"z",
            b" ",
            b"-",
            "é".as_bytes(),
            "€".as_bytes(),
            "😀".as_bytes(),
            b"\xff",
            b"\xc3",
            b"\xa9",
            b"\n",
        ]);
        proptest::collection::vec(piece, 1..7).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn a_name_matches_as_the_policy_says(pattern in pattern(), name in name()) {
            let glob = Glob::absolute(format!("/{pattern}"));
            prop_assume!(glob.is_ok());
            let glob = glob.unwrap();
            let path = AbsPath::parse([b"/", name.as_slice()].concat());
            prop_assume!(path.is_ok());
            let expect = denied_by(&policy(&[], &[&format!("/{pattern}")]), &path.unwrap()).is_some();
            let found = match &glob.components()[0] {
                Component::Literal(literal) => *literal == name,
                Component::Pattern(tokens) => NamePattern::new(tokens).matches(&name),
                Component::AnyDepth => true,
            };
            prop_assert_eq!(found, expect, "{} {:?}", pattern, String::from_utf8_lossy(&name));
        }
    }
}
