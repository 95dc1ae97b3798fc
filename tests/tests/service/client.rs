//! A client of the server: frames and JSON by hand, so that nothing of Weir's own client is presumed.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use weir_protocol::frame::{self, Credit, Deframer, Frame, Stream};

/// Longer than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Came {
    Control(Value),
    Data(u64, Stream, Vec<u8>),
    Credit(Credit),
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) socket: UnixStream,
    deframer: Deframer,
    next: u64,
    /// What came while an answer was waited for.
    pub(crate) meanwhile: Vec<Came>,
}

/// Everything about a command that has closed.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) output: Vec<u8>,
    pub(crate) error: Vec<u8>,
    pub(crate) exited: Value,
    pub(crate) closed: Value,
}

impl Client {
    pub(crate) fn new(socket: UnixStream) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, deframer: Deframer::default(), next: 1, meanwhile: Vec::new() }
    }

    /// A connection that has said hello.
    pub(crate) fn greeted(socket: UnixStream) -> Self {
        let mut client = Self::new(socket);
        client.ask("server/hello", &json!({"versions": [1], "client": "test"})).unwrap();
        client
    }

    /// The next thing; nothing when the server has closed the connection.
    pub(crate) fn next(&mut self) -> Option<Came> {
        loop {
            match self.deframer.take().unwrap() {
                Some(Frame::Control(payload)) => {
                    return Some(Came::Control(serde_json::from_slice(payload).unwrap()));
                }
                Some(Frame::Data(place, bytes)) => {
                    return Some(Came::Data(place.id, place.stream, bytes.to_vec()));
                }
                Some(Frame::Credit(credit)) => return Some(Came::Credit(credit)),
                None => {}
            }
            match self.deframer.fill(65_536, |room| self.socket.read(room)) {
                Ok(0) => return None,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                read => _ = read.unwrap(),
            }
        }
    }

    pub(crate) fn send(&mut self, method: &str, params: &Value) -> u64 {
        let id = self.next;
        self.next += 1;
        let request = match params {
            Value::Null => json!({"jsonrpc": "2.0", "id": id, "method": method}),
            params => json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}),
        };
        self.socket.write_all(&frame::control(&serde_json::to_vec(&request).unwrap()).unwrap()).unwrap();
        id
    }

    /// The answer to a request; an error is its code and the whole of it.
    pub(crate) fn answer(&mut self, id: u64) -> Result<Value, (i64, Value)> {
        loop {
            let came = self.next().unwrap_or_else(|| panic!("the connection ended: {:?}", self.meanwhile));
            match &came {
                Came::Control(value)
                    if value["id"] == id || value.get("error").is_some() && value["id"].is_null() =>
                {
                    return match value.get("error") {
                        None => Ok(value["result"].clone()),
                        Some(error) => Err((error["code"].as_i64().unwrap(), error.clone())),
                    };
                }
                _ => self.meanwhile.push(came),
            }
        }
    }

    pub(crate) fn ask(&mut self, method: &str, params: &Value) -> Result<Value, (i64, Value)> {
        let id = self.send(method, params);
        self.answer(id)
    }

    /// Everything up to the last word about a command.
    pub(crate) fn outcome(&mut self, id: u64) -> Outcome {
        let mut found =
            Outcome { output: Vec::new(), error: Vec::new(), exited: Value::Null, closed: Value::Null };
        let mut earlier = std::mem::take(&mut self.meanwhile).into_iter();
        loop {
            let came = earlier.next().or_else(|| self.next());
            match came.unwrap_or_else(|| panic!("the connection ended: {found:?}")) {
                Came::Data(of, Stream::Output, bytes) if of == id => found.output.extend(bytes),
                Came::Data(of, Stream::Error, bytes) if of == id => found.error.extend(bytes),
                Came::Control(value)
                    if value["params"]["id"] == id && value["method"] == "process/exited" =>
                {
                    found.exited = value["params"].clone();
                }
                Came::Control(value)
                    if value["params"]["id"] == id && value["method"] == "process/closed" =>
                {
                    found.closed = value["params"].clone();
                    return found;
                }
                _ => {}
            }
        }
    }

    /// Runs a command to its end.
    pub(crate) fn run(&mut self, start: &Value) -> Outcome {
        let started = self.ask("process/start", start).unwrap();
        self.outcome(started["id"].as_u64().unwrap())
    }
}

/// Parameters of a start: `home` is the world of the caller, with `home`, `weir` and `work` in it.
pub(crate) fn start(world: &Path, argv: &[&str]) -> Value {
    json!({
        "choice": {"standpoint": standpoint(world)},
        "argv": argv,
        "env": [["PATH", weir_tests::sandbox::PATH]],
        "stdio": {"kind": "pipes", "input": false},
        "output": {"credit": 1 << 20},
    })
}

pub(crate) fn standpoint(world: &Path) -> Value {
    json!({"cwd": world.join("work"), "home": world.join("home"), "weir_home": world.join("weir")})
}
