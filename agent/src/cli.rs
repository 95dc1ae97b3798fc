//! The command line.

mod explain;
mod output;
mod policy;
mod standpoint;

use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use weir_protocol::method::{Call, Examined};

use crate::link::Link;

/// Exit codes of `weir` itself. A command's own code passes through where one is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done; for `policy diff`: no difference.
    Success = 0,
    /// The answer is no: `policy explain --exit-code` denied, `policy diff` found differences.
    No = 1,
    /// Bad input: a file, an option or a question that cannot be used.
    BadInput = 2,
    /// Weir itself failed.
    Failed = 125,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

const EXAMPLES: &str = "\
Examples:
  weir policy check .weir/config.toml
  weir policy show :workspace
  weir policy explain --path ~/.ssh/id_ed25519 --access read
  weir policy explain --profile team --host registry.example.org:443
  weir policy diff :read-only :workspace
  weir doctor

Exit codes: 0 done, 1 the answer is no, 2 bad input, 125 Weir itself failed.";

/// Runs commands under a permission profile that the kernel enforces.
#[derive(Debug, Parser)]
#[command(name = "weir", version, after_help = EXAMPLES, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look at permission profiles: check, show, explain, compare
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Try what this machine can enforce, and say what is missing and how to get it
    #[command(
        after_help = "Examples:\n  weir doctor\n  weir doctor --json\n\nExit codes: 0 commands can be confined here, 1 they cannot."
    )]
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
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
    /// Read FILE instead of $WEIR_HOME/config.toml
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    config: Option<String>,
    /// A directory of the project; may be repeated [default: the working directory]
    #[arg(long = "project-root", value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    project_root: Vec<String>,
    /// Work in DIR
    #[arg(short = 'C', value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    directory: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Options that change the chosen profile for this one command.
#[derive(Debug, Clone, Args)]
struct Overrides {
    /// Let PATH be read as well
    #[arg(long, value_name = "PATH")]
    read: Vec<String>,
    /// Let PATH be written as well
    #[arg(long, value_name = "PATH")]
    write: Vec<String>,
    /// Close PATH
    #[arg(long, value_name = "PATH")]
    deny: Vec<String>,
}

/// Parses the arguments, does what they say and returns the exit code.
pub fn main() -> ExitCode {
    let exit = match Cli::parse().command {
        Command::Policy(command) => policy::run(command),
        Command::Doctor { json } => doctor(json),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "weir", &mut script);
            output::bytes(&script)
        }
    };
    exit.into()
}

fn doctor(as_json: bool) -> Exit {
    match Link::start().and_then(|mut link| link.call::<Examined>(Call::HostDoctor)) {
        Err(error) => output::failure(&error, as_json),
        Ok(found) => {
            let written = if as_json { output::json(&found) } else { output::text(&found.text) };
            if written == Exit::Success && !found.confines { Exit::No } else { written }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
