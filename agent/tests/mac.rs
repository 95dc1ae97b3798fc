//! On a Mac: `weir run` with the real exec-server under the real `sandbox-exec`. Elsewhere it is skipped.
//!
//! Run by a Mac's owner with `cargo test -p weir-agent --test mac -- --nocapture`. Everything happens in temporary directories.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[allow(dead_code, reason = "shared with the tests of the other commands")]
#[path = "support/place.rs"]
mod place;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};

use place::{Place, text, weir};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use weir_tests::skip;

/// A place on a Mac; records a skip elsewhere.
fn mac(test: &str) -> Option<Place> {
    if cfg!(target_os = "macos") {
        return Some(Place::new());
    }
    skip(&format!("seatbelt::live_run_{test}"), "there is no sandbox-exec but on macOS");
    None
}

fn command(place: &Place, options: &[&str], words: &[&str]) -> Command {
    let mut command = place.command(weir().to_str().unwrap());
    command.arg("run").args(options).arg("--").args(words);
    command
}

fn run(place: &Place, options: &[&str], words: &[&str]) -> Output {
    command(place, options, words).output().unwrap()
}

fn pid(line: &str) -> Pid {
    Pid::from_raw(line.trim().parse().unwrap()).unwrap()
}

#[test]
fn a_command_is_confined_and_its_code_comes_back() {
    let Some(place) = mac("files") else { return };
    place.write("home/.ssh/key", "secret");
    let key = place.path("home/.ssh/key");
    let cases: [(&[&str], &[&str], i32); 9] = [
        (&[], &["sh", "-c", "exit 7"], 7),
        (&[], &["sh", "-c", "kill -TERM $$"], 143),
        (&["--profile", ":workspace"], &["sh", "-c", "echo x > made && cat made"], 0),
        (&["--profile", ":read-only"], &["sh", "-c", "cat made"], 0),
        (&["--profile", ":read-only"], &["sh", "-c", "echo x > other"], 1),
        (&["--profile", ":workspace"], &["cat", &key], 1),
        (&["--timeout", "1s"], &["sleep", "60"], 124),
        (&[], &["there-is-no-such-program"], 127),
        (&[], &["./made"], 126),
    ];
    for (options, words, expect) in cases {
        let output = run(&place, options, words);
        assert_eq!(output.status.code(), Some(expect), "{words:?}: {}", text(&output.stderr));
    }
}

#[test]
fn nothing_of_the_tree_is_left() {
    let Some(place) = mac("tree") else { return };
    // One that stays in the session, one that leaves it while its parent lives; both prove that they run.
    let script = "sleep 300 & echo $!; \
        perl -MPOSIX -e 'my $p = fork; if (!$p) { setsid; sleep 300 } print \"$p\\n\"; $| = 1; sleep 1' & wait $!; exit 0";
    let output = run(&place, &[], &["sh", "-c", script]);
    let told = text(&output.stdout);
    assert_eq!((output.status.code(), told.lines().count()), (Some(0), 2), "{}", text(&output.stderr));
    for line in told.lines() {
        assert!(test_kill_process(pid(line)).is_err(), "{line} is left");
    }
}

#[test]
fn signals_arrive_and_the_end_of_weir_is_the_end() {
    let Some(place) = mac("signals") else { return };
    for (signal, code) in [(Signal::TERM, Some(3)), (Signal::KILL, None)] {
        let script = "trap 'exit 3' TERM; echo $$; sleep 300 & wait";
        let mut child = command(&place, &[], &["sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        kill_process(pid(&child.id().to_string()), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), code, "{signal:?}");
        // The end of its output says that nobody of the tree is left to write.
        output.read_line(&mut String::new()).unwrap();
        assert!(test_kill_process(pid(&line)).is_err(), "{line} is left after {signal:?}");
    }
}

#[test]
fn the_command_has_a_terminal_of_its_own() {
    let Some(place) = mac("terminal") else { return };
    let script = "test -t 0 && test -t 1 && stty size < /dev/tty";
    let output = run(&place, &["--tty", "always"], &["sh", "-c", script]);
    assert_eq!(text(&output.stdout).trim(), "24 80", "{}", text(&output.stderr));
    let output = run(&place, &["--tty", "never"], &["sh", "-c", "test -t 1"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_plan_is_shown_and_nothing_runs() {
    let Some(place) = mac("plan") else { return };
    let output = run(&place, &["--dry-run"], &["sh", "-c", "echo x > made"]);
    let told = text(&output.stdout);
    assert!(told.contains("seatbelt") && told.contains("(deny default"), "{told}");
    assert!(!std::path::Path::new(&place.path("project/made")).exists());
}
