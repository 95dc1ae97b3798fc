//! `weir exec`: one turn without a person at the screen.

mod prompt;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;
use weir_protocol::profile::read::SANDBOX_MODES;

use super::standpoint::StandpointError;
use super::{Exit, Overrides, Place, output};
use crate::approval::Approval;
use crate::configuration::{Configuration, ConfigurationError, mode_profile};
use crate::exec::events::Events;
use crate::exec::human::Human;
use crate::exec::{Answering, Continued, Done, Exec, ExecError, Kept, Last, Outlet, Show};
use crate::link::Which;
use crate::model::Prices;
use crate::model::config::Surroundings;
use crate::thread::{ThreadError, TurnStatus};
use prompt::PromptError;

const USAGE: &str = "\
weir exec [OPTIONS] [PROMPT]
       weir exec resume|fork [OPTIONS] THREAD [PROMPT]
       weir exec resume|fork [OPTIONS] --last [PROMPT]";

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
#[command(after_help = EXAMPLES, override_usage = USAGE, args_conflicts_with_subcommands = false)]
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

impl ExecCommand {
    const fn word(&self) -> &'static str {
        match self {
            Self::Resume(_) => "resume",
            Self::Fork(_) => "fork",
        }
    }
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
    /// The model [default: `model` of the configuration; for a thread that goes on with its provider, its own]
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
    /// Write the last message to FILE as well, which is made before the thread is opened
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
    #[arg(long, short = 's', value_name = "MODE", conflicts_with = "profile", global = true,
        value_parser = PossibleValuesParser::new(SANDBOX_MODES.map(|(word, _)| word)))]
    sandbox: Option<String>,
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
    #[error("the prompt stands behind `{0}` and the thread: weir exec {0} THREAD PROMPT")]
    PromptBefore(&'static str),
    #[error("--last names the thread, and so does {0:?}: leave one of them out")]
    TwoThreads(String),
    #[error("--image is not taken: Weir gives no images to a model")]
    Images,
    #[error("{}: {source}", .path.display())]
    Schema { path: PathBuf, source: std::io::Error },
    #[error("{} is no JSON: {source}", .path.display())]
    SchemaJson { path: PathBuf, source: serde_json::Error },
    #[error("--output-last-message: {}: {source}", .path.display())]
    LastMessageFile { path: PathBuf, source: std::io::Error },
    #[error("{}: {source}", .path.display())]
    LastMessage { path: PathBuf, source: std::io::Error },
    #[error("cannot begin: {0}")]
    Runtime(std::io::Error),
    #[error("{0}")]
    Exec(#[from] ExecError),
}

impl Failure {
    fn exit(&self) -> Exit {
        match self {
            Self::Runtime(_) | Self::LastMessage { .. } => Exit::Failed,
            Self::Exec(ExecError::GivenUp { signal } | ExecError::NotBegun { signal }) => {
                Exit::signalled(*signal)
            }
            Self::Exec(
                ExecError::NoThread
                | ExecError::NoModel
                | ExecError::Wider(_)
                | ExecError::Elsewhere { .. }
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
            // Whoever gave up waits for no reader either.
            if let Failure::Exec(ExecError::GivenUp { .. }) = failure {
                return output::message_now(&format!("weir: {message}"), failure.exit());
            }
            // A turn that had begun is told to have failed, to people in these words.
            let is_told = matches!(failure, Failure::Exec(ExecError::Turn(_)));
            if is_told && !as_json {
                return failure.exit();
            }
            if as_json && !is_told {
                let events = Events::new(Outlet::to(&std::io::stdout()));
                events.error(&message);
                output::written(events.outlet().finish());
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
    let (continued, prompt) = match (command, prompt) {
        (None, prompt) => (Continued::New, prompt),
        (Some(command), Some(_)) => return Err(Failure::PromptBefore(command.word())),
        (Some(ExecCommand::Resume(options)), None) => options.split(Continued::Resumed)?,
        (Some(ExecCommand::Fork(options)), None) => options.split(Continued::Forked)?,
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
    let sandbox = how.sandbox.as_deref();
    let said = configuration.said_profile(sandbox)?;
    choice.profile = how.profile.as_deref().or(sandbox.and_then(mode_profile)).or(said).map(str::to_owned);
    let variable = |name: &str| std::env::var(name).ok();
    let around = Surroundings { variable: &variable, home: &home };
    let providers = configuration.providers()?;
    let provider =
        providers.provider(how.provider.as_deref().map_or_else(|| configuration.provider(), Ok)?, &around)?;
    let (model, usual_model) = (how.model.clone(), configuration.model()?.map(str::to_owned));
    let approvals = configuration.approvals()?.with_policy(how.approval.map(Approval::from));
    let exec = Exec {
        which: how.server.clone().unwrap_or(Which::Found),
        choice,
        home: &home,
        continued,
        kept: if how.ephemeral { Kept::Ephemeral } else { Kept::Disk },
        provider: provider.as_ref(),
        model,
        usual_model,
        effort: configuration.effort()?,
        output_schema: how.output_schema.as_deref().map(schema).transpose()?,
        compact_above: configuration.compact_above()?,
        approvals,
        answering: if how.json { Answering::Nobody } else { Answering::Terminal },
        when_left: configuration.left_commands()?,
        writes: Vec::new(),
        secret_variables: providers.secret_variables(),
        prompt,
    };
    let prices = configuration.prices()?;
    // Only once nothing else can be wrong: it is made where there is none.
    let last_message = how.output_last_message.as_deref().map(LastMessage::open).transpose()?;
    show(exec, &how, last_message, prices)
}

/// Where the last message is written as well. It is opened before anything is asked: later nothing is reached that was not.
struct LastMessage {
    path: PathBuf,
    file: std::fs::File,
}

impl LastMessage {
    fn open(path: &Path) -> Result<Self, Failure> {
        let opened = std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let failed = |source| Failure::LastMessageFile { path: path.to_owned(), source };
        Ok(Self { path: path.to_owned(), file: opened.map_err(failed)? })
    }

    /// Puts the message into the place of what a file had; a pipe or a terminal has nothing.
    fn write(mut self, text: &str) -> Result<(), Failure> {
        let is_file = self.file.metadata().map(|metadata| metadata.is_file());
        let emptied = is_file.and_then(|is_file| if is_file { self.file.set_len(0) } else { Ok(()) });
        let written = emptied.and_then(|()| std::io::Write::write_all(&mut self.file, text.as_bytes()));
        written.map_err(|source| Failure::LastMessage { path: self.path, source })
    }
}

impl ContinuedOptions {
    fn split(self, how: fn(Option<String>) -> Continued) -> Result<(Continued, Option<String>), Failure> {
        match self {
            Self { thread: Some(thread), prompt: Some(_), last: true } => Err(Failure::TwoThreads(thread)),
            Self { thread, prompt, last: true } => Ok((how(None), prompt.or(thread))),
            Self { thread, prompt, last: false } => Ok((how(thread), prompt)),
        }
    }
}

fn schema(path: &Path) -> Result<Value, Failure> {
    let text = std::fs::read(path).map_err(|source| Failure::Schema { path: path.to_owned(), source })?;
    serde_json::from_slice(&text).map_err(|source| Failure::SchemaJson { path: path.to_owned(), source })
}

fn show(exec: Exec<'_>, how: &How, file: Option<LastMessage>, prices: Prices) -> Result<Exit, Failure> {
    if how.json {
        let events = Last::new(Events::new(Outlet::to(&std::io::stdout())));
        let ran = run_on(exec, &events).inspect_err(|failure| {
            if let Failure::Exec(error @ ExecError::GivenUp { .. }) = failure {
                events.shown().error_now(&error.to_string());
            }
        });
        let (done, told) = ran?;
        return Ok(finish(done, events.message(), file, how)?.and(told));
    }
    let human = Last::new(Human::new(Outlet::to(&std::io::stderr()), prices));
    let (done, told) = run_on(exec, &human)?;
    let message = human.message();
    // A terminal that shows both has shown it already.
    let is_shown = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
    let said = match &message {
        Some(message) if !is_shown => output::text(&format!("{}\n", message.trim_end())),
        _ => Exit::Success,
    };
    Ok(finish(done, message, file, how)?.and(said).and(told))
}

/// The turn, and whether all that was shown of it could be written. Who gives up waits for neither.
fn run_on(exec: Exec<'_>, show: &dyn Show) -> Result<(Done, Exit), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ran = runtime.map_err(Failure::Runtime)?.block_on(exec.run(show));
    if let Err(error @ ExecError::GivenUp { .. }) = ran {
        return Err(error.into());
    }
    let told = output::written(show.outlet().finish());
    Ok((ran?, told))
}

fn finish(
    done: Done,
    message: Option<String>,
    file: Option<LastMessage>,
    how: &How,
) -> Result<Exit, Failure> {
    if let Some(file) = file {
        file.write(&message.unwrap_or_default())?;
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
