//! Threads on a real disk: kept, continued, forked, put away, damaged, deleted.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/talk.rs"]
mod talk;

#[path = "threads/binding.rs"]
mod binding;
#[path = "threads/damage.rs"]
mod damage;
#[path = "threads/forks.rs"]
mod forks;
#[path = "threads/pages.rs"]
mod pages;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use talk::{agent, begin, bound, end, new, say, store, turn, user};
use weir_agent::item::Item;
use weir_agent::thread::{
    Archived, Filter, Keeping, MAX_LINE_BYTES, NewThread, Order, Record, Sort, Store, ThreadError, ThreadId,
    TurnStatus,
};

/// First messages of all turns, the oldest first.
pub(crate) fn questions(store: &Store, thread: ThreadId) -> Vec<String> {
    let (mut cursor, mut all) = (None, Vec::new());
    loop {
        let page = store.turns(thread, cursor, 3, Order::Ascending).unwrap();
        all.extend(page.turns.into_iter().filter_map(|turn| {
            turn.items.into_iter().find_map(|item| match item.item {
                Item::UserMessage { text } => Some(text),
                _ => None,
            })
        }));
        match page.next {
            Some(next) => cursor = Some(next),
            None => return all,
        }
    }
}

/// Everything below a directory.
pub(crate) fn below(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(below(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

fn listed(store: &Store) -> Vec<ThreadId> {
    let listing = store.list(&Filter::default(), None, 100).unwrap();
    listing.threads.into_iter().map(|thread| thread.thread).collect()
}

#[test]
fn a_thread_outlives_its_process() {
    let home = tempfile::tempdir().unwrap();
    let mut thread = store(home.path()).create(new("/work", Keeping::Disk)).unwrap();
    let id = thread.id();
    turn(&mut thread, "one");
    thread.name("first").unwrap();
    let usage = thread.usage();
    drop(thread);

    let later = store(home.path());
    let mut thread = later.resume(id).unwrap();
    assert_eq!((thread.usage(), thread.unfinished()), (usage, None));
    assert_eq!(*thread.bound(), bound(&["/usr", "/work"]));
    assert_eq!(thread.items().unwrap(), [user("one"), agent("re: one")]);
    turn(&mut thread, "two");
    assert_eq!(questions(&later, id), ["one", "two"]);
    let summary = later.show(id).unwrap();
    assert_eq!((summary.name.as_deref(), summary.preview.as_deref()), (Some("first"), Some("one")));
    assert_eq!((summary.turns, summary.usage.input), (2, 20));
    assert!(later.check(id).unwrap().is_sound());
    assert_eq!(later.find("first").unwrap(), id);
    assert_eq!(later.find(&id.to_string()[..18]).unwrap(), id);
    for nothing in ["nothing", ""] {
        assert!(matches!(later.find(nothing), Err(ThreadError::NotFound { .. })), "{nothing:?}");
    }
}

#[test]
fn a_thread_that_cannot_be_made_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let store = store(home.path());
    let long = NewThread { model: "m".repeat(MAX_LINE_BYTES), ..new("/work", Keeping::Disk) };
    assert!(matches!(store.create(long), Err(ThreadError::TooLong { .. })));
    let files = below(home.path());
    assert!(files.iter().all(|path| path.extension().is_none_or(|end| end != "jsonl")), "{files:?}");
    assert_eq!((listed(&store), store.strays().unwrap()), (vec![], vec![]));
}

#[test]
fn nobody_else_can_read_a_thread() {
    let home = tempfile::tempdir().unwrap();
    let weir = home.path().join("weir");
    let mut thread = store(&weir).create(new("/work", Keeping::Disk)).unwrap();
    turn(&mut thread, "one");
    let found = below(&weir);
    assert!(found.len() > 5, "{found:?}");
    for path in found {
        let mode = path.metadata().unwrap().permissions().mode() & 0o7777;
        let expect = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, expect, "{}", path.display());
    }
}

#[test]
fn two_writers_never_meet() {
    let home = tempfile::tempdir().unwrap();
    let store = store(home.path());
    let mut thread = store.create(new("/work", Keeping::Disk)).unwrap();
    let id = thread.id();
    let in_use = |error| assert!(matches!(error, ThreadError::InUse { thread } if thread == id), "{error}");
    in_use(store.resume(id).unwrap_err());
    in_use(Store::open(home.path()).resume(id).unwrap_err());
    in_use(store.archive(id).unwrap_err());
    in_use(store.delete(id).unwrap_err());
    // Whoever only looks is not kept out.
    turn(&mut thread, "one");
    assert_eq!(questions(&Store::open(home.path()), id), ["one"]);
    drop(thread);
    assert_eq!(store.resume(id).unwrap().id(), id);
}

#[test]
fn what_was_not_yet_indexed_is_read_from_the_file() {
    let home = tempfile::tempdir().unwrap();
    let mut thread = store(home.path()).create(new("/work", Keeping::Disk)).unwrap();
    let id = thread.id();
    turn(&mut thread, "one");
    let open = begin(&mut thread);
    say(&mut thread, open, user("two")).unwrap();
    // The process goes away here: nothing was synchronised since, and the index knows nothing of it.
    drop(thread);
    let later = store(home.path());
    assert_eq!(questions(&later, id), ["one", "two"]);
    let mut thread = later.resume(id).unwrap();
    assert_eq!(thread.unfinished(), Some(open));
    end(&mut thread, open);
    assert_eq!(thread.unfinished(), None);
    assert_eq!(later.turns(id, None, 1, Order::Descending).unwrap().turns[0].status, TurnStatus::Completed);
    assert!(later.check(id).unwrap().is_sound());
}

#[test]
fn the_index_can_be_thrown_away_or_broken() {
    let home = tempfile::tempdir().unwrap();
    let first = store(home.path());
    let mut thread = first.create(new("/work", Keeping::Disk)).unwrap();
    turn(&mut thread, "one");
    let before = first.list(&Filter::default(), None, 10).unwrap();
    drop((thread, first));
    let index = home.path().join("threads-1.sqlite");
    let breaks: [&dyn Fn(); 2] =
        [&|| fs::remove_file(&index).unwrap(), &|| fs::write(&index, "no database ".repeat(1000)).unwrap()];
    for break_it in breaks {
        for end in ["-wal", "-shm"] {
            let _ = fs::remove_file(home.path().join(format!("threads-1.sqlite{end}")));
        }
        break_it();
        assert_eq!(store(home.path()).list(&Filter::default(), None, 10).unwrap(), before);
        assert_eq!(index.metadata().unwrap().mode() & 0o777, 0o600);
    }
    let store = store(home.path());
    store.rebuild().unwrap();
    assert_eq!(store.list(&Filter::default(), None, 10).unwrap(), before);
}

#[test]
fn lists_go_page_by_page_and_by_directory() {
    let home = tempfile::tempdir().unwrap();
    let store = store(home.path());
    let make = |cwd: &str, question: &str| {
        let mut thread = store.create(new(cwd, Keeping::Disk)).unwrap();
        turn(&mut thread, question);
        thread.id()
    };
    let made: Vec<ThreadId> = (0..7).map(|n| make(if n % 2 == 0 { "/even" } else { "/odd" }, "q")).collect();
    let odd = Filter { cwd: Some("/odd".to_owned()), sort: Sort::Created, ..Filter::default() };
    let (mut cursor, mut seen) = (None, Vec::new());
    loop {
        let listing = store.list(&odd, cursor.as_ref(), 2).unwrap();
        seen.extend(listing.threads.iter().map(|thread| thread.thread));
        match listing.next {
            Some(next) => cursor = Some(next.to_string().parse().unwrap()),
            None => break,
        }
    }
    assert_eq!(seen, [made[5], made[3], made[1]]);
    // The one in which something happened last comes first.
    turn(&mut store.resume(made[2]).unwrap(), "needle in it");
    store.name(made[4], "A Needle").unwrap();
    assert_eq!(listed(&store)[..2], [made[4], made[2]]);
    assert_eq!(store.last(Some(&talk::path("/odd"))).unwrap(), Some(made[5]));
    let search = Filter { search: Some("needle".to_owned()), ..Filter::default() };
    let found = store.list(&search, None, 10).unwrap().threads;
    assert_eq!(found.iter().map(|thread| thread.thread).collect::<Vec<_>>(), [made[4]]);
}

/// A thread on the disk that nobody holds open, and its file.
fn with_one_turn(store: &Store) -> (ThreadId, PathBuf) {
    let mut thread = store.create(new("/work", Keeping::Disk)).unwrap();
    turn(&mut thread, "one");
    (thread.id(), store.path(thread.id()).unwrap())
}

#[test]
fn archived_threads_are_out_of_the_way() {
    let home = tempfile::tempdir().unwrap();
    let store = store(home.path());
    let (id, path) = with_one_turn(&store);
    store.archive(id).unwrap();
    assert!(!path.exists());
    assert!(listed(&store).is_empty());
    let archived = Filter { archived: Archived::Yes, ..Filter::default() };
    assert_eq!(store.list(&archived, None, 10).unwrap().threads[0].thread, id);
    assert!(matches!(store.resume(id), Err(ThreadError::IsArchived { .. })));
    assert!(matches!(store.archive(id), Err(ThreadError::IsArchived { .. })));
    assert_eq!(questions(&store, id), ["one"]);
    store.unarchive(id).unwrap();
    assert!(matches!(store.unarchive(id), Err(ThreadError::NotArchived { .. })));
    assert_eq!(store.path(id).unwrap(), path);
    assert_eq!(listed(&store), [id]);
}

#[test]
fn files_that_people_move_are_found_again() {
    let home = tempfile::tempdir().unwrap();
    let store = store(home.path());
    let (id, path) = with_one_turn(&store);
    let archive = home.path().join("archived_sessions");
    fs::create_dir(&archive).unwrap();
    fs::rename(&path, archive.join(path.file_name().unwrap())).unwrap();
    assert!(store.show(id).unwrap().archived);
    assert!(listed(&store).is_empty());
    fs::remove_dir_all(&archive).unwrap();
    assert!(matches!(store.show(id), Err(ThreadError::NotFound { .. })));
}

#[test]
fn a_thread_in_memory_never_touches_the_disk() {
    let home = tempfile::tempdir().unwrap();
    let weir = home.path().join("weir");
    let mut thread = store(&weir).create(new("/work", Keeping::Memory)).unwrap();
    let one = turn(&mut thread, "one");
    let two = begin(&mut thread);
    say(&mut thread, two, Item::Compaction { summary: "short".to_owned() }).unwrap();
    say(&mut thread, two, agent("more")).unwrap();
    thread.name("unseen").unwrap();
    thread.sync().unwrap();
    assert_eq!(thread.items().unwrap(), [Item::Compaction { summary: "short".to_owned() }, agent("more")]);
    let page = thread.turns(None, 5, Order::Descending).unwrap();
    assert_eq!(page.turns.iter().map(|turn| turn.turn).collect::<Vec<_>>(), [two, one]);
    assert_eq!((thread.path().unwrap(), thread.unfinished()), (None, Some(two)));
    assert!(!weir.exists());
}

#[test]
fn a_compaction_stands_for_everything_before_it() {
    let home = tempfile::tempdir().unwrap();
    let store = store(home.path());
    let mut thread = store.create(new("/work", Keeping::Disk)).unwrap();
    turn(&mut thread, "one");
    let two = begin(&mut thread);
    say(&mut thread, two, user("two")).unwrap();
    let summary = Item::Compaction { summary: "one was asked".to_owned() };
    say(&mut thread, two, summary.clone()).unwrap();
    say(&mut thread, two, agent("two it is")).unwrap();
    end(&mut thread, two);
    assert_eq!(thread.items().unwrap(), [summary, agent("two it is")]);
    // Whoever looks sees all of it.
    assert_eq!(questions(&store, thread.id()), ["one", "two"]);
}

#[test]
fn a_record_beyond_all_bounds_is_refused_and_the_thread_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let store = store(home.path());
    let mut thread = store.create(new("/work", Keeping::Disk)).unwrap();
    let open = begin(&mut thread);
    let long = user(&"x".repeat(weir_agent::thread::MAX_LINE_BYTES));
    assert!(matches!(say(&mut thread, open, long), Err(ThreadError::TooLong { .. })));
    say(&mut thread, open, user("short")).unwrap();
    end(&mut thread, open);
    assert!(store.check(thread.id()).unwrap().is_sound());
}

#[test]
fn a_thread_that_does_not_say_what_binds_it_is_not_continued() {
    let home = tempfile::tempdir().unwrap();
    let store = store(home.path());
    let mut wrong = new("/work", Keeping::Disk);
    wrong.bound.policy = talk::policy(&["/"]);
    let id = store.create(wrong).unwrap().id();
    assert!(matches!(store.resume(id), Err(ThreadError::Unbound { .. })));
    assert!(!store.check(id).unwrap().is_sound());
    // The control: it is the digest that does not fit, and nothing else.
    let mut thread = store.create(new("/work", Keeping::Disk)).unwrap();
    thread.append(Record::Bound(Box::new(bound(&["/usr"])))).unwrap();
    let id = thread.id();
    drop(thread);
    assert_eq!(store.resume(id).unwrap().bound().digest, bound(&["/usr"]).digest);
}
