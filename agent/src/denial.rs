//! A denial in words, and what would allow it.

use std::fmt::Write as _;

use weir_protocol::ByteString;
use weir_protocol::denial::{Denial, RunOption, Sight};
use weir_protocol::unseen::is_unseen;

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

/// As a shell takes it. What is not seen, or no text, stands as bytes in octal digits, which `$'…'` means everywhere.
fn word(value: &ByteString) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+,:@%=".contains(byte);
    let text = std::str::from_utf8(&value.0).ok().filter(|text| !text.contains(is_unseen));
    if let Some(text) = text {
        let is_plain = !text.is_empty() && text.as_bytes().iter().all(plain);
        return if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) };
    }
    let mut out = "$'".to_owned();
    for chunk in value.0.utf8_chunks() {
        for one in chunk.valid().chars() {
            match one {
                '\\' | '\'' => out.extend(['\\', one]),
                _ if is_unseen(one) => octal(&mut out, one.encode_utf8(&mut [0; 4]).as_bytes()),
                _ => out.push(one),
            }
        }
        octal(&mut out, chunk.invalid());
    }
    out + "'"
}

fn octal(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(out, "\\{byte:03o}");
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
        let odd = ByteString("/it's\\ \u{202f}PM".bytes().chain([0xff]).collect());
        assert_eq!(word(&odd), r"$'/it\'s\\ \342\200\257PM\377'");
    }
}
