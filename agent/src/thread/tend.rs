//! Putting threads away, bringing them back, deleting them.
//!
//! A deleted thread that others were forked from keeps what they need of it, out of every list, and goes with the last of them.

use std::fs;
use std::io;
use std::path::Path;

use super::index::{Index, Known};
use super::place::{self, Shelf};
use super::store::located;
use super::{Store, ThreadError, ThreadId};

/// What became of a deleted thread's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone.
    Whole,
    /// These threads continue it: what they need of it is kept for them, and the rest is gone.
    Kept(Vec<ThreadId>),
}

impl Store {
    /// Puts a thread away. Its forks still find it.
    ///
    /// # Errors
    /// [`ThreadError::InUse`], [`ThreadError::IsArchived`], or when the file cannot be moved.
    pub fn archive(&self, id: ThreadId) -> Result<(), ThreadError> {
        self.put(id, Shelf::Archived)
    }

    /// Brings a thread back.
    ///
    /// # Errors
    /// [`ThreadError::NotArchived`], or when the file cannot be moved.
    pub fn unarchive(&self, id: ThreadId) -> Result<(), ThreadError> {
        self.put(id, Shelf::Live)
    }

    fn put(&self, id: ThreadId, to: Shelf) -> Result<(), ThreadError> {
        self.with(|index| {
            let known = located(index, id)?;
            if known.shelf() == Some(to) {
                return Err(match to {
                    Shelf::Archived => ThreadError::IsArchived { thread: id },
                    Shelf::Live | Shelf::Retained => ThreadError::NotArchived { thread: id },
                });
            }
            let held = self.lock(&known)?;
            let change = index.change()?;
            shift(self.home(), index, &known, to)?;
            drop(held);
            Ok(change.commit()?)
        })
    }

    /// Gives a thread a name.
    ///
    /// # Errors
    /// As [`Store::resume`].
    pub fn name(&self, id: ThreadId, name: &str) -> Result<(), ThreadError> {
        self.resume(id)?.name(name)
    }

    /// Deletes a thread, and all that its commands wrote.
    ///
    /// # Errors
    /// [`ThreadError::InUse`], or when the file cannot be removed.
    pub fn delete(&self, id: ThreadId) -> Result<Deleted, ThreadError> {
        self.with(|index| {
            // A fork that the index does not know would lose its history.
            index.discover()?;
            let known = located(index, id)?;
            let held = self.lock(&known)?;
            let change = index.change()?;
            let forks = index.forks(id)?;
            remove_outputs(self.home(), id)?;
            let deleted = if forks.is_empty() {
                remove(self.home(), index, &known)?;
                Deleted::Whole
            } else {
                let needed = forks.iter().filter_map(|fork| fork.meta.base).map(|base| base.offset).max();
                let path = self.home().join(&known.path);
                let cut = held.set_len(needed.unwrap_or(0)).and_then(|()| held.sync_all());
                cut.map_err(|source| ThreadError::Move { path, source })?;
                shift(self.home(), index, &known, Shelf::Retained)?;
                index.current(id)?;
                Deleted::Kept(forks.iter().map(|fork| fork.id).collect())
            };
            change.commit()?;
            Ok(deleted)
        })
    }
}

fn shift(home: &Path, index: &Index, known: &Known, to: Shelf) -> Result<(), ThreadError> {
    let moved = place::shift(home, &known.path, to);
    let path = moved.map_err(|source| ThreadError::Move { path: home.join(&known.path), source })?;
    index.moved(known.id, &path)
}

/// Removes what a thread's commands wrote, where there is any.
fn remove_outputs(home: &Path, id: ThreadId) -> Result<(), ThreadError> {
    let path = place::outputs(home, id);
    match fs::remove_dir_all(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(ThreadError::Move { path, source }),
        _ => Ok(()),
    }
}

/// Removes a file, and with it those that were kept for it alone.
fn remove(home: &Path, index: &Index, known: &Known) -> Result<(), ThreadError> {
    let mut next = Some(known.clone());
    while let Some(known) = next {
        let path = home.join(&known.path);
        let gone = fs::remove_file(&path);
        gone.and_then(|()| place::sync_directory(path.parent().unwrap_or(home)))
            .map_err(|source| ThreadError::Move { path, source })?;
        index.forget(known.id)?;
        let base = known.meta.base.map(|base| index.known(base.thread)).transpose()?.flatten();
        next = base.filter(|base| base.shelf() == Some(Shelf::Retained));
        if let Some(base) = &next
            && !index.forks(base.id)?.is_empty()
        {
            next = None;
        }
    }
    Ok(())
}
