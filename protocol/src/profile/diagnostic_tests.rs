//! The words that are offered, the window of a long line, and what a report keeps.

use super::*;
use crate::profile::MAX_DIAGNOSTICS;

#[test]
fn the_nearest_word_is_near() {
    let known = ["read", "write", "none", "deny", "filesystem", "nested_user_namespaces"];
    let cases = [
        ("read", Some("read")),
        ("Read", Some("read")),
        ("raed", Some("read")),
        ("reads", Some("read")),
        ("wirte", Some("write")),
        ("rw", None),
        ("ready!", Some("read")),
        ("readonly", Some("read")),
        ("nested", Some("nested_user_namespaces")),
        ("nes", None),
        ("", None),
        ("x", None),
        ("filesytem", Some("filesystem")),
        ("file_system", Some("filesystem")),
        ("file-systems", Some("filesystem")),
        ("filthy", None),
        ("nested-user-namespaces", Some("nested_user_namespaces")),
        ("öffnen", None),
    ];
    for (word, expect) in cases {
        assert_eq!(nearest(word, known), expect, "{word}");
    }
}

#[test]
fn of_equally_near_words_the_first_by_name_is_offered() {
    assert_eq!(nearest("allo", ["allot", "allow"]), Some("allot"));
    assert_eq!(nearest("allo", ["allow", "allot"]), Some("allot"));
}

#[test]
fn far_words_get_the_list() {
    assert_eq!(offer("allowed", &["allow", "deny"]), "did you mean `allow`?");
    assert_eq!(offer("maybe", &["allow", "deny"]), "known here: allow, deny");
}

/// Where the window of a line of `length` characters starts, whether it is cut before and behind, and what stands under
/// the caret.
fn check(length: usize, column: usize, expect_shown: usize) {
    let line: String = ('a'..='z').cycle().take(length).collect();
    let (text, at) = window(&line, column);
    assert_eq!(text.chars().count(), expect_shown, "{length} {column}");
    let meant = line.chars().nth(column - 1);
    assert_eq!(text.chars().nth(at - 1), meant, "{length} {column}: {text}");
}

#[test]
fn long_lines_are_shown_around_the_caret() {
    check(10, 1, 10);
    check(MAX_SHOWN_COLUMNS, MAX_SHOWN_COLUMNS, MAX_SHOWN_COLUMNS);
    check(MAX_SHOWN_COLUMNS + 1, 1, MAX_SHOWN_COLUMNS + 1);
    check(MAX_SHOWN_COLUMNS + 1, MAX_SHOWN_COLUMNS + 1, MAX_SHOWN_COLUMNS + 1);
    check(1000, 1, MAX_SHOWN_COLUMNS + 1);
    check(1000, 500, MAX_SHOWN_COLUMNS + 2);
    check(1000, 1000, MAX_SHOWN_COLUMNS + 1);
}

#[test]
fn a_caret_may_stand_behind_the_line() {
    let line = "x".repeat(1000);
    let (text, at) = window(&line, 1001);
    assert_eq!(at, text.chars().count() + 1);
}

fn problem(severity: Severity, line: u32) -> Diagnostic {
    let place = Place { file: "f".to_owned(), line, column: 1 };
    Diagnostic { severity, place, width: 1, line_text: String::new(), reason: "r".to_owned(), help: None }
}

#[test]
fn errors_push_warnings_out_of_a_full_report() {
    let mut report = Report::default();
    (0..60).for_each(|line| report.push(problem(Severity::Warning, line)));
    assert_eq!((report.diagnostics.len(), report.omitted, report.has_errors()), (MAX_DIAGNOSTICS, 10, false));
    assert!(report.only_counts(Severity::Warning) && !report.only_counts(Severity::Error));
    (60..120).for_each(|line| report.push(problem(Severity::Error, line)));
    let errors = report.diagnostics.iter().filter(|kept| kept.severity == Severity::Error).count();
    assert_eq!((errors, report.diagnostics.len(), report.omitted), (MAX_DIAGNOSTICS, MAX_DIAGNOSTICS, 70));
    assert!(report.only_counts(Severity::Error));
}

#[test]
fn hidden_characters_become_visible() {
    let shown: String = "a\tb\u{1b}c\u{202e}d\u{200b}e\u{feff}é".chars().map(visible).collect();
    assert_eq!(shown, "a b\u{fffd}c\u{fffd}d\u{fffd}e\u{fffd}é");
}
