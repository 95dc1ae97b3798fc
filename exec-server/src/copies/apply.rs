//! Makes changes of a copy those of the place itself: nothing half, whatever ends it.
//!
//! Everything is made anew beside its place, on the same file system, and seen to be on the disk; then the journal is committed; then each
//! place gets its new content by one rename. What ends it before the commit leaves nothing but temporary names, which the next one
//! takes away; what ends it after is finished by the next one. A place that the host has changed meanwhile is looked at once more in the
//! very exchange, and put back.
//!
//! Whoever finishes knows what was done from the names themselves, as long as they stand; the journal says it before the first of them goes.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd as _;

use ring::rand::{SecureRandom as _, SystemRandom};
use weir_protocol::method::changes::{ChangeKind, Left, Outcome};
use weir_protocol::{AbsPath, ByteString};

use super::journal::{self, Act, Journal, Step, Undone, Why};
use super::known::Known;
use super::look::{Found, MODE_BITS, above, is_chosen, look};
use super::rename::{self, Done, Renamed};
use super::stage::{Place, Staging, name};
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
        let undone = finish(&state, journal, &mut outcome)?;
        // What is chosen is looked at anew, and told then.
        let is_told = |undone: &Undone| {
            matches!(undone.why, Why::Beside(_)) || !is_chosen(state.root(), &undone.path.0, paths)
        };
        outcome.left.extend(undone.into_iter().filter(is_told).map(told));
    }
    let steps = chosen(&state, paths, force, &mut outcome)?;
    if !steps.is_empty() {
        let journal = prepare(&state, steps, &mut outcome)?;
        let undone = finish(&state, journal, &mut outcome)?;
        outcome.left.extend(undone.into_iter().map(told));
    }
    state.forget_empty().of(&outcome.root)?;
    Ok(outcome)
}

fn left(path: &[u8], conflict: bool, because: impl Into<String>) -> Left {
    Left { path: ByteString(path.to_vec()), conflict, because: because.into() }
}

fn told(undone: Undone) -> Left {
    let Undone { path, why } = undone;
    match why {
        Why::Changed => left(&path.0, true, CHANGED),
        Why::Beside(name) => {
            let because =
                format!("it was changed on the host in the very moment; what was there is {name}, beside it");
            left(&path.0, true, because)
        }
        Why::Failed(because) => left(&path.0, false, because),
    }
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
fn prepare(state: &State, steps: Vec<Step>, outcome: &mut Outcome) -> Result<Journal, CopyError> {
    let prepared = staged(state, steps, outcome);
    if prepared.is_err() {
        // What was being prepared is taken back at once, or else by the next one.
        let _ = journal::recover(state);
    }
    prepared
}

fn staged(state: &State, mut steps: Vec<Step>, outcome: &mut Outcome) -> Result<Journal, CopyError> {
    let root = state.root();
    let (upper, host) = (state.upper().of(root)?, state.host().of(root)?);
    steps.extend(modes::needed(&host, &steps));
    let mut journal = Journal::new(steps);
    journal.write(state)?;
    modes::open(&host, journal.steps.iter().filter(|step| step.act == Act::Open));
    let mut staging = Staging::new(&host);
    let mut unstaged = Vec::new();
    journal.steps.retain_mut(|step| match stage(step, &upper, &host, &mut staging) {
        Ok(staged) => {
            step.staged = staged;
            true
        }
        Err(error) => {
            outcome.left.push(left(&step.path.0, false, error.to_string()));
            unstaged.push(step.clone());
            false
        }
    });
    outcome.left.extend(journal::clear(&host, &unstaged));
    sync(&host, journal.renames()).of(root)?;
    journal.commit();
    journal.write(state)?;
    Ok(journal)
}

fn stage(step: &Step, upper: &Tree, host: &Tree, staging: &mut Staging<'_>) -> io::Result<Option<Identity>> {
    if step.is_mode() {
        return Ok(None);
    }
    let (to, _) = host.parent(&step.path.0)?;
    if step.act == Act::Remove {
        return Ok(None);
    }
    let (from, from_name) = upper.parent(&step.path.0)?;
    let temporary = name(&step.temporary.0);
    let above = above(&step.path.0);
    staging.make(&Place { from: from.as_fd(), name: from_name, to: to.as_fd(), above, new: &temporary })?;
    Ok(tree::status(&to, &temporary)?.as_ref().map(Identity::of))
}

/// Sees that the names in the directories of these steps are on the disk. A directory that is gone by now has none.
fn sync<'s>(host: &Tree, steps: impl IntoIterator<Item = &'s Step>) -> io::Result<()> {
    for parent in steps.into_iter().map(|step| above(&step.path.0)).collect::<BTreeSet<_>>() {
        match host.directory(parent) {
            Err(error) if tree::is_absent(&error) => {}
            directory => rustix::fs::fsync(directory?)?,
        }
    }
    Ok(())
}

/// Does what is committed, and forgets it in the copy; answers what was not done.
fn finish(state: &State, mut journal: Journal, outcome: &mut Outcome) -> Result<Vec<Undone>, CopyError> {
    let root = state.root();
    let (upper, host) = (state.upper().of(root)?, state.host().of(root)?);
    modes::open(&host, journal.steps.iter().filter(|step| step.is_mode()));
    if !journal.is_carried_out() {
        carry_out(state, &host, &mut journal)?;
    }
    let done = journal.done();
    discard::forget(state, &done.iter().map(|step| step.path.0.clone()).collect::<Vec<_>>())?;
    let mut known = Known::of(state)?;
    let temporary = journal.temporary();
    outcome
        .left
        .extend(journal::clear_telling(&host, temporary, &mut |before, file| known.is_gone(&before, file)));
    known.note(state)?;
    // From here on nothing in a directory is changed. What lies deeper comes first: a mode can close the way to it.
    let mut undone = Vec::new();
    let modes = journal.steps.iter().filter(|step| step.is_mode()).collect();
    let set = set_modes(modes, (&upper, &host), &mut undone);
    discard::prune_all(state, &set.iter().map(|step| step.path.0.clone()).collect::<Vec<_>>()).of(root)?;
    journal::close(state)?;
    let mut paths: Vec<ByteString> = done.into_iter().chain(set).map(|step| step.path.clone()).collect();
    paths.sort();
    outcome.done.extend(paths);
    undone.splice(..0, journal.undone);
    Ok(undone)
}

/// Does every rename, and puts on record which were not done, before anything goes that tells.
fn carry_out(state: &State, host: &Tree, journal: &mut Journal) -> Result<(), CopyError> {
    let (mut renamed, mut undone) = (Renamed::default(), Vec::new());
    for step in journal.renames() {
        match rename::carry_out(step, host, &mut renamed) {
            Ok(Done::Done) => {}
            Ok(Done::Undone(why)) => undone.push(Undone { path: step.path.clone(), why }),
            Err(error) => undone.push(failed(step, &error)),
        }
    }
    journal.carried_out(undone);
    // What is not on the disk is not forgotten in the copy.
    sync(host, journal.done()).of(state.root())?;
    let now = journal.done().into_iter().filter_map(|step| {
        let found = host.status(&step.path.0).ok().flatten()?;
        Some((step.path.0.clone(), Identity::of(&found)))
    });
    let mut known = Known::of(state)?;
    for (path, (before, file)) in &renamed.with_others {
        known.goes(path, before, *file);
    }
    known.note(state)?;
    journal::note_applied(state, now.collect())?;
    journal.write(state)
}

fn failed(step: &Step, error: &io::Error) -> Undone {
    Undone { path: step.path.clone(), why: Why::Failed(error.to_string()) }
}

/// Sets modes and sets them back; answers what is done of the former.
fn set_modes<'s>(mut steps: Vec<&'s Step>, sides: (&Tree, &Tree), undone: &mut Vec<Undone>) -> Vec<&'s Step> {
    steps.sort_by(|one, other| (&other.path, one.act == Act::Open).cmp(&(&one.path, other.act == Act::Open)));
    let mut set: Vec<&Step> = Vec::new();
    for step in steps {
        let is_set = set.last().is_some_and(|last| last.path == step.path);
        match step.act {
            Act::Open if is_set => {}
            // What cannot be set back is gone.
            Act::Open => drop(modes::set(sides.1, &step.path.0, step.mode)),
            _ => match set_mode(step, sides) {
                Ok(Done::Done) => set.push(step),
                Ok(Done::Undone(why)) => undone.push(Undone { path: step.path.clone(), why }),
                Err(error) => undone.push(failed(step, &error)),
            },
        }
    }
    set
}

/// What the copy's directory has beside its mode is there until the mode is set.
fn set_mode(step: &Step, (upper, host): (&Tree, &Tree)) -> io::Result<Done> {
    let path = &step.path.0;
    let Some(found) = host.status(path)?.filter(tree::is_directory) else {
        return Ok(Done::Undone(Why::Changed));
    };
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
