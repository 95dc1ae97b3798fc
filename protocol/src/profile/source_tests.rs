//! Places and excerpts in a text, its line ends, and the bound on depth before parsing.

use super::*;

fn source(text: &str) -> Source {
    Source::new("f", text.as_bytes().to_vec(), Format::Toml, Layer::User).unwrap()
}

#[test]
fn places_count_lines_and_characters_from_one() {
    let text = "ab\né日x\r\n\n\tz";
    let cases = [
        (0, (1, 1)),
        (1, (1, 2)),
        (2, (1, 3)),
        (3, (2, 1)),
        (4, (2, 1)),
        (5, (2, 2)),
        (7, (2, 2)),
        (8, (2, 3)),
        (11, (3, 1)),
        (12, (4, 1)),
        (13, (4, 2)),
        (14, (4, 3)),
        (1000, (4, 3)),
    ];
    for (at, expect) in cases {
        let place = source(text).place(at);
        assert_eq!((place.line, place.column), expect, "byte {at}");
    }
    assert_eq!((source("").place(0).line, source("").place(0).column), (1, 1));
}

#[test]
fn a_byte_order_mark_takes_no_column() {
    let marked = source("\u{feff}x = 1");
    assert_eq!((marked.text(), marked.place(0).column), ("x = 1", 1));
}

#[test]
fn a_diagnostic_shows_its_line_and_no_more_than_that() {
    let cases = [
        ("ab = true\r\nc = true\r\n", 5..6, "ab = true", 6, 1),
        ("ab = true\r\nc = true\r\n", 5..15, "ab = true", 6, 4),
        ("read\tallow\n", 5..6, "read allow", 6, 1),
        ("\"x\u{7}é\" = read", 3..5, "\"x\u{fffd}é\" = read", 4, 1),
        ("read", 4..4, "read", 5, 1),
        ("", 0..0, "", 1, 1),
    ];
    for (text, span, line, column, width) in cases {
        let found = source(text).diagnostic(Severity::Error, &span, String::new());
        assert_eq!(
            (found.line_text.as_str(), found.place.column, found.width),
            (line, column, width),
            "{text:?} {span:?}"
        );
    }
}

#[test]
fn excerpts_are_one_line() {
    let text = "a = [\n  1,\t2\r\n]";
    assert_eq!(source(text).excerpt(&(0..text.len())), "a = [ 1, 2 ]");
    assert_eq!(source("é").excerpt(&(0..1)), "", "not on a character's border");
}

/// How deep a text may go before it is parsed at all.
#[test]
fn depth_is_counted_outside_strings_and_comments() {
    let dots = "a.".repeat(MAX_DEPTH + 1);
    let brackets = "[".repeat(2 * MAX_DEPTH + 1);
    let fine = [
        String::new(),
        format!("x = \"{dots}{brackets}\""),
        format!("x = '{dots}{brackets}'"),
        format!("x = \"\"\"\n{dots}\"{brackets}\"\"\"\"\""),
        format!("x = \'\'\'\n{dots}\n{brackets}\'\'\'"),
        format!("x = \"\\\"{dots}\""),
        format!("# {dots}{brackets}\n# {dots}"),
        "a.b = 1.5\n".repeat(100),
        "[[a.b]]\n".repeat(100),
        format!("x = [{}]", "1.5, ".repeat(100)),
        "x = \"open\ny = [1]\n".repeat(3),
    ];
    for text in &fine {
        assert_eq!(syntax::toml_depth(text), None, "{text}");
    }
    let deep = [
        format!("{dots}a = 1"),
        format!("[{dots}a]"),
        format!("x = {brackets}"),
        format!("x = \"\"\"a\"\"\"\n{dots}a = 1"),
        format!("x = \"\"\"a\"\"\"\"\"\n{dots}a = 1"),
        format!("x = \'\'\n{dots}a = 1"),
        format!("x = \"a\\\\\"\n{dots}a = 1"),
        format!("x = \"open\n{dots}a = 1"),
        format!("{}\"a\" = 1", "\"a\" . ".repeat(MAX_DEPTH + 1)),
    ];
    for text in &deep {
        assert!(syntax::toml_depth(text).is_some(), "{text}");
    }
}
