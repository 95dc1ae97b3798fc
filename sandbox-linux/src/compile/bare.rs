//! Landlock and seccomp alone: what that cannot hold, told by rule and feature.

use std::collections::{BTreeMap, BTreeSet};

use weir_protocol::AbsPath;
use weir_protocol::policy::{Access, Degradation, Filesystem, Origin, PathRule};

use super::Compiler;
use super::landlock::{ABI_SCOPES, ABI_TRUNCATE};
use super::refusal::Lack;
use super::tree::{Guards, PROC_SETTINGS, path};
use crate::broker::Guard;
use crate::host::Way;
use crate::survey::Kind;

/// Adds everything that is lacking, or given up by name.
pub(super) fn check(compiler: &mut Compiler<'_>) {
    let landlock = &compiler.facts.host.landlock;
    let (found, usable) = (landlock.abi, landlock.restrict.works());
    if !usable || found < ABI_TRUNCATE {
        compiler.lacks.push(Lack::Landlock { found: if usable { found } else { 0 }, needed: ABI_TRUNCATE });
    }
    compiler.give_up(Degradation::SharedProcesses, "processes of the host can be seen", Lack::Processes);
    // Landlock has no right for them up to its newest ABI (landlock(7), "Current limitations").
    let lost =
        "mode, owner, times and attributes of files that the user owns can be changed, whatever is granted";
    compiler.give_up(Degradation::SharedMetadata, lost, Lack::Metadata);
    if found < ABI_SCOPES {
        let lost = "processes of the host can be signalled, as far as the user may";
        compiler.give_up(Degradation::SharedSignals, lost, Lack::Signals);
    }
    let private: Vec<AbsPath> =
        compiler.filesystem.private().iter().map(|private| private.path.clone()).collect();
    for path in private {
        let lost = "home and temporary directories that are not granted are out of reach";
        compiler.give_up(Degradation::NoStandIns, lost, Lack::StandIn { path });
    }
    super::copied::refuse_all(compiler);
    terminals(compiler);
    carve_outs(compiler);
    settings(compiler);
}

/// Where the host's terminals are, the command's own among them.
const TERMINALS: &str = "/dev/pts";

/// The rule that grants terminals.
pub(super) fn grants_terminals(filesystem: &Filesystem) -> Option<&PathRule> {
    filesystem.covering(&path(TERMINALS)).filter(|rule| rule.access > Access::None)
}

/// Whether a path is that of terminals, of which init alone can tell the command's own.
pub(super) fn is_terminal(at: &AbsPath) -> bool {
    at.starts_with(&path(TERMINALS))
}

/// Whether they come along with a directory that is granted as a whole.
pub(super) fn shows_terminals(compiler: &Compiler<'_>) -> bool {
    compiler.way == Way::Bare && around(compiler, &path(TERMINALS)) > Access::None
}

/// Without init nobody tells the command's own terminals from others of the user, so that none is granted by name.
fn terminals(compiler: &mut Compiler<'_>) {
    let Some(rule) = grants_terminals(&compiler.filesystem).map(|rule| rule.origin.clone()) else { return };
    if compiler.is_live() {
        return;
    }
    if shows_terminals(compiler) {
        let lost = "what is typed at other terminals of the user can be read";
        compiler.give_up(Degradation::NoCarveOut, lost, Lack::CarveOut { path: path(TERMINALS), rule });
    } else {
        compiler.remarks.push(
            "without live rules no terminal is opened by its name, those made inside neither".to_owned(),
        );
    }
}

/// The machine's settings belong to uid 0, and nothing here makes them read-only where all around them may be written but live rules.
fn settings(compiler: &mut Compiler<'_>) {
    if compiler.facts.credentials.uid != 0 {
        return;
    }
    let writable = |path: AbsPath| writable_by(compiler, &path).map(|rule| Lack::Settings { path, rule });
    // One part of `/proc` stands for all.
    let proc = PROC_SETTINGS.into_iter().map(path).find_map(writable);
    let elsewhere = compiler.facts.survey.kernel_trees.keys().cloned();
    let others = std::iter::once(path("/sys")).chain(elsewhere).filter_map(writable);
    let lacks: Vec<Lack> = proc.into_iter().chain(others).collect();
    compiler.lacks.extend(lacks);
}

/// The rule by which a place can be written in truth: without live rules what is read-only inside what may be written is not.
fn writable_by(compiler: &Compiler<'_>, path: &AbsPath) -> Option<Origin> {
    if compiler.access(path).writes() {
        return Some(compiler.origin(path));
    }
    let mut around = compiler.filesystem.around(path).filter(|_| !compiler.is_live());
    around.find(|rule| rule.access.writes()).map(|rule| rule.origin.clone())
}

/// What is closed, or may only be read, inside what may be written is held by live rules alone; inside what may be read, everything beside
/// it is granted by itself.
fn carve_outs(compiler: &mut Compiler<'_>) {
    let lost = "what is closed inside a place that may be written stays open";
    let live = compiler.is_live();
    let inside: Vec<PathRule> = compiler
        .filesystem
        .rules()
        .iter()
        .filter(|rule| around(compiler, &rule.path).writes() && is_there(compiler, &rule.path))
        .filter(|rule| !rule.access.writes() && !live)
        .cloned()
        .collect();
    for rule in inside {
        let lack = Lack::CarveOut { path: rule.path, rule: rule.origin };
        compiler.give_up(Degradation::NoCarveOut, lost, lack);
    }
    let survey = compiler.facts.survey;
    for found in survey.matches.iter().chain(&survey.closed) {
        let glob = compiler.policy.filesystem().globs().get(found.rule);
        if let Some(glob) = glob.filter(|_| !live && compiler.access(&found.path).writes()) {
            let lack = Lack::Pattern { path: found.path.clone(), rule: glob.origin.clone() };
            compiler.give_up(Degradation::NoCarveOut, lost, lack);
        }
    }
    let ways: Vec<String> = survey.siblings.keys().map(ToString::to_string).collect();
    if !ways.is_empty() {
        compiler.remarks.push(format!(
            "without a mount namespace, what is closed is left out of what is granted: {} cannot be listed, and names that appear there later stay closed",
            ways.join(", ")
        ));
    }
}

/// What is closed and there, sorted so that what lies below a place is found without looking at all.
pub(super) struct Closed<'s>(BTreeSet<&'s [u8]>);

impl<'s> Closed<'s> {
    pub(super) fn of(compiler: &'s Compiler<'_>) -> Self {
        let closed = compiler.facts.survey.closed_inside(&compiler.filesystem);
        Self(closed.map(AbsPath::as_bytes).collect())
    }

    /// Whether `path` or something below it is closed.
    fn reaches(&self, path: &AbsPath) -> bool {
        let below = if path.is_root() { b"/".to_vec() } else { [path.as_bytes(), b"/"].concat() };
        let next = self.0.range(below.as_slice()..).next();
        self.0.contains(path.as_bytes()) || next.is_some_and(|closed| closed.starts_with(&below))
    }
}

/// Grants `path`, or where something is closed inside, all that is beside it.
pub(super) fn grant(
    compiler: &Compiler<'_>,
    closed: &Closed<'_>,
    path: &AbsPath,
    found: &mut BTreeMap<AbsPath, Access>,
) {
    let access = compiler.access(path);
    if access == Access::None || found.contains_key(path) {
        return;
    }
    if access != Access::Read || !closed.reaches(path) {
        found.insert(path.clone(), access);
        return;
    }
    for name in compiler.facts.survey.siblings.get(path).into_iter().flatten() {
        let Ok(beside) = path.join(name) else { continue };
        grant(compiler, closed, &beside, found);
    }
}

/// What holds right above `path`.
fn around(compiler: &Compiler<'_>, path: &AbsPath) -> Access {
    path.parent().map_or(Access::None, |parent| compiler.access(&parent))
}

fn is_there(compiler: &Compiler<'_>, path: &AbsPath) -> bool {
    !matches!(compiler.facts.survey.places.get(path), None | Some(Kind::Missing | Kind::Symlink))
}

/// Names that are missing and must stay so.
pub(super) fn guards(compiler: &Compiler<'_>) -> Vec<Guard> {
    let mut guards = Guards::default();
    for rule in compiler.filesystem.rules() {
        let missing = matches!(compiler.facts.survey.places.get(&rule.path), Some(Kind::Missing));
        if missing && !rule.access.writes() && around(compiler, &rule.path).writes() {
            guards.add(&rule.path);
        }
    }
    guards.into_list()
}
