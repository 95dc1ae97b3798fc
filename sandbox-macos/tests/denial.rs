//! Denials in the system's log: lines in pieces, repetitions, and the rule that stands behind each.

#![allow(clippy::unwrap_used, clippy::expect_used, dead_code)]

#[path = "support/world.rs"]
mod world;

use weir_protocol::policy::Access;
use weir_sandbox_macos::RunTag;
use weir_sandbox_macos::launch::denial::{Denial, MAX_LINE_BYTES, Reader};

use world::{Sketch, origin};

fn line(message: &str) -> String {
    let message = serde_json::to_string(message).unwrap();
    format!("{{\"eventMessage\":{message},\"processImagePath\":\"\\/kernel\",\"processID\":0}}\n")
}

fn denied(path: &str) -> String {
    line(&format!("Sandbox: cat(1) deny(1) file-read-data {path}\nweir-7f"))
}

#[test]
fn pieces_lines_that_are_too_long_and_repetitions() {
    let policy = Sketch::default().policy();
    let long = line(&format!("{}\nweir-7f", "x".repeat(MAX_LINE_BYTES)));
    let again = line("3 duplicate reports for Sandbox: cat(1) deny(1) file-read-data /a\nweir-7f");
    let text = ["Filtering the log data\n", &denied("/a"), &long, &denied("/b"), &again].concat();
    for size in [1, 7, 4096, text.len()] {
        let mut reader = Reader::new(RunTag::parse("weir-7f").unwrap());
        text.as_bytes().chunks(size).for_each(|piece| reader.take_in(piece, &policy, ""));
        let (found, _) = reader.into_found().into_parts();
        let found: Vec<_> = found.iter().map(|denial| (denial.target.to_string(), denial.count)).collect();
        assert_eq!(found, [("/a".to_owned(), 4), ("/b".to_owned(), 1)], "{size}");
    }
}

#[test]
fn a_denial_is_joined_to_the_rule_that_refuses() {
    let files =
        [("/p", Access::Write), ("/p/ro", Access::Read), ("/p/shut", Access::None), ("/tmp/s", Access::None)];
    let policy = Sketch {
        sockets: vec![("/run/shut.sock".to_owned(), false)],
        network: true,
        domains: Some(vec![("bad.test".to_owned(), false)]),
        ..Sketch::files(&files, &["/p/**/*.env"])
    }
    .policy();
    let cases = [
        ("file-read-data", "/p/shut/a", true),
        ("file-write-create", "/p/ro/a", true),
        ("process-exec*", "/p/shut/tool", true),
        ("file-read-data", "/p/a/x.env", true),
        ("file-read-metadata", "/private/tmp/s", true),
        ("network-outbound", "/run/shut.sock", true),
        ("network-outbound", "bad.test:443", true),
        // Seatbelt refuses more than the policy does: a pinned directory, a service, a program that would be another user's.
        ("file-write-unlink", "/p/a", false),
        ("file-read-data", "/p/ro/a", false),
        ("mach-lookup", "com.apple.pasteboard.1", false),
        // Nothing in the policy speaks of it.
        ("file-read-data", "/elsewhere", false),
    ];
    for (operation, subject, expect) in cases {
        let (program, pid, count) = ("x".to_owned(), 1, 1);
        let (operation, subject) = (operation.to_owned(), subject.to_owned());
        let denial = Denial { program, pid, operation, subject, count };
        assert_eq!(denial.told(&policy, "").origin, expect.then(origin), "{denial:?}");
    }
}
