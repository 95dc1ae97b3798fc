//! The index: what is known of every thread, made from the rollouts and from nothing else.
//!
//! It resumes each file at the byte where it stopped, and can be thrown away: the next to open it makes it anew. Every change is one
//! transaction, so that two processes see the same, and so that a file is not deleted while another thread begins to refer to it.

mod discover;
mod project;
mod row;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension, Params, Transaction, TransactionBehavior, params};

use super::place::{self, Shelf};
use super::record::Damage;
use super::{ThreadError, ThreadId, TurnId, rollout};
use row::{COLUMNS, TURN_COLUMNS, known, raw, raw_turn, signed, turn_row, unsigned};

pub(super) use row::{Known, TurnRow};

/// The file. Its number is that of the layout below: two versions that differ do not take each other's.
const FILE_NAME: &str = "threads-1.sqlite";

/// How long another process may take for its change.
const PATIENCE: Duration = Duration::from_secs(10);

/// Damaged lines of one thread that are kept; the others are counted.
pub(super) const MAX_DAMAGE: u64 = 100;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS threads (
        id TEXT PRIMARY KEY,
        path TEXT NOT NULL UNIQUE,
        shelf TEXT NOT NULL,
        inode INTEGER NOT NULL,
        offset INTEGER NOT NULL,
        lines INTEGER NOT NULL,
        next INTEGER NOT NULL,
        turns INTEGER NOT NULL,
        foreign_records INTEGER NOT NULL,
        damaged INTEGER NOT NULL,
        created TEXT NOT NULL,
        updated TEXT NOT NULL,
        cwd TEXT NOT NULL,
        base TEXT,
        meta TEXT NOT NULL,
        usage TEXT NOT NULL,
        profile TEXT,
        name TEXT,
        preview TEXT
    ) STRICT;
    CREATE INDEX IF NOT EXISTS by_update ON threads (shelf, updated, id);
    CREATE INDEX IF NOT EXISTS by_creation ON threads (shelf, created, id);
    CREATE INDEX IF NOT EXISTS by_base ON threads (base);
    CREATE TABLE IF NOT EXISTS turns (
        thread TEXT NOT NULL,
        n INTEGER NOT NULL,
        turn TEXT NOT NULL,
        first INTEGER NOT NULL,
        end INTEGER NOT NULL,
        first_ordinal INTEGER NOT NULL,
        end_ordinal INTEGER NOT NULL,
        status TEXT NOT NULL,
        PRIMARY KEY (thread, n)
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX IF NOT EXISTS by_turn ON turns (thread, turn);
    CREATE TABLE IF NOT EXISTS marks (
        thread TEXT NOT NULL,
        kind TEXT NOT NULL,
        offset INTEGER NOT NULL,
        end INTEGER NOT NULL,
        PRIMARY KEY (thread, kind, offset)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS damage (
        thread TEXT NOT NULL,
        line INTEGER NOT NULL,
        wrong TEXT NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS by_thread ON damage (thread, line);
    CREATE TABLE IF NOT EXISTS directories (path TEXT PRIMARY KEY, mtime INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS strays (path TEXT PRIMARY KEY, reason TEXT NOT NULL) STRICT, WITHOUT ROWID;
";

/// Records that are looked for by their kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Compaction,
    Bound,
}

impl Mark {
    const fn word(self) -> &'static str {
        match self {
            Self::Compaction => "compaction",
            Self::Bound => "bound",
        }
    }
}

/// By what threads are listed, the latest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sort {
    /// When something last happened in them.
    #[default]
    Updated,
    /// When they were made.
    Created,
}

/// Which threads are wanted.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Those that were put away, in place of the others.
    pub archived: Archived,
    /// Those of this working directory.
    pub cwd: Option<String>,
    /// Those with this text in their name or first message.
    pub search: Option<String>,
    /// Made by whom.
    pub makers: Makers,
    /// In which order.
    pub sort: Sort,
}

/// By whom a thread was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Makers {
    /// By anyone.
    #[default]
    All,
    /// By a person or a program, and not by another thread that gave it work.
    People,
}

/// Whether what was put away is meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Archived {
    /// The others are.
    #[default]
    No,
    /// It is.
    Yes,
}

/// The index.
#[derive(Debug)]
pub(super) struct Index {
    db: Connection,
    home: PathBuf,
}

impl Index {
    /// Opens it; where it is missing or is no database, it is made anew.
    pub(super) fn open(home: &Path) -> Result<Self, ThreadError> {
        place::make_directory(home).map_err(|source| ThreadError::Make { path: home.to_owned(), source })?;
        let path = home.join(FILE_NAME);
        match Self::opened(home, &path) {
            Err(ThreadError::Database(error)) if is_broken(&error) => {
                for end in ["", "-wal", "-shm"] {
                    let _ = fs::remove_file(home.join(format!("{FILE_NAME}{end}")));
                }
                Self::opened(home, &path)
            }
            opened => opened,
        }
    }

    fn opened(home: &Path, path: &Path) -> Result<Self, ThreadError> {
        // Made here, so that nobody else can read it; SQLite gives its other files the same bits.
        let make = OpenOptions::new().append(true).create(true).mode(rollout::FILE_MODE).open(path);
        make.map_err(|source| ThreadError::Make { path: path.to_owned(), source })?;
        let db = Connection::open(path)?;
        db.busy_timeout(PATIENCE)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        // What a power cut takes is read again from the files.
        db.pragma_update(None, "synchronous", "NORMAL")?;
        // The agent reaches no directory for temporary files.
        db.pragma_update(None, "temp_store", "MEMORY")?;
        db.execute_batch(TABLES)?;
        Ok(Self { db, home: home.to_owned() })
    }

    /// Everything that changes files and index together happens within one.
    pub(super) fn change(&self) -> Result<Transaction<'_>, ThreadError> {
        Ok(Transaction::new_unchecked(&self.db, TransactionBehavior::Immediate)?)
    }

    /// A thread, as the index has it.
    pub(super) fn known(&self, id: ThreadId) -> Result<Option<Known>, ThreadError> {
        let query = format!("SELECT {COLUMNS} FROM threads WHERE id = ?1");
        self.db.prepare_cached(&query)?.query_row([id.to_string()], raw).optional()?.map(known).transpose()
    }

    /// A thread as its file has it now.
    pub(super) fn current(&self, id: ThreadId) -> Result<Known, ThreadError> {
        if let Some(known) = self.known(id)?
            && is_current(&self.home, &known)
        {
            return Ok(known);
        }
        let change = if self.db.is_autocommit() { Some(self.change()?) } else { None };
        let current = self.catch_up(id)?;
        change.map_or(Ok(()), Transaction::commit)?;
        current.ok_or_else(|| ThreadError::NotFound { what: id.to_string() })
    }

    /// A thread, which may have come without the index.
    pub(super) fn sought(&self, id: ThreadId) -> Result<Known, ThreadError> {
        match self.current(id) {
            Err(ThreadError::NotFound { .. }) if self.db.is_autocommit() => {
                self.discover()?;
                self.current(id)
            }
            found => found,
        }
    }

    /// Threads whose id begins so, or that have this name.
    pub(super) fn meant(&self, prefix: &str, name: &str, limit: u32) -> Result<Vec<ThreadId>, ThreadError> {
        let query = "SELECT id FROM threads WHERE shelf != ?1 AND (substr(id, 1, length(?2)) = ?2 OR name = ?3) \
                     ORDER BY id LIMIT ?4";
        let mut query = self.db.prepare_cached(query)?;
        let row = params![Shelf::Retained.directory(), prefix, name, limit];
        let ids = query.query_map(row, |row| row.get::<_, String>(0))?;
        ids.map(|id| Ok(id?.parse()?)).collect()
    }

    /// Threads of a filter behind a place in their order, the latest first.
    pub(super) fn list(
        &self,
        filter: &Filter,
        behind: Option<(&str, &str)>,
        limit: u32,
    ) -> Result<Vec<Known>, ThreadError> {
        let by = match filter.sort {
            Sort::Updated => "updated",
            Sort::Created => "created",
        };
        let shelf = if filter.archived == Archived::Yes { Shelf::Archived } else { Shelf::Live };
        let makers = match filter.makers {
            Makers::All => "",
            Makers::People => " AND json_extract(meta, '$.source.kind') <> 'delegated'",
        };
        let query = format!(
            "SELECT {COLUMNS} FROM threads WHERE shelf = ?1 AND (?2 IS NULL OR cwd = ?2)
             AND (?3 IS NULL OR instr(lower(coalesce(name, '') || ' ' || coalesce(preview, '')), lower(?3)) > 0)
             AND (?4 IS NULL OR ({by}, id) < (?4, ?5)){makers} ORDER BY {by} DESC, id DESC LIMIT ?6"
        );
        let (at, id) = behind.unzip();
        self.all(&query, params![shelf.directory(), filter.cwd, filter.search, at, id, limit])
    }

    /// Threads whose history goes on in this one's file.
    pub(super) fn forks(&self, id: ThreadId) -> Result<Vec<Known>, ThreadError> {
        self.all(&format!("SELECT {COLUMNS} FROM threads WHERE base = ?1 ORDER BY id"), [id.to_string()])
    }

    fn all(&self, query: &str, parameters: impl Params) -> Result<Vec<Known>, ThreadError> {
        let mut query = self.db.prepare_cached(query)?;
        let rows = query.query_map(parameters, raw)?;
        rows.map(|row| known(row?)).collect()
    }

    /// Turns of a thread's own file by their number there, from `from` to before `to`.
    pub(super) fn turns(&self, id: ThreadId, from: u64, to: u64) -> Result<Vec<TurnRow>, ThreadError> {
        let query =
            format!("SELECT {TURN_COLUMNS} FROM turns WHERE thread = ?1 AND n >= ?2 AND n < ?3 ORDER BY n");
        let mut query = self.db.prepare_cached(&query)?;
        let rows = query.query_map(params![id.to_string(), signed(from), signed(to)], raw_turn)?;
        rows.map(|row| turn_row(row?)).collect()
    }

    /// A turn of a thread's own file.
    pub(super) fn turn(&self, id: ThreadId, turn: TurnId) -> Result<Option<TurnRow>, ThreadError> {
        let query = format!("SELECT {TURN_COLUMNS} FROM turns WHERE thread = ?1 AND turn = ?2");
        let mut query = self.db.prepare_cached(&query)?;
        let row = query.query_row(params![id.to_string(), turn.to_string()], raw_turn).optional()?;
        row.map(turn_row).transpose()
    }

    /// The last record of a kind that lies before a place of a thread's own file.
    pub(super) fn last_mark(
        &self,
        id: ThreadId,
        kind: Mark,
        before: u64,
    ) -> Result<Option<std::ops::Range<u64>>, ThreadError> {
        let query = "SELECT offset, end FROM marks WHERE thread = ?1 AND kind = ?2 AND offset < ?3 \
                     ORDER BY offset DESC LIMIT 1";
        let found = self
            .db
            .prepare_cached(query)?
            .query_row(params![id.to_string(), kind.word(), signed(before)], |row| {
                Ok(unsigned(row.get(0)?)..unsigned(row.get(1)?))
            });
        Ok(found.optional()?)
    }

    /// Damaged lines of a thread's own file, the first [`MAX_DAMAGE`].
    pub(super) fn damage(&self, id: ThreadId) -> Result<Vec<Damage>, ThreadError> {
        let mut query = self.db.prepare_cached("SELECT wrong FROM damage WHERE thread = ?1 ORDER BY line")?;
        let rows = query.query_map([id.to_string()], |row| row.get::<_, String>(0))?;
        rows.map(|row| Ok(serde_json::from_str(&row?)?)).collect()
    }

    /// Files that lie among the rollouts and are none that this version can read, with the reason.
    pub(super) fn strays(&self) -> Result<Vec<(String, String)>, ThreadError> {
        let mut query = self.db.prepare_cached("SELECT path, reason FROM strays ORDER BY path")?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.map(|row| Ok(row?)).collect()
    }

    /// Says that a thread's file lies elsewhere.
    pub(super) fn moved(&self, id: ThreadId, path: &str) -> Result<(), ThreadError> {
        let shelf = Shelf::of(path).map_or("", Shelf::directory);
        let query = "UPDATE threads SET path = ?2, shelf = ?3 WHERE id = ?1";
        self.db.execute(query, params![id.to_string(), path, shelf])?;
        Ok(())
    }

    /// Forgets a thread, whose file is gone.
    pub(super) fn forget(&self, id: ThreadId) -> Result<(), ThreadError> {
        self.forget_content(id)?;
        self.db.execute("DELETE FROM threads WHERE id = ?1", [id.to_string()])?;
        Ok(())
    }

    /// Forgets what was read of a thread's file.
    fn forget_content(&self, id: ThreadId) -> Result<(), ThreadError> {
        for table in ["turns", "marks", "damage"] {
            self.db.execute(&format!("DELETE FROM {table} WHERE thread = ?1"), [id.to_string()])?;
        }
        Ok(())
    }

    /// Forgets everything, to make it anew.
    pub(super) fn forget_all(&self) -> Result<(), ThreadError> {
        let change = self.change()?;
        for table in ["threads", "turns", "marks", "damage", "directories", "strays"] {
            self.db.execute(&format!("DELETE FROM {table}"), [])?;
        }
        Ok(change.commit()?)
    }

    /// Opens a thread's file for reading.
    pub(super) fn file(&self, known: &Known) -> Result<File, ThreadError> {
        let path = self.home.join(&known.path);
        File::open(&path).map_err(|source| ThreadError::Read { path, source })
    }
}

/// Whether the file is the one that was read, to its end.
fn is_current(home: &Path, known: &Known) -> bool {
    let found = fs::metadata(home.join(&known.path));
    found.is_ok_and(|found| found.ino() == known.inode && found.len() == known.position.offset)
}

fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

fn is_broken(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}
