//! Codex beside Weir: the same thread and the same list, asked of its app-server over standard input and output.
//!
//! `$CODEX` names a program; where it is not set npm fetches one, if it can. Nothing here asks a model.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{ANSWER, Figures, ROUNDS, THREADS, TURNS, timed};

/// What npm fetches.
const PACKAGE: &str = "@openai/codex@0.169.0";

/// How often an app-server is started anew, to open and to fork a thread that it does not hold yet.
const STARTS: usize = 5;

/// Turns that are passed over between two pages.
const STRIDE: u64 = 100;

/// Threads of a page of its list on the way through all of them; it gives no more.
const LIST: usize = 100;

/// The long thread.
const LONG: &str = "019b76da-0000-7000-8000-000000000000";

/// What every record says of its time.
const TIME: &str = "2026-01-01T00:00:00.000Z";

/// No model is asked: where nobody answers is enough.
const CONFIG: &str = "model = \"m\"\nmodel_provider = \"none\"\n[model_providers.none]\nname = \"none\"\n\
                      base_url = \"http://127.0.0.1:9/v1\"\nwire_api = \"responses\"\n";

/// A program, and what it says of its version.
pub(super) struct Codex {
    program: PathBuf,
    version: String,
}

impl Codex {
    /// The program that is named, or that npm fetches.
    pub(super) fn find() -> Result<Self, String> {
        let program = match std::env::var_os("CODEX").filter(|path| !path.is_empty()) {
            Some(path) => path.into(),
            None => fetched()?,
        };
        let asked = Command::new(&program).arg("--version").output();
        let asked = asked.map_err(|error| format!("{}: {error}", program.display()))?;
        let version = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
        if version.is_empty() {
            Err(format!("{} does not run here", program.display()))
        } else {
            Ok(Self { program, version })
        }
    }

    /// A new home. Not in `/tmp`, where it makes less of itself.
    fn home() -> TempDir {
        let home = tempfile::tempdir_in("/var/tmp").unwrap();
        fs::write(home.path().join("config.toml"), CONFIG).unwrap();
        home
    }

    /// The long thread: opened, read anywhere, forked.
    pub(super) fn long(&self, figures: &mut Figures) {
        let home = Self::home();
        let lines = rollout(LONG, TURNS, &"All work and no play makes a dull line. ".repeat(ANSWER / 2 / 40));
        let path = place(home.path(), LONG, "2026/01/01");
        fs::write(&path, lines).unwrap();
        // Its own way to a history that it can read page by page.
        let migrated =
            self.command(home.path()).args(["migrate-rollouts", "--apply"]).stdout(Stdio::null()).status();
        assert!(migrated.unwrap().success());
        println!("{}: the same thread, {} bytes", self.version, fs::metadata(&path).unwrap().len());
        let (mut opens, mut forks, mut bytes) = (Vec::new(), Vec::new(), 0);
        for _ in 0..STARTS {
            let mut served = Served::start(self, home.path());
            let thread = json!({ "threadId": LONG, "excludeTurns": true });
            opens.push(timed(|| served.ask("thread/resume", &thread)).0);
            let (took, fork) = timed(|| served.ask("thread/fork", &thread));
            forks.push(took);
            bytes = fs::metadata(fork["thread"]["path"].as_str().unwrap()).unwrap().len();
        }
        figures.time("  open without turns (thread/resume)", opens, None);
        figures.time("  a page of 5 turns anywhere", pages(&mut Served::start(self, home.path())), None);
        figures.time("  a fork", forks, None);
        println!("{:<44} {bytes:>9} bytes", "  bytes of a fork");
    }

    /// The list.
    pub(super) fn many(&self, figures: &mut Figures) {
        let home = Self::home();
        for number in 1..=THREADS {
            let (month, day) = (1 + number / 100 / 28 % 12, 1 + number / 100 % 28);
            let id = format!("019b76da-0000-7000-8000-{number:012x}");
            let path = place(home.path(), &id, &format!("2025/{month:02}/{day:02}"));
            fs::write(path, rollout(&id, 1, "re: a question")).unwrap();
        }
        println!("{}: the same list", self.version);
        let (first, mut served) = timed(|| Served::start(self, home.path()));
        figures.time("  index made anew from all files (a start)", vec![first], None);
        let mut page = |params: Value| served.ask("thread/list", &params);
        let pages = (0..ROUNDS).map(|_| timed(|| page(json!({ "limit": 50 }))));
        let pages = pages.map(|(took, page)| {
            assert_eq!(page["data"].as_array().unwrap().len(), 50);
            took
        });
        figures.time("  a page of 50", pages.collect(), None);
        let (all, seen) = timed(|| {
            let (mut cursor, mut seen) = (Value::Null, 0);
            loop {
                let listing = page(json!({ "limit": LIST, "cursor": cursor }));
                seen += listing["data"].as_array().unwrap().len();
                cursor = listing["nextCursor"].clone();
                if cursor.is_null() {
                    return seen;
                }
            }
        });
        assert_eq!(seen, THREADS);
        figures.time("  all of them, 100 a page", vec![all], None);
    }

    fn command(&self, home: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.env("CODEX_HOME", home).env_remove("OPENAI_API_KEY").stderr(Stdio::null()).current_dir(home);
        command
    }
}

fn fetched() -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let ready = root.join(format!("npm-{}", PACKAGE.replace(['@', '/'], "-")));
    let program = ready.join("node_modules/.bin/codex");
    if program.exists() {
        return Ok(program);
    }
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=0", "--prefix"]);
    let installed = npm.arg(&ready).arg(PACKAGE).stdin(Stdio::null()).stdout(Stdio::null()).status();
    match installed {
        Ok(status) if status.success() && program.exists() => Ok(program),
        Ok(_) => Err(format!("npm cannot fetch {PACKAGE}")),
        Err(error) => Err(format!("there is no npm: {error}")),
    }
}

/// Where a rollout lies, whose directory is made.
fn place(home: &Path, id: &str, day: &str) -> PathBuf {
    let directory = home.join("sessions").join(day);
    fs::create_dir_all(&directory).unwrap();
    directory.join(format!("rollout-{}T00-00-00-{id}.jsonl", day.replace('/', "-")))
}

/// A rollout as versions before 0.169 wrote it: what was said is in it twice, as the model's item and as an event.
fn rollout(id: &str, turns: u64, answer: &str) -> String {
    let mut text = String::new();
    let mut line = |kind: &str, payload: Value| {
        let record = json!({ "timestamp": TIME, "type": kind, "payload": payload });
        let _ = writeln!(text, "{record}");
    };
    let meta = json!({
        "id": id, "timestamp": TIME, "cwd": "/var/tmp", "originator": "bench", "cli_version": "0.125.0", "source": "vscode",
        "model_provider": "none", "base_instructions": { "text": "be" },
    });
    line("session_meta", meta);
    let said = |role: &str, kind: &str, text: &str| json!({ "type": "message", "role": role, "content": [{ "type": kind, "text": text }] });
    for number in 0..turns {
        let (turn, question) =
            (format!("019b76da-0000-7000-9000-{number:012x}"), format!("question {number}"));
        let started = json!({ "type": "task_started", "turn_id": turn, "started_at": 1_767_225_600, "model_context_window": 258_400 });
        line("event_msg", started);
        line("response_item", said("user", "input_text", &question));
        let asked = json!({ "type": "user_message", "message": question, "images": [], "local_images": [], "text_elements": [] });
        line("event_msg", asked);
        line("response_item", said("assistant", "output_text", answer));
        line("event_msg", json!({ "type": "agent_message", "message": answer }));
        let complete = json!({
            "type": "task_complete", "turn_id": turn, "last_agent_message": null, "completed_at": 1_767_225_601, "duration_ms": 1000,
        });
        line("event_msg", complete);
    }
    text
}

/// How long a page of five turns takes, at places all over the thread.
fn pages(served: &mut Served) -> Vec<Duration> {
    let (mut took, mut cursor, mut seen) = (Vec::new(), Value::Null, 0);
    while seen < TURNS {
        let params =
            |limit: u64, cursor: &Value| json!({ "threadId": LONG, "limit": limit, "cursor": cursor });
        let (time, page) = timed(|| served.ask("thread/turns/list", &params(5, &cursor)));
        assert_eq!(page["data"].as_array().unwrap().len(), 5);
        took.push(time);
        let next = served.ask("thread/turns/list", &params(STRIDE, &cursor));
        seen += next["data"].as_array().unwrap().len() as u64;
        cursor = next["nextCursor"].clone();
    }
    took
}

/// An app-server that runs, and a client of it.
struct Served {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
    next: u64,
}

impl Served {
    fn start(codex: &Codex, home: &Path) -> Self {
        let mut command = codex.command(home);
        let mut child =
            command.arg("app-server").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let asks = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut served = Self { child, asks, answers, next: 0 };
        let client = json!({ "name": "bench", "title": "bench", "version": "1" });
        served
            .ask("initialize", &json!({ "clientInfo": client, "capabilities": { "experimentalApi": true } }));
        served.say(&json!({ "method": "initialized" }));
        served
    }

    fn say(&mut self, message: &Value) {
        writeln!(self.asks, "{message}").unwrap();
    }

    /// One request, and its result.
    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.next += 1;
        self.say(&json!({ "id": self.next, "method": method, "params": params }));
        loop {
            let mut line = String::new();
            assert!(self.answers.read_line(&mut line).unwrap() > 0, "{method}: the app-server has gone");
            let mut message: Value = serde_json::from_str(&line).unwrap();
            if message["id"] == self.next && message["method"].is_null() {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].take();
            }
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
