//! The command line.

mod audit;
mod changes;
mod demo;
mod denials;
mod exec;
mod explain;
mod learn;
mod models;
mod output;
mod policy;
mod run;
mod server;
mod since;
mod standpoint;
mod table;
mod target;
mod threads;
mod trust;

use std::process::ExitCode;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, CommandFactory, Parser, Subcommand};
use weir_protocol::method::{Call, Examined};

use self::standpoint::StandpointError;
use crate::confine::{self, Bounds, Confined};
use crate::link::Link;

/// Exit codes of `weir`. Those of a command that it ran pass through; 124 to 127 mean what they mean to a shell and to timeout(1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done; for `policy diff`: no difference.
    Success,
    /// 1: the answer is no: `policy explain --exit-code` denied, `policy diff` found differences, a turn of `exec` failed, a
    /// provider did not answer.
    No,
    /// 2: bad input: a file, an option or a question that cannot be used. `run` uses it for options alone.
    BadInput,
    /// 124: the command's time was over.
    TimedOut,
    /// 125: Weir itself failed; for `run` also: Weir refused.
    Failed,
    /// 126: the command was found and cannot be executed.
    NotExecutable,
    /// 127: the command was not found.
    NotFound,
    /// The command's own code, or 128 and the number of the signal that ended it.
    Command(u8),
}

impl Exit {
    /// The number that the caller sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::No => 1,
            Self::BadInput => 2,
            Self::TimedOut => 124,
            Self::Failed => 125,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
            Self::Command(code) => code,
        }
    }

    /// This, or where it is success what came of the next thing.
    #[must_use]
    const fn and(self, next: Self) -> Self {
        match self {
            Self::Success => next,
            _ => self,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The port of most providers.
const HTTPS_PORT: u16 = 443;

const EXAMPLES: &str = "\
Examples:
  weir demo
  weir run -- cargo test
  weir run --profile :isolated --timeout 5m make
  weir run --detach -- make -j4
  weir exec 'why does the test fail? mend it'
  weir ps
  weir policy check .weir/config.toml
  weir policy show :workspace
  weir policy explain --path ~/.ssh/id_ed25519 --access read
  weir policy explain --profile team --host registry.example.org:443
  weir policy diff :read-only :workspace
  weir threads list
  weir denials --last
  weir learn --output build.toml -- make; weir run --config build.toml -- make
  weir run --copy . -- ./build.sh; weir changes --diff; weir apply
  weir doctor

Exit codes: 0 done, 1 the answer is no, 2 bad input, 125 Weir itself failed.
With `weir run`, `attach` and `wait` the command's own, and those that `weir run --help` lists.";

/// Runs commands under a permission profile that the kernel enforces.
#[derive(Debug, Parser)]
#[command(name = "weir", version, after_help = EXAMPLES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a command under a permission profile that the kernel enforces
    Run(Box<run::RunOptions>),
    /// Run a command under a wide profile that is recorded, and propose the smallest one that would have sufficed
    Learn(Box<learn::LearnOptions>),
    /// Let a model do a task, under a permission profile, without a person at the screen
    Exec(Box<exec::ExecOptions>),
    /// List the models of a provider that the configured key may use
    Models(models::ModelsOptions),
    /// List the commands that a running exec-server keeps
    Ps(server::PsOptions),
    /// Print what a command has written
    Logs(server::LogsOptions),
    /// Take over a command: its output here, what is typed to it
    Attach(server::AttachOptions),
    /// End a command, or send it a signal
    Kill(server::KillOptions),
    /// Wait for a command's end; exit as it did
    Wait(server::OneOptions),
    /// Forget commands that have ended, and what they wrote
    Rm(server::RmOptions),
    /// Look at permission profiles: check, show, explain, compare
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Look at conversations that are kept, name them, put them away, delete them
    #[command(subcommand)]
    Threads(Box<threads::ThreadsCommand>),
    /// Decide whether a project's own configuration is read, and say how it stands
    Trust(trust::TrustOptions),
    /// Try what this machine can enforce, and say what is missing and how to get it
    #[command(
        after_help = "Examples:\n  weir doctor\n  weir doctor --json\n\nExit codes: 0 commands can be confined here, 1 they cannot."
    )]
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what was refused in runs that are over, by which rule, and what would allow it
    Denials(denials::DenialsOptions),
    /// Show what commands changed in a copy
    Changes(changes::ChangesOptions),
    /// Make changes of a copy those of the directory itself
    Apply(changes::ApplyOptions),
    /// Forget changes of a copy
    Discard(changes::DiscardOptions),
    /// Show what Weir is for: a recorded session on a small project, really carried out
    Demo(demo::DemoOptions),
    /// Read what a server for several users has decided
    Audit(audit::AuditOptions),
    /// Print the completion script for a shell
    #[command(after_help = "Example:\n  weir completion bash > /etc/bash_completion.d/weir")]
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Options that mean the same in every command.
#[derive(Debug, Clone, Args)]
struct Common {
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Where a command works, and which configuration holds there.
#[derive(Debug, Clone, Args)]
struct Place {
    /// Read FILE instead of $WEIR_HOME/config.toml
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    config: Option<String>,
    /// A directory of the project; may be repeated [default: the working directory]
    #[arg(long = "project-root", value_name = "DIR", value_hint = clap::ValueHint::DirPath, value_parser = NonEmptyStringValueParser::new())]
    project_root: Vec<String>,
    /// Work in DIR
    #[arg(short = 'C', value_name = "DIR", value_hint = clap::ValueHint::DirPath, value_parser = NonEmptyStringValueParser::new())]
    directory: Option<String>,
}

/// Options that change the chosen profile for this one command.
#[derive(Debug, Clone, Default, Args)]
struct Overrides {
    /// Let PATH be read as well
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::AnyPath, value_parser = NonEmptyStringValueParser::new())]
    read: Vec<String>,
    /// Let PATH be written as well
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::AnyPath, value_parser = NonEmptyStringValueParser::new())]
    write: Vec<String>,
    /// Let PATH be written in a copy: nothing of it changes before `weir apply`
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::AnyPath, value_parser = NonEmptyStringValueParser::new())]
    copy: Vec<String>,
    /// Close PATH
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::AnyPath, value_parser = NonEmptyStringValueParser::new())]
    deny: Vec<String>,
}

/// Parses the arguments, does what they say and returns the exit code.
pub fn main() -> ExitCode {
    let exit = match Cli::parse().command {
        Command::Run(options) => run::run(*options),
        Command::Learn(options) => learn::run(&options),
        Command::Exec(options) => exec::run(*options),
        Command::Models(options) => models::run(&options),
        Command::Ps(options) => server::ps(&options),
        Command::Logs(options) => server::logs(&options),
        Command::Attach(options) => server::attach(&options),
        Command::Kill(options) => server::kill(&options),
        Command::Wait(options) => server::wait(&options),
        Command::Rm(options) => server::rm(&options),
        Command::Policy(command) => policy::run(command),
        Command::Threads(command) => threads::run(&command),
        Command::Trust(options) => trust::run(&options),
        Command::Doctor { json } => doctor(json),
        Command::Denials(options) => denials::run(&options),
        Command::Changes(options) => changes::list(&options),
        Command::Apply(options) => changes::apply(&options),
        Command::Discard(options) => changes::discard(&options),
        Command::Demo(options) => demo::run(&options),
        Command::Audit(options) => audit::run(&options),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "weir", &mut script);
            output::bytes(&script)
        }
    };
    exit.into()
}

/// What the exec-server finds, and what the agent can hold itself to.
#[derive(serde::Serialize)]
struct Doctor {
    #[serde(flatten)]
    server: Examined,
    agent: Option<Confined>,
}

fn doctor(as_json: bool) -> Exit {
    let server = match Link::start().and_then(|mut link| link.call::<Examined>(Call::HostDoctor)) {
        Err(error) => return output::failure(&error, as_json),
        Ok(found) => found,
    };
    let home = match standpoint::weir_home() {
        Err(error @ StandpointError::RelativeWeirHome { .. }) => {
            return output::message(&format!("error: {error}"), Exit::BadInput);
        }
        found => found.map(|home| home.as_path().to_owned()).unwrap_or_default(),
    };
    let agent = confine::probe(&Bounds::new(&home, &[HTTPS_PORT]));
    let confines = server.confines;
    let written = if as_json {
        output::json(&Doctor { server, agent: agent.ok() })
    } else {
        let held = agent.map_or_else(|error| format!("  no   {error}\n"), |confined| confined.to_string());
        output::text(&format!("{}\nThe agent itself, once its turns begin:\n{held}", server.text))
    };
    if written == Exit::Success && !confines { Exit::No } else { written }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
