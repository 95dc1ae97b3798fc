//! Ctrl-C at the terminal of `weir exec`, typed: the terminal sends it to everyone in its foreground, the agent understands it, and no byte
//! of the command that it ends is lost.

use std::fs::{self, File};
use std::io::Read;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::screen::Screen;
use super::session::{Session, done, is_told, runs, says};

/// The key.
const CTRL_C: &str = "\u{3}";

/// Says that it runs, and has a last word when it is told to end.
const HAS_LAST_WORDS: &str = "exec 3<>alive; trap 'echo the last; exit 7' TERM; seq 20000; echo go > started; while :; do sleep 1 & wait; done";

/// Never ends by itself.
const HEEDS_NOTHING: &str = "exec 3<>alive; trap '' TERM INT; echo go > started; while :; do sleep 1; done";

/// A command that runs below a terminal.
struct Typed {
    session: Session,
    screen: Screen,
    /// Whom nobody holds open once nothing is left of the command.
    alive: File,
}

impl Typed {
    fn new(session: Session, script: &str) -> Self {
        drop(session.pipe("alive"));
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let alive = rustix::fs::open(session.project("alive"), flags, Mode::empty()).unwrap().into();
        let mut started = session.pipe("started");
        session.record(&[runs("r", script), done()]);
        let screen = Screen::start(session.weir(&["exec", "go"]), [false, true, true]);
        assert!(started.read(&mut [0; 8]).unwrap() > 0);
        Self { session, screen, alive }
    }

    fn presses(&mut self) {
        self.screen.types(CTRL_C);
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

#[test]
fn the_key_ends_the_command_and_all_that_it_wrote_is_accounted_for() {
    for session in [Session::new("interrupted_account"), Session::served("interrupted_account")] {
        let Some(session) = session else { return };
        let mut typed = Typed::new(session, HAS_LAST_WORDS);
        typed.presses();
        typed.screen.sees("interrupted: what runs is being ended");
        typed.screen.sees("Exited with code 7");
        assert!(typed.screen.is_cooked());
        let Typed { session, screen, alive } = typed;
        is_over(&alive);
        let (status, rest) = screen.ends();
        assert_eq!(status.code(), Some(130), "{}", String::from_utf8_lossy(&rest));
        let (thread, records) = thread(&session);
        assert_eq!(records.last().unwrap()["payload"]["status"], "interrupted", "{records:#?}");
        let result =
            records.iter().find(|record| record["payload"]["item"]["type"] == "tool_result").unwrap();
        let did = &result["payload"]["item"]["outcome"]["did"];
        assert_eq!(did["status"]["end"], json!({ "reason": "exited", "code": 7 }), "{did}");
        let mut wrote: Vec<u8> = (1..=20_000).flat_map(|number| format!("{number}\n").into_bytes()).collect();
        wrote.extend(b"the last\n");
        let account = &did["streams"][0];
        assert_eq!((&account["bytes"], &account["dropped"]), (&json!(wrote.len()), &json!(0)));
        assert_eq!(account["blake3"], blake3::hash(&wrote).to_hex().as_str());
        let directory = session.place.path(&format!("home/.weir/outputs/{thread}"));
        let kept = fs::read_dir(directory).unwrap().next().unwrap().unwrap();
        assert!(fs::read(kept.path()).unwrap() == wrote, "every byte is kept");
        // The thread goes on, and its model knows.
        let first = [runs("r", HAS_LAST_WORDS), done()];
        session
            .record(&[&first[..], &[is_told("Interrupted by the person"), says("I see."), done()]].concat());
        session.events(&["resume", "--last", "and now"]);
    }
}

#[test]
fn the_key_pressed_again_does_not_wait() {
    let Some(session) = Session::new("interrupted_twice") else { return };
    let mut typed = Typed::new(session, HEEDS_NOTHING);
    // A server that does nothing more: without the second key this would wait for it for ever.
    let server = child_of(typed.screen.pid());
    kill_process(server, Signal::STOP).unwrap();
    typed.presses();
    typed.screen.sees("interrupted: what runs is being ended");
    typed.presses();
    typed.screen.sees("given up");
    let Typed { session, screen, alive } = typed;
    let (status, _) = screen.ends();
    assert_eq!(status.code(), Some(130));
    // The kernel may have done so: the server's group is an orphan's now, in which nobody stays stopped (setpgid(2)).
    let _ = kill_process(server, Signal::CONT);
    is_over(&alive);
    // What was not completed is when the thread goes on. A machine that took its time between the keys has completed it.
    let has_result =
        thread(&session).1.iter().any(|record| record["payload"]["item"]["type"] == "tool_result");
    let told = if has_result { "Interrupted by the person" } else { "The agent was ended" };
    let first = [runs("r", HEEDS_NOTHING), done()];
    session.record(&[&first[..], &[is_told(told), says("I see."), done()]].concat());
    session.events(&["resume", "--last", "and now"]);
    assert_eq!(thread(&session).1.last().unwrap()["payload"]["status"], "completed");
}

/// The one child of a process (proc_tid_children(5)).
fn child_of(process: i32) -> Pid {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let mut children =
        threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("children")).unwrap());
    let child = children.find_map(|all| all.split_whitespace().next().map(|child| child.parse().unwrap()));
    Pid::from_raw(child.unwrap()).unwrap()
}
