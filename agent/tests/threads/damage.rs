//! Files that are torn, cut short, out of order or another's: what is readable is read, the rest is told with its line, and nothing
//! that was there is changed.

use std::fs;
use std::path::PathBuf;

use weir_agent::thread::{Keeping, Order, Store, ThreadId, Wrong};

use super::talk::{new, store, turn};
use super::{listed, questions};

/// A thread of four turns, and the lines of its file.
struct Case {
    _home: tempfile::TempDir,
    store: Store,
    id: ThreadId,
    path: PathBuf,
    lines: Vec<String>,
}

impl Case {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let store = store(home.path());
        let mut thread = store.create(new("/work", Keeping::Disk)).unwrap();
        for question in ["1", "2", "3", "4"] {
            turn(&mut thread, question);
        }
        let path = store.path(thread.id()).unwrap();
        let lines = fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
        Self { store, id: thread.id(), path, lines, _home: home }
    }

    /// Replaces the file, as an editor or a restored backup does.
    fn write(&self, text: &str) {
        let other = self.path.with_extension("new");
        fs::write(&other, text).unwrap();
        fs::rename(&other, &self.path).unwrap();
    }

    fn write_lines(&self, lines: &[String]) {
        self.write(&(lines.join("\n") + "\n"));
    }

    /// Line and kind of each damage that a check finds.
    fn damage(&self) -> Vec<(u64, Wrong)> {
        let found = self.store.check(self.id).unwrap().damage;
        found.into_iter().map(|damage| (damage.line, damage.wrong)).collect()
    }

    fn questions(&self) -> Vec<String> {
        questions(&self.store, self.id)
    }
}

/// Lines of a turn: begun, asked, answered, counted, ended. The first turn begins at the third line.
const TURN_LINES: usize = 5;
const FIRST: usize = 2;

#[test]
fn a_torn_last_line_stays_and_the_thread_goes_on_behind_it() {
    let case = Case::new();
    let whole = fs::read_to_string(&case.path).unwrap();
    let torn = &whole[..whole.len() - 20];
    case.write(torn);
    let lines = case.lines.len() as u64;
    assert!(matches!(case.damage()[..], [(line, Wrong::Torn { .. })] if line == lines));
    assert_eq!(case.questions(), ["1", "2", "3", "4"]);
    let mut thread = case.store.resume(case.id).unwrap();
    assert!(matches!(thread.damage(), [damage] if damage.line == lines), "{:?}", thread.damage());
    // The turn's last line is gone: nothing says that it ended.
    assert!(thread.unfinished().is_some());
    turn(&mut thread, "5");
    let now = fs::read_to_string(&case.path).unwrap();
    assert!(now.starts_with(&format!("{torn}\n")));
    assert_eq!(case.questions(), ["1", "2", "3", "4", "5"]);
    assert!(matches!(case.damage()[..], [(line, Wrong::NotARecord { .. })] if line == lines));
}

#[test]
fn a_whole_last_line_without_its_end_is_a_record() {
    let case = Case::new();
    let whole = fs::read_to_string(&case.path).unwrap();
    case.write(whole.trim_end());
    let mut thread = case.store.resume(case.id).unwrap();
    assert_eq!((thread.damage(), thread.unfinished()), (&[][..], None));
    turn(&mut thread, "5");
    assert_eq!((case.damage(), case.questions().len()), (vec![], 5));
    assert!(fs::read_to_string(&case.path).unwrap().starts_with(&whole));
}

#[test]
fn a_file_that_was_cut_short_is_what_it_is() {
    let case = Case::new();
    case.write_lines(&case.lines[..FIRST + 2 * TURN_LINES]);
    assert_eq!((case.questions(), case.damage()), (vec!["1".to_owned(), "2".to_owned()], vec![]));
    assert_eq!(case.store.show(case.id).unwrap().turns, 2);
}

#[test]
fn lines_in_the_middle_that_are_no_records_are_skipped_and_told() {
    let case = Case::new();
    let mut lines = case.lines.clone();
    lines[4] = "{\"timestamp\":\"…".to_owned();
    lines.insert(8, String::new());
    lines.insert(10, "\u{0}\u{0}\u{0}".to_owned());
    case.write_lines(&lines);
    let [(5, Wrong::NotARecord { .. }), (6, Wrong::Gap { .. }), (9, Wrong::NotARecord { .. }), (11, _)] =
        &case.damage()[..]
    else {
        panic!("{:?}", case.damage())
    };
    assert_eq!(case.questions(), ["1", "2", "3", "4"]);
    assert_eq!(case.store.show(case.id).unwrap().damaged, 4);
}

#[test]
fn lines_that_were_moved_or_repeated_are_read_once_and_in_order() {
    let case = Case::new();
    let turns = |case: &Case| case.store.turns(case.id, None, 10, Order::Ascending).unwrap().turns;
    let before = turns(&case);
    let items = case.store.resume(case.id).unwrap().items().unwrap();
    let mut lines = case.lines.clone();
    // Question and answer of the second turn, and a line of the third among those of the first.
    lines.swap(FIRST + TURN_LINES + 1, FIRST + TURN_LINES + 2);
    let moved = lines.remove(FIRST + 2 * TURN_LINES + 2);
    lines.insert(FIRST + 2, moved);
    lines.push(lines[FIRST + 3 * TURN_LINES + 1].clone());
    case.write_lines(&lines);
    let damage = case.damage();
    assert!(damage.iter().any(|(_, wrong)| matches!(wrong, Wrong::Backwards { .. })), "{damage:?}");
    assert!(damage.iter().any(|(_, wrong)| matches!(wrong, Wrong::Gap { .. })), "{damage:?}");
    let by_id = |turns: &[weir_agent::thread::Turn]| {
        let mut turns: Vec<_> = turns.iter().map(|turn| (turn.turn, turn.items.clone())).collect();
        turns.sort_by_key(|(turn, _)| *turn);
        turns
    };
    assert_eq!(by_id(&turns(&case)), by_id(&before));
    assert_eq!(case.store.resume(case.id).unwrap().items().unwrap(), items);
}

#[test]
fn an_ordinal_that_was_used_twice_hides_nothing() {
    let case = Case::new();
    let mut lines = case.lines.clone();
    let last = format!("\"ordinal\":{}", lines.len() - 1);
    let reused = lines[FIRST + 1].replace("\"1\"", "\"1 again\"").replace("\"ordinal\":3", &last);
    assert_ne!(reused, lines[FIRST + 1]);
    lines.push(reused);
    case.write_lines(&lines);
    assert!(matches!(case.damage()[..], [(_, Wrong::Backwards { .. })]));
    let texts: Vec<_> = case.store.resume(case.id).unwrap().items().unwrap();
    assert!(texts.contains(&super::talk::user("1 again")) && texts.contains(&super::talk::user("1")));
}

#[test]
fn records_of_another_version_are_kept_and_skipped() {
    let case = Case::new();
    let next = case.lines.len();
    let foreign = format!(
        r#"{{"timestamp":"2030-01-01T00:00:00.000Z","ordinal":{next},"type":"hologram","payload":{{"a":[1]}}}}"#
    );
    let lines: Vec<String> = case.lines.iter().cloned().chain([foreign.clone()]).collect();
    case.write_lines(&lines);
    let checked = case.store.check(case.id).unwrap();
    assert_eq!((checked.foreign, checked.is_sound()), (1, true));
    turn(&mut case.store.resume(case.id).unwrap(), "5");
    assert!(fs::read_to_string(&case.path).unwrap().contains(&foreign));
    assert_eq!((case.damage(), case.questions().len()), (vec![], 5));
}

#[test]
fn files_that_are_no_threads_are_told_and_left_alone() {
    let case = Case::new();
    let directory = case.path.parent().unwrap();
    let other = ThreadId::new();
    let name = |id: ThreadId| directory.join(format!("rollout-2026-01-01T00-00-00-{id}.jsonl"));
    let strays = [
        (directory.join("notes.txt"), "hello\n".to_owned()),
        (name(other), r#"{"timestamp":"…","type":"session_meta","payload":{"id":"x"}}"#.to_owned() + "\n"),
        (name(ThreadId::new()), String::new()),
        (name(ThreadId::new()), case.lines[0].clone() + "\n"),
        (name(case.id), case.lines[0].clone() + "\n"),
    ];
    for (path, text) in &strays {
        fs::write(path, text).unwrap();
    }
    assert_eq!(listed(&case.store), [case.id]);
    let told = case.store.strays().unwrap();
    assert_eq!(told.len(), strays.len(), "{told:?}");
    for (path, text) in &strays {
        assert_eq!(fs::read_to_string(path).unwrap(), *text);
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(
            told.iter().any(|(path, reason)| path.ends_with(name) && !reason.is_empty()),
            "{name}: {told:?}"
        );
    }
    // One that becomes a thread is one.
    fs::remove_file(&strays[1].0).unwrap();
    assert_eq!(case.store.strays().unwrap().len(), strays.len() - 1);
    assert_eq!(case.questions(), ["1", "2", "3", "4"]);
}
