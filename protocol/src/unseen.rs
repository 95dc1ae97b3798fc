//! Characters that are not seen as they are: by name they can be judged, and without them they do no harm.
//!
//! The one table of them for everything that is shown to people: paths, documents, commands, what a model says. What file systems pass over when
//! they compare names is another question, and has a table of its own (`sandbox-linux`, `live::spelling`).

use std::fmt::Write as _;

/// First and last of characters that are not seen, or change where others are seen: those of format (Cf), those that programs may ignore, and
/// separators of lines (Unicode 16, DerivedCoreProperties.txt and DerivedGeneralCategory.txt).
const UNSEEN: [(char, char); 32] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
    // Blank ones, which pass for a space, or for two.
    ('\u{a0}', '\u{a0}'),
    ('\u{1680}', '\u{1680}'),
    ('\u{2000}', '\u{200a}'),
    ('\u{202f}', '\u{202f}'),
    ('\u{205f}', '\u{205f}'),
    ('\u{2800}', '\u{2800}'),
    ('\u{3000}', '\u{3000}'),
];

/// Of these what some scripts and emoji are not written without, and what moves nothing: joiners, variants of a sign, and blanks.
const OF_TEXT: [(char, char); 9] = [
    ('\u{200c}', '\u{200d}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{e0100}', '\u{e01ef}'),
    ('\u{a0}', '\u{a0}'),
    ('\u{2000}', '\u{200a}'),
    ('\u{202f}', '\u{202f}'),
    ('\u{205f}', '\u{205f}'),
    ('\u{3000}', '\u{3000}'),
];

fn is_in(table: &[(char, char)], one: char) -> bool {
    !one.is_ascii() && table.iter().any(|(first, last)| (*first..=*last).contains(&one))
}

/// Whether a character controls the output (Cc), changes where others are seen, hides, or passes for a space: it has to be named to be seen as
/// it is. For what is judged: what is allowed or refused, and where.
#[must_use]
pub fn is_unseen(one: char) -> bool {
    one.is_control() || is_in(&UNSEEN, one)
}

/// Whether a character changes where others are seen, or hides, and no text needs it. For what is only read. Control characters are none.
#[must_use]
pub fn is_moving(one: char) -> bool {
    is_in(&UNSEEN, one) && !is_in(&OF_TEXT, one)
}

/// A text in which what is not seen is named, as TOML names it.
#[must_use]
pub fn named(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|one| push(&mut out, one));
    out
}

/// A basic string of TOML that means this text. What is not seen in it is named, so that it can be read, and copied.
#[must_use]
pub fn toml(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for one in text.chars() {
        if matches!(one, '"' | '\\') {
            out.push('\\');
        }
        push(&mut out, one);
    }
    out.push('"');
    out
}

fn push(out: &mut String, one: char) {
    let code = u32::from(one);
    match one {
        _ if !is_unseen(one) => out.push(one),
        '\n' => out.push_str("\\n"),
        '\t' => out.push_str("\\t"),
        _ => {
            let _ = if code > 0xffff { write!(out, "\\U{code:08x}") } else { write!(out, "\\u{code:04x}") };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_is_told_from_what_is_not() {
        // Not seen, moving.
        let cases = [
            ("\u{0}\n\t\u{7f}\u{9b}", true, false),
            ("\u{ad}\u{200b}\u{200e}\u{2028}\u{202e}\u{2060}\u{2066}\u{206f}\u{feff}\u{fffb}", true, true),
            ("\u{600}\u{3164}\u{ffa0}\u{e0041}\u{e0fff}\u{2800}", true, true),
            ("\u{200c}\u{200d}\u{fe0f}\u{e0100}\u{a0}\u{2003}\u{202f}\u{3000}", true, false),
            ("a \\\"'~\u{a1}\u{e9}\u{301}\u{5d0}\u{6f22}\u{fffd}\u{1f468}", false, false),
        ];
        for (text, unseen, moving) in cases {
            for one in text.chars() {
                assert_eq!((is_unseen(one), is_moving(one)), (unseen, moving), "{one:?}");
            }
        }
    }

    /// What is read again is what was written.
    #[test]
    fn a_string_of_toml_means_its_text_and_all_of_it_is_seen() {
        let text = "/a \"b\" \\c\u{202e}\u{a0}\u{e0041}\u{7f}\n\té";
        let written = toml(text);
        assert_eq!(written, r#""/a \"b\" \\c\u202e\u00a0\U000e0041\u007f\n\té""#);
        assert!(!written.contains(is_unseen));
        let read: ::toml::Table = format!("a = {written}").parse().unwrap();
        assert_eq!(read["a"].as_str(), Some(text));
        assert_eq!(named("a\u{202e}\\"), "a\\u202e\\");
    }

    #[test]
    fn a_path_and_a_message_name_what_is_not_seen() {
        let path = crate::AbsPath::parse("/a\u{a0}b\u{fe0f}\u{3164}\u{3000}").unwrap();
        assert_eq!(path.to_string(), "/a\\u{a0}b\\u{fe0f}\\u{3164}\\u{3000}");
    }
}
