//! Calls that were under way when their agent went without a word: what they came to is found out when the thread goes on.
//!
//! What a command had written until then is in the file that is kept of it. Where it was to stay, and the server still has it, it
//! is taken over and read from its first byte; where not, it was ended with its agent, and that is told.

use std::fs;
use std::path::Path;
use std::rc::Rc;

use serde::Deserialize;
use tokio::sync::Mutex;
use weir_protocol::method::output::{Listed, WhenLeft};
use weir_protocol::method::process::{End, ProcessId};
use weir_protocol::policy::Digest;

use super::capture::{CallOf, Capture, Kept};
use super::job::{Job, TAIL_BYTES};
use super::{Tools, command};
use crate::item::{CallId, CommandStatus, Did, ToolOutcome};
use crate::thread::TurnId;

/// What is told of a call of which nothing is known.
const UNKNOWN: &str =
    "The agent was ended while this was under way: whether it was carried out is not known.";

/// The part of a command's call that says what was run.
#[derive(Deserialize)]
struct Ran {
    cmd: String,
}

impl Tools {
    /// What a call came to that has no result.
    pub async fn left(&self, turn: TurnId, call: &CallId, tool: &str, arguments: &str) -> ToolOutcome {
        let Ok(Ran { cmd }) = serde_json::from_str(arguments) else { return ToolOutcome::failed(UNKNOWN) };
        let Some(outputs) = self.place.outputs.as_deref().filter(|_| tool == command::RUN) else {
            return ToolOutcome::failed(UNKNOWN);
        };
        let argv = self.argv(&cmd);
        match Kept::find(outputs, CallOf { turn: Some(turn), call }) {
            Ok(None) => {
                ToolOutcome::failed("The agent was ended before this was begun, or in that very moment.")
            }
            Err(error) => ToolOutcome::failed(format!("{UNKNOWN} What it wrote cannot be found: {error}")),
            Ok(Some((process, path))) => match self.take_over(process, &argv, &path).await {
                Some(outcome) => outcome,
                None => ended(process, argv, &path),
            },
        }
    }

    /// A command that stayed, as a job of these tools; none where the server has it no more.
    async fn take_over(&self, process: ProcessId, argv: &[String], path: &Path) -> Option<ToolOutcome> {
        let executor = &self.place.executor;
        let is_it = |listed: &Listed| {
            let words = listed.argv.iter().map(|word| word.0.as_slice());
            let is_same = match listed.whole_argv {
                // The list has not all of them.
                Some(whole) => whole == Digest::of_words(argv),
                None => words.eq(argv.iter().map(String::as_bytes)),
            };
            listed.id == process && listed.when_left == WhenLeft::Stay && is_same
        };
        let listed = executor.list().await.ok()?.into_iter().find(is_it)?;
        let running = executor.attach(process).await.ok()?;
        // All of it comes again.
        let kept = Kept::anew(path.to_owned()).map(Some);
        let kept = kept.map_err(|error| format!("what it wrote is not kept: {error}"));
        let mut job = Job::new(running, argv.to_vec(), kept);
        job.look(command::budget(None));
        job.catch_up(&listed).await.ok()?;
        Some(self.put_back(Rc::new(Mutex::new(job))).await)
    }
}

/// What there is of a command that ended with its agent.
fn ended(process: ProcessId, argv: Vec<String>, path: &Path) -> ToolOutcome {
    let (bytes, tail) = match tail(path) {
        Ok(found) => found,
        Err(error) => return ToolOutcome::failed(format!("{UNKNOWN} What it wrote cannot be read: {error}")),
    };
    let told = format!(
        "The agent was ended while this ran, and the command with it. What it had written until then, {bytes} bytes, is in {}; \
         anything that it wrote after that is lost.\n{tail}",
        path.display()
    );
    let did = Did::Command {
        process: Some(process),
        argv,
        status: CommandStatus::Ended { end: End::Cancelled },
        output_tail: tail,
        streams: Vec::new(),
        denials: Vec::new(),
    };
    ToolOutcome { told, did }
}

/// How long a file is, and its end as text.
fn tail(path: &Path) -> std::io::Result<(u64, String)> {
    let mut file = fs::File::open(path)?;
    let mut capture = Capture::new(TAIL_BYTES);
    let bytes = std::io::copy(&mut file, &mut capture)?;
    Ok((bytes, capture.text()))
}
