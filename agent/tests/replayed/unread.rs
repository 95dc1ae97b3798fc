//! Streams that nobody reads, or nobody can write to: a signal is heard all the same, nothing is lost in silence, and what was lost is told.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use weir_tests::sandbox::kin;

use super::place::text;
use super::session::{Session, completed, done, read, runs, says};

/// How long something may take that takes no time where all is well.
const PATIENCE: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

/// Ticks of a millisecond after which everything must be gone.
const GONE_MS: u32 = 10_000;

/// How often it is looked whether a turn has ended.
const LOOKS: usize = 100;

/// Runs until it is told to end.
const RUNS_ON: &str = "trap 'exit 7' TERM; echo go > started; while :; do sleep 1 & wait; done";

/// Goes on when it is told to.
const WAITS: &str = "echo go > started; read word < gate";

/// Bytes of what a model says: more than a pipe takes.
const WORDS_BYTES: usize = 200_000;

/// A run whose model says much, and has a command run.
fn starts(session: &Session, script: &str, messages: usize, arguments: &[&str]) -> Child {
    let words = says(&"x".repeat(WORDS_BYTES));
    let call = [runs("r", script), done(), says("The end."), done()];
    session.record(&[&vec![words; messages][..], &call].concat());
    let mut started = session.pipe("started");
    let mut command = session.weir(&[&["exec"], arguments, &["go"]].concat());
    let is_json = arguments.contains(&"--json");
    let (stdout, stderr) =
        if is_json { (Stdio::piped(), Stdio::null()) } else { (Stdio::null(), Stdio::piped()) };
    let child = command.stdout(stdout).stderr(stderr).spawn().unwrap();
    let mut watched = [PollFd::new(&started, PollFlags::IN)];
    assert_eq!(poll(&mut watched, Some(&PATIENCE)), Ok(1), "the turn waits for whoever reads");
    assert!(started.read(&mut [0; 8]).unwrap() > 0);
    std::fs::remove_file(session.project("started")).unwrap();
    child
}

fn signals(child: &Child) {
    kill_process(Pid::from_child(child), Signal::INT).unwrap();
}

/// How the last turn ended, which it does.
fn ended(session: &Session) -> String {
    let list = session.threads(&["list"]);
    let thread = list["threads"][0]["thread"].as_str().unwrap();
    let mut looks = (0..LOOKS).map(|_| session.records(thread).pop().unwrap());
    let end = looks.find(|record| record["type"] == "turn_ended").unwrap_or_else(|| panic!("no end"));
    end["payload"]["status"].as_str().unwrap().to_owned()
}

#[test]
fn signals_are_heard_where_nobody_reads() {
    // What waits is little, or more than the turn goes on with.
    for messages in [1, 40] {
        for arguments in [&["--json"][..], &[]] {
            let Some(session) = Session::new("unread_signals") else { return };
            let mut child = starts(&session, RUNS_ON, messages, arguments);
            let everyone = kin::family(i32::try_from(child.id()).unwrap());
            assert!(everyone.len() > 1, "the exec-server is there");
            signals(&child);
            assert_eq!(ended(&session), "interrupted", "{messages} {arguments:?}");
            signals(&child);
            let ticks = kin::wait_for_ends(&everyone, GONE_MS);
            let left = kin::living("no process bears this mark", &everyone);
            if !left.is_empty() {
                child.kill().unwrap();
            }
            assert!(left.is_empty(), "{messages} {arguments:?}: after {ticks} ms there are {left:?}");
            assert_eq!(child.wait().unwrap().code(), Some(130), "{messages} {arguments:?}");
        }
    }
}

#[test]
fn whoever_reads_late_reads_everything() {
    for messages in [1, 40] {
        let Some(session) = Session::new("unread_late") else { return };
        let mut gate = session.pipe("gate");
        let mut child = starts(&session, WAITS, messages, &["--json"]);
        gate.write_all(b"go\n").unwrap();
        let mut told = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut told).unwrap();
        let events = read(&told);
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert_eq!(events.last().unwrap()["type"], "turn.completed");
        let words = completed(&events, "agent_message");
        let lengths: Vec<_> = words.iter().map(|item| item["text"].as_str().unwrap().len()).collect();
        assert_eq!(lengths, [&vec![WORDS_BYTES; messages][..], &["The end.".len()]].concat());
        assert_eq!(completed(&events, "command_execution")[0]["status"], "completed");
    }
}

#[test]
fn what_cannot_be_written_is_told() {
    let Some(session) = Session::new("unread_full") else { return };
    session.record(&[says("The end."), done()]);
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    for arguments in [&["exec", "--json", "go"][..], &["exec", "go"]] {
        let output = session.weir(arguments).stdout(full()).output().unwrap();
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{arguments:?}: {told}");
        assert!(told.contains("cannot write the result: No space left"), "{arguments:?}: {told}");
        assert_eq!(ended(&session), "completed", "{arguments:?}");
    }
    let output = session.weir(&["exec", "go"]).stderr(full()).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stdout).trim()), (Some(125), "The end."));
    // Whoever reads may go.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = session.weir(&["exec", "--json", "go"]).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}

#[test]
fn an_answer_about_profiles_that_cannot_be_written_is_told() {
    let Some(session) = Session::new("unread_policy") else { return };
    let file = session.place.path("home/.weir/config.toml");
    for arguments in [
        &["policy", "check", &file, "--json"][..],
        &["policy", "check", &file],
        &["policy", "show", "--json"],
        &["policy", "show"],
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = session.weir(arguments).stdout(full).output().unwrap();
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{arguments:?}: {told}");
        assert!(told.contains("cannot write the result"), "{arguments:?}: {told}");
    }
}
