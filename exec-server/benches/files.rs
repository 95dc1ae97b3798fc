//! How many calls on files a worker carries out in a second, beside a command for each: both through one connection to a server.
//!
//! Every variant reads the same small file under the same context; the last one writes it. With an argument that cargo does not pass on by
//! itself, `--seconds N` for each variant.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a program for people, whose answer is its output"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_protocol::frame::{self, Deframer, Frame};

/// Seconds for each variant, where nothing else is asked for.
const SECONDS: u64 = 3;

/// Bytes of the file that is read.
const FILE_BYTES: usize = 4096;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let asked = arguments.iter().position(|word| word == "--seconds");
    let seconds = asked.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(SECONDS);
    let place = tempfile::tempdir_in("/var/tmp").unwrap();
    let mut server = Server::start(place.path());
    let mut client = Client::connect(&server.socket, place.path());
    let file = place.path().join("work/file");
    let command = client.rate(seconds, |client| client.command(&["cat", file.to_str().unwrap()]));
    let show = |name: &str, rate: f64| {
        println!("{name:44} {rate:9.0} calls/s   {:6.1} × a command for each", rate / command);
    };
    show("a command for each (`cat`)", command);
    let variants = [
        ("file/read", json!({ "path": file })),
        ("file/stat", json!({ "path": file })),
        ("file/list, 100 entries", json!({ "path": place.path().join("work/many") })),
        ("file/search, 100 files", json!({ "root": place.path().join("work/many"), "pattern": "content" })),
        ("file/write", json!({ "path": file, "content": "x".repeat(FILE_BYTES), "writing": "replace" })),
    ];
    for (name, ask) in variants {
        let method = name.split(',').next().unwrap();
        let rate = client.rate(seconds, |client| client.file(method, &ask));
        show(name, rate);
    }
    let _ = server.child.kill();
    let _ = server.child.wait();
}

struct Server {
    child: Child,
    socket: PathBuf,
}

impl Server {
    fn start(place: &Path) -> Self {
        for name in ["work/many", "weir", "home"] {
            std::fs::create_dir_all(place.join(name)).unwrap();
        }
        std::fs::write(place.join("work/file"), "x".repeat(FILE_BYTES)).unwrap();
        for number in 0..100 {
            std::fs::write(place.join(format!("work/many/{number}")), "some content\n").unwrap();
        }
        let profile = format!(
            "default_permissions = \"bench\"\n[permissions.bench.filesystem]\n\"{}\" = \"write\"\n",
            place.join("work").display()
        );
        std::fs::write(place.join("weir/config.toml"), profile).unwrap();
        let socket = place.join("server.sock");
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir-exec-server"));
        command.arg("--listen").arg(&socket).arg("--state").arg(place.join("state"));
        if rustix::process::geteuid().is_root() {
            command.args(["--server-user", "nobody"]);
        }
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        log.read_line(&mut String::new()).unwrap();
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::stderr()));
        Self { child, socket }
    }
}

struct Client {
    socket: UnixStream,
    deframer: Deframer,
    next: u64,
    choice: Value,
    context: Value,
}

impl Client {
    fn connect(socket: &Path, place: &Path) -> Self {
        let at = |name: &str| place.join(name);
        let standpoint = json!({ "cwd": at("work"), "home": at("home"), "weir_home": at("weir") });
        let choice = json!({ "standpoint": standpoint });
        let socket = UnixStream::connect(socket).unwrap();
        let mut client =
            Self { socket, deframer: Deframer::default(), next: 0, choice, context: Value::Null };
        client.ask("server/hello", &json!({ "versions": [1], "client": "bench" }));
        let choice = json!({ "choice": client.choice });
        client.context = client.ask("context/open", &choice)["result"]["id"].clone();
        client
    }

    /// Calls in a second, after one that starts what is needed.
    fn rate(&mut self, seconds: u64, mut act: impl FnMut(&mut Self)) -> f64 {
        act(self);
        let (begun, mut count) = (Instant::now(), 0_u32);
        while begun.elapsed() < Duration::from_secs(seconds) {
            act(self);
            count += 1;
        }
        f64::from(count) / begun.elapsed().as_secs_f64()
    }

    fn file(&mut self, method: &str, file: &Value) {
        let standpoint = &self.choice["standpoint"];
        let params = json!({ "under": { "context": self.context }, "standpoint": standpoint, "file": file });
        self.ask(method, &params);
    }

    fn command(&mut self, argv: &[&str]) {
        let params = json!({
            "choice": self.choice,
            "argv": argv,
            "env": [["PATH", "/usr/bin:/bin"]],
            "stdio": { "kind": "pipes", "input": false },
            "output": { "credit": 1 << 20 },
            "under": { "context": self.context },
        });
        self.ask("process/start", &params);
        while self.message()["method"] != "process/closed" {}
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.next += 1;
        let call = json!({ "jsonrpc": "2.0", "id": self.next, "method": method, "params": params });
        self.socket.write_all(&frame::control(call.to_string().as_bytes()).unwrap()).unwrap();
        loop {
            let message = self.message();
            if message["id"] == self.next {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message;
            }
        }
    }

    fn message(&mut self) -> Value {
        loop {
            match self.deframer.take().unwrap() {
                Some(Frame::Control(payload)) => return serde_json::from_slice(payload).unwrap(),
                Some(_) => {}
                None => {
                    let count = self.deframer.fill(64 << 10, |room| self.socket.read(room)).unwrap();
                    assert!(count > 0, "the server has gone");
                }
            }
        }
    }
}
