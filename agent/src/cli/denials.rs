//! `weir denials`: what was refused in runs that are over, by which rule, and what would allow it.
//!
//! A server keeps the denials of the commands that it ran. Where a command had a server of its own, the client keeps them, in a bounded
//! file of Weir's directory, which no sandbox can read. This reads both.

mod kept;

use std::fmt::Write as _;

use clap::Args;
use weir_protocol::denial::Run;
use weir_protocol::method::Call;
use weir_protocol::method::denial::{Asked, Refused};

use super::run::end_word;
use super::since::{NoTime, since};
use super::standpoint::{StandpointError, weir_home};
use super::{Exit, output};
use crate::denial;
use crate::link::{LinkError, Which, find};

pub(super) use kept::{KeptError, keep};

/// Which denials, and how they are shown.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  weir denials --last\n  weir denials --since 1h\n  weir denials --context 7 --json\n\nThose of the running exec-server are shown, and those of commands that had a server of their own\n($WEIR_HOME/denials.jsonl). The oldest are forgotten.\n\nExit codes: 0 read, 2 an option cannot be used, 125 the server or the file cannot be read."
)]
pub(super) struct DenialsOptions {
    /// Those of the last run alone
    #[arg(long)]
    last: bool,
    /// Those of commands that ran under this context of the exec-server
    #[arg(long, value_name = "ID")]
    context: Option<u64>,
    /// Those of this time and later: `2026-11-28`, `2026-11-28T09:30` (UTC), or so long ago: `90m`
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Use the exec-server that listens at PATH, or none
    #[arg(long, value_name = "PATH|none", value_hint = clap::ValueHint::FilePath)]
    server: Option<Which>,
}

/// Why denials cannot be shown.
#[derive(Debug, thiserror::Error)]
enum DenialsError {
    #[error("{0}")]
    Since(#[from] NoTime),
    #[error("{0}")]
    Standpoint(StandpointError),
    #[error("{0}")]
    Link(#[from] LinkError),
    #[error("{0}")]
    Kept(#[from] KeptError),
}

pub(super) fn run(options: &DenialsOptions) -> Exit {
    match asked(options) {
        Ok(refused) if options.json => output::json(&refused),
        Ok(refused) if refused.runs.is_empty() => {
            output::message("nothing was refused, as far as is kept", Exit::Success)
        }
        Ok(refused) => output::text(&refused.runs.iter().map(text).collect::<Vec<_>>().join("\n")),
        Err(error @ (DenialsError::Since(_) | DenialsError::Standpoint(_))) => {
            output::message(&format!("error: {error}"), Exit::BadInput)
        }
        Err(error) => output::message(&format!("weir: {error}"), Exit::Failed),
    }
}

fn asked(options: &DenialsOptions) -> Result<Refused, DenialsError> {
    let since = options.since.as_deref().map(since).transpose()?;
    let asked = Asked { since, context: options.context };
    let mut runs = match find(options.server.as_ref().unwrap_or(&Which::Found))? {
        Some(mut link) => link.call::<Refused>(Call::DenialList(asked.clone()))?.runs,
        None => Vec::new(),
    };
    let home = match weir_home() {
        // Who has no home has kept nothing in it.
        Err(StandpointError::NoHome) => None,
        found => Some(found.map_err(DenialsError::Standpoint)?),
    };
    if let Some(home) = home.filter(|_| asked.context.is_none()) {
        let wanted = |run: &Run| asked.since.as_ref().is_none_or(|since| since.has_come(&run.time));
        runs.extend(kept::read(home.as_path())?.into_iter().filter(wanted));
    }
    runs.sort_by(|one, other| one.time.cmp(&other.time));
    if options.last {
        runs.drain(..runs.len().saturating_sub(1));
    }
    Ok(Refused { runs })
}

fn text(run: &Run) -> String {
    let argv: Vec<String> = run.argv.iter().map(ToString::to_string).collect();
    let mut out =
        format!("{}  {}, {}: {}\n", run.time, run.profile, end_word(run.end), argv.join(" ").escape_debug());
    for one in &run.denials {
        let _ = writeln!(out, "  {}", denial::what(one));
        if let Some(process) = &one.process {
            let name = process.exe.as_ref().or(process.command.as_ref());
            let name = name.map(|name| format!(" {name}")).unwrap_or_default();
            let _ = writeln!(out, "      by process {}{name}", process.pid);
        }
        if let Some(remedy) = denial::remedy(one) {
            let _ = writeln!(out, "      to allow: {remedy}");
        }
        if let (Some(edit), Some(_)) = (&one.edit, &one.option) {
            let _ = writeln!(out, "      for good: {edit}");
        }
    }
    for line in denial::beyond(&run.sight) {
        let _ = writeln!(out, "  {line}");
    }
    for (source, missing) in run.sight.blind() {
        let _ = writeln!(out, "  not told: {} ({missing})", source.of);
    }
    out
}
