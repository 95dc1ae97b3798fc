//! The server beside `codex exec-server`, in one run: a command from start to closed, throughput, bursts, memory, many at once.
//!
//! Weir runs each command in a full sandbox, as root's or the user's; the other runs it without any. `CODEX` names programs of Codex
//! (colon-separated paths to the native binary); without it only Weir is measured. `--quick` makes every count a tenth,
//! `--only` takes one part (`one`, `throughput`, `bursts`, `many`).

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a program for people, whose answer is its output"
)]

mod codex;
mod memory;
#[allow(dead_code, reason = "shared with the tests, which ask for more")]
#[path = "../../tests/server/peer.rs"]
mod peer;
mod weir;

use std::path::Path;
use std::time::{Duration, Instant};

/// Runs of `true`.
const RUNS: usize = 300;

/// Bytes that one command writes.
const BYTES: usize = 100_000_000;

/// Commands that write and end at once.
const BURSTS: usize = 2000;

/// Bytes that each of these writes.
const BURST_BYTES: usize = 50_000;

/// Commands that run at once.
const SLEEPERS: [usize; 2] = [200, 1000];

/// Starts that a client has under way at once: one that asks on without hearing the answers waits for the server as the server for it.
const UNDER_WAY: usize = 64;

/// What a command's output goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Through {
    Pipes,
    Terminal,
}

/// A server and a client of it.
trait Subject {
    fn name(&self) -> String;
    /// Runs a command from start to closed, and counts what it wrote.
    fn run(&mut self, argv: &[&str], through: Through) -> usize;
    /// Starts this many and returns when all have been started.
    fn start_all(&mut self, argv: &[&str], count: usize);
    /// Ends all that were started and returns when all have ended.
    fn end_all(&mut self);
    /// The server's own process.
    fn pid(&self) -> i32;
}

/// What was found for one subject, in the order of the rows.
struct Column {
    subject: String,
    rows: Vec<(String, String)>,
}

impl Column {
    fn row(&mut self, name: impl Into<String>, value: impl ToString) {
        let (name, value) = (name.into(), value.to_string());
        eprintln!("{}: {name}: {value}", self.subject);
        self.rows.push((name, value));
    }
}

/// A part of the measurement, and the word for it.
type Part = (&'static str, fn(&mut dyn Subject, usize, &mut Column));

/// All of them; `--only WORD` takes one.
const PARTS: [Part; 4] =
    [("one", one_command), ("throughput", throughput), ("bursts", bursts), ("many", many_at_once)];

fn main() {
    let (scale, parts) = weir_tests::bench::asked(&PARTS);
    let mut subjects: Vec<Box<dyn Subject>> = vec![Box::new(weir::Weir::start())];
    let programs = std::env::var("CODEX").unwrap_or_default();
    for program in programs.split(':').filter(|program| !program.is_empty()) {
        subjects.push(Box::new(codex::Codex::start(Path::new(program))));
    }
    let mut columns = vec![];
    for mut subject in subjects {
        let mut column = Column { subject: subject.name(), rows: Vec::new() };
        parts.iter().for_each(|(_, measure)| measure(subject.as_mut(), scale, &mut column));
        columns.push(column);
    }
    println!(
        "{:44} {}",
        "",
        columns.iter().map(|column| format!("{:>22}", column.subject)).collect::<String>()
    );
    for row in 0..columns[0].rows.len() {
        let cells: String = columns.iter().map(|column| format!("{:>22}", column.rows[row].1)).collect();
        println!("{:44} {cells}", columns[0].rows[row].0);
    }
}

fn one_command(subject: &mut dyn Subject, scale: usize, column: &mut Column) {
    column.row("idle, before any client's command (MB)", megabytes(memory::of_tree(subject.pid())));
    let mut took: Vec<Duration> =
        (0..RUNS / scale).map(|_| timed(|| subject.run(&["true"], Through::Pipes))).collect();
    took.sort();
    let middle = milliseconds(took[took.len() / 2]);
    column.row(format!("`true`, start to closed, median of {} (ms)", took.len()), middle);
    column.row("`true`, start to closed, least (ms)", milliseconds(took[0]));
    column.row("idle, afterwards (MB)", megabytes(memory::of_tree(subject.pid())));
}

fn throughput(subject: &mut dyn Subject, scale: usize, column: &mut Column) {
    for through in [Through::Pipes, Through::Terminal] {
        let count = (BYTES / scale).to_string();
        let mut got = 0;
        let took = timed(|| {
            got = subject.run(&["head", "-c", &count, "/dev/zero"], through);
            got
        });
        let rate = got as f64 / took.as_secs_f64() / 1e6;
        column.row(format!("{count} bytes, {through:?} (MB/s)"), format!("{rate:.0}"));
        column.row(format!("  of these lost, {through:?}"), BYTES / scale - got);
    }
}

fn bursts(subject: &mut dyn Subject, scale: usize, column: &mut Column) {
    let bursts = BURSTS / scale;
    let burst = format!("head -c {BURST_BYTES} /dev/zero");
    let mut short = 0;
    let took = timed(|| {
        short =
            (0..bursts).filter(|_| subject.run(&["sh", "-c", &burst], Through::Pipes) != BURST_BYTES).count();
        short
    });
    column.row(format!("{bursts} bursts, one after another (s)"), format!("{:.1}", took.as_secs_f64()));
    column.row("  of these cut short", short);
}

fn many_at_once(subject: &mut dyn Subject, scale: usize, column: &mut Column) {
    for count in SLEEPERS {
        let count = count / scale;
        let idle = memory::of_tree(subject.pid());
        let took = timed(|| {
            subject.start_all(&["tail", "-f", "/dev/null"], count);
            0
        });
        column.row(format!("{count} at once: to start all (s)"), format!("{:.2}", took.as_secs_f64()));
        let memory = memory::of_tree(subject.pid()) - idle;
        column.row("  memory of all, beyond idle (MB)", megabytes(memory));
        let took = timed(|| {
            subject.end_all();
            0
        });
        column.row("  to end all (s)", format!("{:.2}", took.as_secs_f64()));
    }
}

fn timed(act: impl FnOnce() -> usize) -> Duration {
    let started = Instant::now();
    std::hint::black_box(act());
    started.elapsed()
}

fn milliseconds(took: Duration) -> String {
    format!("{:.2}", took.as_secs_f64() * 1e3)
}

fn megabytes(kilobytes: u64) -> String {
    format!("{:.1}", kilobytes as f64 / 1024.0)
}
