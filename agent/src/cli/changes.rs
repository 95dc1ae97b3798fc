//! `weir changes`, `weir apply` and `weir discard`: what commands changed in a copy, and what becomes of it.
//!
//! The exec-server keeps copies and does what is asked; this shows what it says.

use std::fmt::Write as _;
use std::path::Path;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde::Serialize;
use weir_protocol::AbsPath;
use weir_protocol::method::changes::{
    Apply, ChangeKind, Copied, CopyChange, Discard, Left, ListChanges, ListedChanges, Outcomes, What, Which,
};
use weir_protocol::method::{Asks, code};

use super::standpoint::{StandpointError, here};
use super::{Exit, Place, output};
use crate::link::{self, LinkError, find_or_embed};

const WHICH: &str = "\
Without PATH all copies are meant that hold the working directory or lie in it. What is new, gone or another kind of file is applied or \
discarded as a whole. While a command runs in a copy none of this can be done there.";

/// Which changes, and how they are told.
#[derive(Debug, Args)]
struct Chosen {
    /// What is at or below these paths alone
    #[arg(value_name = "PATH", value_parser = NonEmptyStringValueParser::new(), value_hint = clap::ValueHint::AnyPath)]
    paths: Vec<String>,
    /// Work in DIR
    #[arg(short = 'C', value_name = "DIR", value_parser = NonEmptyStringValueParser::new(), value_hint = clap::ValueHint::DirPath)]
    directory: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Use the exec-server that listens at PATH, or none but one for this command alone
    #[arg(long, value_name = "PATH|none", value_hint = clap::ValueHint::FilePath)]
    server: Option<link::Which>,
}

/// Options of `weir changes`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  weir changes\n  weir changes --diff src\n  weir changes --json\n\nA directory with access `copy` (weir run --copy DIR) is not changed by commands: what they change is kept in a copy, which the next\ncommand sees.\n\nExit codes: 0 there are no changes, 1 there are, 2 an option cannot be used, 125 Weir failed.",
    long_about = format!("Show what commands changed in a copy.\n\n{WHICH}")
)]
pub(super) struct ChangesOptions {
    #[command(flatten)]
    chosen: Chosen,
    /// Compare files line by line
    #[arg(long)]
    diff: bool,
}

/// Options of `weir apply`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  weir apply\n  weir apply src/main.rs\n  weir apply --force Cargo.lock\n\nEverything is written beside its place first; then each place changes at once. What interrupts it leaves no file half: the next `weir apply`\nfinishes it.\n\nExit codes: 0 all of it is applied, 1 something is not, 2 an option cannot be used, 125 Weir failed.",
    long_about = format!("Make changes of a copy those of the directory itself.\n\n{WHICH}")
)]
pub(super) struct ApplyOptions {
    #[command(flatten)]
    chosen: Chosen,
    /// Also over what was changed on the host since the copy was begun
    #[arg(long)]
    force: bool,
}

/// Options of `weir discard`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  weir discard\n  weir discard target\n\nWhat is discarded is gone.\n\nExit codes: 0 all of it is discarded, 1 something is not, 2 an option cannot be used, 125 Weir failed.",
    long_about = format!("Forget changes of a copy.\n\n{WHICH}")
)]
pub(super) struct DiscardOptions {
    #[command(flatten)]
    chosen: Chosen,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
enum ChangesError {
    #[error(transparent)]
    Standpoint(#[from] StandpointError),
    #[error("`{path}` is no path")]
    Path { path: String },
    #[error(transparent)]
    Link(#[from] LinkError),
}

impl Chosen {
    fn which(&self) -> Result<Which, ChangesError> {
        let directory = self.directory.clone();
        let standpoint = Place { config: None, project_root: Vec::new(), directory }.standpoint()?;
        // What was removed in a copy is there on the host, and what was made is not: only the directory has a final name.
        let from = if self.directory.is_some() { standpoint.cwd.clone() } else { here()? };
        let path = |text: &String| {
            let full = from.as_path().join(Path::new(text));
            AbsPath::from_host(&full).ok_or_else(|| ChangesError::Path { path: text.clone() })
        };
        Ok(Which { paths: self.paths.iter().map(path).collect::<Result<_, _>>()?, standpoint })
    }

    fn ask<A: Asks>(&self, ask: impl FnOnce(Which) -> A) -> Result<A::Answer, ChangesError> {
        let call = ask(self.which()?).into_call();
        let mut link = find_or_embed(self.server.as_ref().unwrap_or(&link::Which::Found))?;
        Ok(link.call(call)?)
    }

    fn fail(&self, error: &ChangesError) -> Exit {
        match error {
            ChangesError::Link(error) => output::failure_as(error, exit_of(error), self.json),
            error => output::message(&format!("error: {error}"), Exit::BadInput),
        }
    }

    fn tell(&self, answer: &impl Serialize, text: &str, exit: Exit) -> Exit {
        let written = if self.json { output::json(answer) } else { output::text(text) };
        if written == Exit::Success { exit } else { written }
    }
}

/// Only what was asked can be put right by asking otherwise.
fn exit_of(error: &LinkError) -> Exit {
    match error {
        LinkError::Refused(error) if error.code == code::QUESTION => Exit::BadInput,
        _ => Exit::Failed,
    }
}

pub(super) fn list(options: &ChangesOptions) -> Exit {
    match options.chosen.ask(|which| ListChanges { which, diff: options.diff }) {
        Err(error) => options.chosen.fail(&error),
        Ok(listed) => {
            let exit = if listed.copies.is_empty() { Exit::Success } else { Exit::No };
            options.chosen.tell(&listed, &listing(&listed), exit)
        }
    }
}

pub(super) fn apply(options: &ApplyOptions) -> Exit {
    let outcomes = options.chosen.ask(|which| Apply { which, force: options.force });
    settle(&options.chosen, outcomes, "applied")
}

pub(super) fn discard(options: &DiscardOptions) -> Exit {
    let outcomes = options.chosen.ask(|which| Discard { which });
    settle(&options.chosen, outcomes, "discarded")
}

fn settle(chosen: &Chosen, outcomes: Result<Outcomes, ChangesError>, done: &str) -> Exit {
    match outcomes {
        Err(error) => chosen.fail(&error),
        Ok(outcomes) => {
            let whole = outcomes.copies.iter().all(|outcome| outcome.left.is_empty());
            chosen.tell(&outcomes, &settled(&outcomes, done), if whole { Exit::Success } else { Exit::No })
        }
    }
}

fn settled(outcomes: &Outcomes, done: &str) -> String {
    let mut out = String::new();
    for outcome in &outcomes.copies {
        let _ = writeln!(out, "{}: {} {done}", outcome.root, outcome.done.len());
        for Left { path, because, .. } in &outcome.left {
            let _ = writeln!(out, "  not {done}: {}: {because}", path);
        }
    }
    if out.is_empty() { "there are no changes\n".to_owned() } else { out }
}

fn listing(listed: &ListedChanges) -> String {
    let mut out = String::new();
    for copied in &listed.copies {
        let _ = writeln!(out, "{}", copied.root);
        copied.changes.iter().for_each(|change| line(&mut out, change));
        rest(&mut out, copied);
    }
    if out.is_empty() { "there are no changes\n".to_owned() } else { out }
}

fn rest(out: &mut String, copied: &Copied) {
    if copied.more > 0 {
        let _ = writeln!(out, "  and {} more", copied.more);
    }
    if copied.unfinished {
        out.push_str("  applying was interrupted; `weir apply` finishes it\n");
    }
}

fn line(out: &mut String, change: &CopyChange) {
    let letter = match change.change {
        ChangeKind::Added => 'A',
        ChangeKind::Modified => 'M',
        ChangeKind::Removed => 'D',
        ChangeKind::Replaced => 'R',
        ChangeKind::Mode => 'm',
    };
    let kind = match change.what {
        What::File => "",
        What::Directory => "/",
        What::Symlink => " (symbolic link)",
        What::Fifo => " (fifo)",
        What::Socket => " (socket)",
        What::Device => " (device)",
    };
    let _ = writeln!(out, "  {letter} {}{kind}", change.path);
    if change.conflict {
        out.push_str("      changed on the host as well since the copy was begun\n");
    }
    if let Some(note) = &change.note {
        let _ = writeln!(out, "      {note}");
    }
    for text in change.diff.iter().flat_map(|diff| diff.lines()) {
        // What a terminal would obey is shown, not sent.
        let shown: String =
            text.chars().map(|one| if one.is_control() && one != '\t' { '\u{fffd}' } else { one }).collect();
        let _ = writeln!(out, "    {shown}");
    }
}
