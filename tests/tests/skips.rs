//! The skip accounting as `.ci/run` uses it: through the binary, the log and the exit code.
#![expect(clippy::unwrap_used, reason = "a test may panic outside its #[test] functions too")]

use std::path::Path;
use std::process::{Command, Output};
use std::{fs, str};

fn weir_skips(log: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weir-skips")).args(arguments).env("WEIR_SKIP_LOG", log).output().unwrap()
}

/// Exit code, stdout and stderr of `weir-skips check` over these texts.
fn check(list: &str, log: &str, facts: &[&str]) -> (Option<i32>, String, String) {
    let directory = tempfile::tempdir().unwrap();
    let (list_path, log_path) = (directory.path().join("list"), directory.path().join("log"));
    fs::write(&list_path, list).unwrap();
    fs::write(&log_path, log).unwrap();
    let mut arguments = vec!["check", list_path.to_str().unwrap(), log_path.to_str().unwrap()];
    arguments.extend(facts);
    let output = weir_skips(&log_path, &arguments);
    let text = |bytes: &[u8]| str::from_utf8(bytes).unwrap().to_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_exit_code_tells_the_three_outcomes_apart() {
    let cases = [
        ("a::b", "a::b\twhy\n", &[][..], (0, "1 skipped as expected\n", "")),
        (
            "a::b if x",
            "",
            &["x=yes"],
            (0, "0 skipped as expected\nexpected to be skipped, but ran: a::b\n", ""),
        ),
        (
            "a::b if x",
            "a::b\twhy\n",
            &["x=no"],
            (1, "0 skipped as expected\nUNEXPECTED SKIP a::b: why\n", ""),
        ),
        (
            "a::b if y",
            "",
            &["x=no"],
            (2, "", "weir-skips: expected skips, line 1: nobody establishes the fact `y`\n"),
        ),
    ];
    for (list, log, facts, (code, stdout, stderr)) in cases {
        assert_eq!(check(list, log, facts), (Some(code), stdout.to_owned(), stderr.to_owned()), "{list}");
    }
}

#[test]
fn a_recorded_skip_is_printed_and_reaches_the_log_named_by_the_variable() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let output = weir_skips(&log, &["record", "a::b", "why"]);
    assert!(output.status.success());
    assert_eq!(str::from_utf8(&output.stderr).unwrap(), "SKIP a::b: why\n");
    assert_eq!(fs::read_to_string(&log).unwrap(), "a::b\twhy\n");
}

#[test]
fn a_skip_that_cannot_be_recorded_is_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    assert!(!weir_skips(directory.path(), &["record", "a::b", "why"]).status.success());
}

#[test]
fn a_missing_log_and_a_wrong_call_are_no_comparison() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let path = missing.to_str().unwrap();
    for arguments in [&["check", path, path][..], &["check", path], &[], &["record", "a::b"]] {
        assert_eq!(weir_skips(&missing, arguments).status.code(), Some(2), "{arguments:?}");
    }
}
