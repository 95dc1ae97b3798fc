//! Makes changes of a copy those of the place itself: nothing half, whatever ends it.
//!
//! Everything is made anew beside its place, on the same file system, and seen to be on the disk; then the journal is committed; then each
//! place gets its new content by one rename. What ends it before the commit leaves nothing but temporary names, which the next one
//! takes away; what ends it after is finished by the next one. A place that the host has changed meanwhile is looked at once more in the
//! very exchange, and put back.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd as _;

use ring::rand::{SecureRandom as _, SystemRandom};
use weir_protocol::method::changes::{ChangeKind, Left, Outcome};
use weir_protocol::{AbsPath, ByteString};

use super::journal::{self, Act, Journal, Step};
use super::known::Known;
use super::look::{Found, MODE_BITS, is_chosen, look};
use super::rename::{self, Done, Renamed};
use super::stage::{Staging, name};
use super::state::State;
use super::tree::{self, Identity, Tree};
use super::{CopyError, Of as _, discard, modes};

/// How every temporary name begins.
const TEMPORARY: &str = ".weir-apply-";

/// Bytes of chance in a temporary name.
const CHANCE_BYTES: usize = 8;

const CHANGED: &str =
    "it was changed on the host since the copy was begun; look at both, then say --force or discard it";

/// Applies what is chosen.
pub(super) fn apply(state: State, paths: &[AbsPath], force: bool) -> Result<Outcome, CopyError> {
    let mut outcome = Outcome { root: state.root().clone(), done: Vec::new(), left: Vec::new() };
    if journal::recover(&state)?
        && let Some(journal) = journal::read(&state)?
    {
        finish(&state, journal.steps, &mut outcome)?;
    }
    let steps = chosen(&state, paths, force, &mut outcome)?;
    if !steps.is_empty() {
        let steps = prepare(&state, steps, &mut outcome)?;
        finish(&state, steps, &mut outcome)?;
    }
    state.forget_empty().of(&outcome.root)?;
    Ok(outcome)
}

fn left(path: &[u8], conflict: bool, because: impl Into<String>) -> Left {
    Left { path: ByteString(path.to_vec()), conflict, because: because.into() }
}

/// What is to be done; what is not, and why, goes to the outcome.
fn chosen(
    state: &State,
    paths: &[AbsPath],
    force: bool,
    outcome: &mut Outcome,
) -> Result<Vec<Step>, CopyError> {
    let mut chance = [0; CHANCE_BYTES];
    SystemRandom::new()
        .fill(&mut chance)
        .map_err(|_| io::Error::other("there is no chance"))
        .of(state.root())?;
    let chance: String = chance.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut steps = Vec::new();
    let (whole, parts): (Vec<Found>, Vec<Found>) =
        look(state)?.into_iter().partition(|found| found.part_of.is_none());
    for found in parts.iter().filter(|found| is_chosen(state.root(), &found.path, paths)) {
        let whole = found.part_of.as_deref().unwrap_or_default();
        if !is_chosen(state.root(), whole, paths) {
            let because =
                format!("it is a part of {}, which is applied as a whole", ByteString(whole.to_vec()));
            outcome.left.push(left(&found.path, false, because));
        }
    }
    for found in whole.iter().filter(|found| is_chosen(state.root(), &found.path, paths)) {
        let inner =
            parts.iter().find_map(|part| part.refused.filter(|_| part.part_of.as_ref() == Some(&found.path)));
        if let Some(because) = found.refused.or(inner) {
            outcome.left.push(left(&found.path, false, because));
        } else if found.conflict && !force {
            outcome.left.push(left(&found.path, true, CHANGED));
        } else {
            steps.push(step(found, &format!("{TEMPORARY}{chance}-{}", steps.len())));
        }
    }
    Ok(steps)
}

fn step(found: &Found, temporary: &str) -> Step {
    let act = match found.kind {
        ChangeKind::Added => Act::Place,
        ChangeKind::Modified | ChangeKind::Replaced => Act::Exchange,
        ChangeKind::Removed => Act::Remove,
        ChangeKind::Mode => Act::Mode,
    };
    Step {
        path: ByteString(found.path.clone()),
        act,
        temporary: ByteString::from(temporary),
        staged: None,
        before: found.host,
        mode: found.mode,
        owner: found.owner.filter(|_| act == Act::Mode),
    }
}

/// Stages everything, and commits.
fn prepare(state: &State, steps: Vec<Step>, outcome: &mut Outcome) -> Result<Vec<Step>, CopyError> {
    let prepared = staged(state, steps, outcome);
    if prepared.is_err() {
        // What was being prepared is taken back at once, or else by the next one.
        let _ = journal::recover(state);
    }
    prepared
}

fn staged(state: &State, mut steps: Vec<Step>, outcome: &mut Outcome) -> Result<Vec<Step>, CopyError> {
    let root = state.root();
    let (upper, host) = (state.upper().of(root)?, state.host().of(root)?);
    steps.extend(modes::needed(&host, &steps));
    let mut journal = Journal::new(steps);
    journal.write(state)?;
    modes::open(&host, journal.steps.iter().filter(|step| step.act == Act::Open));
    let mut staging = Staging::default();
    let mut failed = Vec::new();
    journal.steps.retain_mut(|step| match stage(step, &upper, &host, &mut staging) {
        Ok(staged) => {
            step.staged = staged;
            true
        }
        Err(error) => {
            outcome.left.push(left(&step.path.0, false, error.to_string()));
            failed.push(step.clone());
            false
        }
    });
    outcome.left.extend(journal::clear(&host, &failed));
    sync(&host, &journal.steps).of(root)?;
    journal.commit();
    journal.write(state)?;
    Ok(journal.steps)
}

fn stage(step: &Step, upper: &Tree, host: &Tree, staging: &mut Staging) -> io::Result<Option<Identity>> {
    if matches!(step.act, Act::Mode | Act::Open) {
        return Ok(None);
    }
    let (to, _) = host.parent(&step.path.0)?;
    if step.act == Act::Remove {
        return Ok(None);
    }
    let (from, from_name) = upper.parent(&step.path.0)?;
    let temporary = name(&step.temporary.0);
    staging.make(from.as_fd(), from_name, to.as_fd(), &temporary)?;
    Ok(tree::status(&to, &temporary)?.as_ref().map(Identity::of))
}

/// Sees that the names in the directories of all steps are on the disk.
fn sync(host: &Tree, steps: &[Step]) -> io::Result<()> {
    let parent = |step: &Step| {
        let path = &step.path.0;
        path.iter().rposition(|byte| *byte == b'/').map(|slash| path[..slash].to_vec()).unwrap_or_default()
    };
    for parent in steps.iter().map(parent).collect::<BTreeSet<_>>() {
        rustix::fs::fsync(host.directory(&parent)?)?;
    }
    Ok(())
}

/// Does what is committed, and forgets it in the copy.
fn finish(state: &State, steps: Vec<Step>, outcome: &mut Outcome) -> Result<(), CopyError> {
    let root = state.root();
    let (upper, host) = (state.upper().of(root)?, state.host().of(root)?);
    let (modes, rest): (Vec<&Step>, Vec<&Step>) =
        steps.iter().partition(|step| matches!(step.act, Act::Mode | Act::Open));
    modes::open(&host, modes.iter().copied());
    let mut renamed = Renamed::default();
    let done = carry_out(&rest, outcome, |step| rename::carry_out(step, &host, &mut renamed));
    let _ = sync(&host, &steps);
    let now = done.iter().filter_map(|step| {
        let found = host.status(&step.path.0).ok().flatten()?;
        Some((step.path.0.clone(), Identity::of(&found)))
    });
    let mut known = Known::of(state)?;
    for (path, (before, file)) in &renamed.with_others {
        known.goes(path, before, *file);
    }
    known.note(state)?;
    journal::note_applied(state, now.collect())?;
    discard::forget(state, &done.iter().map(|step| step.path.0.clone()).collect::<Vec<_>>())?;
    outcome
        .left
        .extend(journal::clear_telling(&host, &steps, &mut |before, file| known.is_gone(&before, file)));
    known.note(state)?;
    // From here on nothing in a directory is changed. What lies deeper comes first: a mode can close the way to it.
    let set = set_modes(modes, (&upper, &host), outcome);
    discard::prune_all(state, &set.iter().map(|step| step.path.0.clone()).collect::<Vec<_>>()).of(root)?;
    journal::close(state)?;
    let mut paths: Vec<ByteString> = done.into_iter().chain(set).map(|step| step.path.clone()).collect();
    paths.sort();
    outcome.done.extend(paths);
    Ok(())
}

/// Does these; answers those that are done.
fn carry_out<'s>(
    steps: &[&'s Step],
    outcome: &mut Outcome,
    mut act: impl FnMut(&Step) -> io::Result<Done>,
) -> Vec<&'s Step> {
    let mut done = Vec::new();
    for step in steps.iter().copied() {
        match act(step) {
            Ok(Done::Done) => done.push(step),
            Ok(Done::Changed) => outcome.left.push(left(&step.path.0, true, CHANGED)),
            Err(error) => outcome.left.push(left(&step.path.0, false, error.to_string())),
        }
    }
    done
}

/// Sets modes and sets them back; answers what is done of the former.
fn set_modes<'s>(mut steps: Vec<&'s Step>, sides: (&Tree, &Tree), outcome: &mut Outcome) -> Vec<&'s Step> {
    steps.sort_by(|one, other| (&other.path, one.act == Act::Open).cmp(&(&one.path, other.act == Act::Open)));
    let mut set: Vec<&Step> = Vec::new();
    for step in steps {
        let is_set = set.last().is_some_and(|last| last.path == step.path);
        match step.act {
            Act::Open if is_set => {}
            // What cannot be set back is gone.
            Act::Open => drop(modes::set(sides.1, &step.path.0, step.mode)),
            _ => set.extend(carry_out(&[step], outcome, |step| set_mode(step, sides))),
        }
    }
    set
}

/// What the copy's directory has beside its mode is there until the mode is set.
fn set_mode(step: &Step, (upper, host): (&Tree, &Tree)) -> io::Result<Done> {
    let path = &step.path.0;
    let Some(found) = host.status(path)?.filter(tree::is_directory) else { return Ok(Done::Changed) };
    if let Some(owner) = step.owner {
        modes::give_owner(host, path, owner)?;
    }
    if let (Ok(Some(above)), Ok(Some(below))) = (upper.open_directory(path), host.open_directory(path)) {
        modes::give_attributes(&above, &below)?;
    }
    if found.st_mode & MODE_BITS != step.mode {
        modes::set(host, path, step.mode)?;
    }
    // It may have had another one while something was taken out of it.
    let _ = modes::set(upper, path, step.mode);
    Ok(Done::Done)
}
