//! What live rules and recording cost, beside no rule, no Weir, and other sandboxes, in one run: single acts, programs, and commands at a server over
//! a large tree.
//!
//! Prints the fastest of several alternating runs and its ratio to the first column. `LANDSTRIP` names the program of that name, `SANDLOCK` a
//! Python that can import that module; without them they are left out. `--quick` makes counts a tenth, `--only` takes one part (`acts`, `work`, `tree`).
//! `cargo test -p weir-tests --bench live` measures the programs as they were built for tests.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a program for people, whose answer is its output"
)]

mod acts;
mod beside;
#[allow(dead_code, reason = "shared with the tests, which ask for more")]
#[path = "../../tests/server/peer.rs"]
mod peer;
mod tree;
mod work;

use std::ffi::OsString;
use std::process::Command;
use std::time::Instant;

use weir_tests::sandbox::{Way, World, finish};

/// The profile of whatever is measured under a live rule; with the guarantee given up, the same without.
const RULES: &str =
    "\":project_roots\" = { \".\" = \"write\", \"**/*.env\" = \"none\" }\n\"{w}/other\" = \"write\"";

/// Gives the command that runs these words.
type Hold = Box<dyn Fn(&[OsString]) -> Command>;

/// What holds a command: nothing, Weir under some profile, or another sandbox.
struct Holder {
    name: &'static str,
    /// In `work` of its world.
    command: Hold,
}

impl Holder {
    fn new(name: &'static str, command: impl Fn(&[OsString]) -> Command + 'static) -> Self {
        Self { name, command: Box::new(command) }
    }

    /// What a command prints, which must succeed.
    fn run(&self, words: &[OsString]) -> String {
        let run = finish(&mut (self.command)(words));
        assert_eq!(run.code, 0, "{}: {words:?}: {}", self.name, run.stderr);
        String::from_utf8_lossy(&run.stdout).into_owned()
    }

    /// Seconds of one run.
    fn seconds(&self, words: &[OsString]) -> f64 {
        let start = Instant::now();
        self.run(words);
        start.elapsed().as_secs_f64()
    }
}

/// A part of the measurement, and the word for it.
type Part = (&'static str, fn(Way, usize));

const PARTS: [Part; 3] = [("acts", acts::measure), ("work", work::measure), ("tree", tree::measure)];

fn main() {
    let (scale, parts) = weir_tests::bench::asked(&PARTS);
    let way = if Way::Root.available().is_ok() { Way::Root } else { Way::User };
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("in the way `{}`, at a load of {}", way.name(), load.trim());
    beside::say_absent();
    for (_, measure) in parts {
        println!();
        measure(way, scale);
    }
}

/// Words for a command.
fn words<const N: usize>(words: [&str; N]) -> [OsString; N] {
    words.map(OsString::from)
}

/// One line of a table: its name, then each figure, then each one's ratio to the first.
fn row(name: &str, figures: &[f64], decimals: usize) {
    let cells: String = figures.iter().map(|figure| format!(" {figure:>10.decimals$}")).collect();
    let ratios: String =
        figures.iter().skip(1).map(|figure| format!(" {:>9.2}x", figure / figures[0])).collect();
    println!("{name:<24}{cells}  |{ratios}");
}

/// The line above a table.
fn head(unit: &str, names: &[&str]) {
    let cells: String = names.iter().map(|name| format!(" {name:>10}")).collect();
    let ratios: String = names.iter().skip(1).map(|name| format!(" {name:>10}")).collect();
    println!("{unit:<24}{cells}  |{ratios}");
}

/// The least of each holder's figures in rounds that alternate.
fn least(holders: &[Holder], rounds: usize, figure: impl Fn(&Holder) -> f64) -> Vec<f64> {
    let mut least = vec![f64::MAX; holders.len()];
    for _ in 0..rounds {
        for (least, holder) in least.iter_mut().zip(holders) {
            *least = least.min(figure(holder));
        }
    }
    least
}

/// Nothing, in a world.
fn bare(world: World) -> Holder {
    Holder::new("bare", move |words| {
        let mut command = world.command(&words[0]);
        command.args(&words[1..]);
        command
    })
}

/// `weir run` in a world.
fn weir(name: &'static str, world: World) -> Holder {
    Holder::new(name, move |words| {
        let mut command = world.weir(["--quiet"]);
        command.args(words);
        command
    })
}
