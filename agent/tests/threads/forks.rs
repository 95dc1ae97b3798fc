//! Forks: what they continue, what they write, and what becomes of them when the other thread changes or goes.

use std::fs;

use weir_agent::thread::{Deleted, ForkPoint, Keeping, Order, Record, Store, Thread, ThreadError, ThreadId};

use super::talk::{agent, begin, bound, end, new, say, store, turn, user};
use super::{below, listed, questions};

fn with_turns(store: &Store, questions: &[&str]) -> Thread {
    let mut thread = store.create(new("/work", Keeping::Disk)).unwrap();
    for question in questions {
        turn(&mut thread, question);
    }
    thread
}

fn fork(store: &Store, id: ThreadId, at: ForkPoint) -> Thread {
    store.fork(id, at, Keeping::Disk).unwrap()
}

#[test]
fn a_fork_of_a_fork_has_the_whole_history() {
    let home = tempfile::tempdir().unwrap();
    let store = store(home.path());
    let mut root = with_turns(&store, &["1", "2", "3"]);
    let mut first = fork(&store, root.id(), ForkPoint::End);
    turn(&mut first, "4a");
    let four = turn(&mut first, "5a");
    // The other thread goes on; it is none of the forks' business.
    turn(&mut root, "4");
    let mut second = fork(&store, first.id(), ForkPoint::Before(four));
    turn(&mut second, "5b");
    assert_eq!(questions(&store, root.id()), ["1", "2", "3", "4"]);
    assert_eq!(questions(&store, first.id()), ["1", "2", "3", "4a", "5a"]);
    assert_eq!(questions(&store, second.id()), ["1", "2", "3", "4a", "5b"]);
    let items = second.items().unwrap();
    assert_eq!((items.len(), &items[0], &items[9]), (10, &user("1"), &agent("re: 5b")));
    assert_eq!(second.meta().forked_from, Some(first.id()));
    assert_eq!(store.show(second.id()).unwrap().preview.as_deref(), Some("5b"));
    let id = second.id();
    drop((root, first, second));
    let later = Store::open(home.path());
    later.rebuild().unwrap();
    assert_eq!(questions(&later, id), ["1", "2", "3", "4a", "5b"]);
    assert_eq!(later.resume(id).unwrap().items().unwrap(), items);
    assert!(later.check(id).unwrap().is_sound());
}

#[test]
fn a_fork_at_a_turn_of_another_fork_refers_to_the_file_that_holds_it() {
    let home = tempfile::tempdir().unwrap();
    let store = store(home.path());
    let mut root = store.create(new("/work", Keeping::Disk)).unwrap();
    let (one, two) = (turn(&mut root, "1"), turn(&mut root, "2"));
    let mut first = fork(&store, root.id(), ForkPoint::End);
    turn(&mut first, "3");
    let second = fork(&store, first.id(), ForkPoint::After(one));
    assert_eq!(second.meta().base.map(|base| (base.thread, base.turns)), Some((root.id(), 1)));
    assert_eq!(questions(&store, second.id()), ["1"]);
    let before = fork(&store, first.id(), ForkPoint::Before(one));
    assert!(questions(&store, before.id()).is_empty());
    let third = fork(&store, second.id(), ForkPoint::End);
    assert_eq!(questions(&store, third.id()), ["1"]);
    // What lies behind the place where a fork began is not part of it.
    let error = store.fork(second.id(), ForkPoint::After(two), Keeping::Disk).unwrap_err();
    assert!(matches!(error, ThreadError::NoTurn { turn, .. } if turn == two), "{error}");
}

#[test]
fn a_turn_that_has_not_ended_stays_with_its_thread() {
    let home = tempfile::tempdir().unwrap();
    let store = store(home.path());
    let mut root = with_turns(&store, &["1"]);
    let open = begin(&mut root);
    say(&mut root, open, user("2")).unwrap();
    let first = fork(&store, root.id(), ForkPoint::End);
    let error = store.fork(root.id(), ForkPoint::After(open), Keeping::Disk).unwrap_err();
    assert!(matches!(error, ThreadError::OpenTurn { turn } if turn == open), "{error}");
    end(&mut root, open);
    assert_eq!(questions(&store, first.id()), ["1"]);
    assert_eq!(questions(&store, fork(&store, root.id(), ForkPoint::After(open)).id()), ["1", "2"]);
}

#[test]
fn a_fork_is_bound_as_its_thread_is_now_wherever_it_begins() {
    let home = tempfile::tempdir().unwrap();
    let store = store(home.path());
    let mut root = store.create(new("/work", Keeping::Disk)).unwrap();
    let one = turn(&mut root, "1");
    let narrower = bound(&["/usr"]);
    root.append(Record::Bound(Box::new(narrower.clone()))).unwrap();
    turn(&mut root, "2");
    let id = root.id();
    drop(root);
    for keeping in [Keeping::Disk, Keeping::Memory] {
        let early = store.fork(id, ForkPoint::After(one), keeping).unwrap();
        assert_eq!((early.bound(), early.meta().digest), (&narrower, narrower.digest));
        let early_id = early.id();
        drop(early);
        if keeping == Keeping::Disk {
            assert_eq!(*store.resume(early_id).unwrap().bound(), narrower);
        }
    }
    assert_eq!(store.resume(id).unwrap().bound().digest, narrower.digest);
}

#[test]
fn a_fork_in_memory_leaves_nothing_behind() {
    let home = tempfile::tempdir().unwrap();
    let store = store(home.path());
    let root = with_turns(&store, &["1", "2"]);
    let id = root.id();
    drop(root);
    let before = below(&home.path().join("sessions"));
    let mut fork = store.fork(id, ForkPoint::End, Keeping::Memory).unwrap();
    turn(&mut fork, "3");
    let page = fork.turns(None, 2, Order::Descending).unwrap();
    assert_eq!(page.turns.iter().map(|turn| turn.number).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(fork.items().unwrap().len(), 6);
    assert_eq!(below(&home.path().join("sessions")), before);
    assert_eq!(listed(&store), [id]);
    // The thread it came from may go: what a model is told was read before.
    store.delete(id).unwrap();
    assert_eq!(fork.items().unwrap().len(), 6);
    let lost = fork.turns(None, 2, Order::Descending).unwrap_err();
    assert!(matches!(lost, ThreadError::HistoryLost { lost, .. } if lost == id), "{lost}");
}

#[test]
fn what_forks_need_outlives_the_thread_and_nothing_else_does() {
    let home = tempfile::tempdir().unwrap();
    let store = store(home.path());
    let mut root = with_turns(&store, &["1", "2"]);
    let first = fork(&store, root.id(), ForkPoint::End);
    turn(&mut root, "a secret that was asked later");
    let second = fork(&store, first.id(), ForkPoint::End);
    let (root_id, first_id, second_id) = (root.id(), first.id(), second.id());
    drop((root, first, second));
    // Nothing lies in `first` that `second` needs, and still it is kept while another refers to it.
    assert_eq!(store.delete(root_id).unwrap(), Deleted::Kept(vec![first_id]));
    assert!(matches!(store.show(root_id), Err(ThreadError::NotFound { .. })));
    assert!(matches!(store.resume(root_id), Err(ThreadError::NotFound { .. })));
    let error = store.fork(root_id, ForkPoint::End, Keeping::Disk).unwrap_err();
    assert!(matches!(error, ThreadError::NotFound { .. }), "{error}");
    let files =
        below(home.path()).into_iter().filter(|path| path.extension().is_some_and(|end| end == "jsonl"));
    let texts: Vec<String> = files.map(|path| fs::read_to_string(path).unwrap()).collect();
    assert_eq!((texts.len(), texts.iter().any(|text| text.contains("secret"))), (3, false));
    let later = Store::open(home.path());
    later.rebuild().unwrap();
    assert_eq!(questions(&later, first_id), ["1", "2"]);
    assert_eq!(later.delete(first_id).unwrap(), Deleted::Kept(vec![second_id]));
    assert_eq!(questions(&later, second_id), ["1", "2"]);
    assert_eq!(later.resume(second_id).unwrap().items().unwrap().len(), 4);
    // The last of them takes the others along.
    assert_eq!(later.delete(second_id).unwrap(), Deleted::Whole);
    assert!(below(home.path()).iter().all(|path| path.extension().is_none_or(|end| end != "jsonl")));
}

#[test]
fn an_archived_thread_is_still_there_for_its_forks() {
    let home = tempfile::tempdir().unwrap();
    let store = store(home.path());
    let root = with_turns(&store, &["1"]);
    let id = root.id();
    drop(root);
    let first = fork(&store, id, ForkPoint::End);
    store.archive(id).unwrap();
    assert_eq!(questions(&store, first.id()), ["1"]);
    assert_eq!(questions(&store, fork(&store, id, ForkPoint::End).id()), ["1"]);
}

#[test]
fn a_history_that_was_removed_by_hand_is_told() {
    let home = tempfile::tempdir().unwrap();
    let store = store(home.path());
    let root = with_turns(&store, &["1"]);
    let mut fork = fork(&store, root.id(), ForkPoint::End);
    turn(&mut fork, "2");
    let id = fork.id();
    let path = store.path(root.id()).unwrap();
    let whole = fs::read(&path).unwrap();
    drop((root, fork));
    for damage in [&whole[..whole.len() / 2], b""] {
        fs::write(&path, damage).unwrap();
        assert!(matches!(store.resume(id), Err(ThreadError::HistoryLost { .. })));
        assert!(!store.check(id).unwrap().history);
    }
    fs::remove_file(&path).unwrap();
    assert!(matches!(store.turns(id, None, 5, Order::Ascending), Err(ThreadError::HistoryLost { .. })));
    // What is there can be read.
    let page = store.turns(id, None, 1, Order::Descending).unwrap();
    assert_eq!((page.turns[0].number, page.next.is_some()), (1, true));
    assert!(matches!(store.turns(id, page.next, 1, Order::Descending), Err(ThreadError::HistoryLost { .. })));
    fs::write(&path, &whole).unwrap();
    assert_eq!(questions(&store, id), ["1", "2"]);
}
