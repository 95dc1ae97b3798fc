//! `weir trust`: the person's decision about a project's own configuration.

use clap::Args;
use serde_json::json;
use weir_protocol::profile::Standing;
use weir_protocol::profile::trust::{ContentDigest, PROJECT_CONFIG};

use super::{Exit, Place, output, standpoint};
use crate::trust::{Decision, Decisions, Project, TrustError};

const EXAMPLES: &str = "\
Examples:
  weir trust
  weir trust --yes ~/src/project
  weir trust --no .

A trusted project's .weir/config.toml may narrow what is allowed, never widen it. Trust holds for the directory and for the file as it
is now: when it changes, nothing runs there until you decide again. The decision is kept in $WEIR_HOME/config.toml.

Exit codes: 0 done, or trusted; 1 not trusted; 2 bad options or a file with errors, 125 Weir failed.";

/// Options of `weir trust`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TrustOptions {
    /// The project's directory [default: the working directory]
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    directory: Option<String>,
    /// Trust it, with its configuration as it is now
    #[arg(long, group = "decision")]
    yes: bool,
    /// Never read its configuration, and do not ask
    #[arg(long, group = "decision")]
    no: bool,
    /// Forget what was decided
    #[arg(long, group = "decision")]
    forget: bool,
    /// With --yes: also where the answer was no before
    #[arg(long, requires = "yes")]
    change: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Place(#[from] standpoint::StandpointError),
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// Does what was asked for.
pub(super) fn run(options: &TrustOptions) -> Exit {
    match decide(options) {
        Ok(exit) => exit,
        Err(CommandError::Trust(error @ TrustError::Write { .. })) => {
            output::message(&format!("error: {error}"), Exit::Failed)
        }
        Err(CommandError::Trust(TrustError::Document(report))) => {
            output::message(&report.to_string(), Exit::BadInput)
        }
        Err(error) => output::message(&format!("error: {error}"), Exit::BadInput),
    }
}

fn decide(options: &TrustOptions) -> Result<Exit, CommandError> {
    let place = Place { config: None, project_root: Vec::new(), directory: options.directory.clone() };
    let standpoint = place.standpoint()?;
    let decisions = Decisions::read(standpoint.weir_home.as_path())?;
    let project = decisions.project(standpoint.cwd)?;
    let decision = match (options.yes, options.no, options.forget) {
        (true, ..) => Decision::Trust,
        (_, true, _) => Decision::Distrust,
        (.., true) => Decision::Forget,
        _ => return Ok(show(&project, options.json)),
    };
    if decision == Decision::Trust && project.standing == Standing::Untrusted && !options.change {
        return Err(TrustError::Untrusted { root: project.root }.into());
    }
    decisions.decide(&project, decision)?;
    let now = Decisions::read(standpoint.weir_home.as_path())?.project(project.root)?;
    show(&now, options.json);
    Ok(Exit::Success)
}

const fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Undecided => "undecided",
        Standing::Trusted => "trusted",
        Standing::Changed => "changed",
        Standing::Untrusted => "untrusted",
    }
}

fn show(project: &Project, as_json: bool) -> Exit {
    let content = project.content.as_deref().map(|content| ContentDigest::of(content).to_string());
    let written = if as_json {
        output::json(&json!({
            "project": project.root,
            "standing": word(project.standing),
            "config_sha256": content,
        }))
    } else {
        let meaning = match project.standing {
            Standing::Undecided => "nothing was decided; its configuration is not read",
            Standing::Trusted => "trusted; its configuration is read",
            Standing::Changed => {
                "its configuration is not what was trusted; nothing runs there until you decide again"
            }
            Standing::Untrusted => "explicitly untrusted; its configuration is not read",
        };
        let file = match (&content, &project.content) {
            (Some(digest), Some(content)) => {
                format!("{PROJECT_CONFIG}: {} bytes, SHA-256 {digest}", content.len())
            }
            _ => format!("{PROJECT_CONFIG}: there is none"),
        };
        output::text(&format!("{}: {meaning}\n  {file}\n", project.root.display()))
    };
    let trusted = project.standing == Standing::Trusted;
    if written == Exit::Success && !trusted { Exit::No } else { written }
}
