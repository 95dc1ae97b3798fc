//! The server beside `codex exec-server`, in one run: a command from start to closed, throughput, bursts, memory, many at once.
//!
//! Weir runs each command in a full sandbox, as root's or the user's; the other runs it without any. `CODEX` names programs of Codex
//! (colon-separated paths to the native binary); without it only Weir is measured. `--quick` makes every count a tenth.

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
type Column = Vec<(String, String)>;

fn main() {
    let scale = if std::env::args().any(|word| word == "--quick") { 10 } else { 1 };
    let mut columns = vec![];
    let mut subjects: Vec<Box<dyn Subject>> = vec![Box::new(weir::Weir::start())];
    let programs = std::env::var("CODEX").unwrap_or_default();
    for program in programs.split(':').filter(|program| !program.is_empty()) {
        subjects.push(Box::new(codex::Codex::start(Path::new(program))));
    }
    let names: Vec<String> = subjects.iter().map(|subject| subject.name()).collect();
    for mut subject in subjects {
        columns.push(measured(subject.as_mut(), scale));
    }
    println!("{:44} {}", "", names.iter().map(|name| format!("{name:>22}")).collect::<String>());
    for row in 0..columns[0].len() {
        let cells: String = columns.iter().map(|column| format!("{:>22}", column[row].1)).collect();
        println!("{:44} {cells}", columns[0][row].0);
    }
}

fn measured(subject: &mut dyn Subject, scale: usize) -> Column {
    let mut out = Vec::new();
    let subject_name = subject.name();
    let mut row = |name: String, value: String| {
        eprintln!("{subject_name}: {name}: {value}");
        out.push((name, value));
    };
    row("idle, before any client's command (MB)".to_owned(), megabytes(memory::of_tree(subject.pid())));
    let mut took: Vec<Duration> =
        (0..RUNS / scale).map(|_| timed(|| subject.run(&["true"], Through::Pipes))).collect();
    took.sort();
    row(
        format!("`true`, start to closed, median of {} (ms)", took.len()),
        milliseconds(took[took.len() / 2]),
    );
    row("`true`, start to closed, least (ms)".to_owned(), milliseconds(took[0]));
    row("idle, afterwards (MB)".to_owned(), megabytes(memory::of_tree(subject.pid())));
    for through in [Through::Pipes, Through::Terminal] {
        let count = (BYTES / scale).to_string();
        let mut got = 0;
        let took = timed(|| {
            got = subject.run(&["head", "-c", &count, "/dev/zero"], through);
            got
        });
        let rate = got as f64 / took.as_secs_f64() / 1e6;
        row(format!("{count} bytes, {through:?} (MB/s)"), format!("{rate:.0}"));
        row(format!("  of these lost, {through:?}"), (BYTES / scale - got).to_string());
    }
    let bursts = BURSTS / scale;
    let burst = format!("head -c {BURST_BYTES} /dev/zero");
    let mut short = 0;
    let took = timed(|| {
        short =
            (0..bursts).filter(|_| subject.run(&["sh", "-c", &burst], Through::Pipes) != BURST_BYTES).count();
        short
    });
    row(format!("{bursts} bursts, one after another (s)"), format!("{:.1}", took.as_secs_f64()));
    row("  of these cut short".to_owned(), short.to_string());
    for count in SLEEPERS {
        let count = count / scale;
        let idle = memory::of_tree(subject.pid());
        let took = timed(|| {
            subject.start_all(&["tail", "-f", "/dev/null"], count);
            0
        });
        row(format!("{count} at once: to start all (s)"), format!("{:.2}", took.as_secs_f64()));
        row("  memory of all, beyond idle (MB)".to_owned(), megabytes(memory::of_tree(subject.pid()) - idle));
        let took = timed(|| {
            subject.end_all();
            0
        });
        row("  to end all (s)".to_owned(), format!("{:.2}", took.as_secs_f64()));
    }
    out
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
