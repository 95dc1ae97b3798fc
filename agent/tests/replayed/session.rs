//! A place, a model that answers as it is told, and `weir exec` between them.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::daemon::Daemon;
use super::place::{Place, text, weir};

/// What holds where nothing else is said: the project can be written, and nothing else; the tests' own places lie in the shared
/// temporary directory.
pub(crate) const CONFINED: &str = "default_permissions = \"confined\"\n[permissions.confined]\nextends = \":workspace\"\n\
                        [permissions.confined.filesystem]\n\":slash_tmp\" = \"read\"\n";

/// What a model says in one answer, and what it is told before: lines of a recording.
pub(crate) fn says(words: &str) -> Value {
    json!({ "type": "item", "item": { "type": "agent_message", "text": words } })
}

pub(crate) fn calls(id: &str, tool: &str, arguments: &Value) -> Value {
    let item = json!({ "type": "tool_call", "call": id, "tool": tool, "arguments": arguments.to_string() });
    json!({ "type": "item", "item": item })
}

pub(crate) fn runs(id: &str, script: &str) -> Value {
    calls(id, "exec_command", &json!({ "cmd": script, "yield_time_ms": 600_000 }))
}

pub(crate) fn costs(input: u64, output: u64) -> Value {
    json!({ "type": "usage", "usage": { "input": input, "output": output, "reasoning_output": 1 } })
}

pub(crate) fn done() -> Value {
    json!({ "type": "done" })
}

pub(crate) fn is_told(part: &str) -> Value {
    json!({ "type": "expect", "contains": part })
}

/// What follows is of the helper with this task.
pub(crate) fn helper(asked: &str) -> Value {
    json!({ "type": "thread", "asked": asked })
}

/// A place with a recorded model in it.
pub(crate) struct Session {
    pub(crate) place: Place,
    pub(crate) daemon: Option<Daemon>,
}

impl Session {
    /// One whose commands have a server of their own. None, and a skip, where this host can confine nothing.
    pub(crate) fn new(test: &str) -> Option<Self> {
        let place = Place::confining(test)?;
        let session = Self { place, daemon: None };
        session.configure("");
        Some(session)
    }

    /// One whose commands run at a server that goes on.
    pub(crate) fn served(test: &str) -> Option<Self> {
        let mut session = Self::new(test)?;
        session.daemon = Some(Daemon::start(session.place.dir.path()));
        Some(session)
    }

    /// The configuration, with more in it.
    pub(crate) fn configure(&self, more: &str) {
        let text = "model = \"recorded\"\nmodel_provider = \"replay\"\n";
        let replay = "[model_providers.replay]\nfile = \"session.jsonl\"\n";
        self.place.write("home/.weir/config.toml", &format!("{text}{more}\n{replay}"));
    }

    pub(crate) fn record(&self, lines: &[Value]) {
        let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
        self.place.write("home/.weir/session.jsonl", &lines);
    }

    /// A named pipe in the project, open in both directions here: no open of it waits.
    pub(crate) fn pipe(&self, name: &str) -> std::fs::File {
        let path = self.project(name);
        let made = Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        std::fs::File::options().read(true).write(true).open(path).unwrap()
    }

    pub(crate) fn project(&self, name: &str) -> PathBuf {
        self.place.path(&format!("project/{name}")).into()
    }

    pub(crate) fn weir(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.command(weir().to_str().unwrap());
        if let Some(daemon) = &self.daemon {
            command.env("WEIR_SERVER", daemon.path());
        }
        command.args(arguments).stdin(Stdio::null());
        command
    }

    pub(crate) fn exec(&self, arguments: &[&str]) -> Output {
        self.weir(&[&["exec"], arguments].concat()).output().unwrap()
    }

    /// Events of a run, which must be complete.
    pub(crate) fn events(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.exec(&[&["--json"], arguments].concat());
        let events = read(&output.stdout);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{events:#?}\n{told}");
        assert!(!told.contains("os error"), "nobody complains at the end: {told}");
        events
    }

    /// What `weir threads` answers.
    pub(crate) fn threads(&self, arguments: &[&str]) -> Value {
        let output = self.weir(&[&["threads"], arguments, &["--json"]].concat()).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)))
    }

    /// Every record of a thread.
    pub(crate) fn records(&self, thread: &str) -> Vec<Value> {
        let path = self.threads(&["show", thread])["path"].as_str().unwrap().to_owned();
        read(&std::fs::read(path).unwrap())
    }

    /// The digest of the policy that binds a thread, as its last record of that says.
    pub(crate) fn digest(&self, thread: &str) -> String {
        let records = self.records(thread);
        let bound = records.iter().rev().find(|record| record["type"] == "bound").unwrap();
        bound["payload"]["digest"].as_str().unwrap().to_owned()
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.weir(&[&["exec", "--json"], arguments].concat());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Running { child, lines: Box::new(lines.map_while(Result::ok)) }
    }
}

pub(crate) fn read(lines: &[u8]) -> Vec<Value> {
    let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
    text(lines).lines().map(line).collect()
}

/// Items of a type that are complete.
pub(crate) fn completed<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    let found =
        events.iter().filter(|event| event["type"] == "item.completed" && event["item"]["type"] == kind);
    found.map(|event| &event["item"]).collect()
}

/// A run that goes on.
pub(crate) struct Running {
    pub(crate) child: Child,
    lines: Box<dyn Iterator<Item = String>>,
}

impl Running {
    /// The next event; none when there are no more.
    pub(crate) fn next(&mut self) -> Option<Value> {
        self.lines.next().map(|line| serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}")))
    }

    /// Waits for an event.
    pub(crate) fn until(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let event = self.next().unwrap_or_else(|| panic!("it did not come"));
            if is_it(&event) {
                return event;
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The rest of its events, and how it ended.
    pub(crate) fn end(mut self) -> (Vec<Value>, std::process::ExitStatus) {
        let mut events = Vec::new();
        while let Some(event) = self.next() {
            events.push(event);
        }
        (events, self.child.wait().unwrap())
    }
}
