//! Running commands, and speaking to those that run.

use std::rc::Rc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::Mutex;
use weir_protocol::ByteString;
use weir_protocol::method::policy::{Choice, Standpoint};
use weir_protocol::method::process::{ProcessId, Receivers, Start, Stdio};

use super::capture::{CallOf, Kept};
use super::job::Job;
use super::{GIVEN_UP, Interruption, Observer, Progress, ToolSchema, Tools, arguments, told};
use crate::approval::Refusal;
use crate::executor::ExecutorError;
use crate::item::{CallId, CommandStatus, Did, ToolOutcome};
use crate::link::Happened;

/// Names of the tools.
pub(super) const RUN: &str = "exec_command";
pub(super) const WRITE: &str = "write_stdin";

/// How long a command is waited for where the model does not say, in milliseconds.
const YIELD_MS: u64 = 10_000;

/// The longest that a call waits, in milliseconds.
const MAX_YIELD_MS: u64 = 600_000;

/// Tokens of output that are told where the model does not say.
const OUTPUT_TOKENS: u64 = 10_000;

/// The most tokens of output that are told.
const MAX_OUTPUT_TOKENS: u64 = 50_000;

/// Bytes of a token, about.
const TOKEN_BYTES: u64 = 4;

/// Most commands that are left running at once.
const MAX_LEFT: usize = 64;

/// Rows and columns of a terminal.
const SIZE: [u16; 2] = [24, 120];

/// Milliseconds that a command has to end by itself when it is told to.
const GRACE_MS: u64 = 2_000;

/// SIGINT (signal(7)).
const INTERRUPT: i32 = 2;

/// Run a command.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Run {
    /// A script for the shell.
    cmd: String,
    /// Where it runs; relative to the working directory.
    #[serde(default)]
    workdir: Option<String>,
    /// Whether it gets a terminal, to which write_stdin can write.
    #[serde(default)]
    tty: bool,
    /// Whether its standard input is kept open for write_stdin; it is empty otherwise.
    #[serde(default)]
    stdin: bool,
    /// Milliseconds to wait for its end; it goes on after them.
    #[serde(default)]
    yield_time_ms: Option<u64>,
    /// Most tokens of its output that come back.
    #[serde(default)]
    max_output_tokens: Option<u64>,
    /// Milliseconds after which it is ended.
    #[serde(default)]
    timeout_ms: Option<u64>,
}

/// Speak to a command that runs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Write {
    /// Number of the process.
    session_id: ProcessId,
    /// What is written to its standard input; nothing: only look.
    #[serde(default)]
    chars: String,
    /// Whether its standard input ends behind that.
    #[serde(default)]
    close: bool,
    /// What else becomes of it.
    #[serde(default)]
    signal: Option<Told>,
    /// Milliseconds to wait for its end.
    #[serde(default)]
    yield_time_ms: Option<u64>,
    /// Most tokens of its output that come back.
    #[serde(default)]
    max_output_tokens: Option<u64>,
}

/// What a command is told.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Told {
    /// Ctrl-C.
    Interrupt,
    /// To end, and all that it started.
    End,
}

pub(super) fn schemas() -> Vec<ToolSchema> {
    vec![
        ToolSchema {
            name: RUN,
            description: "Runs a shell command under the thread's permission profile and returns what it wrote, how it ended and what it was \
                          refused. A command that takes longer than yield_time_ms goes on; write_stdin speaks to it.",
            parameters: arguments::schema::<Run>(),
        },
        ToolSchema {
            name: WRITE,
            description: "Writes to a command that is still running, looks at what it has written since, or ends it.",
            parameters: arguments::schema::<Write>(),
        },
    ]
}

fn patience(asked: Option<u64>) -> Duration {
    Duration::from_millis(asked.unwrap_or(YIELD_MS).min(MAX_YIELD_MS))
}

pub(super) fn budget(asked: Option<u64>) -> usize {
    let tokens = asked.unwrap_or(OUTPUT_TOKENS).clamp(1, MAX_OUTPUT_TOKENS);
    usize::try_from(tokens * TOKEN_BYTES).unwrap_or(usize::MAX)
}

impl Tools {
    pub(super) async fn run(
        &self,
        call: &CallId,
        text: &str,
        observer: Observer<'_>,
        mut interruption: Interruption<'_, '_>,
    ) -> Result<ToolOutcome, String> {
        let run: Run = arguments::read(RUN, text)?;
        if self.jobs.borrow().len() >= MAX_LEFT {
            return Err(format!("{MAX_LEFT} commands are running; end one with `{WRITE}` first"));
        }
        let argv = self.argv(&run.cmd);
        let standpoint = self.standing(&run)?;
        let cwd = standpoint.cwd.to_string();
        let allowed = tokio::select! {
            biased;
            allowed = self.place.gate.command(&argv, &cwd) => allowed,
            () = interruption.as_mut() => return Err(GIVEN_UP.to_owned()),
        };
        match allowed {
            Ok(()) => {}
            Err(Refusal::Told(reason)) => return Ok(declined(argv, reason)),
            Err(Refusal::Cancelled) => return Ok(declined(argv, "the person ended the turn".to_owned())),
        }
        let start = self.start(&run, standpoint, &argv);
        let running = match self.place.executor.start(start).await {
            Ok(running) => running,
            Err(error) => return Ok(not_started(argv, &error)),
        };
        // First: by the file a thread whose agent is killed finds the command again, which is not to be later than anybody hears of it.
        let kept = self.keep(call, running.id());
        observer(Progress::Started { process: running.id(), argv: &argv });
        let mut job = Job::new(running, argv, kept);
        job.look(budget(run.max_output_tokens));
        if let Err(error) = job.follow(patience(run.yield_time_ms), observer, interruption).await {
            job.fails(&error);
        }
        Ok(self.put_back(Rc::new(Mutex::new(job))).await)
    }

    /// The words of a command that is given to the shell.
    pub(super) fn argv(&self, script: &str) -> Vec<String> {
        let [shell, option] = self.place.shell;
        vec![shell.to_owned(), option.to_owned(), script.to_owned()]
    }

    /// Where a command stands.
    fn standing(&self, run: &Run) -> Result<Standpoint, String> {
        let base = &self.place.standpoint;
        let cwd = match &run.workdir {
            Some(workdir) => arguments::path(workdir, &base.cwd, &base.home)?,
            None => base.cwd.clone(),
        };
        // What project roots are does not change with the directory of one command.
        let project_roots =
            if base.project_roots.is_empty() { vec![base.cwd.clone()] } else { base.project_roots.clone() };
        Ok(Standpoint { cwd, project_roots, ..base.clone() })
    }

    fn start(&self, run: &Run, standpoint: Standpoint, argv: &[String]) -> Start {
        let [read, write, copy, deny] = [const { Vec::new() }; 4];
        Start {
            choice: Choice { standpoint, config: None, profile: None, read, write, copy, deny },
            argv: argv.iter().map(|word| ByteString::from(word.as_str())).collect(),
            env: self.place.environment.clone(),
            set: Vec::new(),
            stdio: if run.tty { Stdio::Carried { size: SIZE } } else { Stdio::Pipes { input: run.stdin } },
            timeout_ms: run.timeout_ms,
            user: None,
            output: self.place.output(),
            umask: self.place.umask,
            under: Some(self.under_lease(self.leases.borrow_mut().take(argv))),
            asking: None,
            record: None,
        }
    }

    fn keep(&self, call: &CallId, process: ProcessId) -> Result<Option<Kept>, String> {
        let Some(directory) = &self.place.outputs else { return Ok(None) };
        let kept = Kept::create(directory, process, CallOf { turn: *self.turn.borrow(), call });
        kept.map(Some).map_err(|error| format!("what it wrote is not kept: {error}"))
    }

    pub(super) async fn write_stdin(
        &self,
        text: &str,
        observer: Observer<'_>,
        interruption: Interruption<'_, '_>,
    ) -> Result<ToolOutcome, String> {
        let write: Write = arguments::read(WRITE, text)?;
        let id = write.session_id;
        let found = self.jobs.borrow().get(&id).cloned();
        let job = found.ok_or_else(|| format!("no process {id} is running"))?;
        let mut held = job.lock().await;
        held.look(budget(write.max_output_tokens));
        // What has been heard of it is told, whatever fails.
        if let Err(error) = speak(&mut held, &write, observer, interruption).await {
            held.fails(&error);
        }
        drop(held);
        Ok(self.put_back(job).await)
    }

    /// What is told of the job; it is kept where it runs.
    pub(super) async fn put_back(&self, job: Rc<Mutex<Job>>) -> ToolOutcome {
        let held = job.lock().await;
        let outcome = ToolOutcome { told: told::command(&held), did: held.did() };
        let (id, is_over) = (held.running().id(), held.is_over());
        drop(held);
        if is_over {
            self.jobs.borrow_mut().remove(&id);
            self.over.borrow_mut().push(id);
        } else {
            self.jobs.borrow_mut().insert(id, job);
        }
        outcome
    }
}

/// Does what the model says to a command, and follows it.
async fn speak(
    job: &mut Job,
    write: &Write,
    observer: Observer<'_>,
    mut interruption: Interruption<'_, '_>,
) -> Result<(), ExecutorError> {
    let mut patience = patience(write.yield_time_ms);
    let left = tokio::select! {
        biased;
        left = give(job, write.chars.as_bytes(), patience, observer) => left?,
        // What follows ends it.
        () = interruption.as_mut() => 0,
    };
    if left > 0 {
        let open = if write.close { "; its standard input is not closed" } else { "" };
        job.lacks(format!("{left} bytes were not taken by the command{open}"));
        // As long as it was to be waited for has passed.
        patience = Duration::ZERO;
    } else if write.close {
        job.running().close_input().await?;
    }
    match write.signal {
        None => {}
        Some(Told::Interrupt) => job.running().signal(INTERRUPT, Receivers::Group).await?,
        Some(Told::End) => job.running().kill(GRACE_MS).await?,
    }
    job.follow(patience, observer, interruption).await
}

/// Sends all of it, as fast as the command takes it, for so long at most. How many bytes were not taken.
async fn give(
    job: &mut Job,
    mut bytes: &[u8],
    patience: Duration,
    observer: Observer<'_>,
) -> Result<usize, ExecutorError> {
    // One that has no standard input can be looked at all the same.
    if bytes.is_empty() {
        return Ok(0);
    }
    let until = tokio::time::Instant::now() + patience;
    loop {
        let sent = job.running().write(bytes).await?;
        bytes = bytes.get(sent..).unwrap_or_default();
        if bytes.is_empty()
            || !tokio::time::timeout_at(until, job.room(observer)).await.unwrap_or(Ok(false))?
        {
            return Ok(bytes.len());
        }
    }
}

impl Job {
    /// Waits until there is room for input; false when the command is over.
    async fn room(&mut self, observer: Observer<'_>) -> Result<bool, ExecutorError> {
        while let Some(happened) = self.next().await? {
            let has_room = matches!(happened, Happened::Room(_));
            self.take(happened, observer);
            if has_room {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn not_started(argv: Vec<String>, error: &ExecutorError) -> ToolOutcome {
    let reason = error.to_string();
    let told = format!("The command was not started: {reason}");
    ToolOutcome { told, did: nothing(argv, CommandStatus::NotStarted { reason }) }
}

fn declined(argv: Vec<String>, reason: String) -> ToolOutcome {
    let told = format!("The command was not run: {reason}");
    ToolOutcome { told, did: nothing(argv, CommandStatus::Declined { reason }) }
}

/// Of a command that nothing came of.
fn nothing(argv: Vec<String>, status: CommandStatus) -> Did {
    let (streams, denials) = (Vec::new(), Vec::new());
    Did::Command { process: None, argv, status, output_tail: String::new(), streams, denials }
}
