//! Finding rollouts that came or went without the index: it was thrown away, a writer ended midway, a person moved files.
//!
//! A directory is read only where its modification time is not the one that was seen; a time too young to tell is not kept.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rusqlite::{OptionalExtension, params};

use super::super::place::{Shelf, file_name};
use super::super::{ThreadError, ThreadId};
use super::{Index, is_missing};

/// Two changes within this time may leave a directory the same modification time.
const TELLING: Duration = Duration::from_secs(2);

/// How deep below the shelf the directories with rollouts lie: year, month, day.
const LIVE_DEPTH: usize = 3;

impl Index {
    /// Brings threads and files together.
    pub(in super::super) fn discover(&self) -> Result<(), ThreadError> {
        let mut found = BTreeSet::new();
        for shelf in Shelf::ALL {
            let depth = if shelf == Shelf::Live { LIVE_DEPTH } else { 0 };
            self.directories(shelf.directory(), depth, &mut found)?;
        }
        let mut seen = self.db.prepare_cached("SELECT path FROM directories")?;
        let seen = seen.query_map([], |row| row.get(0))?.collect::<Result<BTreeSet<String>, _>>()?;
        let changed: Vec<&String> = found.union(&seen).collect();
        for directory in changed {
            let mtime = mtime(&self.home.join(directory))?;
            if self.seen(directory)? != mtime.map(|(mtime, _)| mtime) || mtime.is_none() {
                let change = self.change()?;
                self.reconcile(directory)?;
                self.see(directory, mtime)?;
                change.commit()?;
            }
        }
        Ok(())
    }

    fn directories(
        &self,
        relative: &str,
        depth: usize,
        found: &mut BTreeSet<String>,
    ) -> Result<(), ThreadError> {
        if depth == 0 {
            if self.home.join(relative).is_dir() {
                found.insert(relative.to_owned());
            }
            return Ok(());
        }
        for name in names(&self.home.join(relative))? {
            if name.bytes().all(|byte| byte.is_ascii_digit()) {
                self.directories(&format!("{relative}/{name}"), depth - 1, found)?;
            }
        }
        Ok(())
    }

    fn seen(&self, directory: &str) -> Result<Option<i64>, ThreadError> {
        let mut query = self.db.prepare_cached("SELECT mtime FROM directories WHERE path = ?1")?;
        Ok(query.query_row([directory], |row| row.get(0)).optional()?)
    }

    fn see(&self, directory: &str, mtime: Option<(i64, bool)>) -> Result<(), ThreadError> {
        match mtime {
            Some((mtime, true)) => self.db.execute(
                "INSERT OR REPLACE INTO directories (path, mtime) VALUES (?1, ?2)",
                params![directory, mtime],
            )?,
            // It will be read again, and only then is it known that nothing changed.
            Some((_, false)) | None => {
                self.db.execute("DELETE FROM directories WHERE path = ?1", [directory])?
            }
        };
        Ok(())
    }

    /// Takes in what one directory holds, and lets go what it no longer holds.
    fn reconcile(&self, directory: &str) -> Result<(), ThreadError> {
        let mut there: BTreeSet<String> = names(&self.home.join(directory))?
            .into_iter()
            .map(|name| format!("{directory}/{name}"))
            .filter(|path| self.home.join(path).is_file())
            .collect();
        for (id, path) in self.in_directory(directory)? {
            if !there.remove(&path) {
                self.catch_up(id)?;
            }
        }
        self.db.execute("DELETE FROM strays WHERE path GLOB ?1 || '/*'", [directory])?;
        for path in there {
            if let Err(reason) = self.adopt(&path)? {
                self.db.execute(
                    "INSERT OR REPLACE INTO strays (path, reason) VALUES (?1, ?2)",
                    params![path, reason],
                )?;
            }
        }
        Ok(())
    }

    fn in_directory(&self, directory: &str) -> Result<Vec<(ThreadId, String)>, ThreadError> {
        // The names of directories are digits and fixed words.
        let query = "SELECT id, path FROM threads WHERE path >= ?1 || '/' AND path < ?1 || '0'";
        let mut query = self.db.prepare_cached(query)?;
        let rows =
            query.query_map([directory], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        let direct = |path: &String| path.len() == directory.len() + 1 + file_name(path).len();
        rows.into_iter().filter(|(_, path)| direct(path)).map(|(id, path)| Ok((id.parse()?, path))).collect()
    }
}

/// The names in a directory that are UTF-8; none where it is missing.
fn names(path: &Path) -> Result<Vec<String>, ThreadError> {
    let read = |source| ThreadError::Read { path: path.to_owned(), source };
    let entries = match fs::read_dir(path) {
        Err(error) if is_missing(&error) => return Ok(Vec::new()),
        entries => entries.map_err(read)?,
    };
    let names = entries.map(|entry| Ok(entry.map_err(read)?.file_name().into_string().ok()));
    names.filter_map(Result::transpose).collect()
}

/// A directory's modification time in nanoseconds, and whether it tells that nothing changed since.
fn mtime(path: &Path) -> Result<Option<(i64, bool)>, ThreadError> {
    let found = match fs::metadata(path) {
        Err(error) if is_missing(&error) => return Ok(None),
        found => found.map_err(|source| ThreadError::Read { path: path.to_owned(), source })?,
    };
    let telling = found
        .modified()
        .is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|passed| passed > TELLING));
    Ok(Some((found.mtime().saturating_mul(1_000_000_000).saturating_add(found.mtime_nsec()), telling)))
}
