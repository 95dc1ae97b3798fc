//! Faults: each system call that makes a sandbox fails in turn (strace(1), `-e inject`), in each way of making one.
//!
//! The command must never run less confined: either it does not run at all, exit code 125 to 127 and a message that names the
//! step, or what is left holds every rule. Nothing may stay behind: strace ends when the last process has, and the directory
//! is compared. A fault hits the trials of the host as well as the launch, for both make the same calls in processes of their
//! own; a number in `when` counts in each process by itself.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its support as well")]

mod place;
mod table;

use place::{Ended, Place, Way};
use table::{Expect, Fault};
use weir_tests::skip;

/// Exit codes of a run in which the command did not run.
const NOT_RUN: std::ops::RangeInclusive<i32> = 125..=127;

/// What is wrong with how one fault ended.
fn judge(fault: &Fault, ended: &Ended) -> Option<String> {
    let Ended { code, message, ran, leaks, changed } = ended;
    let wrong = match fault.expect {
        _ if !leaks.is_empty() => format!("it ran less confined: {leaks:?}"),
        Expect::Fails(step) => match (NOT_RUN.contains(code), *ran, message.contains(step)) {
            (_, true, _) => "the command ran".to_owned(),
            (false, ..) => "the exit code is another".to_owned(),
            (.., false) => format!("the message does not name `{step}`"),
            _ if !changed.is_empty() => format!("left behind: {changed:?}"),
            _ => return None,
        },
        Expect::Holds if *code == place::COMMANDS_OWN && *ran => return None,
        Expect::Holds => "the command did not run to its end".to_owned(),
    };
    Some(format!("{}: {wrong}; code {code}: {message}", fault.inject))
}

fn check(way: Way) {
    if let Err(reason) = way.available() {
        return skip(way.id(), reason);
    }
    let place = Place::new(way);
    place.check_control();
    let wrong: Vec<String> =
        table::faults(way).iter().filter_map(|fault| judge(fault, &place.run(fault))).collect();
    assert!(wrong.is_empty(), "{way:?}:\n{}", wrong.join("\n"));
}

#[test]
fn no_fault_runs_a_command_less_confined_as_root() {
    check(Way::Root);
}

#[test]
fn no_fault_runs_a_command_less_confined_as_a_user() {
    check(Way::User);
}

#[test]
fn no_fault_runs_a_command_less_confined_without_user_namespaces() {
    check(Way::Bare);
}

/// Also under the profile that confines nothing.
#[test]
fn another_user_is_that_user() {
    if let Err(reason) = Way::Root.available() {
        return skip("faults::another_user", reason);
    }
    let place = Place::new(Way::Root);
    for profile in ["fault", ":danger-full-access"] {
        let mut command = place.weir(profile);
        let output = command.args(["--user", place::USER_TEXT, "--", "id", "-u"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), place::USER_TEXT, "{profile}: {output:?}");
    }
}
