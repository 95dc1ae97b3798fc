//! Pages: forward, backward and the whole file are the same turns, whatever the thread has been through.

use proptest::prelude::*;
use weir_agent::thread::{Cursor, ForkPoint, Keeping, Order, Store, Thread, ThreadId, Turn};

use super::talk::{agent, begin, end, new, say, store, turn, user};

/// What happens to a thread.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// A turn with this many answers.
    Turn(u8),
    /// A turn whose process goes away.
    Crash,
    /// It goes on as its own fork, at the end or before its last turn.
    Fork(bool),
    /// The index is made anew.
    Rebuild,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0_u8..4).prop_map(Act::Turn),
        1 => Just(Act::Crash),
        2 => any::<bool>().prop_map(Act::Fork),
        1 => Just(Act::Rebuild),
    ]
}

fn crash(store: &Store, thread: Thread, question: &str) -> Thread {
    let mut thread = thread;
    let open = begin(&mut thread);
    say(&mut thread, open, user(question)).unwrap();
    let id = thread.id();
    drop(thread);
    store.resume(id).unwrap()
}

fn fork(store: &Store, thread: &Thread, before_last: bool, expect: &mut Vec<String>) -> Thread {
    let last = thread.turns(None, 1, Order::Descending).unwrap().turns.pop();
    let open = last.as_ref().filter(|last| Some(last.turn) == thread.unfinished());
    let at = match &last {
        Some(last) if before_last => ForkPoint::Before(last.turn),
        _ => ForkPoint::End,
    };
    if before_last || open.is_some() {
        expect.pop();
    }
    store.fork(thread.id(), at, Keeping::Disk).unwrap()
}

/// The first message of each turn.
fn asked(turns: &[Turn]) -> Vec<String> {
    turns
        .iter()
        .map(|turn| serde_json::to_value(&turn.items[0].item).unwrap()["text"].as_str().unwrap().to_owned())
        .collect()
}

fn walk(store: &Store, id: ThreadId, order: Order, limit: u64) -> Vec<Turn> {
    let (mut cursor, mut all): (Option<Cursor>, Vec<Turn>) = (None, Vec::new());
    loop {
        let page = store.turns(id, cursor, limit, order).unwrap();
        assert!(page.turns.len() as u64 <= limit);
        all.extend(page.turns);
        match page.next {
            Some(next) => cursor = Some(next.to_string().parse().unwrap()),
            None => return all,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn forward_is_backward_is_the_whole(acts in prop::collection::vec(act(), 1..14), limit in 1_u64..6) {
        let home = tempfile::tempdir().unwrap();
        let store = store(home.path());
        let mut thread = store.create(new("/work", Keeping::Disk)).unwrap();
        let mut expect = Vec::new();
        for (number, act) in acts.iter().enumerate() {
            let question = format!("q{number}");
            match act {
                Act::Turn(answers) => {
                    let id = begin(&mut thread);
                    say(&mut thread, id, user(&question)).unwrap();
                    for n in 0..*answers {
                        say(&mut thread, id, agent(&format!("a{n}"))).unwrap();
                    }
                    end(&mut thread, id);
                    expect.push(question);
                }
                Act::Crash => {
                    thread = crash(&store, thread, &question);
                    expect.push(question);
                }
                Act::Fork(before_last) => thread = fork(&store, &thread, *before_last, &mut expect),
                Act::Rebuild => store.rebuild().unwrap(),
            }
        }
        let forward = walk(&store, thread.id(), Order::Ascending, limit);
        let mut backward = walk(&store, thread.id(), Order::Descending, limit);
        backward.reverse();
        prop_assert_eq!(asked(&forward), expect);
        prop_assert_eq!(&backward, &forward);
        prop_assert!(forward.iter().map(|turn| turn.number).eq(0..forward.len() as u64));
        prop_assert!(store.check(thread.id()).unwrap().is_sound());
    }
}

#[test]
fn turns_that_are_added_do_not_move_a_page() {
    let home = tempfile::tempdir().unwrap();
    let store = store(home.path());
    let mut thread = store.create(new("/work", Keeping::Disk)).unwrap();
    for n in 0..6 {
        turn(&mut thread, &n.to_string());
    }
    let first = thread.turns(None, 2, Order::Descending).unwrap();
    turn(&mut thread, "later");
    let second = thread.turns(first.next, 2, Order::Descending).unwrap();
    assert_eq!(asked(&second.turns), ["3", "2"]);
    let back = thread.turns(second.back, 3, Order::Ascending).unwrap();
    assert_eq!(asked(&back.turns), ["4", "5", "later"]);
}
