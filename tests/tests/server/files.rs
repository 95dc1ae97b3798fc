//! Calls on files: what each does, what each may not, and what becomes of the worker.

mod bounds;
mod deny;
mod late;
mod verdicts;
mod work;
mod worker;

use serde_json::{Value, json};
use weir_protocol::frame::Stream;
use weir_tests::sandbox::World;

use super::peer::{Client, Heard, Server, choice};

/// Codes of the protocol.
const NO_CONTEXT: i64 = -32028;
const DENIED: i64 = -32040;
const MISSING: i64 = -32041;
const EXISTS: i64 = -32042;
const IS_DIRECTORY: i64 = -32043;
const NOT_DIRECTORY: i64 = -32044;
const NOT_EMPTY: i64 = -32045;
const TOO_LARGE: i64 = -32046;
const SPECIAL: i64 = -32047;
const MISMATCH: i64 = -32048;
const PATTERN: i64 = -32049;

/// A client with a context in a world.
struct Files<'w> {
    world: &'w World,
    client: Client,
    context: Value,
}

impl<'w> Files<'w> {
    /// Opens a context under the profile in force.
    fn open(world: &'w World, server: &Server) -> Self {
        let mut client = server.client();
        let opened = client.ask("context/open", json!({ "choice": choice(world) }));
        let context = opened["result"]["id"].clone();
        assert!(context.is_u64(), "{opened}");
        Self { world, client, context }
    }

    /// Parameters: `{w}` in any text is the world.
    fn params(&self, file: &Value) -> Value {
        let file: Value = serde_json::from_str(&self.world.expand(&file.to_string())).unwrap();
        let standpoint = choice(self.world)["standpoint"].clone();
        json!({ "under": { "context": self.context }, "standpoint": standpoint, "file": file })
    }

    /// The whole answer, and the content that came before it.
    fn ask(&mut self, method: &str, file: &Value) -> (Value, Vec<u8>) {
        let params = self.params(file);
        let id = self.client.call(method, params);
        let mut content = Vec::new();
        loop {
            match self.client.hear() {
                Heard::Data(place, bytes) => {
                    let expected = (id, Stream::Content, content.len() as u64);
                    assert_eq!((place.id, place.stream, place.offset), expected);
                    content.extend(bytes);
                }
                Heard::Message(message) if message["id"] == id => return (message, content),
                heard => panic!("{heard:?} before the answer to {method}"),
            }
        }
    }

    /// The result of a call that must succeed.
    fn done(&mut self, method: &str, file: Value) -> Value {
        let (answer, _) = self.ask(method, &file);
        assert!(answer["error"].is_null(), "{method} {file}: {answer}");
        answer["result"].clone()
    }

    /// The code and the message of a call that must fail.
    fn refused(&mut self, method: &str, file: Value) -> (i64, String) {
        let (answer, content) = self.ask(method, &file);
        assert!(content.is_empty(), "{method} {file}: content of a call that failed");
        let code = answer["error"]["code"].as_i64();
        let code = code.unwrap_or_else(|| panic!("{method} {file}: {answer}"));
        (code, answer["error"]["message"].as_str().unwrap().to_owned())
    }

    /// The bytes of a file.
    fn read(&mut self, path: &str) -> Vec<u8> {
        let (answer, content) = self.ask("file/read", &json!({ "path": path }));
        assert!(answer["error"].is_null(), "{path}: {answer}");
        content
    }

    /// The numbers of the workers' processes on this machine that have this world's server as an ancestor.
    fn workers(&self, server: &Server) -> Vec<i32> {
        server.descendants().into_iter().filter(|pid| is_worker(*pid)).collect()
    }
}

/// A worker has a pipe as standard input and output, and nothing else open but standard error.
fn is_worker(pid: i32) -> bool {
    let descriptor = |number: &str| std::fs::read_link(format!("/proc/{pid}/fd/{number}"));
    let is_pipe = |number| descriptor(number).is_ok_and(|link| link.to_string_lossy().starts_with("pipe:"));
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    is_pipe("0") && is_pipe("1") && open == 3
}
