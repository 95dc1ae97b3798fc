//! What `weir exec` is told holds: options as the file, a thread's own policy and model, and nothing is dropped in silence.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "exec_said/bound.rs"]
mod bound;
#[path = "exec_said/options.rs"]
mod options;
#[allow(dead_code, reason = "shared with the tests of the command line")]
#[path = "support/place.rs"]
mod place;
#[allow(dead_code, reason = "shared with benchmarks")]
#[path = "support/script.rs"]
mod script;

use std::path::PathBuf;
use std::process::Output;

use place::{Place, text};
use script::{Answer, Script};
use serde_json::{Value, json};

/// A place whose model runs one command in each turn, and says a word.
pub(crate) struct Session {
    pub(crate) place: Place,
    pub(crate) script: Script,
}

/// Turns that a model answers at most.
const TURNS: usize = 16;

fn answer(item: &Value) -> Answer {
    let usage = json!({ "input_tokens": 10, "output_tokens": 5 });
    let done = json!({ "type": "response.output_item.done", "output_index": 0, "item": item });
    let completed = json!({ "type": "response.completed", "response": { "id": "r", "usage": usage } });
    Answer::stream(format!("data: {done}\n\ndata: {completed}\n\n"))
}

impl Session {
    /// With more lines at the beginning of `config.toml`.
    pub(crate) fn new(test: &str, command: &str, config: &str) -> Option<Self> {
        let place = Place::confining(test)?;
        let call = json!({ "type": "function_call", "call_id": "c1", "name": "exec_command",
            "arguments": json!({ "cmd": command }).to_string() });
        let said = json!({ "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": "Done." }] });
        let turn = [answer(&call), answer(&said)];
        let script = Script::new(turn.iter().cycle().take(2 * TURNS).cloned().collect());
        let session = Self { place, script };
        session.configure(config);
        Some(session)
    }

    pub(crate) fn configure(&self, config: &str) {
        let table = format!(
            "model_provider = \"x\"\n{config}\n[model_providers.x]\nbase_url = \"{}/v1\"\nrequest_max_retries = 0\n",
            self.script.url
        );
        self.place.write("home/.weir/config.toml", &table);
    }

    pub(crate) fn exec(&self, arguments: &[&str]) -> Output {
        self.place.run(&[&["exec"], arguments].concat())
    }

    /// The exit code, and what was told.
    pub(crate) fn told(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.exec(arguments);
        (output.status.code(), text(&output.stderr))
    }

    /// A file of the project's.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.place.dir.path().join("project").join(name)
    }

    /// Whether a command has made this file, which is taken away.
    pub(crate) fn took(&self, name: &str) -> bool {
        std::fs::remove_file(self.file(name)).is_ok()
    }

    /// The last thread.
    pub(crate) fn thread(&self) -> String {
        let listed = self.place.run(&["threads", "list", "--json", "--limit", "1"]);
        let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
        listed["threads"][0]["thread"].as_str().unwrap().to_owned()
    }
}
