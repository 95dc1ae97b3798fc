//! Landlock and seccomp alone: what that cannot hold, told by rule and feature.

use weir_protocol::AbsPath;
use weir_protocol::policy::{Access, Degradation, PathRule};

use super::Compiler;
use super::landlock::{ABI_SCOPES, ABI_TRUNCATE};
use super::refusal::Lack;
use super::tree::Guards;
use crate::plan::Guard;
use crate::survey::Kind;

/// Adds everything that is lacking, or given up by name.
pub(super) fn check(compiler: &mut Compiler<'_>) {
    let landlock = &compiler.facts.host.landlock;
    let (found, usable) = (landlock.abi, landlock.restrict.works());
    if !usable || found < ABI_TRUNCATE {
        compiler.lacks.push(Lack::Landlock { found: if usable { found } else { 0 }, needed: ABI_TRUNCATE });
    }
    compiler.give_up(Degradation::SharedProcesses, "processes of the host can be seen", Lack::Processes);
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
    carve_outs(compiler);
}

fn carve_outs(compiler: &mut Compiler<'_>) {
    let lost = "what is closed inside a grant stays open";
    let inside: Vec<PathRule> = compiler
        .filesystem
        .rules()
        .iter()
        .filter(|rule| rule.access < around(compiler, &rule.path) && is_there(compiler, &rule.path))
        .cloned()
        .collect();
    for rule in inside {
        let lack = Lack::CarveOut { path: rule.path, rule: rule.origin };
        compiler.give_up(Degradation::NoCarveOut, lost, lack);
    }
    let patterns: Vec<_> = compiler.filesystem.globs().iter().map(|glob| glob.origin.clone()).collect();
    for rule in patterns {
        compiler.give_up(Degradation::NoCarveOut, lost, Lack::Pattern { rule });
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
        if missing && rule.access < Access::Write && around(compiler, &rule.path) == Access::Write {
            guards.add(&rule.path);
        }
    }
    guards.into_list()
}
