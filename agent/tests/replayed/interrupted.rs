//! Ctrl-C at the terminal of `weir exec`, typed: the terminal sends it to everyone in its foreground, the agent understands it, and no byte
//! of the command that it ends is lost.

use std::fs::{self, File};
use std::io::{Read, Write};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use weir_tests::sandbox::kin;

use super::screen::Screen;
use super::session::{Session, done, is_told, runs, says};

/// The key.
const CTRL_C: &str = "\u{3}";

/// Says that it runs, and has a last word when it is told to end.
const HAS_LAST_WORDS: &str = "exec 3<>alive; trap 'echo the last; exit 7' TERM; seq 20000; echo go > started; while :; do sleep 1 & wait; done";

/// Never ends by itself.
const HEEDS_NOTHING: &str = "exec 3<>alive; trap '' TERM INT; echo go > started; while :; do sleep 1; done";

/// Writes until it is killed, and what it has written into a file as well.
const WRITES_ON: &str = "exec 3<>alive 8>truth; trap '' TERM INT; echo go > started; \
                         i=0; while :; do i=$((i+1)); echo \"line $i\"; echo \"line $i\" >&8; done";

/// Waits for a word, and writes more than the agent has taken when it is interrupted.
const WRITES_MUCH: &str = "exec 3<>alive; echo go > started; read word < gate; \
                           head -c 50000000 /dev/zero | tr '\\0' x; echo go > started; exec sleep 1000";
const MUCH_BYTES: usize = 50_000_000;

/// Ticks of a millisecond after which everything must be gone.
const GONE_MS: u32 = 10_000;

/// A command that runs below a terminal.
struct Typed {
    session: Session,
    screen: Screen,
    /// Whom nobody holds open once nothing is left of the command.
    alive: File,
    started: File,
}

/// What the one call of a thread came to.
struct Came {
    /// The command, as data.
    did: Value,
    /// All that is kept of its output.
    kept: Vec<u8>,
}

impl Typed {
    fn new(session: Session, script: &str) -> Self {
        drop(session.pipe("alive"));
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let alive = rustix::fs::open(session.project("alive"), flags, Mode::empty()).unwrap().into();
        let started = session.pipe("started");
        session.record(&[runs("r", script), done()]);
        let screen = Screen::start(session.weir(&["exec", "go"]), [false, true, true]);
        let mut typed = Self { session, screen, alive, started };
        typed.starts();
        typed
    }

    fn starts(&mut self) {
        assert!(self.started.read(&mut [0; 8]).unwrap() > 0);
    }

    fn presses(&mut self) {
        self.screen.types(CTRL_C);
    }

    /// Waits until nothing is left of command and agent, and reads what came of them; the account is that of what is kept.
    fn ends(self) -> (Session, Came) {
        let Self { session, screen, alive, .. } = self;
        is_over(&alive);
        let (status, rest) = screen.ends();
        assert_eq!(status.code(), Some(130), "{}", String::from_utf8_lossy(&rest));
        let (thread, records) = thread(&session);
        assert_eq!(records.last().unwrap()["payload"]["status"], "interrupted", "{records:#?}");
        let result =
            records.iter().find(|record| record["payload"]["item"]["type"] == "tool_result").unwrap();
        let did = result["payload"]["item"]["outcome"]["did"].clone();
        let directory = session.place.path(&format!("home/.weir/outputs/{thread}"));
        let kept = fs::read(fs::read_dir(directory).unwrap().next().unwrap().unwrap().path()).unwrap();
        let account = &did["streams"][0];
        assert_eq!((&account["bytes"], &account["dropped"]), (&json!(kept.len()), &json!(0)));
        assert_eq!(account["blake3"], blake3::hash(&kept).to_hex().as_str());
        (session, Came { did, kept })
    }
}

/// Waits until nothing is left of the command.
fn is_over(alive: &File) {
    let mut watched = [PollFd::new(alive, PollFlags::IN)];
    while !watched[0].revents().contains(PollFlags::HUP) {
        poll(&mut watched, None).unwrap();
    }
}

/// The one thread, and its records.
fn thread(session: &Session) -> (String, Vec<Value>) {
    let list = session.threads(&["list"]);
    let thread = list["threads"][0]["thread"].as_str().unwrap().to_owned();
    let records = session.records(&thread);
    (thread, records)
}

fn lines(count: usize) -> Vec<u8> {
    (1..=count).flat_map(|number| format!("line {number}\n").into_bytes()).collect()
}

#[test]
fn the_key_ends_the_command_and_all_that_it_wrote_is_accounted_for() {
    for session in [Session::new("interrupted_account"), Session::served("interrupted_account")] {
        let Some(session) = session else { return };
        let mut typed = Typed::new(session, HAS_LAST_WORDS);
        typed.presses();
        typed.screen.sees("interrupted: what runs is being ended");
        typed.screen.sees("waiting for $ /bin/bash -c 'exec 3<>alive");
        typed.screen.sees("Exited with code 7");
        assert!(typed.screen.is_cooked());
        let (session, came) = typed.ends();
        assert_eq!(came.did["status"]["end"], json!({ "reason": "exited", "code": 7 }), "{}", came.did);
        let mut wrote: Vec<u8> = (1..=20_000).flat_map(|number| format!("{number}\n").into_bytes()).collect();
        wrote.extend(b"the last\n");
        assert!(came.kept == wrote, "every byte is kept");
        // The thread goes on, and its model knows.
        let first = [runs("r", HAS_LAST_WORDS), done()];
        session
            .record(&[&first[..], &[is_told("Interrupted by the person"), says("I see."), done()]].concat());
        session.events(&["resume", "--last", "and now"]);
    }
}

#[test]
fn a_command_that_heeds_nothing_is_killed_and_what_it_wrote_until_then_is_accounted_for() {
    for session in [Session::new("interrupted_heedless"), Session::served("interrupted_heedless")] {
        let Some(session) = session else { return };
        let mut typed = Typed::new(session, WRITES_ON);
        typed.presses();
        typed.screen.sees("Ended from outside");
        let (session, came) = typed.ends();
        assert_eq!(came.did["status"]["end"], json!({ "reason": "cancelled" }));
        // It writes a line here first and there then.
        let truth = fs::read(session.project("truth")).unwrap();
        let count = truth.iter().filter(|byte| **byte == b'\n').count();
        assert!(came.kept.starts_with(&truth) && lines(count + 1).starts_with(&came.kept), "{count} lines");
    }
}

#[test]
fn what_the_agent_has_not_read_yet_when_the_key_is_pressed_is_read() {
    for session in [Session::new("interrupted_much"), Session::served("interrupted_much")] {
        let Some(session) = session else { return };
        let mut gate = session.pipe("gate");
        let mut typed = Typed::new(session, WRITES_MUCH);
        let agent = Pid::from_raw(typed.screen.pid()).unwrap();
        kill_process(agent, Signal::STOP).unwrap();
        gate.write_all(b"go\n").unwrap();
        typed.starts();
        typed.presses();
        kill_process(agent, Signal::CONT).unwrap();
        typed.screen.sees("Ended by signal 15");
        let (_session, came) = typed.ends();
        assert!(came.kept == b"x".repeat(MUCH_BYTES), "{} bytes", came.kept.len());
    }
}

#[test]
fn the_key_pressed_again_does_not_wait_and_what_is_stopped_goes_as_well() {
    let Some(session) = Session::new("interrupted_twice") else { return };
    let mut typed = Typed::new(session, HEEDS_NOTHING);
    // A server that does nothing more: without the second key this would wait for it for ever. Nobody but the agent's end wakes it.
    let agent = typed.screen.pid();
    let everyone = kin::family(agent);
    for process in everyone.iter().filter(|process| process.pid != agent) {
        kill_process(Pid::from_raw(process.pid).unwrap(), Signal::STOP).unwrap();
    }
    typed.presses();
    typed.screen.sees("interrupted: what runs is being ended");
    typed.screen.sees("still being ended after ");
    typed.presses();
    typed.screen.sees("given up");
    let Typed { session, screen, alive, .. } = typed;
    let (status, _) = screen.ends();
    assert_eq!(status.code(), Some(130));
    is_over(&alive);
    let ticks = kin::wait_for_ends(&everyone, GONE_MS);
    let left = kin::living("no process bears this mark", &everyone);
    assert!(left.is_empty(), "after {ticks} ms there are {left:?}");
    // What was not completed is when the thread goes on.
    let first = [runs("r", HEEDS_NOTHING), done()];
    session.record(&[&first[..], &[is_told("The agent was ended"), says("I see."), done()]].concat());
    session.events(&["resume", "--last", "and now"]);
    assert_eq!(thread(&session).1.last().unwrap()["payload"]["status"], "completed");
}

#[test]
fn a_signal_ends_a_run_whose_server_says_nothing() {
    let Some(session) = Session::new("interrupted_silent") else { return };
    let socket = session.place.path("silent.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    session.record(&[says("never"), done()]);
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let running = session.start(&["--server", &socket, "go"]);
        let (mut client, _) = listener.accept().unwrap();
        // It has greeted, and waits.
        assert!(client.read(&mut [0; 64]).unwrap() > 0);
        running.signal(signal);
        let (events, status) = running.end();
        assert_eq!(status.code(), Some(code), "{events:?}");
        assert_eq!(events.last().unwrap()["type"], "error", "there was no turn: {events:?}");
    }
}
