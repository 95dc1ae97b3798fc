//! SIGKILL to an agent in the middle of a command: the command ends or goes on as it is configured, and the thread accounts for every byte.
//!
//! What a command really wrote is known from a file that it writes beside its output, line by line.

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::place::text;
use super::session::{Session, calls, done, is_told, runs, says};

/// Rounds of each way, where `WEIR_LIFE_ROUNDS` asks for nothing else.
const ROUNDS: usize = 10;

/// Bytes of the file beside the output within which the agent is killed: from its first line to some thousands.
const MOMENTS_BYTES: u64 = 60_000;

/// Writes lines until it is told to stop. Whoever reads `alive` hears its end.
const SCRIPT: &str = "exec 9>alive 8>truth; i=0; while [ ! -e stop ]; do i=$((i+1)); echo \"line $i\"; echo \"line $i\" >&8; done";

fn rounds() -> usize {
    std::env::var("WEIR_LIFE_ROUNDS").ok().map_or(ROUNDS, |rounds| rounds.parse().unwrap())
}

/// Any number below `limit`.
fn any(limit: u64) -> u64 {
    RandomState::new().hash_one(0) % limit
}

/// One command, from its start to the agent's death.
struct Round<'a> {
    session: &'a Session,
    thread: String,
    /// What is kept of its output.
    kept: PathBuf,
    process: u64,
    alive: File,
}

impl<'a> Round<'a> {
    fn new(session: &'a Session) -> Self {
        for name in ["stop", "truth", "alive"] {
            let _ = fs::remove_file(session.project(name));
        }
        drop(session.pipe("alive"));
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let alive = rustix::fs::open(session.project("alive"), flags, Mode::empty()).unwrap().into();
        session.record(&[runs("r", SCRIPT), done()]);
        let mut running = session.start(&["go"]);
        let thread = running.next().unwrap()["thread_id"].as_str().unwrap().to_owned();
        running.until(|event| event["type"] == "item.started");
        let moment = any(MOMENTS_BYTES);
        let truth = session.project("truth");
        while fs::metadata(&truth).map_or(0, |found| found.len()) < moment {}
        running.signal(Signal::KILL);
        running.end();
        let directory = session.place.path(&format!("home/.weir/outputs/{thread}"));
        let kept = fs::read_dir(directory).unwrap().next().unwrap().unwrap();
        let process = kept.file_name().to_str().unwrap().split('-').next().unwrap().parse().unwrap();
        Self { session, thread, kept: kept.path(), process, alive }
    }

    /// Waits until nobody is left of the command.
    fn is_over(&self) {
        let mut watched = [PollFd::new(&self.alive, PollFlags::IN)];
        while !watched[0].revents().contains(PollFlags::HUP) {
            poll(&mut watched, None).unwrap();
        }
    }

    /// Goes on with the thread. What the calls of its first turn came to is what its second is told.
    fn resume(&self, answers: &[Value]) -> Vec<Value> {
        let first = [runs("r", SCRIPT), done()];
        self.session.record(&[&first[..], answers, &[says("I see."), done()]].concat());
        let arguments = ["resume", self.thread.as_str(), "and now"];
        let events = self.session.events(&arguments);
        let told = text(&serde_json::to_vec(&events).unwrap());
        assert!(told.contains("its agent went away"), "{told}");
        self.session.records(&self.thread)
    }

    fn truth(&self) -> Vec<u8> {
        fs::read(self.session.project("truth")).unwrap_or_default()
    }
}

/// What the last call of a command came to.
fn command(records: &[Value]) -> &Value {
    let results = records.iter().rev().filter(|record| record["payload"]["item"]["type"] == "tool_result");
    let mut outcomes = results.map(|record| &record["payload"]["item"]["outcome"]);
    outcomes.find(|outcome| outcome["did"]["kind"] == "command").unwrap_or_else(|| panic!("{records:#?}"))
}

/// The turn that was broken off has its end, before the next one began.
fn is_whole(records: &[Value]) {
    let kinds = records.iter().map(|record| record["type"].as_str().unwrap());
    let turns: Vec<_> = kinds.filter(|kind| kind.starts_with("turn_")).collect();
    assert_eq!(turns, ["turn_started", "turn_ended", "turn_started", "turn_ended"]);
}

fn lines(count: usize) -> Vec<u8> {
    (1..=count).flat_map(|number| format!("line {number}\n").into_bytes()).collect()
}

fn ends(session: &Session) {
    let round = Round::new(session);
    round.is_over();
    let kept = fs::read(&round.kept).unwrap();
    let count = round.truth().iter().filter(|byte| **byte == b'\n').count();
    // It writes a line here first and there then.
    assert!(lines(count + 1).starts_with(&kept), "{} bytes are no beginning of what it wrote", kept.len());
    let records = round.resume(&[is_told(&format!("What it had written until then, {} bytes", kept.len()))]);
    is_whole(&records);
    let did = &command(&records)["did"];
    assert_eq!(did["status"]["end"]["reason"], "cancelled", "{did}");
    assert_eq!(did["process"], round.process);
    let tail = did["output_tail"].as_str().unwrap();
    assert!(kept.ends_with(&tail.as_bytes()[tail.rfind("…]\n").map_or(0, |at| at + "…]\n".len())..]));
    assert_eq!(fs::read(&round.kept).unwrap(), kept, "nothing that was kept is lost");
}

#[test]
fn a_command_ends_with_its_agent_and_what_it_wrote_is_told() {
    for session in [Session::new("killed_ends"), Session::served("killed_ends")] {
        let Some(session) = session else { return };
        (0..rounds()).for_each(|_| ends(&session));
    }
}

/// The server keeps no command: what is told is forgotten.
fn nothing_is_left(session: &Session) {
    let left = session.weir(&["ps", "--json"]).output().unwrap();
    let left: Value = serde_json::from_slice(&left.stdout).unwrap();
    assert_eq!(left["commands"], json!([]));
}

fn stays(session: &Session, ends_alone: bool) {
    let round = Round::new(session);
    let stop = || drop(File::create(session.project("stop")).unwrap());
    if ends_alone {
        stop();
        round.is_over();
    }
    let poll = json!({ "session_id": round.process, "yield_time_ms": 600_000 });
    let poll = [calls("p", "write_stdin", &poll), done()];
    let records = std::thread::scope(|scope| {
        let resumed = scope.spawn(|| round.resume(&poll));
        stop();
        resumed.join().unwrap()
    });
    round.is_over();
    is_whole(&records);
    let truth = round.truth();
    assert_eq!(truth, lines(truth.iter().filter(|byte| **byte == b'\n').count()));
    let did = &command(&records)["did"];
    assert_eq!(did["status"]["end"], json!({ "reason": "exited", "code": 0 }), "{did}");
    let account = &did["streams"][0];
    assert_eq!(account["bytes"], truth.len(), "{account}");
    assert_eq!(account["blake3"], blake3::hash(&truth).to_hex().as_str());
    assert_eq!(account["dropped"], 0);
    assert!(fs::read(&round.kept).unwrap() == truth, "every byte is kept");
    nothing_is_left(session);
}

#[test]
fn a_command_that_is_to_stay_goes_on_and_is_taken_over_from_its_first_byte() {
    let Some(session) = Session::served("killed_stays") else { return };
    session.configure("left_commands = \"stay\"");
    for round in 0..rounds() {
        stays(&session, round % 2 == 0);
    }
}

#[test]
fn an_agent_that_ends_leaves_nothing_that_was_to_stay() {
    let Some(session) = Session::served("killed_not") else { return };
    session.configure("left_commands = \"stay\"");
    let script = "echo so far; exec sleep 1000";
    let left = calls("r", "exec_command", &json!({ "cmd": script, "yield_time_ms": 1 }));
    session.record(&[left, done(), says("It runs."), done()]);
    session.events(&["go"]);
    nothing_is_left(&session);
}
