//! `weir learn`: runs a command under a wide profile that is recorded, and proposes the smallest one that would have sufficed.
//!
//! The exec-server runs and records; [`crate::learn`] judges; this puts the request together, and clears up behind the command.

mod ground;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use weir_protocol::AbsPath;
use weir_protocol::denial::Denial;
use weir_protocol::method::changes::{Discard, ListChanges, ListedChanges, Outcomes, Which as Changes};
use weir_protocol::method::network::{Asking, HostQuestion, MAX_ANSWER_MS, MAX_QUESTIONS};
use weir_protocol::method::policy::{Choice, Standpoint};
use weir_protocol::method::process::{Exited, Recording, Start};
use weir_protocol::method::{Asks as _, code};
use weir_protocol::recorded::Recorded;

use super::run::{Failure, base_start, duration, end_word, say_end};
use super::standpoint::StandpointError;
use super::target::Target;
use super::{Exit, Overrides, Place, output};
use crate::learn::{Heading, HostUse, Proposal, Told, hosts, propose, render};
use crate::link::{Link, LinkError, Which, find_or_embed};
use crate::run::{self, RunError, Tty, Wiring};
use ground::{Known, add_link};

const EXAMPLES: &str = "\
Examples:
  weir learn --output build.toml -- make
  weir run --config build.toml -- make
  weir learn --network -- cargo fetch
  weir learn --sockets -- psql --command 'select 1'
  weir learn --profile team --name team-docs -- mdbook build
  weir learn --copy ~/.cache/pip --keep -- pip install -r requirements.txt; weir changes

While it learns, CMD reads everything but secrets, writes the project in a copy, and has empty temporary directories. Its standard output
goes to standard error, so that standard output holds the proposal alone; with --output, or on a terminal of its own, it stays where it is.
What it was refused stands in the proposal as a comment, and so do secrets: they are never granted. Read the proposal before you use it.

Exit codes: the command's own and those of weir run.";

/// Options of `weir learn`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct LearnOptions {
    /// Let CMD reach every host that it asks for, and record which; otherwise none is reached, and each is told as a comment
    #[arg(long)]
    network: bool,
    /// Let CMD connect to unix sockets of the host, and record which; never to container daemons, message buses and agents
    #[arg(long)]
    sockets: bool,
    /// Learn on top of this profile: CMD has what it grants, and what it lacks is proposed as a profile that extends it
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// The name of the proposed profile
    #[arg(long, value_name = "NAME", default_value = "learned")]
    name: String,
    /// Write the proposal to FILE; seen from the directory of -C
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// Print JSON: the proposal as data and as text
    #[arg(long)]
    json: bool,
    /// Keep what CMD changed in the copy, for weir changes, apply and discard
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    overrides: Overrides,
    /// Give CMD a terminal of its own
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    tty: Tty,
    /// End CMD after DURATION: 30s, 5m, 1h30m, 250ms
    #[arg(long, value_name = "DURATION", value_parser = duration::milliseconds)]
    timeout: Option<u64>,
    /// Use the exec-server that listens at PATH, or none but one for this command alone
    #[arg(long, value_name = "PATH|none", value_hint = clap::ValueHint::FilePath)]
    server: Option<Which>,
    /// The command and its arguments
    #[arg(
        required = true, trailing_var_arg = true, value_name = "CMD", value_hint = clap::ValueHint::CommandWithArguments
    )]
    command: Vec<OsString>,
}

/// Why nothing was learnt.
#[derive(Debug, thiserror::Error)]
enum LearnError {
    #[error("{0}")]
    Run(#[from] Failure),
    #[error(
        "{root} has changes in a copy, which would be mixed with those of the command: apply or discard them first (weir changes shows them)"
    )]
    Changed { root: String },
    #[error(
        "what the command used was not recorded, so nothing can be proposed: recording takes Linux, with init performing the command's calls \
         (a seccomp listener)"
    )]
    NotRecorded,
    #[error("cannot write the proposal to {}: {source}", .file.display())]
    Output { file: PathBuf, source: std::io::Error },
}

impl From<LinkError> for LearnError {
    fn from(error: LinkError) -> Self {
        Self::Run(RunError::from(error).into())
    }
}

impl From<StandpointError> for LearnError {
    fn from(error: StandpointError) -> Self {
        Self::Run(error.into())
    }
}

/// What was learnt, as data.
#[derive(Serialize)]
struct Learnt<'a> {
    name: &'a str,
    extends: Option<&'a str>,
    exited: &'a str,
    toml: &'a str,
    proposal: &'a Proposal,
    hosts: &'a [HostUse],
    denials: &'a [Denial],
}

pub(super) fn run(options: &LearnOptions) -> Exit {
    match learn(options) {
        Ok(exit) => exit,
        Err(error) => {
            let exit = if let LearnError::Run(failure) = &error { failure.exit() } else { Exit::Failed };
            output::message(&format!("weir: {error}"), exit)
        }
    }
}

fn learn(options: &LearnOptions) -> Result<Exit, LearnError> {
    let choice = ground::wide(&options.place, &options.overrides)?;
    let (known, choice) = Known::ask(&mut options.link()?, choice, options.profile.as_deref())?;
    options.refuse_changes(&choice)?;
    let target = options.target(&choice)?;
    let outcome = options.record(&choice);
    // Whatever came of it, nothing of the command's is left behind.
    let discarded = if options.keep { None } else { Some(options.discard(&choice)) };
    let (mut exited, granted) = outcome?;
    let exit = Exit::of(exited.end);
    say_end(exited.end, exit);
    if let Some(outcomes) = discarded {
        say_discarded(&outcomes?);
    }
    let mut recorded = exited.recorded.take().ok_or(LearnError::NotRecorded)?;
    add_link(&mut recorded, &choice, &options.command);
    let written = options.write(&choice, &known, (&recorded, &exited, &granted), target)?;
    Ok(if written == Exit::Success { exit } else { written })
}

impl LearnOptions {
    fn link(&self) -> Result<Link, LinkError> {
        find_or_embed(self.server.as_ref().unwrap_or(&Which::Found))
    }

    /// Where the proposal goes, found before anything runs.
    fn target(&self, choice: &Choice) -> Result<Option<(PathBuf, Target)>, LearnError> {
        let Some(file) = &self.output else { return Ok(None) };
        let file = choice.standpoint.cwd.as_path().join(file);
        match Target::find(&file) {
            Ok(target) => Ok(Some((file, target))),
            Err(source) => Err(LearnError::Output { file, source }),
        }
    }

    /// Whose changes are in the copy already could not be told from the command's own.
    fn refuse_changes(&self, choice: &Choice) -> Result<(), LearnError> {
        match self.changed(choice)?.first() {
            Some(root) => Err(LearnError::Changed { root: root.to_string() }),
            None => Ok(()),
        }
    }

    /// The directories that are copied for learning and have changes in their copies.
    fn changed(&self, choice: &Choice) -> Result<Vec<AbsPath>, LearnError> {
        let mut changed = Vec::new();
        for root in ground::copies(choice) {
            // Without paths a copy need not be there.
            let standpoint = Standpoint { cwd: root.clone(), ..choice.standpoint.clone() };
            let which = Changes { standpoint, paths: Vec::new() };
            let listed: ListedChanges = self.link()?.call(ListChanges { which, diff: false }.into_call())?;
            let is_own = listed.copies.iter().any(|copied| copied.root == root);
            changed.extend(is_own.then_some(root));
        }
        Ok(changed)
    }

    fn discard(&self, choice: &Choice) -> Result<Outcomes, LearnError> {
        let paths = self.changed(choice)?;
        if paths.is_empty() {
            return Ok(Outcomes::default());
        }
        let which = Changes { standpoint: choice.standpoint.clone(), paths };
        Ok(self.link()?.call(Discard { which }.into_call())?)
    }

    /// Runs the command. Where the ceiling allows no loopback, or the host has no gate and nothing of the network is to be reached, it does
    /// without: what listened, or which hosts were asked for, is not known then.
    fn record(&self, choice: &Choice) -> Result<(Exited, Vec<HostQuestion>), LearnError> {
        let whole = Recording { hosts: true, loopback: true, sockets: self.sockets };
        let is_asked_for = self.network || self.sockets;
        let ran = self.run_once(choice, whole);
        let ran = match refusal(&ran) {
            Some(code::CEILING) => self.run_once(choice, Recording { loopback: false, ..whole }),
            _ => ran,
        };
        let ran = match refusal(&ran) {
            Some(code::UNENFORCEABLE | code::CEILING) if !is_asked_for => {
                self.run_once(choice, Recording { hosts: false, loopback: false, sockets: false })
            }
            _ => ran,
        };
        Ok(ran?)
    }

    fn run_once(
        &self,
        choice: &Choice,
        recording: Recording,
    ) -> Result<(Exited, Vec<HostQuestion>), Failure> {
        let wiring = Wiring::choose(self.tty);
        let wiring = if self.output.is_none() { wiring.leaving_output() } else { wiring };
        let start = Start {
            timeout_ms: self.timeout,
            asking: self.network.then_some(Asking { answer_ms: MAX_ANSWER_MS, most: MAX_QUESTIONS }),
            record: Some(recording),
            ..base_start(choice.clone(), &self.command, wiring.stdio())
        };
        let (ended, granted) = run::run_granting(&mut self.link()?, start, &wiring)?;
        Ok((ended.exited, granted))
    }

    fn write(
        &self,
        choice: &Choice,
        known: &Known,
        (recorded, exited, granted): (&Recorded, &Exited, &[HostQuestion]),
        target: Option<(PathBuf, Target)>,
    ) -> Result<Exit, LearnError> {
        let roots = ground::roots(choice);
        let proposal = propose(known.ground(&choice.standpoint.home, &roots), recorded, &ground::HostTree);
        let hosts = hosts(granted, &exited.unreached);
        let words: Vec<String> =
            self.command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let (command, end) = (words.join(" "), end_word(exited.end));
        let extends = self.profile.as_deref();
        let heading = Heading { name: &self.name, extends, command: &command, end: &end };
        let (home, denials) = (&choice.standpoint.home, exited.denials.as_slice());
        let text = render(&heading, &proposal, &Told { hosts: &hosts, denials, home, wide: &known.wide });
        let learnt = Learnt {
            name: &self.name,
            extends,
            exited: &end,
            toml: &text,
            proposal: &proposal,
            hosts: &hosts,
            denials,
        };
        let Some((file, mut target)) = target else {
            return Ok(if self.json { output::json(&learnt) } else { output::text(&text) });
        };
        let json = || serde_json::to_string_pretty(&learnt).map_err(std::io::Error::from);
        let written = if self.json { json() } else { Ok(text.clone()) };
        let written = written.and_then(|text| target.write(text.as_bytes()));
        written.map_err(|source| LearnError::Output { file, source })?;
        Ok(Exit::Success)
    }
}

/// The code of the exec-server's refusal, where it refused.
fn refusal<T>(ran: &Result<T, Failure>) -> Option<i64> {
    ran.as_ref().err().and_then(Failure::refusal).map(|error| error.code)
}

fn say_discarded(outcomes: &Outcomes) {
    for outcome in &outcomes.copies {
        let text = format!(
            "weir: what changed in {} was changed in a copy and is discarded ({}); --keep leaves it for weir changes",
            outcome.root,
            outcome.done.len()
        );
        output::message(&text, Exit::Success);
    }
}
