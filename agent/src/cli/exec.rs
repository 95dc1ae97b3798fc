//! `weir exec`: one turn without a person at the screen.

mod prompt;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use super::standpoint::StandpointError;
use super::{Exit, Overrides, Place, output};
use crate::approval::{Approval, ApprovalError, Approvals};
use crate::configuration::{Configuration, ConfigurationError};
use crate::exec::events::Events;
use crate::exec::human::Human;
use crate::exec::{Answering, Continued, Done, Exec, ExecError, Kept, Last, Show};
use crate::link::Which;
use crate::model::Prices;
use crate::model::config::Surroundings;
use crate::thread::{ThreadError, TurnStatus};
use prompt::PromptError;

const EXAMPLES: &str = "\
Examples:
  weir exec 'why does the test fail? mend it'
  git diff | weir exec --stdin 'review this'
  weir exec --json --profile team --model gpt-5.5 'bump the version' | jq .
  weir exec resume --last 'and now the documentation'
  weir exec fork 0199 'try it the other way'
  weir exec --config model_provider=ollama --model qwen3 'say hello'

The last message goes to standard output, all else to standard error; with --json events go to standard output (docs/AGENT.md).
What needs an approval is asked at the terminal. With --json, and where there is no terminal, nobody is asked: it is refused, and the model
is told.

Exit codes:
  0      the turn is complete
  1      the turn failed: the provider refused, or did not answer
  2      options, configuration, key or thread cannot be used; nothing was asked
  125    Weir itself failed
  128+N  signal N interrupted the turn";

/// Options of `weir exec`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = false)]
pub(super) struct ExecOptions {
    #[command(subcommand)]
    command: Option<ExecCommand>,
    /// What is asked; `-`: standard input; the default where there is none
    prompt: Option<String>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Subcommand)]
enum ExecCommand {
    /// Go on with a thread
    Resume(ContinuedOptions),
    /// Begin a thread with the history of another
    Fork(ContinuedOptions),
}

#[derive(Debug, Args)]
struct ContinuedOptions {
    /// The thread: its id, the beginning of one, or its name; with --last the prompt
    thread: Option<String>,
    /// What is asked; `-`: standard input; the default where there is none
    prompt: Option<String>,
    /// The last thread of this directory
    #[arg(long)]
    last: bool,
}

/// Options that mean the same for a new thread and for one that goes on.
#[derive(Debug, Args)]
struct How {
    /// Print events as JSON, one a line
    #[arg(long, global = true, alias = "experimental-json")]
    json: bool,
    /// The permission profile [default: the one in force; for a thread that goes on, its own]
    #[arg(long, short = 'p', value_name = "NAME", global = true)]
    profile: Option<String>,
    /// The model [default: `model` of the configuration; for a thread that goes on, its own]
    #[arg(long, short = 'm', value_name = "NAME", global = true)]
    model: Option<String>,
    /// The provider [default: `model_provider` of the configuration, or openai]
    #[arg(long, value_name = "ID", global = true)]
    provider: Option<String>,
    /// Work in DIR
    #[arg(long = "cd", short = 'C', value_parser = NonEmptyStringValueParser::new(), value_name = "DIR", value_hint = clap::ValueHint::DirPath, global = true)]
    directory: Option<String>,
    /// A directory of the project; may be repeated [default: the working directory]
    #[arg(long = "project-root", value_parser = NonEmptyStringValueParser::new(), value_name = "DIR", value_hint = clap::ValueHint::DirPath, global = true)]
    project_root: Vec<String>,
    /// Let PATH be read as well
    #[arg(long, value_name = "PATH", value_parser = NonEmptyStringValueParser::new(), value_hint = clap::ValueHint::AnyPath, global = true)]
    read: Vec<String>,
    /// Let PATH be written as well
    #[arg(long, visible_alias = "add-dir", value_parser = NonEmptyStringValueParser::new(), value_name = "PATH", value_hint = clap::ValueHint::AnyPath, global = true)]
    write: Vec<String>,
    /// Let commands write PATH in a copy: nothing of it changes before `weir apply`
    #[arg(long, value_name = "PATH", global = true, value_parser = NonEmptyStringValueParser::new(), value_hint = clap::ValueHint::AnyPath)]
    copy: Vec<String>,
    /// Close PATH
    #[arg(long, value_name = "PATH", value_parser = NonEmptyStringValueParser::new(), value_hint = clap::ValueHint::AnyPath, global = true)]
    deny: Vec<String>,
    /// Put VALUE in the place of what config.toml says of KEY; may be repeated
    #[arg(long, short = 'c', value_name = "KEY=VALUE", global = true)]
    config: Vec<String>,
    /// When a person would be asked
    #[arg(long, visible_alias = "ask-for-approval", short = 'a', value_name = "WHEN", global = true)]
    approval: Option<ApprovalWord>,
    /// The last message is to be an instance of the JSON Schema in FILE
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, global = true)]
    output_schema: Option<PathBuf>,
    /// Write the last message to FILE as well
    #[arg(long, short = 'o', value_name = "FILE", value_hint = clap::ValueHint::FilePath, global = true)]
    output_last_message: Option<PathBuf>,
    /// Keep nothing of the thread
    #[arg(long, global = true)]
    ephemeral: bool,
    /// Add what standard input says to the prompt
    #[arg(long, global = true)]
    stdin: bool,
    /// Use the exec-server that listens at PATH, or none but one for this run alone
    #[arg(long, value_name = "PATH|none", value_hint = clap::ValueHint::FilePath, global = true)]
    server: Option<Which>,
    /// The built-in profile that comes nearest to another program's word
    #[arg(long, short = 's', value_name = "MODE", conflicts_with = "profile", global = true)]
    sandbox: Option<SandboxWord>,
    /// Of other programs, and without a meaning here: no repository is needed
    #[arg(long, hide = true, global = true)]
    skip_git_repo_check: bool,
    /// Of other programs, and without a meaning here: who began the thread
    #[arg(long, hide = true, value_name = "WORD", global = true)]
    thread_source: Option<String>,
    /// Of other programs: images are not taken
    #[arg(long, short = 'i', hide = true, value_name = "FILE", global = true)]
    image: Vec<PathBuf>,
}

/// Words of `--approval`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum ApprovalWord {
    Untrusted,
    #[value(alias = "on-failure")]
    OnRequest,
    Never,
    Granular,
}

/// Words of `--sandbox`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum SandboxWord {
    ReadOnly,
    WorkspaceWrite,
    DangerFullAccess,
}

impl From<ApprovalWord> for Approval {
    fn from(word: ApprovalWord) -> Self {
        match word {
            ApprovalWord::Untrusted => Self::Untrusted,
            ApprovalWord::OnRequest => Self::OnRequest,
            ApprovalWord::Never => Self::Never,
            ApprovalWord::Granular => Self::Granular,
        }
    }
}

impl SandboxWord {
    const fn profile(self) -> &'static str {
        match self {
            Self::ReadOnly => ":read-only",
            Self::WorkspaceWrite => ":workspace",
            Self::DangerFullAccess => ":danger-full-access",
        }
    }
}

/// Why nothing was asked, or the turn was not kept.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Standpoint(#[from] StandpointError),
    #[error("{0}")]
    Configuration(#[from] ConfigurationError),
    #[error("{0}")]
    Provider(#[from] crate::model::ConfigError),
    #[error("{0}")]
    Prompt(#[from] PromptError),
    #[error(
        "no model is chosen: --model NAME, or `model = \"NAME\"` in config.toml; `weir models` lists them"
    )]
    NoModel,
    #[error("--image is not taken: Weir gives no images to a model")]
    Images,
    #[error("{}: {source}", .path.display())]
    Schema { path: PathBuf, source: std::io::Error },
    #[error("{} is no JSON: {source}", .path.display())]
    SchemaJson { path: PathBuf, source: serde_json::Error },
    #[error("{}: {source}", .path.display())]
    LastMessage { path: PathBuf, source: std::io::Error },
    #[error("cannot begin: {0}")]
    Runtime(std::io::Error),
    #[error("{0}")]
    Approvals(#[from] ApprovalError),
    #[error("{0}")]
    Exec(#[from] ExecError),
}

impl Failure {
    fn exit(&self) -> Exit {
        match self {
            Self::Runtime(_) | Self::LastMessage { .. } => Exit::Failed,
            Self::Exec(ExecError::GivenUp { signal }) => Exit::signalled(*signal),
            Self::Exec(
                ExecError::NoThread
                | ExecError::Wider(_)
                | ExecError::Executor(crate::executor::ExecutorError::Refused(_))
                | ExecError::Thread(
                    ThreadError::NotFound { .. }
                    | ThreadError::Ambiguous { .. }
                    | ThreadError::IsArchived { .. }
                    | ThreadError::InUse { .. }
                    | ThreadError::Unbound { .. }
                    | ThreadError::HistoryLost { .. },
                ),
            ) => Exit::BadInput,
            Self::Exec(_) => Exit::Failed,
            _ => Exit::BadInput,
        }
    }
}

pub(super) fn run(options: ExecOptions) -> Exit {
    let as_json = options.how.json;
    match carry_out(options) {
        Ok(exit) => exit,
        Err(failure) => {
            let message = failure.to_string();
            if as_json {
                Events::new(std::io::stdout()).error(&message);
            }
            output::message(&format!("weir: {message}"), failure.exit())
        }
    }
}

fn carry_out(options: ExecOptions) -> Result<Exit, Failure> {
    let ExecOptions { command, prompt, how } = options;
    if !how.image.is_empty() {
        return Err(Failure::Images);
    }
    let (continued, prompt) = match command {
        None => (Continued::New, prompt),
        Some(ExecCommand::Resume(options)) => options.split(Continued::Resumed),
        Some(ExecCommand::Fork(options)) => options.split(Continued::Forked),
    };
    let prompt = prompt::read(prompt.as_deref(), how.stdin)?;
    let place =
        Place { config: None, project_root: how.project_root.clone(), directory: how.directory.clone() };
    let overrides = Overrides {
        read: how.read.clone(),
        write: how.write.clone(),
        copy: how.copy.clone(),
        deny: how.deny.clone(),
    };
    let mut choice = place.choice(None, &overrides)?;
    let home = PathBuf::from(choice.standpoint.weir_home.display().into_owned());
    let configuration = Configuration::read(&home, &how.config)?;
    let sandbox = how.sandbox.map(SandboxWord::profile);
    choice.profile = how
        .profile
        .as_deref()
        .or(sandbox)
        .or(configuration_profile(&configuration, &how)?)
        .map(str::to_owned);
    let variable = |name: &str| std::env::var(name).ok();
    let around = Surroundings { variable: &variable, home: &home };
    let providers = configuration.providers()?;
    let provider =
        providers.provider(how.provider.as_deref().map_or_else(|| configuration.provider(), Ok)?, &around)?;
    let model = how.model.clone().or(configuration.model()?.map(str::to_owned));
    if model.is_none() && continued == Continued::New {
        return Err(Failure::NoModel);
    }
    let approval = how.approval.map(Approval::from).or(configuration.approval()?);
    let approvals = Approvals::read(&home)?.with_policy(approval);
    if let Some(path) = &how.output_last_message {
        // It must be there: later nothing is reached that was not.
        let made = std::fs::OpenOptions::new().append(true).create(true).open(path);
        made.map_err(|source| Failure::LastMessage { path: path.clone(), source })?;
    }
    let exec = Exec {
        which: how.server.clone().unwrap_or(Which::Found),
        choice,
        home: &home,
        continued,
        kept: if how.ephemeral { Kept::Ephemeral } else { Kept::Disk },
        provider: provider.as_ref(),
        model,
        effort: configuration.effort()?,
        output_schema: how.output_schema.as_deref().map(schema).transpose()?,
        compact_above: configuration.compact_above()?,
        approvals,
        answering: if how.json { Answering::Nobody } else { Answering::Terminal },
        when_left: configuration.left_commands()?,
        writes: how.output_last_message.iter().cloned().collect(),
        secret_variables: providers.secret_variables(),
        prompt,
    };
    show(exec, &how, configuration.prices()?)
}

/// The profile that options say by another name: `--config default_permissions=…`. What the file says the server reads itself.
fn configuration_profile<'a>(
    configuration: &'a Configuration,
    how: &How,
) -> Result<Option<&'a str>, ConfigurationError> {
    let is_said = how.config.iter().any(|text| text.starts_with("default_permissions"));
    if is_said { configuration.profile() } else { Ok(None) }
}

impl ContinuedOptions {
    fn split(self, how: fn(Option<String>) -> Continued) -> (Continued, Option<String>) {
        match self {
            Self { thread, prompt, last: true } => (how(None), prompt.or(thread)),
            Self { thread, prompt, last: false } => (how(thread), prompt),
        }
    }
}

fn schema(path: &Path) -> Result<Value, Failure> {
    let text = std::fs::read(path).map_err(|source| Failure::Schema { path: path.to_owned(), source })?;
    serde_json::from_slice(&text).map_err(|source| Failure::SchemaJson { path: path.to_owned(), source })
}

fn show(exec: Exec<'_>, how: &How, prices: Prices) -> Result<Exit, Failure> {
    if how.json {
        let events = Last::new(Events::new(std::io::stdout()));
        return finish(run_on(exec, &events)?, events.message(), how);
    }
    let human = Last::new(Human::new(std::io::stderr(), prices));
    let done = run_on(exec, &human)?;
    let message = human.message();
    // A terminal that shows both has shown it already.
    if !(std::io::stdout().is_terminal() && std::io::stderr().is_terminal())
        && let Some(message) = &message
    {
        output::text(&format!("{}\n", message.trim_end()));
    }
    finish(done, message, how)
}

fn run_on(exec: Exec<'_>, show: &dyn Show) -> Result<Done, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.map_err(Failure::Runtime)?.block_on(exec.run(show))?)
}

fn finish(done: Done, message: Option<String>, how: &How) -> Result<Exit, Failure> {
    if let Some(path) = &how.output_last_message {
        let text = message.unwrap_or_default();
        std::fs::write(path, text).map_err(|source| Failure::LastMessage { path: path.clone(), source })?;
    }
    Ok(match (done.ended.status, done.signal) {
        (TurnStatus::Completed | TurnStatus::Open, _) => Exit::Success,
        (TurnStatus::Failed { message }, _) if how.json => {
            output::message(&format!("weir: {message}"), Exit::No)
        }
        (TurnStatus::Failed { .. }, _) => Exit::No,
        (TurnStatus::Interrupted, signal) => signal.map_or(Exit::No, Exit::signalled),
    })
}
