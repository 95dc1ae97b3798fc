//! What a turn costs besides the model and the commands: in time, against a server that answers at once, with a thread that is kept; and in
//! memory, while `weir exec` and the exec-server that it has started wait for a model that does not answer.
//!
//! Prints each figure beside its aim, and beside the bare exchange with the same server. Ends with an error where an aim is missed.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops at the first surprise"
)]

#[allow(dead_code, reason = "shared with tests")]
#[path = "../tests/support/script.rs"]
mod script;
#[allow(dead_code, reason = "shared with tests")]
#[path = "../tests/support/talk.rs"]
mod talk;

#[path = "turn/memory.rs"]
mod memory;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::future::LocalBoxFuture;
use script::{Answer, Script};
use serde_json::json;
use tokio::sync::mpsc;
use weir_agent::approval::Approval;
use weir_agent::item::{Did, ToolOutcome};
use weir_agent::model::config::Surroundings;
use weir_agent::model::{Provider, Providers};
use weir_agent::thread::{Keeping, Settings, TurnId, TurnStatus};
use weir_agent::tool::{Observer, ToolSchema};
use weir_agent::turn::{Asked, Call, Conversation, Seen, Tools, Turn, WORDS, Watch};

/// Turns that are measured, after some that are not.
const TURNS: usize = 200;
const WARM: usize = 20;

/// Requests of a turn: one that calls, one that ends.
const REQUESTS: usize = 2;

/// What a turn may cost besides its model, in milliseconds.
const AIM_MS: f64 = 5.0;

/// A tool that does nothing, at once.
struct Nothing;

impl Tools for Nothing {
    fn schemas(&self) -> Vec<ToolSchema> {
        vec![ToolSchema { name: "nothing", description: "nothing", parameters: json!({ "type": "object" }) }]
    }

    fn begin(&self, _turn: TurnId) {}

    fn call<'a>(&'a self, _call: &'a Call, _observer: Observer<'a>) -> LocalBoxFuture<'a, ToolOutcome> {
        Box::pin(async { ToolOutcome { told: "done".to_owned(), did: Did::Read } })
    }

    fn interrupt(&self) {}
}

struct Blind;

impl Watch for Blind {
    fn see(&self, _: Seen<'_>) {}
}

fn event(value: &serde_json::Value) -> String {
    format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap())
}

fn answers(count: usize) -> Vec<Answer> {
    let usage = json!({ "input_tokens": 1000, "output_tokens": 50, "output_tokens_details": { "reasoning_tokens": 30 } });
    let completed =
        event(&json!({ "type": "response.completed", "response": { "id": "r", "usage": usage } }));
    let done = |item: serde_json::Value| {
        event(&json!({ "type": "response.output_item.done", "output_index": 0, "item": item }))
    };
    let both = |number: usize| {
        let call = json!({ "type": "function_call", "call_id": format!("c{number}"), "name": "nothing", "arguments": "{}" });
        let said = json!({ "type": "message", "content": [{ "type": "output_text", "text": "done" }] });
        [done(call), done(said)].map(|item| Answer::stream(format!("{item}{completed}")))
    };
    (0..count).flat_map(both).collect()
}

fn provider(url: &str) -> Box<dyn Provider> {
    let table = format!("[model_providers.x]\nbase_url = \"{url}/v1\"");
    let around = Surroundings { variable: &|_| None, home: Path::new("/") };
    Providers::read(&table.parse().unwrap()).unwrap().provider("x", &around).unwrap()
}

/// As long as the same requests take without an agent: a connection, a request as long as the last one, an answer.
fn bare(url: &str, body: &[u8]) -> Duration {
    let start = Instant::now();
    for _ in 0..REQUESTS {
        let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
        write!(stream, "POST /v1/responses HTTP/1.1\r\ncontent-length: {}\r\n\r\n", body.len()).unwrap();
        stream.write_all(body).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    }
    start.elapsed()
}

fn middle(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1000.0
}

async fn turns(provider: &dyn Provider, home: &Path) -> Vec<Duration> {
    let thread = talk::store(home).create(talk::new("/work", Keeping::Disk)).unwrap();
    let settings = Settings {
        cwd: thread.meta().cwd.clone(),
        model: "m".to_owned(),
        provider: "x".to_owned(),
        effort: None,
        approval: Approval::Never,
        digest: thread.bound().digest,
    };
    let mut conversation = Conversation::new(thread).unwrap();
    let asked =
        Asked { model: "m", instructions: "be", effort: None, output_schema: None, compact_above: None };
    let (_say, mut words) = mpsc::channel(WORDS);
    let mut times = Vec::new();
    for _ in 0..WARM + TURNS {
        let turn = Turn { provider, tools: &Nothing, watch: &Blind, asked };
        let start = Instant::now();
        let ended = turn.run(&mut conversation, settings.clone(), "go".to_owned(), &mut words).await.unwrap();
        times.push(start.elapsed());
        assert_eq!(ended.status, TurnStatus::Completed);
    }
    times.split_off(WARM)
}

fn main() {
    let home = tempfile::tempdir().unwrap();
    let script = Script::new(answers(WARM + TURNS));
    let provider = provider(&script.url);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let times = runtime.block_on(turns(provider.as_ref(), home.path()));
    let body = script.asked().pop().unwrap().body;
    let server = Script::new(answers(TURNS));
    let alone = (0..TURNS).map(|_| bare(&server.url, &body)).collect();
    let (whole, alone) = (middle(times), middle(alone));
    let over = whole - alone;
    println!("a turn of {REQUESTS} requests, kept and synced        {whole:>8.2} ms");
    println!("the same requests without an agent          {alone:>8.2} ms");
    println!("what the agent adds                         {over:>8.2} ms  aim {AIM_MS} ms");
    let is_small = memory::measure();
    assert!(over < AIM_MS && is_small, "an aim is missed");
}
