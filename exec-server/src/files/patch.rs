//! `file/patch`: exact changes, all of them or none.
//!
//! Everything is read and changed in memory first. When a write fails half-way, what was written is put back as it was.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;

use weir_protocol::method::file::{
    By, Change, MAX_CHANGES, MAX_PATCHED_BYTES, MAX_WRITE_BYTES, Patch, Patched, Replacement,
};
use weir_protocol::{AbsPath, ByteString};

use super::read::whole;
use super::worker::{Worker, too_large};
use super::write::{create, replace};
use super::{Fault, On as _, Outcome};

/// What one file was and will be; nothing where there is none.
struct Turn {
    path: AbsPath,
    before: Option<Before>,
    after: Option<Vec<u8>>,
}

struct Before {
    content: Vec<u8>,
    mode: u32,
}

pub(super) fn patch(ask: &Patch, worker: &Worker) -> Outcome<Patched> {
    let turns = turns(ask, worker)?;
    for (done, turn) in turns.iter().enumerate() {
        if let Err(failure) = turn.take(worker) {
            turns.iter().take(done).rev().for_each(|turn| turn.take_back(worker));
            return Err(failure);
        }
    }
    let size = |turn: &Turn| turn.after.as_ref().map(|after| after.len() as u64);
    Ok(Patched { sizes: turns.iter().map(size).collect() })
}

fn turns(ask: &Patch, worker: &Worker) -> Outcome<Vec<Turn>> {
    let (mut turns, mut paths) = (Vec::new(), BTreeSet::new());
    let mut left = MAX_PATCHED_BYTES;
    for change in &ask.changes {
        let path = &change.path;
        if ask.changes.len() > MAX_CHANGES {
            return Err(too_large(ask.changes.len() as u64, "changes", MAX_CHANGES as u64)).writing(path);
        }
        if !paths.insert(super::real(path)) {
            return Err(Fault::Mismatch("two changes are of the same file".to_owned())).writing(path);
        }
        let turn = turn(change, left, worker)?;
        for content in turn.before.iter().map(|before| &before.content).chain(&turn.after) {
            let rest = left.checked_sub(content.len() as u64);
            let rest = rest.ok_or_else(|| too_large(content.len() as u64, "bytes more", left));
            left = rest.writing(path)?;
        }
        turns.push(turn);
    }
    Ok(turns)
}

fn turn(change: &Change, left: u64, worker: &Worker) -> Outcome<Turn> {
    let Change { path, by } = change;
    let turn = |before, after| Turn { path: path.clone(), before, after };
    if let By::Create(ByteString(content)) = by {
        if content.len() > MAX_WRITE_BYTES {
            return Err(too_large(content.len() as u64, "bytes", MAX_WRITE_BYTES as u64)).writing(path);
        }
        return match fs::symlink_metadata(path.as_path()) {
            Ok(_) => Err(Fault::System(libc::EEXIST)).writing(path),
            Err(_) => Ok(turn(None, Some(content.clone()))),
        };
    }
    let content = whole(path, left, worker)?;
    let mode = fs::metadata(path.as_path()).reading(path)?.mode();
    let after = match by {
        By::Edits(edits) => Some(edited(&content, edits, left).writing(path)?),
        By::Diff(ByteString(diff)) => Some(patched(&content, diff).writing(path)?),
        By::Create(_) | By::Remove => None,
    };
    Ok(turn(Some(Before { content, mode }), after))
}

fn edited(content: &[u8], edits: &[Replacement], most: u64) -> Result<Vec<u8>, Fault> {
    let mut content = content.to_vec();
    for (number, edit) in (1..).zip(edits) {
        content = replaced(&content, edit, most).map_err(|what| match what {
            Fault::Mismatch(what) => Fault::Mismatch(format!("edit {number}: {what}")),
            other => other,
        })?;
    }
    Ok(content)
}

fn replaced(content: &[u8], edit: &Replacement, most: u64) -> Result<Vec<u8>, Fault> {
    let (ByteString(old), ByteString(new)) = (&edit.old, &edit.new);
    if old.is_empty() {
        return Err(Fault::Mismatch("nothing to be replaced is given".to_owned()));
    }
    let (mut out, mut from, mut times) = (Vec::new(), 0, 0_u32);
    for at in memchr::memmem::find_iter(content, old) {
        out.extend(content.get(from..at).unwrap_or_default());
        out.extend(new);
        if out.len() as u64 > most {
            return Err(too_large(out.len() as u64, "bytes after an edit", most));
        }
        from = at + old.len();
        times = times.saturating_add(1);
    }
    if times != edit.times {
        let message = format!("its old text is there {times} times, not {}", edit.times);
        return Err(Fault::Mismatch(message));
    }
    out.extend(content.get(from..).unwrap_or_default());
    Ok(out)
}

fn patched(content: &[u8], diff: &[u8]) -> Result<Vec<u8>, Fault> {
    let wrong = |error: &dyn std::fmt::Display| Fault::Mismatch(error.to_string());
    let patch = diffy::Patch::from_bytes(diff).map_err(|error| wrong(&error))?;
    if patch.hunks().is_empty() {
        return Err(Fault::Mismatch("the diff has no hunk".to_owned()));
    }
    diffy::apply_bytes(content, &patch).map_err(|error| wrong(&error))
}

impl Turn {
    fn take(&self, worker: &Worker) -> Outcome<()> {
        let path = &self.path;
        match (&self.before, &self.after) {
            (None, Some(after)) => create(worker, path, None, |file| fill(file, after)).writing(path),
            (Some(_), Some(after)) => {
                replace(worker, path, None, |file| fill(file, after)).map(drop).writing(path)
            }
            (Some(_), None) => {
                worker.check_name(path).writing(path)?;
                fs::remove_file(path.as_path()).writing(path)
            }
            (None, None) => Ok(()),
        }
    }

    /// Nobody can be told of a failure here; the one that led here is told.
    fn take_back(&self, worker: &Worker) {
        let path = &self.path;
        let _ = match (&self.before, &self.after) {
            (None, _) => fs::remove_file(path.as_path()).map_err(Fault::from),
            (Some(before), Some(_)) => {
                replace(worker, path, None, |file| fill(file, &before.content)).map(drop)
            }
            (Some(before), None) => {
                create(worker, path, Some(before.mode), |file| fill(file, &before.content))
            }
        };
    }
}

fn fill(mut file: &File, content: &[u8]) -> Result<(), Fault> {
    Ok(file.write_all(content)?)
}
