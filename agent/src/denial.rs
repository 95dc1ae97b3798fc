//! A denial in words, and what would allow it.

use std::fmt::Write as _;

use weir_protocol::ByteString;
use weir_protocol::denial::{Denial, RunOption, Sight};

/// What was refused, by what and by which rule.
pub(crate) fn what(denial: &Denial) -> String {
    let Denial { operation, target, mechanism, origin, reason, count, .. } = denial;
    let mut out = format!("{operation} {target}");
    if *count > 1 {
        let _ = write!(out, ", {count} times");
    }
    let whence = origin.as_ref().map_or_else(|| "no rule covers this".to_owned(), |origin| origin.whence());
    let _ = write!(out, " ({mechanism}; {whence})");
    if let Some(reason) = reason {
        let _ = write!(out, ": {reason}");
    }
    out
}

/// What would allow it for one run, or else for good.
pub(crate) fn remedy(denial: &Denial) -> Option<String> {
    let once = denial.option.as_ref().map(|RunOption { name, value }| format!("{name} {}", word(value)));
    once.or_else(|| denial.edit.as_ref().map(ToString::to_string))
}

/// What the list does not hold, a line for each kind.
pub(crate) fn beyond(sight: &Sight) -> Vec<String> {
    let mut out = Vec::new();
    if sight.left_out > 0 {
        out.push(format!("{} more, for which the report has no room", sight.left_out));
    }
    if sight.lost > 0 {
        out.push("the kernel had no room for some of its records; there may be more".to_owned());
    }
    out
}

/// As a shell takes it.
fn word(value: &ByteString) -> String {
    let text = value.to_string();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+,:@%=".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_a_shell() {
        let cases = [("/a-b.c", "/a-b.c"), ("/a b", "'/a b'"), ("/it's", "'/it'\\''s'"), ("", "''")];
        for (text, expect) in cases {
            assert_eq!(word(&ByteString::from(text)), expect);
        }
    }
}
