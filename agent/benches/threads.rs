//! What threads cost: a thread of 10,000 turns and more than 60 MB, and a list of 10,000 threads.
//!
//! Prints each figure beside its aim and beside reading the whole file, in one run: the machine is shared, so compare within one run.
//! Ends with an error where an aim is missed. Behind that Codex does the same, where it can be had (`threads/codex.rs`).
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops at the first surprise"
)]

#[path = "threads/codex.rs"]
mod codex;
#[allow(dead_code, reason = "shared with tests")]
#[path = "../tests/support/talk.rs"]
mod talk;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use talk::{new, say, turn, user};
use weir_agent::approval::Approval;
use weir_agent::thread::{
    Filter, ForkPoint, ItemId, Keeping, Order, Record, Said, Settings, Store, ThreadId, TurnEnded, TurnId,
    TurnStarted, TurnStatus,
};

/// Turns of the long thread.
const TURNS: u64 = 10_000;
/// Letters of each answer in it.
const ANSWER: usize = 5_600;
/// Threads in the list.
const THREADS: usize = 10_000;
/// Pages that are read, spread over the thread.
const PAGES: u64 = 200;
/// Times that everything else is done.
const ROUNDS: usize = 15;

struct Figures {
    missed: bool,
}

impl Figures {
    fn time(&mut self, what: &str, mut times: Vec<Duration>, aim_ms: Option<f64>) {
        times.sort();
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        let (middle, worst) = (ms(times[times.len() / 2]), ms(times[times.len() - 1]));
        let aim = aim_ms.map_or(String::new(), |aim| format!("  aim {aim} ms"));
        println!("{what:<44} {middle:>9.2} ms  (worst {worst:.2}){aim}");
        self.missed |= aim_ms.is_some_and(|aim| middle > aim);
    }

    fn bytes(&mut self, what: &str, bytes: u64, aim: u64) {
        println!("{what:<44} {bytes:>9} bytes  aim {aim}");
        self.missed |= bytes > aim;
    }
}

fn timed<T>(act: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let out = act();
    (start.elapsed(), out)
}

fn rounds(act: impl Fn()) -> Vec<Duration> {
    (0..ROUNDS).map(|_| timed(&act).0).collect()
}

fn line(out: &mut String, ordinal: u64, record: &Record) {
    let value = serde_json::to_value(record).unwrap();
    let _ = writeln!(
        out,
        "{{\"timestamp\":\"2026-01-01T00:00:00.000Z\",\"ordinal\":{ordinal},\"type\":{},\"payload\":{}}}",
        value["type"], value["payload"]
    );
}

/// Adds turns to a file without putting each of them on the disk.
fn lengthen(path: &Path, settings: &Settings) {
    let mut text = fs::read_to_string(path).unwrap();
    let mut ordinal = text.lines().count() as u64;
    let answer = "All work and no play makes a dull line. ".repeat(ANSWER / 40);
    for number in 0..TURNS {
        let turn = TurnId::new();
        let item = |item| Record::Item(Said { turn, id: ItemId::new(), item });
        for record in [
            Record::TurnStarted(TurnStarted { turn, settings: settings.clone() }),
            item(user(&format!("question {number}"))),
            item(talk::agent(&answer)),
            Record::TurnEnded(TurnEnded { turn, status: TurnStatus::Completed }),
        ] {
            line(&mut text, ordinal, &record);
            ordinal += 1;
        }
    }
    fs::write(path, text).unwrap();
}

fn long_thread(home: &Path) -> ThreadId {
    let store = Store::open(home);
    let thread = store.create(new("/work", Keeping::Disk)).unwrap();
    let settings = Settings {
        cwd: talk::path("/work"),
        model: "model".to_owned(),
        provider: "replay".to_owned(),
        effort: None,
        approval: Approval::OnRequest,
        digest: thread.bound().digest,
    };
    let id = thread.id();
    drop(thread);
    lengthen(&store.path(id).unwrap(), &settings);
    id
}

/// Copies of one thread under other ids, a hundred a day.
fn many_threads(home: &Path) {
    let store = Store::open(home);
    let mut thread = store.create(new("/work", Keeping::Disk)).unwrap();
    turn(&mut thread, "a question");
    let (id, path) = (thread.id().to_string(), store.path(thread.id()).unwrap());
    drop(thread);
    let text = fs::read_to_string(path).unwrap();
    for number in 1..THREADS {
        let (month, day) = (1 + number / 100 / 28 % 12, 1 + number / 100 % 28);
        let directory = home.join(format!("sessions/2025/{month:02}/{day:02}"));
        fs::create_dir_all(&directory).unwrap();
        let other = ThreadId::new().to_string();
        let name = format!("rollout-2025-{month:02}-{day:02}T00-00-00-{other}.jsonl");
        fs::write(directory.join(name), text.replace(&id, &other)).unwrap();
    }
}

fn long(figures: &mut Figures, home: &Path) {
    let id = long_thread(home);
    let store = Store::open(home);
    let (first, page) = timed(|| store.turns(id, None, 5, Order::Descending).unwrap());
    assert_eq!(page.turns[0].number, TURNS - 1);
    let size = store.path(id).unwrap().metadata().unwrap().len();
    println!("a thread of {TURNS} turns, {size} bytes");
    assert!(size > 60_000_000);
    figures.time("first look at a file the index does not know", vec![first], None);
    let whole = rounds(|| drop(store.check(id).unwrap()));
    figures.time("reading the whole file (the control)", whole, None);
    figures.time(
        "open without turns, index opened as well",
        rounds(|| drop(Store::open(home).resume(id).unwrap())),
        Some(50.0),
    );
    let pages = (0..PAGES).map(|page| {
        let cursor = format!("turn-{}", page * TURNS / PAGES).parse().unwrap();
        let (time, page) = timed(|| store.turns(id, Some(cursor), 5, Order::Ascending).unwrap());
        assert_eq!(page.turns.len(), 5);
        time
    });
    figures.time("a page of 5 turns anywhere", pages.collect(), Some(5.0));
    fork(figures, &store, id);
    let mut thread = store.resume(id).unwrap();
    let turns = (0..ROUNDS).map(|_| timed(|| turn(&mut thread, "more")).0).collect();
    figures.time("a turn added, on the disk and in the index", turns, None);
    let open = talk::begin(&mut thread);
    let items = (0..1000).map(|_| timed(|| say(&mut thread, open, user("word")).unwrap()).0).collect();
    figures.time("an item added", items, None);
}

fn fork(figures: &mut Figures, store: &Store, id: ThreadId) {
    let mut forks = Vec::new();
    let times = (0..ROUNDS).map(|_| {
        let (time, thread) = timed(|| store.fork(id, ForkPoint::End, Keeping::Disk).unwrap());
        forks.push(thread.id());
        time
    });
    let times = times.collect();
    figures.time("a fork", times, None);
    let written = store.path(forks[0]).unwrap().metadata().unwrap().len();
    figures.bytes("bytes of a fork", written, 64 << 10);
    let page = store.turns(forks[0], None, 5, Order::Descending).unwrap();
    assert_eq!(page.turns[0].number, TURNS - 1);
}

fn many(figures: &mut Figures, home: &Path) {
    many_threads(home);
    let store = Store::open(home);
    let (first, listing) = timed(|| store.list(&Filter::default(), None, 50).unwrap());
    assert_eq!(listing.threads.len(), 50);
    println!("a list of {THREADS} threads");
    figures.time("index made anew from all files", vec![first], None);
    let list =
        |store: &Store| assert_eq!(store.list(&Filter::default(), None, 50).unwrap().threads.len(), 50);
    figures.time("a page of 50", rounds(|| list(&store)), None);
    figures.time("a page of 50, index opened as well", rounds(|| list(&Store::open(home))), Some(50.0));
    let (all, pages) = timed(|| {
        let (mut cursor, mut seen) = (None, 0);
        loop {
            let listing = store.list(&Filter::default(), cursor.as_ref(), 1000).unwrap();
            seen += listing.threads.len();
            match listing.next {
                Some(next) => cursor = Some(next),
                None => return seen,
            }
        }
    });
    assert_eq!(pages, THREADS);
    figures.time("all of them, 1000 a page", vec![all], None);
}

fn main() {
    let mut figures = Figures { missed: false };
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    long(&mut figures, one.path());
    many(&mut figures, other.path());
    match codex::Codex::find() {
        Ok(codex) => {
            codex.long(&mut figures);
            codex.many(&mut figures);
        }
        Err(why) => println!("nothing of Codex beside it: {why}"),
    }
    assert!(!figures.missed, "an aim was missed");
}
