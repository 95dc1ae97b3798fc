//! Where contexts outlive the server: one SQLite file for each user, the server part's own.
//!
//! It is opened once, before the server part gives up opening anything. Every change is on disk before it is answered. A user may have
//! several servers at once, each made for one client: what one of them binds or narrows holds in all.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use weir_protocol::Policy;
use weir_protocol::denial::Run;
use weir_protocol::method::context::{ContextId, LeaseId};
use weir_protocol::method::denial::{Asked, KEPT_RUNS};
use weir_protocol::policy::lease::Lease;
use weir_protocol::since::Since;

/// The layout below. A file of another one is refused, not guessed at.
const LAYOUT: i64 = 1;

const TABLES: &str = "
    CREATE TABLE contexts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        thread TEXT UNIQUE,
        is_open INTEGER NOT NULL,
        policy TEXT NOT NULL
    ) STRICT;
    CREATE TABLE leases (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        context INTEGER NOT NULL REFERENCES contexts (id) ON DELETE CASCADE,
        lease TEXT NOT NULL,
        used INTEGER NOT NULL DEFAULT 0
    ) STRICT;
";

/// What came later: an older version passes over it.
const LATER: &str = "
    CREATE TABLE IF NOT EXISTS denials (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        time TEXT NOT NULL,
        context INTEGER,
        run TEXT NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS leases_over (
        lease INTEGER PRIMARY KEY
    ) STRICT;
";

/// Why something cannot be kept or found.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// SQLite's own.
    #[error("the store of contexts fails: {0}")]
    Database(#[from] rusqlite::Error),
    /// What was kept is of another version.
    #[error("the store of contexts holds what this version cannot read: {0}")]
    Content(#[from] serde_json::Error),
    /// The file is of another version.
    #[error("the store of contexts has layout {found}; this version reads {LAYOUT}")]
    Layout {
        /// What it has.
        found: i64,
    },
}

/// A context as it is kept.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) id: ContextId,
    pub(super) thread: Option<String>,
    pub(super) policy: Policy,
}

/// The contexts of one user.
#[derive(Debug)]
pub(super) struct Store(Connection);

impl Store {
    /// Opens the file, and makes it where there is none.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        #[cfg(target_os = "linux")]
        super::sys::let_sqlite_ask();
        Self::prepared(Connection::open(path)?)
    }

    #[cfg(test)]
    pub(super) fn in_memory() -> Result<Self, StoreError> {
        Self::prepared(Connection::open_in_memory()?)
    }

    fn prepared(db: Connection) -> Result<Self, StoreError> {
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "temp_store", "MEMORY")?;
        db.pragma_update(None, "foreign_keys", true)?;
        match db.pragma_query_value(None, "user_version", |row| row.get(0))? {
            LAYOUT => {}
            0 => {
                let make = db.unchecked_transaction()?;
                make.execute_batch(TABLES)?;
                make.pragma_update(None, "user_version", LAYOUT)?;
                make.commit()?;
            }
            found => return Err(StoreError::Layout { found }),
        }
        db.execute_batch(LATER)?;
        // The first change opens the log and the memory that is shared with other servers of this user; from here on nothing is opened.
        db.execute("DELETE FROM leases WHERE context NOT IN (SELECT id FROM contexts)", [])?;
        db.execute("DELETE FROM leases_over WHERE lease NOT IN (SELECT id FROM leases)", [])?;
        Ok(Self(db))
    }

    /// A number that is another one whenever another server has changed something.
    pub(super) fn version(&self) -> Result<i64, StoreError> {
        Ok(self.0.pragma_query_value(None, "data_version", |row| row.get(0))?)
    }

    /// The open context of this number.
    pub(super) fn context(&self, id: ContextId) -> Result<Option<Kept>, StoreError> {
        self.one("SELECT id, thread, policy FROM contexts WHERE id = ?1 AND is_open = 1", params![key(id)])
    }

    /// The context that binds this thread, open or closed.
    pub(super) fn bound(&self, thread: &str) -> Result<Option<Kept>, StoreError> {
        self.one("SELECT id, thread, policy FROM contexts WHERE thread = ?1", params![thread])
    }

    fn one(&self, query: &str, parameters: impl rusqlite::Params) -> Result<Option<Kept>, StoreError> {
        self.0.query_row(query, parameters, raw).optional()?.map(kept).transpose()
    }

    /// All open contexts, by number.
    pub(super) fn open_contexts(&self) -> Result<Vec<Kept>, StoreError> {
        let mut all =
            self.0.prepare("SELECT id, thread, policy FROM contexts WHERE is_open = 1 ORDER BY id")?;
        let rows = all.query_map([], raw)?;
        rows.map(|row| kept(row?)).collect()
    }

    /// How many are open.
    pub(super) fn count(&self) -> Result<u64, StoreError> {
        let query = "SELECT count(*) FROM contexts WHERE is_open = 1";
        let count: i64 = self.0.query_row(query, [], |row| row.get(0))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Keeps a new context.
    pub(super) fn add(&self, thread: Option<&str>, policy: &Policy) -> Result<ContextId, StoreError> {
        let policy = serde_json::to_string(policy)?;
        self.0.execute(
            "INSERT INTO contexts (thread, is_open, policy) VALUES (?1, 1, ?2)",
            params![thread, policy],
        )?;
        Ok(number(self.0.last_insert_rowid()))
    }

    /// Opens a context again, with this policy.
    pub(super) fn set(&self, id: ContextId, policy: &Policy) -> Result<(), StoreError> {
        let policy = serde_json::to_string(policy)?;
        self.0.execute(
            "UPDATE contexts SET is_open = 1, policy = ?2 WHERE id = ?1",
            params![key(id), policy],
        )?;
        Ok(())
    }

    /// Closes a context: one that a thread is bound to stays, and binds; another goes.
    pub(super) fn close(&self, id: ContextId) -> Result<(), StoreError> {
        let change = self.0.unchecked_transaction()?;
        change.execute("DELETE FROM leases WHERE context = ?1", params![key(id)])?;
        change.execute(
            "UPDATE contexts SET is_open = 0 WHERE id = ?1 AND thread IS NOT NULL",
            params![key(id)],
        )?;
        change.execute("DELETE FROM contexts WHERE id = ?1 AND thread IS NULL", params![key(id)])?;
        Ok(change.commit()?)
    }

    /// A number for a lease of this context that is to be kept later; no other lease gets it.
    pub(super) fn reserve_lease(&self, context: ContextId) -> Result<LeaseId, StoreError> {
        let change = self.0.unchecked_transaction()?;
        change.execute("INSERT INTO leases (context, lease) VALUES (?1, '')", params![key(context)])?;
        let id = change.last_insert_rowid();
        change.execute("DELETE FROM leases WHERE id = ?1", params![id])?;
        change.commit()?;
        Ok(number(id))
    }

    /// Keeps a lease under the number that was reserved for it.
    pub(super) fn lease(&self, id: LeaseId, context: ContextId, lease: &Lease) -> Result<(), StoreError> {
        let lease = serde_json::to_string(lease)?;
        let add = "INSERT INTO leases (id, context, lease) VALUES (?1, ?2, ?3)";
        self.0.execute(add, params![key(id), key(context), lease])?;
        Ok(())
    }

    /// Leases that are not marked as over, with their context and how often each was used, by context: of this one, or of all.
    pub(super) fn lasting(
        &self,
        context: Option<ContextId>,
    ) -> Result<Vec<(LeaseId, ContextId, Lease, u32)>, StoreError> {
        let query = "SELECT id, context, lease, used FROM leases WHERE (?1 IS NULL OR context = ?1)
            AND id NOT IN (SELECT lease FROM leases_over) ORDER BY context, id";
        let mut all = self.0.prepare(query)?;
        let rows = all.query_map(params![context.map(key)], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?, row.get(3)?))
        })?;
        rows.map(|row| {
            let (id, context, lease, used) = row?;
            Ok((number(id), number(context), serde_json::from_str(&lease)?, used))
        })
        .collect()
    }

    /// Marks a lease as over; whether it was not yet, here or by another server of this user.
    pub(super) fn mark_over(&self, id: LeaseId) -> Result<bool, StoreError> {
        let add = "INSERT OR IGNORE INTO leases_over (lease) VALUES (?1)";
        Ok(self.0.execute(add, params![key(id)])? == 1)
    }

    /// Takes the mark back.
    pub(super) fn unmark_over(&self, id: LeaseId) -> Result<(), StoreError> {
        self.0.execute("DELETE FROM leases_over WHERE lease = ?1", params![key(id)])?;
        Ok(())
    }

    /// A lease of this context, and how often it was used.
    pub(super) fn leased(&self, context: ContextId, id: LeaseId) -> Result<Option<(Lease, u32)>, StoreError> {
        let query = "SELECT lease, used FROM leases WHERE id = ?1 AND context = ?2";
        let found = self.0.query_row(query, params![key(id), key(context)], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?))
        });
        let Some((lease, used)) = found.optional()? else { return Ok(None) };
        Ok(Some((serde_json::from_str(&lease)?, used)))
    }

    /// All leases of this context.
    pub(super) fn leases(&self, context: ContextId) -> Result<Vec<Lease>, StoreError> {
        let mut all = self.0.prepare("SELECT lease FROM leases WHERE context = ?1 ORDER BY id")?;
        let rows = all.query_map(params![key(context)], |row| row.get::<_, String>(0))?;
        rows.map(|row| Ok(serde_json::from_str(&row?)?)).collect()
    }

    /// Keeps the denials of a run, and forgets the oldest beyond the bound.
    pub(super) fn keep(&self, run: &Run) -> Result<(), StoreError> {
        let text = serde_json::to_string(run)?;
        let change = self.0.unchecked_transaction()?;
        let add = "INSERT INTO denials (time, context, run) VALUES (?1, ?2, ?3)";
        change.execute(add, params![run.time, run.context.map(key), text])?;
        let last = change.last_insert_rowid();
        let most = i64::try_from(KEPT_RUNS).unwrap_or(i64::MAX);
        change.execute("DELETE FROM denials WHERE id <= ?1", params![last.saturating_sub(most)])?;
        Ok(change.commit()?)
    }

    /// Runs with denials, the oldest first.
    pub(super) fn runs(&self, asked: &Asked) -> Result<Vec<Run>, StoreError> {
        let query = "SELECT run FROM denials WHERE time >= ?1 AND (?2 IS NULL OR context = ?2) ORDER BY id";
        let mut found = self.0.prepare(query)?;
        let since = asked.since.as_ref().map_or("", Since::as_str);
        let rows = found.query_map(params![since, asked.context.map(key)], |row| row.get::<_, String>(0))?;
        rows.map(|row| Ok(serde_json::from_str(&row?)?)).collect()
    }

    /// Counts one use, before it is made.
    pub(super) fn use_lease(&self, id: LeaseId) -> Result<(), StoreError> {
        self.0.execute("UPDATE leases SET used = used + 1 WHERE id = ?1", params![key(id)])?;
        Ok(())
    }
}

fn raw(row: &Row<'_>) -> rusqlite::Result<(i64, Option<String>, String)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

fn kept((id, thread, policy): (i64, Option<String>, String)) -> Result<Kept, StoreError> {
    Ok(Kept { id: number(id), thread, policy: serde_json::from_str(&policy)? })
}

/// Numbers are given from 1 on; a client's may be anything, and is then found nowhere.
fn key(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(-1)
}

fn number(id: i64) -> u64 {
    u64::try_from(id).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::contexts::tests::policy;

    #[test]
    fn what_is_kept_outlives_the_server_and_another_layout_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("contexts.sqlite");
        let policy = policy(&["/a"]);
        let store = Store::open(&path).unwrap();
        let id = store.add(Some("t"), &policy).unwrap();
        let other = store.add(None, &policy).unwrap();
        store.close(other).unwrap();
        drop(store);
        let store = Store::open(&path).unwrap();
        let kept = store.bound("t").unwrap().unwrap();
        assert_eq!((kept.id, kept.policy.digest()), (id, policy.digest()));
        assert_eq!(store.count().unwrap(), 1);
        // A number is not given twice.
        assert!(store.add(None, &policy).unwrap() > other);
        assert!(store.context(u64::MAX).unwrap().is_none());
        store.0.pragma_update(None, "user_version", LAYOUT + 1).unwrap();
        drop(store);
        assert!(matches!(Store::open(&path), Err(StoreError::Layout { found }) if found == LAYOUT + 1));
    }

    #[test]
    fn denials_are_kept_up_to_a_bound_and_found_by_time_and_context() {
        let store = Store::in_memory().unwrap();
        let run = |number: usize| Run {
            time: format!("2026-11-29T00:{:02}:{:02}.000Z", number / 60, number % 60),
            argv: Vec::new(),
            profile: "p".to_owned(),
            digest: "0".repeat(64).parse().unwrap(),
            context: number.is_multiple_of(2).then_some(7),
            end: weir_protocol::method::process::End::Exited { code: 1 },
            denials: Vec::new(),
            sight: weir_protocol::denial::Sight::default(),
        };
        for number in 0..KEPT_RUNS + 10 {
            store.keep(&run(number)).unwrap();
        }
        let all = store.runs(&Asked::default()).unwrap();
        assert_eq!((all.len(), &all[0]), (KEPT_RUNS, &run(10)));
        let since = Some(Since::parse("2026-11-29T00:02").unwrap());
        assert_eq!(store.runs(&Asked { since: since.clone(), context: None }).unwrap()[0], run(120));
        let found = store.runs(&Asked { since, context: Some(7) }).unwrap();
        assert!(found.iter().all(|run| run.context == Some(7)) && found[0] == run(120), "{found:?}");
        assert_eq!(store.runs(&Asked { since: None, context: Some(8) }).unwrap(), []);
    }

    #[test]
    fn nothing_is_opened_after_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("contexts.sqlite")).unwrap();
        let policy = policy(&["/a"]);
        let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let before = open();
        for _ in 0..200 {
            store.add(None, &policy).unwrap();
        }
        assert_eq!(open(), before);
    }
}
