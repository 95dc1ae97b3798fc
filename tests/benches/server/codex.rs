//! The exec-server of Codex, over its WebSocket dialect, and a client of it.
//!
//! Two dialects: up to 0.125 paths are plain, later ones are `file://` URIs.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Message, WebSocket};

use super::{Subject, Through, UNDER_WAY};

/// A server, and a connection to it.
pub(super) struct Codex {
    child: Child,
    socket: WebSocket<MaybeTlsStream<TcpStream>>,
    version: String,
    cwd: String,
    next: u64,
    started: BTreeSet<String>,
    /// Removed with the value.
    _home: tempfile::TempDir,
}

impl Codex {
    /// Starts this program's server on a port of its choice.
    pub(super) fn start(program: &Path) -> Self {
        let home = tempfile::tempdir_in("/var/tmp").unwrap();
        let version = Command::new(program).arg("--version").output().unwrap().stdout;
        let version = String::from_utf8(version).unwrap();
        let version = version.split_whitespace().last().unwrap().to_owned();
        let mut command = Command::new(program);
        command.args(["exec-server", "--listen", "ws://127.0.0.1:0"]).env("CODEX_HOME", home.path());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (socket, _) = tungstenite::connect(line.trim()).unwrap();
        let minor: u64 = version.split('.').nth(1).unwrap().parse().unwrap();
        let scheme = if minor > 125 { "file://" } else { "" };
        let cwd = format!("{scheme}{}", home.path().display());
        let mut codex = Self { child, socket, version, cwd, next: 0, started: BTreeSet::new(), _home: home };
        let id = codex.call("initialize", &json!({ "clientName": "bench" }));
        while codex.hear()["id"] != id {}
        codex.send(&json!({ "method": "initialized", "params": {} }));
        codex
    }

    fn send(&mut self, message: &Value) {
        self.socket.send(Message::text(message.to_string())).unwrap();
    }

    fn call(&mut self, method: &str, params: &Value) -> u64 {
        self.next += 1;
        self.send(&json!({ "id": self.next, "method": method, "params": params }));
        self.next
    }

    fn hear(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.socket.read().unwrap() {
                let message: Value = serde_json::from_str(&text).unwrap();
                assert!(message["error"].is_null(), "{message}");
                return message;
            }
        }
    }

    /// Asks for a command; its name.
    fn begin(&mut self, argv: &[&str], through: Through) -> (u64, String) {
        let name = format!("p{}", self.next);
        let start = json!({
            "processId": name, "argv": argv, "cwd": self.cwd, "env": { "PATH": "/usr/bin:/bin" },
            "tty": through == Through::Terminal, "arg0": null,
        });
        (self.call("process/start", &start), name)
    }
}

/// Bytes that these base64 digits stand for.
fn decoded(chunk: &str) -> usize {
    chunk.len() / 4 * 3 - chunk.bytes().rev().take_while(|byte| *byte == b'=').count()
}

impl Subject for Codex {
    fn name(&self) -> String {
        format!("codex {}, no sandbox", self.version)
    }

    fn run(&mut self, argv: &[&str], through: Through) -> usize {
        let (_, name) = self.begin(argv, through);
        let mut count = 0;
        loop {
            let message = self.hear();
            if message["params"]["processId"] != name {
                continue;
            }
            match message["method"].as_str() {
                Some("process/output") => count += decoded(message["params"]["chunk"].as_str().unwrap()),
                Some("process/closed") => return count,
                _ => {}
            }
        }
    }

    fn start_all(&mut self, argv: &[&str], count: usize) {
        let mut calls = BTreeSet::new();
        while self.started.len() < count || !calls.is_empty() {
            while self.started.len() < count && calls.len() < UNDER_WAY {
                let (call, name) = self.begin(argv, Through::Pipes);
                calls.insert(call);
                self.started.insert(name);
            }
            let message = self.hear();
            calls.remove(&message["id"].as_u64().unwrap_or(0));
        }
    }

    fn end_all(&mut self) {
        let mut ending = BTreeSet::new();
        while !ending.is_empty() || !self.started.is_empty() {
            while ending.len() < UNDER_WAY
                && let Some(name) = self.started.pop_first()
            {
                self.call("process/terminate", &json!({ "processId": name }));
                ending.insert(name);
            }
            let message = self.hear();
            if message["method"] == "process/closed" {
                ending.remove(message["params"]["processId"].as_str().unwrap());
            }
        }
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }
}

impl Drop for Codex {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
