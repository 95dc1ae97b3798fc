//! What others wrote, shown to a person: it cannot write to the terminal, and what is not seen in it is named.
//!
//! Two forms. [`exact`] and [`words`] are for judgement: two texts that differ are shown differently. [`harmless`] is for reading.

use std::fmt::Write as _;

use weir_protocol::unseen::{is_moving, is_unseen};

/// How far the lines of a command are moved to the right that is shown by itself.
const INDENT: &str = "    ";

fn name(out: &mut String, one: char) {
    match one {
        '\n' | '\r' | '\t' | '\\' | '\'' => out.extend(one.escape_default()),
        _ => out.extend(one.escape_unicode()),
    }
}

/// A text in one line. What is not seen is named (`\u{202e}`, `\n`, `\xff`), and so is `\` itself (`\\`).
pub(crate) fn exact(text: &[u8]) -> String {
    let mut out = String::new();
    for chunk in text.utf8_chunks() {
        for one in chunk.valid().chars() {
            if one == '\\' || is_unseen(one) { name(&mut out, one) } else { out.push(one) }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// The words of a command as a shell is given them. A word with characters that are not seen is `$'…'`, where those are named as [`exact`]
/// does; behind the name of a newline a line begins.
pub(crate) fn words(argv: &[String]) -> String {
    argv.iter().map(|text| word(text)).collect::<Vec<_>>().join(" ")
}

fn word(text: &str) -> String {
    let is_plain = |one: char| one.is_ascii_alphanumeric() || "-_./,:=@%+".contains(one);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    if !text.chars().any(is_unseen) {
        return format!("'{}'", text.replace('\'', r"'\''"));
    }
    let mut out = String::from("$'");
    for one in text.chars() {
        match one {
            '\n' => {
                out += "\\n\n";
                out += INDENT;
            }
            '\\' | '\'' => name(&mut out, one),
            _ if is_unseen(one) => name(&mut out, one),
            _ => out.push(one),
        }
    }
    out.push('\'');
    out
}

/// A text for reading: without control characters but ends of lines and tabs, and what would change where others are seen named.
pub(crate) fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for one in text.chars() {
        match one {
            '\n' | '\t' => out.push(one),
            _ if one.is_control() => {}
            _ if is_moving(one) => name(&mut out, one),
            _ => out.push(one),
        }
    }
    out
}

/// JSON that says the same, with what would write to a terminal or change where others are seen as `\u` and four digits.
pub(crate) fn json(text: String) -> String {
    let is_named = |one: char| one == '\u{7f}' || !one.is_ascii() && (one.is_control() || is_moving(one));
    if !text.chars().any(is_named) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    for one in text.chars() {
        if is_named(one) {
            // Beyond ASCII there are only strings.
            for unit in one.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(one);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_differ_are_shown_differently() {
        let pairs = [
            ("a \\n b", "a \n b"),
            ("\\u{202e}", "\u{202e}"),
            ("ab", "a\u{200b}b"),
            ("a b", "a\u{a0}b"),
            ("a  b", "a\u{3000}b"),
            ("\\\\n", "\\\n"),
            ("it's\n", "it\\'s\n"),
            ("\n    x", "\nx"),
            ("$'x'", "x"),
            ("a\u{fe0f}", "a"),
            ("\u{e0041}", ""),
        ];
        for (one, other) in pairs {
            assert_ne!(exact(one.as_bytes()), exact(other.as_bytes()), "{one:?} {other:?}");
            assert_ne!(word(one), word(other), "{one:?} {other:?}");
            for shown in [exact(one.as_bytes()), word(other)] {
                assert!(!shown.chars().any(|one| one != '\n' && is_unseen(one)), "{shown:?}");
            }
        }
        assert_eq!(exact(b"/a\xff\\\n"), r"/a\xff\\\n");
        assert_eq!(word("echo build # \\n touch"), r"'echo build # \n touch'");
        assert_eq!(word("echo build # \n touch \\"), "$'echo build # \\n\n     touch \\\\'");
    }

    #[test]
    fn json_says_the_same() {
        let text = "\u{1b}[m\u{7f}\u{9b}2J\u{202e}\u{e0041}\u{200d}\u{e9}";
        let shown = json(serde_json::to_string(text).unwrap());
        assert_eq!(shown, "\"\\u001b[m\\u007f\\u009b2J\\u202e\\udb40\\udc41\u{200d}\u{e9}\"");
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
    }

    #[test]
    fn a_text_for_reading_moves_nothing_on_the_terminal() {
        let cases = [
            ("a\tb\nc", "a\tb\nc"),
            ("\u{1b}]0;x\u{7}y\u{9b}2J\r", "]0;xy2J"),
            ("rm \u{202e}gpj\u{2066}", "rm \\u{202e}gpj\\u{2066}"),
            (
                "\u{6cc}\u{200c}\u{6a9} \u{1f468}\u{200d}\u{1f469} \u{2764}\u{fe0f}",
                "\u{6cc}\u{200c}\u{6a9} \u{1f468}\u{200d}\u{1f469} \u{2764}\u{fe0f}",
            ),
        ];
        for (text, expect) in cases {
            assert_eq!(harmless(text), expect);
        }
    }
}
