//! A policy on record is the one that binds only where none that may have followed it is lost: neither resume nor fork goes back to an
//! older, wider one.

use std::fs;
use std::path::PathBuf;

use weir_agent::thread::{ForkPoint, Keeping, Record, Store, Thread, ThreadError, ThreadId};

use super::talk::{begin, bound, new, say, store, turn, user};

/// A thread of two turns, the second under a narrower policy, and the lines of its file.
struct Case {
    _home: tempfile::TempDir,
    store: Store,
    id: ThreadId,
    path: PathBuf,
    lines: Vec<String>,
}

/// Lines: meta, bound, five of the first turn, bound, five of the second.
const SECOND_BOUND: usize = 7;
const SECOND_TURN: usize = 8;

impl Case {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let store = store(home.path());
        let mut thread = store.create(new("/work", Keeping::Disk)).unwrap();
        turn(&mut thread, "1");
        thread.append(Record::Bound(Box::new(bound(&["/usr"])))).unwrap();
        turn(&mut thread, "2");
        let path = store.path(thread.id()).unwrap();
        let lines: Vec<_> = fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
        assert!(lines[SECOND_BOUND].contains("\"type\":\"bound\""), "{lines:#?}");
        Self { store, id: thread.id(), path, lines, _home: home }
    }

    fn write(&self, text: &str) {
        fs::write(&self.path, text).unwrap();
        self.store.rebuild().unwrap();
    }

    /// Each way to go on with it.
    fn ways(&self) -> Vec<Result<Thread, ThreadError>> {
        let forks =
            [Keeping::Disk, Keeping::Memory].map(|keeping| self.store.fork(self.id, ForkPoint::End, keeping));
        let resumed = self.store.resume(self.id);
        forks.into_iter().chain([resumed]).collect()
    }

    fn is_refused(&self, what: &str) {
        for way in self.ways() {
            let error = way.map(|thread| thread.bound().clone()).unwrap_err();
            assert!(matches!(error, ThreadError::Unbound { thread } if thread == self.id), "{what}: {error}");
        }
        assert!(!self.store.check(self.id).unwrap().bound, "{what}");
    }

    fn goes_on(&self, what: &str) {
        for way in self.ways() {
            assert_eq!(
                *way.unwrap_or_else(|error| panic!("{what}: {error}")).bound(),
                bound(&["/usr"]),
                "{what}"
            );
        }
        assert!(self.store.check(self.id).unwrap().bound, "{what}");
    }
}

/// The lines, one of them as `change` makes it.
fn changed(lines: &[String], number: usize, change: impl Fn(&str) -> String) -> String {
    let mut lines = lines.to_vec();
    lines[number] = change(&lines[number]);
    lines.join("\n") + "\n"
}

#[test]
fn a_policy_that_is_lost_is_not_replaced_by_the_one_before() {
    let case = Case::new();
    let lines = &case.lines;
    let without = |range: std::ops::Range<usize>| {
        let kept = lines.iter().enumerate().filter(|(number, _)| !range.contains(number));
        kept.map(|(_, line)| format!("{line}\n")).collect::<String>()
    };
    let cases = [
        ("removed", without(SECOND_BOUND..SECOND_BOUND + 1)),
        ("removed with the turn's beginning", without(SECOND_BOUND..SECOND_TURN + 1)),
        ("removed with all but the turn's end", without(SECOND_BOUND..lines.len() - 1)),
        ("torn", changed(lines, SECOND_BOUND, |line| line[..300].to_owned())),
        ("torn at its beginning", changed(lines, SECOND_BOUND, |line| line[..20].to_owned())),
        ("one byte of its form", changed(lines, SECOND_BOUND, |line| line.replacen('t', "\0", 1))),
        ("one byte of its type", changed(lines, SECOND_BOUND, |line| line.replacen("bound", "bouod", 1))),
        (
            "one byte of the policy",
            changed(lines, SECOND_BOUND, |line| line.replacen("\"read\"", "\"rEad\"", 1)),
        ),
        ("its end", changed(lines, SECOND_BOUND, |line| format!("{line}x")).replacen("x\n", "x", 1)),
        (
            "the end of the line before",
            changed(lines, SECOND_BOUND - 1, |line| format!("{line}x")).replacen("x\n", "x", 1),
        ),
        ("renumbered and not the turn", {
            let text = without(SECOND_BOUND..SECOND_BOUND + 1);
            (SECOND_TURN..lines.len()).fold(text, |text, n| {
                text.replacen(&format!("\"ordinal\":{n},"), &format!("\"ordinal\":{},", n - 1), 1)
            })
        }),
    ];
    for (what, text) in cases {
        assert!(!text.is_empty() && text != lines.join("\n") + "\n", "{what}");
        case.write(&text);
        case.is_refused(what);
    }
    // Nothing was begun under it yet.
    for (what, length) in [("torn at the end of the file", 300), ("of which hardly anything is there", 20)] {
        case.write(&(lines[..SECOND_BOUND].join("\n") + "\n" + &lines[SECOND_BOUND][..length]));
        case.is_refused(what);
    }
    case.write(&(lines.join("\n") + "\n"));
    case.goes_on("the control");
}

#[test]
fn other_damage_is_told_and_hinders_nothing() {
    let case = Case::new();
    let lines = &case.lines;
    let cases = [
        ("before the policy", changed(lines, SECOND_BOUND - 2, |_| "\0\0".to_owned())),
        ("the policy before it", changed(lines, 1, |line| line[..300].to_owned())),
        ("a record of the last turn", changed(lines, SECOND_TURN + 1, |line| line[..150].to_owned())),
    ];
    for (what, text) in cases {
        case.write(&text);
        case.goes_on(what);
        for way in case.ways() {
            assert!(!way.unwrap().damage().is_empty(), "{what}");
        }
    }
    let torn = lines[..lines.len() - 1].join("\n") + "\n" + &lines[lines.len() - 1][..100];
    case.write(&torn);
    case.goes_on("the end of the last turn");
}

#[test]
fn a_fork_without_its_own_policy_is_not_bound_by_that_of_an_earlier_turn() {
    let home = tempfile::tempdir().unwrap();
    let store = store(home.path());
    let mut root = store.create(new("/work", Keeping::Disk)).unwrap();
    let one = turn(&mut root, "1");
    root.append(Record::Bound(Box::new(bound(&["/usr"])))).unwrap();
    let early = store.fork(root.id(), ForkPoint::After(one), Keeping::Disk).unwrap();
    let (id, path) = (early.id(), early.path().unwrap().unwrap());
    drop(early);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.lines().next().unwrap().to_owned() + "\n").unwrap();
    store.rebuild().unwrap();
    assert!(matches!(store.resume(id), Err(ThreadError::Unbound { thread }) if thread == id));
}

#[test]
fn a_fork_of_a_thread_in_the_middle_of_a_turn_is_none_of_its_business() {
    let case = Case::new();
    let mut thread = case.store.resume(case.id).unwrap();
    let open = begin(&mut thread);
    say(&mut thread, open, user("3")).unwrap();
    let fork = case.store.fork(case.id, ForkPoint::End, Keeping::Disk).unwrap();
    assert_eq!(*fork.bound(), bound(&["/usr"]));
    let id = fork.id();
    drop(fork);
    assert_eq!(*case.store.resume(id).unwrap().bound(), bound(&["/usr"]));
}
